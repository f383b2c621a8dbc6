"""A fortnight of decisions on the road that all decisions take: gate, log and desk, by a moved clock."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from random import Random
from typing import Final

from msgspec import Struct

from onpurpose.app.gate import PATIENCE_SECONDS, Pending
from onpurpose.core.act import State
from onpurpose.core.approval import Approval
from onpurpose.core.call import Call
from onpurpose.core.decision import Code
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.outcome import Outcome
from onpurpose.core.result import Result
from onpurpose.demo import made_up
from onpurpose.demo.cast import ACCOUNTANTS, TIER_1, TIER_2
from onpurpose.demo.classifier import Drawn, drifts_at
from onpurpose.demo.moved_clock import DAY, DAYS, HOUR, MINUTE, MovedClock, moments
from onpurpose.demo.parts import Parts
from onpurpose.demo.people import FIRST, LAST, Fate, People, attempt, drawn
from onpurpose.demo.repertoire import Repertoire
from onpurpose.demo.workspace import WORKSPACE, Keys, later_changes, open_workspace, write_documents
from onpurpose.place import Options

_AT_ONCE: Final = 200
"""How many records are on their way to the log at most."""


class Story(Struct, frozen=True, kw_only=True):
    """What there is to tell: about how many calls, drawn by which seed, up to when (microseconds UTC)."""

    decisions: int
    seed: int
    now: int


def write_history(
    options: Options, story: Story, repertoire: Repertoire, progress: Callable[[int], object] = lambda _: None
) -> Keys:
    """Make the workspace in a new database, with all that happened in it; the keys to it.

    `progress` is told how many more calls were asked. Raises `OnPurposeError` where the database cannot be written.
    """
    clock = MovedClock(story.now - DAYS * DAY - HOUR)
    classifier = Drawn(clock, drifts_at=drifts_at(story.now))
    with Parts(dataclasses.replace(options, classifier=classifier), clock) as parts:
        keys = open_workspace(parts)
        write_documents(parts)
        _History(parts, keys, story, repertoire).write(progress)
        clock.move(story.now)
        parts.desk.sweep()
        parts.project()
    return keys


def last_calls() -> list[Call]:
    """The calls that ask a person shortly before the visitor comes."""
    random = Random("last")  # noqa: S311  nothing secret hangs on it
    context = {"environment": "production", "user_role": "support", "tenant": "acme-corp", "caller_depth": 1}
    refund = {"order_id": "O-4471203", "amount": 640.0, "currency": "EUR"}
    transfer = {"recipient": "NL91ABNA0417164300", "amount": 12400.0, "invoice": "INV-200417"}
    write = {"to": "legal@mail.example", "subject": "Your complaint", "body": "We will answer within a week."}
    finance = {"environment": "production", "user_role": "accountant", "tenant": "acme-corp"}
    return [
        Call("support-agent", "refunds.issue", refund, context, "support", "customer_data", TIER_1[0]),
        Call("support-agent", "email.send", write, context, "support", None, TIER_1[1]),
        Call("payments-agent", "payments.transfer", transfer, finance, "accounts_payable", None, ACCOUNTANTS[0]),
        Call(
            "support-agent", "customers.export", made_up.export(random), {**context, "user_role": "support-lead"},
            "support", None, TIER_2[0], "pii_export", "salesforce_prod", ("customers.email", "customers.name"),
        ),
    ]  # fmt: skip


class _History:
    """What happens, in order of time: a heap of moments, and what is done at each."""

    def __init__(self, parts: Parts, keys: Keys, story: Story, repertoire: Repertoire) -> None:
        self._parts = parts
        self._key = keys.agents_key
        self._story = story
        self._repertoire = repertoire
        self._random = Random(story.seed)  # noqa: S311  nothing secret hangs on it
        self._people = People(parts, self._random)
        self._fates: Iterator[Fate] = iter(FIRST)
        self._known: set[str] = set()
        self._pending: list[Pending] = []
        self._coming: list[tuple[int, int, Callable[[], object]]] = []
        self._number = count()

    def write(self, progress: Callable[[int], object]) -> None:
        """Have it all happen."""
        now = self._story.now
        for change in later_changes(self._parts, now):
            self._then(change.at, self._settled(change.make))
        for at in moments(self._random, self._story.decisions, now):
            self._then(at, lambda: progress(self._ask(self._repertoire.draw(self._random))))
        for place, (call, fate) in enumerate(zip(last_calls(), LAST, strict=True)):
            self._then(now - (25 - 6 * place) * MINUTE, partial(self._ask, call, fate))
        while self._coming and self._coming[0][0] < now:
            at, _, act = heapq.heappop(self._coming)
            self._parts.clock.move(at)
            act()
        self._settle()

    def _then(self, at: int, act: Callable[[], object]) -> None:
        heapq.heappush(self._coming, (at, next(self._number), act))

    def _settled(self, act: Callable[[], object]) -> Callable[[], object]:
        def settled() -> None:
            self._settle()
            act()

        return settled

    def _begin(self, call: Call, approval_id: str | None = None) -> Pending:
        held = self._parts.workspaces[WORKSPACE]
        pending = self._parts.gate.begin_in(held, call, key=self._key.id, approval_id=approval_id)
        self._pending.append(pending)
        if len(self._pending) >= _AT_ONCE:
            self._settle()
        return pending

    def _settle(self) -> None:
        """Wait until what was decided is durable in the log."""
        for pending in self._pending:
            _recorded(pending.finish(PATIENCE_SECONDS))
        self._pending.clear()

    def _ask(self, call: Call, fate: Fate | None = None) -> int:
        """Ask about a call; where a person is needed, what becomes of that is settled now. How many were asked: 1."""
        pending = self._begin(call)
        if pending.decision.outcome is not Outcome.REQUIRE_APPROVAL:
            return 1
        result = _recorded(pending.finish(PATIENCE_SECONDS))
        ticket = self._parts.gate.follow(result, WORKSPACE, self._key).approval
        if ticket is None or ticket.id in self._known or ticket.state is not State.PENDING:
            return 1
        self._known.add(ticket.id)
        approval = self._parts.desk.get(WORKSPACE, ticket.id)
        self._plan(approval, call, fate or next(self._fates, None) or drawn(self._random))
        return 1

    def _plan(self, approval: Approval, call: Call, fate: Fate) -> None:
        steps = self._people.steps(approval, fate, lambda: self._begin(call, approval.id))
        for step in steps:
            self._then(approval.opened_at + step.after, partial(attempt, step.act))


def _recorded(result: Result) -> Result:
    if any(reason.code is Code.AUDIT_UNAVAILABLE for reason in result.reasons):
        raise OnPurposeError(f"the history cannot be written: {result.reasons[-1].message}")
    return result
