"""Where Slack reaches us: signed requests to an endpoint, or a socket that we open where nothing comes in.

What a press means is asked of `Interactive`; here it is proved that Slack sent it, once and just now.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onpurpose.core.delivery import RetryError, retry_after
from onpurpose.core.errors import OnPurposeError
from onpurpose.ports import Clock
from onpurpose.server.body import Gone, read_body
from onpurpose.server.problems import ProblemError, unavailable

if TYPE_CHECKING:
    from slack_sdk.socket_mode.builtin import SocketModeClient
    from slack_sdk.socket_mode.client import BaseSocketModeClient
    from slack_sdk.socket_mode.request import SocketModeRequest

log = logging.getLogger("onpurpose")

PATH = "/slack/interactions"

BODY_BYTES = 512 * 1024
"""The most that a request may have: it repeats the message, which has some 13,000 characters, in two encodings."""

BODY_SECONDS = 5.0
SKEW_SECONDS = 300
REMEMBERED_SECONDS = 600
"""How long a signature is known again: longer than any timestamp near it is good for."""

MOST_REMEMBERED = 100_000

PING_SECONDS = 5.0
BUFFER_BYTES = 64 * 1024
"""Read at a time from the socket; the SDK goes one call deeper for each part of a message."""

PROBE_SECONDS = 1.0
"""How often it is looked whether the socket is still there, where nothing has told so."""

_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_SECOND = 1_000_000


class Interactive(Protocol):
    """What takes a press. Answers at once; the work is done elsewhere."""

    def take(self, payload: object) -> dict[str, object] | None:
        """The answer that Slack is to have. Raises `ValueError` for what cannot be read, `OnPurposeError` if busy."""
        ...


Refusal = Callable[[str], None]
"""Told of every request that was turned away: why, in words of ours."""


class _Seconds:
    """A clock as the verifier reads it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return self._clock.now() / _SECOND


class Proof:
    """Whether Slack signed a request, within five minutes, and it was not seen before. Thread-safe."""

    def __init__(self, signing_secret: str, clock: Clock) -> None:
        from slack_sdk.signature import SignatureVerifier  # noqa: PLC0415  an extra

        self._seconds = _Seconds(clock)
        # its clock is a class of the SDK's, of which `now` is all
        self._verifier = SignatureVerifier(signing_secret, self._seconds)  # type: ignore[arg-type]
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()

    def fault(self, body: bytes, timestamp: str, signature: str) -> str:
        """Why the request is not believed; empty where it is. It is not believed a second time."""
        if not _SIGNATURE.fullmatch(signature) or not _TIMESTAMP.fullmatch(timestamp):
            return "not signed"
        if abs(self._seconds.now() - int(timestamp)) > SKEW_SECONDS:
            return "signed too long ago, or by a clock that is wrong"
        try:
            good = self._verifier.is_valid(body, timestamp, signature)
        except UnicodeDecodeError:
            good = False
        if not good:
            return "signed by somebody else"
        return self._first_time(signature)

    def _first_time(self, signature: str) -> str:
        now = self._seconds.now()
        with self._lock:
            for old in list(self._seen)[:2]:  # they stand in the order of their times
                if self._seen[old] <= now - REMEMBERED_SECONDS:
                    del self._seen[old]
            if signature in self._seen:
                return "sent before"
            if len(self._seen) >= MOST_REMEMBERED:
                return "one of too many: which were sent before cannot be told"
            self._seen[signature] = now
            return ""


def slack_route(signing_secret: str, interactions: Interactive, *, clock: Clock, refused: Refusal) -> Route:
    """`POST /slack/interactions`. Nothing of a body is looked into before its signature is proved."""
    proof = Proof(signing_secret, clock)

    async def endpoint(request: Request) -> Response:
        try:
            body = await read_body(request.receive, dict(request.scope["headers"]), BODY_BYTES, BODY_SECONDS)
        except Gone:
            return Response(status_code=400)
        fault = proof.fault(body, _only(request, "x-slack-request-timestamp"), _only(request, "x-slack-signature"))
        if fault:
            refused(fault)
            raise ProblemError(401, "not_from_slack", f"the request is not believed: {fault}")
        return _answer(interactions, body, refused)

    return Route(PATH, endpoint, methods=["POST"])


def _only(request: Request, name: str) -> str:
    """The value of a header that stands there once; of two, neither is believed."""
    values = request.headers.getlist(name)
    return values[0] if len(values) == 1 else ""


def _answer(interactions: Interactive, body: bytes, refused: Refusal) -> Response:
    try:
        answer = interactions.take(_payload(body))
    except ValueError:
        refused("signed, and of a form that is not known")
        raise ProblemError(400, "not_an_interaction", "the request holds no interaction that can be read") from None
    except OnPurposeError as error:
        raise unavailable(str(error)) from None
    return Response(orjson.dumps(answer) if answer else b"", media_type="application/json" if answer else None)


