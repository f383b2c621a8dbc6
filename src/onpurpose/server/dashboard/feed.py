"""The feed of decisions: newest first, live, and narrowed by filters that are links."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from onpurpose.core.access import Scope
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.feed import LONGEST, Entry, Search
from onpurpose.core.outcome import BY_NAME
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.shell import HEADERS, Parts
from onpurpose.server.problems import unavailable

PATH = "/decisions"

ROWS = 50
"""How many decisions a page has."""

AT_ONCE = 100
"""How many new decisions are sent at once; of more, the newest."""

MOST_ROWS = 200
"""How many of the rows that a stream sent stay on the page."""

MOST_STREAMS = 200
"""How many feeds a process keeps live at once."""

POLL_SECONDS = 1.0
BEAT_SECONDS = 15.0

WITHIN: Final[Mapping[str, tuple[str, int]]] = {
    "1h": ("last hour", 3600),
    "24h": ("last 24 hours", 86_400),
    "7d": ("last 7 days", 7 * 86_400),
    "30d": ("last 30 days", 30 * 86_400),
}
"""Stretches of time up to now, in seconds."""

OUTCOMES: Final[Mapping[str, str]] = {"allow": "allow", "warn": "warn", "ask": "require_approval", "deny": "deny"}
"""Outcomes as filters call them."""

_LABELS: Final[Mapping[str, str]] = {
    "agent": "agent",
    "user": "user",
    "capability": "capability",
    "purpose": "purpose",
    "outcome": "outcome",
    "shadow": "would have been",
    "policy": "policy",
    "blocked": "newly blocked",
    "within": "time",
    "since": "from",
    "until": "up to",
}
_SECOND = 1_000_000
_FORM = "%Y-%m-%dT%H:%M"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """What the feed is narrowed by, as the query of its address says it; empty is any."""

    agent: str = ""
    user: str = ""
    capability: str = ""
    purpose: str = ""
    outcome: str = ""
    shadow: str = ""
    policy: str = ""
    blocked: str = ""
    within: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filters:
        """Those of a query; a value that means nothing is left out."""
        given = {name: query.get(name, "").strip()[:LONGEST] for name in (one.name for one in fields(cls))}
        known: dict[str, Mapping[str, object]] = {
            "outcome": OUTCOMES, "shadow": OUTCOMES, "within": WITHIN, "blocked": {"yes": 1}
        }  # fmt: skip
        for name, words in known.items():
            given[name] = given[name] if given[name] in words else ""
        for name in ("since", "until"):
            given[name] = given[name] if _micros(given[name]) is not None else ""
        return cls(**given)

    def given(self) -> dict[str, str]:
        """Those that narrow."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name))}

    def link(self, **changes: str) -> str:
        """The address of the feed with these filters changed, from its newest decision."""
        return _address(PATH, replace(self, **changes).given())

    def chips(self) -> list[tuple[str, str, str]]:
        """What narrows, in words, and where it does no more."""
        values = {**self.given()}
        if self.within:
            values["within"] = WITHIN[self.within][0]
        return [(_LABELS[name], value, self.link(**{name: ""})) for name, value in values.items()]

    def search(self, workspace: str, now: int) -> Search:
        """What is asked of the feed."""
        since = now - WITHIN[self.within][1] * _SECOND if self.within else _micros(self.since)
        return Search(
            workspace=workspace,
            since=since,
            until=_micros(self.until),
            agent_id=self.agent or None,
            user_id=self.user or None,
            capability=self.capability or None,
            purpose_id=self.purpose or None,
            outcome=BY_NAME[OUTCOMES[self.outcome]] if self.outcome else None,
            shadow_outcome=BY_NAME[OUTCOMES[self.shadow]] if self.shadow else None,
            policy=self.policy or None,
            newly_blocked=True if self.blocked else None,
        )


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


def routes(parts: Parts) -> list[BaseRoute]:
    """The feed, and the stream of what comes."""
    live = Live(parts)

    @page(parts, Scope.READ)
    def show(request: Request, principal: Principal) -> Response:
        return _show(parts, request, principal)

    @page(parts, Scope.READ)
    async def stream(request: Request, principal: Principal) -> Response:
        return live.answer(request, principal)

    return [Route(f"{PATH}/live", stream, methods=["GET"]), Route(PATH, show, methods=["GET"])]


