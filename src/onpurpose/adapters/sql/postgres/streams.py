"""The records of each chain of a log in PostgreSQL, as far as they were asked for, in flat memory."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date
from itertools import count, islice
from typing import NamedTuple, Protocol

from psycopg import Connection
from psycopg.rows import TupleRow

from onpurpose.adapters.sql.postgres import partitions, schema
from onpurpose.core.checkpoint import Checkpoint
from onpurpose.core.record import DayArchive, Gone, Place, Stored, archive_of

MOST_OPEN = 32
"""How many cursors are open at a time: chains that grow in turn are few, the others wait unopened."""

_BATCH_BYTES = 1 << 20
_BATCH = 1000
_BATCH_FIRST = 50

_RECORDS = """
SELECT seq, day, hash, body FROM {} WHERE chain = %s AND (seq, day) > (%s, %s) ORDER BY seq, day
"""
# The distinct chains of a table, each found by one look into the index rather than by reading every record.
_CHAINS = """
WITH RECURSIVE found (chain) AS (
    SELECT min(chain) FROM {0}
    UNION ALL
    SELECT (SELECT min(chain) FROM {0} WHERE chain > found.chain) FROM found WHERE found.chain IS NOT NULL
) SELECT chain FROM found WHERE chain IS NOT NULL
"""
_LET_GO = """
SELECT day, archive_chain, archive_seq, chain, seq, archive FROM let_go WHERE chain IS NOT NULL ORDER BY day
"""
_HASH = re.compile("[0-9a-f]{64}")
_FIRST, _LAST = -(2**63), 2**63 - 1


class Archived(Protocol):
    """Days that were archived and let go."""

    def days(self) -> list[date]:
        """Those that can be read, in order."""
        ...

    def read(self, day: date, chain: str, behind: int) -> Generator[Stored, None, None]:
        """The records of a chain on that day behind a number, in order."""
        ...


class Missing(NamedTuple):
    """Records of a chain that are not at hand: a row of them all. `seq` is the last; `body` stands for their day."""

    seq: int
    day: date
    hash: bytes
    body: Gone
    first: int


Source = Callable[[int, date], Generator[Sequence[TupleRow], None, None]]
"""One chain's records in one place, behind a number (and day), in batches."""


