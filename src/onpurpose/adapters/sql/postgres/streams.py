"""The records of each chain of a log in PostgreSQL, as far as they were asked for, in flat memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import islice
from typing import Any, Protocol

from psycopg import Connection
from psycopg.rows import TupleRow

from onpurpose.adapters.sql.postgres import partitions
from onpurpose.core.checkpoint import Checkpoint
from onpurpose.core.record import Stored

MOST_OPEN = 32
"""How many cursors are open at a time: chains that grow in turn are few, the others wait unopened."""

_BATCH_BYTES = 1 << 20
_BATCH = 1000

_RECORDS = "SELECT seq, day, hash, body FROM records WHERE chain = %s AND (seq, day) > (%s, %s) ORDER BY seq, day"
# The distinct chains, each found by one look into the index rather than by reading every record.
_CHAINS = """
WITH RECURSIVE found (chain) AS (
    SELECT min(chain) FROM records
    UNION ALL
    SELECT (SELECT min(chain) FROM records WHERE chain > found.chain) FROM found WHERE found.chain IS NOT NULL
) SELECT chain FROM found WHERE chain IS NOT NULL
"""
_START = (-(2**63), date.min)


class Archived(Protocol):
    """Days that were archived and let go."""

    def days(self) -> list[date]:
        """Those that can be read, in order."""
        ...

    def read(self, day: date, chain: str, behind: int) -> Iterator[Stored]:
        """The records of a chain on that day behind a number, in order."""
        ...


class _Older:
    """The archived records of chains: those of days that the database does not have any more."""

    def __init__(self, connection: Connection[TupleRow], archived: Archived) -> None:
        kept = set(partitions.days(connection))
        self._archived = archived
        self._days = [day for day in archived.days() if day not in kept]

    def rows(self, chain: str, behind: int) -> Iterator[TupleRow]:
        """As the table would have them."""
        for day in self._days:
            for stored in self._archived.read(day, chain, behind):
                yield (stored.seq, day, stored.hash, stored.body)


class _Stream:
    """One chain's records behind a place, read in batches of about a megabyte."""

    def __init__(  # noqa: PLR0913, PLR0917  what a stream is made of
        self,
        connection: Connection[TupleRow],
        cursor: str,
        chain: int,
        name: str,
        behind: tuple[int, date],
        older: _Older | None,
    ) -> None:
        self._connection = connection
        self._cursor_name = cursor
        self._chain = chain
        self._name = name
        self._older = older
        self._rows: Iterator[TupleRow] | None = None
        self._cursor: Any = None
        self._batch: deque[TupleRow] = deque()
        self._size = 20
        self.behind = behind
        self.ended = False

    @property
    def open(self) -> bool:
        return self._cursor is not None or self._rows is not None

    def peek(self) -> TupleRow | None:
        """The next record, if there is one."""
        if not self._batch and not self.ended:
            self._fetch()
        return self._batch[0] if self._batch else None

    def take(self) -> TupleRow:
        """The record that `peek` gave."""
        row = self._batch.popleft()
        self.behind = (row[0], row[1])
        return row

    def pause(self) -> None:
        """Close the cursor; the next look opens another, behind what was taken."""
        self._batch.clear()
        self._rows = None
        if self._cursor is not None:
            self._cursor.close()
            self._cursor = None

    def _fetch(self) -> None:
        if self._older is not None:
            if self._rows is None:
                self._rows = self._older.rows(self._name, self.behind[0])
            self._batch.extend(islice(self._rows, self._size))
            if self._batch:
                return
            self._rows = self._older = None
        if self._cursor is None:
            self._cursor = self._connection.cursor(self._cursor_name, binary=True)
            self._cursor.execute(_RECORDS, (self._chain, *self.behind))
        rows = self._cursor.fetchmany(self._size)
        self._batch.extend(rows)
        if len(rows) < self._size:
            self._cursor.close()
            self._cursor, self.ended = None, True
        else:
            mean = sum(len(row[3]) for row in rows) // len(rows) + 100
            self._size = max(1, min(_BATCH, _BATCH_BYTES // mean))


class Streams:
    """The chains of a log, each read on from where it was left."""

    def __init__(
        self, connection: Connection[TupleRow], numbers: Iterator[int], archived: Archived | None = None
    ) -> None:
        self._older = _Older(connection, archived) if archived is not None else None
        self._connection = connection
        self._numbers = numbers
        self._streams: dict[int, _Stream] = {}
        self._names = {row: str(name or "") for row, name in connection.execute("SELECT id, name FROM chains")}
        self._rows = {name: row for row, name in self._names.items()}

    def growth(self, checkpoint: Checkpoint, starts: Mapping[str, int] | None = None) -> Iterator[tuple[str, TupleRow]]:
        """What the checkpoint is the first to cover, chain by chain, up to the heads that it states.

        From where a chain was left, or, the first time, from behind its number in `starts`.
        """
        known = [(self._rows[name], name, head) for name, head in checkpoint.heads.items() if name in self._rows]
        for row, name, head in sorted(known, key=lambda one: one[0]):
            stream = self._stream(row, (starts or {}).get(name))
            while (found := stream.peek()) is not None and found[0] <= head.seq:
                yield name, stream.take()

    def rest(self) -> Iterator[tuple[str, TupleRow]]:
        """Whatever was not read yet, of every chain that there is, named or not."""
        rows = {row for (row,) in self._connection.execute(_CHAINS)}
        for row in sorted(rows | self._streams.keys()):
            stream = self._stream(row, None)
            while stream.peek() is not None:
                yield self._names.get(row, ""), stream.take()

    def was_archived(self, name: str) -> bool:
        """Whether an archived day holds a record of the chain."""
        return self._older is not None and next(self._older.rows(name, 0), None) is not None

    def close(self) -> None:
        """Close every cursor."""
        for stream in self._streams.values():
            stream.pause()

    def _stream(self, row: int, start: int | None) -> _Stream:
        stream = self._streams.pop(row, None)
        if stream is None:
            behind = _START if start is None else (start, date.max)
            cursor, name = f"records_{next(self._numbers)}", self._names.get(row, "")
            stream = _Stream(self._connection, cursor, row, name, behind, self._older)
        opened = [other for other in self._streams.values() if other.open]
        for other in opened[: max(0, len(opened) - MOST_OPEN + 1)]:
            other.pause()
        self._streams[row] = stream  # the last to be paused
        return stream
