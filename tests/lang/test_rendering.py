"""What a person sees of a refused policy."""

from __future__ import annotations

import pytest

from onpurpose.core.span import PolicyError
from onpurpose.lang.read import parse
from tests.lang.reading import problems, rule


def test_an_error_shows_its_place_the_line_and_the_cure():
    with pytest.raises(PolicyError) as caught:
        parse('deny:\n  - capability: payments.transfer\n    amount_gt: "5"\n', "payments.yaml")
    assert str(caught.value) == (
        "payments.yaml:3:16: error: `amount_gt` must be a number, not a text [wrong-type]\n"
        '    3 |     amount_gt: "5"\n'
        "      |                ^^^\n"
        "      = help: write it without quotes: `amount_gt: 5`"
    )


def test_two_errors_stand_one_below_the_other():
    with pytest.raises(PolicyError) as caught:
        parse("risk_levels:\n  High: {action: deny}\nallow:\n  - capability: *\n", "a.yaml")
    assert str(caught.value) == (
        "a.yaml:2:3: error: `High` is no risk level [unknown-level]\n"
        "    2 |   High: {action: deny}\n"
        "      |   ^^^^\n"
        "      = help: did you mean `high`? known: `low`, `medium`, `high`, `critical`\n"
        "a.yaml:4:17: error: an unquoted `*` begins an alias, and aliases are not allowed [alias]\n"
        "    4 |   - capability: *\n"
        "      |                 ^\n"
        '      = help: quote it: `"*"`'
    )


def test_what_a_terminal_would_obey_is_not_shown():
    (problem,) = problems("deny: [] # \x1b[2J\n")
    assert problem.render() == (
        "<policy>:1:12: error: U+001B (a control character) is not allowed [refused-character]\n"
        "    1 | deny: [] # \ufffd[2J\n"
        "      |            ^\n"
        "      = help: remove it, or write it as `\\x1b` in a text in double quotes"
    )


def test_a_text_over_several_lines_is_underlined_to_the_end_of_its_first():
    (problem,) = problems(rule('amount_gt: "one\n      two"'))
    assert problem.render().splitlines()[1:3] == [
        '    3 |     amount_gt: "one',
        "      |                ^^^^",
    ]


def test_a_rule_without_capability_is_underlined_on_its_first_line():
    (problem,) = problems("deny:\n  - contains:\n      - x\n")
    assert problem.render().splitlines()[2] == "      |     ^^^^^^^^"


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_lines_are_counted_by_every_line_break_of_yaml(line_break):
    (problem,) = problems(line_break.join(["# one", "", "deny: []", "denny: []", ""]))
    assert (problem.span.line, problem.excerpt) == (4, "denny: []")


def test_columns_count_characters():
    (problem,) = problems("deny: [{capability: a, contains: \u00e9\U0001f600, zzz: 1}]\n")
    assert problem.span.column == 38


def test_an_error_in_bytes_that_are_no_text_shows_what_can_be_shown():
    (problem,) = problems(b"deny: []\nallow: \xff\xfe # x\nwarn: []\n")
    assert problem.excerpt == "allow: \ufffd\ufffd # x"
