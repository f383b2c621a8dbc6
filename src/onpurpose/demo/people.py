"""What became of the approvals of the fortnight: who said what, when, and whether the call ran in the end."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from random import Random
from typing import Final, NamedTuple

from onpurpose.core.act import State, Via
from onpurpose.core.approval import Approval, IllegalMoveError, NotEligibleError
from onpurpose.core.routing import GROUP
from onpurpose.demo.cast import APPROVERS, MEMBERS
from onpurpose.demo.moved_clock import MINUTE
from onpurpose.demo.parts import Parts
from onpurpose.demo.workspace import WORKSPACE


class Fate(StrEnum):
    """What becomes of an approval."""

    USED = "used"
    DENIED = "denied"
    PASSED_ON = "passed on"
    """Delegated, then granted by whom it was passed on to, and used."""
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    GRANTED = "granted"
    """Granted, and not used by its agent."""
    LEFT = "left"
    """Nobody looked at it."""


FIRST: Final = tuple(fate for fate in Fate if fate is not Fate.LEFT)
"""What becomes of the first approvals, in their order, so that there is one of each whatever chance says."""

LAST: Final = (Fate.GRANTED, Fate.LEFT, Fate.LEFT, Fate.LEFT)
"""What becomes of the last ones before the visitor comes."""

_WEIGHTS: Final = {
    Fate.USED: 50, Fate.DENIED: 18, Fate.PASSED_ON: 10, Fate.EXPIRED: 10, Fate.CANCELLED: 6, Fate.GRANTED: 6
}  # fmt: skip

YES: Final = (
    "Checked with the customer.",
    "The invoice is in order.",
    "Fine, once.",
    "",
    "",
    "As agreed this morning.",
)
NO: Final = (
    "This is not what the agent was asked to do.",
    "The amount, the recipient or the target is wrong.",
    "I cannot tell from this request what it is for.",
)
"""Reasons of a denial."""

_WORDS: Final = (
    "Does anybody know this recipient?",
    "I have asked the accountant and wait for an answer.",
    "The same was granted last week, for half of it.",
    "Please look at the address: it is new to me.",
)


class Step(NamedTuple):
    """Something that a person or the clock does to an approval, so many microseconds after it was asked for."""

    after: int
    act: Callable[[], object]


def drawn(random: Random) -> Fate:
    """What becomes of an approval in the middle of the fortnight."""
    return random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]


def deciders(approval: Approval) -> list[str]:
    """Who of the sample people may decide it, as far as its routes say."""
    return among({name for route in approval.routes for stage in route.stages for name in stage.approvers})


def among(approvers: set[str]) -> list[str]:
    """Who of the sample people is in one of the groups, named as approvers are (`group:NAME`)."""
    groups = {name.removeprefix(GROUP) for name in approvers}
    return [one.id for one in MEMBERS if one.id in APPROVERS and groups.intersection(one.groups)]


class People:
    """The approvers of the history."""

    def __init__(self, parts: Parts, random: Random) -> None:
        self._desk = parts.desk
        self._random = random

    def steps(self, approval: Approval, fate: Fate, resume: Callable[[], object]) -> list[Step]:
        """What is done to the approval, in order. `resume` has its agent use what was granted."""
        minute, (first, *others) = MINUTE, self._shuffled(deciders(approval))
        until = approval.until - approval.opened_at + minute
        found: list[Step] = []
        if fate is not Fate.LEFT and self._random.random() < 0.35:
            text = self._random.choice(_WORDS)
            found.append(Step(2 * minute, lambda: self._comment(approval, first, text)))
        decided = self._random.randint(3, 20) * minute
        if fate is Fate.DENIED:
            found.append(Step(decided, lambda: self._deny(approval, first)))
        elif fate is Fate.CANCELLED:
            found.append(Step(decided, lambda: self._cancel(approval, first)))
        elif fate is Fate.EXPIRED:
            found += [Step(until // 2, self._desk.sweep), Step(until, self._desk.sweep)]
        elif fate is not Fate.LEFT:
            if fate is Fate.PASSED_ON:
                found.append(Step(decided, lambda: self._delegate(approval, first)))
                decided += 4 * minute
            able = others if fate is Fate.PASSED_ON else [first, *others]
            found.append(Step(decided, lambda: self._grant(approval, able)))
            found.append(Step(until, self._desk.sweep) if fate is Fate.GRANTED else Step(decided + minute, resume))
        return found

    def _shuffled(self, names: list[str]) -> list[str]:
        return self._random.sample(names, len(names))

    def _comment(self, approval: Approval, user: str, text: str) -> None:
        self._desk.comment(WORKSPACE, approval.id, user, via=Via.PAGE, text=text)

    def _deny(self, approval: Approval, user: str) -> None:
        self._desk.deny(WORKSPACE, approval.id, user, via=Via.PAGE, text=self._random.choice(NO), signed_in=True)

    def _cancel(self, approval: Approval, user: str) -> None:
        self._desk.cancel(WORKSPACE, approval.id, by=user, via=Via.PAGE, text="asked for by mistake")

    def _delegate(self, approval: Approval, user: str) -> None:
        others = self._desk.candidates(approval, user)
        able = [one.id for one in others if one.id in deciders(approval)]
        if able:
            self._desk.delegate(
                WORKSPACE, approval.id, user, to=able[0], via=Via.PAGE, text="You know this customer.", signed_in=True
            )

    def _grant(self, approval: Approval, users: list[str]) -> None:
        """Have one after another who may grant until it is enough."""
        text = self._random.choice(YES)
        passed_on = {act.to for act in self._desk.get(WORKSPACE, approval.id).acts}
        for user in sorted(users, key=lambda one: one not in passed_on):
            try:
                after = self._desk.grant(WORKSPACE, approval.id, user, via=Via.PAGE, text=text, signed_in=True)
            except NotEligibleError:  # it was passed on to another one of them
                continue
            if after.state is not State.PENDING:
                return


def attempt(act: Callable[[], object]) -> None:
    """Do it, unless it is too late: the policies may have changed meanwhile, and then it was asked anew."""
    try:
        act()
    except IllegalMoveError:
        return
