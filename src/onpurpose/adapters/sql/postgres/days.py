"""The days of a log in PostgreSQL: which are over, what is in them, and letting go of one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import date

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from onpurpose.adapters.sql.postgres import partitions, schema
from onpurpose.adapters.sql.postgres.connection import Address, close
from onpurpose.core.record import LedgerError, Receipt, Stored

_HOLDS = "SELECT EXISTS (SELECT FROM records WHERE day = %s)"
_TODAY = "SELECT (now() AT TIME ZONE 'UTC')::date"
# The first and the last of each chain, by one look into the index for each.
_SPANS = """
WITH RECURSIVE found (chain) AS (
    SELECT min(chain) FROM records WHERE day = %(day)s
    UNION ALL
    SELECT (SELECT min(chain) FROM records WHERE day = %(day)s AND chain > found.chain)
    FROM found WHERE found.chain IS NOT NULL
)
SELECT coalesce(chains.name, ''), coalesce(chains.covered, 0),
    (SELECT min(seq) FROM records WHERE day = %(day)s AND chain = found.chain),
    (SELECT max(seq) FROM records WHERE day = %(day)s AND chain = found.chain)
FROM found LEFT JOIN chains ON chains.id = found.chain WHERE found.chain IS NOT NULL
"""
_RECORDS = """
SELECT coalesce(name, ''), seq, hash, body FROM records LEFT JOIN chains ON chains.id = records.chain
WHERE records.day = %s ORDER BY records.chain, seq
"""
_NOTE = """
INSERT INTO archives (day, chain, seq) VALUES (%s, %s, %s)
ON CONFLICT (day) DO UPDATE SET chain = excluded.chain, seq = excluded.seq
"""
# What stands where a table of ours says it does.
_NOTED = """
SELECT name, records.seq, hash, body FROM {0} JOIN chains ON name = {0}.chain
JOIN records ON records.chain = chains.id AND records.seq = {0}.seq WHERE {0}.day = %s
"""
_ARCHIVES, _LET_GO = sql.Identifier("archives"), sql.Identifier("let_go")
_ORDER = """
INSERT INTO let_go (day, chain, seq, archive_chain, archive_seq, archive) VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (day) DO UPDATE SET chain = excluded.chain, seq = excluded.seq,
    archive_chain = excluded.archive_chain, archive_seq = excluded.archive_seq, archive = excluded.archive
"""
_BATCH = 500


class PostgresDays:
    """The days of the log at `url`. Connects for each use. Raises `LedgerError` where that cannot be done."""

    def __init__(self, url: str, *, connect_timeout: int = 3) -> None:
        self._address = Address(url)
        self._timeout = connect_timeout

    def closed(self) -> list[date]:
        """The days that hold a record and were over a day ago (UTC, by the server's clock): no writer is in them."""
        with self._connected() as connection:
            (today,) = connection.execute(_TODAY).fetchone() or (date.min,)
            days = [day for day in partitions.days(connection) if day + partitions.DAY < today]
            return [day for day in days if connection.execute(_HOLDS, (day,), prepare=False).fetchone() == (True,)]

    def records(self, day: date) -> Iterator[Stored]:
        """The day's records, chain after chain, of one snapshot; `position` is 0."""
        with self._connected() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            for name, covered, _, last in connection.execute(_SPANS, {"day": day}).fetchall():
                if last > covered:
                    raise LedgerError(f"no checkpoint covers record {last} of the chain `{name}` yet")
            with connection.cursor("day", binary=True) as cursor:
                cursor.itersize = _BATCH
                for name, seq, digest, body in cursor.execute(_RECORDS, (day,)):
                    yield Stored(0, name, seq, digest, body)

    def note(self, day: date, receipt: Receipt) -> None:
        """Remember where the record of the day's archive stands."""
        with self._connected() as connection:
            connection.execute(_NOTE, (day, receipt.chain, receipt.seq))

    def noted(self, day: date) -> Stored | None:
        """The record of the day's archive, as the log has it."""
        with self._connected() as connection:
            return _noted(connection, _ARCHIVES, day)

    def order(self, day: date, made: Stored, receipt: Receipt | None) -> None:
        """Remember that the day is to be let go, which record tells of its archive, and where the order stands."""
        place = (None, None) if receipt is None else (receipt.chain, receipt.seq)
        with self._connected() as connection:
            schema.have_let_go(connection)
            connection.execute(_ORDER, (day, *place, made.chain, made.seq, made.body))

    def ordered(self, day: date) -> Stored | None:
        """The order to let go of the day, as the log has it."""
        with self._connected() as connection:
            return _noted(connection, _LET_GO, day) if schema.has_let_go(connection) else None

    def unfinished(self) -> list[date]:
        """The days that were to be let go and are still there, oldest first."""
        with self._connected() as connection:
            if not schema.has_let_go(connection):
                return []
            ordered = {day for (day,) in connection.execute("SELECT day FROM let_go")}
            return [day for day in partitions.days(connection) if day in ordered]

    def drop(self, day: date, spans: Mapping[str, tuple[int, int]]) -> None:
        """Drop the day's partition if it spans exactly this. Writers wait for it, a few milliseconds.

        `LedgerError` where it holds anything else, or somebody reads the log just now.
        """
        with self._connected() as connection, connection.transaction():
            # While this waits for a reader to end, writers wait behind it.
            connection.execute("SET LOCAL lock_timeout = '200ms'")
            connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (schema.LOCKS, schema.MAKING))
            connection.execute("LOCK TABLE ONLY records IN ACCESS EXCLUSIVE MODE")
            rows = connection.execute(_SPANS, {"day": day}).fetchall()
            found = {name: (first, last) for name, _, first, last in rows}
            if found != dict(spans) or len(found) != len(rows):
                raise LedgerError(f"{day} holds other records than its archive: archive it again")
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(partitions.name_of(day))))

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection[TupleRow]]:
        try:
            connection = self._address.reader(self._timeout)
            try:
                yield connection
            finally:
                close(connection)
        except psycopg.Error as error:
            raise self._address.describe("read", error) from error


def _noted(connection: Connection[TupleRow], table: sql.Identifier, day: date) -> Stored | None:
    row = connection.execute(sql.SQL(_NOTED).format(table), (day,), binary=True).fetchone()
    return None if row is None else Stored(0, *row)
