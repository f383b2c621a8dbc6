"""SQL text without what two lexers could read differently: comments go, literals become one literal.

What is left (words, numbers, operators, quoted names of plain characters) is lexed alike by the database and by
the parser. Whatever a setting or a version of the database could read in another way is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

MAX_BYTES = 100 * 1024
"""How long a statement may be, in UTF-8 bytes."""

MAX_NESTING = 12
"""How deep brackets and `CASE` may nest: the parser tries some of them twice at each level."""

MAX_PIECES = 10_000
"""How many words, literals and signs a statement may hold."""

MAX_SQUARE = 2
"""How deep square brackets may nest: the parser tries each three times."""

MAX_SQUARES = 200

LITERAL = "'0'"  # no name: where a database reads a literal as a name, the name is refused


class CannotTellError(Exception):
    """What the statement touches cannot be told; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lexicon:
    """How a database writes names and literals."""

    names: str
    """The quotes around names."""
    strings: str = "'"
    """The quotes around literals."""
    escapes: str = ""
    """The letters that may stand before a literal."""
    hash_comments: bool = False
    blank_after_dashes: bool = False
    """Whether `--` begins a comment only before a blank."""
    dollar_strings: bool = False
    doubled: bool = True
    """Whether a doubled quote stands for one inside a literal, and a literal may hold a line's end."""
    longest: int = 255
    """Up to how many bytes names are told apart."""
    beyond_ascii: bool = False
    """Whether names beyond ASCII are compared as they are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word of a statement: whether it was quoted, and whether a bracket follows it."""

    text: str
    quoted: bool
    called: bool


@dataclass(frozen=True, slots=True)
class Plain:
    """The text that remains, and its words in order."""

    text: str
    words: tuple[Word, ...]


_TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<line>--[^\n]*)
      | (?P<block>/\*)
      | (?P<quote>['"`])
      | (?P<parameter>\$[0-9]+(?![A-Za-z0-9_$]))
      | (?P<dollar>\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$)
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_$.]))
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<hash>\#)
      | (?P<other>[!%&()*+,\-./:;<=>?@\[\]^|~])""",
    re.VERBOSE,
)
_QUOTED = {quote: re.compile(f"{quote}(?:[^{quote}]|{quote}{quote})*{quote}") for quote in "'\"`"}
_NAME = re.compile(r"[\w$ -]+")
_BRACKETED = re.compile(r"\[([^\]]*)\]")
_UNREAD = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)")


def plain(sql: str, lexicon: Lexicon, most: int = MAX_PIECES) -> Plain:
    """The statement's text without comments and literals, or `CannotTellError`; of so many words and signs at most."""
    if len(sql) > MAX_BYTES or len(sql.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise CannotTellError(f"the text is longer than {MAX_BYTES} bytes")
    if _UNREAD.search(sql):
        raise CannotTellError("the text holds control characters")
    return _Scanner(sql, lexicon, most).scan()


class _Scanner:
    """Reads one text from left to right."""

    def __init__(self, sql: str, lexicon: Lexicon, most: int) -> None:
        self._sql, self._lexicon, self._most = sql, lexicon, most
        self._at, self._depth, self._square, self._squares = 0, 0, 0, 0
        self._pieces: list[str] = []
        self._words: list[tuple[int, str, bool]] = []  # the piece, the name, whether it was quoted

    def scan(self) -> Plain:
        while self._at < len(self._sql):
            match = _TOKEN.match(self._sql, self._at)
            if match is None or match.lastgroup is None:
                raise CannotTellError(f"the character {self._sql[self._at]!r} is read differently by databases")
            self._at = match.end()
            getattr(self, f"_{match.lastgroup}")(match.group())
            if len(self._pieces) > 2 * self._most:  # with the blanks between them
                raise CannotTellError(f"the text holds more than {self._most} words and signs")
        pieces = self._pieces
        filled = [index for index, piece in enumerate(pieces) if not piece.isspace()]
        after = dict(pairwise(filled))
        words = tuple(
            Word(text=text, quoted=quoted, called=pieces[after.get(index, index)] == "(")
            for index, text, quoted in self._words
        )
        return Plain("".join(pieces), words)

    def _space(self, text: str) -> None:
        self._pieces.append(" ")

    def _line(self, text: str) -> None:
        if self._lexicon.blank_after_dashes and text[2:3] not in ("", " ", "\t", "\r"):
            raise CannotTellError("`--` without a blank after it is no comment everywhere")
        self._pieces.append(" ")

    def _hash(self, text: str) -> None:
        if not self._lexicon.hash_comments:
            self._pieces.append(text)
            return
        end = self._sql.find("\n", self._at)
        self._at = len(self._sql) if end < 0 else end
        self._pieces.append(" ")

    def _block(self, text: str) -> None:
        end = self._sql.find("*/", self._at)
        body = self._sql[self._at : end]
        if end < 0 or "/*" in body or body[:1] in tuple("!+M/"):
            raise CannotTellError("a comment that is open, nested or a hint")
        self._at = end + 2
        self._pieces.append(" ")

    def _quote(self, quote: str) -> None:
        start = self._at - 1
        match = _QUOTED[quote].match(self._sql, start)
        if match is None:
            raise CannotTellError("a quote is not closed")
        self._at = match.end()
        inner = match.group()[1:-1]
        if quote in self._lexicon.strings:
            self._literal(quote, inner)
        elif quote in self._lexicon.names:
            self._name(inner)
        else:
            raise CannotTellError(f"the quote {quote} has no meaning here")

    def _literal(self, quote: str, inner: str) -> None:
        if "\\" + quote in inner + quote:
            raise CannotTellError("a backslash before a quote is read differently, by setting")
        if not self._lexicon.doubled and (quote in inner or "\n" in inner):
            raise CannotTellError("a literal with a doubled quote or a line's end")
        self._pieces.append(LITERAL)

    def _name(self, inner: str) -> None:
        self._check_name(inner)
        self._words.append((len(self._pieces), inner, True))
        quote = self._lexicon.names[0]
        self._pieces.append(f"{quote}{inner}{quote}")

    def _check_name(self, name: str) -> None:
        if not _NAME.fullmatch(name) or name != name.strip():
            raise CannotTellError("a quoted name holds other characters than letters, digits, `_`, `$`, `-` and blanks")
        if not (name.isascii() or self._lexicon.beyond_ascii):
            raise CannotTellError("a name beyond ASCII is compared differently by databases")
        if len(name.encode("utf-8", "surrogatepass")) > self._lexicon.longest:
            raise CannotTellError(f"a name is longer than {self._lexicon.longest} bytes, and may be cut off")

    def _word(self, text: str) -> None:
        after = self._sql[self._at : self._at + 1]
        if after in ("'", '"', "`") and after in self._lexicon.strings:
            if text.lower() not in self._lexicon.escapes.split():
                raise CannotTellError(f"a literal with the prefix `{text}`")
            return  # the literal follows, and is replaced whole
        if after == "$" or (after and not after.isascii()):
            raise CannotTellError("an unquoted name with other characters than letters, digits and `_`")
        if text.lower() == "u" and after == "&" and self._sql[self._at + 1 : self._at + 2] in ("'", '"'):
            raise CannotTellError("a name or literal with Unicode escapes")
        self._check_name(text)
        self._depth += {"case": 1, "end": -1}.get(text.lower(), 0)
        self._bound()
        self._words.append((len(self._pieces), text, False))
        self._pieces.append(text)

    def _number(self, text: str) -> None:
        self._pieces.append(text)

    def _parameter(self, text: str) -> None:
        self._pieces.append(text)

    def _dollar(self, tag: str) -> None:
        end = self._sql.find(tag, self._at)
        if not self._lexicon.dollar_strings or end < 0:
            raise CannotTellError("a dollar sign")
        self._at = end + len(tag)
        self._pieces.append(LITERAL)

    def _other(self, text: str) -> None:
        if text == "[" and "[" in self._lexicon.names:
            self._bracketed()
            return
        if text == "/" and self._sql[self._at : self._at + 1] == "/":
            raise CannotTellError("`//` begins a comment in some databases")
        self._depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text, 0)
        self._square += {"[": 1, "]": -1}.get(text, 0)
        self._squares += text == "["
        self._bound()
        self._pieces.append(text)

    def _bracketed(self) -> None:
        match = _BRACKETED.match(self._sql, self._at - 1)
        if match is None:
            raise CannotTellError("a bracket is not closed")
        self._at = match.end()
        self._name(match.group(1))

    def _bound(self) -> None:
        if self._square > MAX_SQUARE or self._squares > MAX_SQUARES:
            raise CannotTellError("too many square brackets")
        if self._depth > MAX_NESTING:
            raise CannotTellError(f"brackets nest deeper than {MAX_NESTING}")
