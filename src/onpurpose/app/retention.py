"""Keeping old days of the log elsewhere: a day is archived, and only then, by an order on record, let go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Protocol

import msgspec
from msgspec import Struct

from onpurpose.app.notes import Pen
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.record import Head, Receipt, Record, Stored, link
from onpurpose.ports import Ledger

DURABLE_SECONDS = 30.0
"""How long a record of what was done may take to become durable."""


class RetentionError(OnPurposeError):
    """A day cannot be archived or let go, and nothing was changed."""


class Span(Head, gc=False):
    """A chain's part of a day: its last record as a head, and the number of the first."""

    first: int


class _Told(Struct):
    """What a record `archive.made` says: for each chain its first and last number, and the last hash."""

    kind: str
    day: str
    file: str
    digest: str
    chains: dict[str, tuple[int, int, str]]


class Days(Protocol):
    """The days of a log. Raises `LedgerError` where it cannot be read."""

    def closed(self) -> list[date]:
        """The days to which nothing can be added any more and that are still there, oldest first."""
        ...

    def records(self, day: date) -> Iterator[Stored]:
        """A day's records, chain after chain. `LedgerError` where no checkpoint covers one of them yet."""
        ...

    def note(self, day: date, receipt: Receipt) -> None:
        """Remember which record tells of the day's archive."""
        ...

    def noted(self, day: date) -> Stored | None:
        """The record that tells of the day's archive."""
        ...

    def drop(self, day: date, spans: Mapping[str, tuple[int, int]]) -> None:
        """Let go of a day, if it holds these chains (first and last number) and nothing else; else `LedgerError`."""
        ...


class Files(Protocol):
    """Where days are archived. Raises `LedgerError` where one cannot be written or read."""

    def name(self, day: date) -> str:
        """What the file of a day is called."""
        ...

    def write(self, day: date, records: Iterable[Stored]) -> str:
        """Write a day's records; the SHA-256 (hex) of the file, which is then durable."""
        ...

    def digest(self, day: date) -> str:
        """The SHA-256 (hex) of the file as it is now."""
        ...

    def read(self, day: date) -> Iterator[Stored]:
        """The records in the file, as they were written."""
        ...


class Retention:
    """Archives and lets go of days. Each act is a record of the log, durable before it counts."""

    def __init__(self, days: Days, files: Files, ledger: Ledger) -> None:
        self._days = days
        self._files = files
        self._ledger = ledger

    def archive(self, day: date, pen: Pen) -> Receipt:
        """Write a closed day into its file, read it again, and record `archive.made`: where that record stands.

        Raises `RetentionError` for a day that is not closed, is empty, or whose records do not follow on each other.
        """
        if day not in self._days.closed():
            raise RetentionError(f"{day} cannot be archived: it is not over for long enough, or is not in the log")
        written: dict[str, Span] = {}
        digest = self._files.write(day, _following(self._days.records(day), written))
        if not written:
            raise RetentionError(f"{day} cannot be archived: it holds no record")
        found: dict[str, Span] = {}
        for _ in _following(self._files.read(day), found):
            pass
        if found != written or self._files.digest(day) != digest:
            raise RetentionError(f"the archive of {day} does not hold what was written into it")
        chains = {name: [span.first, span.seq, span.hash.hex()] for name, span in written.items()}
        body = pen.note("archive.made", day=day.isoformat(), file=self._files.name(day), digest=digest, chains=chains)
        receipt = self._ledger.append(Record("archive.made", body)).result(DURABLE_SECONDS)
        self._days.note(day, receipt)
        return receipt

    def let_go(self, day: date, pen: Pen, *, reason: str) -> Receipt:
        """Record `retention.ordered`, and remove the day from the database: where that record stands.

        Raises `RetentionError` unless the day is the oldest one, was archived, and its file is as it was.
        """
        closed = self._days.closed()
        if closed[:1] != [day]:
            raise RetentionError(f"{day} cannot be let go: only the oldest closed day can")
        made = self._days.noted(day)
        told = _told(made, day)
        if made is None or told is None:
            raise RetentionError(f"{day} cannot be let go: no record says that it was archived")
        if self._files.digest(day) != told.digest:
            raise RetentionError(f"{day} cannot be let go: its archive is not the one that was recorded")
        place = {"chain": made.chain, "seq": made.seq, "hash": made.hash.hex()}
        told_of = {"file": told.file, "digest": told.digest, "archive": place}
        body = pen.note("retention.ordered", day=day.isoformat(), reason=reason, **told_of)
        receipt = self._ledger.append(Record("retention.ordered", body)).result(DURABLE_SECONDS)
        self._days.drop(day, {name: (first, last) for name, (first, last, _) in told.chains.items()})
        return receipt


def _following(records: Iterable[Stored], spans: dict[str, Span]) -> Iterator[Stored]:
    """The records, each checked against the one before it in its chain; what they span is noted."""
    for stored in records:
        span = spans.get(stored.chain)
        if span is None:
            spans[stored.chain] = Span(stored.chain, stored.seq, stored.hash, stored.seq)
        elif stored.seq == span.seq + 1 and link(span.hash, span.chain, stored.seq, stored.body) == stored.hash:
            span.seq, span.hash = stored.seq, stored.hash
        else:
            raise RetentionError(
                f"record {stored.seq} of the chain `{stored.chain}` does not follow on the one before\n"
                "help: run `onpurpose audit verify`"
            )
        yield stored


def _told(made: Stored | None, day: date) -> _Told | None:
    """What the record says of the archive of the day; `None` where it says nothing of it."""
    try:
        told = msgspec.json.decode(made.body, type=_Told) if made is not None else None
    except msgspec.DecodeError:
        return None
    return told if told is not None and (told.kind, told.day) == ("archive.made", day.isoformat()) else None
