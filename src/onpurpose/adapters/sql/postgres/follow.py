"""Reading a log in PostgreSQL on from where one was, chain by chain, at once when a record is committed."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from onpurpose.adapters.sql.postgres.connection import Address, close
from onpurpose.core.record import LedgerError, Stored

_CHAINS = """
SELECT name, CASE WHEN ended THEN covered ELSE coalesce(
    (SELECT seq FROM records WHERE chain = chains.id AND day >= covered_day ORDER BY seq DESC LIMIT 1), covered
) END FROM chains ORDER BY id
"""
_AFTER = """
SELECT seq, hash, body FROM records WHERE chain = %s AND day >= %s AND seq > %s ORDER BY seq LIMIT %s
"""


class PostgresFollow:
    """The log as one that follows it needs it: which chains there are, how far they reach, what comes next.

    Connects when first asked, and again after a failure. Not for several threads. Raises `LedgerError`
    while the log cannot be read.
    """

    def __init__(self, url: str, *, connect_timeout: int = 3) -> None:
        self._address = Address(url)
        self._timeout = connect_timeout
        self._connection: Connection[TupleRow] | None = None
        self._rows: dict[str, tuple[int, object]] = {}

    def chains(self) -> Mapping[str, int]:
        """The number of each chain's newest committed record, by the chain's name, oldest chain first."""
        return dict(self._ask(_CHAINS, ()))

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        """The records of a chain behind a number, in order, `limit` at most; their `position` is 0, not known."""
        known = self._row(chain)
        if known is None:
            return []
        return [Stored(0, chain, *row) for row in self._ask(_AFTER, (*known, seq, limit))]

    def close(self) -> None:
        """Let go of the log; may be asked again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            close(connection)

    def __enter__(self) -> PostgresFollow:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _row(self, chain: str) -> tuple[int, object] | None:
        """The number that stands for the chain, and the day on which it was begun; neither changes."""
        if chain not in self._rows:
            for row, day in self._ask("SELECT id, day FROM chains WHERE name = %s", (chain,)):
                self._rows[chain] = (row, day)
        return self._rows.get(chain)

    def _ask(self, query: str, parameters: tuple[object, ...]) -> list[TupleRow]:
        try:
            if self._connection is None:
                self._connection = self._address.reader(self._timeout)
            return self._connection.execute(query, parameters, binary=True).fetchall()
        except psycopg.errors.UndefinedTable:
            return []  # no record was ever written
        except psycopg.Error as error:
            self.close()
            raise self._address.describe("read", error) from error
        except LedgerError:
            self.close()
            raise
