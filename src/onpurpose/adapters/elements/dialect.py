"""The databases whose SQL is read: how they quote, and when two spellings are one name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onpurpose.adapters.elements.text import Lexicon

Fold = Callable[[str, bool], str]
"""A name as the database keeps it, from its spelling and whether it was quoted."""

_UPPER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")  # other letters are not folded


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One database's way with names."""

    lexicon: Lexicon
    table: Fold
    column: Fold
    alias_first: bool
    """Whether a bare name in `ORDER BY` is surely an output's before it is a column's."""
    implied_first: bool = False
    """Whether that holds for an output, too, that has its name from a column and not by `AS`."""
    rows: bool = False
    """Whether a table's name can stand for its whole row."""
    own_name_is_table: bool = False
    """Whether a query in `WITH`, not recursive, that names itself means the table of that name."""


def _lower(name: str, quoted: bool) -> str:
    return name.translate(_UPPER)


def _lower_unquoted(name: str, quoted: bool) -> str:
    return name if quoted else name.translate(_UPPER)


def _upper_unquoted(name: str, quoted: bool) -> str:
    return name if quoted else name.upper()


def _as_written(name: str, quoted: bool) -> str:
    return name


DIALECTS = {
    "postgres": Dialect(
        lexicon=Lexicon(names='"', escapes="e b x n", dollar_strings=True, longest=63, beyond_ascii=True),
        table=_lower_unquoted,
        column=_lower_unquoted,
        alias_first=True,
        implied_first=True,
        rows=True,
        own_name_is_table=True,
    ),
    "mysql": Dialect(
        lexicon=Lexicon(
            names="`", strings="'\"", escapes="b x n", hash_comments=True, blank_after_dashes=True, longest=64
        ),
        table=_as_written,
        column=_lower,
        alias_first=True,
        own_name_is_table=True,
    ),
    "sqlite": Dialect(
        lexicon=Lexicon(names='"`[', escapes="x", beyond_ascii=True),
        table=_lower,
        column=_lower,
        alias_first=True,
    ),
    "snowflake": Dialect(
        lexicon=Lexicon(names='"', escapes="x", dollar_strings=True),
        table=_upper_unquoted,
        column=_upper_unquoted,
        alias_first=False,
    ),
    "bigquery": Dialect(
        lexicon=Lexicon(names="`", strings="'\"", hash_comments=True, doubled=False),
        table=_as_written,
        column=_lower,
        alias_first=False,
        rows=True,
        own_name_is_table=True,
    ),
}
"""Those whose rules are written down; another is refused, not guessed."""
