"""Connections to a log in PostgreSQL, and saying clearly why it could not be written or read."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
from psycopg import Connection, conninfo, errors
from psycopg.rows import TupleRow

from onpurpose.core.record import LedgerError

# A statement that takes longer, or a process that stops in the middle of a transaction, would hold up
# every other writer of the log.
_WRITER = """
SELECT set_config('statement_timeout', '30s', false),
    set_config('lock_timeout', '2s', false),
    set_config('idle_in_transaction_session_timeout', '5s', false),
    set_config('synchronous_commit',
        CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false)
"""
# A reader waits for whoever reads what it yields, and disturbs nobody.
_READER = """
SELECT set_config('statement_timeout', '0', false), set_config('idle_in_transaction_session_timeout', '0', false)
"""

_CURES: tuple[tuple[type[psycopg.Error], str, str], ...] = (
    (errors.DiskFull, "the server's disk is full", "make room; the log goes on by itself"),
    (errors.InsufficientPrivilege, "this role may not", "give it `chains`, `records`, `checkpoints` and `let_go`"),
    (errors.ReadOnlySqlTransaction, "this server may only be read", "name the primary, not a standby"),
    (errors.UndefinedTable, "there is no log in this database", "run the migrations, or name another database"),
    (errors.UniqueViolation, "another writer wrote to this chain", "run `onpurpose audit verify`"),
    (errors.LockNotAvailable, "another process holds its lock", "find who holds it"),
    (errors.InvalidPassword, "the password is wrong", "look at the database's URL"),
)


class Address:
    """The URL of a database, which may hold a password, and what messages may call it."""

    __slots__ = ("_parameters", "name")

    def __init__(self, url: str) -> None:
        try:
            self._parameters: dict[str, Any] = dict(conninfo.conninfo_to_dict(url))
        except psycopg.ProgrammingError:
            # What libpq says of it may quote a part of the password.
            raise ValueError("the URL of the database cannot be read: write `postgresql://user@host/name`") from None
        host, port = self._parameters.get("host", "localhost"), self._parameters.get("port", "5432")
        self.name = f"postgresql://{host}:{port}/{self._parameters.get('dbname', '')}"

    def __repr__(self) -> str:
        return f"Address({self.name})"

    def writer(self, timeout: int) -> Connection[TupleRow]:
        """A connection whose commits are durable. A server that does not answer is given up within the time."""
        defaults = {
            "keepalives_idle": "5", "keepalives_interval": "2", "keepalives_count": "3",
            "tcp_user_timeout": str(timeout * 3000),
        }  # fmt: skip
        return self._connect(_WRITER, timeout, defaults)

    def reader(self, timeout: int) -> Connection[TupleRow]:
        """A connection to read by, which waits as long as its reader does."""
        return self._connect(_READER, timeout, {})

    def _connect(self, settings: str, timeout: int, defaults: dict[str, str]) -> Connection[TupleRow]:
        parameters = {
            "connect_timeout": timeout, "fallback_application_name": "onpurpose", **defaults, **self._parameters,
        }  # fmt: skip
        connection: Connection[TupleRow] = psycopg.connect("", autocommit=True, **parameters)
        try:
            connection.execute(settings)
        except BaseException:
            connection.close()
            raise
        return connection

    def describe(self, doing: str, error: Exception) -> LedgerError:
        """The error for the operator: which log, what could not be done (`written`, `read`), how to mend it."""
        for kind, what, cure in _CURES:
            if isinstance(error, kind):
                return LedgerError(f"the log `{self.name}` cannot be {doing}: {what}\nhelp: {cure}")
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return LedgerError(f"the log `{self.name}` cannot be {doing}: {lines[0].strip()}")


def close(connection: Connection[TupleRow]) -> None:
    """Let go of a connection, whatever state it is in."""
    with suppress(psycopg.Error, OSError):
        connection.close()


def lost(error: BaseException | None) -> bool:
    """Whether an error says that the connection is gone, and nothing about what was asked of the server."""
    return isinstance(error, psycopg.OperationalError) and (error.sqlstate is None or error.sqlstate.startswith("57P"))
