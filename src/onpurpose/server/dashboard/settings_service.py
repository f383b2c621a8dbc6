"""`/settings/tokens`, `/settings/workspaces`: for the admins of those who run the service."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.keys import OPERATOR, NewKey
from onpurpose.core.access import Scope
from onpurpose.core.revision import ConflictError
from onpurpose.core.session import Principal
from onpurpose.server.api import schemas as wire
from onpurpose.server.dashboard.session import Plain, form_of, page
from onpurpose.server.dashboard.settings_frame import PATH, Faults, checked, for_operators, sentence, tabs_for
from onpurpose.server.dashboard.shell import HEADERS, Parts


def routes(parts: Parts) -> list[BaseRoute]:
    """The keys that sign tokens, the workspaces."""
    pages = ServicePages(parts)
    guard = page(parts, Scope.ADMIN)

    def route(name: str, handler: Plain, method: str = "GET") -> Route:
        return Route(f"{PATH}/{name}", guard(for_operators(parts, handler)), methods=[method])

    return [
        route("tokens", pages.tokens),
        route("tokens", pages.rotate, "POST"),
        route("workspaces", pages.workspaces),
        route("workspaces", pages.create, "POST"),
    ]


class ServicePages:
    """The pages of the service. For worker threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def tokens(self, request: Request, principal: Principal) -> Response:
        """Which key signs, and which verify."""
        return self._tokens(request, principal, {}, rotated=request.query_params.get("done") == "1")

    def rotate(self, request: Request, principal: Principal) -> Response:
        """Make a new key to sign with."""
        form = form_of(request)
        values = {"reason": form.get("reason").strip(), "at_once": form.get("at_once") == "on"}
        told, faults = checked(wire.KeyRotating, values)
        if told is not None and not told.reason:
            told, faults = None, {"reason": ["Say why: it stands in the log."]}
        if told is None:
            return self._tokens(request, principal, faults, reason=values["reason"], status=422)
        self._parts.tokens.rotate(by=principal.user, reason=told.reason, at_once=told.at_once)
        self._parts.control.post.deliver()
        return RedirectResponse(f"{PATH}/tokens?done=1", 303, HEADERS)

    def workspaces(self, request: Request, principal: Principal) -> Response:
        """Every tenant."""
        return self._workspaces(request, principal, {"id": "", "name": ""}, {})

    def create(self, request: Request, principal: Principal) -> Response:
        """Make a workspace, and show its first admin key this once."""
        form = form_of(request)
        values = {"id": form.get("id").strip(), "name": form.get("name").strip()}
        told, faults = checked(wire.NewWorkspace, values)
        if told is None:
            return self._workspaces(request, principal, values, faults, status=422)
        try:
            _, made = self._parts.control.keyring.create_workspace(told.id, told.name, by=principal.user)
        except ConflictError as error:
            return self._workspaces(request, principal, values, {"id": [sentence(error)]}, status=409)
        return self._workspaces(request, principal, {"id": "", "name": ""}, {}, made=made)

    def _tokens(  # noqa: PLR0913  what the page shows
        self, request: Request, principal: Principal, faults: Faults, *, rotated: bool = False, reason: object = "",
        status: int = 200,
    ) -> Response:  # fmt: skip
        published = self._parts.tokens.jwks().get("keys")
        kids = (
            [str(one.get("kid")) for one in published if isinstance(one, dict)] if isinstance(published, list) else []
        )
        return self._render(
            request, principal, "settings_tokens.html", status=status, signs=self._parts.tokens.status().get("signs"),
            kids=kids, faults=faults, rotated=rotated, reason=reason,
        )  # fmt: skip

    def _workspaces(  # noqa: PLR0913  what the page shows
        self, request: Request, principal: Principal, values: dict[str, str], faults: Faults, *,
        made: NewKey | None = None, status: int = 200,
    ) -> Response:  # fmt: skip
        return self._render(
            request, principal, "settings_workspaces.html", status=status, values=values, faults=faults, made=made,
            found=self._parts.control.keyring.workspaces(OPERATOR),
        )  # fmt: skip

    def _render(
        self, request: Request, principal: Principal, template: str, *, status: int = 200, **told: Any
    ) -> Response:
        return self._parts.shell.render(request, template, principal, status=status, tabs=tabs_for(principal), **told)
