"""The partitions of a log in PostgreSQL: one table for each day, made before the day begins."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from psycopg import Connection, sql
from psycopg.rows import TupleRow

from onpurpose.adapters.sql.postgres.schema import LOCKS, MAKING

DAY = timedelta(days=1)

_ATTACHED = """
SELECT inhrelid::regclass::text FROM pg_inherits
WHERE inhparent = 'records'::regclass AND NOT inhdetachpending AND inhrelid = to_regclass(%s)
"""
_TABLES = "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'records'::regclass ORDER BY name"
_DAYS = """
SELECT to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') AS day FROM pg_inherits
WHERE inhparent = to_regclass('records') AND inhrelid::regclass::text ~ 'records_[0-9]{8}$' ORDER BY day
"""


def days(connection: Connection[TupleRow]) -> list[date]:
    """The days that have a partition, in order."""
    return [day for (day,) in connection.execute(_DAYS)]


def tables(connection: Connection[TupleRow]) -> list[str]:
    """The tables that hold records, whatever they are called and however they came there, those of days in order.

    As they can be written in a statement.
    """
    return [name for (name,) in connection.execute(_TABLES)]


def name_of(day: date) -> str:
    """The name of the table that holds a day's records."""
    return f"records_{day:%Y%m%d}"


def ensure(connection: Connection[TupleRow], days: Iterable[date]) -> None:
    """Make the partitions of these days where there are none; durable when it returns.

    They are attached rather than made in their place, so that nobody who reads or writes the log
    has to stop for it.
    """
    missing = [day for day in days if not _attached(connection, day)]
    if not missing:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, MAKING))
        for day in missing:
            if not _attached(connection, day):
                _make(connection, day)


def _attached(connection: Connection[TupleRow], day: date) -> bool:
    return connection.execute(_ATTACHED, (name_of(day),)).fetchone() is not None


def _make(connection: Connection[TupleRow], day: date) -> None:
    table = sql.Identifier(name_of(day))
    connection.execute(sql.SQL("CREATE TABLE {} (LIKE records INCLUDING ALL)").format(table))
    attach = sql.SQL("ALTER TABLE records ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})")
    connection.execute(attach.format(table, sql.Literal(day.isoformat()), sql.Literal((day + DAY).isoformat())))
