"""`/approve/{token}`: a signed link from a mail. Looking decides nothing; its form does, once."""

from __future__ import annotations

from functools import partial

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onpurpose.app.approvals import Desk
from onpurpose.app.links import Fault, Link, Links, Refusal, check
from onpurpose.core.act import Via
from onpurpose.core.approval import Approval, State
from onpurpose.core.revision import MissingError
from onpurpose.ports import Clock
from onpurpose.server.pages.deciding import Deciding, Visitor, answered
from onpurpose.server.pages.forms import Form, UnreadableError, is_from_our_page, read_form
from onpurpose.server.pages.rendering import message

PATH = "/approve/{token}"
_ACTIONS = frozenset({"grant", "deny", "delegate"})
_STATUSES = {Fault.FORGED: 404, Fault.EXPIRED: 410, Fault.SPENT: 410}


class ByLink:
    """The page behind a signed link."""

    def __init__(self, desk: Desk, links: Links, deciding: Deciding, *, clock: Clock, public_url: str) -> None:
        self._desk = desk
        self._links = links
        self._deciding = deciding
        self._clock = clock
        self._public_url = public_url

    def routes(self) -> list[Route]:
        """`GET` (and `HEAD`) shows, `POST` decides."""
        return [Route(PATH, self.look, methods=["GET"]), Route(PATH, self.act, methods=["POST"])]

    async def look(self, request: Request) -> Response:
        """Show the request. Whoever fetches it, however often: nothing is decided or spent."""
        token = request.path_params["token"]
        return await to_thread.run_sync(answered, partial(self._look, token))

    async def act(self, request: Request) -> Response:
        """Do what was chosen in the form."""
        token = request.path_params["token"]
        if not is_from_our_page(request, self._public_url):
            await to_thread.run_sync(
                partial(self._refuse, "the form was not sent by one of our pages", self._read(token))
            )
            text = "Nothing was changed. Open the link in your mail again, and decide on the page that it shows."
            return message("That did not come from our page", text, status=403)
        try:
            form = await read_form(request, _ACTIONS)
        except UnreadableError:
            return message("The form could not be read", "Nothing was changed.", status=400)
        return await to_thread.run_sync(answered, partial(self._act, token, form))

    def _read(self, token: str) -> Link | Refusal:
        return self._links.read(token, self._clock.now())

    def _look(self, token: str) -> Response:
        found = self._find(token)
        if isinstance(found, Response):
            return found
        visitor, approval = found
        if approval.state is not State.PENDING:
            return message("There is nothing left to decide", self._deciding.standing(approval))
        if approval.step_up:
            return self._sign_in_first(approval)
        why_not = self._deciding.rights(approval, visitor.user).no_deny
        if why_not:
            if not any(act.by == visitor.user for act in approval.acts):
                self._desk.refused(why_not, **_known(visitor))
            return message("You cannot decide this request", f"It is not yours to decide: {why_not}.", status=403)
        return self._deciding.show(visitor, approval)

    def _act(self, token: str, form: Form) -> Response:
        found = self._find(token)
        if isinstance(found, Response):
            return found
        visitor, approval = found
        if approval.step_up and approval.state is State.PENDING:
            self._desk.refused("whoever decides this request signs in, on its page", **_known(visitor))
            return self._sign_in_first(approval, 403)
        return self._deciding.decide(visitor, form)

    def _sign_in_first(self, approval: Approval, status: int = 200) -> Response:
        text = "Whoever decides this request signs in with a personal key. Nothing was changed."
        way = (self._links.page(approval), "Go on to sign in")
        return message("Sign in to decide", text, status=status, way=way)

    def _find(self, token: str) -> tuple[Visitor, Approval] | Response:
        """Who stands before what; or the page that says why the link does not count."""
        link = self._read(token)
        if isinstance(link, Refusal):
            return self._turned_away(link)
        try:
            approval = self._desk.get(link.workspace, link.approval_id)
        except MissingError:
            self._refuse("there is no such approval", link)
            raise
        refusal = check(link, approval)
        if refusal is not None:
            return self._turned_away(refusal)
        visitor = Visitor(workspace=link.workspace, approval_id=link.approval_id, user=link.user, link=link.id)
        return visitor, approval

    def _turned_away(self, refusal: Refusal) -> Response:
        self._refuse(refusal.text, refusal)
        status = _STATUSES.get(refusal.fault, 403)
        if refusal.link is None:
            text = "Perhaps a part of it is missing: copy the whole link out of the mail."
            return message("This link does not count", text, status=status)
        approval = self._desk.get(refusal.link.workspace, refusal.link.approval_id)
        title = f"{refusal.text[0].upper()}{refusal.text[1:]}"
        return message(title, self._deciding.standing(approval), status=status)

    def _refuse(self, why: str, what: Link | Refusal) -> None:
        link = what.link if isinstance(what, Refusal) else what
        known = {} if link is None else {"workspace": link.workspace, "approval_id": link.approval_id, "who": link.user}
        self._desk.refused(why, via=Via.EMAIL, **known)


def _known(visitor: Visitor) -> dict[str, str]:
    return {
        "workspace": visitor.workspace,
        "approval_id": visitor.approval_id,
        "who": visitor.user,
        "via": visitor.via,
    }
