"""The ledger in SQLite: one writer thread, which commits whatever has come as one group."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

from onpurpose.adapters.sql.keeper import Keeper
from onpurpose.adapters.sql.store import Store
from onpurpose.core.record import MAX_BODY, LedgerError, Receipt, Record
from onpurpose.ports import Signer
from onpurpose.waiting import Promise

MAX_PENDING = 100_000
"""How many records may wait for the writer; one more fails at once."""

MAX_PENDING_BYTES = 1 << 26
"""How many bytes of bodies may wait for the writer."""

GROUP = 4096
"""How many records at most share a commit."""

GROUP_BYTES = 1 << 23
"""How many bytes of bodies may have come together before a commit takes no further record."""

CHECKPOINT_SECONDS = 1.0
"""How often, at most, a checkpoint is signed while records come."""

_Item = tuple[Promise[Receipt], bytes]

_registry = threading.Lock()
_ledgers: weakref.WeakSet[SqliteLedger] = weakref.WeakSet()


class SqliteLedger:
    """A ledger in one SQLite file that several threads and processes may share.

    A record that is acknowledged survives the process, the operating system and the power. One
    chain per writer, begun with the first record; nothing is opened or made before. While the log
    cannot be written, each append fails with `LedgerError`, and the first that can be written
    succeeds. A lock held by another process is waited for, `busy_timeout` seconds at most.

    Beside `path` lie the newest checkpoint (`<path>.anchor`) and SQLite's own `-wal` and `-shm`.
    A log that does not reach as far as its anchor is not written to.
    """

    def __init__(  # noqa: PLR0913  limits that a deployment may want to set
        self,
        path: str | Path,
        *,
        signer: Signer,
        busy_timeout: float = 5.0,
        checkpoint_seconds: float = CHECKPOINT_SECONDS,
        max_pending: int = MAX_PENDING,
        max_pending_bytes: int = MAX_PENDING_BYTES,
    ) -> None:
        self._path = Path(path).absolute()
        self._signer = signer
        self._busy_timeout = busy_timeout
        self._checkpoint_seconds = checkpoint_seconds
        self._limits = (max_pending, max_pending_bytes)
        self._closed = False
        self._begin()
        with _registry:
            _ledgers.add(self)

    def _begin(self) -> None:
        """The state that is a process's own: begun again in a forked child, with a chain of its own."""
        self._lock = threading.Lock()
        self._bell = threading.Lock()  # rung by releasing it, only ever while `_idle`
        self._bell.acquire()
        self._rest = threading.Lock()
        self._pending: list[_Item] = []
        self._count = self._bytes = 0
        self._idle = False
        self._thread: threading.Thread | None = None
        self._sign_at = 0.0
        self._last_error: str | None = None
        self._failing = False
        self._store = Store(
            self._path,
            anchor=self._path.with_name(self._path.name + ".anchor"),
            signer=self._signer,
            busy_timeout=self._busy_timeout,
        )
        self._keeper = Keeper(self._path)

    def append(self, record: Record) -> Promise[Receipt]:
        """At once, a future that completes when the record is durable.

        Its callbacks run on the writer thread, those of one group in one go, and hold up the next
        group: they should do no more than wake somebody. Bodies must be canonical JSON.
        """
        future: Promise[Receipt] = Promise()
        body = record.body
        with self._lock:
            refusal = self._refusal(len(body))
            if refusal is None:
                self._pending.append((future, body))
                self._count += 1
                self._bytes += len(body)
                if self._idle:
                    self._wake()
        if refusal is not None:
            future.set_exception(LedgerError(f"the log `{self._path}` {refusal}"))
        return future

    def status(self) -> dict[str, object]:
        """Path, own records and chain, what waits, the last error, the newest checkpoint of ours.

        `failing`: the last attempt to write failed. It is repeated without records, every time that a
        checkpoint would be due, so that this tells of now whether or not records come.
        """
        store = self._store
        head, checkpoint = store.head, store.checkpoint
        return {
            "path": str(self._path),
            "records": store.records,
            "commits": store.commits,
            "chain": head.chain if head else None,
            "chains": store.chains,
            "pending": self._count,
            "last_error": self._last_error,
            "failing": self._failing,
            "checkpoint": checkpoint.n if checkpoint else None,
            "key": checkpoint.key if checkpoint else None,
            "uncovered": store.uncovered,
            "closed": self._closed,
        }

    def close(self) -> None:
        """Write what was appended, sign where the chain ends, and stop. Later appends fail."""
        with self._lock:
            self._closed = True
            thread = self._thread
            if self._idle:
                self._wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def __enter__(self) -> SqliteLedger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refusal(self, size: int) -> str | None:
        """Why a record of this size is not taken; starts the writer thread when it is the first."""
        if self._closed:
            return "is closed"
        if size > MAX_BODY:
            return f"takes no record of {size} bytes: {MAX_BODY} are the most"
        if self._count >= self._limits[0] or self._bytes + size > self._limits[1]:
            return "is not written as fast as records come: too many wait already"
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="onpurpose-ledger", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                return f"has no writer: {error}"
            self._thread = thread
        return None

    def _wake(self) -> None:
        self._idle = False
        self._bell.release()

    # From here on, the writer thread.

    def _run(self) -> None:
        while self._wait():
            with self._lock:
                group, self._pending = self._pending, []
            at = 0
            while at < len(group):
                part = _part(group, at)
                at += len(part)
                self._write(part)
            if self._is_owing() and time.monotonic() >= self._sign_at:
                self._write([])
        if self._store.head is not None:
            self._write([], last=True)
        self._keeper.join()
        self._store.disconnect()

    def _wait(self) -> bool:
        """Wait for records, or until a checkpoint is due; false when closed and all is written."""
        with self._lock:
            if self._pending or self._closed:
                return bool(self._pending)
            self._idle = True
        timeout = max(0.0, self._sign_at - time.monotonic()) if self._is_owing() else -1
        if not self._bell.acquire(timeout=timeout):
            with self._lock:
                if not self._idle:
                    self._bell.acquire()  # it was rung just now
                self._idle = False
        return True

    def _is_owing(self) -> bool:
        """Whether a checkpoint is to be signed: over records, or to see whether the log can be written again."""
        return self._failing or self._store.uncovered > 0

    def _write(self, part: list[_Item], *, last: bool = False) -> None:
        """Commit the records as one group, tell whoever waits, and bring the anchor up to date."""
        group = [item for item in part if item[0].set_running_or_notify_cancel()]
        size = sum(len(body) for _, body in part)
        sign = last or self._store.head is None or time.monotonic() >= self._sign_at
        if group or not part:
            try:
                with self._rest:
                    receipts = self._commit([body for _, body in group], sign=sign, last=last)
            except Exception as error:  # whatever it is, whoever waits must be told
                self._fail(group, error)
            else:
                self._failing = False
                _tell(zip((future.set_result for future, _ in group), receipts, strict=True))
        with self._lock:
            self._count -= len(part)
            self._bytes -= size
        if sign:
            self._sign_at = time.monotonic() + self._checkpoint_seconds
            self._anchor()

    def _commit(self, bodies: list[bytes], *, sign: bool, last: bool) -> list[Receipt]:
        receipts = self._store.write(bodies, sign=sign, last=last)
        if self._keeper.note(sum(map(len, bodies))):
            self._store.drain()
        return receipts

    def _fail(self, group: list[_Item], error: Exception) -> None:
        self._last_error = message = str(error)
        self._failing = True
        _tell((future.set_exception, _because(message, error)) for future, _ in group)

    def _anchor(self) -> None:
        try:
            with self._rest:
                self._store.anchor()
        except LedgerError as error:
            # The records are durable and signed; what is missing shows in the status, and the
            # next checkpoint tries again.
            self._last_error = str(error)

    # Around a fork. A child must not inherit an open database, not even to close it.

    def _before_fork(self) -> None:
        self._rest.acquire()
        self._keeper.join()
        self._store.disconnect()

    def _after_fork_in_parent(self) -> None:
        self._rest.release()

    def _after_fork_in_child(self) -> None:
        self._begin()


