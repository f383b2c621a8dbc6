"""The first page: what was decided lately, what waits, what is in shadow, what nobody looked at, and how it all is."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.documents import JUDGED
from onpurpose.app.hours import Course, course
from onpurpose.app.keys import OPERATOR
from onpurpose.app.shadow import ShadowReport
from onpurpose.app.ungated import Ungated, ungated
from onpurpose.core.access import Scope
from onpurpose.core.approval import Approval, State, Wanted
from onpurpose.core.delivery import Delivery
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.feed import Bucket, Called, Search
from onpurpose.core.outcome import Outcome
from onpurpose.core.revision import Contents, Kind
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.shell import Parts

log = logging.getLogger("onpurpose")

MOST_SHADOW = 20
"""How many policies in shadow are shown."""

MOST_CALLED = 1000
"""How many of the tools that were ever called are held against the policies, the first by name."""

MOST_PENDING = 100
MOST_LOST = 10

T = TypeVar("T")

_WIDTHS = {"24h": Bucket.HOUR, "30d": Bucket.DAY}
_TONES = {Outcome.ALLOW: "allow", Outcome.WARN: "warn", Outcome.REQUIRE_APPROVAL: "ask", Outcome.DENY: "deny"}
_MEASURES = {
    "onpurpose_records_pending": ("records that wait to be written", "record"),
    "onpurpose_policies_stale_seconds": ("policies not confirmed for", "s"),
    "onpurpose_streams": ("event streams of programs", "stream"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadowed:
    """A policy in shadow and its numbers; without them where they could not be read."""

    kind: Kind
    name: str
    revision: int
    live: int | None
    report: ShadowReport | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits for people. `more` says that there are more than were counted."""

    count: int
    more: bool
    oldest: Approval | None
    soonest: Approval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How this process is: what is not ready, measures with their units, and each channel of messages."""

    wrong: Sequence[str]
    measures: Sequence[tuple[str, float, str]]
    channels: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What has been done of what is to be done first."""

    has_key: bool
    has_policy: bool
    has_call: bool

    @property
    def is_over(self) -> bool:
        """Whether all of it has been done."""
        return self.has_policy and self.has_call


def routes(parts: Parts) -> list[BaseRoute]:
    """The overview."""

    @page(parts, Scope.READ)
    def show(request: Request, principal: Principal) -> Response:
        return _show(parts, request, principal)

    return [Route("/", show, methods=["GET"])]


def _show(parts: Parts, request: Request, principal: Principal) -> Response:
    workspace, now = principal.workspace, parts.clock.now()
    over = request.query_params.get("over", "")
    over = over if over in _WIDTHS else "24h"
    contents = parts.control.shelf.contents(workspace)
    drawn = course(parts.outcomes, workspace, _WIDTHS[over], now)
    called = parts.outcomes.called(workspace, MOST_CALLED + 1)
    begun = bool(drawn.count) or bool(parts.past.decisions.page(Search(workspace=workspace), limit=1).entries)
    return parts.shell.render(
        request, "overview.html", principal,
        over=over, course=drawn, series=_series(drawn), denied=drawn.sums[Outcome.DENY], begun=begun,
        beginning=_beginning(parts, contents, has_call=begun),
        shadowed=_shadowed(parts, contents),
        waiting=_waiting(parts, workspace),
        ungated=_ungated(parts, contents, called, since=drawn.times[0] * 1_000_000),
        called=len(called), most_called=MOST_CALLED,
        lost=_lost(parts, workspace),
        health=_health(parts), processes=_or_none(parts.processes), process=parts.process,
        may_see_where=workspace == OPERATOR,
    )  # fmt: skip


def _series(drawn: Course) -> list[dict[str, object]]:
    names = {Outcome.REQUIRE_APPROVAL: "ask"}
    return [
        {"label": names.get(outcome, str(outcome)), "values": values, "tone": _TONES[outcome]}
        for outcome, values in drawn.values.items()
    ]


def _beginning(parts: Parts, contents: Contents, *, has_call: bool) -> Beginning:
    kinds = (Kind.POLICY, Kind.PURPOSE_POLICY)
    policies = [one for one in contents.standings if one.kind in kinds and (one.live or one.shadow)]
    keys = parts.control.keyring.keys(contents.workspace)
    has_key = any(Scope.EVALUATE in key.scopes and key.revoked_at is None for key in keys)
    return Beginning(has_key=has_key or has_call, has_policy=bool(policies), has_call=has_call)


def _shadowed(parts: Parts, contents: Contents) -> list[Shadowed]:
    """The policies in shadow, those that are ready first."""
    found, reports = [], parts.control.promotions.report
    for one in [one for one in contents.standings if one.kind in JUDGED and one.shadow is not None][:MOST_SHADOW]:
        report = _or_none(partial(reports, contents.workspace, one.kind, one.name, revision=one.shadow))
        found.append(Shadowed(kind=one.kind, name=one.name, revision=one.shadow or 0, live=one.live, report=report))
    return sorted(found, key=lambda one: (one.report is None or not one.report.readiness.ready, one.name))


def _waiting(parts: Parts, workspace: str) -> Waiting | None:
    states = frozenset({State.PENDING})
    found = _or_none(lambda: parts.desk.find(Wanted(workspace=workspace, states=states, limit=MOST_PENDING + 1)))
    if found is None:
        return None
    found = [one for one in found if one.state is State.PENDING]
    return Waiting(
        count=min(len(found), MOST_PENDING),
        more=len(found) > MOST_PENDING,
        oldest=min(found, key=lambda one: one.opened_at, default=None),
        soonest=min(found, key=lambda one: one.until, default=None),
    )


def _ungated(parts: Parts, contents: Contents, called: Sequence[Called], *, since: int) -> Ungated:
    """What was called since a time and is not named, and what is named and was never called."""
    ever = {one.capability for one in called}
    lately = {one.capability for one in called if one.last_at >= since}

    def was_called(capability: str) -> bool:
        if len(called) <= MOST_CALLED:
            return False  # every one that was called is known
        search = Search(workspace=contents.workspace, capability=capability)
        return bool(parts.past.decisions.page(search, limit=1).entries)

    return ungated(contents, lately, ever, was_called)


def _lost(parts: Parts, workspace: str) -> Sequence[Delivery] | None:
    return _or_none(lambda: parts.lost(workspace, MOST_LOST))


def _health(parts: Parts) -> Health:
    try:
        wrong = parts.ready()
    except Exception:  # as the probe says it: whatever it is, the page is to be seen then
        log.exception("the service could not tell whether it is ready")
        wrong = ["the service could not tell whether it is ready; its log says why"]
    samples = [sample for family in parts.metrics.collect() for sample in family.samples]
    measures = [(*_MEASURES[one.name], float(one.value)) for one in samples if one.name in _MEASURES]
    return Health(
        wrong=wrong, measures=[(label, value, unit) for label, unit, value in measures], channels=parts.courier()
    )


def _or_none(read: Callable[[], T]) -> T | None:
    """What is read, or nothing where it cannot be: the rest of the page is worth having without it."""
    try:
        return read()
    except OnPurposeError as error:
        log.warning("a part of the overview could not be read: %s", error)
        return None
