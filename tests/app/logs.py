"""Logs that go wrong on purpose, and what a log in memory holds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import orjson

from onpurpose.adapters.memory import MemoryLedger
from onpurpose.core.record import Receipt, Record

RECEIPT = Receipt("0" * 32, 1, bytes(32))

Answering = Callable[[Record], "Future[Receipt]"]


class Scripted:
    """A ledger that answers each record as it is told to, and remembers what it was given."""

    def __init__(self, answer: Answering) -> None:
        self._answer = answer
        self.given: list[dict[str, Any]] = []

    def append(self, record: Record) -> Future[Receipt]:
        self.given.append(orjson.loads(record.body))
        return self._answer(record)

    def gathering(self) -> AbstractContextManager[None]:
        return nullcontext()

    def status(self) -> dict[str, object]:
        return {"records": len(self.given)}

    def close(self) -> None:
        pass

    def kinds(self) -> list[str]:
        return [given["kind"] for given in self.given]


class Overtaken(Future[Receipt]):
    """A future that is done in the very moment in which the patience for it ends."""

    def result(self, timeout: float | None = None) -> Receipt:
        if not self.done():
            self.set_result(RECEIPT)
            raise TimeoutError
        return super().result(timeout)


def written(record: Record) -> Future[Receipt]:
    future: Future[Receipt] = Future()
    future.set_result(RECEIPT)
    return future


def failing(error: Exception) -> Answering:
    def answer(record: Record) -> Future[Receipt]:
        future: Future[Receipt] = Future()
        future.set_exception(error)
        return future

    return answer


def never(record: Record) -> Future[Receipt]:
    """Not taken up yet, so that it can be cancelled."""
    return Future()


def stuck(record: Record) -> Future[Receipt]:
    """Taken up by a writer that does not come back: the record may still land."""
    future: Future[Receipt] = Future()
    future.set_running_or_notify_cancel()
    return future


def raising(record: Record) -> Future[Receipt]:
    raise RuntimeError("this ledger breaks its promise")


def decisions(ledger: MemoryLedger) -> list[dict[str, Any]]:
    """The records of decisions, oldest first."""
    found = [orjson.loads(stored.body) for stored in ledger.records()]
    return [record for record in found if record["kind"] == "decision"]
