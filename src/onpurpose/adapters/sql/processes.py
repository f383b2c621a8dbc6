"""What processes of the service tell of themselves, in a database."""

from __future__ import annotations

import orjson
from sqlalchemy import delete, insert, select

from onpurpose.adapters.sql import tables
from onpurpose.adapters.sql.engine import Store
from onpurpose.core.process import Process

_TABLE = tables.processes
_COLUMNS = _TABLE.c

MOST = 1_000
"""So many processes are told of."""


class SqlProcesses:
    """Keeps what each process told last. Thread-safe. Raises `StoreError`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, process: Process, *, gone_before: int) -> None:
        """Keep what a process tells, in the place of what it told before, and forget those last seen before."""
        told = insert(_TABLE).values(
            id=process.id, name=process.name, started_at=process.started_at, seen_at=process.seen_at,
            wrong=orjson.dumps(process.wrong).decode(),
        )  # fmt: skip
        with self._store.writing() as connection:
            connection.execute(delete(_TABLE).where((_COLUMNS.id == process.id) | (_COLUMNS.seen_at < gone_before)))
            connection.execute(told)

    def remove(self, process_id: str) -> None:
        """Forget a process."""
        with self._store.writing() as connection:
            connection.execute(delete(_TABLE).where(_COLUMNS.id == process_id))

    def all(self) -> list[Process]:
        """What every process told last, those first that run longest; at most `MOST`."""
        asked = select(_TABLE).order_by(_COLUMNS.started_at, _COLUMNS.id).limit(MOST)
        with self._store.reading() as connection:
            rows = connection.execute(asked).all()
        return [
            Process(
                id=row.id, name=row.name, started_at=row.started_at, seen_at=row.seen_at,
                wrong=tuple(orjson.loads(row.wrong)),
            )
            for row in rows
        ]  # fmt: skip
