"""Services -> the ASGI application, and the server that runs it."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from onpurpose.core.access import Scope as Right
from onpurpose.server import evaluate, health, openapi, stream
from onpurpose.server.body import check_length
from onpurpose.server.connection import Connection
from onpurpose.server.evaluate import Evaluate, send_problem
from onpurpose.server.forwarded import Forwarded
from onpurpose.server.headers import secure
from onpurpose.server.identity import STATE, authenticate, permit
from onpurpose.server.limits import Limits
from onpurpose.server.listening import bind, place
from onpurpose.server.metrics import CONTENT_TYPE, Metrics
from onpurpose.server.problems import (
    ProblemError,
    internal,
    method_not_allowed,
    rate_limited,
    too_large,
    too_slow,
)
from onpurpose.server.services import (
    Evaluator,
    Feed,
    Idempotency,
    Minter,
    Pending,
    Services,
    Settings,
)
from onpurpose.server.stream import Stream

__all__ = [
    "App",
    "Evaluator",
    "Feed",
    "Idempotency",
    "Minter",
    "Pending",
    "Server",
    "Services",
    "Settings",
    "build",
    "run",
]

log = logging.getLogger("onpurpose")

GRACE_SECONDS = 30
"""How long requests that are begun may take to finish once the service is told to stop."""

SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from the event loop, which waits for it at every turn.

Python's own 5 ms would be added to a call's time for each thread that is at work beside it.
"""

ACCEPTS = 16
"""How many connections are taken at a turn of the event loop, which takes one of each listening socket.

With one, those that come when hundreds are busy wait for as many turns as there are others before them.
"""

_HOT = frozenset({evaluate.PATH, evaluate.BATCH_PATH})
_CORS_HEADERS = ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Last-Event-ID")


def build(services: Services) -> App:
    """The application: evaluate before everything else, then whatever `routes` and the frame have."""
    return App(services)