def _part(group: list[_Item], at: int) -> list[_Item]:
    """The records from `at` on that may share a commit: at least one."""
    size, end = 0, at
    for _, body in group[at : at + GROUP]:
        size += len(body)
        end += 1
        if size >= GROUP_BYTES:
            break
    return group[at:end]


def _because(message: str, error: Exception) -> LedgerError:
    """An error of its own for each that waits: several threads raise them at once."""
    told = LedgerError(message)
    told.__cause__ = error
    return told


def _tell(outcomes: Iterable[tuple[Callable[[Any], None], Any]]) -> None:
    """Complete the futures one after another, whatever their callbacks raise: nobody must wait forever."""
    remaining, done = iter(outcomes), False
    while not done:
        with contextlib.suppress(BaseException):
            for tell, outcome in remaining:
                tell(outcome)
            done = True


def _before_fork() -> None:
    _registry.acquire()
    for ledger in _ledgers:
        ledger._before_fork()


def _after_fork_in_parent() -> None:
    for ledger in _ledgers:
        ledger._after_fork_in_parent()
    _registry.release()


def _after_fork_in_child() -> None:
    for ledger in _ledgers:
        ledger._after_fork_in_child()
    _registry.release()


def _close_all() -> None:
    with _registry:
        ledgers = list(_ledgers)
    for ledger in ledgers:
        ledger.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
atexit.register(_close_all)
