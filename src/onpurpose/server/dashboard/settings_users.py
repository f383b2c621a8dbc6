"""`/settings/users`: who signs in and who approves. Whoever reads sees them; admins make, change and disable them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.core.access import Role, Scope, User
from onpurpose.core.feed import kept
from onpurpose.core.revision import ConflictError
from onpurpose.core.session import SCOPES, Principal
from onpurpose.server.api import schemas as wire
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.settings_frame import PATH as SETTINGS
from onpurpose.server.dashboard.settings_frame import Faults, checked, sentence, tabs_for, words
from onpurpose.server.dashboard.shell import HEADERS, Parts

PATH = f"{SETTINGS}/users"
_ONE = PATH + "/{id}"
_ROLES = [(str(role), f"{role}: {', '.join(sorted(SCOPES[role]))}") for role in Role]
_DONE = {
    "made": "The user is made. Give them a link to set a password.",
    "kept": "What you changed is kept.",
    "out": "Every session of this user has ended.",
    "not-in": "This user was not signed in anywhere.",
    "code-removed": "The second factor is removed: from now on the password alone signs this user in.",
    "no-code": "This user had no second factor.",
    "unlinked": "The identity is unlinked, and every session of this user has ended.",
}
_OWN = "Your own sign-in is changed under your account, where you prove that it is you, or by another admin."


def routes(parts: Parts) -> list[BaseRoute]:
    """The list, one user, and what is done to one."""
    pages = UserPages(parts)
    read, admin = page(parts, Scope.READ), page(parts, Scope.ADMIN)
    return [
        Route(PATH, read(pages.show), methods=["GET"]),
        Route(PATH, admin(pages.create), methods=["POST"]),
        Route(_ONE, read(pages.one), methods=["GET"]),
        Route(_ONE, admin(pages.update), methods=["POST"]),
        Route(f"{_ONE}/disable", admin(pages.disable), methods=["POST"]),
        Route(f"{_ONE}/link", admin(pages.link), methods=["POST"]),
        Route(f"{_ONE}/sign-out", admin(pages.sign_out), methods=["POST"]),
        Route(f"{_ONE}/remove-code", admin(pages.remove_code), methods=["POST"]),
        Route(f"{_ONE}/unlink", admin(pages.unlink), methods=["POST"]),
    ]


class UserPages:
    """The pages of users. For worker threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._keyring = parts.control.keyring

    def show(self, request: Request, principal: Principal) -> Response:
        """Everybody in the workspace."""
        return self._list(request, principal, _blank(), {})

    def create(self, request: Request, principal: Principal) -> Response:
        """Make a user; what is wrong with the form stands at its fields."""
        values = _values(form_of(request))
        made, faults = checked(wire.NewUser, values)
        if made is None:
            return self._list(request, principal, values, faults, 422)
        try:
            user = self._keyring.create_user(
                principal.workspace, made.id, made.name, made.email, made.groups, by=principal.user,
                slack=made.slack, roles=made.roles or (),
            )  # fmt: skip
        except ConflictError as error:
            return self._list(request, principal, values, {"id": [sentence(error)]}, 409)
        return _done(user, "made")

    def one(self, request: Request, principal: Principal) -> Response:
        """One user."""
        user = self._user(request, principal)
        done = _DONE.get(request.query_params.get("done", ""), "")
        return self._page(request, principal, user, _of(user), {}, done=done)

    def update(self, request: Request, principal: Principal) -> Response:
        """Keep what was changed. A user who was disabled is enabled by it."""
        user, values = self._user(request, principal), _values(form_of(request))
        values.pop("id", None)
        told, faults = checked(wire.UserFields, values)
        if told is None:
            return self._page(request, principal, user, values, faults, status=422)
        self._keyring.update_user(
            principal.workspace, user.id, told.name, told.email, told.groups, by=principal.user, slack=told.slack,
            roles=told.roles or frozenset(),
        )  # fmt: skip
        return _done(user, "kept")

    def disable(self, request: Request, principal: Principal) -> Response:
        """Disable the user, sign them out everywhere, revoke their keys."""
        user = self._user(request, principal)
        if user.id == principal.user:
            return self._refused(request, principal, user, "Nobody disables themselves: have another admin do it.")
        self._keyring.disable_user(principal.workspace, user.id, by=principal.user)
        return RedirectResponse(_path(user.id), 303, HEADERS)

    def link(self, request: Request, principal: Principal) -> Response:
        """Make a link by which the user sets a password, and show it this once."""
        user = self._user(request, principal)
        if user.disabled_at is not None or not user.roles:
            why = "Only who is enabled and has a role signs in: see to that first."
            return self._refused(request, principal, user, why)
        token = self._parts.sessions.own.link(user, by=principal.user)
        root = self._parts.public_url.rstrip("/") or f"{request.url.scheme}://{request.url.netloc}"
        return self._page(request, principal, user, _of(user), {}, link=f"{root}/sign-in/link/{token}")

    def sign_out(self, request: Request, principal: Principal) -> Response:
        """End every session of the user."""
        user = self._user(request, principal)
        if user.id == principal.user:
            return self._refused(request, principal, user, _OWN)
        ended = self._parts.sessions.signed_in.end_all(user, by=principal.user)
        return _done(user, "out" if ended else "not-in")

    def remove_code(self, request: Request, principal: Principal) -> Response:
        """Remove the second factor of a user who has lost it."""
        user = self._user(request, principal)
        if user.id == principal.user:
            return self._refused(request, principal, user, _OWN)
        removed = self._parts.sessions.own.remove_code(user, by=principal.user)
        return _done(user, "code-removed" if removed else "no-code")

    def unlink(self, request: Request, principal: Principal) -> Response:
        """Have an identity elsewhere be the user's no more."""
        user, form, linking = self._user(request, principal), form_of(request), self._parts.sessions.linking
        if user.id == principal.user:
            return self._refused(request, principal, user, _OWN)
        given = (form.get("issuer"), form.get("subject"))
        held = next((one for one in linking.of(user) if (one.issuer, one.subject) == given), None)
        if held is None or not linking.unlink(held, by=principal.user):
            return self._refused(request, principal, user, "This user has no such identity: maybe it is unlinked.")
        return _done(user, "unlinked")

    def _refused(self, request: Request, principal: Principal, user: User, why: str) -> Response:
        return self._page(request, principal, user, _of(user), {"form": [why]}, status=409)

    def _list(
        self, request: Request, principal: Principal, values: Mapping[str, Any], faults: Faults, status: int = 200
    ) -> Response:
        return self._parts.shell.render(
            request, "settings_users.html", principal, status=status, users=self._keyring.users(principal.workspace),
            values=values, faults=faults, roles=_ROLES, tabs=tabs_for(principal), may_edit=principal.may(Scope.ADMIN),
        )  # fmt: skip

    def _page(  # noqa: PLR0913  what the page shows
        self, request: Request, principal: Principal, user: User, values: Mapping[str, Any], faults: Faults, *,
        done: str = "", link: str = "", status: int = 200,
    ) -> Response:  # fmt: skip
        admin = principal.may(Scope.ADMIN)
        keys = [one for one in self._keyring.keys(principal.workspace) if one.user == user.id] if admin else []
        return self._parts.shell.render(
            request, "settings_user.html", principal, status=status, user=user, values=values, faults=faults,
            roles=_ROLES, done=done, link=link, keys=keys, may_edit=admin, now=self._parts.clock.now(),
            **(self._signing_in(user) if admin else {}),
        )  # fmt: skip

    def _signing_in(self, user: User) -> dict[str, Any]:
        """How the user signs in, and where they are: for admins."""
        sessions = self._parts.sessions
        return {
            "has_code": sessions.own.has_code(user), "sessions": sessions.signed_in.of(user),
            "identities": sessions.linking.of(user),
        }  # fmt: skip

    def _user(self, request: Request, principal: Principal) -> User:
        return self._keyring.user(principal.workspace, kept(request.path_params["id"]))


def _done(user: User, what: str) -> Response:
    return RedirectResponse(f"{_path(user.id)}?done={what}", 303, HEADERS)


def _path(user_id: str) -> str:
    return f"{PATH}/{quote(user_id, safe='')}"


def _blank() -> dict[str, Any]:
    return {"id": "", "name": "", "email": "", "groups": [], "slack": "", "roles": ["viewer"]}


def _of(user: User) -> dict[str, Any]:
    return {
        "id": user.id, "name": user.name, "email": user.email, "groups": list(user.groups),
        "slack": user.slack or "", "roles": sorted(user.roles),
    }  # fmt: skip


def _values(form: Form) -> dict[str, Any]:
    """What the form says, as the API is told it: what was left empty is absent."""
    return {
        "id": form.get("id").strip() or None, "name": form.get("name").strip(), "email": form.get("email").strip(),
        "groups": words(form.get("groups")), "slack": form.get("slack").strip() or None, "roles": form.all("roles"),
    }  # fmt: skip
