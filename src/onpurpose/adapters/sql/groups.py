"""A writer thread that commits whatever has come as one group, and tells whoever waits: what every ledger in SQL is."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Protocol, Self

from onpurpose.core.checkpoint import Checkpoint
from onpurpose.core.record import MAX_BODY, Head, LedgerError, Receipt, Record
from onpurpose.waiting import Promise

MAX_PENDING = 100_000
"""How many records may wait for the writer; one more fails at once."""

MAX_PENDING_BYTES = 1 << 26
"""How many bytes of bodies may wait for the writer."""

GROUP = 4096
"""How many records at most share a commit."""

GROUP_BYTES = 1 << 23
"""How many bytes of bodies may have come together before a commit takes no further record."""

Item = tuple[Promise[Receipt], bytes]
"""A record that waits: what its caller holds, and its body."""

_registry = threading.Lock()
_ledgers: weakref.WeakSet[GroupLedger] = weakref.WeakSet()


class GroupStore(Protocol):
    """One writer's chain in a log, as far as every kind of log is alike. Used by the writer thread alone."""

    @property
    def records(self) -> int:
        """How many records this writer has made durable."""
        ...

    @property
    def commits(self) -> int:
        """In how many commits."""
        ...

    @property
    def chains(self) -> int:
        """In how many chains."""
        ...

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that this writer has made."""
        ...

    @property
    def head(self) -> Head | None:
        """The last record that was written."""
        ...

    @property
    def uncovered(self) -> int:
        """How many records no checkpoint covers yet."""
        ...

    def disconnect(self) -> None:
        """Let go of the log until the next group."""
        ...


class _Gathering:
    """While it lasts, what its thread appends waits to be handed to the writer together."""

    __slots__ = ("_ledger", "_mine")

    def __init__(self, ledger: GroupLedger) -> None:
        self._ledger = ledger
        self._mine = False

    def __enter__(self) -> None:
        self._mine = self._ledger._hold()

    def __exit__(self, *_: object) -> None:
        if self._mine:
            self._ledger._hand_over()


class GroupLedger(ABC):
    """A ledger over a store: `append` from any thread, one thread that writes.

    Nothing is connected or made before the first record. `name` is what errors call the log, `limits`
    how many records, and how many bytes of bodies, may wait for the writer. A kind of log says how a
    group is written and a checkpoint signed, and has its store made by `_begin`.
    """

    _store: GroupStore

    def __init__(self, name: str, *, checkpoint_seconds: float, limits: tuple[int, int]) -> None:
        self._name = name
        self._checkpoint_seconds = checkpoint_seconds
        self._limits = limits
        self._closed = False
        self._begin()
        with _registry:
            _ledgers.add(self)

    def _begin(self) -> None:
        """The state that is a process's own: begun again in a forked child, with a chain of its own."""
        self._lock = threading.Lock()
        self._bell = threading.Lock()  # rung by releasing it, only ever while `_idle`
        self._bell.acquire()
        self._pending: list[Item] = []
        self._gathered: list[Item] = []
        self._gatherer: int | None = None  # the thread whose records are being gathered
        self._count = self._bytes = 0
        self._idle = False
        self._thread: threading.Thread | None = None
        self._sign_at = 0.0
        self._last_error: str | None = None
        self._failing = False

    def append(self, record: Record) -> Promise[Receipt]:
        """At once, a promise that is kept when the record is durable.

        Its callbacks run on the writer thread, those of one group in one go, and hold up the next
        group: they should do no more than wake somebody. Bodies must be canonical JSON.
        """
        promise: Promise[Receipt] = Promise()
        body = record.body
        with self._lock:
            refusal = self._refusal(len(body))
            if refusal is None:
                self._count += 1
                self._bytes += len(body)
                if self._gatherer is not None and self._gatherer == threading.get_ident():
                    self._gathered.append((promise, body))
                else:
                    self._pending.append((promise, body))
                    if self._idle:
                        self._wake()
        if refusal is not None:
            promise.set_exception(LedgerError(f"the log `{self._name}` {refusal}"))
        return promise

    def gathering(self) -> _Gathering:
        """Within it, records that this thread appends are handed to the writer together, at its end.

        A writer that wakes at the first of them asks for the interpreter while this thread is at work,
        and each of the thread's turns then pays for waking it in vain. One thread at a time gathers; of
        a second one, and within another gathering, records go to the writer at once.
        """
        return _Gathering(self)

    def status(self) -> dict[str, object]:
        """Path, own records and chain, what waits, the last error, the newest checkpoint of ours.

        `failing`: the last attempt to write failed. Another is made every time that a checkpoint would be
        due, so that this tells of now whether or not records come.
        """
        store = self._store
        head, checkpoint = store.head, store.checkpoint
        return {
            "path": self._name,
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
            self._pass_on()
            if self._idle:
                self._wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def __enter__(self) -> Self:
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

    def _hold(self) -> bool:
        """Gather what this thread appends from now on, unless another thread's, or its own, is gathered already."""
        with self._lock:
            if self._gatherer is not None:
                return False
            self._gatherer = threading.get_ident()
            return True

    def _hand_over(self) -> None:
        with self._lock:
            self._gatherer = None
            self._pass_on()
            if self._pending and self._idle:
                self._wake()

    def _pass_on(self) -> None:
        self._pending += self._gathered
        self._gathered.clear()

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
                self._sign()
        if self._store.head is not None:
            self._sign(last=True)
        self._disconnect()

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

    @abstractmethod
    def _write(self, part: list[Item]) -> None:
        """Commit the records as one group, and tell whoever waits. Never raises."""

    @abstractmethod
    def _sign(self, *, last: bool = False) -> None:
        """Sign a checkpoint, `last` as the end of the chain, and say when the next is due. Never raises."""

    def _disconnect(self) -> None:
        """Let go of the log for good."""
        self._store.disconnect()

    def _keep(self, group: list[Item], receipts: list[Receipt]) -> None:
        """The records are durable: give each its receipt."""
        self._failing = False
        self._let_go(group)
        _tell(zip((promise.set_result for promise, _ in group), receipts, strict=True))

    def _fail(self, group: list[Item], error: Exception) -> None:
        """They are not known to be: tell each why."""
        self._last_error = message = str(error)
        self._failing = True
        self._let_go(group)
        _tell((promise.set_exception, _because(message, error)) for promise, _ in group)

    def _taken(self, part: list[Item]) -> list[Item]:
        """Take up the records; those that nobody waits for any more are left out."""
        group = [item for item in part if item[0].set_running_or_notify_cancel()]
        if len(group) < len(part):
            kept = {id(item) for item in group}
            self._let_go([item for item in part if id(item) not in kept])
        return group

    def _let_go(self, items: list[Item]) -> None:
        """They wait no longer: before anybody is told, so that whoever is may at once append as many."""
        with self._lock:
            self._count -= len(items)
            self._bytes -= sum(len(body) for _, body in items)

    # Around a fork. A child must not use its parent's connection, not even to close it.

    def _before_fork(self) -> None:  # noqa: B027  some have nothing to do
        """In the parent."""

    def _after_fork_in_parent(self) -> None:  # noqa: B027  as above
        """Go on."""

    def _after_fork_in_child(self) -> None:
        self._begin()


def _part(group: list[Item], at: int) -> list[Item]:
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
    """Keep the promises one after another, whatever their callbacks raise: nobody must wait forever."""
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
