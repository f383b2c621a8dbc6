"""Opening the file of a log for writing, and saying clearly why it could not be written."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from onpurpose.adapters.sql import schema
from onpurpose.core.record import LedgerError

MINIMUM = (3, 38, 0)
"""The oldest SQLite that has what we need: STRICT tables and `json_each`."""

KEPT_WAL = 1 << 26
"""How large, in bytes, the write-ahead log stays on disk once it has been emptied."""

_CURES = {
    "SQLITE_BUSY": ("it is locked by another process", "find who holds it, or raise the busy timeout"),
    "SQLITE_LOCKED": ("it is locked by another connection", "find who holds it"),
    "SQLITE_FULL": ("the disk is full", "make room; the log goes on by itself"),
    "SQLITE_READONLY": ("it may only be read", "let this user write the file and its directory"),
    "SQLITE_CANTOPEN": ("it cannot be opened", "make sure that its directory exists and this user may write there"),
    "SQLITE_PERM": ("this user may not open it", "let this user write the file and its directory"),
    "SQLITE_AUTH": ("this user may not open it", "let this user write the file and its directory"),
    "SQLITE_IOERR": ("the disk reports an error, or is full", "look at the disk and the system's log"),
    "SQLITE_CORRUPT": ("it is damaged", "run `onpurpose audit verify`, move it away and begin a new one"),
    "SQLITE_NOTADB": ("it is no database, or is damaged", "move it away and begin a new one"),
    "SQLITE_CONSTRAINT": ("another writer wrote to this chain", "run `onpurpose audit verify`"),
}


def describe(path: Path, error: sqlite3.Error | OSError) -> LedgerError:
    """The error for the operator: which log, what is wrong with it, how to mend it."""
    if isinstance(error, OSError):
        return LedgerError(f"the log `{path}` cannot be written: {error.strerror or error}")
    name = getattr(error, "sqlite_errorname", None) or ""
    for known, (what, cure) in _CURES.items():
        if name == known or name.startswith(known + "_"):
            return LedgerError(f"the log `{path}` cannot be written: {what} ({name})\nhelp: {cure}")
    return LedgerError(f"the log `{path}` cannot be written: {error}")


def connect(path: Path, *, busy_timeout: float) -> sqlite3.Connection:
    """A connection whose commits are durable, to a log that has our tables (made if there are none).

    Waits at most about `busy_timeout` seconds for a lock. Raises `LedgerError`, `sqlite3.Error` or
    `OSError`; then nothing is left open.
    """
    if sqlite3.sqlite_version_info < MINIMUM:
        raise LedgerError(f"SQLite {sqlite3.sqlite_version} is too old: at least 3.38 is needed")
    # What an agent did is its owner's business: a new log is readable by its user alone.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    connection = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    try:
        _set_up(connection, time.monotonic() + busy_timeout)
        _make_tables(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, deadline: float) -> None:
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            # SQLite does not wait here by itself when another process makes the same change.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute(f"PRAGMA journal_size_limit = {KEPT_WAL}")


def _make_tables(connection: sqlite3.Connection, path: Path) -> None:
    if schema.is_empty(connection):
        connection.execute("BEGIN IMMEDIATE")
        if schema.is_empty(connection):
            schema.create(connection)
        connection.execute("COMMIT")
    problem = schema.mismatch(connection)
    if problem is not None:
        raise LedgerError(f"the log `{path}` cannot be written: {problem}\nhelp: move it away and begin a new one")
