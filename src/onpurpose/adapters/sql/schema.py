"""The tables of a log in SQLite, and whether a file has exactly these."""

from __future__ import annotations

import sqlite3

APPLICATION_ID = 0x6F6E7075
"""`onpu`: marks an SQLite file as ours."""

VERSION = 1
"""The schema this code writes; a file of a newer one is refused."""

# STRICT, so that SQLite itself refuses a value of another type. Positions have no gaps: SQLite
# numbers the next row one after the greatest, and nothing is ever deleted.
TABLES = {
    "chains": "CREATE TABLE chains (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT",
    "records": (
        "CREATE TABLE records (position INTEGER PRIMARY KEY, chain INTEGER NOT NULL REFERENCES chains (id),"
        " seq INTEGER NOT NULL, hash BLOB NOT NULL, body BLOB NOT NULL, UNIQUE (chain, seq)) STRICT"
    ),
    "checkpoints": (
        "CREATE TABLE checkpoints (n INTEGER PRIMARY KEY, body BLOB NOT NULL, signature BLOB NOT NULL) STRICT"
    ),
}
"""The statement that makes each table, word for word as SQLite keeps it."""

_INDEXES = {"sqlite_autoindex_chains_1", "sqlite_autoindex_records_1"}
_OBJECTS = "SELECT name, sql FROM sqlite_master WHERE tbl_name IN ('chains', 'records', 'checkpoints')"


def create(connection: sqlite3.Connection) -> None:
    """Make the tables; in a transaction of the caller's."""
    for statement in TABLES.values():
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def is_empty(connection: sqlite3.Connection) -> bool:
    """Whether the file holds nothing at all yet, so that the tables may be made in it."""
    (count,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return count == 0 and _pragma(connection, "application_id") == 0 and _pragma(connection, "user_version") == 0


def mismatch(connection: sqlite3.Connection) -> str | None:
    """What makes this file no log that can be read or written; `None` for a good one.

    A trigger on a table, or an index that is gone, is a mismatch too: either could change what is
    written without a word.
    """
    if _pragma(connection, "application_id") != APPLICATION_ID:
        return "it is no log of onpurpose"
    version = _pragma(connection, "user_version")
    if version > VERSION:
        return f"it was written by a newer onpurpose (schema {version}, this one knows {VERSION})"
    if version < VERSION:
        return f"its schema {version} is unknown"
    found = {_text(name) or "": _text(sql) for name, sql in connection.execute(_OBJECTS)}
    wanted: dict[str, str | None] = {**TABLES, **dict.fromkeys(_INDEXES)}
    if found != wanted:
        changed = sorted(name for name in {*found, *wanted} if found.get(name, "") != wanted.get(name, ""))
        return f"its tables were changed: {', '.join(changed)}"
    return None


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _text(value: object) -> str | None:
    return value.decode(errors="replace") if isinstance(value, bytes) else value if isinstance(value, str) else None
