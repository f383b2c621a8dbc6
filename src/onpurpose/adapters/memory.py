"""Stores in plain memory: for tests, trials and the first minute."""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext

import orjson

from onpurpose.core.record import GENESIS, MAX_BODY, LedgerError, Receipt, Record, Stored, link


class Settled(Future[Receipt]):
    """A future that was done when it was made, without the locks of one that is waited for."""

    def __init__(self, receipt: Receipt) -> None:
        self._receipt = receipt

    def result(self, timeout: float | None = None) -> Receipt:
        """The receipt, at once."""
        return self._receipt

    def exception(self, timeout: float | None = None) -> None:
        """None."""

    def done(self) -> bool:
        """True."""
        return True

    def running(self) -> bool:
        """False."""
        return False

    def cancel(self) -> bool:
        """False: it is done."""
        return False

    def cancelled(self) -> bool:
        """False."""
        return False

    def add_done_callback(self, fn: Callable[[Future[Receipt]], object]) -> None:
        """Called at once."""
        fn(self)


class MemoryLedger:
    """A ledger in a list: the same chain as in a file, done at once, gone with the process.

    `limit` is how many records it takes, without one as many as fit; beyond, appends fail.
    """

    def __init__(self, *, limit: int | None = None) -> None:
        self._most = sys.maxsize if limit is None else limit
        self._lock = threading.Lock()
        self._chain = secrets.token_hex(16)
        self._hash = GENESIS
        self._records: list[Stored] = []
        self._closed = False

    def append(self, record: Record) -> Future[Receipt]:
        """A future that is done: with the receipt, or with the `LedgerError` that says why not."""
        body = record.body
        receipt = None
        with self._lock:
            if len(self._records) < self._most and len(body) <= MAX_BODY and not self._closed:
                if not self._records:
                    self._add(_opened())
                receipt = self._add(body)
        if receipt is not None:
            return Settled(receipt)
        refused: Future[Receipt] = Future()
        refused.set_exception(LedgerError(f"the log in memory {self._refusal(len(body))}"))
        return refused

    def gathering(self) -> AbstractContextManager[None]:
        """Nothing: records are kept as they come."""
        return nullcontext()

    def records(self) -> list[Stored]:
        """Every record so far, in order; the first tells that the log was opened."""
        with self._lock:
            return list(self._records)

    def status(self) -> dict[str, object]:
        """As of a file: no path, nothing ever pending."""
        return {
            "path": None,
            "records": len(self._records),
            "chain": self._chain if self._records else None,
            "pending": 0,
            "last_error": None,
            "closed": self._closed,
        }

    def close(self) -> None:
        """Take no more records; those there are can still be read."""
        self._closed = True

    def _refusal(self, size: int) -> str:
        if self._closed:
            return "is closed"
        if size > MAX_BODY:
            return f"takes no record of {size} bytes: {MAX_BODY} are the most"
        return f"is full: it takes {self._most} records"

    def _add(self, body: bytes) -> Receipt:
        seq = len(self._records) + 1
        digest = self._hash = link(self._hash, self._chain, seq, body)
        self._records.append(Stored(seq, self._chain, seq, digest, body))
        return Receipt(self._chain, seq, digest)


def _opened() -> bytes:
    value = {"v": 1, "kind": "log.opened", "at": time.time_ns() // 1000, "checkpoint": 0, "pid": os.getpid()}
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
