"""What is legal but unwise is warned of, and nothing else is."""

from __future__ import annotations

import pytest

from onpurpose.core.span import Severity
from onpurpose.lang.lint import lint
from onpurpose.lang.read import parse
from tests.lang.reading import rule
from tests.lang.test_read import PAYMENTS, SHELL


def warned(text: str) -> list[str]:
    return [f"{warning.span.line}:{warning.span.column} {warning.code}" for warning in lint(parse(text))]


def rules(*written: str) -> str:
    """Denied capabilities, one a line from line 2 on."""
    return "deny:\n" + "".join(f"  - {{capability: {one}}}\n" for one in written)


@pytest.mark.parametrize(
    "text", [SHELL, PAYMENTS, "allow: [{capability: a}]\n", rule("amount_gt: 0\n    amount_lt: 1")]
)
def test_a_good_policy_is_not_warned_of(text):
    assert lint(parse(text)) == []


IMPOSSIBLE = ["2:5 impossible-rule"]


def unreachable(*lines: int) -> list[str]:
    return [f"{line}:5 unreachable-rule" for line in lines]


@pytest.mark.parametrize(
    ("claim", "text", "expected"),
    [
        ("an empty section", "warn: []\ndeny:\n", ["1:1 empty-section", "2:1 empty-section"]),
        ("a rule twice", rules("a", "b", "a"), ["4:5 duplicate-rule"]),
        (
            "a rule twice, its conditions in another order",
            rules("a, contains: x, tenant: t", "a, tenant: t, contains: x"),
            ["3:5 duplicate-rule"],
        ),
        ("1 and true are not the same", rules("a, args: {b: {equals: 1}}", "a, args: {b: {equals: true}}"), []),
        (
            "another section first",
            "allow: [{capability: a, tenant: t}]\nwarn: [{capability: a, tenant: t}]\n",
            ["1:9 unreachable-rule"],
        ),
        ("after an unconditional rule", rules("a", "a, contains: x"), unreachable(3)),
        ("before an unconditional rule", rules("a, contains: x", "a"), []),
        ("under a last star", rules('"a.*"', "a.b", "a.b.c", "a", "ab"), unreachable(3, 4)),
        ("under a lone star", rules('"*"', "a", '"a.*"', '"*.b"'), unreachable(3, 4, 5)),
        ("under an inner star", rules('"*.b"', "a.b", "b", "a.b.c", '"a.*"', '"*.b.*"'), unreachable(3)),
        ("a star under names", rules("a.b", '"a.*"', '"*.b"'), []),
        ("a longer pattern", rules('"a.*.c"', "a.b", "a.b.c", '"a.*.*"'), unreachable(4)),
        ("two ways down", rules('"*.x"', '"a.y"', "a.x"), unreachable(4)),
        ("several unreachable ones", rules('"a.*"', '"a.b.*"', "a.b.c"), unreachable(3, 4)),
        ("limits that exclude each other", rule("amount_gt: 10\n    amount_lt: 5"), IMPOSSIBLE),
        ("limits that meet and exclude", rule("amount_gt: 5\n    amount_lte: 5"), IMPOSSIBLE),
        ("limits that meet and exclude from above", rule("amount_gte: 5\n    amount_lt: 5"), IMPOSSIBLE),
        ("limits that meet", rule("amount_gte: 5\n    amount_lte: 5.0"), []),
        ("limits that are not the narrowest", rule("amount_gt: 5\n    amount_gte: 9\n    amount_lt: 8"), IMPOSSIBLE),
        (
            "the narrowest last",
            rule("amount_gte: 9\n    amount_gt: 5\n    amount_lte: 10\n    amount_lt: 9"),
            IMPOSSIBLE,
        ),
        ("less than nothing", rule("amount_lt: 0"), IMPOSSIBLE),
        ("nothing", rule("amount_lte: 0"), []),
        ("depths that exclude each other", rule("caller_depth_gt: 3\n    caller_depth_lt: 3"), IMPOSSIBLE),
        ("values that exclude each other", rule("args: {a: {gt: 5, lt: 1}, b: {gt: 1}}"), IMPOSSIBLE),
        ("everything allowed", 'allow: [{capability: "*"}]\n', ["1:9 allows-everything"]),
        ("everything allowed under a condition", 'allow: [{capability: "*", tenant: t}]\n', []),
        ("everything denied", 'deny: [{capability: "*"}]\n', []),
        ("a contains of quotes", rule("contains: [x, \"''\"]"), ["2:5 bare-contains"]),
        ("a contains of white space", rule('contains: " \\t"'), ["2:5 bare-contains"]),
        ("a contains of quotes in an argument", rule("args: {a: {not: {contains: \"'\"}}}"), ["2:5 bare-contains"]),
        ("no contains", rule("tenant: t\n    contains: x"), []),
        ("limits from above alone", rule("amount_lte: 4\n    amount_lt: 5"), []),
        ("a contains in an argument", rule("args: {a: {contains: x, equals: x}}"), []),
        (
            "a higher risk answered more weakly",
            "risk_levels: {low: {action: deny}, high: {action: warn}, critical: {action: deny}}\n",
            ["1:1 risk-order"],
        ),
    ],
)  # fmt: skip
def test_it_is_warned_of(claim, text, expected):
    assert warned(text) == expected, claim


def test_a_warning_names_the_rule_that_comes_first_and_a_call_that_shows_it():
    (warning,) = lint(parse("deny:\n  - capability: a.*\nallow:\n  - capability: a.*.c\n"))
    assert warning.message == "this rule never decides: `a.*` in `deny` on line 2 comes first"
    assert "a call of `a.x.c` is always decided there" in warning.help
    assert warning.severity is Severity.WARNING


def test_with_the_text_a_warning_shows_its_line():
    text = "# one\r\ndeny: []\r\n"
    (warning,) = lint(parse(text), text)
    assert warning.render().splitlines()[1:3] == ["    2 | deny: []", "      | ^^^^"]
    (shifted,) = lint(parse(text), "# one")
    assert shifted.excerpt == ""


def test_the_message_tells_which_limits_exclude_each_other():
    (warning,) = lint(parse(rule("amount_gte: 9\n    amount_gt: 5\n    amount_lt: 8.5")))
    assert warning.message == "no amount is >= 9 and < 8.5"


def test_many_rules_are_looked_over_in_linear_time():
    text = rules(*(f"a{number}.b.c, contains: x" for number in range(5000)), *(f"a{n}.*" for n in range(5000)))
    assert lint(parse(text)) == []