def _show(parts: Parts, request: Request, principal: Principal) -> Response:
    filters = Filters.of(request.query_params)
    before = _cursor(request.query_params.get("before", ""))
    decisions, now = parts.past.decisions, parts.clock.now()
    epoch, newest = parts.feed.newest()  # before the page is read: what comes between is sent again, and not lost
    found = decisions.page(filters.search(principal.workspace, now), before=before, limit=ROWS)
    given = filters.given()
    start = Place(epoch, max([newest, *(entry.n for entry in found.entries[:1])]))
    follows = before is None and not filters.until
    return parts.shell.render(
        request, "feed.html", principal,
        filters=filters, given=given, within=WITHIN, outcomes=list(OUTCOMES),
        rows=found.entries,
        live=_address(f"{PATH}/live", {**given, "after": str(start)}) if follows else "",
        older="" if found.before is None else _address(PATH, {**given, "before": str(found.before)}),
        newest=filters.link() if before is not None else "",
        searched_on=found.before is not None and len(found.entries) < ROWS,
    )  # fmt: skip


class Live:
    """The streams of new rows. Each looks at the feed by itself, once a second, and only where that has grown."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._open = 0

    def answer(self, request: Request, principal: Principal) -> Response:
        """The stream from the event that the browser had last, or from the place in the address."""
        if self._open >= MOST_STREAMS:
            raise unavailable("as many feeds are live as this process serves", retry_after=5)
        asked = Place.read(request.headers.get("last-event-id", "") or request.query_params.get("after", ""))
        follower = _Follower(self._parts, request, principal, asked)
        headers = {**HEADERS, "X-Accel-Buffering": "no"}
        return StreamingResponse(self._run(follower), headers=headers, media_type="text/event-stream")

    async def _run(self, follower: _Follower) -> AsyncIterator[str]:
        self._open += 1
        try:
            async for event in follower.events():
                yield event
        finally:
            self._open -= 1


class _Follower:
    """One stream: what it has sent, and what comes next."""

    def __init__(self, parts: Parts, request: Request, principal: Principal, asked: Place | None) -> None:
        self._parts = parts
        self._request = request
        self._principal = principal
        self._search = Filters.of(request.query_params).search(principal.workspace, parts.clock.now())
        self._at = asked
        self._sent: deque[int] = deque()

    async def events(self) -> AsyncIterator[str]:
        """Events, until the session counts no more or the service stops."""
        yield "retry: 1000\n\n"
        quiet = 0.0
        while not self._parts.stopping():
            try:
                event = await run_in_threadpool(self._news)
            except OnPurposeError:  # the stream stays open: it may be mended
                event = ""
            if event:
                quiet = 0.0
                yield event
            await asyncio.sleep(POLL_SECONDS)
            quiet += POLL_SECONDS
            if quiet >= BEAT_SECONDS:
                quiet = 0.0
                principal = await self._parts.sessions.principal(self._request)
                if principal is None or not principal.may(Scope.READ):
                    return
                yield ": still here\n\n"

    def _news(self) -> str:
        """The event that tells of all that is new; empty where nothing is."""
        epoch, newest = self._parts.feed.newest()
        if self._at is None:
            self._at = Place(epoch, newest)
        if self._at.epoch != epoch:
            self._at = Place(epoch, newest)
            return self._event(self._piece("feed_note.html", "anew"))
        if newest <= self._at.number:
            return ""
        found = self._parts.past.decisions.page(self._search, limit=AT_ONCE)
        new = [entry for entry in found.entries if entry.n > self._at.number]
        missed = len(new) == AT_ONCE and found.before is not None
        self._at = Place(epoch, max([newest, *(entry.n for entry in new)]))
        return self._event(self._rows(new, missed=missed)) if new else ""

    def _rows(self, new: list[Entry], *, missed: bool) -> str:
        rows = [self._piece("feed_row.html", "row", entry=entry) for entry in new]
        if missed:
            rows.append(self._piece("feed_note.html", "gap"))
        self._sent.extend(entry.n for entry in reversed(new))
        gone = ["none", *(f"d{self._sent.popleft()}" for _ in range(len(self._sent) - MOST_ROWS))]
        return "".join([*rows, *(f'<tr id="{one}" hx-swap-oob="delete"></tr>' for one in gone)])

    def _piece(self, template: str, block: str, **context: object) -> str:
        return self._parts.shell.piece(self._request, template, block, self._principal, **context)

    def _event(self, html: str) -> str:
        data = "\n".join(f"data: {line}" for line in html.splitlines() if line)
        return f"id: {self._at}\n{data}\n\n"


def _cursor(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _micros(text: str) -> int | None:
    """The time of a form (UTC, to the minute) in microseconds; `None` where it is none."""
    try:
        return int(datetime.strptime(text, _FORM).replace(tzinfo=UTC).timestamp()) * _SECOND
    except ValueError:
        return None


def _address(path: str, query: Mapping[str, str]) -> str:
    return f"{path}?{urlencode(query)}" if query else path
