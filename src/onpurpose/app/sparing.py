"""What a rule that asks people must ask besides, so that it leaves out what another rule would allow."""

from __future__ import annotations

from collections.abc import Iterator

from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Amount, Argument, Condition, Exists, Not, Operator, Rule
from onpurpose.core.span import Span
from onpurpose.lang.write import write_section

_NOWHERE = Span("<sparing>", 1, 1)


def sparing(rule: Rule) -> str:
    """Rules that together ask about exactly the calls that the rule does not surely allow, as a section of a policy.

    By De Morgan's law, one for each of its conditions, denied. Each of them, put into a copy of a rule that asks,
    makes the copies ask about what that rule asks and this one does not allow. Empty where a condition cannot be
    denied in one rule, or there is none.
    """
    denied = [_denied(condition) for condition in rule.conditions]
    if None in denied:
        return ""
    return write_section(Outcome.REQUIRE_APPROVAL, ((one, ()) for one in _asking(rule.capability, denied)))


def _asking(capability: str, denied: list[Condition | None]) -> Iterator[Rule]:
    for condition in denied:
        if condition is not None:
            conditions = (condition,)
            yield Rule(outcome=Outcome.REQUIRE_APPROVAL, capability=capability, conditions=conditions, span=_NOWHERE)


def _denied(condition: Condition) -> Condition | None:
    """The condition whose answer is true where this one's is false, false where it is true, and else unknown."""
    match condition:
        case Amount(Operator.LTE, limit):
            return Amount(Operator.GT, limit)
        case Argument(path, (Exists(wanted),)):
            return Argument(path, (Exists(not wanted),))
        case Argument(path, tests):
            return Argument(path, (Not(tests),))
        case _:
            return None
