"""From the store to the log: what was changed is told of in the log, once at least, and waited for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import TimeoutError as Late

import orjson

from onpurpose.core.record import LedgerError, Receipt, Record
from onpurpose.ports import Ledger, Outbox, Promised

log = logging.getLogger("onpurpose")

PATIENCE_SECONDS = 10.0
"""How long a change waits for its note to become durable."""

_BATCH = 500


class UntoldError(LedgerError):
    """A change was made, and stands; its note is not durable in the log yet, and will be written later."""


def drain(outbox: Outbox, ledger: Ledger, *, patience: float = PATIENCE_SECONDS) -> int:
    """Write every unsent note to the log and wait until it is durable there; how many.

    A note may come twice where a process dies between the two: they share their `id`. Raises
    `UntoldError` where one did not become durable; those that did are forgotten by the outbox, the
    others are written the next time.
    """
    count, full = 0, True
    while full and (notes := outbox.unsent(_BATCH)):
        full = len(notes) == _BATCH
        receipts = [(number, ledger.append(Record(_kind(body), body))) for number, body in notes]
        durable, failure = _wait(receipts, patience)
        if durable:
            outbox.sent(durable)
            count += len(durable)
        if failure is not None:
            raise UntoldError(f"a change was made, but is not told of in the log yet: {failure}") from failure
    return count


def _wait(receipts: list[tuple[int, Promised[Receipt]]], patience: float) -> tuple[list[int], Exception | None]:
    """The numbers of those that became durable, and why the first of the others did not."""
    durable: list[int] = []
    failure: Exception | None = None
    for number, receipt in receipts:
        try:
            receipt.result(patience)
            durable.append(number)
        except Exception as error:
            failure = failure or error
            if isinstance(error, Late):
                patience = 0
    return durable, failure


def _kind(body: bytes) -> str:
    return str(orjson.loads(body)["kind"])


class Post:
    """Carries the notes of one store to one log, in this process one round at a time.

    `delivered` is called after the notes of a change are durable: what this process holds in memory can
    then take the change up.
    """

    def __init__(
        self,
        outbox: Outbox,
        ledger: Ledger,
        *,
        delivered: Callable[[], None] = lambda: None,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._outbox = outbox
        self._ledger = ledger
        self._delivered = delivered
        self._patience = patience
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._asked = 0
        self._done = 0

    def drain(self) -> int:
        """Write what is unsent, as at the start of a process, where another may have died before it could; how many.

        Of several that wait for their turn one carries the notes of all.
        """
        with self._counting:
            self._asked += 1
            asked = self._asked
        if not self._lock.acquire(timeout=self._patience):
            raise UntoldError("a change was made, but is not told of in the log yet: others wait for the log")
        try:
            if self._done >= asked:  # by a round that began after the notes were kept
                return 0
            covers = self._asked  # whoever has asked by now has kept its notes
            count = drain(self._outbox, self._ledger, patience=self._patience)
            self._done = covers
            return count
        finally:
            self._lock.release()

    def deliver(self) -> None:
        """Return once the notes of a change that was just made are durable, and the change is taken up here.

        Raises `UntoldError` where they are not; the change stands all the same, and is told of later.
        """
        try:
            self.drain()
        finally:
            self._take_up()

    def _take_up(self) -> None:
        try:
            self._delivered()
        except Exception:  # it is tried again at the next look
            log.exception("a change was made, and could not be taken up here yet")