class _Stream:
    """One chain's records, one place after another."""

    def __init__(self, sources: Iterable[Source], floor: int) -> None:
        self._sources = deque(sources)
        self._floor = (floor, date.max)
        self._behind = self._floor
        self._reading: Generator[Sequence[TupleRow], None, None] | None = None
        self._batch: deque[TupleRow] = deque()

    @property
    def open(self) -> bool:
        """Whether a cursor or a file is kept open for it."""
        return self._reading is not None

    def peek(self) -> TupleRow | None:
        """The next record, if there is one."""
        while not self._batch and self._sources:
            if self._reading is None:
                self._reading = self._sources[0](*self._behind)
            rows = next(self._reading, None)
            if rows is not None:
                self._batch.extend(rows)
            else:
                self._sources.popleft()
                self._reading, self._behind = None, self._floor
        return self._batch[0] if self._batch else None

    def take(self, most: int = _LAST) -> TupleRow:
        """The record that `peek` gave; of records that are not at hand, those up to the number `most`."""
        row = self._batch.popleft()
        if isinstance(row, Missing) and row.seq > most:
            self._batch.appendleft(row._replace(first=most + 1))
            row = row._replace(seq=most, hash=b"")
        self._behind = (row[0], row[1])
        return row

    def pause(self) -> None:
        """Close what is open; the next look opens it again, behind what was taken."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None
            self._batch.clear()


class Streams:
    """The chains of a log, each read on from where it was left.

    Of the `whole` log, what is in the tables is believed, and nothing that is derived of it. Otherwise
    each chain must be given a start, and is looked for in no table of a day before.
    """

    def __init__(self, connection: Connection[TupleRow], archived: Archived | None, *, whole: bool) -> None:
        self._connection = connection
        self._numbers = count()
        self._archived = archived
        kept = set(partitions.days(connection))
        days = archived.days() if archived is not None else []
        self._days: dict[date, Gone | None] = {day: gone for day, gone in _let_go(connection) if day not in kept}
        self._days.update({day: None for day in days if day not in kept})
        self._all = partitions.tables(connection)
        self._tables: dict[int, list[str]] = {}
        for table in self._all if whole else ():
            for (row,) in connection.execute(_CHAINS.format(table), prepare=False):
                self._tables.setdefault(row, []).append(table)
        self._streams: dict[int, _Stream] = {}
        self._names = {row: str(name or "") for row, name in connection.execute("SELECT id, name FROM chains")}
        self._rows = {name: row for row, name in self._names.items()}

    def growth(
        self, checkpoint: Checkpoint, starts: Mapping[str, tuple[int, date]] | None = None
    ) -> Iterator[tuple[str, TupleRow]]:
        """What the checkpoint is the first to cover, chain by chain, up to the heads that it states.

        From where a chain was left, or, the first time, from behind its number and day in `starts`.
        """
        known = [(self._rows[name], name, head) for name, head in checkpoint.heads.items() if name in self._rows]
        for row, name, head in sorted(known, key=lambda one: one[0]):
            stream = self._stream(row, (starts or {}).get(name))
            while (found := stream.peek()) is not None and _first(found) <= head.seq:
                yield name, stream.take(head.seq)

    def rest(self) -> Iterator[tuple[str, TupleRow]]:
        """Whatever was not read yet, of every chain that there is, named or not."""
        for row in sorted(self._tables.keys() | self._streams.keys()):
            stream = self._stream(row)
            while stream.peek() is not None:
                yield self._names.get(row, ""), stream.take()

    def unused(self) -> list[str]:
        """The names of chains without any record."""
        return [name for row, name in self._names.items() if self._stream(row).peek() is None]

    def close(self) -> None:
        """Close every cursor."""
        for stream in self._streams.values():
            stream.pause()

    def _stream(self, row: int, start: tuple[int, date] | None = None) -> _Stream:
        stream = self._streams.pop(row, None)
        if stream is None:
            floor, since = start or (_FIRST, date.min)
            name = self._names.get(row, "")
            older = (self._older(day, gone, name) for day, gone in sorted(self._days.items()) if day >= since)
            tables = self._tables.get(row, ())
            if start is not None:
                tables = [table for table in self._all if table >= partitions.name_of(since)]
            stream = _Stream([*older, *(self._table(table, row) for table in tables)], floor)
        opened = [other for other in self._streams.values() if other.open]
        for other in opened[: max(0, len(opened) - MOST_OPEN + 1)]:
            other.pause()
        self._streams[row] = stream  # the last to be paused
        return stream

    def _older(self, day: date, gone: Gone | None, chain: str) -> Source:
        return self._archived_day(day, chain) if gone is None else _missing(day, gone, chain)

    def _table(self, table: str, chain: int) -> Source:
        def read(seq: int, day: date) -> Generator[Sequence[TupleRow], None, None]:
            size = _BATCH_FIRST
            with self._connection.cursor(f"records_{next(self._numbers)}", binary=True) as cursor:
                cursor.execute(_RECORDS.format(table), (chain, seq, day))
                while rows := cursor.fetchmany(size):
                    yield rows
                    if len(rows) < size:
                        return
                    mean = sum(len(row[3]) for row in rows) // len(rows) + 100
                    size = max(1, min(_BATCH, _BATCH_BYTES // mean))

        return read

    def _archived_day(self, day: date, chain: str) -> Source:
        def read(seq: int, _: date) -> Generator[Sequence[TupleRow], None, None]:
            if self._archived is not None:
                with closing(self._archived.read(day, chain, seq)) as records:
                    while batch := [(s.seq, day, s.hash, s.body) for s in islice(records, _BATCH_FIRST)]:
                        yield batch

        return read


def _missing(day: date, gone: Gone, chain: str) -> Source:
    """A chain's part of a day that is not at hand."""

    def read(seq: int, _: date) -> Generator[Sequence[TupleRow], None, None]:
        if chain in gone.archive.chains:
            first, last, digest = gone.archive.chains[chain]
            if last > seq:
                yield [Missing(last, day, bytes.fromhex(digest), gone, max(first, seq + 1))]

    return read


def _first(row: TupleRow) -> int:
    return int(row.first if isinstance(row, Missing) else row[0])


def _let_go(connection: Connection[TupleRow]) -> Iterator[tuple[date, Gone]]:
    """The days that were let go by an order, as far as what is noted of them can be read."""
    if not schema.has_let_go(connection):
        return
    for day, chain, seq, order_chain, order_seq, body in connection.execute(_LET_GO, binary=True):
        archive = archive_of(body)
        if archive is not None and archive.day == day.isoformat() and _is_sound(archive):
            made, ordered = Place(chain, seq), Place(order_chain, order_seq)
            yield day, Gone(body=body, archive=archive, made=made, ordered=ordered)


def _is_sound(archive: DayArchive) -> bool:
    spans = archive.chains.values()
    hashes = [archive.digest, *(digest for _, _, digest in spans)]
    return all(map(_HASH.fullmatch, hashes)) and all(0 < first <= last for first, last, _ in spans)
