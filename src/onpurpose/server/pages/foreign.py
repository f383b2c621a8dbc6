"""Text that may be anybody's, for a page: every character of it is seen, stays where it stands, and looks like text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from markupsafe import Markup, escape

from onpurpose.app.intent_context import visible

MOST_MARKS = 3
"""How many marks one letter may carry; a tower of them would be drawn over what stands above."""

PER_LINE = 90
"""How many bytes the elements around a line may take, its number and its place included."""

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Letters and marks that count as printable and show nothing."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?')


def shown(text: str) -> str:
    r"""The text with all that is not seen as it is written as `\u202e`; lines stay."""
    if text.isascii():
        return visible(text)
    found, marks = [], 0
    for char in visible(text):
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        hidden = marks > MOST_MARKS or char in _BLANK or _selects(char)
        found.append(f"\\u{ord(char):04x}" if hidden else char)
    return "".join(found)


def _selects(char: str) -> bool:
    """Whether it only says how the character before it is drawn: nobody sees how many there are."""
    return "\ufe00" <= char <= "\ufe0e" or "\U000e0100" <= char <= "\U000e01ef"


def finalized(value: object) -> object:
    """What a template puts out: text is made visible, whatever it is and wherever it comes from."""
    return shown(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def takes(text: str) -> int:
    """How many bytes the text takes in a page: made visible, escaped, in UTF-8."""
    return len(escape(shown(text)).encode())


def clipped(text: str, most: int) -> str:
    """As much of the text as takes at most so many bytes in a page; where that is not all, it ends with `…`."""
    count = len(text)
    if count <= most:
        size = takes(text)
        if size <= most:
            return text
    count, room = min(count, most), max(0, most - len("…".encode()))
    while count and (size := takes(text[:count])) > room:
        count = min(count - 1, count * room // size)
    return f"{text[:count]}…"


def fitting(texts: Iterable[str], most: int) -> list[str]:
    """The first of the texts, as many as take at most so many bytes in a page; the last may be cut."""
    found = []
    for text in texts:
        if most <= 0:
            break
        found.append(clipped(text, most))
        most = most - takes(text) if found[-1] == text else 0
    return found


def beginning(text: str, most: int) -> tuple[str, int]:
    """As many lines of the text as take at most so many bytes in a page, and how many bytes of it are left out.

    A line that alone is too long is cut, so that something of it is seen.
    """
    found: list[str] = []
    for line in text.split("\n"):
        size = takes(line) + PER_LINE if len(line) <= most else most + 1
        if size > most:
            found += [clipped(line, most - PER_LINE)] if most >= PER_LINE + takes("…") else []
            break
        found.append(line)
        most -= size
    part = "\n".join(found)
    return part, max(0, len(text.encode()) - len(part.encode()))


def lines(text: str) -> list[Markup]:
    """The lines of a JSON text; each string keeps its direction to itself, so that no line is read in disorder."""
    return [_isolated(line) for line in shown(text).split("\n")]


def _isolated(line: str) -> Markup:
    if line.isascii():
        return escape(line)
    parts, end = [], 0
    for match in _STRING.finditer(line):
        parts += [escape(line[end : match.start()]), Markup("<bdi>"), escape(match.group()), Markup("</bdi>")]
        end = match.end()
    return Markup("").join([*parts, escape(line[end:])])
