"""Closed days of a log as Parquet files: one file for each day, each record in it byte for byte."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]  # it has no types
import pyarrow.parquet as pq  # type: ignore[import-untyped]  # it has no types

from onpurpose.core.record import LedgerError, Stored

ROWS = 10_000
"""How many records a row group holds at most. Each holds those of one chain."""

BYTES = 1 << 23
"""After how many bytes of bodies a row group ends."""

SCHEMA = pa.schema(
    [
        pa.field("chain", pa.string(), nullable=False),
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("hash", pa.binary(32), nullable=False),
        pa.field("body", pa.binary(), nullable=False),
    ],
    metadata={"onpurpose": "records.1"},
)


class DayFiles:
    """A folder of such files, named by their days. Raises `LedgerError` where one cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def name(self, day: date) -> str:
        """What the file of a day is called."""
        return f"records-{day.isoformat()}.parquet"

    def write(self, day: date, records: Iterable[Stored]) -> str:
        """Write the records, which come chain by chain, as the file of that day; the SHA-256 (hex) of the file.

        The file is durable when this returns, and not there at all before.
        """
        path = self._folder / self.name(day)
        scratch = path.with_name(path.name + ".new")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with pq.ParquetWriter(scratch, SCHEMA, compression="zstd") as writer:
                for group in _groups(records):
                    writer.write_table(_table(group))
            with scratch.open("rb") as file:
                os.fsync(file.fileno())
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            scratch.replace(path)
            _sync(self._folder)
        except (OSError, pa.ArrowException) as error:
            raise LedgerError(f"the archive `{path}` cannot be written: {error}") from error
        finally:
            scratch.unlink(missing_ok=True)
        return digest

    def digest(self, day: date) -> str:
        """The SHA-256 (hex) of the day's file as it is now."""
        path = self._folder / self.name(day)
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise _unreadable(path, error) from error

    def days(self) -> list[date]:
        """The days that there is a file of, in order."""
        found = []
        for path in self._folder.glob("records-*.parquet"):
            text = path.name.removeprefix("records-").removesuffix(".parquet")
            try:
                found.append(date.fromisoformat(text))
            except ValueError:
                continue  # a file of somebody else's
        return sorted(found)

    def read(self, day: date, chain: str | None = None, behind: int = 0) -> Generator[Stored, None, None]:
        """The day's records, or those of one chain behind a number, as the file has them; `position` is 0."""
        path = self._folder / self.name(day)
        try:
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(SCHEMA):
                    raise LedgerError(f"the archive `{path}` cannot be read: it has other columns")
                for number in range(file.num_row_groups):
                    if chain is None or _may_hold(file.metadata.row_group(number), chain, behind):
                        for stored in _records(file.read_row_group(number)):
                            if chain is None or (stored.chain == chain and stored.seq > behind):
                                yield stored
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error


def _groups(records: Iterable[Stored]) -> Iterator[list[Stored]]:
    """The records in portions: of one chain each, and not too large."""
    group: list[Stored] = []
    size = 0
    for stored in records:
        if group and (group[0].chain != stored.chain or len(group) >= ROWS or size >= BYTES):
            yield group
            group, size = [], 0
        group.append(stored)
        size += len(stored.body)
    if group:
        yield group


def _table(group: list[Stored]) -> Any:
    columns = [
        [stored.chain for stored in group],
        [stored.seq for stored in group],
        [stored.hash for stored in group],
        [stored.body for stored in group],
    ]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _may_hold(group: Any, chain: str, behind: int) -> bool:
    """What the file says of a row group; where it says nothing, the group must be read."""
    chains, seqs = group.column(0).statistics, group.column(1).statistics
    if chains is not None and chains.has_min_max and not chains.min <= chain <= chains.max:
        return False
    return seqs is None or not seqs.has_min_max or bool(seqs.max > behind)


def _records(table: Any) -> Iterator[Stored]:
    columns = [table.column(name).to_pylist() for name in SCHEMA.names]
    for chain, seq, digest, body in zip(*columns, strict=True):
        yield Stored(0, chain, seq, digest, body)


def _unreadable(path: Path, error: Exception) -> LedgerError:
    what = error.strerror if isinstance(error, OSError) and error.strerror else error
    return LedgerError(f"the archive `{path}` cannot be read: {what}")


def _sync(folder: Path) -> None:
    """Make a new name durable, where directories can be opened (not on Windows)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
