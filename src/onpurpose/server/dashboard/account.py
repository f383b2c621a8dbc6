"""One's own account: the password, a second factor, where one is signed in."""

from __future__ import annotations

from hmac import compare_digest
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.own_proofs import password_fault
from onpurpose.app.sign_in import Refused
from onpurpose.core.access import Scope, User
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.session import SIGN_IN, Guarded, form_of, page
from onpurpose.server.dashboard.sign_in import address_of

PATH = "/account"


def routes(parts: Guarded) -> list[BaseRoute]:
    """`/account`, for whoever is signed in."""
    account = Account(parts)
    guard = page(parts, Scope.READ)
    return [
        Route(PATH, guard(account.show), methods=["GET"]),
        Route(f"{PATH}/password", guard(account.change_password), methods=["POST"]),
        Route(f"{PATH}/code", guard(account.propose_code), methods=["POST"]),
        Route(f"{PATH}/code/confirm", guard(account.confirm_code), methods=["POST"]),
        Route(f"{PATH}/code/remove", guard(account.remove_code), methods=["POST"]),
        Route(f"{PATH}/sign-out-everywhere", guard(account.sign_out_everywhere), methods=["POST"]),
    ]


class Account:
    """The pages. What changes how one signs in asks for the password again: an open screen is not enough."""

    def __init__(self, parts: Guarded) -> None:
        self._parts = parts
        self._sessions = parts.sessions

    def show(self, request: Request, principal: Principal) -> Response:
        """How one signs in, and where one is."""
        return self._page(request, principal)

    def change_password(self, request: Request, principal: Principal) -> Response:
        """Another password; every session ends, this one too."""
        form, person = form_of(request), principal.person
        password = form.get("password")
        fault = self._wrong(request, person, form) or password_fault(password, person.id, person.email)
        if not fault and not compare_digest(password.encode(), form.get("again").encode()):
            fault = "The two are not the same."
        if fault:
            return self._page(request, principal, fault=fault, status=422)
        self._sessions.own.set_password(person, password, by=person.id)
        return self._out(request)

    def propose_code(self, request: Request, principal: Principal) -> Response:
        """A new second factor, shown this once."""
        fault = self._wrong(request, principal.person, form_of(request))
        if fault:
            return self._page(request, principal, fault=fault, status=422)
        proposed = self._sessions.own.propose_code(principal.person)
        return self._page(request, principal, proposed=proposed)

    def confirm_code(self, request: Request, principal: Principal) -> Response:
        """Put it in force; the recovery codes are shown this once."""
        codes = self._sessions.own.confirm_code(principal.person, form_of(request).get("code")[:64])
        if codes is None:
            fault = "That code is not right. Begin again, and give the code that the app shows then."
            return self._page(request, principal, fault=fault, status=422)
        return self._page(request, principal, codes=codes)

    def remove_code(self, request: Request, principal: Principal) -> Response:
        """Do without a second factor."""
        fault = self._wrong(request, principal.person, form_of(request))
        if fault:
            return self._page(request, principal, fault=fault, status=422)
        self._sessions.own.remove_code(principal.person, by=principal.user)
        return RedirectResponse(PATH, 303, {"Cache-Control": "no-store"})

    def sign_out_everywhere(self, request: Request, principal: Principal) -> Response:
        """End every session, this one too."""
        self._sessions.signed_in.end_all(principal.person, by=principal.user)
        return self._out(request)

    def _wrong(self, request: Request, person: User, form: Form) -> str:
        """Why whoever sits there is not believed to be the user; empty where they gave the password."""
        found = self._sessions.sign_in.by_password(
            person.workspace, person.id, form.get("current"), address_of(request), self._sessions.known(request)
        )
        if isinstance(found, Refused):
            wait = f" Too many wrong attempts: wait {found.wait} s." if found.wait else ""
            return f"Your password is not right.{wait}"
        return ""

    def _out(self, request: Request) -> Response:
        response = RedirectResponse(SIGN_IN, 303, {"Cache-Control": "no-store"})
        self._sessions.dismiss(request, response)
        return response

    def _page(
        self, request: Request, principal: Principal, *, fault: str = "", status: int = 200, **shown: Any
    ) -> Response:
        given = {"proposed": None, "codes": None} | shown
        response = self._parts.shell.render(
            request, "account.html", principal, fault=fault, sessions=self._sessions.signed_in.of(principal.person),
            has_code=self._sessions.own.has_code(principal.person), **given,
        )  # fmt: skip
        response.status_code = status
        return response
