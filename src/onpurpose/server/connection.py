"""One connection: what the HTTP server bounds too little, and the short road of an evaluate.

The server makes a scope, a task and two messages of every request. An evaluate whose whole body came
with its headers needs none of them: it is judged at the loop's next turn, in a row with all that came at
this one, and answered when its record is durable.
"""

from __future__ import annotations

from asyncio import TimerHandle
from http import HTTPStatus
from typing import Any, Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from onpurpose.server.problems import MEDIA_TYPE, ProblemError

HEADER_SECONDS = 10.0
"""How long the first line and the headers of a request may take to arrive; as long may a new connection be idle."""

MAX_HEADERS = 1 << 16
"""How long they may be together, in bytes."""

_REASONS = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}
_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}

_LONG_ROAD = frozenset({b"idempotency-key", b"origin", b"transfer-encoding", b"upgrade", b"expect"})
"""Headers that ask for more than an answer."""

Lines = list[tuple[bytes, bytes]]


class Direct(Protocol):
    """What answers the requests of one path without a task for each."""

    path: bytes
    most: int
    """How long a body may be, in bytes; a longer one goes the long road."""

    def begin(self, authorization: bytes | None, body: bytes, reply: Reply) -> None:
        """Have it judged, and `reply.send` called once, on this loop. Never raises."""
        ...


class Reply(Protocol):
    """Where the answer to a request goes."""

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """Send it. `headers` are lines that end with CR LF each, without the length."""
        ...


class _Stamp:
    """The headers that the server gives every answer, as bytes: made anew when they are, once a second."""

    __slots__ = ("_lines", "_of")

    def __init__(self) -> None:
        self._of: Lines | None = None
        self._lines = b""

    def __call__(self, headers: Lines) -> bytes:
        if headers is not self._of:
            self._lines = b"".join([b"%b: %b\r\n" % line for line in headers])
            self._of = headers
        return self._lines


_stamp = _Stamp()


class _Never:
    """Nobody waits for the messages of a request on the short road."""

    def set(self) -> None:
        """Nothing."""


class _Exchange:
    """A request on the short road; to the rest of the connection it looks like one on the long road."""

    __slots__ = ("connection", "disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.disconnected = False
        self.keep_alive = True
        self.response_complete = False
        self.message_event = _NEVER

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """Send the answer, unless nobody is there any more."""
        if not self.response_complete:
            self.response_complete = True
            if not self.disconnected:
                self.connection.answer(status, headers, body, keep_alive=self.keep_alive)


_NEVER = _Never()


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with a clock and a scale for headers, and problem documents for what is no HTTP."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waits = True  # for the end of a request's headers
        self._received = 0
        self._alarm: TimerHandle | None = None
        self._direct: Direct | None = getattr(self.app, "direct", None)
        self._short = False  # on the short road, its body is awaited
        self._body = b""
        self._authorization: bytes | None = None
        self._rest_since: float | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin; the first headers are awaited from now on."""
        super().connection_made(transport)
        self._alarm = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._quiet()
        super().connection_lost(exc)
        super()._unset_keepalive_if_required()

    def on_message_begin(self) -> None:
        """A request begins. Its scope is made when it is known to need one."""
        self._waits = True
        self._received = 0
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Its headers are here."""
        self._waits = False
        if self._direct is not None and self._is_short(self._direct):
            self._short = True
            self._body = b""
        else:
            self._take_long_road()

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        if self._short:
            self._body = self._body + body if self._body else body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """It is complete."""
        if self._short and self._direct is not None:
            self._short = False
            exchange = _Exchange(self)
            self.cycle = cast(RequestResponseCycle, exchange)
            self._direct.begin(self._authorization, self._body, exchange)
        else:
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        """Read on; refuse headers that are too long, and set the clock for those that are not complete."""
        super().data_received(data)
        if self._short:
            self._short = False
            if not self.transport.is_closing():
                self._take_long_road()
                if self._body:
                    super().on_body(self._body)
        if not self._waits:
            if self._alarm is not None:
                self._quiet()
            return
        self._received += len(data)
        if self._received > MAX_HEADERS:
            self._refuse(ProblemError(431, "headers_too_large", f"headers are {MAX_HEADERS} bytes at most"))
        elif self._alarm is None:
            self._alarm = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(ProblemError(400, "not_http", "what was sent is not HTTP/1.1"))

    def answer(self, status: int, headers: bytes, body: bytes, *, keep_alive: bool) -> None:
        """Send the answer to a request on the short road; go on with the next one, or close."""
        if self.transport.is_closing():
            return
        more = _stamp(self.server_state.default_headers)
        if not keep_alive:
            more += b"connection: close\r\n"
        length = b"content-length: %d\r\n\r\n" % len(body)
        self.transport.write(b"".join((_LINES[status], more, headers, length, body)))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _is_short(self, direct: Direct) -> bool:
        """Whether this request can be answered without a task of its own."""
        parser = self.parser
        if self.url != direct.path or parser.get_method() != b"POST" or parser.get_http_version() != "1.1":
            return False
        if not parser.should_keep_alive() or self.limit_concurrency is not None or self.flow.write_paused:
            return False
        if self.pipeline or not getattr(self.cycle, "response_complete", True):  # before the first there is no cycle
            return False
        given = dict(self.headers)
        length = given.get(b"content-length", b"")
        if not length.isdigit() or len(length) > 18 or int(length) > direct.most or not _LONG_ROAD.isdisjoint(given):
            return False
        self._authorization = given.get(b"authorization")
        return True

    def _take_long_road(self) -> None:
        """Have the server make a scope and a task of the request whose headers have been read."""
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers = self.scope["headers"] = headers
        super().on_headers_complete()

    # An idle connection is closed after a while. One alarm looks on now and then, rather than one for each request.

    def _unset_keepalive_if_required(self) -> None:
        self._rest_since = None

    def on_response_complete(self) -> None:
        """Go on with the next request, or rest."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            return
        self._rest_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_after(self.timeout_keep_alive)

    def _look_after(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for long enough, else look again when it may have been."""
        self.timeout_keep_alive_task = None
        if self.transport.is_closing() or self._rest_since is None:
            return
        rested = self.loop.time() - self._rest_since
        if rested >= self.timeout_keep_alive:
            self.transport.close()
        else:
            self._look_after(self.timeout_keep_alive - rested)

    def _refuse(self, problem: ProblemError) -> None:
        if self.transport.is_closing():
            return
        body = problem.body()
        head = b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (problem.status, _REASONS[problem.status], MEDIA_TYPE.encode(), len(body)) + body)
        self.transport.close()

    def _quiet(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
