"""The tables of a log in PostgreSQL, and the advisory locks that its writers agree by."""

from __future__ import annotations

from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow

LOCKS = 0x6F6E7075
"""`onpu`: the first number of all our advisory locks. The second is a chain's id, or one of these."""

SIGNING, MAKING, ANCHORING = 0, -1, -2
"""Held while a checkpoint is signed; while tables are made; while an anchor file is replaced."""

LET_GO = """
CREATE TABLE IF NOT EXISTS let_go (
    day date PRIMARY KEY,
    chain text,
    seq bigint,
    archive_chain text NOT NULL,
    archive_seq bigint NOT NULL,
    archive bytea NOT NULL
)
"""
"""The days that were to be let go: where the order stands (nowhere while it is made), where the record of the day's
archive does, and its body, since the day that holds that record is let go in its turn."""

STATEMENTS = (
    f"SELECT pg_advisory_xact_lock({LOCKS}, {MAKING})",
    # Everything but the name is derived: how far checkpoints cover the chain, on which days it was
    # begun and last covered (so that few partitions are searched), whether its writer is gone for good.
    """
    CREATE TABLE IF NOT EXISTS chains (
        id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        day date NOT NULL,
        covered bigint NOT NULL DEFAULT 0,
        covered_day date NOT NULL,
        ended boolean NOT NULL DEFAULT false
    )
    """,
    "CREATE INDEX IF NOT EXISTS chains_open ON chains (id) WHERE NOT ended",
    # No foreign key: its check would be paid for each record. `damage` looks for chains without a name.
    """
    CREATE TABLE IF NOT EXISTS records (
        chain integer NOT NULL,
        seq bigint NOT NULL,
        day date NOT NULL,
        hash bytea NOT NULL,
        body bytea NOT NULL,
        PRIMARY KEY (chain, seq, day)
    ) PARTITION BY RANGE (day)
    """,
    # `count` and `starts` (where the growth of each chain began: number and day) repeat what can be told from
    # the bodies, to find a position without reading all checkpoints. A verification believes the bodies alone.
    """
    CREATE TABLE IF NOT EXISTS checkpoints (
        n bigint PRIMARY KEY,
        count bigint NOT NULL,
        starts jsonb NOT NULL,
        made timestamptz NOT NULL DEFAULT clock_timestamp(),
        body bytea NOT NULL,
        signature bytea NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS checkpoints_count ON checkpoints (count)",
    # Where the record of a day's archive stands; the record itself says what was archived.
    "CREATE TABLE IF NOT EXISTS archives (day date PRIMARY KEY, chain text NOT NULL, seq bigint NOT NULL)",
    LET_GO,
)
"""What makes the tables, where there are none yet; to be run in one transaction."""

_OURS = "('chains'::regclass, 'records'::regclass, 'checkpoints'::regclass)"
_FOREIGN = f"""
SELECT 'a trigger `' || tgname || '` on `' || tgrelid::regclass || '`' FROM pg_trigger
WHERE NOT tgisinternal AND (tgrelid IN {_OURS} OR tgrelid IN (SELECT inhrelid FROM pg_inherits
    WHERE inhparent = 'records'::regclass))
UNION ALL
SELECT 'a rule `' || rulename || '` on `' || ev_class::regclass || '`' FROM pg_rewrite WHERE ev_class IN {_OURS}
UNION ALL
SELECT 'row security on `' || oid::regclass || '`' FROM pg_class
WHERE (relrowsecurity OR relforcerowsecurity) AND oid IN {_OURS}
"""  # noqa: S608  no value of anyone's


def create(connection: Connection[Any]) -> None:
    """Make the tables that are not there yet, in the caller's transaction; others that do the same wait."""
    for statement in STATEMENTS:
        connection.execute(statement)


def have_let_go(connection: Connection[Any]) -> None:
    """Make the table of the days that are let go, in a log that was begun without it."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, MAKING))
        connection.execute(LET_GO)


def has_let_go(connection: Connection[TupleRow]) -> bool:
    """Whether that table is there."""
    return connection.execute("SELECT to_regclass('let_go')").fetchone() != (None,)


def exists(connection: Connection[TupleRow]) -> bool:
    """Whether the tables are there."""
    row = connection.execute("SELECT to_regclass('checkpoints') IS NOT NULL AND to_regclass('records') IS NOT NULL")
    return bool((row.fetchone() or (False,))[0])


def foreign(connection: Connection[TupleRow]) -> list[str]:
    """What somebody added to the tables that could change what is written or read, without a word."""
    return [text for (text,) in connection.execute(_FOREIGN)]
