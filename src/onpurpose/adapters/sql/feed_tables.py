"""The tables of the feed, and how its own file in SQLite is opened: cheap to write, made anew where in doubt.

Everything in them is derived from the log. So no commit waits for the disk, and there are no
migrations: a feed of another form is dropped and filled again. That takes minutes over millions of
decisions, so one that only lacks the counts of outcomes is given them, and counted while it is used.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    create_engine,
    event,
    inspect,
    select,
)
from sqlalchemy.exc import DatabaseError

from onpurpose.core.statistics import BINS

FORM = 2
"""The form of the tables; a feed of another one is made anew."""

_UNCOUNTED_FORM = 1
"""The form that had no counts of outcomes."""

IMMEDIATE = "onpurpose_immediate"
"""The execution option of a connection that is going to write: SQLite's write lock is taken at the beginning."""

MINUTE, HOUR = 60_000_000, 3_600_000_000
"""The widths of the spans that lead from times to numbers, in microseconds."""

BUSY_SECONDS = 30.0
"""How long a lock of the file is waited for."""

_WAL = 1 << 26
_VACUUM_EVERY = 100_000
_NUMBER = BigInteger().with_variant(Integer, "sqlite")

metadata = MetaData()

state = Table(
    "feed_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("form", Integer, nullable=False),
    Column("epoch", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("decisions", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("counted_above", BigInteger, nullable=False, server_default="0"),
    Column("counted_to", BigInteger, nullable=False, server_default="0"),
)
"""One row. `boot` names the run of the operating system in which an SQLite file was last written, empty once synced.

The decisions above `counted_above` and up to `counted_to` are those whose outcomes are counted: all, but for a feed
that is older than the counts.
"""

positions = Table(
    "feed_positions",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

decisions = Table(
    "decisions",
    metadata,
    Column("n", _NUMBER, primary_key=True, autoincrement=False),
    Column("workspace", Text, nullable=False),
    Column("decision_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("user_id", Text),
    Column("capability", Text, nullable=False),
    Column("purpose_id", Text),
    Column("outcome", SmallInteger, nullable=False),
    Column("code", Text, nullable=False),
    Column("policy", Text),
    Column("digest", Text),
    Column("chain", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("shadow_outcome", SmallInteger),
    Column("newly_blocked", Boolean, nullable=False),
)

SEARCHED = ("agent_id", "user_id", "capability", "purpose_id", "outcome", "shadow_outcome")
"""The columns of a decision that have an index of their own, in order of `n`."""


def _index(name: str, *columns: str, there: ColumnElement[bool] | None = None) -> None:
    """An index in order of `n`: SQLite has the row's number in every index, elsewhere it is named."""
    for dialect, more in (("sqlite", ()), ("postgresql", ("n",))):
        named = [decisions.c[column] for column in (*columns, *more)]
        index = Index(f"decisions_by_{name}_{dialect}", *named, sqlite_where=there, postgresql_where=there)
        index.ddl_if(dialect=dialect)


_index("workspace", "workspace")
_index("decision_id", "workspace", "decision_id")
for _column in SEARCHED:
    _given = decisions.c[_column].is_not(None) if decisions.c[_column].nullable else None
    _index(_column, "workspace", _column, there=_given)
_index("newly_blocked", "workspace", "newly_blocked", there=decisions.c.newly_blocked.is_(True))

decision_policies = Table(
    "decision_policies",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("n", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)
"""Which policies had a say in a decision, live or in shadow."""

spans = Table(
    "decision_spans",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("width", BigInteger, primary_key=True, autoincrement=False),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""The least and greatest number of the decisions of each minute and hour: from a time to numbers."""

events = Table(
    "events",
    metadata,
    Column("n", _NUMBER, primary_key=True, autoincrement=False),
    Column("workspace", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("chain", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Index("events_by_workspace", "workspace", "n"),
    Index("events_by_kind", "workspace", "kind", "n"),
)

COUNTED = (
    "qualified", "matched", "unknown", "would_deny", "would_ask", "newly_blocked", "unmatched", "classified",
    "uncertain",
)  # fmt: skip
"""The counts of a rollup, as `core.statistics.Counts` names them."""

CONFIDENCE = tuple(f"confidence_{number}" for number in range(BINS))
"""The columns of the bins of confidence."""

rollups = Table(
    "rollups",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("bucket", SmallInteger, primary_key=True, autoincrement=False),
    Column("dimension", Text, primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    *(Column(name, BigInteger, nullable=False) for name in (*COUNTED, *CONFIDENCE)),
    Column("first_at", BigInteger, nullable=False),
    Column("last_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    Column("outcome", SmallInteger, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
    Column("newly_blocked", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""How many decisions of each hour came to what."""


def make_tables(engine: Engine) -> None:
    """Make the tables where they are missing or of another form, whoever else does so at the same time."""
    with engine.connect().execution_options(**{IMMEDIATE: True}) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('onpurpose.feed'))")
        found = inspect(connection).has_table(state.name)
        form = connection.execute(select(state.c.form)).scalar() if found else None
        if form == _UNCOUNTED_FORM:
            _have_counted(connection)
        if form in {FORM, _UNCOUNTED_FORM}:
            return
        metadata.drop_all(connection)
        metadata.create_all(connection)
        if connection.dialect.name == "postgresql":
            _have_vacuumed(connection)
        begin_epoch(connection)


def _have_counted(connection: Connection) -> None:
    """Have what comes from now on counted; what there is, the projector counts by and by."""
    outcomes.drop(connection, checkfirst=True)  # a release that knew nothing of it left it as it was
    outcomes.create(connection)
    there = {found["name"] for found in inspect(connection).get_columns(state.name)}
    for column in (state.c.counted_above, state.c.counted_to):
        if column.name not in there:
            connection.exec_driver_sql(f"ALTER TABLE {state.name} ADD COLUMN {column.name} BIGINT NOT NULL DEFAULT 0")
    held = state.c.decisions
    connection.execute(state.update().values(form=FORM, counted_above=held, counted_to=held))


def _have_vacuumed(connection: Connection) -> None:
    """Have the server note soon that rows are there for all: until then each is read that an index was asked for.

    By itself it does so when the table has grown by a fifth, which is millions of rows.
    """
    settings = f"autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = {_VACUUM_EVERY}"
    for table in (decisions, decision_policies):
        connection.exec_driver_sql(f"ALTER TABLE {table.name} SET ({settings})")


def begin_epoch(connection: Connection) -> None:
    """Empty tables, and a beginning: for a transaction that writes."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"TRUNCATE {', '.join(metadata.tables)}")  # to delete millions takes minutes
    else:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    row = {"id": 1, "form": FORM, "epoch": secrets.token_hex(4), "boot": boot(), "decisions": 0, "events": 0}
    connection.execute(state.insert(), row)


# -- the file in SQLite


def open_file(path: Path, *, shared: bool = False) -> Engine:
    """The feed's file, with its tables; one that is damaged, or that a power cut may have left torn, is made anew.

    One that is `shared` is not, but raises `DatabaseError` or `TornError`: another process has it open, and would go on
    with the old one.
    """
    try:
        return _open(path)
    except (DatabaseError, TornError) as error:
        if shared or (isinstance(error, DatabaseError) and not _is_damage(error)):
            raise
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _open(path)


def close_file(engine: Engine) -> None:
    """Bring all of it to the disk, note that, and let go of the file."""
    with contextlib.suppress(DatabaseError):
        with engine.connect().execution_options(**{IMMEDIATE: True}) as connection, connection.begin():
            connection.execute(state.update().values(boot=""))
        raw: Any = engine.raw_connection()
        try:
            raw.execute("PRAGMA synchronous = FULL")
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            raw.close()
    engine.dispose()


class TornError(Exception):
    """The system went down while the file was written."""


def _is_damage(error: DatabaseError) -> bool:
    return str(getattr(error.orig, "sqlite_errorname", "")).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _open(path: Path) -> Engine:
    # What agents did is its owner's business, as the log is.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    url = URL.create("sqlite+pysqlite", database=str(path))
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False})
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    try:
        make_tables(engine)
        with engine.connect() as connection:
            written = connection.execute(select(state.c.boot)).scalar_one()
        if written not in {"", boot()}:
            raise TornError("the system went down while the file was written")
    except BaseException:
        engine.dispose()
        raise
    return engine


def _set_up(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun below
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA journal_mode = WAL")
    # Without a name for the system's run, a cut of the power would go unseen: then the file must stand it.
    connection.execute(f"PRAGMA synchronous = {'OFF' if boot() else 'NORMAL'}")
    connection.execute("PRAGMA cache_size = -16384")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.execute(f"PRAGMA journal_size_limit = {_WAL}")


def _begin(connection: Connection) -> None:
    immediate = connection.get_execution_options().get(IMMEDIATE)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


@cache
def boot() -> str:
    """A name of this run of the operating system; empty where the system gives none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
