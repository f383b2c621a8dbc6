"""Reading a log in SQLite without ever writing a byte: not into the file, not beside it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from onpurpose.adapters.sql import schema
from onpurpose.adapters.sql.anchor import read_anchor
from onpurpose.core.checkpoint import Signed
from onpurpose.core.record import LedgerError, LogChangedError, Stored

_ALL = "SELECT position, chain, seq, hash, body FROM records ORDER BY position"
_BEHIND = "SELECT position, chain, seq, hash, body FROM records WHERE position > ? ORDER BY position"
_CHECKPOINTS = "SELECT n, body, signature FROM checkpoints ORDER BY n"
_UNUSED = "SELECT name FROM chains WHERE NOT EXISTS (SELECT 1 FROM records WHERE chain = chains.id)"
_MAX_DAMAGE = 20


class SqliteArchive:
    """One consistent view of the log at `path`, while others may go on writing it.

    A log that nobody writes is opened as unchangeable, so that SQLite makes no files beside it; if
    somebody begins to write it after all, `LogChangedError` is raised at the latest by `damage`. A log
    that a living or killed process left a write-ahead log of is read through that; where its index
    is gone, a copy in a temporary directory is read. Raises `LedgerError` when there is nothing
    readable. Close it soon: as long as it is open, a writer's write-ahead log cannot be emptied; and
    where it was opened first, on what a killed process left, a ledger of this same process can only
    begin to write (its appends fail until then) when it is closed.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path).absolute()
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._seen: tuple[int, ...] | None = None
        # Before the log: what the anchor tells of is in the log already.
        self._anchor = self._read_anchor()
        try:
            self._connection = self._connect()
            self._names = self._begin()
        except BaseException as error:
            self._discard_copy()
            if isinstance(error, sqlite3.Error | OSError):
                raise self._unreadable(error) from error
            raise

    def records(self, after: int | None = None) -> Iterator[Stored]:
        """The records in the order of commits; of those, the ones behind a position, or `after=-n`: the newest n."""
        names = self._names
        with self._reading():
            for position, chain, seq, digest, body in self._rows(after):
                if type(seq) is int and type(digest) is bytes and type(body) is bytes:
                    yield Stored(position, names.get(chain, ""), seq, digest, body)
                else:
                    yield Stored(position, names.get(chain, ""), -1, b"", b"")

    def checkpoints(self) -> Iterator[Signed]:
        """The checkpoints, in order of their numbers."""
        with self._reading():
            for number, body, signature in self._connection.execute(_CHECKPOINTS):
                if type(body) is bytes and type(signature) is bytes:
                    yield Signed(n=number, body=body, signature=signature)
                else:
                    yield Signed(n=number, body=b"", signature=b"")

    def anchor(self) -> Signed | None:
        """What `<path>.anchor` holds; `None` when there is no such file, `LedgerError` if it is damaged."""
        if isinstance(self._anchor, LedgerError):
            raise self._anchor
        return self._anchor

    def damage(self) -> Iterator[str]:
        """What SQLite's own check finds, one line each, and names of chains without a record."""
        with self._reading():
            for (line,) in self._connection.execute(f"PRAGMA integrity_check({_MAX_DAMAGE})"):
                if line != b"ok":
                    yield _text(line)
            for (name,) in self._connection.execute(_UNUSED):
                yield f"there is no record of the chain `{_text(name)}`"
            (pages,), (size,) = (
                self._connection.execute(f"PRAGMA {what}").fetchone() for what in ("page_count", "page_size")
            )
            if self._seen is not None and self._seen[1] != pages * size:
                yield f"the file has {self._seen[1]} bytes, not the {pages * size} of its {pages} pages"
        self._refuse_if_changed()

    def close(self) -> None:
        """Let go of the file, and of the copy if one was made."""
        self._connection.close()
        self._discard_copy()

    def __enter__(self) -> SqliteArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _rows(self, after: int | None) -> sqlite3.Cursor:
        if after is None:
            return self._connection.execute(_ALL)
        if after < 0:
            (newest,) = self._connection.execute("SELECT coalesce(max(position), 0) FROM records").fetchone()
            after = max(0, after + newest)
        return self._connection.execute(_BEHIND, (after,))

    def _read_anchor(self) -> Signed | LedgerError | None:
        try:
            return read_anchor(self._path.with_name(self._path.name + ".anchor"))
        except LedgerError as error:
            return error

    def _connect(self) -> sqlite3.Connection:
        # Never open the file but through SQLite: closing it would drop the locks that a writer in
        # this very process holds on it.
        wal = self._path.with_name(self._path.name + "-wal")
        index = self._path.with_name(self._path.name + "-shm")
        if not _has_bytes(wal):
            self._seen = _state(self._path)
            if self._seen[1] == 0:
                raise LedgerError(f"the log `{self._path}` is empty")
            return _open(self._path, "mode=ro&immutable=1")
        if index.exists():
            return _open(self._path, "mode=ro&readonly_shm=1")
        self._copy = tempfile.TemporaryDirectory(prefix="onpurpose-")
        copy = Path(self._copy.name) / self._path.name
        shutil.copyfile(self._path, copy)
        shutil.copyfile(wal, copy.with_name(wal.name))
        return _open(copy, "mode=ro")

    def _begin(self) -> dict[int, str]:
        """Fix the view, make sure that it is a log's, and read the names of its chains."""
        try:
            self._connection.execute("PRAGMA trusted_schema = OFF")
            self._connection.execute("PRAGMA cell_size_check = ON")
            self._connection.execute("BEGIN")
            problem = schema.mismatch(self._connection)
            if problem is not None:
                raise LedgerError(f"the log `{self._path}` cannot be read: {problem}")
            return {number: _text(name) for number, name in self._connection.execute("SELECT id, name FROM chains")}
        except BaseException:
            self._connection.close()
            raise

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            self._refuse_if_changed()
            raise self._unreadable(error) from error

    def _refuse_if_changed(self) -> None:
        if self._seen is not None and (
            _has_bytes(self._path.with_name(self._path.name + "-wal")) or _state(self._path) != self._seen
        ):
            raise LogChangedError(f"the log `{self._path}` was written to while it was read")

    def _unreadable(self, error: sqlite3.Error | OSError) -> LedgerError:
        what = error.strerror if isinstance(error, OSError) else str(error)
        return LedgerError(f"the log `{self._path}` cannot be read: {what}")

    def _discard_copy(self) -> None:
        if self._copy is not None:
            self._copy.cleanup()


def _open(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, isolation_level=None, check_same_thread=False)
    connection.text_factory = bytes  # text need not be valid in a file that somebody changed
    return connection


def _state(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _has_bytes(path: Path) -> bool:
    try:
        return os.stat(path).st_size > 0  # noqa: PTH116  one call, not two
    except FileNotFoundError:
        return False


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
