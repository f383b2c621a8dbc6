"""Policy and call to outcome, by following both roads wherever the answer is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import Enum

from onpurpose.core import policy as p
from onpurpose.core.call import Call
from onpurpose.core.outcome import Outcome
from tests.twin.amounts import amount, compare
from tests.twin.arguments import argument
from tests.twin.kleene import Answer, both, either
from tests.twin.paths import path_prefix
from tests.twin.text import contains
from tests.twin.tree import Malformed, Node, read

LETTERS = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
ORDER = [Outcome.DENY, Outcome.REQUIRE_APPROVAL, Outcome.WARN, Outcome.ALLOW]


def decide(policy: p.Policy, call: Call) -> Outcome:
    """The outcome of the call under the policy."""
    if malformed(call):
        return Outcome.DENY
    try:
        tree = read(call.payload)
    except Malformed:
        return Outcome.DENY
    rules = [rule for section in ORDER for rule in policy.rules if rule.outcome == section]
    return follow([(rule.outcome, fires(rule, policy, call, tree)) for rule in rules])


def follow(answers: list[tuple[Outcome, Answer]]) -> Outcome:
    """First true rule decides; for an unknown one both roads are followed and the stricter stands."""
    if not answers:
        return Outcome.DENY
    (outcome, answer), rest = answers[0], answers[1:]
    if answer is True:
        return outcome
    if answer is False:
        return follow(rest)
    return max(outcome, follow(rest))


def malformed(call: Call) -> bool:
    """Whether the call's own fields cannot be read."""
    agent = call.agent_id
    if not isinstance(agent, str) or not 1 <= len(agent) <= 512:
        return True
    name = call.capability
    if not isinstance(name, str) or len(name) > 512:
        return True
    if any(not segment or not set(segment) <= LETTERS for segment in name.split(".")):
        return True
    if call.policy_context is not None and not isinstance(call.policy_context, Mapping):
        return True
    labels = (call.task_context, call.risk_category)
    return any(label is not None and not isinstance(label, str) for label in labels)


def fires(rule: p.Rule, policy: p.Policy, call: Call, tree: Node | None) -> Answer:
    """Whether the rule is about this call and all its conditions hold."""
    answers = [capability(rule.capability, call.capability)]
    answers += [holds(condition, policy, call, tree) for condition in rule.conditions]
    return both(answers)


def capability(pattern: str, name: str) -> Answer:
    """Exact or by pattern; unknown but for letter case, or below the rule's name."""
    if matches(pattern.split("."), name.split(".")):
        return True
    folded, called = pattern.casefold().split("."), name.casefold().split(".")
    if matches(folded, called) or matches([*folded, "*"], called):
        return None
    return False


def matches(pattern: list[str], name: list[str]) -> bool:
    """Segment by segment; a last `*` is one or more."""
    if pattern == ["*"]:
        return len(name) >= 1
    if not pattern or not name:
        return pattern == name
    return pattern[0] in ("*", name[0]) and matches(pattern[1:], name[1:])


def holds(condition: p.Condition, policy: p.Policy, call: Call, tree: Node | None) -> Answer:
    """One condition of one call."""
    context = call.policy_context or {}
    cwd = context.get("cwd")
    if isinstance(condition, p.Contains):
        return either(contains(tree, needle) for needle in condition.texts)
    if isinstance(condition, p.Amount):
        return amount(tree, policy.amount_keys, condition.operator, condition.limit)
    if isinstance(condition, p.PathPrefix):
        return path_prefix(tree, policy.path_keys, condition.prefixes, cwd)
    if isinstance(condition, p.ContextIs):
        return either(context_is(context.get(condition.key.value), value) for value in condition.values)
    if isinstance(condition, p.CallerDepth):
        return depth(context.get("caller_depth"), condition)
    return argument(tree, condition, cwd)


def answer(condition: p.Condition, policy: p.Policy, call: Call) -> Answer:
    """What one condition of a policy says of a well-formed call."""
    return holds(condition, policy, call, read(call.payload))


def context_is(value: object, wanted: str) -> Answer:
    """Equal; unknown but for letter case and outer white space."""
    if isinstance(value, Enum):
        value = value.value
    if not isinstance(value, str):
        return None
    if value == wanted:
        return True
    return None if value.strip().casefold() == wanted.strip().casefold() else False


def depth(value: object, condition: p.CallerDepth) -> Answer:
    """The caller's depth compared."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return None
    number = Decimal(float.__repr__(value)) if isinstance(value, float) else Decimal(value)
    return compare(number, condition.operator, condition.limit)
