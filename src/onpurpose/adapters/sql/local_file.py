"""The file in which the embedded gate keeps its approvals: SQLite by the standard library alone.

Several processes may use it at once. What was committed survives the death of any of them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path

from onpurpose.core.revision import ConflictError, StoreError

APPLICATION_ID = 0x6F6E7061
"""`onpa`: marks an SQLite file as approvals of ours."""

VERSION = 1
"""The schema this code writes; a file of another one is refused."""

KEPT_WAL = 1 << 22
"""How large, in bytes, the write-ahead log stays on disk once it has been emptied."""

OBJECTS = {
    "approvals": (
        "CREATE TABLE approvals (id TEXT PRIMARY KEY, workspace TEXT NOT NULL, version INTEGER NOT NULL,"
        " state TEXT NOT NULL, digest TEXT NOT NULL, agent_id TEXT NOT NULL, capability TEXT NOT NULL,"
        " opened_at INTEGER NOT NULL, wake_at INTEGER, body BLOB NOT NULL) STRICT"
    ),
    "approvals_pending": (
        "CREATE UNIQUE INDEX approvals_pending ON approvals (workspace, digest) WHERE state = 'pending'"
    ),
    "approvals_listed": "CREATE INDEX approvals_listed ON approvals (workspace, id)",
    "approvals_digest": "CREATE INDEX approvals_digest ON approvals (workspace, digest, id)",
    "approvals_state": "CREATE INDEX approvals_state ON approvals (workspace, state, id)",
    "approvals_kind": "CREATE INDEX approvals_kind ON approvals (workspace, agent_id, capability, id)",
    "approvals_due": "CREATE INDEX approvals_due ON approvals (wake_at, id) WHERE wake_at IS NOT NULL",
    "deliveries": (
        "CREATE TABLE deliveries (n INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, id TEXT NOT NULL,"
        " approval_id TEXT NOT NULL, channel TEXT NOT NULL, event TEXT NOT NULL, recipient TEXT NOT NULL,"
        " created_at INTEGER NOT NULL, due_at INTEGER NOT NULL, attempts INTEGER NOT NULL, progress TEXT NOT NULL,"
        " ref TEXT NOT NULL, error TEXT NOT NULL, UNIQUE (workspace, id)) STRICT"
    ),
    "deliveries_approval": "CREATE INDEX deliveries_approval ON deliveries (workspace, approval_id, n)",
    "deliveries_due": "CREATE INDEX deliveries_due ON deliveries (channel, due_at) WHERE progress = 'waiting'",
    "deliveries_line": (
        "CREATE INDEX deliveries_line ON deliveries (workspace, approval_id, channel, recipient, n)"
        " WHERE progress = 'waiting'"
    ),
    "deliveries_order": "CREATE INDEX deliveries_order ON deliveries (channel, n, due_at) WHERE progress = 'waiting'",
    "deliveries_dead": "CREATE INDEX deliveries_dead ON deliveries (workspace, n) WHERE progress = 'dead'",
    "outbox": "CREATE TABLE outbox (n INTEGER PRIMARY KEY AUTOINCREMENT, body BLOB NOT NULL) STRICT",
}
"""The statement that makes each table and index, word for word as SQLite keeps it."""

# In a forked child the parent's connections must not be touched, not even to be closed.
_PARENTS: list[sqlite3.Connection] = []
_FILES: weakref.WeakSet[LocalFile] = weakref.WeakSet()


class LocalFile:
    """A file of approvals, opened when it is first used. Thread-safe: one transaction at a time."""

    def __init__(self, path: Path, *, busy_seconds: float) -> None:
        self._path = path
        self._busy_seconds = busy_seconds
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None
        self._closed = False
        _FILES.add(self)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state throughout, an empty one where there is no file. Raises `StoreError`."""
        with self._transaction("BEGIN", make=False) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, *, make: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction, durable at the end of the block, undone where the block raises.

        With `make`, a file is made where there is none; without, there is then nothing to be changed, and
        nothing may be added. Raises `StoreError`, and `ConflictError` where a constraint of a table
        forbids what was written.
        """
        with self._transaction("BEGIN IMMEDIATE", make=make) as connection:
            yield connection

    def close(self) -> None:
        """Let go of the file; whoever uses it afterwards gets a `StoreError`. May be called twice."""
        with self._lock, _told(self._path):
            self._closed = True
            self._let_go()

    @contextlib.contextmanager
    def _transaction(self, begin: str, *, make: bool) -> Iterator[sqlite3.Connection]:
        with self._lock, _told(self._path):
            connection = self._connected(make=make)
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def _connected(self, *, make: bool) -> sqlite3.Connection:
        """The connection to the file that is at the path now: another process may have taken the last one away."""
        if self._closed:
            raise StoreError(f"the approvals `{self._path}` cannot be used: they were closed")
        found = self._identity()
        if self._connection is None or found != self._opened or (found is None and make):
            self._let_go()
            if found is None and not make:
                self._connection = _nothing()
            else:
                _make_file(self._path)
                self._opened = self._identity()
                self._connection = connect(self._path, busy_seconds=self._busy_seconds)
        return self._connection

    def _let_go(self) -> None:
        connection, self._connection, self._opened = self._connection, None, None
        if connection is not None:
            connection.close()

    def _begin_anew(self) -> None:
        """In a forked child: a thread that is not there any more may hold the lock for ever."""
        self._lock = threading.Lock()
        if self._connection is not None:
            _PARENTS.append(self._connection)
        self._connection = self._opened = None

    def _identity(self) -> tuple[int, int] | None:
        """Which file is there; `None` where there is none."""
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise StoreError(
                f"the approvals `{self._path}` cannot be used: there is a symbolic link, or no file\n"
                "help: name the file itself, or move away what is there"
            )
        return found.st_dev, found.st_ino


def connect(path: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """A connection whose commits are durable, to a file that has our tables (made where it is empty).

    Raises `StoreError`, `sqlite3.Error`; then nothing is left open, and a file that is not ours is as it was.
    """
    place = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(place, uri=True, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        if not _is_empty(connection):
            _refuse_foreign(connection, path)
        _write_ahead(connection, time.monotonic() + busy_seconds)
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {KEPT_WAL}")
        _make_tables(connection)
        _refuse_foreign(connection, path)
    except BaseException:
        connection.close()
        raise
    connection.row_factory = sqlite3.Row
    return connection


def _nothing() -> sqlite3.Connection:
    """A database in memory with our tables and nothing in them."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    _make_tables(connection)
    connection.row_factory = sqlite3.Row
    return connection


