"""Legal but unwise: what a policy says and cannot mean. Only what is certain is told."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import (
    Amount,
    Argument,
    CallerDepth,
    Compare,
    Condition,
    Contains,
    ContainsText,
    Not,
    Number,
    Operator,
    Policy,
    RiskLevel,
    Rule,
    Test,
)
from onpurpose.core.span import Problem, Severity, Span
from onpurpose.core.text import fold
from onpurpose.lang.patterns import Patterns
from onpurpose.lang.report import shortened

_ABOVE = (Operator.GT, Operator.GTE)
_SIGNS = {Operator.GT: ">", Operator.GTE: ">=", Operator.LT: "<", Operator.LTE: "<="}


def lint(policy: Policy, text: str | None = None) -> list[Problem]:
    """What is legal but unwise, as warnings in the text's order.

    With the policy's `text`, each shows the line it is about. Takes time linear in the rules but
    for what their wildcards share.
    """
    found = [*_sections(policy), *_order(policy.rules), *_risk(policy)]
    for rule in policy.rules:
        found += _rule(rule)
    found.sort(key=lambda warning: (warning.span.line, warning.span.column))
    return found if text is None else with_excerpts(found, text)


def warning(span: Span, code: str, message: str, cure: str) -> Problem:
    """A problem that keeps nothing from loading."""
    return Problem(span=span, code=code, message=message, help=cure, severity=Severity.WARNING)


def with_excerpts(found: Iterable[Problem], text: str) -> list[Problem]:
    """The warnings, each with the line of the text that it is about."""
    lines = re.split(r"\r\n|\r|\n", text.removeprefix("\ufeff"))
    return [
        Problem(
            span=warning.span,
            code=warning.code,
            message=warning.message,
            help=warning.help,
            excerpt=lines[warning.span.line - 1] if warning.span.line <= len(lines) else "",
            severity=warning.severity,
        )
        for warning in found
    ]


# -- the whole policy


def _sections(policy: Policy) -> Iterator[Problem]:
    filled = {rule.outcome for rule in policy.rules}
    for outcome, span in policy.sections:
        if outcome not in filled:
            yield warning(span, "empty-section", f"the section `{outcome}` holds no rule", "add one, or remove it")


def _risk(policy: Policy) -> Iterator[Problem]:
    """Levels at which more risk is met by a weaker action."""
    place = Span(policy.source, 1, 1)
    levels = [level for level in RiskLevel if level in policy.risk_levels]
    for lower, higher in pairwise(levels):
        weaker, stronger = policy.risk_levels[higher], policy.risk_levels[lower]
        if weaker < stronger:
            message = f"risk level `{higher}` is answered by `{weaker}`, the lower level `{lower}` by `{stronger}`"
            yield warning(place, "risk-order", message, f"answer `{higher}` by `{stronger}` or stricter")


def _order(rules: tuple[Rule, ...]) -> Iterator[Problem]:
    """Rules that an earlier one always forestalls. Rules stand in the order of evaluation."""
    same: dict[tuple[str, frozenset[str]], Rule] = {}
    unconditional = Patterns[Rule]()
    for rule in rules:
        first = same.setdefault((rule.capability, frozenset(map(repr, rule.conditions))), rule)
        wider = unconditional.covering(rule.capability)
        if first is not rule and first.outcome is rule.outcome:
            message = f"this rule stands on line {first.span.line} already"
            yield warning(rule.span, "duplicate-rule", message, "remove one of them")
        elif first is not rule:
            yield _unreachable(rule, first)
        elif wider is not None:
            yield _unreachable(rule, wider)
        if not rule.conditions and wider is None:
            unconditional.add(rule.capability, rule)


def _unreachable(rule: Rule, earlier: Rule) -> Problem:
    where = f"`{earlier.capability}` in `{earlier.outcome}` on line {earlier.span.line}"
    witness = rule.capability.replace("*", "x")
    cure = f"a call of `{shortened(witness)}` is always decided there; remove this rule, or add conditions to that one"
    return warning(rule.span, "unreachable-rule", f"this rule never decides: {where} comes first", cure)


# -- one rule


def _rule(rule: Rule) -> Iterator[Problem]:
    if rule.outcome is Outcome.ALLOW and rule.capability == "*" and not rule.conditions:
        message = "this rule allows every call that no other rule meets"
        yield warning(rule.span, "allows-everything", message, "name the capabilities that the agent needs")
    for message in (*_impossible(rule.conditions), *_impossible_arguments(rule.conditions)):
        yield warning(rule.span, "impossible-rule", message, "correct the limits, or remove the rule")
    for text in _needles(rule.conditions):
        if not fold(text).strip():
            message = "a `contains` of nothing but quotes, white space or invisible characters"
            yield warning(rule.span, "bare-contains", message, "name the text that matters; this one is easily varied")


def _impossible(conditions: tuple[Condition, ...]) -> Iterator[str]:
    """Why no number satisfies the rule's limits together."""
    amounts = [(condition.operator, condition.limit) for condition in conditions if isinstance(condition, Amount)]
    depths = [(condition.operator, condition.limit) for condition in conditions if isinstance(condition, CallerDepth)]
    if amounts and (why := _empty([*amounts, (Operator.GTE, 0)])):  # magnitudes are compared
        yield f"no amount is {why}"
    if why := _empty(depths):
        yield f"no caller depth is {why}"


def _impossible_arguments(conditions: tuple[Condition, ...]) -> Iterator[str]:
    for condition in conditions:
        if isinstance(condition, Argument):
            limits = [(test.operator, test.limit) for test in condition.tests if isinstance(test, Compare)]
            if why := _empty(limits):
                yield f"no value of `{shortened('.'.join(condition.path))}` is {why}"


def _empty(limits: Iterable[tuple[Operator, Number]]) -> str:
    """Which two of the limits exclude each other; empty if none do."""
    lower: tuple[Number, bool, str] | None = None
    upper: tuple[Number, bool, str] | None = None
    for operator, limit in limits:
        bound = (limit, operator in (Operator.GT, Operator.LT), f"{_SIGNS[operator]} {limit}")
        if operator in _ABOVE:
            lower = bound if lower is None or bound[:2] > lower[:2] else lower
        elif upper is None or (bound[0], not bound[1]) < (upper[0], not upper[1]):
            upper = bound
    if lower is None or upper is None or lower[0] < upper[0]:
        return ""
    return "" if lower[0] == upper[0] and not (lower[1] or upper[1]) else f"{lower[2]} and {upper[2]}"


def _needles(conditions: Iterable[Condition]) -> Iterator[str]:
    for condition in conditions:
        if isinstance(condition, Contains):
            yield from condition.texts
        elif isinstance(condition, Argument):
            yield from _test_needles(condition.tests)


def _test_needles(tests: Iterable[Test]) -> Iterator[str]:
    for test in tests:
        if isinstance(test, ContainsText):
            yield from test.texts
        elif isinstance(test, Not):
            yield from _test_needles(test.tests)
