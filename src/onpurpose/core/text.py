"""Folded text: what a hurried reader or a lenient parser would take a text for.

Unicode NFKC, case-folded, zero-width and control characters removed, quotes and backslashes
removed, `$IFS`, `${IFS}`, `/* */` comments and every run of white space one space. A text that a
policy names and that occurs only in the folded text may or may not be there: unknown.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

MAX_MARKS = 32
"""Combining marks in a row that are still read. CPython orders them by insertion, in quadratic
time, so that half a megabyte of them would hold the gate for minutes; real text has two or three
(Unicode's stream-safe format, UAX #15, allows 30)."""

# Removed: controls and format characters (Cc, Cf) and what Unicode calls default-ignorable.
_IGNORABLE = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\U000e0000-\U000e0fff\ufff0-\ufff8"
_FORMATS = (
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
)
_FORMATS_HIGH = "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
_CONTROLS = "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
_QUOTES = "'\"`\\\\\u00ab\u00bb\u2018-\u201f\u2039\u203a\u2e02-\u2e05\u2e09\u2e0a\u2e0c\u2e0d\u2e1c\u2e1d\u2e20\u2e21"
_REMOVED = re.compile(f"[{_IGNORABLE}{_FORMATS}{_FORMATS_HIGH}{_CONTROLS}{_QUOTES}]+")
_BECOME_MARKS = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")  # no marks themselves, but NFKC makes them some
_GAP = re.compile(r"(?:\$ifs|\$\{ifs\}|\s)+")

# The same for plain ASCII, as one pass of `bytes.translate`.
_SPACES = bytes.maketrans(b"\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f", b" " * 9)
_DROPPED = bytes({*range(0x09), *range(0x0E, 0x1C), 0x7F} | set(b"'\"`\\"))


BETWEEN = "`"
"""Stands between readings that are sought in together: a quote, which no folded text holds."""


def fold(text: str) -> str:
    """The folded text, in time linear in the text. The text is readable (`unreadable`)."""
    plain = text.lower()
    return plain if is_plain(plain, 0) else _spaced(_stripped(text))


def fold_all(joined: str, texts: Sequence[str], names: Sequence[str]) -> str:
    """The folded texts, each and all `joined` by one space, and each folded name.

    What a folded needle is sought in; `BETWEEN` the readings keeps a match from spanning two.
    """
    return BETWEEN.join([_fold_texts(joined, texts), *map(fold, names)])


def is_plain(text: str, between: int) -> bool:
    """Whether folding leaves a lower-case text as it is, but for so many `BETWEEN` in it.

    Look-ups that find nothing cost less than any one pass over the text.
    """
    return (
        text.isascii()
        and text.isprintable()
        and "  " not in text
        and "'" not in text
        and '"' not in text
        and "\\" not in text
        and "$" not in text
        and text.count(BETWEEN) == between
        and "/*" not in text
    )


def _fold_texts(joined: str, texts: Sequence[str]) -> str:
    stripped = _stripped(joined)
    # Folding works on each text for itself, so that the joined reading holds them all; but for a
    # comment, which may begin in one text, end in another and swallow what is between.
    if "/*" not in stripped or len(texts) == 1:
        return _spaced(stripped)
    return BETWEEN.join([_spaced(stripped), *map(fold, texts)])


def _stripped(text: str) -> str:
    """Composed, case-folded, without what does not show; white space and comments still in it."""
    if not text.isascii():
        text = _REMOVED.sub("", unicodedata.normalize("NFKC", text).casefold())
    if text.isascii():
        text = text.lower().encode().translate(_SPACES, _DROPPED).decode()
    return text


def _spaced(stripped: str) -> str:
    """What separates words made one space: white space, comments, `$IFS`."""
    if not stripped.isascii() or "$" in stripped or "/*" in stripped:
        return _GAP.sub(" ", _without_comments(stripped))
    while "  " in stripped:  # of plain ASCII all white space is spaces by now; each pass halves the runs
        stripped = stripped.replace("  ", " ")
    return stripped


def unreadable(text: str) -> bool:
    """Whether the text is not valid Unicode (lone surrogates) or piles up combining marks."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return _piles_up(text)


def _piles_up(text: str) -> bool:
    run = 0
    for char in text:
        run = run + 1 if char > "\u02ff" and (unicodedata.combining(char) or char in _BECOME_MARKS) else 0
        if run > MAX_MARKS:
            return True
    return False


def _without_comments(text: str) -> str:
    """The text with each closed `/* */` replaced by a space; an open one is no comment.

    By `find`, not by a regular expression: a text of nothing but `/*` must not cost the square
    of its length.
    """
    start = text.find("/*")
    if start < 0:
        return text
    parts, position = [], 0
    while start >= 0:
        end = text.find("*/", start + 2)
        if end < 0:
            break
        parts += [text[position:start], " "]
        position = end + 2
        start = text.find("/*", position)
    parts.append(text[position:])
    return "".join(parts)