def _make_file(path: Path) -> None:
    # What agents asked is their owner's business. What is there stays as it is.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _write_ahead(connection: sqlite3.Connection, deadline: float) -> None:
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            # SQLite does not wait here by itself when another process makes the same change.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _make_tables(connection: sqlite3.Connection) -> None:
    if not _is_empty(connection):
        return
    connection.execute("BEGIN IMMEDIATE")
    if _is_empty(connection):  # and no other process was sooner
        for statement in OBJECTS.values():
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def _is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file holds nothing at all yet, as when a process died that had just made it."""
    (count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return count == 0 and _pragma(connection, "application_id") == 0 and _pragma(connection, "user_version") == 0


def _refuse_foreign(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `StoreError` for a file that is not what this code makes; a trigger could change what is written."""
    if _pragma(connection, "application_id") != APPLICATION_ID:
        problem = "it holds something else"
    elif (version := _pragma(connection, "user_version")) != VERSION:
        problem = f"another onpurpose wrote it (schema {version}, this one knows {VERSION})"
    elif dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_*'")) != OBJECTS:
        problem = "its tables were changed"
    else:
        return
    raise StoreError(f"the approvals `{path}` cannot be used: {problem}\nhelp: move the file away; a new one is made")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """What goes wrong with the file within, told as `StoreError` or `ConflictError`."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise ConflictError(f"what was written contradicts what the store holds: {error}") from error
    except OSError as error:
        raise StoreError(f"the approvals `{path}` cannot be used: {error.strerror or error}") from error
    # The last two are of values that no database keeps: half a surrogate pair, an integer of more than 64 bits.
    except (sqlite3.Error, UnicodeError, OverflowError) as error:
        raise StoreError(f"the approvals `{path}` cannot be used: {error}") from error


def _after_fork_in_child() -> None:
    for file in list(_FILES):
        file._begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