def _payload(body: bytes) -> object:
    """The one field `payload` of a form, as JSON. Raises `ValueError`."""
    fields = parse_qs(body.decode("ascii"), strict_parsing=True, max_num_fields=4, errors="strict")
    values = fields.get("payload", [])
    if len(values) != 1:
        raise ValueError("not one payload")
    return orjson.loads(values[0])


class SlackSocket:
    """Socket Mode: interactions over a WebSocket that we open and, whenever it is lost, open again.

    `open_url` asks Slack where to connect (`SlackApi.socket_url`); `chance` gives numbers from 0 to 1.
    """

    def __init__(
        self,
        open_url: Callable[[], str],
        interactions: Interactive,
        *,
        refused: Refusal,
        chance: Callable[[], float],
        ping_seconds: float = PING_SECONDS,
    ) -> None:
        self._open_url = open_url
        self._interactions = interactions
        self._refused = refused
        self._chance = chance
        self._ping_seconds = ping_seconds
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._renew = threading.Event()
        self._error = ""
        self._client: SocketModeClient | None = None
        self._thread = threading.Thread(target=self._keep, name="onpurpose-slack-socket", daemon=True)

    def start(self) -> None:
        """Connect, in a thread of its own: a Slack that is down holds nobody up."""
        self._thread.start()

    def is_connected(self) -> bool:
        """Whether interactions arrive now."""
        return self._client is not None and self._client.is_connected()

    def error(self) -> str:
        """Why the last try to connect failed; empty since one did not."""
        return self._error

    def close(self) -> None:
        """Hang up. What arrived is answered; may be called twice."""
        self._stop.set()
        self._lost.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        """In its thread: connect, and look after the connection."""
        client = self._client = _client(self._ping_seconds)
        client.on_message_listeners.append(self._overhear)
        client.socket_mode_request_listeners.append(self._hear)
        client.on_error_listeners.append(lambda _: self._lost.set())
        client.on_close_listeners.append(lambda *_: self._lost.set())
        failures = 0
        while not self._stop.is_set():
            if client.is_connected() and not self._renew.is_set():
                failures = 0
                self._lost.wait(PROBE_SECONDS)
                if not self._stop.is_set():
                    self._lost.clear()
                continue
            self._renew.clear()
            pause = self._connect(client, failures)
            if pause:
                failures += 1
                self._stop.wait(pause)
        _hang_up(client)

    def _overhear(self, message: str) -> None:
        """Whether Slack is about to close the connection that this came by, and wants us by another."""
        if message.startswith("{") and orjson.loads(message).get("type") == "disconnect":
            self._renew.set()
            self._lost.set()

    def _connect(self, client: SocketModeClient, failures: int) -> float:
        """Connect once; how many seconds to wait before another try, none where it worked."""
        asked = None
        try:
            client.wss_uri = self._open_url()
            client.connect()
            self._error = "" if client.is_connected() else "slack took no connection"
        except RetryError as error:
            self._error, asked = str(error), error.after
        except OnPurposeError as error:
            self._error = str(error)
        except Exception as error:  # the address is secret, and may stand in the text
            self._error = f"slack could not be reached: {type(error).__name__}"
        if not self._error:
            return 0
        log.warning("socket mode is not connected: %s", self._error)
        return asked or retry_after(failures + 1, self._chance())

    def _hear(self, client: BaseSocketModeClient, request: SocketModeRequest) -> None:
        """One envelope: answered where it was taken, so that Slack tells whoever pressed where it was not."""
        from slack_sdk.socket_mode.response import SocketModeResponse  # noqa: PLC0415  an extra

        answer = None
        if request.type == "interactive":
            try:
                answer = self._interactions.take(request.payload)
            except ValueError:
                self._refused("of a form that is not known")
            except OnPurposeError as error:
                log.warning("a press in slack was not taken: %s", error)
                return
        client.send_socket_mode_response(SocketModeResponse(request.envelope_id, answer))


def _client(ping_seconds: float) -> SocketModeClient:
    """The SDK's client, that leaves connecting to us and logs nothing: its lines hold messages and secrets."""
    from slack_sdk.socket_mode.builtin import SocketModeClient  # noqa: PLC0415  an extra

    class Client(SocketModeClient):
        def connect_to_new_endpoint(self, force: bool = False) -> None:
            """Not from its threads: two at once would open two connections, and lose what comes by the first."""

    silent = logging.Logger("slack", level=logging.CRITICAL + 1)
    return Client(
        "",
        logger=silent,
        auto_reconnect_enabled=False,
        ping_interval=ping_seconds,
        receive_buffer_size=BUFFER_BYTES,
    )


def _hang_up(client: SocketModeClient) -> None:
    """Close it without waiting for its reading threads' patience: something to read ends it."""
    client.closed = True
    client.current_session_state.terminated = True
    client.enqueue_message("{}")
    try:
        if client.current_session is not None:
            client.current_session.ping("bye")
    except OSError:
        log.debug("the socket was gone before it was closed")
    client.close()
