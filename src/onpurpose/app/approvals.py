"""Where approvals are asked for, decided and used: every change is one move of the table, made by whoever is first.

A change is kept by compare-and-swap, in one transaction with the note for the log and the messages it owes.
Whoever comes second finds the approval as the first left it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as Late

from onpurpose.app.approval_changes import TRIES, Changes, Sources
from onpurpose.app.approval_waits import POLL_SECONDS, Waits
from onpurpose.app.asking import SIMILAR, Asking, routes_of
from onpurpose.app.consuming import Attempt, Consumed, consume, unavailable
from onpurpose.app.intent_context import Question, changed_since, visible
from onpurpose.app.masking import Masking
from onpurpose.app.outbox import Post
from onpurpose.app.telling import person
from onpurpose.app.turned_away import TurnedAway
from onpurpose.core.access import User
from onpurpose.core.act import MOVES, Act, Move, Via
from onpurpose.core.approval import (
    MAX_TEXT,
    Approval,
    ApprovalError,
    IllegalMoveError,
    NotEligibleError,
    Wanted,
    as_of,
    due,
    is_requester,
)
from onpurpose.core.call import Call
from onpurpose.core.eligibility import delegation, kin, leaves, may_speak, seats
from onpurpose.core.purpose import Settings
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.routing import Person, Route
from onpurpose.ports import Approvals, Clock, Ledger
from onpurpose.waiting import Promise

__all__ = ["DENIAL_REASONS", "Consumed", "Desk", "Question", "routes_of"]

log = logging.getLogger("onpurpose")

DENIAL_REASONS = (
    "This is not what the agent was asked to do.",
    "The amount, the recipient or the target is wrong.",
    "It reads or changes more data than it needs.",
    "Not now: ask again at a better time.",
    "I cannot tell from this request what it is for.",
)
"""Reasons that are offered to whoever denies; any other text will do."""

MOST_CANDIDATES = 100
"""How many people a delegation is offered to."""

MOST_REFUSED = 600
"""How many refused attempts are recorded in a minute: as many as a crowd that clicks at once may make."""

_BATCH = 100
_MOST_BATCHES = 100

_Making = Callable[[Approval, int], Act]
"""Makes an act out of the approval as it stands and the time, or refuses."""


class Desk:
    """Asks, decides and uses approvals. Thread-safe, synchronous.

    `people` and `settings` give the users and the settings of a workspace as they are at that moment. `woken` is
    called once messages are kept that must leave. A method that changes something returns when its note
    is durable in the log; where that fails, the change stands, and `sweep` brings the note there later.
    `refused` records an attempt that was turned away before it came here: a forged or an expired link.

    Raises `MissingError` for what the workspace has not, `IllegalMoveError` for what somebody else was
    quicker with, `NotEligibleError` for who may not, another `ApprovalError` for what cannot be, and
    `StoreError`.
    """

    def __init__(  # noqa: PLR0913  these are its parts
        self,
        approvals: Approvals,
        post: Post,
        *,
        people: Callable[[str], Sequence[User]],
        settings: Callable[[str], Settings],
        clock: Clock,
        new_id: Callable[[int], str],
        masking: Masking,
        ledger: Ledger | None,
        woken: Callable[[], None] = lambda: None,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._approvals = approvals
        self._people = people
        self._clock = clock
        self._masking = masking
        self._waits = Waits(approvals, self.get, clock=clock, poll_seconds=poll_seconds)
        sources = Sources(people=people, settings=settings)
        self._changes = Changes(approvals, post, self._waits, sources=sources, clock=clock, new_id=new_id, woken=woken)
        self._asking = Asking(approvals, self._changes, settings=settings, masking=masking)
        self.refused = TurnedAway(ledger, masking, clock=clock, new_id=new_id, most=MOST_REFUSED)

    # -- the agent's side

    def ask(self, question: Question) -> Approval:
        """The approval that this call waits for: a new one, or the one that stands already.

        An identical call joins the pending one; while the time of a denied one runs, the answer is that one,
        and so is a granted one that is not used yet. One that asks other people than the policies do now is
        cancelled, and asked anew. Raises `ApprovalError` for a call that cannot be approved.
        """
        return self._asking.ask(question)

    def consume(  # noqa: PLR0913, PLR0917  what a grant is compared with
        self,
        workspace: str,
        approval_id: str,
        digest: str,
        agent_id: str,
        routes: tuple[Route, ...],
        decision_id: str,
    ) -> Consumed:
        """Use the grant for the call of that digest, asked for by these routes; or why it cannot be. Never raises.

        Of all that try, one is told `APPROVAL_GRANTED`.
        """
        try:
            attempt = Attempt(
                workspace=workspace,
                approval_id=approval_id,
                digest=digest,
                agent_id=agent_id,
                routes=routes,
                decision_id=decision_id,
            )
            return consume(attempt, self._approvals, self._changes)
        except Exception:
            log.exception("an approval could not be used; its call is refused")
            return unavailable()

    def changed_since(self, approval: Approval, call: Call) -> str:
        """What differs between the call that was asked about and this one, in lines; masked and bounded."""
        return changed_since(approval, call, self._masking)

    def watch(self, workspace: str, approval_id: str) -> Promise[Approval]:
        """A promise of the approval once it is not pending any more; cancel it to wait no longer.

        No thread waits: an event loop can (`onpurpose.waiting.done`). Kept with `MissingError` where there is none.
        """
        return self._waits.watch(workspace, approval_id)

    def wait(self, workspace: str, approval_id: str, seconds: float | None) -> Approval:
        """The approval once it is not pending any more, or as it stands after so many seconds."""
        promise = self.watch(workspace, approval_id)
        try:
            return promise.result(seconds)
        except (Late, CancelledError):  # or the desk is closed
            promise.cancel()
            return self.get(workspace, approval_id)

    # -- reading

    def get(self, workspace: str, approval_id: str) -> Approval:
        """The approval as of now."""
        kept = self._approvals.get(workspace, approval_id)
        if kept is None:
            raise MissingError(f"there is no approval `{visible(approval_id[:100])}`")
        return as_of(kept, self._clock.now())

    def find(self, wanted: Wanted) -> list[Approval]:
        """The approvals that are wanted, as of now."""
        now = self._clock.now()
        found = [as_of(one, now) for one in self._approvals.find(wanted)]
        return [one for one in found if wanted.states is None or one.state in wanted.states]

    def similar(self, approval: Approval) -> list[Approval]:
        """The newest other approvals of the same agent and capability, as of now."""
        wanted = Wanted(
            workspace=approval.workspace, agent_id=approval.agent_id, capability=approval.capability, limit=SIMILAR + 1
        )
        return [one for one in self.find(wanted) if one.id != approval.id][:SIMILAR]

    def candidates(self, approval: Approval, user_id: str) -> list[User]:
        """The users to whom that one may delegate the approval, at most `MOST_CANDIDATES`."""
        users = self._people(approval.workspace)
        found: list[User] = []
        try:
            who, everybody = _among(users, user_id)
            leaves(approval, who, _enabled(users))
            others = kin(approval, everybody)
            seats(approval, who, Move.DELEGATE, others)
        except NotEligibleError:
            return []
        for user in users:
            if len(found) < MOST_CANDIDATES and user.disabled_at is None:
                try:
                    delegation(approval, who, person(user), others)
                except NotEligibleError:
                    continue
                found.append(user)
        return found

    # -- deciding

    def grant(  # noqa: PLR0913  what an act is made of
        self,
        workspace: str,
        approval_id: str,
        user_id: str,
        *,
        via: Via,
        text: str = "",
        link: str = "",
        signed_in: bool = False,
    ) -> Approval:
        """The approval with the user's grant: granted, or waiting for others. `link` is the signed link's id."""

        def make(approval: Approval, at: int) -> Act:
            who, everybody = self._known(approval, user_id, signed_in=signed_in)
            taken = seats(approval, who, Move.GRANT, everybody)
            return Act(move=Move.GRANT, at=at, by=user_id, via=via, text=self._said(text), seats=taken, link=link)

        return self._by_person(workspace, approval_id, user_id, Move.GRANT, via, link, make)

    def deny(  # noqa: PLR0913  what an act is made of
        self,
        workspace: str,
        approval_id: str,
        user_id: str,
        *,
        via: Via,
        text: str,
        link: str = "",
        signed_in: bool = False,
    ) -> Approval:
        """The approval, denied for the reason in `text`: 1 to 2,000 characters."""
        if not text.strip():
            raise ApprovalError("a denial needs a reason: the agent is told it")

        def make(approval: Approval, at: int) -> Act:
            who, everybody = self._known(approval, user_id, signed_in=signed_in)
            seats(approval, who, Move.DENY, everybody)
            return Act(move=Move.DENY, at=at, by=user_id, via=via, text=self._said(text), link=link)

        return self._by_person(workspace, approval_id, user_id, Move.DENY, via, link, make)

    def delegate(  # noqa: PLR0913  what an act is made of
        self,
        workspace: str,
        approval_id: str,
        user_id: str,
        *,
        to: str,
        via: Via,
        text: str = "",
        link: str = "",
        signed_in: bool = False,
    ) -> Approval:
        """The approval, passed on to the user `to`; whoever passes it on decides it no more.

        Refused too where too few would be left to satisfy its routes.
        """

        def make(approval: Approval, at: int) -> Act:
            who, everybody = self._known(approval, user_id, signed_in=signed_in)
            users = self._people(workspace)
            delegation(approval, who, _among(users, to)[0], everybody)
            leaves(approval, who, _enabled(users))
            return Act(move=Move.DELEGATE, at=at, by=user_id, via=via, text=self._said(text), to=to, link=link)

        return self._by_person(workspace, approval_id, user_id, Move.DELEGATE, via, link, make)

    def comment(self, workspace: str, approval_id: str, user_id: str, *, via: Via, text: str) -> Approval:
        """The approval with a comment, 1 to 2,000 characters, of somebody who has a part in it."""
        if not text.strip():
            raise ApprovalError("a comment needs a text")

        def make(approval: Approval, at: int) -> Act:
            who, everybody = self._known(approval, user_id, signed_in=True)
            if not may_speak(approval, who, everybody):
                raise NotEligibleError("you have no part in this request")
            return Act(move=Move.COMMENT, at=at, by=user_id, via=via, text=self._said(text))

        return self._by_person(workspace, approval_id, user_id, Move.COMMENT, via, "", make)

    def cancel(self, workspace: str, approval_id: str, *, by: str, via: Via, text: str = "") -> Approval:
        """The approval, cancelled: nothing runs by it any more, even where it was granted.

        `by` is one of the requesters, the id of a key that asked, or a user who has a part in it.
        """

        def make(approval: Approval, at: int) -> Act:
            if not (by and (approval.was_asked_with(by) or is_requester(approval, by))):
                who, everybody = self._known(approval, by, signed_in=True)
                if not may_speak(approval, who, everybody):
                    raise NotEligibleError("only who has a part in a request cancels it")
            return Act(move=Move.CANCEL, at=at, by=by, via=via, text=self._said(text))

        return self._by_person(workspace, approval_id, by, Move.CANCEL, via, "", make)

    def _by_person(  # noqa: PLR0913, PLR0917  what an act is made of
        self, workspace: str, approval_id: str, by: str, move: Move, via: Via, link: str, make: _Making
    ) -> Approval:
        """Do it; an attempt of who may not, or with a link that was used, is recorded."""
        try:
            with self._changes.lock(approval_id):
                after, messages = self._changed(workspace, approval_id, by, move, make)
        except (NotEligibleError, MissingError, IllegalMoveError) as error:
            if link or not isinstance(error, IllegalMoveError):
                self.refused(str(error), workspace=workspace, approval_id=approval_id, who=by, via=via)
            raise
        self._changes.announce(after, messages=messages)
        return after

    def _changed(self, workspace: str, approval_id: str, by: str, move: Move, make: _Making) -> tuple[Approval, bool]:
        for _ in range(TRIES):
            approval = self.get(workspace, approval_id)
            pen = self._changes.pen(workspace, by)
            if move not in MOVES[approval.state]:  # first of all: whoever comes second is told who was first
                raise IllegalMoveError(approval, move)
            try:
                return self._changes.keep(approval, make(approval, pen.at), pen)
            except ConflictError:
                continue
        raise ConflictError("others change this request all the time: try again")

    def _known(self, approval: Approval, user_id: str, *, signed_in: bool) -> tuple[Person, list[Person]]:
        """The user as the directory knows them now, and everybody."""
        if approval.step_up and not signed_in:
            raise NotEligibleError("whoever decides this request signs in, on its page")
        return _among(self._people(approval.workspace), user_id)

    def _said(self, text: str) -> str:
        """What a person wrote, masked and visible."""
        if len(text) > MAX_TEXT:
            raise ApprovalError(f"a text has at most {MAX_TEXT} characters, and this has {len(text)}")
        whole = text.strip().encode("utf-8", "replace").decode()
        return visible(self._masking.text(whole))[:MAX_TEXT]

    # -- the clock's part

    def sweep(self) -> int:
        """Do what is due now: expire, escalate, remind, and bring notes to the log; how much was done.

        Call it every second, or when the next `wake_at` is there. Raises `StoreError`.
        """
        count = 0
        for _ in range(_MOST_BATCHES):
            found = self._approvals.find(Wanted(due_at=self._clock.now(), limit=_BATCH))
            done = sum(map(self._do_due, found))
            if not done:
                break
            count += done
            self._changes.deliver()
        self._changes.catch_up()
        return count

    def _do_due(self, approval: Approval) -> int:
        """Do all that is due for one approval; how much. What fails is tried at the next sweep."""
        count = 0
        try:
            with self._changes.lock(approval.id):
                pen = self._changes.pen(approval.workspace, "")
                while (move := due(approval, pen.at)) is not None:
                    approval, messages = self._changes.keep(approval, Act(move=move, at=pen.at, via=Via.CLOCK), pen)
                    self._changes.tell(approval, messages=messages)
                    count += 1
        except ConflictError:  # somebody was quicker
            return count
        except Exception:
            log.exception("an approval whose time has come could not be changed")
        return count

    def close(self) -> None:
        """Let go of who waits."""
        self._waits.close()


def _among(users: Sequence[User], user_id: str) -> tuple[Person, list[Person]]:
    """The enabled user of that id, and every account there is. Raises `NotEligibleError`."""
    for user in users:
        if user.id == user_id and user.disabled_at is None:
            return person(user), [person(one) for one in users]
    raise NotEligibleError("there is no such user in this workspace")


def _enabled(users: Sequence[User]) -> list[Person]:
    return [person(user) for user in users if user.disabled_at is None]
