from __future__ import annotations

import pytest

from onpurpose.core.errors import OnPurposeError
from onpurpose.core.span import EXCERPT_LIMIT, PolicyError, Problem, Severity, Span, printable


def problem(column: int = 3, length: int = 4, excerpt: str = "  dney:", help: str = "") -> Problem:  # noqa: A002
    span = Span("policy.yaml", 7, column, length)
    return Problem(span=span, code="unknown-key", message="unknown key `dney`", help=help, excerpt=excerpt)


def test_a_span_reads_as_file_line_column() -> None:
    assert str(Span("policies/a.yaml", 12, 5)) == "policies/a.yaml:12:5"


def test_a_problem_shows_place_line_underline_and_cure() -> None:
    assert problem(help="did you mean `deny`?").render().splitlines() == [
        "policy.yaml:7:3: error: unknown key `dney` [unknown-key]",
        "    7 |   dney:",
        "      |   ^^^^",
        "      = help: did you mean `deny`?",
    ]


def test_a_problem_without_excerpt_and_cure_is_one_line() -> None:
    assert problem(excerpt="").render() == "policy.yaml:7:3: error: unknown key `dney` [unknown-key]"


def test_a_warning_says_so() -> None:
    warning = Problem(span=Span("p", 1, 1), code="empty", message="empty section", severity=Severity.WARNING)
    assert warning.render() == "p:1:1: warning: empty section [empty]"


@pytest.mark.parametrize(
    ("column", "length", "marked"),
    [(1, 1, "a"), (6, 1, "f"), (3, 2, "cd"), (5, 99, "ef"), (2, 0, "b")],
)
def test_the_underline_marks_the_span_and_stays_within_the_line(column: int, length: int, marked: str) -> None:
    shown, underline = problem(column, length, "abcdef").render().splitlines()[1:3]
    assert "".join(char for char, mark in zip(shown, underline, strict=False) if mark == "^") == marked


def test_a_place_just_past_the_end_of_its_line_is_still_marked() -> None:
    shown, underline = problem(7, 1, "abcdef").render().splitlines()[1:3]
    assert underline.index("^") == len(shown)
    assert underline.count("^") == 1


@pytest.mark.parametrize("column", [1, 50, EXCERPT_LIMIT, EXCERPT_LIMIT + 1, 5000, 9990])
def test_a_long_line_is_cut_with_the_place_in_view(column: int) -> None:
    line = "x" * (column - 1) + "HERE" + "y" * (10000 - column)
    shown, underline = problem(column, 4, line).render().splitlines()[1:3]
    assert len(shown) <= EXCERPT_LIMIT + 8
    assert shown[underline.index("^") : underline.rindex("^") + 1] == "HERE"


def test_what_a_terminal_could_obey_is_not_printed() -> None:
    assert printable("a\x1b[31m\r\u202eb\u200b é") == "a\ufffd[31m\ufffd\ufffdb\ufffd é"
    assert "\x1b" not in problem(excerpt="\x1b[2J deny").render()


def test_an_error_carries_every_problem_and_reads_as_all_of_them() -> None:
    problems = (problem(), problem(column=1))
    error = PolicyError(problems)
    assert error.problems == problems
    assert str(error) == problems[0].render() + "\n" + problems[1].render()
    assert isinstance(error, OnPurposeError)
