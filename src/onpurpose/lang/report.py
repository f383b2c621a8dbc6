"""Gathering problems: each with its place, the line it stands in, and a cure."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple, Protocol

from onpurpose.core.span import PolicyError, Problem, Span, printable

MAX_PROBLEMS = 1000
"""How many problems of one text are told; one more then says that there are others."""

TO_LINE_END = 1 << 30
"""The length of what goes on past its line."""

_MAX_EXCERPT = 4096
_MAX_WORD = 64
_BREAK = re.compile(r"\r\n|\r|\n")
_TOKEN = re.compile(r"[^\s,\[\]{}]*")


class Placed(Protocol):
    """Something with a place in the text: line and column from 1, length in characters."""

    @property
    def line(self) -> int:
        """The line, from 1."""
        ...

    @property
    def column(self) -> int:
        """The column, from 1."""
        ...

    @property
    def length(self) -> int:
        """The length in characters, `TO_LINE_END` for what goes on past its line."""
        ...


class Mark(Protocol):
    """A place as YAML's parser tells it: line and column from 0."""

    line: int
    column: int


class Place(NamedTuple):
    """A place alone."""

    line: int
    column: int
    length: int = 1


class Report:
    """The problems found in one text, gathered so that all are told at once."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.cut_short = False
        self._text = ""
        self._lines: list[str] | None = None
        self._starts: list[int] | None = None

    @property
    def text(self) -> str:
        """The text that places refer to; empty until it could be decoded."""
        return self._text

    @text.setter
    def text(self, text: str) -> None:
        self._text, self._lines, self._starts = text, None, None

    @property
    def full(self) -> bool:
        """Whether further problems will only be counted as `more`."""
        return len(self.problems) > MAX_PROBLEMS

    def span(self, place: Placed) -> Span:
        """The place as a span, which lies within the text."""
        if place.length >= TO_LINE_END:
            return self._within(place)
        return Span(self.source, place.line, place.column, place.length)

    def on(self, place: Placed, code: str, message: str, cure: str = "") -> None:
        """Add a problem; a place past the end of a line or the text is drawn back to that end."""
        if self.full:
            return
        if len(self.problems) == MAX_PROBLEMS:
            code, message, cure = "too-many-problems", "there are more problems than these", "mend these first"
        span = self._within(place)
        excerpt = self.lines[span.line - 1]
        self.problems.append(
            Problem(
                span=span,
                code=code,
                message=printable(message),
                help=printable(cure),
                excerpt=excerpt if len(excerpt) <= _MAX_EXCERPT else "",
            )
        )

    def place_of(self, offset: int, length: int = 1) -> Place:
        """The place of what begins at this character of the text (from 0)."""
        if self._starts is None:
            self._starts = [0, *(found.end() for found in _BREAK.finditer(self._text))]
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1, length)

    def fork(self) -> Report:
        """An empty report on the same text, to be absorbed or dropped."""
        other = Report(self.source)
        other._text, other._lines, other._starts = self._text, self._lines, self._starts
        return other

    def absorb(self, other: Report) -> None:
        """Take over what another report on the same text has found."""
        self.problems += other.problems[: MAX_PROBLEMS + 1 - len(self.problems)]
        self.cut_short = self.cut_short or other.cut_short

    @property
    def lines(self) -> list[str]:
        """The lines of the text without their breaks; at least one."""
        if self._lines is None:
            self._lines = _BREAK.split(self._text)
            if len(self._lines) > 1 and not self._lines[-1]:
                self._lines.pop()
        return self._lines

    def _within(self, place: Placed) -> Span:
        line = min(place.line, len(self.lines))
        end = len(self.lines[line - 1]) + 1
        column = min(place.column, end) if line == place.line else end
        return Span(self.source, line, column, max(1, min(place.length, end - column)))

    def token(self, mark: Mark) -> tuple[Place, str]:
        """What stands in the text from this mark to the next white space or bracket, and its place."""
        match = _TOKEN.match(self.lines[mark.line], mark.column)
        found = match[0] if match else ""
        return Place(mark.line + 1, mark.column + 1, max(1, len(found))), found

    def written(self, place: Placed) -> str:
        """What stands in the text at the place, as it is written, cut if it is long."""
        start = place.column - 1
        text = self.lines[place.line - 1][start : start + place.length]
        return shortened(text)

    def raise_if_any(self) -> None:
        """Raise `PolicyError` with every problem in the text's order, if there is one."""
        if self.problems:
            raise PolicyError(tuple(sorted(self.problems, key=_place)))


def shortened(text: str) -> str:
    """The text, cut if it is too long for a message."""
    return text if len(text) <= _MAX_WORD else text[:_MAX_WORD] + "..."


def quoted(text: str) -> str:
    """The text as YAML writes it in double quotes, cut if it is long."""
    return '"' + shortened(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, if there is one."""
    if len(word) > _MAX_WORD:
        return None
    from difflib import get_close_matches  # noqa: PLC0415  only a text with a problem pays for it

    lowered = word.lower().replace("-", "_")
    by_form = {name.lower(): name for name in known}
    close = get_close_matches(lowered, by_form, n=1)
    return by_form[close[0]] if close else None


def _place(problem: Problem) -> tuple[int, int]:
    return problem.span.line, problem.span.column
