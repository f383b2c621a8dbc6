"""The feed of decisions in SQLite and PostgreSQL, written by the projector alone; and the log that it follows."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, select
from sqlalchemy.exc import SQLAlchemyError

from onpurpose.adapters.sql import feed_tables, outcomes, schema
from onpurpose.adapters.sql.feed_search import ABOVE_ALL, find
from onpurpose.adapters.sql.feed_tables import (
    HOUR,
    IMMEDIATE,
    MINUTE,
    decision_policies,
    decisions,
    events,
    positions,
    spans,
    state,
)
from onpurpose.adapters.sql.rollups import add_cells, dimensions, reading, upsert
from onpurpose.core.feed import Batch, Entry, Event, Judged, Page, Position, Search, kept
from onpurpose.core.outcome import Outcome
from onpurpose.core.record import LedgerError, Stored
from onpurpose.core.revision import ConflictError, StoreError

STRIDES = (500, 50)
"""How many rows a statement adds to SQLite: each that is run gives the interpreter away, and waits for it again.

A few sizes alone: what was prepared for one is kept, and takes a kilobyte a row.
"""


class SqlFeed:
    """The feed in a database: `open_feed` gives one in a file of its own, the constructor one beside other tables.

    Makes its tables where they are missing. Raises `StoreError` where the database cannot be reached.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        try:
            feed_tables.make_tables(engine)
        except SQLAlchemyError as error:
            raise _unwritten(error) from error

    @property
    def engine(self) -> Engine:
        """What `SqlRollups` reads from."""
        return self._engine

    def close(self) -> None:
        """Let go of the database; a file of its own is then whole on the disk."""
        if self._engine.dialect.name == "sqlite":
            feed_tables.close_file(self._engine)
        else:
            self._engine.dispose()

    # -- for the projector

    def position(self) -> Position:
        """How far the log has been followed."""
        with reading(self._engine) as connection:
            row = connection.execute(select(state)).one()
            chains = {row.chain: row.seq for row in connection.execute(select(positions))}
        return Position(epoch=row.epoch, decisions=row.decisions, events=row.events, chains=chains)

    def add(self, batch: Batch) -> None:
        """Add all of it in one transaction. `ConflictError` if the position is no longer the batch's `before`."""
        before = batch.before
        try:
            with self._writing() as connection, connection.begin():
                columns = (state.c.epoch, state.c.decisions, state.c.events)
                found = connection.execute(select(*columns).with_for_update()).one()
                if tuple(found) != (before.epoch, before.decisions, before.events):
                    raise ConflictError("another projector wrote to the feed")
                _add(connection, batch)
        except SQLAlchemyError as error:
            raise _unwritten(error) from error

    def clear(self) -> None:
        """Forget everything; the position is then the beginning, of another epoch."""
        try:
            with self._writing() as connection, connection.begin():
                feed_tables.begin_epoch(connection)
        except SQLAlchemyError as error:
            raise _unwritten(error) from error

    def count_on(self, limit: int) -> int:
        """Count the outcomes of so many decisions that were stored and not counted; how many are then left."""
        try:
            with self._engine.connect() as connection:
                if not outcomes.uncounted(connection):  # nearly always: then nobody is kept from writing
                    return 0
            with self._writing() as connection, connection.begin():
                return outcomes.count_on(connection, limit)
        except SQLAlchemyError as error:
            raise _unwritten(error) from error

    def dimensions(self, judged: Judged) -> Iterable[str]:
        """The dimensions that a revision has been counted in."""
        with reading(self._engine) as connection:
            return dimensions(connection, judged)

    def _writing(self) -> Connection:
        return self._engine.connect().execution_options(**{IMMEDIATE: True})

    # -- for those who read

    def newest(self) -> tuple[str, int]:
        """The feed's epoch, and the newest number that it gave to a decision, over all workspaces."""
        with reading(self._engine) as connection:
            row = connection.execute(select(state.c.epoch, state.c.decisions)).one()
        return row.epoch, row.decisions

    def page(self, search: Search, *, before: int | None = None, limit: int = 50) -> Page:
        """The newest decisions of a search, those below the number `before`; bounded work however rare they are."""
        with reading(self._engine) as connection:
            rows, following = find(connection, search, before, limit)
        return Page(entries=tuple(map(_entry, rows)), before=following)

    def since(self, workspace: str, n: int, limit: int) -> list[Entry]:
        """A workspace's decisions above the number `n`, oldest first."""
        query = select(decisions).where(decisions.c.workspace == workspace, decisions.c.n > min(n, ABOVE_ALL))
        with reading(self._engine) as connection:
            return [
                _entry(row) for row in connection.execute(query.order_by(decisions.c.n).limit(min(limit, ABOVE_ALL)))
            ]

    def decision(self, workspace: str, decision_id: str) -> Entry | None:
        """One decision; `None` where the workspace has none of that id."""
        query = select(decisions).where(
            decisions.c.workspace == workspace, decisions.c.decision_id == kept(decision_id)
        )
        with reading(self._engine) as connection:
            row = connection.execute(query.order_by(decisions.c.n.desc()).limit(1)).first()
        return None if row is None else _entry(row)

    def events(
        self, workspace: str, *, kinds: Sequence[str] = (), before: int | None = None, limit: int = 50
    ) -> list[Event]:
        """The newest records of a workspace that are no decisions, of some kinds or all, those below a number."""
        query = select(events).where(events.c.workspace == workspace)
        if before is not None:
            query = query.where(events.c.n < min(before, ABOVE_ALL))
        query = query.order_by(events.c.n.desc()).limit(min(limit, ABOVE_ALL))
        # Each kind by itself is read off its index; together they would have to be sorted.
        queries = [query.where(events.c.kind == kept(kind)) for kind in set(kinds)] or [query]
        with reading(self._engine) as connection:
            rows = [row for one in queries for row in connection.execute(one)]
        rows.sort(key=lambda row: row.n, reverse=True)
        return [Event(**row._mapping) for row in rows[:limit]]


