"""Why a condition could not be answered, and what would settle it: for people, off the hot path."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from onpurpose.core.compile import CompiledPolicy, Step
from onpurpose.core.decision import Code, Decision, Reason, Unknown
from onpurpose.core.facts import Facts
from onpurpose.core.matching import remember
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import (
    Amount,
    Argument,
    CallerDepth,
    Contains,
    ContextIs,
    PathPrefix,
)
from onpurpose.core.wording import entry

_Doubt: TypeAlias = tuple[Decision, str, tuple[Unknown, ...]]
"""What was decided had the rule fired, in words that this cannot be told, and what of it was not."""


def explain_doubts(  # noqa: PLR0913, PLR0917  all that the decision was made of
    outcome: Outcome,
    steps: list[Step],
    beside: Decision | None,
    compiled: CompiledPolicy,
    facts: Facts,
    capability: str,
) -> Decision:
    """The decision that gives as reasons why it cannot be told whether rules fire, and the one that stands beside.

    Calls that leave the same in doubt share it: all its words are the policy's or ours.
    """
    doubts = tuple([(step.decision, step.doubt, _explain(step, facts, compiled, capability)) for step in steps])
    key = (beside, doubts)
    return compiled.doubts.get(key) or remember(compiled.doubts, key, _doubtful(outcome, doubts, beside))


def _doubtful(outcome: Outcome, doubts: tuple[_Doubt, ...], beside: Decision | None) -> Decision:
    reasons = [_unsure(*doubt) for doubt in doubts]
    if beside is not None:
        reasons.append(beside.reasons[0])
    reasons.sort(key=lambda reason: reason.outcome is not outcome)
    return Decision(outcome, tuple(reasons))


def _unsure(fired: Decision, doubt: str, unknown: tuple[Unknown, ...]) -> Reason:
    told = fired.reasons[0]
    return Reason(
        code=Code.RULE_UNKNOWN, outcome=told.outcome, message=doubt, rule=told.rule, unknown=unknown, route=told.route
    )


def _explain(step: Step, facts: Facts, compiled: CompiledPolicy, capability: str) -> tuple[Unknown, ...]:
    """What was unknown of the rule, the capability first."""
    found: list[Unknown] = []
    if not step.sure:
        found.append(_capability(step.rule.capability, capability))
    for ask, condition in zip(step.asks, step.rule.conditions, strict=True):
        if ask(facts) is None:
            found.append(_EXPLAINERS[type(condition)](condition, facts, compiled))
    return tuple(found)


def _capability(rule: str, call: str) -> Unknown:
    below = call.lower().startswith(rule.lower() + ".") or rule.count(".") < call.count(".")
    return Unknown(
        condition="capability",
        why="the call's name lies under the rule's" if below else "the call's name differs in letter case alone",
        settle=f"name `{rule}` as the policy does, or give this capability a rule of its own",
    )


def _contains(condition: Contains, facts: Facts, _: CompiledPolicy) -> Unknown:
    if facts.payload is None:
        why, settle = "the call carries no payload", "pass the payload; an empty mapping has no text"
    elif facts.opaque or facts.blurred:
        why = "the payload holds something that cannot be read as text"
        settle = "send plain strings, numbers, lists and mappings"
    else:
        why = "the text occurs only in a key, or once spaces, quotes, case and comments are folded"
        settle = "write the argument plainly, or narrow the rule"
    return Unknown(condition="contains", why=why, settle=settle)


def _amount(condition: Amount, facts: Facts, compiled: CompiledPolicy) -> Unknown:
    trouble = facts.amounts(compiled.amount_keys)[2]
    return Unknown(
        condition=entry(condition)[0],
        why=trouble or "the payload's amounts lie on both sides of the limit",
        settle=f"send one amount as a number, under one of {_listed(compiled.policy.amount_keys)}",
    )


def _path(condition: PathPrefix, facts: Facts, compiled: CompiledPolicy) -> Unknown:
    trouble = facts.paths(compiled.path_keys)[1]
    return Unknown(
        condition="path_prefix",
        why=trouble or "the paths lie on both sides of the prefix, or depend on letter case or escapes",
        settle=f"send absolute paths under one of {_listed(compiled.policy.path_keys)}, or pass policy_context.cwd",
    )


def _context(condition: ContextIs, facts: Facts, _: CompiledPolicy) -> Unknown:
    key = condition.key.value
    given = facts.context is not None and facts.context.get(key) is not None
    return Unknown(
        condition=key,
        why=f"policy_context.{key} is {'not written as the policy writes it' if given else 'not given'}",
        settle=f"pass policy_context={{'{key}': ...}} from the application",
    )


def _depth(condition: CallerDepth, facts: Facts, _: CompiledPolicy) -> Unknown:
    return Unknown(
        condition=entry(condition)[0],
        why="policy_context.caller_depth is not given as a number",
        settle="pass policy_context={'caller_depth': 0} for a call that no agent made for another",
    )


def _argument(condition: Argument, facts: Facts, _: CompiledPolicy) -> Unknown:
    path = ".".join(condition.path)
    return Unknown(
        condition=entry(condition)[0],
        why=f"`{path}` is absent, of another type than the tests read, or holds values that disagree",
        settle=f"send `{path}` in the type that the rule tests",
    )


@lru_cache(maxsize=64)
def _listed(keys: tuple[str, ...]) -> str:
    return ", ".join(f"`{key}`" for key in keys)


_EXPLAINERS: dict[type, Callable[..., Unknown]] = {
    Contains: _contains,
    Amount: _amount,
    PathPrefix: _path,
    ContextIs: _context,
    CallerDepth: _depth,
    Argument: _argument,
}
