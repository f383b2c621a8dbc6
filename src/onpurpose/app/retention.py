"""Keeping old days of the log elsewhere: a day is archived, and only then, by an order on record, let go."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Protocol

from msgspec import Struct

from onpurpose.app.notes import Pen
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.record import DayArchive, Head, Receipt, Record, Stored, archive_of, link, order_of
from onpurpose.ports import Ledger

DURABLE_SECONDS = 30.0
"""How long a record of what was done may take to become durable."""


class RetentionError(OnPurposeError):
    """A day cannot be archived or let go, and nothing was changed."""


class Span(Head, gc=False):
    """A chain's part of a day: its last record as a head, and the number of the first."""

    first: int


class Ordered(Struct, frozen=True, kw_only=True):
    """An order that was carried out: where it stands, and why it was given; `before`, if by an earlier run."""

    receipt: Receipt
    reason: str
    before: bool


class Orders(Protocol):
    """What was ordered of days, so that an order that was not carried out is known. Raises `LedgerError`."""

    def order(self, day: date, made: Stored, receipt: Receipt | None) -> None:
        """Remember that a day is to be let go whose archive that record tells of; and where the order stands."""
        ...

    def ordered(self, day: date) -> Stored | None:
        """The record of the order to let go of the day."""
        ...

    def unfinished(self) -> list[date]:
        """The days that were to be let go and are still there, oldest first."""
        ...


class Days(Orders, Protocol):
    """The days of a log. Raises `LedgerError` where it cannot be read."""

    def closed(self) -> list[date]:
        """The days that hold a record and to which nothing can be added any more, oldest first."""
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

    def let_go(self, day: date, pen: Pen, *, reason: str) -> Ordered:
        """Record `retention.ordered`, and remove the day from the database.

        Where an order for this archive stands already and was not carried out, that one is. Raises
        `RetentionError` unless the day is the oldest one, was archived, and its file is as it was.
        """
        if self._days.closed()[:1] != [day]:
            raise RetentionError(f"{day} cannot be let go: only the oldest closed day can")
        made = self._days.noted(day)
        told = _told(made, day)
        if made is None or told is None:
            raise RetentionError(f"{day} cannot be let go: no record says that it was archived")
        if self._files.digest(day) != told.digest:
            raise RetentionError(f"{day} cannot be let go: its archive is not the one that was recorded")
        ordered = self._order(made, told, day, pen, reason)
        self._days.drop(day, {name: (first, last) for name, (first, last, _) in told.chains.items()})
        return ordered

    def unfinished(self) -> list[date]:
        """The days of which it was ordered, or about to be, that they are let go, and that are still there."""
        return self._days.unfinished()

    def _order(self, made: Stored, told: DayArchive, day: date, pen: Pen, reason: str) -> Ordered:
        place: dict[str, str | int] = {"chain": made.chain, "seq": made.seq, "hash": made.hash.hex()}
        found = self._days.ordered(day)
        said = None if found is None else order_of(found.body)
        if found is not None and said is not None and (said.day, said.archive) == (told.day, place):
            receipt = Receipt(found.chain, found.seq, found.hash)
            return Ordered(receipt=receipt, reason=said.reason, before=True)
        # Twice: so that it is known of an order that is recorded and never noted.
        self._days.order(day, made, None)
        told_of = {"file": told.file, "digest": told.digest, "archive": place}
        body = pen.note("retention.ordered", day=day.isoformat(), reason=reason, **told_of)
        receipt = self._ledger.append(Record("retention.ordered", body)).result(DURABLE_SECONDS)
        self._days.order(day, made, receipt)
        return Ordered(receipt=receipt, reason=reason, before=False)


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


def _told(made: Stored | None, day: date) -> DayArchive | None:
    """What the record says of the archive of the day; `None` where it says nothing of it."""
    told = None if made is None else archive_of(made.body)
    return told if told is not None and told.day == day.isoformat() else None
