"""What both pages have in common: a visitor who is known, what they see, and what becomes of what they chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from starlette.responses import Response

from onpurpose.app.approvals import DENIAL_REASONS, Desk
from onpurpose.app.telling import person
from onpurpose.core.access import User
from onpurpose.core.act import Move, Via
from onpurpose.core.approval import Approval, ApprovalError, IllegalMoveError, NotEligibleError, State
from onpurpose.core.eligibility import seats
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import ConflictError, MissingError, StoreError
from onpurpose.ports import Clock
from onpurpose.server.pages.forms import Form
from onpurpose.server.pages.rendering import message, page
from onpurpose.server.pages.showing import sheet
from onpurpose.server.pages.words import names, reason, standing

People = Callable[[str], Sequence[User]]
"""The users of a workspace, as the directory knows them now."""

_DONE = {"grant": "Your grant is kept", "deny": "The request is denied", "delegate": "The request is passed on"}
_NO_FAULT = ("", "")


class Visitor(Struct, frozen=True, kw_only=True):
    """Somebody who is known, before an approval: by a signed link (its id), or by a personal key (its text)."""

    workspace: str
    approval_id: str
    user: str
    link: str = ""
    key: str = ""

    def __repr__(self) -> str:
        return f"Visitor({self.user!r}, {self.approval_id!r})"

    @property
    def via(self) -> Via:
        """By which way they came."""
        return Via.EMAIL if self.link else Via.PAGE


class Rights(Struct, frozen=True, kw_only=True):
    """Why somebody may not grant, and not deny; empty where they may."""

    no_grant: str
    no_deny: str


class Deciding:
    """Shows approvals and has them decided. For worker threads; raises nothing for what a visitor does."""

    def __init__(self, desk: Desk, people: People, clock: Clock) -> None:
        self._desk = desk
        self._people = people
        self._clock = clock

    def rights(self, approval: Approval, user_id: str) -> Rights:
        """What the user may do with it now."""
        users = self._people(approval.workspace)
        found = next((one for one in users if one.id == user_id and one.disabled_at is None), None)
        if found is None:
            gone = "there is no such user in this workspace"
            return Rights(no_grant=gone, no_deny=gone)
        known, everybody = person(found), [person(one) for one in users]

        def why_not(move: Move) -> str:
            try:
                seats(approval, known, move, everybody)
            except NotEligibleError as error:
                return str(error)
            return ""

        return Rights(no_grant=why_not(Move.GRANT), no_deny=why_not(Move.DENY))

    def standing(self, approval: Approval, *, fresh: bool = False) -> str:
        """How it stands, in words; `fresh` for whoever made it so just now."""
        who = names(self._people(approval.workspace), approval.asked_with)
        return standing(approval, self._clock.now(), who, fresh=fresh)

    def show(
        self, visitor: Visitor, approval: Approval, *, form: Form | None = None, fault: tuple[str, str] = _NO_FAULT
    ) -> Response:
        """The request with all that one decides by, and, for whoever may, the forms; `form` is what was filled in."""
        users = self._people(approval.workspace)
        who, rights = names(users, approval.asked_with), self.rights(approval, visitor.user)
        pending = approval.state is State.PENDING
        return page(
            "request.html",
            422 if fault[1] else 200,
            visitor=visitor,
            name=who(visitor.user),
            approval=approval,
            standing=standing(approval, self._clock.now(), who),
            reason=reason(approval),
            sheet=sheet(approval, self._desk.similar(approval), who),
            may_grant=pending and not rights.no_grant,
            may_deny=pending and not rights.no_deny,
            why_not=rights.no_grant if pending else "",
            candidates=self._desk.candidates(approval, visitor.user) if pending else [],
            presets=DENIAL_REASONS,
            form=form or Form(action="show"),
            fault={"field": fault[0], "text": fault[1]},
        )

    def decide(self, visitor: Visitor, form: Form) -> Response:
        """Do what was chosen, and say what became of it."""
        if form.fault[1]:
            return self.show(
                visitor, self._desk.get(visitor.workspace, visitor.approval_id), form=form, fault=form.fault
            )
        try:
            approval = self._act(visitor, form)
        except IllegalMoveError as error:
            return self._late(error)
        except NotEligibleError as error:
            return self._not_eligible(visitor, form, error)
        except (ConflictError, ApprovalError) as error:
            return message("It could not be done", f"Nothing was changed: {error}.", "Try again.", status=409)
        return message(_DONE[form.action], self.standing(approval, fresh=True), *self._after(form, approval))

    def _act(self, visitor: Visitor, form: Form) -> Approval:
        where, who = (visitor.workspace, visitor.approval_id), visitor.user
        signed_in = bool(visitor.key)
        if form.action == "grant":
            return self._desk.grant(
                *where, who, via=visitor.via, text=form.text, link=visitor.link, signed_in=signed_in
            )
        if form.action == "deny":
            return self._desk.deny(*where, who, via=visitor.via, text=form.why, link=visitor.link, signed_in=signed_in)
        return self._desk.delegate(
            *where, who, to=form.to, via=visitor.via, text=form.text, link=visitor.link, signed_in=signed_in
        )

    def _late(self, error: IllegalMoveError) -> Response:
        """Somebody was quicker, the time was over, or the link was used."""
        if error.approval.state is State.PENDING:
            return message("It was not done", f"Nothing was changed: {error}.", status=409)
        return message("You come too late", "Nothing was changed by you.", self.standing(error.approval), status=409)

    def _not_eligible(self, visitor: Visitor, form: Form, error: NotEligibleError) -> Response:
        approval = self._desk.get(visitor.workspace, visitor.approval_id)
        if form.action == "delegate" and not self.rights(approval, visitor.user).no_grant:
            return self.show(visitor, approval, form=form, fault=("to", f"It was not passed on: {error}."))
        return message("You cannot decide this request", f"Nothing was changed: {error}.", status=403)

    def _after(self, form: Form, approval: Approval) -> list[str]:
        """What comes next."""
        if form.action == "grant" and approval.state is State.PENDING:
            return ["It needs more grants than yours."]
        if form.action == "delegate":
            who = names(self._people(approval.workspace), approval.asked_with)
            return [f"{who(form.to)} is told. You decide it no more."]
        return ["There is nothing left for you to do."]


def answered(make: Callable[[], Response]) -> Response:
    """The page that `make` gives; where the store or the log does not answer, one that says so."""
    try:
        return make()
    except MissingError:
        return message("There is no such request", "It is not there, or it belongs to another workspace.", status=404)
    except (StoreError, LedgerError):
        text = "Requests cannot be reached at the moment. Nothing is known to have been changed: try again soon."
        return message("Not now", text, status=503)
