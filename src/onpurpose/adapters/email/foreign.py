"""Text that may be anybody's, for a mail: every character of it is seen, and there is never too much of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

import orjson

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories that show nothing, or turn the order of letters: controls, bidi marks, broken characters."""

_MOST_LISTED = 50


def seen(text: str, limit: int) -> str:
    r"""At most so many characters; whatever cannot be seen is written as `\u202e`, lines and tabs stay.

    What is cut off ends in an ellipsis.
    """
    head = text[: limit + 1].replace("\r\n", "\n")
    if not (head.isascii() and head.isprintable()):
        head = "".join(map(_seen, head))
    return head if len(head) <= limit else head[: limit - 1] + "…"


def _seen(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in _HIDDEN:
        return char
    return f"\\u{ord(char):04x}"


def one_line(text: str, limit: int) -> str:
    """The same on one line: every run of white space is one space."""
    return seen(" ".join(text[: 4 * limit].split()), limit)


def words(value: object) -> str:
    """A value of the intent context in words: text as it is, lists and mappings with commas, else JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        more = [f"and {len(value) - _MOST_LISTED} more"] if len(value) > _MOST_LISTED else []
        return ", ".join([*map(words, value[:_MOST_LISTED]), *more])
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={words(item)}" for key, item in list(value.items())[:_MOST_LISTED])
    return orjson.dumps(value, default=str).decode()
