"""Webhooks as they leave: one POST each, signed, to an address that was looked at; no redirect, no long answer.

Written on sockets, so that the address that is checked is the address that is connected to, and so that one
clock runs over all of it: a receiver that sends a byte now and then is late like one that sends none.
"""

from __future__ import annotations

import contextlib
import io
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import cast

import orjson

from onpurpose.adapters.webhook.addresses import Reach, Target, may_reach
from onpurpose.adapters.webhook.signing import MAX_BODY, signature
from onpurpose.core.approval import Act, Approval
from onpurpose.core.delivery import Delivery, RetryError, UndeliverableError, View

SECONDS = 10.0
"""How long one webhook may take, from looking up its host (which the system bounds) to the answer's headers."""

_CHUNK = 16 * 1024
_SECOND = 1_000_000


def resolved(name: str, port: int) -> list[str]:
    """The addresses of a host, as the system knows them. Raises `OSError`."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class WebhookMessenger:
    """`Messenger` to URLs. `secret` gives the secret (`whsec_...`) of a workspace. Thread-safe.

    `tls` is whom to trust: the machine's authorities, unless given. `resolve` gives the addresses of a host:
    each is looked at, and one that was looked at is connected to, without a second look-up.
    """

    def __init__(
        self,
        secret: Callable[[str], str],
        *,
        reach: Reach = Reach(),  # noqa: B008  a frozen value
        tls: ssl.SSLContext | None = None,
        seconds: float = SECONDS,
        resolve: Callable[[str, int], Sequence[str]] = resolved,
    ) -> None:
        self._secret = secret
        self._reach = reach
        self._tls = tls
        self._seconds = seconds
        self._resolve = resolve

    def send(self, delivery: Delivery, view: View) -> str:
        """Post what happened; the delivery's id. Raises `RetryError`, `UndeliverableError`."""
        target = Target.of(delivery.recipient, self._reach)
        body = told(delivery, view)
        head = self._head(target, delivery, view, body)
        until = time.monotonic() + self._seconds
        try:
            with self._connected(target, until) as line:
                status, retry = _asked(line, head + body)
        except TimeoutError as error:
            raise RetryError(f"`{target.name}` gave no answer in time") from error
        except ssl.SSLError as error:
            raise RetryError(f"no TLS with `{target.name}`: {error.reason or type(error).__name__}") from error
        except (OSError, HTTPException, ValueError) as error:
            raise RetryError(f"`{target.name}` cannot be reached: {_why(error)}") from error
        _judge(target, status, retry, view.now)
        return delivery.id

    def _head(self, target: Target, delivery: Delivery, view: View, body: bytes) -> bytes:
        sent_at = view.now // _SECOND
        lines = (
            f"POST {target.path} HTTP/1.1",
            f"Host: {target.host}",
            "User-Agent: onpurpose",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            "Accept-Encoding: identity",
            "Connection: close",
            f"Webhook-Id: {delivery.id}",
            f"Webhook-Timestamp: {sent_at}",
            f"Webhook-Signature: {signature(self._secret(delivery.workspace), delivery.id, sent_at, body)}",
        )
        return "\r\n".join([*lines, "", ""]).encode("ascii")

    @contextlib.contextmanager
    def _connected(self, target: Target, until: float) -> Iterator[_Line]:
        with contextlib.ExitStack() as closing:
            plain = closing.enter_context(self._dialled(target, until))
            if target.encrypted:
                trusted = self._tls or ssl.create_default_context()
                plain.settimeout(_left(until))
                plain = closing.enter_context(trusted.wrap_socket(plain, server_hostname=target.name))
            yield _Line(plain, until)

    def _dialled(self, target: Target, until: float) -> socket.socket:
        """Connected to the first of its addresses that answers; each is one that webhooks may go to."""
        addresses = self._resolve(target.name, target.port)
        if not addresses or not all(may_reach(one, target, self._reach) for one in addresses):
            raise UndeliverableError(
                f"`{target.name}` leads to an address that webhooks may not go to: this machine, or a private network"
            )
        for number, address in enumerate(addresses, 1):
            try:
                return _dial(address, target.port, until)
            except OSError:
                if number == len(addresses):
                    raise
        raise AssertionError  # pragma: no cover  the last address has answered or raised


