"""The feed of decisions: newest first, live, and narrowed by filters that are links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onpurpose.core.access import Scope
from onpurpose.core.feed import LONGEST, Search
from onpurpose.core.outcome import BY_NAME
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.live import Live, Place
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.shell import Parts

PATH = "/decisions"

ROWS = 50
"""How many decisions a page has."""

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


def routes(parts: Parts) -> list[BaseRoute]:
    """The feed, and the stream of what comes."""
    live = Live(parts)

    @page(parts, Scope.READ)
    def show(request: Request, principal: Principal) -> Response:
        return _show(parts, request, principal)

    @page(parts, Scope.READ)
    async def stream(request: Request, principal: Principal) -> Response:
        search = Filters.of(request.query_params).search(principal.workspace, parts.clock.now())
        return live.answer(request, principal, search)

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
