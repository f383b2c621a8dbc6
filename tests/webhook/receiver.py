"""A receiver of webhooks on loopback that answers as it is told, and keeps what it was sent."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.mail.server import serving

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver:
    """`answers` are given one after another, then `OK`; `None` is silence."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[bytes | None] = []
        self.hangs_up = True
        self.drips = False
        self.connections = 0
        self.arrived = threading.Semaphore(0)
        self.port = 0


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._data = b""
        self._drip: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._receiver.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        if self._drip is not None:
            self._drip.cancel()
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, end, body = self._data.partition(b"\r\n\r\n")
        if not end:
            return
        first, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        if len(body) < int(headers["Content-Length"]):
            return
        self._data = b""
        self._receiver.got.append((first, headers, body))
        self._receiver.arrived.release()
        answer = self._receiver.answers.pop(0) if self._receiver.answers else OK
        if self._receiver.drips:
            self._send_slowly(b"HTTP/1.1 204 " + b"x" * 10_000)
        elif answer is not None:
            self._transport.write(answer)
            if self._receiver.hangs_up:
                self._transport.close()

    def _send_slowly(self, left: bytes) -> None:
        self._transport.write(left[:1])
        self._drip = asyncio.get_running_loop().call_later(0.02, self._send_slowly, left[1:])


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    with serving(lambda: _Connection(receiver), tls) as port:
        receiver.port = port
        yield receiver
