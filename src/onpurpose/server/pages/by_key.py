"""`/approvals/{id}`: where one signs in with a personal key to see a request and to decide it.

There is no session: the key travels with each form, in the body alone, and is never kept.
"""

from __future__ import annotations

from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onpurpose.app.approvals import Desk
from onpurpose.core.access import ApiKey, Scope
from onpurpose.core.act import Via
from onpurpose.core.feed import kept
from onpurpose.core.revision import MissingError
from onpurpose.ports import Clock
from onpurpose.server.identity import Authority, Refusal
from onpurpose.server.pages.deciding import Deciding, People, Visitor, answered
from onpurpose.server.pages.forms import Form, UnreadableError, is_from_our_page, read_form
from onpurpose.server.pages.guesses import Guesses
from onpurpose.server.pages.rendering import message, page

PATH = "/approvals/{id}"
_ACTIONS = frozenset({"show", "grant", "deny", "delegate"})

_WRONG = {
    Refusal.MISSING: "Enter your key: it begins with op_.",
    Refusal.UNKNOWN: "This key is not known. Was all of it copied?",
    Refusal.EXPIRED: "This key has expired. Ask an admin of your workspace for a new one.",
    Refusal.REVOKED: "This key is revoked. Ask an admin of your workspace for a new one.",
}
_IMPERSONAL = "This key is good, but it is nobody's own. Ask an admin of your workspace for a personal one."
_READS_ONLY = "This is your key, but it only reads. Ask an admin of your workspace for one that may approve."
_NO_USER = "The user of this key is disabled."


class ByKey:
    """The page where one signs in."""

    def __init__(  # noqa: PLR0913  these are its parts
        self,
        desk: Desk,
        authority: Authority,
        deciding: Deciding,
        *,
        people: People,
        guesses: Guesses,
        clock: Clock,
        public_url: str,
    ) -> None:
        self._desk = desk
        self._authority = authority
        self._deciding = deciding
        self._people = people
        self._guesses = guesses
        self._clock = clock
        self._public_url = public_url

    def routes(self) -> list[Route]:
        """`GET` asks for the key and knows nothing of requests, `POST` shows and decides."""
        return [Route(PATH, self.ask, methods=["GET"]), Route(PATH, self.act, methods=["POST"])]

    async def ask(self, _: Request) -> Response:
        """Ask for a key: the same page for every request, whether or not there is one."""
        return _sign_in()

    async def act(self, request: Request) -> Response:
        """Show the request to whoever the key belongs to, or do what they chose."""
        approval_id = kept(request.path_params["id"])
        if not is_from_our_page(request, self._public_url):
            await self._refuse("the form was not sent by one of our pages", approval_id)
            return message("That did not come from our page", "Nothing was changed. Sign in again.", status=403)
        try:
            form = await read_form(request, _ACTIONS)
        except UnreadableError:
            return message("The form could not be read", "Nothing was changed.", status=400)
        address = request.client.host if request.client else ""
        wait = self._guesses.wait(address, form.key)
        if wait:
            await self._refuse("too many wrong keys", approval_id)
            return _sign_in(f"Too many wrong keys. Try again in {wait} s.", 429, retry_after=wait)
        found = self._authority.find(form.key.strip(), self._clock.now())
        if isinstance(found, Refusal):
            self._guesses.wrong(address, form.key)
            await self._refuse(f"signing in: {found.name.lower()} key", approval_id)
            return _sign_in(_WRONG[found], 401)
        return await to_thread.run_sync(answered, partial(self._enter, found, approval_id, form))

    async def _refuse(self, why: str, approval_id: str) -> None:
        """Record it; of the key nothing is told, as nobody knows what was pasted there."""
        await to_thread.run_sync(partial(self._desk.refused, why, approval_id=approval_id, via=Via.PAGE))

    def _enter(self, key: ApiKey, approval_id: str, form: Form) -> Response:
        fault = self._not_admitted(key)
        if fault or key.user is None:
            self._record(fault, key, approval_id)
            return _sign_in(fault, 403)
        try:
            approval = self._desk.get(key.workspace, approval_id)
        except MissingError as error:
            self._record(str(error), key, approval_id)
            raise
        visitor = Visitor(workspace=key.workspace, approval_id=approval_id, user=key.user, key=form.key.strip())
        return self._deciding.show(visitor, approval) if form.action == "show" else self._deciding.decide(visitor, form)

    def _not_admitted(self, key: ApiKey) -> str:
        """Why nobody signs in with this key; empty where its user does."""
        if key.user is None:
            return _IMPERSONAL
        if Scope.APPROVE not in key.scopes:
            return _READS_ONLY
        enabled = any(one.id == key.user and one.disabled_at is None for one in self._people(key.workspace))
        return "" if enabled else _NO_USER

    def _record(self, why: str, key: ApiKey, approval_id: str) -> None:
        self._desk.refused(
            why, workspace=key.workspace, approval_id=approval_id, who=key.user or key.prefix, via=Via.PAGE
        )


def _sign_in(fault: str = "", status: int = 200, *, retry_after: int = 0) -> Response:
    return page("sign_in.html", status, retry_after=retry_after, fault=fault)
