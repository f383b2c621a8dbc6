"""The ledger in SQLite: one writer thread, which commits whatever has come as one group."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from onpurpose.adapters.sql.groups import MAX_PENDING, MAX_PENDING_BYTES, GroupLedger, Item
from onpurpose.adapters.sql.store import Store
from onpurpose.core.record import LedgerError
from onpurpose.ports import Signer

CHECKPOINT_SECONDS = 1.0
"""How often, at most, a checkpoint is signed while records come."""

STEP = 1 << 20
"""After how many bytes of records the write-ahead log is moved into the database: a move takes a few milliseconds.

Without it the log grows without end. A thread beside the writer could move more at once, but not all: what
comes meanwhile keeps the log from beginning anew, and what the disk was not yet told to keep piles up.
"""


class SqliteLedger(GroupLedger):
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
        limits = (max_pending, max_pending_bytes)
        super().__init__(str(self._path), checkpoint_seconds=checkpoint_seconds, limits=limits)

    def _begin(self) -> None:
        super()._begin()
        self._rest = threading.Lock()
        self._store: Store = Store(
            self._path,
            anchor=self._path.with_name(self._path.name + ".anchor"),
            signer=self._signer,
            busy_timeout=self._busy_timeout,
        )
        self._unmoved = 0  # bytes of records since the write-ahead log was moved

    def _write(self, part: list[Item]) -> None:
        group = self._taken(part)
        if group:
            self._commit(group, sign=self._store.head is None or time.monotonic() >= self._sign_at)

    def _sign(self, *, last: bool = False) -> None:
        self._commit([], sign=True, last=last)

    def _commit(self, group: list[Item], *, sign: bool, last: bool = False) -> None:
        """Commit the records as one group, tell whoever waits, and bring the anchor up to date."""
        bodies = [body for _, body in group]
        try:
            with self._rest:
                receipts = self._store.write(bodies, sign=sign, last=last)
        except Exception as error:  # whatever it is, whoever waits must be told
            self._fail(group, error)
        else:
            self._keep(group, receipts)
            self._unmoved += sum(map(len, bodies))
        if sign:
            self._sign_at = time.monotonic() + self._checkpoint_seconds
            self._after(self._store.anchor)
        if self._unmoved >= STEP:
            self._unmoved = 0
            self._after(self._store.drain)

    def _after(self, work: Callable[[], None]) -> None:
        """What follows once the records are durable and whoever waits was told."""
        try:
            with self._rest:
                work()
        except LedgerError as error:  # it shows in the status, and the next time tries again
            self._last_error = str(error)

    # Around a fork. A child must not inherit an open database, not even to close it.

    def _before_fork(self) -> None:
        self._rest.acquire()
        self._store.disconnect()

    def _after_fork_in_parent(self) -> None:
        self._rest.release()
