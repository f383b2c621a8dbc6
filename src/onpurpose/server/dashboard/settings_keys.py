"""`/settings/keys`: what agents and programs come with. A key's secret is shown once, on the page that made it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.keys import NewKey
from onpurpose.core.access import Scope
from onpurpose.core.feed import kept
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.session import Principal
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.keys import told
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.settings_frame import PATH as SETTINGS
from onpurpose.server.dashboard.settings_frame import Faults, checked, sentence, tabs_for
from onpurpose.server.dashboard.shell import HEADERS, Parts

PATH = f"{SETTINGS}/keys"

_DAY = 86_400
_EXPIRIES = [(str(days * _DAY), f"after {days} days") for days in (1, 30, 90, 365)] + [("", "never")]
_SCOPES = [
    (Scope.EVALUATE, "evaluate: an agent asks before it acts"),
    (Scope.READ, "read: see decisions, policies, approvals"),
    (Scope.POLICY_WRITE, "policy:write: save policies and purposes"),
    (Scope.POLICY_PROMOTE, "policy:promote: change what decides"),
    (Scope.APPROVE, "approve: decide requests; as somebody's personal key"),
    (Scope.ADMIN, "admin: everything in the workspace"),
]


def routes(parts: Parts) -> list[BaseRoute]:
    """The list, making one, and revoking one."""
    pages = KeyPages(parts)
    admin = page(parts, Scope.ADMIN)
    return [
        Route(PATH, admin(pages.show), methods=["GET"]),
        Route(PATH, admin(pages.create), methods=["POST"]),
        Route(PATH + "/{id}/revoke", admin(pages.revoke), methods=["POST"]),
    ]


class KeyPages:
    """The pages of keys. For worker threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._keyring = parts.control.keyring

    def show(self, request: Request, principal: Principal) -> Response:
        """Every key of the workspace, those that count first."""
        blank = {"name": "", "scopes": ["evaluate"], "expires_in_seconds": str(90 * _DAY), "user": "", "per_minute": ""}
        return self._page(request, principal, blank | {"user": kept(request.query_params.get("user", ""))}, {})

    def create(self, request: Request, principal: Principal) -> Response:
        """Make a key, and show its secret this once."""
        form = form_of(request)
        shown, values = _shown(form), _values(form)
        wanted, faults = checked(wire.NewKey, values)
        if wanted is None:
            return self._page(request, principal, shown, faults, status=422)
        try:
            made = self._keyring.create_key(
                principal.workspace, wanted.name, wanted.scopes, by=principal.user,
                expires_in_seconds=wanted.expires_in_seconds, per_minute=wanted.per_minute, user=wanted.user,
            )  # fmt: skip
        except (ConflictError, MissingError) as error:
            return self._page(request, principal, shown, {"user": [sentence(error)]}, status=409)
        return self._page(request, principal, shown | {"name": ""}, {}, made=made)

    def revoke(self, request: Request, principal: Principal) -> Response:
        """Revoke a key for good."""
        try:
            self._keyring.revoke_key(principal.workspace, kept(request.path_params["id"]), by=principal.user)
        except ConflictError as error:
            return self._page(request, principal, _shown(Form([])), {"form": [sentence(error)]}, status=409)
        return RedirectResponse(PATH, 303, HEADERS)

    def _page(  # noqa: PLR0913  what the page shows
        self, request: Request, principal: Principal, values: Mapping[str, Any], faults: Faults, *,
        made: NewKey | None = None, status: int = 200,
    ) -> Response:  # fmt: skip
        now = self._parts.clock.now()
        keys = [told(one, now) for one in self._keyring.keys(principal.workspace)]
        users = [one for one in self._keyring.users(principal.workspace) if one.disabled_at is None]
        return self._parts.shell.render(
            request, "settings_keys.html", principal, status=status, values=values, faults=faults, scopes=_SCOPES,
            keys=sorted(keys, key=lambda one: one.state != "active"), expiries=_EXPIRIES, made=made,
            people=[("", "Nobody's: a program's own"), *((one.id, f"{one.name} ({one.id})") for one in users)],
            tabs=tabs_for(principal),
        )  # fmt: skip


def _shown(form: Form) -> dict[str, Any]:
    fields = {name: form.get(name) for name in ("name", "expires_in_seconds", "user", "per_minute")}
    return fields | {"scopes": form.all("scopes")}


def _values(form: Form) -> dict[str, Any]:
    values: dict[str, Any] = {"name": form.get("name").strip(), "scopes": form.all("scopes")}
    for name in ("expires_in_seconds", "per_minute", "user"):
        values[name] = form.get(name).strip() or None
    return values
