"""A service of real parts: gates, a log in memory, uvicorn in a thread on a port of its own."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from onpurpose import Gate, parse_policy
from onpurpose.adapters.clock import SystemClock
from onpurpose.adapters.memory import MemoryLedger
from onpurpose.core.access import ApiKey, Scope
from onpurpose.core.call import Call
from onpurpose.core.claim import Claim, ClaimState
from onpurpose.ports import Ledger
from onpurpose.server.build import Pending, Services, build, make_server
from onpurpose.server.identity import Authority
from onpurpose.server.metrics import Metrics
from tests.loopback import asking

POLICY = """
deny:
  - capability: shell.run
    contains: rm -rf
require_approval:
  - capability: payments.transfer
    amount_gt: 1000
warn:
  - capability: mail.send
allow:
  - capability: shell.run
  - capability: payments.transfer
  - capability: open
"""


def secret_of(name: str) -> str:
    return f"op_{name:_<8.8}_{name:x<43.43}"


def api_key(name: str, *scopes: Scope, workspace: str = "acme", **fields: Any) -> ApiKey:
    secret = secret_of(name)
    return ApiKey(
        id=name, workspace=workspace, name=name, prefix=secret[:11], hash=hashlib.sha256(secret.encode()).digest(),
        scopes=frozenset(scopes), created_by="tests", created_at=0, **fields,
    )  # fmt: skip


KEYS = (
    api_key("asker", Scope.EVALUATE),
    api_key("reader", Scope.READ),
    api_key("admin", Scope.ADMIN),
    api_key("stranger", Scope.EVALUATE, Scope.READ, workspace="other"),
    api_key("expired", Scope.EVALUATE, expires_at=1),
    api_key("revoked", Scope.EVALUATE, revoked_at=1),
)


class Gates:
    """Judges by one gate for each workspace, and remembers which call came from where."""

    def __init__(self, gates: Mapping[str, Gate]) -> None:
        self.gates = gates
        self.asked: list[tuple[Call, str | None, str, str]] = []

    def begin(self, call: Call, policy: str | None, *, workspace: str, key: str) -> Pending:
        self.asked.append((call, policy, workspace, key))
        return self.gates[workspace].begin(call)

    def close(self) -> None:
        for gate in self.gates.values():
            gate.close()


class Remembered:
    """Idempotency keys in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, bytes], tuple[bytes, bytes | None]] = {}
        self._lock = threading.Lock()

    def claim(self, workspace: str, key_hash: bytes, call_digest: bytes, at: int) -> Claim:
        with self._lock:
            asked, body = self.kept.setdefault((workspace, key_hash), (call_digest, None))
            if asked != call_digest:
                return Claim(state=ClaimState.OTHER)
            if body is not None:
                return Claim(state=ClaimState.ANSWERED, body=body)
            return Claim(state=ClaimState.NEW)

    def settle(self, workspace: str, key_hash: bytes, body: bytes, at: int) -> None:
        with self._lock:
            self.kept[workspace, key_hash] = (self.kept[workspace, key_hash][0], body)

    def release(self, workspace: str, key_hash: bytes) -> None:
        with self._lock:
            del self.kept[workspace, key_hash]


class Decisions:
    """A feed in a list."""

    def __init__(self) -> None:
        self.epoch = "one"
        self.entries: list[tuple[str, bytes]] = []
        self.reads = 0
        self.trouble: Exception | None = None

    def add(self, workspace: str, *bodies: bytes) -> None:
        self.entries += [(workspace, body) for body in bodies]

    def newest(self) -> tuple[str, int]:
        if self.trouble is not None:
            raise self.trouble
        return self.epoch, len(self.entries)

    def after(self, workspace: str, number: int, limit: int) -> Sequence[tuple[int, bytes]]:
        self.reads += 1
        found = [(n, body) for n, (owner, body) in enumerate(self.entries, 1) if owner == workspace and n > number]
        return found[:limit]


def gate(ledger: Ledger | None = None, policy: str = POLICY, patience: float = 10) -> Gate:
    chosen = parse_policy(policy, "policy.yaml")
    return Gate(chosen, ledger or MemoryLedger(), reload_seconds=3600, audit_timeout_seconds=patience)


def services(evaluator: Any = None, **parts: Any) -> Services:
    """Services of these parts; what is not given is real and empty."""
    if evaluator is None:
        one = gate()
        evaluator = Gates({"acme": one, "other": one})
    wanted: dict[str, Any] = {
        "authority": Authority(KEYS), "clock": SystemClock(), "metrics": Metrics(), "operations": (),
        "close": getattr(evaluator, "close", lambda: None),
    }  # fmt: skip
    return Services(evaluator=evaluator, **(wanted | parts))


@dataclass
class Served:
    """A service that runs: where, and what it is made of."""

    port: int
    services: Services

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, key: str | None = "asker", **options: Any) -> httpx2.Client:
        return asking(self.url, secret_of(key) if key else "", **options)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def raw(self, sent: bytes, *, half: bool = False) -> bytes:
        """What comes back for these bytes, until the service closes the connection."""
        with closing(self.connect()) as connection:
            connection.sendall(sent)
            if half:
                connection.shutdown(socket.SHUT_WR)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:  # closed with some of ours unread
        pass
    return b"".join(parts)


def post(body: bytes, *headers: str, path: str = "/v1/evaluate", key: str = "asker") -> bytes:
    """A request as bytes, after which the connection closes."""
    lines = [
        f"POST {path} HTTP/1.1", "Host: test", "Connection: close", f"Content-Length: {len(body)}",
        f"Authorization: Bearer {secret_of(key)}", *headers,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body


@contextmanager
def serving(parts: Services) -> Iterator[Served]:
    """Serve in a thread. The socket listens before the server runs, so that nobody waits for it."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = make_server(build(parts), grace_seconds=5)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="server")
    thread.start()
    try:
        yield Served(listening.getsockname()[1], parts)
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
