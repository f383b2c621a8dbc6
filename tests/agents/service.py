"""Services on loopback: one that answers as it is told to, and one that speaks bytes."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onpurpose import Call, Gate, Identity, parse_policy
from onpurpose.adapters.memory import MemoryLedger

KEY = "op_abcdefgh_0123456789012345678901234567890123456789012"
POLICY = parse_policy(
    "deny:\n  - capability: shut\nrequire_approval:\n  - capability: ask\n  - capability: pay\n    amount_gt: 100\n"
    "warn:\n  - capability: mind\nallow:\n  - capability: open\n  - capability: pay\n",
    "service.yaml",
)

Answering = Callable[[Request], Awaitable[Response]]


def call_of(question: dict[str, Any]) -> Call:
    fields = dict(question)
    fields.pop("policy", None)
    if identity := fields.pop("identity", None):
        fields["identity"] = Identity(identity["user_id"], tuple(identity["groups"]))
    if elements := fields.pop("elements", None):
        fields["elements"] = tuple(elements)
    return Call(**fields)


class Service:
    """A service that decides by `POLICY`, unless `answering` says otherwise; it remembers what it was asked."""

    def __init__(self) -> None:
        self.gate = Gate(POLICY, MemoryLedger(), reload_seconds=3600)
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.answering: Answering | None = None
        self.also: dict[str, Any] = {}
        # The protocol by name: asyncio answers without delay on such sockets alone.
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        # From here on, so that who comes before the thread has started waits and is not refused.
        self._socket.listen(2048)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        app = Starlette(routes=[Route("/v1/evaluate", self._evaluate, methods=["POST"])])
        config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)
        self._held: asyncio.Event | None = None

    def forget(self) -> None:
        """As new, for the next test."""
        self.asked, self.headers, self.answering, self.also = [], [], None, {}

    def decide(self, question: dict[str, Any]) -> dict[str, Any]:
        """What a good service answers."""
        result = self.gate.begin(call_of(question)).finish(10)
        return {
            "outcome": str(result.outcome),
            "allowed": result.allowed,
            "reasons": [
                {"code": str(one.code), "outcome": str(one.outcome), "message": one.message}
                | ({"rule": {"at": str(one.rule), "capability": one.rule.capability}} if one.rule else {})
                for one in result.reasons
            ],
            "decision_id": result.decision_id,
            "digest": result.digest,
        } | self.also

    async def hold(self, request: Request) -> Response:
        """No answer, before the service stops."""
        if self._held is None:
            self._held = asyncio.Event()
        await self._held.wait()
        return Response(status_code=503)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()
        self.gate.close()

    def _run(self) -> None:
        asyncio.run(self._server.serve([self._socket]))

    async def _evaluate(self, request: Request) -> Response:
        question = orjson.loads(await request.body())
        self.asked.append(question)
        self.headers.append(dict(request.headers))
        if self.answering is not None:
            return await self.answering(request)
        return Response(orjson.dumps(self.decide(question)), media_type="application/json")


class Bytes:
    """A service that answers each connection with bytes of its own, in turn; the last ones again and again."""

    def __init__(self, *answers: bytes, hang_up: bool = True) -> None:
        self.questions: list[bytes] = []
        self._answers = list(answers)
        self._hang_up = hang_up
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        for connection in self._open:
            connection.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self._open.append(connection)
            self.questions.append(_question(connection))
            connection.sendall(self._answers.pop(0) if len(self._answers) > 1 else self._answers[0])
            if self._hang_up:
                connection.close()


def _question(connection: socket.socket) -> bytes:
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body
