"""That a workspace changed: counted, with what its change owes the log, and heard of by every process."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from onpurpose.adapters.sql import tables
from onpurpose.adapters.sql.engine import Store, told
from onpurpose.core.revision import MissingError, StoreError

CHANNEL = "onpurpose_changed"
"""Where PostgreSQL tells every process that something changed."""

POLL_SECONDS = 0.1
"""How often a file of SQLite is asked whether something changed."""

_WORKSPACES = tables.workspaces.c


def next_version(connection: Connection, workspace: str) -> int:
    """Count the workspace's version up, and give it; the other processes hear of it with the commit.

    Whoever does the same at the same time waits from here on until this transaction ends.
    Raises `MissingError` where there is no such workspace.
    """
    counted = update(tables.workspaces).where(_WORKSPACES.id == workspace).values(version=_WORKSPACES.version + 1)
    version: int | None = connection.scalar(counted.returning(_WORKSPACES.version))
    if version is None:
        raise MissingError(f"there is no workspace `{workspace}`")
    tell(connection)
    return version


def tell(connection: Connection) -> None:
    """Have the other processes hear, with the commit, that something changed."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}")


def keep_notes(connection: Connection, notes: Sequence[bytes]) -> None:
    """Keep the bodies of records until they have reached the log."""
    if notes:
        connection.execute(insert(tables.outbox), [{"body": body} for body in notes])


class Changes:
    """Waits for the next change of any workspace, made by any process. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._listening: Any = None  # psycopg's connection; SQLite does without the library
        self._seen: tuple[int, int] | None = None

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or earlier where something changed since the last wait ended.

        The first wait returns at once, since nothing is known yet. Where the database cannot be
        reached it sleeps, and raises nothing.
        """
        deadline = time.monotonic() + seconds
        try:
            if self._store.is_postgres:
                self._listen(deadline)
            else:
                self._poll(deadline)
        except StoreError:
            self._closed.wait(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """Let go of the connection that listens. May be called twice."""
        self._closed.set()
        self._keep(None)

    def _poll(self, deadline: float) -> None:
        query = select(func.count(), func.coalesce(func.sum(_WORKSPACES.version), 0))
        while True:
            with self._store.reading() as connection:
                count, versions = connection.execute(query).one()
            before, self._seen = self._seen, (count, versions)
            remaining = deadline - time.monotonic()
            if before != self._seen or remaining <= 0 or self._closed.wait(min(remaining, POLL_SECONDS)):
                return

    def _listen(self, deadline: float) -> None:
        with self._lock:
            connection, self._listening = self._listening, None
        with told(self._store.name):
            if connection is None:
                self._keep(self._connect())
                return
            try:
                # What was told while nobody waited is told first.
                for _ in connection.notifies(timeout=max(0.0, deadline - time.monotonic()), stop_after=1):
                    pass
            except BaseException:
                connection.close()
                raise
        self._keep(connection)

    def _connect(self) -> Any:
        pooled = self._store.engine.raw_connection()
        pooled.detach()
        connection: Any = pooled.dbapi_connection
        try:
            connection.rollback()
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _keep(self, connection: Any) -> None:
        """Hold the connection for the next wait, instead of any that is held; none once closed."""
        with self._lock:
            unneeded = [self._listening]
            self._listening = connection
            if self._closed.is_set():
                unneeded.append(connection)
                self._listening = None
        for one in unneeded:
            if one is not None:
                one.close()
