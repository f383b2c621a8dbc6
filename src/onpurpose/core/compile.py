"""Policy -> CompiledPolicy: rules indexed by capability, conditions as closures over the facts."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Generator, Hashable, Iterator
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, TypeAlias

from onpurpose.core.arguments import COMPARE, compile_argument, either
from onpurpose.core.call import MAX_NAME
from onpurpose.core.decision import Code, Decision, Reason, RuleRef
from onpurpose.core.facts import Answer, Facts, as_it_is, needle
from onpurpose.core.numbers import as_number, exact
from onpurpose.core.outcome import Outcome
from onpurpose.core.paths import prefix_of, under
from onpurpose.core.policy import (
    Amount,
    Argument,
    CallerDepth,
    Contains,
    ContextIs,
    Operator,
    PathPrefix,
    Policy,
    Rule,
)  # fmt: skip
from onpurpose.core.routing import Route
from onpurpose.core.values import plain
from onpurpose.core.wording import describe

Ask: TypeAlias = Callable[[Facts], Answer]

CAPABILITY = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
"""A call's capability: dotted segments, nothing else."""

_MAX_PLANS = 4096
_STEP = 64
"""Rules that are indexed between two yields: about 0.04 ms."""
_NONE = array("I")
_EXACT_IN_FLOAT = 1 << 53
"""Against whole numbers below this a float compares as its shortest decimal form does."""


class Step(NamedTuple):
    """A rule that may concern a capability: whether it surely does, what else it asks, and what follows.

    `doubt` says, in words, that this cannot be told.
    """

    sure: bool
    asks: tuple[Ask, ...]
    outcome: Outcome
    decision: Decision
    rule: Rule
    doubt: str


Plan: TypeAlias = tuple[Step, ...]


class CompiledPolicy:
    """A policy ready to be asked. Never changed once made, but for what it remembers of capabilities.

    `plan` costs the same for eight rules and for ten thousand: one look-up, once a capability was
    met. Before, the rules that may concern it are found by its name and compiled; most rules of a
    large policy never are, which keeps loading it cheap and its memory small.
    """

    __slots__ = ("_exact", "_patterns", "_rules", "amount_keys", "doubts", "path_keys", "plans", "policy")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.amount_keys = _folded(policy.amount_keys)
        self.path_keys = _folded(policy.path_keys)
        self._rules = policy.rules
        self._exact: dict[str, int | array[int]] = {}
        self._patterns: list[tuple[tuple[str, ...], int]] = []
        self.plans: dict[str, Plan] = {}
        self.doubts: dict[Hashable, Decision] = {}  # what was decided where rules could not be told, by what was not

    def plan(self, capability: str) -> Plan | None:
        """The rules that may concern the capability, in the order of evaluation; `None` if malformed."""
        plan = self.plans.get(capability)
        if plan is None:
            if len(capability) > MAX_NAME or not CAPABILITY.fullmatch(capability):
                return None
            plan = self._make_plan(capability)
            if len(self.plans) < _MAX_PLANS:  # names may come from a model: remember only so many
                self.plans[capability] = plan
        return plan

    def _make_plan(self, capability: str) -> Plan:
        folded = capability.lower().split(".")
        near: set[int] = set()
        for length in range(1, len(folded) + 1):
            known = self._exact.get(".".join(folded[:length]), _NONE)
            near.update(known if isinstance(known, array) else (known,))
        near.update(index for pattern, index in self._patterns if _covers(pattern, folded) is not False)
        return tuple(self._step(self._rules[index], capability) for index in sorted(near))

    def _step(self, rule: Rule, capability: str) -> Step:
        asks = tuple([_COMPILERS[type(condition)](condition, self) for condition in rule.conditions])
        sure = covers(rule.capability, capability) is True
        words = describe(rule)
        ref = RuleRef(outcome=rule.outcome, capability=rule.capability, span=rule.span)
        message = f"the {rule.outcome} rule {words} matches"
        route = route_of(self.policy, rule) if rule.outcome is Outcome.REQUIRE_APPROVAL else None
        fired = Reason(code=Code.RULE_MATCHED, outcome=rule.outcome, message=message, rule=ref, route=route)
        doubt = f"whether the {rule.outcome} rule {words} matches cannot be told"
        return Step(sure, asks, rule.outcome, Decision(rule.outcome, (fired,)), rule, doubt)

    def judges_like(self, other: CompiledPolicy, capability: str) -> bool:
        """Whether the two surely come to the same outcome, by like rules, for every call of the capability."""
        mine, theirs = self.plan(capability) or (), other.plan(capability) or ()
        return (
            [_likeness(step) for step in mine] == [_likeness(step) for step in theirs]
            and (self.amount_keys, self.path_keys) == (other.amount_keys, other.path_keys)
            and self.policy.risk_levels == other.policy.risk_levels
        )

    def parts(self) -> Iterator[object]:
        """All that the policy has much of: while someone holds it, the policy itself is freed in an instant."""
        plans = list(self.plans.values())
        return chain(self._rules, self._exact, self._exact.values(), plans, chain.from_iterable(plans))

    def index(self, number: int) -> None:
        """Take in rule `number`; only `compile_steps` does so, before anyone else sees the policy."""
        rule = self._rules[number]
        for condition in rule.conditions:
            if type(condition) not in _COMPILERS:
                raise TypeError(f"{type(condition).__name__} is no condition")
        folded = rule.capability.lower()
        if "*" in folded:
            self._patterns.append((tuple(folded.split(".")), number))
        else:
            known = self._exact.setdefault(folded, number)
            if isinstance(known, array):
                known.append(number)
            elif known != number:  # most capabilities have one rule: a list for each would cost more than the rules
                self._exact[folded] = array("I", (known, number))


