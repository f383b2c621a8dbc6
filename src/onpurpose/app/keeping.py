"""How many days of its log a database keeps: what an order would let go of, told before, and carried out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from onpurpose.app.keys import OPERATOR
from onpurpose.app.notes import Pen
from onpurpose.app.retention import Days, Files, Retention, RetentionError
from onpurpose.core.record import LedgerError, archive_of
from onpurpose.core.revision import ConflictError
from onpurpose.ports import Clock, Ledger

MOST_AT_ONCE = 31
"""How many days one order lets go of; the file of each is read twice for it."""

_SECOND = 1_000_000


class Going(Struct, frozen=True, kw_only=True):
    """A day that would go: how many records it holds, and the file that is then the only copy of them.

    `ordered`: an order for it is on record already, and was not carried out.
    """

    day: date
    records: int
    file: str
    ordered: bool


class Plan(Struct, frozen=True, kw_only=True):
    """What keeping `keep` days comes to: `going`, oldest first, of the `old` days that are older.

    `stuck` says why the day behind those cannot go, and with it none after it; it is empty where none is in the way.
    """

    keep: int
    old: int
    going: tuple[Going, ...]
    stuck: str = ""

    @property
    def records(self) -> int:
        """How many records would go."""
        return sum(one.records for one in self.going)


class Carried(Struct, frozen=True, kw_only=True):
    """What became of an order: the days that were let go, and why it ended early, empty where it did not."""

    days: tuple[date, ...]
    why: str = ""


class Keeping:
    """Lets go of archived days of a log that is kept by the day. Thread-safe and synchronous.

    Without `files` nobody said where the archives lie, and nothing can go.
    """

    def __init__(
        self, days: Days, files: Files | None, ledger: Ledger, *, clock: Clock, new_id: Callable[[int], str]
    ) -> None:
        self._days = days
        self._files = files
        self._ledger = ledger
        self._clock = clock
        self._new_id = new_id
        self._busy = threading.Lock()

    @property
    def has_archives(self) -> bool:
        """Whether it is known where the archives lie."""
        return self._files is not None

    def closed(self) -> list[date]:
        """The days in the database that are over, oldest first. Raises `LedgerError`."""
        return self._days.closed()

    def unfinished(self) -> list[date]:
        """The days of which it was ordered that they go, and that are still there. Raises `LedgerError`."""
        return self._days.unfinished()

    def plan(self, keep: int) -> Plan:
        """What would go if the last `keep` days were kept, today among them. Raises `LedgerError`."""
        today = datetime.fromtimestamp(self._clock.now() // _SECOND, UTC).date()
        old = [day for day in self._days.closed() if day <= today - timedelta(days=keep)]
        going: list[Going] = []
        for day in old[:MOST_AT_ONCE]:
            found = self._look(day)
            if isinstance(found, str):
                return Plan(keep=keep, old=len(old), going=tuple(going), stuck=found)
            going.append(found)
        return Plan(keep=keep, old=len(old), going=tuple(going))

    def order(self, keep: int, expected: Sequence[date], *, by: str, reason: str) -> Carried:
        """Order that these days go, each by a record, and carry it out, oldest first.

        Raises `ConflictError` where others would go than expected, or none, or somebody else is at it; `LedgerError`.
        """
        if not self._busy.acquire(blocking=False):
            raise ConflictError("an order is being carried out already")
        try:
            plan, files = self.plan(keep), self._files
            if files is None or not plan.going or [one.day for one in plan.going] != list(expected):
                raise ConflictError("other days would go than were shown")
            return self._carry_out(plan, Retention(self._days, files, self._ledger), by, reason)
        finally:
            self._busy.release()

    def _look(self, day: date) -> Going | str:
        """What would go with the day, or why it cannot."""
        made = self._days.noted(day)
        told = None if made is None else archive_of(made.body)
        if self._files is None or told is None or told.day != day.isoformat():
            return f"{day} is not archived"
        try:
            if self._files.digest(day) != told.digest:
                return f"the file of {day} is not the one that was recorded"
        except LedgerError as error:
            return str(error).splitlines()[0]
        return Going(day=day, records=told.records, file=told.file, ordered=self._days.ordered(day) is not None)

    def _carry_out(self, plan: Plan, retention: Retention, by: str, reason: str) -> Carried:
        done: list[date] = []
        for one in plan.going:
            try:
                retention.let_go(one.day, Pen(self._clock, self._new_id, OPERATOR, by), reason=reason)
            except (RetentionError, LedgerError, TimeoutError) as error:
                why = str(error).splitlines()[0] if str(error) else "the log did not take the record in time"
                return Carried(days=tuple(done), why=why)
            done.append(one.day)
        return Carried(days=tuple(done))
