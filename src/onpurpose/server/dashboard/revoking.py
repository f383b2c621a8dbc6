"""Tokens are revoked: one, or all that a purpose or an agent was given up to now. It is asked twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.outbox import UntoldError
from onpurpose.core.access import Scope
from onpurpose.core.call import MAX_NAME
from onpurpose.core.session import Principal
from onpurpose.core.token import RevocationKind
from onpurpose.server.dashboard.saving import MOST_REASON
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.shell import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What kept something from being done on a purpose's page, and what its form held."""

    problems: tuple[str, ...] = ()
    kind: str = ""
    value: str = ""
    reason: str = ""
    asks: bool = False
    status: int = 200


Again = Callable[[Request, Principal, Refused], Response]


def routes(parts: Parts, again: Again) -> list[BaseRoute]:
    """What revokes tokens from a purpose's page; `again` shows that page."""

    def revoke(request: Request, principal: Principal) -> Response:
        form = form_of(request)
        given = Refused(kind=form.get("kind"), value=form.get("value").strip(), reason=form.get("reason").strip())
        kind = next((one for one in RevocationKind if one == given.kind), None)
        if kind is RevocationKind.PURPOSE:
            given = Refused(kind=given.kind, value=request.path_params["id"], reason=given.reason)
        wrong = _wrong(kind, given)
        if kind is None or wrong:
            return again(request, principal, _with(given, problems=wrong, status=422))
        if form.get("sure") != "yes":
            return again(request, principal, _with(given, asks=True))
        workspace, by = principal.workspace, principal.user
        parts.tokens.revoke(kind, given.value, workspace=workspace, by=by, reason=given.reason)
        try:
            parts.control.post.deliver()
        except UntoldError:
            why = "The tokens are revoked. The record of it is not durable in the log yet."
            return again(request, principal, Refused(problems=(why,), status=503))
        return RedirectResponse(f"/purposes/{quote(request.path_params['id'])}?done=revoked", 303)

    guarded = page(parts, Scope.POLICY_WRITE)(revoke)
    return [Route("/purposes/{id}/revoke", guarded, methods=["POST"])]


def _wrong(kind: RevocationKind | None, given: Refused) -> tuple[str, ...]:
    wrong = []
    if kind is None:
        wrong.append("Choose whose tokens.")
    elif not 0 < len(given.value) <= MAX_NAME:
        wrong.append("Say which: the id of the token, or of the agent.")
    if not 0 < len(given.reason) <= MOST_REASON:
        wrong.append(f"Say why, in at most {MOST_REASON} characters.")
    return tuple(wrong)


def _with(given: Refused, *, problems: tuple[str, ...] = (), asks: bool = False, status: int = 200) -> Refused:
    return Refused(problems=problems, kind=given.kind, value=given.value, reason=given.reason, asks=asks, status=status)
