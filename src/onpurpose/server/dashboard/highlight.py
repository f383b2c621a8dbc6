"""YAML as it is drawn: lines of pieces, each with what it is. Linear in the text, and bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from onpurpose.core.span import Problem, Severity

MOST_LINES = 3000
"""How many lines are drawn; a text that has more is drawn up to there."""

MOST_WIDE = 2000
"""How many characters of a line are drawn."""

_PIECE = re.compile(
    r"(?P<remark>(?:(?<=\s)|^)\#.*)"
    r"|(?P<text>\"(?:[^\"\\]|\\.)*\"?|'[^']*'?)"
    r"|(?P<key>[A-Za-z_][\w.*-]*(?=\s*:(?:\s|$)))"
    r"|(?P<sign>[\[\]{},:]|(?:(?<=\s)|^)-(?=\s|$))"
    r"|(?P<word>\b(?:true|false|null|\d+(?:\.\d+)?)\b)"
    r"|(?P<plain>\w+|\s+|.)"
)


class Told(NamedTuple):
    """A sentence below a line, and whether it only warns."""

    text: str
    warns: bool


class Line(NamedTuple):
    """A line: its number, its pieces (what each is, empty for plain ones, and its text), what is told below it."""

    number: int
    pieces: list[tuple[str, str]]
    told: list[Told]


def drawn(text: str, problems: Sequence[Problem] = ()) -> list[Line]:
    """The lines of the text with the problems that are about them."""
    by_line: dict[int, list[Told]] = {}
    for one in problems:
        sentence = f"{one.message}: {one.help}" if one.help else one.message
        by_line.setdefault(one.span.line, []).append(Told(sentence, one.severity is Severity.WARNING))
    return list(_lines(text.removesuffix("\n").split("\n"), by_line))


def _lines(lines: list[str], told: Mapping[int, list[Told]]) -> Iterator[Line]:
    for number, line in enumerate(lines[:MOST_LINES], 1):
        yield Line(number, _pieces(line[:MOST_WIDE]), told.get(number, []))


def _pieces(line: str) -> list[tuple[str, str]]:
    """The pieces of a line, neighbours of one kind as one."""
    found: list[tuple[str, str]] = []
    for piece in _PIECE.finditer(line):
        kind = "" if piece.lastgroup in (None, "plain") else str(piece.lastgroup)
        if found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + piece[0])
        else:
            found.append((kind, piece[0]))
    return found
