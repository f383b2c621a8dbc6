"""What is asked of whom: a judged call made into an approval, and who may be asked to decide it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from onpurpose.app.approval_changes import TRIES, Changes
from onpurpose.app.intent_context import Question, intent_context
from onpurpose.app.masking import Masking
from onpurpose.app.notes import Pen
from onpurpose.core.act import Act, Move, State, Via
from onpurpose.core.approval import Approval, ApprovalError, Wanted, as_of, is_requester, open_approval
from onpurpose.core.call import MAX_NAME
from onpurpose.core.canonical import exact_digest
from onpurpose.core.decision import Decision
from onpurpose.core.facts import Malformed
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Settings
from onpurpose.core.revision import ConflictError
from onpurpose.core.routing import DEFAULT, Route, folded
from onpurpose.ports import Approvals

SUPERSEDED = "the policies ask other people now: it was asked anew"
"""Why an approval is cancelled whose routes are not those of the policies any more."""

SIMILAR = 5
"""How many earlier approvals of the same kind are shown."""

MOST_PENDING = 100
"""How many approvals of one agent may wait for people at once: whoever gets more of them reads none."""

_MOST_OF_A_CALL = 50


def routes_of(decision: Decision, settings: Settings) -> tuple[Route, ...]:
    """The routes that the reasons of a decision ask for, each once; all of them must be satisfied.

    A reason that names nobody takes the stages of the workspace's route, and keeps its own time. Where the
    workspace demands step-up, every route does.
    """
    asking = [reason for reason in decision.reasons if reason.outcome is Outcome.REQUIRE_APPROVAL]
    general = settings.route if settings.route.stages else replace(settings.route, stages=DEFAULT.stages)
    routes = [general if reason.route is None else reason.route for reason in asking]
    filled = [
        replace(route, stages=route.stages or general.stages, step_up=route.step_up or general.step_up)
        for route in routes
    ]
    return tuple(dict.fromkeys(filled or [general]))


def digest_of(question: Question) -> str:
    """The digest that the approval is bound to. Raises `ApprovalError` for a call that nobody can be asked about."""
    if question.decision.outcome is not Outcome.REQUIRE_APPROVAL:
        raise ApprovalError(f"nobody is asked about a call whose outcome is {question.decision.outcome}")
    try:
        return exact_digest(question.call)
    except Malformed as malformed:
        raise ApprovalError(f"the call cannot be approved: {malformed}") from None


def requesters_of(question: Question) -> tuple[str, ...]:
    """Whose own request it is: the call's user, and those whom the question names; each once, bounded."""
    identity = question.call.identity
    names = [*question.requesters] if identity is None else [identity.user_id, *question.requesters]
    once = {folded(name): name if len(name) <= MAX_NAME else folded(name)[:MAX_NAME] for name in reversed(names)}
    return tuple(_valid(name) for key, name in reversed(once.items()) if key)


def draft(question: Question, digest: str, routes: tuple[Route, ...], pen: Pen, context: bytes) -> Approval:
    """The approval that the question opens. Raises `ApprovalError` where its routes ask nobody."""
    call = question.call
    try:
        return open_approval(
            Approval(
                id=pen.new_id(),
                workspace=question.workspace,
                digest=digest,
                agent_id=call.agent_id,
                capability=call.capability,
                purpose_id=None if call.purpose_id is None else _valid(call.purpose_id[:MAX_NAME]),
                requesters=requesters_of(question),
                asked_with=question.asked_with,
                routes=routes,
                context=context,
                opened_at=pen.at,
                until=pen.at,
                wake_at=None,
                decision_ids=(question.decision_id,),
            )
        )
    except ValueError as error:
        raise ApprovalError(f"nobody can be asked: {error}") from None


def _valid(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


class Asking:
    """Asks people about calls."""

    def __init__(
        self, approvals: Approvals, changes: Changes, *, settings: Callable[[str], Settings], masking: Masking
    ) -> None:
        self._approvals = approvals
        self._changes = changes
        self._settings = settings
        self._masking = masking

    def ask(self, question: Question) -> Approval:
        """The approval that answers the question; see `Desk.ask`."""
        digest = digest_of(question)
        routes = routes_of(question.decision, self._settings(question.workspace))
        for _ in range(TRIES):
            pen = self._changes.pen(question.workspace, question.call.agent_id)
            standing = self._standing(question, digest, routes, pen.at)
            if standing is None:
                self._bound(question)
                approval = draft(question, digest, routes, pen, self._context(question, pen.at))
                if self._changes.open(approval, pen):
                    return approval
            elif standing.state is not State.PENDING:
                return standing
            elif (joined := self._join(question, standing, routes)) is not None:
                return joined
        raise ConflictError("others ask for the same and decide it all the time: ask again")

    def _bound(self, question: Question) -> None:
        """Raise `ApprovalError` where as many wait as may. Of several that ask at once a few more may come through."""
        agent = question.call.agent_id
        if self._approvals.pending(question.workspace, agent) >= MOST_PENDING:
            raise ApprovalError(
                f"{MOST_PENDING} requests of this agent wait for people already: "
                "have them decided or cancelled before it asks for more"
            )

    def _standing(self, question: Question, digest: str, routes: tuple[Route, ...], now: int) -> Approval | None:
        """The approval that answers the question, or that must give way first."""
        states = frozenset({State.PENDING, State.GRANTED, State.DENIED})
        wanted = Wanted(workspace=question.workspace, digest=digest, states=states, limit=_MOST_OF_A_CALL)
        found = self._approvals.find(wanted)
        asking = requesters_of(question)
        for one in found:
            if one.state is State.DENIED and now < one.until:
                return one
        for one in found:
            same = set(one.routes) == set(routes) and all(is_requester(one, name) for name in asking)
            if one.state is State.GRANTED and now < one.until and same:
                return one
        return next((one for one in found if one.state is State.PENDING), None)

    def _join(self, question: Question, standing: Approval, routes: tuple[Route, ...]) -> Approval | None:
        """The pending approval as the question leaves it; `None` where it gave way, or has changed meanwhile."""
        newcomers = [name for name in requesters_of(question) if not is_requester(standing, name)]
        pen = self._changes.pen(question.workspace, question.call.agent_id)
        if pen.at >= standing.until:
            act = Act(move=Move.EXPIRE, at=pen.at, via=Via.CLOCK)
        elif set(routes) != set(standing.routes):
            act = Act(move=Move.CANCEL, at=pen.at, via=Via.AGENT, text=SUPERSEDED)
        else:
            by = newcomers[0] if newcomers else ""
            act = Act(
                move=Move.JOIN, at=pen.at, via=Via.AGENT, by=by, to=question.asked_with,
                decision_id=question.decision_id,
            )  # fmt: skip
        try:
            with self._changes.lock(standing.id):
                after, messages = self._changes.keep(standing, act, pen)
        except ConflictError:
            return None
        if after is not standing:
            self._changes.announce(after, messages=messages)
        return after if act.move is Move.JOIN and len(newcomers) <= 1 else None

    def _context(self, question: Question, now: int) -> bytes:
        """The intent context, with what people said to the agent of this kind before."""
        call, states = question.call, frozenset({State.GRANTED, State.USED})
        alike = Wanted(workspace=question.workspace, agent_id=call.agent_id, capability=call.capability, limit=SIMILAR)
        similar = [as_of(one, now) for one in self._approvals.find(alike)]
        last = next((one for one in similar if one.state in states), None)
        if last is None and len(similar) == SIMILAR:
            last = next(iter(self._approvals.find(replace(alike, states=states, limit=1))), None)
        return intent_context(question, self._masking, last, similar)
