"""Reading a log in PostgreSQL on from where one was, chain by chain, at once when a record is committed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from types import TracebackType
from typing import NamedTuple

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow

from onpurpose.adapters.sql.postgres.connection import Address, close
from onpurpose.core.record import LedgerError, Stored

_CHAINS = "SELECT name, covered, id, covered_day, ended FROM chains ORDER BY id"
_HEADS = """
SELECT open.id, seq FROM unnest(%s::int[]) AS open (id) CROSS JOIN LATERAL (
    SELECT seq FROM records WHERE chain = open.id AND day >= %s ORDER BY seq DESC LIMIT 1
) AS records
"""
_AFTER = """
SELECT seq, hash, body, day FROM records WHERE chain = %s AND day >= %s AND seq > %s ORDER BY seq LIMIT %s
"""


class _Place(NamedTuple):
    """The number that stands for a chain in the tables, and a record of it with its day: days never go back."""

    row: int
    seq: int
    day: date


class PostgresFollow:
    """The log as one that follows it needs it: which chains there are, how far they reach, what comes next.

    Connects when first asked, and again after a failure. Not for several threads. Raises `LedgerError`
    while the log cannot be read.
    """

    def __init__(self, url: str, *, connect_timeout: int = 3) -> None:
        self._address = Address(url)
        self._timeout = connect_timeout
        self._connection: Connection[TupleRow] | None = None
        self._places: dict[str, _Place] = {}

    def chains(self) -> Mapping[str, int]:
        """The number of each chain's newest committed record, by the chain's name, oldest chain first."""
        chains = self._ask(_CHAINS, ())
        living = {row: day for _, _, row, day, ended in chains if not ended}
        heads: dict[int, int] = dict(self._ask(_HEADS, (list(living), min(living.values())))) if living else {}
        return {name: max(covered, heads.get(row, 0)) for name, covered, row, _, _ in chains}

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        """The records of a chain behind a number, in order, `limit` at most; their `position` is 0, not known."""
        place = self._place(chain, seq)
        if place is None:
            return []
        rows = self._ask(_AFTER, (place.row, place.day, seq, limit))
        if rows:
            self._places[chain] = _Place(place.row, rows[-1][0], rows[-1][3])
        return [Stored(0, chain, number, digest, body) for number, digest, body, _ in rows]

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

    def _place(self, chain: str, seq: int) -> _Place | None:
        """From where to look for what stands behind a number of the chain."""
        place = self._places.get(chain)
        if place is None or place.seq > seq:
            for row, day in self._ask("SELECT id, day FROM chains WHERE name = %s", (chain,)):
                place = self._places[chain] = _Place(row, 0, day)
        return place

    def _ask(self, query: str, parameters: tuple[object, ...]) -> list[TupleRow]:
        try:
            if self._connection is None:
                self._connection = self._address.reader(self._timeout)
            return self._connection.execute(query, parameters, prepare=False, binary=True).fetchall()
        except psycopg.errors.UndefinedTable:
            return []  # no record was ever written
        except psycopg.Error as error:
            self.close()
            raise self._address.describe("read", error) from error
        except LedgerError:
            self.close()
            raise
