"""`/approvals/{id}` for who is signed in: all that one decides by, and deciding it: with two keys, or two taps.

Whoever has no session gets the page of `server.pages` under the same path: put these routes before those.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope as Asked

from onpurpose.app.approvals import DENIAL_REASONS
from onpurpose.app.sign_in import CodeWanted, Proved, Refused
from onpurpose.core.access import Scope, User
from onpurpose.core.act import Via
from onpurpose.core.approval import MAX_TEXT, Approval, ApprovalError, IllegalMoveError, NotEligibleError, State
from onpurpose.core.feed import kept
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.approvals import PATH, first_other
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.session import COOKIE, cookie_name, form_of, page
from onpurpose.server.dashboard.shell import HEADERS, Parts
from onpurpose.server.pages.deciding import Deciding
from onpurpose.server.pages.forms import Form as Choice
from onpurpose.server.pages.showing import sheet
from onpurpose.server.pages.words import Who, names, reason, standing

RECENT_SECONDS = 15 * 60
"""For so long after signing in one may decide what asks for a sign-in of its own (`step_up`)."""

FORM_BYTES = 32 * 1024

_SECOND = 1_000_000
_DONE = {
    "grant": "Your grant is kept.",
    "deny": "You denied the request. The agent is told why.",
    "delegate": "The request is passed on. You decide it no more.",
    "comment": "Your comment is kept.",
}
_FIELDS = ("text", "preset", "reason", "to")
_WRONG = "That is not right. Try again."
_ANEW = "This request asks for a sign-in of its own: confirm who you are, then decide. Nothing was changed."


class SignedInRoute(Route):
    """A route for browsers that hold a session, even one that has ended: the others find what comes behind it."""

    def matches(self, scope: Asked) -> tuple[Match, Asked]:
        """No match without the cookie."""
        match, found = super().matches(scope)
        if match is Match.NONE:
            return match, found
        request = Request(scope)
        return (match, found) if cookie_name(request, COOKIE) in request.cookies else (Match.NONE, {})


def routes(parts: Parts) -> list[BaseRoute]:
    """One approval; how it stands, to be followed; and confirming who one is."""
    pages = ApprovalPages(parts)
    look, act = page(parts, Scope.READ), page(parts, Scope.APPROVE, form_bytes=FORM_BYTES)
    one = PATH + "/{id}"
    return [
        SignedInRoute(one, look(pages.show), methods=["GET"]),
        SignedInRoute(one, act(pages.decide), methods=["POST"]),
        Route(f"{one}/standing", look(pages.follow), methods=["GET"]),
        Route(f"{one}/confirm", act(pages.ask), methods=["GET"]),
        Route(f"{one}/confirm", act(pages.confirm), methods=["POST"]),
    ]


class ApprovalPages:
    """The pages of one approval. For worker threads; an approval that is not there raises `MissingError`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._people = parts.control.keyring.users
        self._deciding = Deciding(parts.desk, self._people, parts.clock)

    def show(self, request: Request, principal: Principal) -> Response:
        """The request, with the ways to decide it for whoever may."""
        done = _DONE.get(request.query_params.get("done", ""), "")
        return self._page(request, principal, self._get(request, principal), done=done)

    def follow(self, request: Request, principal: Principal) -> Response:
        """How it stands, anew; nothing where it stands as the browser knows."""
        approval = self._get(request, principal)
        if request.query_params.get("seen") == _seen(approval):
            return Response(status_code=204, headers=dict(HEADERS))
        who = names(self._people(principal.workspace), approval.asked_with)
        told = self._standing(approval, who)
        return self._parts.shell.fragment(request, "approval.html", "standing", principal, **told)

    def decide(self, request: Request, principal: Principal) -> Response:
        """Do what was chosen; whoever comes too late is told who was first."""
        form = form_of(request)
        choice = Choice(action=form.get("action"), **{name: form.get(name) for name in _FIELDS})
        approval, fault = self._get(request, principal), choice.fault
        if choice.action not in _DONE:
            fault = ("decision", "Choose what to do.")
        if choice.action == "comment" and not choice.text.strip():
            fault = ("text", "Write something first.")
        if not fault[1] and choice.action != "comment" and self._is_to_confirm(approval, principal):
            fault = ("decision", _ANEW)
        if fault[1]:
            return self._page(request, principal, approval, choice=choice, fault=fault, status=422)
        try:
            self._act(approval.id, principal, choice)
        except (IllegalMoveError, ConflictError) as error:
            return self._late(request, principal, error)
        except ApprovalError as error:
            told, status = ("decision", f"Nothing was changed: {error}."), 403
            if not isinstance(error, NotEligibleError):
                status = 409
            after = self._get(request, principal)
            return self._page(request, principal, after, choice=choice, fault=told, status=status)
        return RedirectResponse(f"{_path(approval)}?done={choice.action}", 303, HEADERS)

    def ask(self, request: Request, principal: Principal) -> Response:
        """Ask who it is, once more."""
        return self._confirming(request, principal, self._get(request, principal))

    def confirm(self, request: Request, principal: Principal) -> Response:
        """Take the password, and the code where there is one: a session that begins now replaces the old one."""
        form, approval = form_of(request), self._get(request, principal)
        found = self._judged(request, form, principal)
        if isinstance(found, CodeWanted):
            return self._confirming(request, principal, approval, ticket=found.ticket)
        if isinstance(found, Refused) or found is None or not _is(found.user, principal):
            wait = found.wait if isinstance(found, Refused) else 0
            told = f"Too many wrong attempts. Try again in {wait} s." if wait else _WRONG
            return self._confirming(request, principal, approval, fault=told, status=429 if wait else 401)
        sessions = self._parts.sessions
        try:
            token = sessions.signed_in.open(
                found.user, method="password", address=request.client.host if request.client else "",
                before=sessions.token(request), stands=partial(sessions.sign_in.stands, found),
            )  # fmt: skip
        except MissingError:  # disabled in this moment, or with another password
            return self._confirming(request, principal, approval, fault=_WRONG, status=401)
        response = RedirectResponse(_path(approval), 303, HEADERS)
        sessions.admit(request, response, found.user, token)
        return response

    def _judged(self, request: Request, form: Form, principal: Principal) -> Proved | CodeWanted | Refused | None:
        sign_in, known = self._parts.sessions.sign_in, self._parts.sessions.known(request)
        address = request.client.host if request.client else ""
        if form.get("ticket"):
            return sign_in.by_code(form.get("ticket"), form.get("code"), address, known)
        return sign_in.by_password(principal.workspace, principal.user, form.get("password"), address, known)

    def _act(self, approval_id: str, principal: Principal, choice: Choice) -> Approval:
        desk, where = self._parts.desk, (principal.workspace, approval_id, principal.user)
        if choice.action == "grant":
            return desk.grant(*where, via=Via.PAGE, text=choice.text, signed_in=True)
        if choice.action == "deny":
            return desk.deny(*where, via=Via.PAGE, text=choice.why, signed_in=True)
        if choice.action == "delegate":
            return desk.delegate(*where, to=choice.to, via=Via.PAGE, text=choice.text, signed_in=True)
        return desk.comment(*where, via=Via.PAGE, text=choice.text)

    def _late(self, request: Request, principal: Principal, error: Exception) -> Response:
        """Somebody was quicker, or the time was over: said in words, with the request as it stands now."""
        approval = self._get(request, principal)
        told = f"You come too late; nothing was changed by you. {self._deciding.standing(approval)}"
        if approval.state is State.PENDING:
            told = f"Nothing was changed: {error}."
        return self._page(request, principal, approval, late=told, status=409)

    def _page(  # noqa: PLR0913  what the page shows
        self,
        request: Request,
        principal: Principal,
        approval: Approval,
        *,
        choice: Choice | None = None,
        fault: tuple[str, str] = ("", ""),
        done: str = "",
        late: str = "",
        status: int = 200,
    ) -> Response:
        who = names(self._people(principal.workspace), approval.asked_with)
        rights = self._deciding.rights(approval, principal.user)
        able = approval.state is State.PENDING and principal.may(Scope.APPROVE)
        return self._parts.shell.render(
            request, "approval.html", principal, status=status,
            sheet=sheet(approval, self._parts.desk.similar(approval), who),
            may_grant=able and not rights.no_grant, may_deny=able and not rights.no_deny,
            may_comment=principal.may(Scope.APPROVE), confirm=able and self._is_to_confirm(approval, principal),
            why_not=self._why_not(approval, principal, rights.no_grant), choice=choice or Choice(action=""),
            candidates=self._parts.desk.candidates(approval, principal.user) if able else [],
            presets=DENIAL_REASONS, fault=fault, done=done, late=late, longest=MAX_TEXT,
            other=first_other(self._parts, principal, approval) if done or late else None,
            **self._standing(approval, who),
        )  # fmt: skip

    def _standing(self, approval: Approval, who: Who) -> dict[str, Any]:
        told = standing(approval, self._parts.clock.now(), who)
        return {"approval": approval, "standing": told, "reason": reason(approval), "seen": _seen(approval)}

    def _why_not(self, approval: Approval, principal: Principal, no_grant: str) -> str:
        if approval.state is not State.PENDING:
            return ""
        return no_grant if principal.may(Scope.APPROVE) else "none of your roles lets you approve"

    def _is_to_confirm(self, approval: Approval, principal: Principal) -> bool:
        """Whether it is too long ago, or not known, that they proved who they are, for what asks for just that."""
        age = self._parts.clock.now() - principal.session.created_at
        recent = principal.session.was_asked and age <= RECENT_SECONDS * _SECOND
        return approval.step_up and not recent

    def _confirming(  # noqa: PLR0913  what the page shows
        self, request: Request, principal: Principal, approval: Approval, *, ticket: str = "", fault: str = "",
        status: int = 200,
    ) -> Response:  # fmt: skip
        return self._parts.shell.render(
            request, "approval_confirm.html", principal, status=status, approval=approval, ticket=ticket, fault=fault,
            elsewhere=principal.session.method != "password", back=_path(approval),
        )  # fmt: skip

    def _get(self, request: Request, principal: Principal) -> Approval:
        return self._parts.desk.get(principal.workspace, kept(request.path_params["id"]))


def _path(approval: Approval) -> str:
    return f"{PATH}/{quote(approval.id, safe='')}"


def _is(user: User, principal: Principal) -> bool:
    return (user.workspace, user.id) == (principal.workspace, principal.user)


def _seen(approval: Approval) -> str:
    """What differs once it stands otherwise."""
    return f"{approval.version}-{approval.state}"
