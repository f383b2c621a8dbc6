"""YAML's own errors, told with a place and a cure; and mended where the rest can still be read."""

from __future__ import annotations

import re
from typing import Any

from yaml import MarkedYAMLError

from onpurpose.lang.decoding import PLACEHOLDER
from onpurpose.lang.report import Place, Report

_MAX_MENDS = 20
_TAB_INDENT = re.compile(r"^ *(\t[ \t]*)", re.MULTILINE)
_CURES = {
    "mapping values are not allowed": "quote a text that holds `: `, and check the indentation",
    "did not find expected key": "check the indentation, and that quotes and brackets are closed",
    "did not find expected '-' indicator": "check the indentation: the items of a list line up",
    "could not find expected ':'": "write `key: value`, with a space after the colon",
    "did not find expected ',' or ']'": "close the list with `]`, and part its items by commas",
    "did not find expected ',' or '}'": "close the mapping with `}`, and part its pairs by commas",
    "block sequence entries are not allowed": "begin the list on a line of its own",
    "found unknown escape character": r"write a backslash as `\\`, or use single quotes",
}


def open_parser(text: str) -> Any:
    """A parser whose `get_event()` hands out YAML's events: libyaml's, or the slower one in Python."""
    try:
        from yaml._yaml import CParser as Parser  # noqa: PLC0415  absent where PyYAML was built without C
    except ImportError:
        from yaml import SafeLoader as Parser  # type: ignore[assignment]  # noqa: PLC0415
    return Parser(_Portions(text))


class _Portions:
    """A text to be read in portions: to take in a large one at once would hold up every other thread."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    def read(self, size: int = 1 << 14, /) -> str:
        """At most so many of the next characters; none at the end."""
        start = self._position
        self._position += size
        return self._text[start : start + size]


class Mender:
    """Tells errors of syntax, and changes the text so that the next pass comes further.

    Places never move: what is changed is changed one character for one.
    """

    def __init__(self, text: str, report: Report) -> None:
        self.text = text
        self.mends = 0
        self._report = report
        self._doubtful = text is not report.text

    def mend(self, error: MarkedYAMLError) -> bool:
        """Tell the error; whether the text was mended, so that another pass is worth it."""
        self.mends += 1
        mark: Any = error.problem_mark
        if str(error.context or "").startswith(("while scanning an a", "while scanning a q")):
            mark = error.context_mark  # where the alias, anchor or quoted text begins
        place = mark.index
        begun = self.text[place : place + 1]
        if begun == "\t":
            self._mend_tabs(mark)
        elif begun and begun in "*&@`%":
            self._mend_character(mark, begun)
        else:
            self._tell(mark, error)
            return False
        return self.mends < _MAX_MENDS

    def _mend_tabs(self, mark: Any) -> None:
        self._doubtful = True
        cure = "indent with spaces"
        text = self.text
        start = mark.index - mark.column
        found = list(_TAB_INDENT.finditer(text, start))
        if not found or found[0].start(1) > mark.index:
            self._report.on(Place(mark.line + 1, mark.column + 1), "tab", "a tab stands where a value must begin", cure)
        for tab in found:
            place = self._report.place_of(tab.start(1), len(tab[1]))
            self._report.on(place, "tab", "a tab is used as indentation", cure)
        mended = text[:start] + _TAB_INDENT.sub(lambda tab: " " * len(tab[0]), text[start:])
        self.text = mended[: mark.index] + " " + mended[mark.index + 1 :]

    def _mend_character(self, mark: Any, char: str) -> None:
        place, token = self._report.token(mark)
        cure = f'quote it: `"{token}"`' if len(token) < 40 else "quote it"
        message = f"`{char}` cannot begin a plain text"
        if char == "*":
            message = "an unquoted `*` begins an alias, and aliases are not allowed"
        self._report.on(place, "alias" if char == "*" else "syntax", message, cure)
        self.text = self.text[: mark.index] + PLACEHOLDER + self.text[mark.index + 1 :]

    def _tell(self, mark: Any, error: MarkedYAMLError) -> None:
        if self._doubtful:
            return  # may well be what tabs or refused characters did
        problem = str(error.problem or "cannot be read as YAML")
        message, cure = problem[:1].lower() + problem[1:], ""
        for begin, known in _CURES.items():
            if problem.startswith(begin):
                cure = known
        if "quoted scalar" in str(error.context) and "end of stream" in problem:
            message, cure = "a quoted text is never closed", "close the quote"
        self._report.on(Place(mark.line + 1, mark.column + 1), "syntax", message, cure)