class _Line:
    """A connection that is late at one time, whatever is done with it. As much of a socket as an answer needs."""

    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection = connection
        self._until = until

    def sendall(self, data: bytes) -> None:
        for start in range(0, len(data), _CHUNK):
            self._connection.settimeout(_left(self._until))
            self._connection.sendall(data[start : start + _CHUNK])

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Incoming(self._connection, self._until))


class _Incoming(io.RawIOBase):
    def __init__(self, connection: socket.socket, until: float) -> None:
        self._connection = connection
        self._until = until

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        self._connection.settimeout(_left(self._until))
        return self._connection.recv_into(cast("bytearray", buffer))


def told(delivery: Delivery, view: View) -> bytes:
    """The body: which event, when, and the approval as it stands now; never longer than receivers take."""
    about = {
        "type": f"approval.{delivery.event}",
        "timestamp": _moment(delivery.created_at),
        "data": _approval(view.approval) | {"page": view.page, "context": view.context},
    }
    body = orjson.dumps(about)
    if len(body) > MAX_BODY:
        about["data"] = _approval(view.approval) | {"page": view.page, "context": None}
        body = orjson.dumps(about)
    return body


def _approval(approval: Approval) -> dict[str, object]:
    return {
        "id": approval.id,
        "workspace": approval.workspace,
        "version": approval.version,
        "state": str(approval.state),
        "digest": approval.digest,
        "agent_id": approval.agent_id,
        "capability": approval.capability,
        "purpose_id": approval.purpose_id,
        "requesters": approval.requesters,
        "step_up": approval.step_up,
        "opened_at": _moment(approval.opened_at),
        "expires_at": _moment(approval.until),
        "decided_at": None if approval.decided_at is None else _moment(approval.decided_at),
        "acts": [_act(act) for act in approval.acts],
    }


def _act(act: Act) -> dict[str, object]:
    fields = {"move": act.move, "at": _moment(act.at), "by": act.by, "via": act.via, "text": act.text, "to": act.to}
    return {name: str(value) for name, value in fields.items() if value}


def _moment(microseconds: int) -> str:
    seconds, rest = divmod(microseconds, _SECOND)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:06}Z"


def _dial(address: str, port: int, until: float) -> socket.socket:
    connection = socket.create_connection((address, port), timeout=_left(until))
    try:
        if connection.getpeername()[0].partition("%")[0] != address.partition("%")[0]:
            raise ConnectionError("another address answered than the one that was looked at")
    except BaseException:
        connection.close()
        raise
    return connection


def _asked(line: _Line, request: bytes) -> tuple[int, str]:
    """Status and Retry-After of the answer. Its body is not read: nothing depends on it."""
    line.sendall(request)
    with contextlib.closing(HTTPResponse(cast("socket.socket", line), method="POST")) as answer:
        answer.begin()
        return answer.status, answer.getheader("retry-after") or ""


def _judge(target: Target, status: int, retry: str, now: int) -> None:
    if 200 <= status < 300:
        return
    if status == 410:
        raise UndeliverableError(f"`{target.name}` answers 410: nobody is there any more")
    if 300 <= status < 400:
        raise RetryError(f"`{target.name}` answers {status}: redirects are not followed")
    raise RetryError(f"`{target.name}` answers {status}", after=_after(retry, now))


def _after(text: str, now: int) -> float | None:
    """The seconds of a Retry-After header, or until its date; `None` where it says neither."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) <= 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now / _SECOND)
    except (ValueError, TypeError, OverflowError):
        return None


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("it took too long")
    return left


def _why(error: Exception) -> str:
    """In a few words of ours or the system's; nothing that the other side said."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
