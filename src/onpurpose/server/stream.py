"""`GET /v1/decisions/stream`: decisions as server-sent events, as they are recorded.

All readers of a workspace share one reader of its feed. An event's id is `EPOCH.NUMBER`; a reader that comes
back with it as `Last-Event-ID` misses nothing. One that is too slow is let go, and can come back the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from starlette.types import Receive, Scope, Send

from onpurpose.core.access import ApiKey
from onpurpose.server.headers import secure
from onpurpose.server.problems import Fault, invalid, unavailable
from onpurpose.server.services import Feed, Services

log = logging.getLogger("onpurpose")

P = ParamSpec("P")
R = TypeVar("R")

PATH = "/v1/decisions/stream"

RECENT = 1000
"""How many events of a workspace are kept for readers that come back."""

MOST_WAITING = 1000
"""How many events may wait for a reader before it is let go."""

PAGE = 500
READS = 4
"""How many reads of the feed go on at once, over all workspaces."""

SEND_SECONDS = 30.0
"""How long a reader may take to accept what is sent."""

TROUBLE_SECONDS = 1.0

_RESET = b"event: reset\ndata: {}\n\n"
_LAGGED = b"event: lagged\ndata: {}\n\n"
_BEAT = b": heartbeat\n\n"


class Reader:
    """One open stream: the events that wait for it."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._rang = asyncio.Event()
        self.lagged = self.ended = False

    def push(self, events: Sequence[bytes]) -> None:
        """Have these sent next; with too many waiting, let the reader go."""
        if len(self._waiting) + len(events) > MOST_WAITING:
            self._waiting.clear()
            self.lagged = True
        else:
            self._waiting.extend(events)
        self._rang.set()

    def end(self) -> None:
        """Have the stream end."""
        self.ended = True
        self._rang.set()

    async def take(self, seconds: float) -> bytes:
        """All that waits, as soon as something does; empty after so many seconds."""
        if not self._rang.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._rang.wait()
        self._rang.clear()
        taken = b"".join(self._waiting)
        self._waiting.clear()
        return taken


class Channel:
    """The readers of one workspace, and the last events: all up to the number `sent` have been handed on."""

    def __init__(self, epoch: str, sent: int) -> None:
        self.readers: set[Reader] = set()
        self.users = 0
        """How many streams there are, those that still catch up included."""
        self._recent: deque[tuple[int, bytes]] = deque()
        self._begin(epoch, sent)

    def _begin(self, epoch: str, sent: int) -> None:
        self.epoch = epoch
        self.sent = sent
        self.since = sent
        """Every event behind this number is among the recent ones."""
        self._recent.clear()

    def restart(self, epoch: str, sent: int) -> None:
        """The feed was made anew, its numbers tell of other decisions: say so to every reader."""
        self._begin(epoch, sent)
        for reader in self.readers:
            reader.push([_RESET])

    def publish(self, page: Sequence[tuple[int, bytes]]) -> None:
        """Hand the next events to every reader."""
        events = [(number, _event(self.epoch, number, body)) for number, body in page]
        self._recent.extend(events)
        while len(self._recent) > RECENT:
            self.since = self._recent.popleft()[0]
        self.sent = max(self.sent, events[-1][0])
        texts = [text for _, text in events]
        for reader in self.readers:
            reader.push(texts)

    def join(self, reader: Reader, number: int) -> None:
        """Hand the reader the events behind a number, which is not below `since`, and all that come."""
        reader.push([text for at, text in self._recent if at > number])
        self.readers.add(reader)


