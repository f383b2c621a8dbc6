"""Reading a log in PostgreSQL whole, without ever writing a byte."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date
from itertools import count as numbers
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.rows import TupleRow

from onpurpose.adapters.sql.anchor import read_anchor
from onpurpose.adapters.sql.postgres import checkpoints, schema
from onpurpose.adapters.sql.postgres.connection import Address, close
from onpurpose.adapters.sql.postgres.streams import Archived, Missing, Streams
from onpurpose.core.checkpoint import Checkpoint, Signed, parse
from onpurpose.core.record import Away, LedgerError, Stored

_CHECKPOINTS = "SELECT n, body, signature, starts FROM checkpoints WHERE n > %s ORDER BY n"
_FROM = "SELECT n, count FROM checkpoints WHERE count <= %s ORDER BY count DESC, n DESC LIMIT 1"
_COUNT = "SELECT count FROM checkpoints ORDER BY n DESC LIMIT 1"
_FETCH = 100


class PostgresArchive:
    """One consistent view of the log, while others go on writing it.

    Records come by checkpoint: what each chain grew by, chain after chain; then what no checkpoint
    covers. So a record's position is known once it is covered, and `records(after)` gives covered
    ones alone. `anchor` is the file that a ledger of this host keeps. Without one nothing outside the log
    is known and the newest checkpoint stands for its own anchor: then only an anchor that was noted
    elsewhere shows that a log was cut off. `archived` are the days that were archived and let go: their
    records are read from there as if they were still in their place. Of those that are not there it is
    said which records they hold, if an order to let go of them is noted.

    Raises `LedgerError` where there is nothing readable, `ValueError` for a URL that cannot be read.
    """

    def __init__(
        self, url: str, *, anchor: Path | None = None, archived: Archived | None = None, connect_timeout: int = 3
    ) -> None:
        self._archived = archived
        self._address = Address(url)
        self._anchor = anchor
        self._cursors = numbers()
        # Before the log: what the anchor tells of is in the log already.
        self._anchored = self._read_anchor()
        try:
            self._connection = self._address.reader(connect_timeout)
        except psycopg.Error as error:
            raise self._address.describe("read", error) from error
        try:
            self._begin()
        except BaseException:
            close(self._connection)
            raise

    def records(self, after: int | None = None) -> Iterator[Stored | Away]:
        """All records in the order of checkpoints; or the covered ones behind a position, or the newest n (`-n`)."""
        with self._reading():
            yield from self._all() if after is None else self._behind(after)

    def checkpoints(self) -> Iterator[Signed]:
        """The checkpoints, in order of their numbers."""
        with self._reading():
            for signed, _ in self._checkpoints(None):
                yield signed

    def anchor(self) -> Signed | None:
        """What the anchor file holds, or `None` when it is gone; without such a file the newest checkpoint."""
        if self._anchor is None:
            with self._reading():
                return checkpoints.newest(self._connection)
        if isinstance(self._anchored, LedgerError):
            raise self._anchored
        return self._anchored

    def damage(self) -> Iterator[str]:
        """Names of chains without a record, and what was added to the tables that could falsify them."""
        with self._reading():
            with contextlib.closing(Streams(self._connection, self._archived, whole=True)) as streams:
                for name in streams.unused():
                    yield f"there is no record of the chain `{name}`"
            for text in schema.foreign(self._connection):
                yield f"the tables were changed: {text}"

    def close(self) -> None:
        """Let go of the log."""
        close(self._connection)

    def __enter__(self) -> PostgresArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        """Fix the view, and make sure that there is a log in it."""
        with self._reading():
            self._connection.isolation_level = IsolationLevel.REPEATABLE_READ
            self._connection.read_only = True
            self._connection.autocommit = False
            if not schema.exists(self._connection):
                raise LedgerError(f"the log `{self._address.name}` cannot be read: there is none in this database")

    def _all(self) -> Iterator[Stored | Away]:
        """Every record, even those that nothing derived from the log knows of."""
        position = 0
        with contextlib.closing(Streams(self._connection, self._archived, whole=True)) as streams:
            for signed, _ in self._checkpoints(None):
                checkpoint = _parsed(signed)
                if checkpoint is not None:
                    yield from _placed(streams.growth(checkpoint), position)
                    position = checkpoint.count
            yield from _placed(streams.rest(), position)

    def _behind(self, after: int) -> Iterator[Stored | Away]:
        if after < 0:
            newest = self._connection.execute(_COUNT).fetchone()
            after = max(0, (newest[0] if newest else 0) + after)
        start, position = self._connection.execute(_FROM, (after,)).fetchone() or (None, 0)
        with contextlib.closing(Streams(self._connection, self._archived, whole=False)) as streams:
            for signed, starts in self._checkpoints(start):
                checkpoint = _parsed(signed)
                if checkpoint is not None:
                    grown = _placed(streams.growth(checkpoint, starts), position)
                    yield from (stored for stored in grown if stored.position > after)
                    position = checkpoint.count

    def _checkpoints(self, after: int | None) -> Iterator[tuple[Signed, dict[str, tuple[int, date]]]]:
        """The checkpoints behind a number, with what is noted of where each chain's growth began."""
        query = _CHECKPOINTS if after is not None else _CHECKPOINTS.replace("WHERE n > %s ", "")
        with self._connection.cursor(f"checkpoints_{next(self._cursors)}", binary=True) as cursor:
            cursor.itersize = _FETCH
            for number, body, signature, starts in cursor.execute(query, None if after is None else (after,)):
                whole = type(body) is bytes and type(signature) is bytes
                signed = Signed(n=number, body=body if whole else b"", signature=signature if whole else b"")
                yield signed, _starts(starts)

    def _read_anchor(self) -> Signed | LedgerError | None:
        try:
            return read_anchor(self._anchor) if self._anchor else None
        except LedgerError as error:
            return error

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise self._address.describe("read", error) from error


def _placed(rows: Iterator[tuple[str, TupleRow]], position: int) -> Iterator[Stored | Away]:
    for chain, row in rows:
        if isinstance(row, Missing):
            position += row.seq - row.first + 1
            yield Away(
                position=position, chain=chain, first=row.first, seq=row.seq, hash=row.hash, day=row.body
            )  # fmt: skip
            continue
        seq, _, digest, body = row
        position += 1
        if type(seq) is int and type(digest) is bytes and type(body) is bytes:
            yield Stored(position, chain, seq, digest, body)
        else:
            yield Stored(position, chain, -1, b"", b"")


def _parsed(signed: Signed) -> Checkpoint | None:
    try:
        return parse(signed.body)
    except ValueError:
        return None


def _starts(noted: Any) -> dict[str, tuple[int, date]]:
    """Where the growth of chains began. Nothing where it was changed to anything else: they are then not shown."""
    try:
        return {str(name): (int(seq), date.fromisoformat(day)) for name, (seq, day) in noted.items()}
    except (AttributeError, TypeError, ValueError):
        return {}
