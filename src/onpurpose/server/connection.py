"""One connection: what the HTTP server bounds too little, the time and the size of a request's headers."""

from __future__ import annotations

from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from onpurpose.server.problems import MEDIA_TYPE, ProblemError

HEADER_SECONDS = 10.0
"""How long the first line and the headers of a request may take to arrive; as long may a new connection be idle."""

MAX_HEADERS = 1 << 16
"""How long they may be together, in bytes."""

_REASONS = {400: b"Bad Request", 431: b"Request Header Fields Too Large"}


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with a clock and a scale for headers, and problem documents for what is no HTTP."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waits = True  # for the end of a request's headers
        self._received = 0
        self._alarm: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin; the first headers are awaited from now on."""
        super().connection_made(transport)
        self._alarm = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._quiet()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """A request begins."""
        self._waits = True
        self._received = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its headers are here."""
        self._waits = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Read on; refuse headers that are too long, and set the clock for those that are not complete."""
        super().data_received(data)
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