def open_feed(path: str | Path, *, shared: bool = False) -> SqlFeed:
    """The feed in an SQLite file of its own, made where it is missing, and anew where it is damaged or of another form.

    Readable by its user alone. One that is `shared` is open in another process, and not made anew where it is damaged.
    Raises `StoreError` where the file cannot be opened.
    """
    try:
        return SqlFeed(feed_tables.open_file(Path(path).absolute(), shared=shared))
    except (SQLAlchemyError, feed_tables.TornError, OSError) as error:
        raise _unwritten(error) from error


def _add(connection: Connection, batch: Batch) -> None:
    _insert(connection, decisions, [_decision_row(entry) for entry in batch.entries])
    _insert(connection, decision_policies, batch.policies)
    _insert(connection, events, [_event_row(event) for event in batch.events])
    _add_spans(connection, batch.entries)
    add_cells(connection, batch.cells)
    outcomes.add(connection, batch)
    for workspace, decision_id in batch.withdrawn:
        this = (decisions.c.workspace == workspace, decisions.c.decision_id == decision_id)
        outcomes.take_back(connection, *this)
        connection.execute(decisions.update().where(*this).values(outcome=int(Outcome.DENY), code="audit_unavailable"))
    if batch.chains:
        statement = upsert(connection, positions)
        statement = statement.on_conflict_do_update(index_elements=["chain"], set_={"seq": statement.excluded.seq})
        connection.execute(statement, [{"chain": chain, "seq": seq} for chain, seq in batch.chains.items()])
    newest = {
        "decisions": batch.before.decisions + len(batch.entries),
        "events": batch.before.events + len(batch.events),
        "boot": feed_tables.boot(),
    }
    connection.execute(state.update().values(newest))


