"""Signing in and out: by password and code, by another service, and by a link to set a password."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from hmac import compare_digest

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.keys import OPERATOR
from onpurpose.app.own_proofs import password_fault
from onpurpose.app.sign_in import CodeWanted, Proved, Refused
from onpurpose.core.access import User
from onpurpose.core.revision import MissingError
from onpurpose.core.session import ELSEWHERE, ELSEWHERE_ANEW, ProviderError
from onpurpose.server.dashboard.forms import CSRF, FORM_BYTES, Form, read_form
from onpurpose.server.dashboard.session import (
    SIGN_IN,
    Guarded,
    cookie_name,
    drop_cookie,
    is_visitors_form,
    local_path,
    set_cookie,
    sign_in_page,
)

KEPT = "kept."
"""What stands before the names of the fields that are kept for another form."""

AWAY = "onpurpose-away"
"""The cookie of somebody who was sent to sign in elsewhere."""

BACK = "/sign-in/oidc/back"

ELSEWHERE_AT_ONCE = 8
"""So many threads at most wait for the other service: however slow it is, the pages have the others."""

_NO_STORE: Mapping[str, str] = {"Cache-Control": "no-store"}
_REFUSED = frozenset({401, 429})
_FORM_BYTES = FORM_BYTES + (1 << 16)
_WRONG = (
    "That is not right. Check the workspace, the name and the password. "
    "After many wrong attempts, by whomever, wait a quarter of an hour."
)
_WRONG_CODE = "That code is not right, or was used already. Wait for the next one."
_TOO_LATE = "That took too long. Enter your password again."
_STALE = "This page was too old, or your browser keeps no cookies from here. Try again."
_NO_COOKIE_HELP = "Over plain HTTP, that works on this machine's own address alone: use https."


def routes(parts: Guarded) -> list[BaseRoute]:
    """The pages where one signs in and out. None needs a session."""
    pages = SignInPages(parts)
    found: list[BaseRoute] = [
        Route(SIGN_IN, pages.ask, methods=["GET"]),
        Route(SIGN_IN, pages.enter, methods=["POST"]),
        Route("/sign-out", pages.leave, methods=["POST"]),
        Route("/sign-in/link/{token}", pages.invited, methods=["GET"]),
        Route("/sign-in/link/{token}", pages.follow, methods=["POST"]),
    ]
    if parts.sessions.elsewhere is not None:
        found += [Route("/sign-in/oidc", pages.depart, methods=["GET"]), Route(BACK, pages.arrive, methods=["GET"])]
    return found


class SignInPages:
    """The pages."""

    def __init__(self, parts: Guarded) -> None:
        self._parts = parts
        self._sessions = parts.sessions
        self._waiting = CapacityLimiter(ELSEWHERE_AT_ONCE)

    async def ask(self, request: Request) -> Response:
        """The sign-in page; who is signed in goes on, and a service without anybody is set up first."""
        to = local_path(request.query_params.get("next", "/"))
        if await self._sessions.principal(request) is not None:
            return RedirectResponse(to, 303, _NO_STORE)
        if self._sessions.elsewhere is None and await run_in_threadpool(self._sessions.first.is_new):
            return RedirectResponse("/set-up", 303, _NO_STORE)
        return self._page(request, to)

    async def enter(self, request: Request) -> Response:
        """Sign in, or say that it was not right; what was kept of another form is kept on."""
        if not self._sessions.is_ours(request):
            return self._foreign(request)
        form = await read_form(request, _FORM_BYTES)
        if not is_visitors_form(request, form):
            return self._page(request, _to(form), form, _STALE, 403)
        began = asyncio.get_running_loop().time()
        response = await run_in_threadpool(self._judge, request, form)
        if response.status_code in _REFUSED:
            await asyncio.sleep(began + self._sessions.refusal_seconds - asyncio.get_running_loop().time())
        return response

    async def leave(self, request: Request) -> Response:
        """Sign out of this browser; without a session, there is nothing to do."""
        if not self._sessions.is_ours(request):
            return self._foreign(request)
        form, principal = await read_form(request), await self._sessions.principal(request)
        if principal is not None:
            if not _same(form.get(CSRF), principal.csrf):
                return self._foreign(request)
            await run_in_threadpool(self._sessions.signed_in.end, principal)
        response = RedirectResponse(SIGN_IN, 303, {**_NO_STORE, "Clear-Site-Data": '"cache"'})
        self._sessions.dismiss(request, response)
        return response

    def _judge(self, request: Request, form: Form) -> Response:
        sign_in, address, known = self._sessions.sign_in, address_of(request), self._sessions.known(request)
        found: Proved | CodeWanted | Refused | None
        if "ticket" in form:
            found = sign_in.by_code(form.get("ticket"), form.get("code"), address, known)
        else:
            workspace = form.get("workspace").strip() or OPERATOR
            found = sign_in.by_password(workspace, form.get("user"), form.get("password"), address, known)
        if isinstance(found, Proved):
            stands = partial(sign_in.stands, found)
            return self._admit(request, found.user, "password", stands, _to(form), _kept(form))
        if isinstance(found, CodeWanted):
            return self._page(request, _to(form), form, ticket=found.ticket)
        if found is None:
            return self._page(request, _to(form), form, _TOO_LATE, 401)
        return self._refuse(request, form, found)

    def _refuse(self, request: Request, form: Form, refused: Refused) -> Response:
        ticket = form.get("ticket")
        if refused.wait:
            fault = f"Too many wrong attempts. Try again in {_in_words(refused.wait)}."
            response = self._page(request, _to(form), form, fault, 429, ticket=ticket)
            response.headers["Retry-After"] = str(refused.wait)
            return response
        return self._page(request, _to(form), form, _WRONG_CODE if ticket else _WRONG, 401, ticket=ticket)

    def _admit(  # noqa: PLR0913, PLR0917  what signing in is made of
        self, request: Request, user: User, method: str, stands: Callable[[], bool], to: str,
        kept: list[tuple[str, str]],
    ) -> Response:  # fmt: skip
        """Open a session, under a new token always, and go on: to the form that was kept, if one was."""
        try:
            token = self._sessions.signed_in.open(
                user, method=method, address=address_of(request), before=self._sessions.token(request), stands=stands
            )
        except MissingError:  # disabled in this moment, or with another password
            return self._page(request, to, None, _WRONG, 401)
        principal = self._sessions.signed_in.principal(token)
        response: Response = RedirectResponse(to, 303, _NO_STORE)
        if kept and principal is not None:
            response = self._parts.shell.render(request, "again.html", principal, to=to, kept=kept)
        self._sessions.admit(request, response, user, token)
        return response

    # -- by another service

    async def depart(self, request: Request) -> Response:
        """Send the browser to sign in elsewhere."""
        elsewhere, to = self._sessions.elsewhere, local_path(request.query_params.get("next", "/"))
        if elsewhere is None:
            return self._page(request, to)
        anew = "anew" in request.query_params
        try:
            url, kept = await to_thread.run_sync(elsewhere.begin, self._back(request), to, anew, limiter=self._waiting)
        except ProviderError as error:
            return self._page(request, to, None, f"{str(error).capitalize()}. Try again, or use a password.", 502)
        response = RedirectResponse(url, 303, _NO_STORE)
        self._sessions.look_at(request)
        set_cookie(request, response, AWAY, kept, 600)
        return response

    async def arrive(self, request: Request) -> Response:
        """Take up who comes back."""
        response = await to_thread.run_sync(self._take_up, request, limiter=self._waiting)
        drop_cookie(request, response, AWAY)
        return response

    def _take_up(self, request: Request) -> Response:
        elsewhere, given = self._sessions.elsewhere, request.query_params
        self._sessions.look_at(request)
        kept = request.cookies.get(cookie_name(request, AWAY), "")
        if elsewhere is None:
            return self._page(request, "/")
        code, state = given.get("code", "")[:4096], given.get("state", "")[:512]
        found = elsewhere.finish(kept, self._back(request), state, code, address_of(request))
        if found.user is None or found.identity is None:
            return self._page(request, "/", None, found.fault, 401)
        method, stands = (
            ELSEWHERE_ANEW if found.anew else ELSEWHERE,
            partial(self._sessions.linking.stands, found.identity),
        )
        return self._admit(request, found.user, method, stands, local_path(found.to), [])

    def _back(self, request: Request) -> str:
        """Where the browser comes back to. A `Host` that a client makes up is one that the provider does not know."""
        return self._sessions.root(request) + BACK

    # -- by a link to set a password

    async def invited(self, request: Request) -> Response:
        """Where whoever follows a link sets a password. Looking changes nothing."""
        user = await run_in_threadpool(self._sessions.own.invited, request.path_params["token"])
        return self._gone(request) if user is None else self._choosing(request, user)

    async def follow(self, request: Request) -> Response:
        """Set the password; then one signs in with it."""
        if not self._sessions.is_ours(request):
            return self._foreign(request)
        form, token = await read_form(request), request.path_params["token"]
        user = await run_in_threadpool(self._sessions.own.invited, token)
        if user is None:
            return self._gone(request)
        if not is_visitors_form(request, form):
            return self._choosing(request, user, [_STALE], 403)
        password = form.get("password")
        fault = password_fault(password, user.id, user.email) or _unlike(password, form.get("again"))
        if fault:
            return self._choosing(request, user, [fault], 422)
        if await run_in_threadpool(self._sessions.own.follow, token, password) is None:
            return self._gone(request)
        response = self._page(request, "/", None, good="Your password is set. Sign in with it.")
        self._sessions.know(request, response, user)
        return response

    def _choosing(self, request: Request, user: User, faults: list[str] | None = None, status: int = 200) -> Response:
        return sign_in_page(
            self._parts, request, template="set_password.html", status=status, user=user, faults=faults or []
        )

    def _gone(self, request: Request) -> Response:
        text = "This link was used, is too old, or was not copied whole. Ask an admin of your workspace for a new one."
        response = self._parts.shell.render(
            request, "error.html", None, title="This link does not count", text=text, way=(SIGN_IN, "Sign in")
        )
        response.status_code = 410
        return response

    # -- pages

    def _page(  # noqa: PLR0913, PLR0917  what the page shows
        self, request: Request, to: str, form: Form | None = None, fault: str = "", status: int = 200, ticket: str = "",
        good: str = "",
    ) -> Response:  # fmt: skip
        given = {name: "" if form is None else form.get(name)[:254] for name in ("workspace", "user")}
        template = "sign_in_code.html" if ticket else "sign_in.html"
        kept = [] if form is None else _kept(form)
        return sign_in_page(
            self._parts, request, to=to, kept=kept, status=status, template=template, fault=fault, good=good,
            given=given, ticket=ticket,
        )  # fmt: skip

    def _foreign(self, request: Request) -> Response:
        text = f"This was not sent by a page of ours. Nothing was changed. {_NO_COOKIE_HELP}"
        response = self._parts.shell.render(
            request, "error.html", None, title="Not allowed", text=text, way=(SIGN_IN, "Sign in")
        )
        response.status_code = 403
        return response


def address_of(request: Request) -> str:
    """From which network address it is asked."""
    return request.client.host if request.client else ""


def _to(form: Form) -> str:
    return local_path(form.get("_to", "/"))


def _kept(form: Form) -> list[tuple[str, str]]:
    return [(name.removeprefix(KEPT), value) for name, value in form if name.startswith(KEPT)]


def _same(given: str, token: str) -> bool:
    return compare_digest(given.encode("utf-8", "surrogatepass"), token.encode())


def _unlike(password: str, again: str) -> str:
    return "" if password == again else "The two are not the same."


def _in_words(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{-(-seconds // 60)} min"