def _likeness(step: Step) -> tuple[object, ...]:
    """What a rule does, wherever it stands. As values alone, the conditions `1` and `true` would be the same."""
    return step.sure, step.outcome, step.rule.conditions, repr(step.rule.conditions)


def route_of(policy: Policy, rule: Rule | None = None) -> Route:
    """Who is asked by a rule of the policy, or by its levels of risk: no stages leave it to the workspace."""
    routes = [route for route in (rule.route if rule else None, policy.route) if route is not None]
    return Route(
        stages=next((route.stages for route in routes if route.stages), ()),
        step_up=any(route.step_up for route in routes),
        timeout_seconds=policy.approval_timeout_seconds,
    )


@lru_cache(maxsize=256)
def _folded(keys: tuple[str, ...]) -> frozenset[str]:
    """The keys in lower case; one set for all policies of the same keys: facts are read once for each set."""
    return frozenset([key.lower() for key in keys])


def compile_policy(policy: Policy) -> CompiledPolicy:
    """The policy, ready to be asked."""
    steps = compile_steps(policy)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            compiled: CompiledPolicy = done.value
            return compiled


def compile_steps(policy: Policy) -> Generator[None, None, CompiledPolicy]:
    """The same in steps of a fraction of a millisecond, for a thread that lets others go between them."""
    compiled = CompiledPolicy(policy)
    for number in range(len(policy.rules)):
        compiled.index(number)
        if number % _STEP == _STEP - 1:
            yield
    return compiled


def covers(pattern: str, capability: str) -> Answer:
    """Whether a rule's capability is the call's: `*` is one segment, a last `*` one or more.

    Unknown where only letter case differs, or the call's name lies under the rule's.
    """
    exact_answer = _covers(tuple(pattern.split(".")), capability.split("."))
    if exact_answer is True:
        return True
    folded = _covers(tuple(pattern.lower().split(".")), capability.lower().split("."))
    return False if folded is False else None


def _covers(pattern: tuple[str, ...], segments: list[str]) -> Answer:
    """The same without regard to letter case; unknown where the segments go on below the pattern."""
    if len(pattern) > len(segments):
        return False
    if any(want not in ("*", segment) for want, segment in zip(pattern, segments, strict=False)):
        return False
    return True if len(pattern) == len(segments) or pattern[-1] == "*" else None


# -- conditions


def _contains(condition: Contains, _: CompiledPolicy) -> Ask:
    needles = tuple(needle(text) for text in condition.texts)
    if len(needles) > 1 or not as_it_is(needles[0]):
        return lambda facts: facts.contains(needles)
    sought = needles[0].folded

    def ask(facts: Facts) -> Answer:
        return facts.contains(needles) if sought in (facts.haystack or facts.fold()) else False

    return ask


def _amount(condition: Amount, compiled: CompiledPolicy) -> Ask:
    compares, limit, keys = COMPARE[condition.operator], condition.limit, compiled.amount_keys
    as_it_is = isinstance(limit, int) and limit < _EXACT_IN_FLOAT
    upward = condition.operator in (Operator.GT, Operator.GTE)

    def ask(facts: Facts) -> Answer:
        low, high, trouble = facts.amounts_read if facts.amount_keys is keys else facts.amounts(keys)
        if trouble:
            return None
        if not as_it_is:
            low, high = exact(low), exact(high)
        hard, easy = (low, high) if upward else (high, low)
        return True if compares(hard, limit) else None if compares(easy, limit) else False

    return ask


def _path_prefix(condition: PathPrefix, compiled: CompiledPolicy) -> Ask:
    prefixes, keys = [prefix_of(path) for path in condition.prefixes], compiled.path_keys

    def ask(facts: Facts) -> Answer:
        readings, trouble = facts.paths_read if facts.path_keys is keys else facts.paths(keys)
        if trouble:
            return None
        if len(readings) == 1 == len(prefixes):
            return under(readings[0], prefixes[0])
        return either([_all_under([under(reading, prefix) for reading in readings]) for prefix in prefixes])

    return ask


def _all_under(answers: list[Answer]) -> Answer:
    first = answers[0]
    return first if all(answer is first for answer in answers) else None


def _context_is(condition: ContextIs, _: CompiledPolicy) -> Ask:
    key, values = condition.key.value, frozenset(condition.values)
    nearly = frozenset(value.casefold() for value in values)

    def ask(facts: Facts) -> Answer:
        value = plain(facts.context.get(key)) if facts.context is not None else None
        if not isinstance(value, str):
            return None
        if value in values:
            return True
        return None if value.strip().casefold() in nearly else False

    return ask


def _caller_depth(condition: CallerDepth, _: CompiledPolicy) -> Ask:
    compares, limit = COMPARE[condition.operator], condition.limit

    def ask(facts: Facts) -> Answer:
        depth = as_number(plain(facts.context.get("caller_depth"))) if facts.context is not None else None
        return None if depth is None else compares(exact(depth), limit)

    return ask


def _argument(condition: Argument, _: CompiledPolicy) -> Ask:
    return compile_argument(condition)


_COMPILERS: dict[type, Callable[..., Ask]] = {
    Contains: _contains,
    Amount: _amount,
    PathPrefix: _path_prefix,
    ContextIs: _context_is,
    CallerDepth: _caller_depth,
    Argument: _argument,
}
