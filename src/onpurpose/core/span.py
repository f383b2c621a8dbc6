"""Where something stands in a text, what is wrong with it, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from msgspec import Struct

from onpurpose.core.errors import OnPurposeError

EXCERPT_LIMIT = 160
"""Characters of a source line that are shown; the rest is cut, the underline kept in view."""


class Span(Struct, frozen=True, gc=False):
    """A stretch of one line of a source: line and column count from 1, length in characters."""

    source: str
    line: int
    column: int
    length: int = 1

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


class Severity(StrEnum):
    """How bad a problem is: an `ERROR` keeps a policy from loading, a `WARNING` does not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong, where, and how to mend it.

    `code` is a stable kebab-case name, `message` one lower-case line without a full stop,
    `help` the cure (may be empty), `excerpt` the source line the span points into.
    """

    span: Span
    code: str
    message: str
    help: str = ""
    excerpt: str = ""
    severity: Severity = Severity.ERROR

    def render(self) -> str:
        """The problem for a person: place, message, the line with an underline, the cure."""
        head = f"{self.span}: {self.severity}: {self.message} [{self.code}]"
        lines = [head]
        if self.excerpt:
            shown, start = _window(self.excerpt, self.span.column - 1)
            gutter = f"{self.span.line:>5} | "
            width = max(1, min(self.span.length, len(shown) - start))
            lines.append(gutter + shown)
            lines.append(" " * (len(gutter) - 2) + "| " + " " * start + "^" * width)
        if self.help:
            lines.append(f"      = help: {self.help}")
        return "\n".join(lines)


class PolicyError(OnPurposeError):
    """A text that cannot be read exactly. Carries every problem found, in the text's order."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(problem.render() for problem in problems))


def printable(text: str) -> str:
    """The text with everything a terminal could obey (controls, bidi marks) replaced by U+FFFD."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def _window(line: str, start: int) -> tuple[str, int]:
    """At most `EXCERPT_LIMIT` characters of the line that contain `start`, and where it now is."""
    cut = max(0, start - EXCERPT_LIMIT // 2) if len(line) > EXCERPT_LIMIT else 0
    return printable(line[cut : cut + EXCERPT_LIMIT]), start - cut