class Stream:
    """Streams for requests that are authenticated. Lives on one event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._metrics = services.metrics
        self._channels: dict[str, Channel] = {}
        self._follower: asyncio.Task[None] | None = None
        self._reads = asyncio.Semaphore(READS)
        self._open: set[Reader] = set()
        self._closed = False

    def close(self) -> None:
        """End every stream; its readers come back to another process."""
        self._closed = True
        for reader in self._open:
            reader.end()

    async def answer(self, key: ApiKey, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream the key's workspace until the client hangs up, is too slow, or the key counts no more."""
        feed = self._services.feed
        if feed is None:
            raise unavailable("this service has no feed of decisions")
        if self._closed or len(self._open) >= self._settings.max_streams:
            raise unavailable("there are as many streams as this process serves", retry_after=5)
        asked = _last_event_id(scope)
        reader = Reader()
        self._open.add(reader)
        self._metrics.streams = len(self._open)
        gone = asyncio.create_task(_hang_up(receive, reader))
        try:
            channel = await self._channel(feed, key.workspace)
            try:
                await self._run(feed, key, channel, asked, reader, _Sending(send))
            finally:
                self._leave(key.workspace, channel, reader)
        except TimeoutError:  # the client takes nothing more; returning closes its connection
            self._metrics.dropped += 1
        finally:
            gone.cancel()
            self._open.discard(reader)
            self._metrics.streams = len(self._open)

    async def _run(  # noqa: PLR0913, PLR0917  what one stream is made of
        self,
        feed: Feed,
        key: ApiKey,
        channel: Channel,
        asked: tuple[str, int] | None,
        reader: Reader,
        sending: _Sending,
    ) -> None:
        await sending.begin()
        await self._catch_up(feed, key.workspace, channel, asked, reader, sending)
        clock, stands = self._services.clock, self._services.authority.stands
        while not reader.ended and stands(key, clock.now()):
            text = await reader.take(self._settings.heartbeat_seconds)
            if reader.lagged:
                self._metrics.dropped += 1
                await sending.write(_LAGGED)
                break
            if not reader.ended:
                await sending.write(text or _BEAT)
        await sending.finish()

    async def _catch_up(  # noqa: PLR0913, PLR0917  what one stream is made of
        self,
        feed: Feed,
        workspace: str,
        channel: Channel,
        asked: tuple[str, int] | None,
        reader: Reader,
        sending: _Sending,
    ) -> None:
        """Send what the feed holds behind the asked event, up to the recent ones, and join the others there."""
        epoch, number = asked or (channel.epoch, channel.sent)
        number = min(number, channel.sent)
        while epoch == channel.epoch and number < channel.since and not reader.ended:
            sent = channel.sent  # what is newer in the feed already will be published to every reader: not twice
            page = [one for one in await self._read(feed.after, workspace, number, PAGE) if one[0] <= sent]
            if epoch == channel.epoch:
                await sending.write(b"".join(_event(epoch, at, body) for at, body in page))
                number = page[-1][0] if page else sent
        if epoch != channel.epoch:
            await sending.write(_RESET)
            number = channel.sent
        channel.join(reader, number)  # nothing was awaited since `since` was asked: no event is missed or sent twice

    # -- the reader that all share

    async def _channel(self, feed: Feed, workspace: str) -> Channel:
        channel = self._channels.get(workspace)
        if channel is None:
            epoch, newest = await self._read(feed.newest)
            channel = self._channels.setdefault(workspace, Channel(epoch, newest))  # another may have been faster
        channel.users += 1
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow(feed))
        return channel

    def _leave(self, workspace: str, channel: Channel, reader: Reader) -> None:
        channel.readers.discard(reader)
        channel.users -= 1
        if not channel.users:
            self._channels.pop(workspace, None)
        if not self._channels and self._follower is not None:
            self._follower.cancel()
            self._follower = None

    async def _follow(self, feed: Feed) -> None:
        while True:
            try:
                await self._look(feed)
                await asyncio.sleep(self._settings.poll_seconds)
            except Exception:  # the streams stay open: it may be mended
                log.exception("the feed of decisions cannot be read; its streams wait")
                await asyncio.sleep(TROUBLE_SECONDS)

    async def _look(self, feed: Feed) -> None:
        """Hand on what is new, to every workspace that somebody reads."""
        epoch, newest = await self._read(feed.newest)
        for workspace, channel in list(self._channels.items()):
            if channel.epoch != epoch:
                channel.restart(epoch, newest)
            while channel.epoch == epoch and channel.sent < newest:
                page = await self._read(feed.after, workspace, channel.sent, PAGE)
                if page:
                    channel.publish(page)
                if len(page) < PAGE:
                    channel.sent = max(channel.sent, newest)

    async def _read(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        async with self._reads:
            return await asyncio.to_thread(function, *args, **kwargs)


class _Sending:
    """The sending half of one stream. Raises `TimeoutError` where the client takes nothing for too long."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def begin(self) -> None:
        """Send the headers."""
        await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self.write(b"retry: 1000\n\n")

    async def write(self, text: bytes, *, more: bool = True) -> None:
        """Send some events."""
        async with asyncio.timeout(SEND_SECONDS):
            await self._send({"type": "http.response.body", "body": text, "more_body": more})

    async def finish(self) -> None:
        """Send the end."""
        await self.write(b"", more=False)


_HEADERS = secure(
    [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")],
)


async def _hang_up(receive: Receive, reader: Reader) -> None:
    """End the reader once its client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.end()


def _event(epoch: str, number: int, body: bytes) -> bytes:
    data = b"\ndata: ".join(body.splitlines())
    return b"id: %s.%d\nevent: decision\ndata: %s\n\n" % (epoch.encode(), number, data)


def _last_event_id(scope: Scope) -> tuple[str, int] | None:
    given = dict(scope["headers"]).get(b"last-event-id", b"").decode("latin-1").strip()
    if not given:
        return None
    epoch, dot, number = given.rpartition(".")
    if not dot or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise invalid([Fault("Last-Event-ID", "must be the `id` of an event of this stream")])
    return epoch, int(number)
