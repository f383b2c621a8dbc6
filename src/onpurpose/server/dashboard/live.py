"""New rows for every feed that is open: the store is asked once for all who read a workspace, each row made once.

A reader is told of what its own search finds. One that is slow holds nobody up: of what waits for it the newest is
kept, and it is told that there was more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Send

from onpurpose.app.projection import Decisions
from onpurpose.core.access import Scope
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.feed import Entry, Search, meets
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.shell import HEADERS, Parts
from onpurpose.server.problems import unavailable

log = logging.getLogger("onpurpose")

AT_ONCE = 100
"""How many new decisions are sent at once; of more, the newest."""

MOST_ROWS = 200
"""How many of the rows that a stream sent stay on the page."""

MOST_STREAMS = 2000
"""How many feeds a process keeps live at once."""

RECENT = 500
"""How many of a workspace's decisions are held for readers that come, and are read at once."""

POLL_SECONDS = 1.0
BEAT_SECONDS = 15.0

SEND_SECONDS = 30.0
"""How long a reader may take to accept what is sent, before it is let go; it comes back by itself."""

_MINUTE = 60_000_000


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the feed: its epoch, and the number of the last decision before it."""

    epoch: str
    number: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.number}"

    @classmethod
    def read(cls, text: str) -> Place | None:
        """The place that a text names; `None` where it names none."""
        epoch, dot, number = text.strip().rpartition(".")
        if not dot or len(number) > 18 or not (number.isascii() and number.isdigit()):
            return None
        return cls(epoch, int(number))


class Row:
    """A decision, and the text of its row, the same for everybody, once it is made."""

    __slots__ = ("entry", "text")

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.text = ""


class Found(NamedTuple):
    """What a search finds of the decisions that came, oldest first; `missed` where there were more."""

    rows: Sequence[Row]
    missed: bool


class Waiting(NamedTuple):
    """What waits for a reader: rows, oldest first, whether there were more, whether the feed was made anew before them.

    `place` is where the reader is behind them.
    """

    rows: Sequence[Row]
    missed: bool
    anew: bool
    place: Place


class Reader:
    """One open stream: what it looks for, where it is, and the rows that wait for it."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.place = Place("", 0)
        self.ended = False
        self._rang = asyncio.Event()
        self._rows: deque[Row] = deque(maxlen=AT_ONCE)
        self._missed = self._anew = False
        self._shown: deque[int] = deque()

    def push(self, found: Found, upto: int) -> None:
        """Have these sent next, those of them that are behind the reader's place; it is then at the number `upto`."""
        rows = [row for row in found.rows if row.entry.n > self.place.number]
        if not rows and not found.missed:
            return
        self._missed |= found.missed or len(self._rows) + len(rows) > AT_ONCE
        self._rows.extend(rows)
        self.place = Place(self.place.epoch, max(self.place.number, upto))
        self._rang.set()

    def restart(self, place: Place) -> None:
        """The feed was made anew, its numbers tell of other decisions."""
        self._rows.clear()
        self._missed, self._anew, self.place = False, True, place
        self._rang.set()

    def end(self) -> None:
        """Have the stream end."""
        self.ended = True
        self._rang.set()

    async def wait(self, seconds: float) -> None:
        """Return as soon as something waits, or after so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rang.wait()

    def take(self) -> Waiting:
        """All that waits, which then waits no more."""
        self._rang.clear()
        waiting = Waiting(list(self._rows), self._missed, self._anew, self.place)
        self._rows.clear()
        self._missed = self._anew = False
        self._shown.extend(row.entry.n for row in waiting.rows)
        return waiting

    def gone(self) -> list[int]:
        """The numbers of the rows that are to leave the page, now that others have come."""
        return [self._shown.popleft() for _ in range(len(self._shown) - MOST_ROWS)]


class Channel:
    """The readers of one workspace, and its last decisions: all up to the number `sent` have been handed on."""

    def __init__(self, place: Place) -> None:
        self.readers: set[Reader] = set()
        self.users = 0
        """How many streams there are, those that still catch up included."""
        self._begin(place)

    def _begin(self, place: Place) -> None:
        self.epoch, self.sent = place.epoch, place.number
        self.since = place.number
        """Every decision behind this number is among the recent ones."""
        self._recent: deque[Row] = deque()

    def restart(self, place: Place) -> None:
        """The feed was made anew: say so to every reader."""
        self._begin(place)
        for reader in self.readers:
            reader.restart(place)

    def publish(self, rows: Sequence[Row] | None, found: dict[Search, Found], upto: int) -> None:
        """Hand to each reader what its search found up to a number; without `rows` there were too many to hold."""
        if rows is None:
            self._recent.clear()
            self.since = upto
        else:
            self._recent.extend(rows)
            while len(self._recent) > RECENT:
                self.since = self._recent.popleft().entry.n
        self.sent = upto
        for reader in self.readers:
            reader.push(found[reader.search], upto)

    def join(self, reader: Reader) -> None:
        """Hand the reader what is recent behind its place, which is not below `since`, and all that comes."""
        rows = [row for row in self._recent if row.entry.n > reader.place.number]
        reader.push(_newest([row for row in rows if meets(row.entry, reader.search)]), self.sent)
        self.readers.add(reader)


class Live:
    """The streams of new rows of one process. Lives on one event loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._decisions: Decisions = parts.past.decisions
        self._channels: dict[str, Channel] = {}
        self._follower: asyncio.Task[None] | None = None
        self._open = 0

    def answer(self, request: Request, principal: Principal, search: Search) -> Response:
        """The stream of what a search finds, from the event that the browser had last, or from the address's place."""
        if self._open >= MOST_STREAMS:
            raise unavailable("as many feeds are live as this process serves", retry_after=5)
        asked = Place.read(request.headers.get("last-event-id", "") or request.query_params.get("after", ""))
        if search.since is not None:  # those that look back equally far from the same minute look for the same
            search = msgspec.structs.replace(search, since=search.since - search.since % _MINUTE)
        return _Streaming(self._run(request, principal, Reader(search), asked))

    async def _run(
        self, request: Request, principal: Principal, reader: Reader, asked: Place | None
    ) -> AsyncGenerator[str, None]:
        self._open += 1
        try:
            yield "retry: 1000\n\n"
            channel = await self._channel(principal.workspace)
            try:
                await self._catch_up(channel, reader, asked)
                async for event in self._events(request, reader):
                    yield event
            finally:
                self._leave(principal.workspace, channel, reader)
        except OnPurposeError as error:  # the browser comes back
            log.warning("a live feed cannot be read: %s", error)
        finally:
            self._open -= 1

    async def _events(self, request: Request, reader: Reader) -> AsyncGenerator[str, None]:
        """Events, until the session counts no more or the service stops."""
        beat = time.monotonic() + BEAT_SECONDS
        while not reader.ended and not self._parts.stopping():
            await reader.wait(max(0.0, beat - time.monotonic()))
            waiting = reader.take()
            if not all(row.text for row in waiting.rows):
                await run_in_threadpool(self._make, waiting.rows)
            if waiting.rows or waiting.missed or waiting.anew:
                yield self._event(waiting, reader.gone())
            if time.monotonic() >= beat and not reader.ended:
                beat = time.monotonic() + BEAT_SECONDS
                principal = await self._parts.sessions.principal(request)
                if principal is None or not principal.may(Scope.READ):
                    return
                yield ": still here\n\n"

    def _event(self, waiting: Waiting, gone: Iterable[int]) -> str:
        pieces = [row.text for row in reversed(waiting.rows)]
        pieces += [
            self._parts.shell.plain("feed_note.html", note)
            for note, is_so in (("gap", waiting.missed), ("anew", waiting.anew))
            if is_so
        ]
        away = ("none", *(f"d{number}" for number in gone))
        pieces += [f'<tr id="{one}" hx-swap-oob="delete"></tr>' for one in away]
        data = "\n".join(f"data: {line}" for line in "".join(pieces).splitlines() if line)
        return f"id: {waiting.place}\n{data}\n\n"

    async def _catch_up(self, channel: Channel, reader: Reader, asked: Place | None) -> None:
        """Give the reader what the feed holds behind the place that it asks for, and let it join the others there."""
        if asked is not None and asked.epoch != channel.epoch:
            known, place = channel.epoch, await self._newest()  # the channel may not know yet what the page knew
            if channel.epoch == known != place.epoch:
                channel.restart(place)
        reader.place = Place(channel.epoch, channel.sent)
        if asked is not None and asked.epoch == channel.epoch:
            reader.place = asked
        elif asked is not None:
            reader.restart(reader.place)
        while reader.place.number < channel.since:
            epoch, upto = channel.epoch, channel.sent
            found = await run_in_threadpool(self._page, reader.search, reader.place.number, upto)
            if channel.epoch != epoch:
                reader.restart(Place(channel.epoch, channel.sent))
                break
            reader.push(found, upto)
            reader.place = Place(epoch, upto)
        channel.join(reader)  # nothing was awaited since `since` was asked: no decision is missed or sent twice

    # -- the reading that all share

    async def _channel(self, workspace: str) -> Channel:
        channel = self._channels.get(workspace)
        if channel is None:
            place = await self._newest()
            channel = self._channels.setdefault(workspace, Channel(place))  # another may have been faster
        channel.users += 1
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow())
        return channel

    def _leave(self, workspace: str, channel: Channel, reader: Reader) -> None:
        channel.readers.discard(reader)
        channel.users -= 1
        if not channel.users:
            self._channels.pop(workspace, None)
        if not self._channels and self._follower is not None:
            self._follower.cancel()
            self._follower = None

    async def _follow(self) -> None:
        while not self._parts.stopping():
            try:
                await self._look()
            except OnPurposeError as error:  # the streams stay open: it may be mended
                log.warning("the live feed cannot be read, and waits: %s", error)
            except Exception:
                log.exception("the live feed could not be read, and waits")
            await asyncio.sleep(POLL_SECONDS)
        for channel in self._channels.values():
            for reader in channel.readers:
                reader.end()

    async def _look(self) -> None:
        """Hand on what is new, to every workspace that somebody reads."""
        newest = await self._newest()
        for workspace, channel in list(self._channels.items()):
            if channel.epoch != newest.epoch:
                channel.restart(newest)
            elif channel.sent < newest.number:
                await self._look_at(workspace, channel, newest.number)

    async def _look_at(self, workspace: str, channel: Channel, upto: int) -> None:
        epoch, after = channel.epoch, channel.sent
        entries = await run_in_threadpool(self._decisions.since, workspace, after, RECENT + 1)
        rows = None if len(entries) > RECENT else [Row(entry) for entry in entries if entry.n <= upto]
        found: dict[Search, Found] = {}
        while asked := {reader.search for reader in channel.readers} - found.keys():  # some may have come meanwhile
            found |= await run_in_threadpool(self._find, asked, rows, after, upto)
        if (channel.epoch, channel.sent) == (epoch, after):
            channel.publish(rows, found, upto)

    def _find(
        self, searches: Iterable[Search], rows: Sequence[Row] | None, after: int, upto: int
    ) -> dict[Search, Found]:
        """What each search finds of what came, its rows made: in those that were read, or else in the store."""
        found: dict[Search, Found] = {}
        for search in searches:
            if rows is None or search.policy is not None:
                found[search] = self._page(search, after, upto)
            else:
                found[search] = _newest([row for row in rows if meets(row.entry, search)])
            self._make(found[search].rows)
        return found

    def _make(self, rows: Iterable[Row]) -> None:
        """Make the texts of rows that have none yet."""
        for row in rows:
            if not row.text:
                row.text = self._parts.shell.plain("feed_row.html", "row", entry=row.entry)

    def _page(self, search: Search, after: int, upto: int) -> Found:
        """The newest that a search finds above a number, and not above another."""
        page = self._decisions.page(search, before=upto + 1, limit=AT_ONCE)
        rows = [Row(entry) for entry in reversed(page.entries) if entry.n > after]
        return Found(rows, missed=len(rows) == AT_ONCE and page.before is not None)

    async def _newest(self) -> Place:
        return Place(*await run_in_threadpool(self._decisions.newest))


def _newest(rows: Sequence[Row]) -> Found:
    return Found(rows[-AT_ONCE:], missed=len(rows) > AT_ONCE)


class _Streaming(StreamingResponse):
    """A stream of events that lets go of a client which takes nothing more."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[str, None]) -> None:
        super().__init__(events, headers={**HEADERS, "X-Accel-Buffering": "no"})
        self._events = events

    async def stream_response(self, send: Send) -> None:
        """Send what comes, each piece within `SEND_SECONDS`."""

        async def within(message: Message) -> None:
            async with asyncio.timeout(SEND_SECONDS):
                await send(message)

        async with contextlib.aclosing(self._events):
            with contextlib.suppress(TimeoutError):
                await super().stream_response(within)