def _insert(connection: Connection, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
    """Add the rows, whose values are in the order of the table's columns, the cheapest way there is."""
    if not rows:
        return
    if connection.dialect.name == "sqlite":
        _insert_many(connection, table, rows)
        return
    raw: Any = connection.connection.cursor()
    names = ", ".join(column.name for column in table.columns)
    try:
        with raw, raw.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        raise StoreError(f"the feed cannot be written: {error}") from error


def _insert_many(connection: Connection, table: Table, rows: Sequence[tuple[object, ...]]) -> None:
    insert = f"INSERT INTO {table.name} VALUES "  # noqa: S608  our own words
    one, at = f"({', '.join('?' * len(table.columns))})", 0
    for stride in STRIDES:
        while len(rows) - at >= stride:
            part = tuple(chain.from_iterable(rows[at : at + stride]))
            connection.exec_driver_sql(insert + ", ".join([one] * stride), part)
            at += stride
    if at < len(rows):
        connection.exec_driver_sql(insert + one, list(rows[at:]))


def _decision_row(entry: Entry) -> tuple[object, ...]:
    shadow = entry.shadow_outcome
    return (
        entry.n, entry.workspace, entry.decision_id, entry.at, entry.agent_id, entry.user_id, entry.capability,
        entry.purpose_id, int(entry.outcome), entry.code, entry.policy, entry.digest, entry.chain, entry.seq,
        None if shadow is None else int(shadow), entry.newly_blocked,
    )  # fmt: skip


def _event_row(event: Event) -> tuple[object, ...]:
    return event.n, event.workspace, event.kind, event.at, event.chain, event.seq


def _add_spans(connection: Connection, entries: Iterable[Entry]) -> None:
    found: dict[tuple[str, int, int], list[int]] = {}
    for entry in entries:
        minute = (entry.workspace, MINUTE, entry.at - entry.at % MINUTE)
        span = found.get(minute)
        if span is None:
            found[minute] = [entry.n, entry.n]
        else:
            span[1] = entry.n
    for (workspace, _, start), (first, last) in list(found.items()):
        span = found.setdefault((workspace, HOUR, start - start % HOUR), [first, last])
        span[:] = min(span[0], first), max(span[1], last)
    if not found:
        return
    statement = upsert(connection, spans)  # numbers only grow: what stands as the first remains it
    statement = statement.on_conflict_do_update(
        index_elements=spans.primary_key.columns, set_={"last": statement.excluded.last}
    )
    rows = [
        {"workspace": workspace, "width": width, "start": start, "first": first, "last": last}
        for (workspace, width, start), (first, last) in found.items()
    ]
    connection.execute(statement, rows)


def _entry(row: Row[Any]) -> Entry:
    found = dict(row._mapping)
    shadow = found["shadow_outcome"]
    found["outcome"] = Outcome(found["outcome"])
    found["shadow_outcome"] = None if shadow is None else Outcome(shadow)
    return Entry(**found)


def _unwritten(error: Exception) -> StoreError:
    return StoreError(f"the feed cannot be written: {getattr(error, 'orig', None) or error}")


# -- the log

_NEWEST = "SELECT coalesce(max(position), 0) FROM records"
_CHAINS = "SELECT name, (SELECT max(seq) FROM records WHERE chain = chains.id) FROM chains"
_AFTER = """
SELECT position, seq, hash, body FROM records
WHERE chain = (SELECT id FROM chains WHERE name = ?) AND seq > ? ORDER BY seq LIMIT ?
"""


class SqliteFollow:
    """Follows the log in an SQLite file, which others write. Never writes; holds no view of it between two questions.

    A log that is not there yet has no chains. Raises `LedgerError` where it cannot be read. Thread-safe.
    Close it before the log's writers, or their write-ahead log stays.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).absolute()
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._seen: tuple[int, dict[str, int]] = (0, {})

    def chains(self) -> dict[str, int]:
        """The number of the newest record of every chain."""
        if self._connection is None and not self._path.exists():
            return {}
        (newest,) = self._rows(_NEWEST)[0]
        if newest != self._seen[0]:
            found = {name: seq for name, seq in self._rows(_CHAINS) if type(name) is str and type(seq) is int}
            self._seen = newest, found
        return dict(self._seen[1])

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        """The records of a chain behind a number, in order, at most so many."""
        rows = self._rows(_AFTER, (chain, seq, limit))
        return [
            Stored(position, chain, number, digest, body if type(body) is bytes else b"")
            for position, number, digest, body in rows
        ]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _rows(self, statement: str, values: tuple[object, ...] = ()) -> list[Any]:
        try:
            with self._lock:
                if self._connection is None:
                    self._connection = self._open()
                return self._connection.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            self.close()
            raise LedgerError(f"the log `{self._path}` cannot be read: {error}") from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            problem = None if schema.is_empty(connection) else schema.mismatch(connection)
            if problem is not None:
                raise LedgerError(f"the log `{self._path}` cannot be read: {problem}")
        except BaseException:
            connection.close()
            raise
        return connection
