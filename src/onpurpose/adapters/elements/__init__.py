"""What data a SQL statement touches, told from its text, or not told at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onpurpose.adapters.elements.dialect import DIALECTS
from onpurpose.adapters.elements.text import MAX_PIECES, CannotTellError
from onpurpose.core.call import Touched

QUICK_PIECES = 1000
"""Words and signs of a statement that is read while a call waits for its answer."""


class SqlElements:
    """Reads statements of one dialect: postgres, mysql, sqlite, snowflake or bigquery.

    `schema` maps `table` or `schema.table`, as elements are to name it, to its columns, both as the database
    keeps them. With it `*` and unqualified columns are resolved, and what it does not list cannot be told.
    A text of more than `most_pieces` words and signs is not read: the time that it takes is in proportion to
    them, some 0.03 ms each. Raises `ValueError` for another dialect. Needs `sqlglot`, of the extra `server`.
    """

    def __init__(
        self,
        dialect: str = "postgres",
        schema: Mapping[str, Sequence[str]] | None = None,
        *,
        most_pieces: int = MAX_PIECES,
    ) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"`{dialect}` is no dialect that is read: {', '.join(DIALECTS)}")
        from onpurpose.adapters.elements.statement import read  # noqa: PLC0415  it takes time, and is an extra

        self._read, self._name, self._dialect, self._most = read, dialect, DIALECTS[dialect], most_pieces
        self._schema = None if schema is None else {table: frozenset(columns) for table, columns in schema.items()}

    def read(self, sql: str) -> Touched:
        """What the statements touch, or why it cannot be told. Never raises for what the text contains."""
        try:
            elements = self._read(sql, self._dialect, self._name, self._schema, self._most)
        except CannotTellError as error:
            return Touched(elements=None, why=str(error))
        except RecursionError:
            return Touched(elements=None, why="the statement nests too deep")
        except Exception as error:  # whatever a parser stumbles over cannot be told
            return Touched(elements=None, why=f"the statement cannot be parsed ({type(error).__name__})")
        return Touched(elements=tuple(sorted(elements)), why="")


def quick_elements(dialect: str, schema: Mapping[str, Sequence[str]] | None) -> SqlElements:
    """A reader for statements in calls that wait for their answers: of `QUICK_PIECES`, some 30 ms, and no more."""
    return SqlElements(dialect, schema, most_pieces=QUICK_PIECES)
