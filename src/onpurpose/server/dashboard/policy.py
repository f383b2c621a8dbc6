"""A policy's page: where it stands, what was seen of it in shadow, how ready it is, and its history."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.examples import Examples, examples
from onpurpose.app.promotion import undo_until
from onpurpose.app.shadow import ShadowReport
from onpurpose.app.shelf import is_removed
from onpurpose.core.access import Scope
from onpurpose.core.feed import ALL, Cell, Judged
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import Revision, Standing
from onpurpose.core.session import Principal
from onpurpose.core.statistics import MIN_DAYS, MIN_MATCHED, MOST_DENIED
from onpurpose.server.dashboard import promoting, removing, revisions
from onpurpose.server.dashboard.feed import Filters
from onpurpose.server.dashboard.highlight import drawn
from onpurpose.server.dashboard.promoting import Tried
from onpurpose.server.dashboard.purpose_facts import purpose_id_of, status_of
from onpurpose.server.dashboard.saving import kind_and_name, path_of, states
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.shell import HEADERS, Parts

MOST_SLICES = 12
"""How many agents, groups and capabilities (each) are told, those with most calls first."""

_SORTS = ("agent", "group", "capability")
_SECOND = 1_000_000
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing that a promotion needs: what it is, and whether it is there."""

    text: str
    there: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What the page tells of a revision. `slice` is the dimension that the numbers are of."""

    standing: Standing
    revision: Revision
    report: ShadowReport
    slices: dict[str, list[Cell]]
    shows: list[Examples]
    slice: str


def routes(parts: Parts) -> list[BaseRoute]:
    """A policy's page, its history, and what is done there."""
    show = Showing(parts)
    read = page(parts, Scope.READ)
    return [
        *promoting.routes(parts, show.again),
        *revisions.routes(parts),
        *removing.routes(parts),
        Route("/policies/{kind}/{name}", read(show.show), methods=["GET"]),
    ]


class Showing:
    """The handler of the page, on the parts that it needs."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def show(self, request: Request, principal: Principal) -> Response:
        """The page; of a policy that was removed, its history."""
        kind, name = kind_and_name(request)
        standing = self._parts.control.shelf.find(principal.workspace, kind, name)
        if standing is not None and is_removed(standing):
            return RedirectResponse(f"{path_of(kind, name)}/history", 303, HEADERS)
        return self.again(request, principal, Tried())

    def again(self, request: Request, principal: Principal, tried: Tried) -> Response:
        """The page, with what kept something from being done."""
        kind, name = kind_and_name(request)
        standing = self._parts.control.shelf.standing(principal.workspace, kind, name)
        view = self._view(request, principal, standing)
        until = undo_until(standing)
        shelf = self._parts.control.shelf
        purpose = purpose_id_of(shelf, principal.workspace, standing)
        now = self._parts.clock.now()
        return self._parts.shell.render(
            request, "policy.html", principal, status=tried.status, view=view, here=path_of(kind, name),
            states=states(standing), whole=view.revision.number == standing.shadow and view.slice == ALL,
            needs=needs(view.report), times=[one.start // _SECOND for one in view.report.days],
            series=series(view.report), purpose=purpose, found=tried,
            purpose_status=status_of(shelf, principal.workspace, purpose) if purpose else "",
            undo_until=until if until is not None and now < until else None,
            lines=drawn(view.revision.text), saved=request.query_params.get("saved", "")[:9],
            done=request.query_params.get("done", "")[:16],
            may_write=principal.may(Scope.POLICY_WRITE), may_promote=principal.may(Scope.POLICY_PROMOTE),
            overrides=promoting.overridable(view.report), searches=searches(view),
        )  # fmt: skip

    def _view(self, request: Request, principal: Principal, standing: Standing) -> View:
        control, workspace = self._parts.control, principal.workspace
        number = _number(request.query_params.get("revision", "")) or standing.shadow or standing.live or 0
        revision = control.shelf.revision(workspace, standing.kind, standing.name, number)
        wanted = request.query_params.get("slice", ALL)[:300]
        cells = control.promotions.totals(workspace, standing.kind, standing.name, number)
        if wanted not in {cell.dimension for cell in cells}:
            wanted = ALL
        report = control.promotions.report(workspace, standing.kind, standing.name, revision=number, dimension=wanted)
        return View(
            standing=standing, revision=revision, report=report, slices=_sliced(cells), slice=wanted,
            shows=self._examples(report.judged),
        )  # fmt: skip

    def _examples(self, judged: Judged) -> list[Examples]:
        try:
            return examples(self._parts.past.decisions, self._parts.past.log, judged)
        except LedgerError:  # the numbers are read from elsewhere, and stand without them
            return []


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _sliced(cells: list[Cell]) -> dict[str, list[Cell]]:
    """The totals of each sort, those with most calls first; what is not kept apart comes last."""
    found: dict[str, list[Cell]] = {sort: [] for sort in _SORTS}
    for cell in cells:
        sort, _, name = cell.dimension.partition(":")
        if sort in found and name:
            found[sort].append(cell)
    return {
        sort: sorted(those, key=lambda cell: (-cell.counts.qualified, cell.dimension))[:MOST_SLICES]
        for sort, those in found.items()
    }


def needs(report: ShadowReport) -> list[Need]:
    """What a promotion needs, one by one."""
    seen, watched = report.numbers, report.seconds / _DAY
    return [
        Need(
            text=f"at least {MIN_MATCHED} calls matched (so far {seen.match.count:,})",
            there=seen.match.count >= MIN_MATCHED,
        ),
        Need(text=f"watched for {MIN_DAYS:g} days (so far {watched:.1f})", there=watched >= MIN_DAYS),
        Need(
            text=f"would deny surely less than {100 * MOST_DENIED:g} % of what it matches"
            + (f" (up to {100 * seen.would_deny.high:.1f} %)" if seen.would_deny.of else " (nothing matched yet)"),
            there=seen.would_deny.high < MOST_DENIED,
        ),
    ]


def series(report: ShadowReport) -> list[dict[str, object]]:
    """The three numbers of each day, in percent; none for a day that has none."""
    counts = [day.counts for day in report.days]
    return [
        {"label": "match rate", "tone": "accent", "values": [_share(one.matched, one.qualified) for one in counts]},
        {"label": "would deny", "tone": "deny", "values": [_share(one.would_deny, one.matched) for one in counts]},
        {
            "label": "uncertain", "tone": "shadow", "dash": True,
            "values": [_share(one.uncertain, one.classified) for one in counts],
        },
    ]  # fmt: skip


def _share(count: int, of: int) -> float | None:
    return round(100 * count / of, 2) if of else None


def searches(view: View) -> dict[str, str]:
    """Where all calls of a kind are, by kind."""
    policy = Filters(policy=view.standing.name)
    return {
        "newly_blocked": policy.link(blocked="yes"),
        "would_deny": policy.link(shadow="deny"),
        "would_ask": policy.link(shadow="ask"),
        "matched": policy.link(),
    }
