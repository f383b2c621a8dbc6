"""Reads a text of statements: lexed, parsed, walked, and checked to have lost no word on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from sqlglot import exp, parse

from onpurpose.adapters.elements.allowed import FUNCTIONS, GRAMMAR, UNITS
from onpurpose.adapters.elements.dialect import Dialect
from onpurpose.adapters.elements.text import CannotTellError, Plain, plain
from onpurpose.adapters.elements.writes import Writes

_FIRST = frozenset(("select", "with", "insert", "update", "delete", "merge", "values", "table"))
_ALONE = (exp.Transaction, exp.Commit, exp.Rollback)


def read(sql: str, dialect: Dialect, name: str, schema: Mapping[str, frozenset[str]] | None, most: int) -> set[str]:
    """The elements that the statements touch, or `CannotTellError`. Of more words and signs it cannot be told."""
    text = plain(sql, dialect.lexicon, most)
    _check_first(text)
    statements = [each for each in parse(text.text, dialect=name) if each is not None]
    if not statements:
        raise CannotTellError("there is no statement")
    elements: set[str] = set()
    for statement in statements:
        if isinstance(statement, _ALONE):
            if any(statement.args.values()):
                raise CannotTellError("a transaction with settings")
            continue
        reading = Writes(dialect, schema)
        reading.query(statement, None)
        elements |= reading.touched()
    _check_words(text, statements)
    return elements


def _check_first(text: Plain) -> None:
    """What is no query and no write is not even parsed, for the parser keeps such text as it is."""
    for part in text.text.split(";"):
        first = part.lstrip(" (").split(" ", 1)[0].split("(", 1)[0].lower()
        if first and first not in _FIRST | {"begin", "commit", "rollback"}:
            raise CannotTellError(f"a statement that begins with `{first[:40]}` is not read")


def _check_words(text: Plain, statements: list[exp.Expr]) -> None:
    """Every word must be SQL's own, a function known, or a name that was read as often as it stands there."""
    read = Counter(each.this for one in statements for each in one.find_all(exp.Identifier))
    read.update(each.this for one in statements for each in one.find_all(exp.Placeholder))
    for word in text.words:
        low = word.text.lower()
        own = not word.quoted and (low in GRAMMAR or (word.called and low in FUNCTIONS) or low in UNITS)
        if read[word.text] > 0:
            read[word.text] -= 1
        elif not own:
            raise CannotTellError(f"the parser did not keep `{word.text}`")
