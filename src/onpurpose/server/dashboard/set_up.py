"""The page of a first start: it makes the first admin, and is gone once there is one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.own_proofs import password_fault
from onpurpose.server.dashboard.forms import Form, read_form
from onpurpose.server.dashboard.session import Guarded, is_visitors_form, sign_in_page

PATH = "/set-up"

_ID = re.compile(r"\.*[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,189}")
_WRONG_KEY = "This is no admin key of this service. It begins with op_; the first start showed it."
_STALE = "This page was too old, or your browser keeps no cookies from here. Try again."


def routes(parts: Guarded) -> list[BaseRoute]:
    """`/set-up`, which needs no session, but the admin key that the first start printed."""
    page = SetUp(parts)
    return [Route(PATH, page.ask, methods=["GET"]), Route(PATH, page.make, methods=["POST"])]


class SetUp:
    """The page."""

    def __init__(self, parts: Guarded) -> None:
        self._parts = parts
        self._first = parts.sessions.first

    async def ask(self, request: Request) -> Response:
        """The form; nothing is here once somebody is."""
        await self._check()
        return self._page(request)

    async def make(self, request: Request) -> Response:
        """Make the first admin, who then signs in."""
        await self._check()
        if not self._parts.sessions.is_ours(request):
            return self._page(request, {"": "This was not sent by a page of ours. Nothing was changed."}, status=403)
        form = await read_form(request)
        if not is_visitors_form(request, form):
            return self._page(request, {"": _STALE}, form, 403)
        return await run_in_threadpool(self._make, request, form)

    async def _check(self) -> None:
        if not await run_in_threadpool(self._first.is_wanted):
            raise HTTPException(404)

    def _make(self, request: Request, form: Form) -> Response:
        # Wrong keys are not counted: nobody guesses 256 random bits, but a lock would keep out whoever has the key.
        if not self._first.admits(form.get("key")[:256]):
            return self._page(request, {"key": _WRONG_KEY}, form, 401)
        faults = _faults(form)
        if faults:
            return self._page(request, faults, form, 422)
        name = form.get("name").strip() or form.get("id")
        made = self._first.make(form.get("id"), name, form.get("email").strip(), form.get("password"))
        if made is None:
            raise HTTPException(404)
        good = f"The user {made.id} is made. Sign in, and turn on a second factor under your name."
        return sign_in_page(self._parts, request, good=good, given={"workspace": "", "user": made.id})

    def _page(
        self, request: Request, faults: Mapping[str, str] | None = None, form: Form | None = None, status: int = 200
    ) -> Response:
        given = {name: "" if form is None else form.get(name)[:254] for name in ("id", "name", "email")}
        return sign_in_page(
            self._parts, request, template="set_up.html", status=status, given=given, faults=dict(faults or {})
        )


def _faults(form: Form) -> dict[str, str]:
    """What must be mended, by field."""
    user_id, email, password = form.get("id"), form.get("email").strip(), form.get("password")
    faults = {}
    if not _ID.fullmatch(user_id):
        faults["id"] = "Letters, digits, _, - and ., at most 128."
    if not _EMAIL.fullmatch(email):
        faults["email"] = "An e-mail address, such as ada@example.com."
    if len(form.get("name")) > 200 or not form.get("name").isprintable():
        faults["name"] = "One line of 200 characters at most."
    fault = password_fault(password, user_id, email)
    if fault or password != form.get("again"):
        faults["password"] = fault or "The two are not the same."
    return faults
