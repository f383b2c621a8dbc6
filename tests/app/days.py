"""A log by the day, and its archives, in dictionaries: what letting go of days needs of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import orjson

from onpurpose.core.record import LedgerError, Receipt, Stored

Spans = dict[str, tuple[int, int]]


class MemoryDays:
    """`Days` and `Files`. Whatever is in `locked` cannot be dropped just now; a `broken` log cannot be read."""

    def __init__(self, now: int) -> None:
        self.begin(now)

    def begin(self, now: int) -> None:
        """Forget everything: it is that time (microseconds UTC)."""
        self.today = datetime.fromtimestamp(now // 1_000_000, UTC).date()
        self.spans: dict[date, Spans] = {}
        self.made: dict[date, Stored] = {}
        self.orders: dict[date, tuple[Receipt, bytes] | None] = {}
        self.files: dict[date, str] = {}
        self.locked: set[date] = set()
        self.broken = False

    def add(self, ago: int, *, records: int = 10, archived: bool = True) -> date:
        """A day, so many before today, of so many records of one chain."""
        day = self.today - timedelta(days=ago)
        first = 1 + sum(last for spans in self.spans.values() for _, last in spans.values())
        self.spans[day] = {"c": (first, first + records - 1)}
        if archived:
            self.files[day] = f"{ago:064x}"
            told: dict[str, Any] = {
                "kind": "archive.made", "day": day.isoformat(), "file": self.name(day), "digest": self.files[day],
                "chains": {"c": [first, first + records - 1, "00" * 32]},
            }  # fmt: skip
            self.made[day] = Stored(0, "c", 900 + ago, bytes(32), orjson.dumps(told))
        return day

    # -- the days

    def closed(self) -> list[date]:
        if self.broken:
            raise LedgerError("down")
        return sorted(day for day in self.spans if day + timedelta(days=1) < self.today)

    def records(self, day: date) -> Iterator[Stored]:
        raise NotImplementedError

    def note(self, day: date, receipt: Receipt) -> None:
        raise NotImplementedError

    def noted(self, day: date) -> Stored | None:
        return self.made.get(day)

    def drop(self, day: date, spans: Mapping[str, tuple[int, int]]) -> None:
        if day in self.locked:
            raise LedgerError("somebody reads the log just now")
        assert self.spans[day] == dict(spans)
        del self.spans[day]

    def order(self, day: date, made: Stored, receipt: Receipt | None) -> None:
        self.orders[day] = None if receipt is None else (receipt, made.body)

    def ordered(self, day: date) -> Stored | None:
        found = self.orders.get(day)
        if found is None:
            return None
        made, receipt = self.made[day], found[0]
        place = {"chain": made.chain, "seq": made.seq, "hash": made.hash.hex()}
        told = {"kind": "retention.ordered", "day": day.isoformat(), "reason": "before", "archive": place, "digest": ""}
        return Stored(0, receipt.chain, receipt.seq, receipt.hash, orjson.dumps(told))

    def unfinished(self) -> list[date]:
        return sorted(day for day in self.orders if day in self.spans)

    # -- the files

    def name(self, day: date) -> str:
        return f"records-{day}.parquet"

    def write(self, day: date, records: Iterable[Stored]) -> str:
        raise NotImplementedError

    def digest(self, day: date) -> str:
        if day not in self.files:
            raise LedgerError(f"the archive `{self.name(day)}` cannot be read: it is gone")
        return self.files[day]

    def read(self, day: date) -> Iterator[Stored]:
        raise NotImplementedError
