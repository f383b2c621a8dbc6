"""Promote with the evidence and a reason; undo within seconds; revert at any time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.outbox import UntoldError
from onpurpose.app.promotion import OVERRIDES, Candidate, NotReadyError, undo_until
from onpurpose.app.shadow import ShadowReport
from onpurpose.core.access import Scope
from onpurpose.core.revision import ConflictError
from onpurpose.core.session import Principal
from onpurpose.core.statistics import MIN_DAYS, MIN_MATCHED, MOST_DENIED
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.saving import MOST_REASON, UNTOLD, kind_and_name, number_of, path_of
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.shell import Parts

_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What kept something from being done, `what` was tried, and what was written in its form."""

    what: str = ""
    problems: tuple[str, ...] = ()
    reason: str = ""
    given: dict[str, str] = field(default_factory=dict)
    status: int = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A limit that is not met, and may be set aside by name: what it is, and what was seen."""

    name: str
    label: str
    seen: str


Again = Callable[[Request, Principal, Tried], Response]


def routes(parts: Parts, again: Again) -> list[BaseRoute]:
    """What is done on a policy's page; `again` shows that page with what went wrong."""
    guard = page(parts, Scope.POLICY_PROMOTE)
    acts = Acts(parts, again)
    return [
        Route("/policies/{kind}/{name}/promote", guard(acts.promote), methods=["POST"]),
        Route("/policies/{kind}/{name}/undo", guard(acts.undo), methods=["POST"]),
        Route("/policies/{kind}/{name}/revert", guard(acts.revert), methods=["POST"]),
    ]


class Acts:
    """The handlers, on the parts that they need."""

    def __init__(self, parts: Parts, again: Again) -> None:
        self._parts = parts
        self._again = again

    def promote(self, request: Request, principal: Principal) -> Response:
        """Make the revision live that was looked at."""
        kind, name = kind_and_name(request)
        form = form_of(request)
        reason, limits, wrong = form.get("reason").strip(), *_limits(form)
        given = {one: form.get(f"limit_{one}") for one in OVERRIDES if f"aside_{one}" in form}
        if not 0 < len(reason) <= MOST_REASON:
            wrong = (*wrong, f"Say why, in at most {MOST_REASON} characters.")
        candidate = Candidate(kind=kind, name=name, revision=number_of(form, "revision") or 0)
        if not wrong:
            try:
                self._parts.control.promotions.promote(
                    principal.workspace, [candidate], reason=reason, by=principal.user, overrides=limits
                )
                return RedirectResponse(f"{path_of(kind, name)}?done=promoted", 303)
            except NotReadyError as error:
                wrong = error.missing
            except ConflictError as error:
                wrong = (str(error),)
            except UntoldError:
                wrong = (UNTOLD,)
        tried = Tried(what="promote", problems=wrong, reason=reason, given=given, status=409)
        return self._again(request, principal, tried)

    def undo(self, request: Request, principal: Principal) -> Response:
        """Take the promotion back that the page showed, while there is time: the server's clock decides."""
        kind, name = kind_and_name(request)
        standing = self._parts.control.shelf.standing(principal.workspace, kind, name)
        until = undo_until(standing)
        if until is None or standing.promoted_at != number_of(form_of(request), "promoted_at"):
            why = "That promotion is not the last one any more. Nothing was changed."
            return self._again(request, principal, Tried(what="undo", problems=(why,), status=409))
        if self._parts.clock.now() >= until:
            why = "The time to undo is over. Nothing was changed; it can still be reverted, with a reason."
            return self._again(request, principal, Tried(what="undo", problems=(why,), status=409))
        return self._back(request, principal, "undone within seconds", "undo")

    def revert(self, request: Request, principal: Principal) -> Response:
        """Go back to what was live before the promotion that the page showed."""
        kind, name = kind_and_name(request)
        form = form_of(request)
        standing = self._parts.control.shelf.standing(principal.workspace, kind, name)
        reason, why = form.get("reason").strip(), ""
        if standing.promoted_at != number_of(form, "promoted_at"):
            why = "That promotion is not the last one any more. Look again before you revert."
        elif not 0 < len(reason) <= MOST_REASON:
            why = f"Say why, in at most {MOST_REASON} characters."
        if why:
            tried = Tried(what="revert", problems=(why,), reason=reason, status=409)
            return self._again(request, principal, tried)
        return self._back(request, principal, reason, "revert")

    def _back(self, request: Request, principal: Principal, reason: str, what: str) -> Response:
        kind, name = kind_and_name(request)
        try:
            self._parts.control.promotions.revert(principal.workspace, [(kind, name)], reason=reason, by=principal.user)
        except ConflictError as error:
            return self._again(request, principal, Tried(what=what, problems=(str(error),), status=409))
        except UntoldError:
            return self._again(request, principal, Tried(what=what, problems=(UNTOLD,), status=503))
        return RedirectResponse(f"{path_of(kind, name)}?done=reverted", 303)


def _limits(form: Form) -> tuple[dict[str, float], tuple[str, ...]]:
    """The limits that are set aside by name, and what is wrong with them. That of would-deny is in percent."""
    limits: dict[str, float] = {}
    wrong = []
    for name in OVERRIDES:
        if f"aside_{name}" not in form:
            continue
        try:
            value = float(form.get(f"limit_{name}"))
        except ValueError:
            value = math.nan
        if not 0 <= value < 1e9:
            wrong.append("A limit that is set aside is a number from 0 on.")
        limits[name] = value / 100 if name == "would_deny" else value
    return limits, tuple(wrong)


def overridable(report: ShadowReport) -> list[Override]:
    """The limits that are not met, each with what was seen: what somebody may set aside by name."""
    seen, days = report.numbers, report.seconds / _DAY
    found = []
    if seen.match.count < MIN_MATCHED:
        label = f"Accept fewer than {MIN_MATCHED} matched calls: at least"
        found.append(Override(name="min_matched", label=label, seen=str(seen.match.count)))
    if days < MIN_DAYS:
        label = f"Accept less than {MIN_DAYS:g} days: at least"
        found.append(Override(name="min_days", label=label, seen=f"{math.floor(days * 10) / 10:g}"))
    if seen.would_deny.high >= MOST_DENIED:
        label = f"Accept that it may deny {100 * MOST_DENIED:g} % of what it matches or more: at most, in percent"
        found.append(Override(name="would_deny", label=label, seen=f"{math.ceil(seen.would_deny.high * 1000) / 10:g}"))
    return found
