"""The server's half of Socket Mode: WebSocket (RFC 6455) on loopback, as much of it as Slack uses."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
import json
import socket
import struct
import threading
from typing import Any

Json = dict[str, Any]

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class SocketServer:
    """Takes connections that come with a ticket, each once."""

    def __init__(self, changed: threading.Condition) -> None:
        self.connections = 0
        self.unanswered = 0
        self._changed = changed
        self._tickets: set[str] = set()
        self._count = itertools.count(1)
        self._open: list[_Connection] = []
        self._threads: list[threading.Thread] = []
        self._answers: dict[str, Json] = {}
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def invite(self) -> str:
        """An address that is good for one connection."""
        ticket = f"ticket-{next(self._count)}-secret"
        self._tickets.add(ticket)
        return f"ws://127.0.0.1:{self._listening.getsockname()[1]}/link/?ticket={ticket}"

    def is_open(self) -> bool:
        with self._changed:
            return bool(self._open)

    def ask(self, kind: str, payload: Json) -> Json | None:
        """Send an envelope over the newest connection; the payload of its acknowledgement. 10 s, as a person waits."""
        envelope = self.tell(kind, payload)
        with self._changed:
            assert self._changed.wait_for(lambda: envelope in self._answers, 10), "nobody acknowledged"
            self.unanswered -= 1
            return self._answers.pop(envelope).get("payload")

    def tell(self, kind: str, payload: Json) -> str:
        """Send an envelope and wait for nothing; its id."""
        envelope = f"envelope-{next(self._count)}"
        told = {"type": kind, "envelope_id": envelope, "payload": payload, "accepts_response_payload": True}
        with self._changed:
            self.unanswered += 1
            connection = self._open[-1]
        connection.send(TEXT, json.dumps(told).encode())
        return envelope

    def refresh(self) -> None:
        """Ask the client to come by another connection, as Slack does every few hours, and close this one."""
        with self._changed:
            connection = self._open[-1]
        connection.send(TEXT, json.dumps({"type": "disconnect", "reason": "refresh_requested"}).encode())
        connection.send(CLOSE, struct.pack("!H", 1000))

    def drop(self) -> None:
        """Close every connection without a word."""
        with self._changed:
            for connection in self._open:
                connection.shut()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._accepting.join()
        self.drop()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(_Connection(line),), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: _Connection) -> None:
        try:
            if connection.shake_hands(self._tickets):
                with self._changed:
                    self._open.append(connection)
                    self.connections += 1
                    self._changed.notify_all()
                connection.send(TEXT, json.dumps({"type": "hello", "num_connections": 1}).encode())
                self._listen(connection)
        except OSError:
            pass
        finally:
            connection.close()
            with self._changed:
                if connection in self._open:
                    self._open.remove(connection)
                self._changed.notify_all()

    def _listen(self, connection: _Connection) -> None:
        while True:
            opcode, data = connection.receive()
            if opcode == PING:
                connection.send(PONG, data)
            elif opcode == CLOSE:
                return
            elif opcode == TEXT:
                answer = json.loads(data)
                with self._changed:
                    self._answers[answer["envelope_id"]] = answer
                    self._changed.notify_all()


class _Connection:
    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self._file = line.makefile("rb")
        self._lock = threading.Lock()

    def shake_hands(self, tickets: set[str]) -> bool:
        request = self._file.readline().decode()
        headers = {}
        while row := self._file.readline().strip():
            name, _, value = row.partition(b":")
            headers[name.lower()] = value.strip()
        ticket = request.split(" ")[1].partition("ticket=")[2] if request else ""
        if ticket not in tickets:
            return False
        tickets.remove(ticket)
        accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + _GUID).digest()).decode()
        rows = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
        self.line.sendall("\r\n".join([*rows, f"Sec-WebSocket-Accept: {accept}", "", ""]).encode())
        return True

    def receive(self) -> tuple[int, bytes]:
        first, second = self._read(2)
        assert second & 0x80, "a client masks"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._read(8))
        mask = self._read(4)
        return first & 0x0F, bytes(byte ^ mask[n % 4] for n, byte in enumerate(self._read(length)))

    def send(self, opcode: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, size)
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x80 | opcode, 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
        with self._lock:
            self.line.sendall(head + data)

    def shut(self) -> None:
        with contextlib.suppress(OSError):
            self.line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._file.close()
        self.line.close()

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise ConnectionError("the client is gone")
        return data