class App:
    """The ASGI application. Whatever lies under `/v1/` needs a key; what a route raises is a problem document."""

    def __init__(self, services: Services) -> None:
        self._services = services
        limits = Limits(services.settings.per_minute)
        self.direct = self._evaluate = Evaluate(services, limits)  # what a connection may ask without ASGI
        self._stream = Stream(services)
        starlette = Starlette(routes=[*services.routes, *_frame(services)], exception_handlers={**services.answers})
        starlette.router.redirect_slashes = False  # a redirect would name whatever host the client wrote
        self._rest: ASGIApp = _Rest(services, limits, self._stream, starlette)
        if services.settings.trusted_proxies:
            self._rest = Forwarded(self._rest, services.settings.trusted_proxies)
        self._http: ASGIApp = self._answer
        if services.settings.cors_origins:
            self._http = CORSMiddleware(
                self._answer,
                allow_origins=services.settings.cors_origins,
                allow_methods=("GET", "POST", "PUT", "DELETE"),
                allow_headers=_CORS_HEADERS,
                expose_headers=("Retry-After", "Idempotency-Replayed"),
                max_age=600,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def end_streams(self) -> None:
        """End what would not end by itself: the first thing to do when the service is to stop."""
        self._stream.close()
        # On a thread of its own: it may wait for one that is amid a question to the store.
        threading.Thread(target=self._services.stop, name="onpurpose-stop", daemon=True).start()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in _HOT:
            await self._evaluate(scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self.end_streams()
                self._evaluate.close()
                try:
                    await asyncio.to_thread(self._services.close)
                except Exception:
                    log.exception("the service could not be closed in order")
                await send({"type": "lifespan.shutdown.complete"})
                return


def _frame(services: Services) -> list[BaseRoute]:
    async def metrics(_: Request) -> Response:
        return Response(services.metrics.text(), media_type=CONTENT_TYPE)

    return [
        *health.routes(services.ready),
        Route("/metrics", metrics, methods=["GET"]),
        *openapi.routes(services.operations),
    ]


class _Rest:
    """Everything but evaluate: who asks and how often, bounds on the body, headers, and no internals leaked."""

    def __init__(self, services: Services, limits: Limits, streams: Stream, routes: ASGIApp) -> None:
        self._services = services
        self._limits = limits
        self._stream = streams
        self._routes = routes
        self._metrics: Metrics = services.metrics
        self._limit = max(services.settings.max_body, *(one.body_limit for one in services.operations), 0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer(send, self._metrics)
        try:
            await self._serve(scope, receive, answer)
        except ProblemError as problem:
            await answer.refuse(problem)
        except Exception:
            log.exception("a request could not be answered")
            await answer.refuse(internal())

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        check_length(headers, self._limit)
        if scope["path"].startswith("/v1/"):
            services = self._services
            key = authenticate(services.authority, headers.get(b"authorization"), services.clock.now())
            wait = self._limits.take(key.id, key.per_minute)
            if wait:
                raise rate_limited(wait)
            scope[STATE] = key
            if scope["path"] == stream.PATH:
                if scope["method"] != "GET":
                    raise method_not_allowed("GET")
                permit(key, Right.READ)
                await self._stream.answer(key, scope, receive, answer)
                return
        await self._routes(scope, _Bounded(receive, self._limit, self._services.settings.body_seconds), answer)


class _Answer:
    """The sending half of a response: adds what every answer carries, and counts it."""

    def __init__(self, send: Send, metrics: Metrics) -> None:
        self._send = send
        self._metrics = metrics
        self._started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._started = True
            self._metrics.responded(message["status"])
            message = {**message, "headers": secure(message.get("headers", ()))}
        await self._send(message)

    async def refuse(self, problem: ProblemError) -> None:
        """Answer with the problem, unless an answer has begun."""
        if self._started:
            return
        await send_problem(self, problem)


class _Bounded:
    """The receiving half of a request: so many bytes, so many seconds until the body is complete."""

    def __init__(self, receive: Receive, limit: int, seconds: float) -> None:
        self._receive = receive
        self._limit = limit
        self._seconds = seconds
        self._size = 0
        self._until: float | None = None

    async def __call__(self) -> Message:
        if self._size < 0:  # the body is complete: what comes is the end of the connection
            return await self._receive()
        loop = asyncio.get_running_loop()
        self._until = self._until or loop.time() + self._seconds
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            raise too_slow(self._seconds) from None
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            raise too_large(self._limit)
        if not message.get("more_body"):
            self._size = -1
        return message


class Server(uvicorn.Server):
    """uvicorn, that ends streams before it waits for what is begun."""

    def __init__(self, app: App, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say where."""
        await super().startup([one.dup() for one in sockets for _ in range(ACCEPTS)] if sockets else None)
        if self.started and sockets:  # without sockets of ours, uvicorn says it
            scheme = "https" if self.config.is_ssl else "http"
            log.info("onpurpose listens on %s", ", ".join(f"{scheme}://{place(one)}" for one in sockets))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing new, finish what is begun, then close."""
        self._app.end_streams()
        await super().shutdown(sockets)


def make_server(  # noqa: PLR0913  its settings
    app: App,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    grace_seconds: int = GRACE_SECONDS,
) -> Server:
    """The server, not running yet. With `certificate` and `key` (PEM files) it speaks TLS."""
    options: dict[str, Any] = {"ssl_certfile": certificate, "ssl_keyfile": key} if certificate else {}
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop" if _has_uvloop() else "asyncio",
        http=Connection,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=grace_seconds,
        **options,
    )
    return Server(app, config)


def run(app: App, sockets: list[socket.socket] | None = None, **settings: Any) -> None:
    """Serve until SIGTERM or SIGINT; then finish what is begun and close. `settings` as in `make_server`.

    `sockets` are bound already; without them, host and port of the settings are listened on.
    """
    server = make_server(app, **settings)
    gc.collect()
    gc.freeze()  # going through all that was loaded would hold up every call for tens of milliseconds
    sys.setswitchinterval(SWITCH_SECONDS)
    server.run(sockets or bind(server.config.host, server.config.port))


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401, PLC0415  not on every system
    except ImportError:
        return False
    return True
