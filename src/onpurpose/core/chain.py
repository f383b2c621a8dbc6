"""Checking a log: every record in its place and unchanged, every checkpoint signed and reached.

`LogCheck` is shown a log in the order in which it was committed: the records up to a checkpoint's
count, then that checkpoint, and so on. It keeps one small state per chain and nothing per record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from onpurpose.core.checkpoint import GENESIS as FIRST
from onpurpose.core.checkpoint import Anchor, Checkpoint, Signed, key_id, parse
from onpurpose.core.record import GENESIS, Away, Gone, Head, Stored, link, order_of

SignatureCheck: TypeAlias = Callable[[bytes, bytes, bytes], bool]
"""Whether, for a raw public key and a message, this is the Ed25519 signature."""

MAX_FINDINGS = 1000
"""How many findings a report lists; beyond, they are counted."""

_ARCHIVED, _LET_GO = "archived", "let go"
_DIGITS = frozenset("0123456789abcdef")


class Kind(StrEnum):
    """What is wrong with a log."""

    CHANGED = "changed"  # a record's body, hash or chain is not what was written
    MISSING = "missing"  # a record or checkpoint between others is gone
    REORDERED = "reordered"  # a record or checkpoint stands where another belongs
    ADDED = "added"  # a record that no writer of this log wrote
    CUT_OFF = "cut_off"  # what a checkpoint or an anchor knows of is not there any more
    CHECKPOINT = "checkpoint"  # a checkpoint is no true statement of the key's owner
    ANCHOR = "anchor"  # the anchor is gone or unreadable, so a cut would not show
    KEY = "key"  # there is no public key, so no signature can be checked
    STORAGE = "storage"  # the storage itself finds damage
    UNREADABLE = "unreadable"  # the log cannot be read (any further)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong: what kind, in which chain, at which record of it, and what it means."""

    kind: Kind
    message: str
    chain: str | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DayAway:
    """A day that was archived and let go, and whose archive is not at hand: how many records were not checked.

    `digest` is the SHA-256 (hex) of its file, as the log says; `proven` is false where the records that
    say so are themselves of a later day that is not at hand.
    """

    day: str
    file: str
    digest: str
    records: int
    proven: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check of a log found, and what it could not tell.

    `findings` are the first `MAX_FINDINGS` of `total`. `uncovered` records come after the newest
    checkpoint: they are linked, but could be cut off or followed by forged ones unnoticed.
    `anchor` is the newest checkpoint; note it elsewhere, and give it to the next check. Of the days
    `away` nothing was checked but that their records would fit between what is there.
    """

    findings: tuple[Finding, ...]
    total: int
    records: int
    chains: int
    checkpoints: int
    uncovered: int
    anchor: Anchor | None
    key: str | None
    away: tuple[DayAway, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found wrong, in what is at hand."""
        return self.total == 0

    @property
    def whole(self) -> bool:
        """Whether all of the log is at hand, and nothing was found wrong."""
        return self.ok and not self.away


@dataclass(slots=True)
class _Reach:
    """How far a chain reaches, whether its writer has signed for it, and whether it has ended."""

    seq: int = 0
    hash: bytes = GENESIS
    known: bool = False
    closed: bool = False


@dataclass(slots=True)
class _Newest:
    """The newest checkpoint that holds: what its successor must continue."""

    hash: bytes = FIRST
    checkpoint: Checkpoint | None = None
    gapless: bool = True  # false: after one that does not hold, what grew since cannot be told
    grown: dict[str, _Reach] = field(default_factory=dict)


class _DaysAway:
    """The days that are not at hand: each must have been archived and let go by records of the log itself.

    Where such a record is of a later day that is not at hand either, that day's records must be there instead.
    """

    def __init__(self) -> None:
        self._days: dict[str, tuple[Gone, int]] = {}
        self._awaited: dict[str, dict[int, list[tuple[Gone, str]]]] = {}
        self._met: set[tuple[str, str]] = set()
        self._passed: set[tuple[str, str]] = set()

    def add(self, away: Away) -> None:
        """Note records that are passed over, and what of them would have proven another day."""
        day = away.day.archive.day
        if day not in self._days:
            for place, what in ((away.day.made, _ARCHIVED), (away.day.ordered, _LET_GO)):
                self._awaited.setdefault(place.chain, {}).setdefault(place.seq, []).append((away.day, what))
        _, count = self._days.get(day, (away.day, 0))
        self._days[day] = away.day, count + away.seq - away.first + 1
        for seq, awaited in self._awaited.get(away.chain, {}).items():
            if away.first <= seq <= away.seq:
                # Of a later day: so that no two days can stand for each other.
                self._passed |= {(gone.archive.day, what) for gone, what in awaited if gone.archive.day < day}

    def meet(self, stored: Stored) -> None:
        """Note what a record proves."""
        for gone, what in self._awaited.get(stored.chain, {}).get(stored.seq, ()):
            day, digest = gone.archive.day, gone.archive.digest
            if what == _ARCHIVED:
                proves = stored.body == gone.body
            else:
                order = order_of(stored.body)
                proves = order is not None and (order.day, order.digest) == (day, digest)
            if proves:
                self._met.add((day, what))

    def unproven(self) -> Iterator[str]:
        """What is wrong with the days of which no record of the log says that they were archived and let go."""
        told = self._met | self._passed
        for day, (_, count) in sorted(self._days.items()):
            for what in (_ARCHIVED, _LET_GO):
                if (day, what) not in told:
                    yield f"{count} records of {day} are gone, and none says that the day was {what}"

    def days(self) -> tuple[DayAway, ...]:
        """The days, in order."""
        return tuple(
            DayAway(
                day=day, file=gone.archive.file, digest=gone.archive.digest, records=count,
                proven={(day, _ARCHIVED), (day, _LET_GO)} <= self._met,
            )
            for day, (gone, count) in sorted(self._days.items())
        )  # fmt: skip


class LogCheck:
    """Follows a log from its first record; every deviation becomes a finding, nothing is raised.

    `anchors` are what was noted of the log's newest checkpoint, each with a word for where. Without
    a `public_key` (raw, 32 bytes) no signature counts.
    """

    def __init__(
        self, *, public_key: bytes | None, verify_signature: SignatureCheck, anchors: dict[str, Anchor]
    ) -> None:
        self._public_key = public_key
        self._verify_signature = verify_signature
        self._anchors = dict(anchors)
        self._findings: list[Finding] = []
        self._total = 0
        self._records = 0
        self._position = 0
        self._reaches: dict[str, _Reach] = {}
        self._number = 0
        self._newest = _Newest()
        self._away = _DaysAway()
        self._whole = True
        if public_key is None:
            self.find(Kind.KEY, "there is no public key: no signature can be checked, so nothing is proven")

    def find(self, kind: Kind, message: str, chain: str | None = None, seq: int | None = None) -> None:
        """Add a finding."""
        self._total += 1
        if len(self._findings) < MAX_FINDINGS:
            self._findings.append(Finding(kind=kind, message=message, chain=chain, seq=seq))

    def record(self, stored: Stored) -> None:
        """Check the next record in the order of commits."""
        self._records += 1
        self._away.meet(stored)
        reach = self._next(stored, stored.seq)
        if reach is None:
            return
        if link(reach.hash, stored.chain, stored.seq, stored.body) != stored.hash:
            message = "the record, its hash or the one before is not what was written"
            self.find(Kind.CHANGED, message, stored.chain, stored.seq)
        reach.seq, reach.hash = stored.seq, stored.hash

    def away(self, gone: Away) -> None:
        """Pass over the next records, which are not at hand: they must fit between what is there."""
        self._away.add(gone)
        reach = self._next(gone, gone.first)
        if reach is not None:
            reach.seq, reach.hash = gone.seq, gone.hash

    def checkpoint(self, signed: Signed) -> None:
        """Check the next checkpoint, after the records it covers."""
        self._number += 1
        if signed.n != self._number:
            kind = Kind.MISSING if signed.n > self._number else Kind.REORDERED
            self.find(kind, f"checkpoint {self._number} is not there; {signed.n} stands in its place")
            self._number = signed.n
            self._newest.gapless = False
        self._meet_anchors(signed)
        checkpoint = self._believe(signed)
        if checkpoint is None:
            self._newest.gapless = False
            return
        if checkpoint.count > self._position:
            lost = checkpoint.count - self._position
            self.find(Kind.CUT_OFF, f"checkpoint {signed.n} knows of {lost} more records than the log holds")
        self._compare(checkpoint)
        self._newest = _Newest(signed.hash, checkpoint)

    def stop(self, message: str) -> None:
        """The rest of the log cannot be read: nothing will be concluded from what was not shown."""
        self._whole = False
        self.find(Kind.UNREADABLE, message)

    def report(self) -> Report:
        """What was found, once the whole log has been shown."""
        if self._whole:
            self._conclude()
        newest = self._newest.checkpoint
        return Report(
            findings=tuple(self._findings),
            total=self._total,
            records=self._records,
            chains=len(self._reaches),
            checkpoints=self._number,
            uncovered=max(0, self._position - (newest.count if newest else 0)),
            anchor=Anchor(log=newest.log, n=newest.n, hash=self._newest.hash) if newest else None,
            key=key_id(self._public_key) if self._public_key else None,
            away=self._away.days(),
        )

    def _conclude(self) -> None:
        for name, reach in self._reaches.items():
            if not reach.known:
                self.find(Kind.ADDED, "no writer of this log has signed for the chain's beginning", name, reach.seq)
        for where, anchor in self._anchors.items():
            if anchor.n > self._number:
                message = f"{where} knows of checkpoint {anchor.n}; the log ends with {self._number}"
            else:
                message = f"checkpoint {anchor.n} of {where} is not in the log"
            self.find(Kind.CUT_OFF, message)
        for message in self._away.unproven():
            self.find(Kind.MISSING, message)

    def _next(self, item: Stored | Away, first: int) -> _Reach | None:
        """The chain that goes on with these records, from the number `first`; `None` where it cannot."""
        chain = item.chain
        self._place(item, item.position - (item.seq - first))
        reach = self._reaches.get(chain)
        if reach is None:
            reach = self._first_of(chain)
        if reach.closed:
            self.find(Kind.ADDED, "a record follows the end that the chain's writer has signed", chain, first)
        if first != reach.seq + 1:
            self._out_of_step(reach, item, first)
            return None
        self._newest.grown[chain] = reach
        return reach

    def _place(self, item: Stored | Away, position: int) -> None:
        expected = self._position + 1
        if position != expected:
            kind = Kind.MISSING if position > expected else Kind.REORDERED
            self.find(kind, f"record {expected} of the log is not there; {position} follows", item.chain, item.seq)
        self._position = item.position

    def _first_of(self, chain: str) -> _Reach:
        if len(chain) != 32 or not _DIGITS.issuperset(chain):
            self.find(Kind.CHANGED, "a record belongs to a chain that has no name", chain or None)
        reach = self._reaches[chain] = _Reach()
        return reach

    def _out_of_step(self, reach: _Reach, item: Stored | Away, first: int) -> None:
        """A number other than the next: lost records if it is higher; it then goes on from there."""
        chain = item.chain
        if first <= reach.seq:
            self.find(Kind.REORDERED, f"the record stands after {reach.seq} of its chain", chain, first)
            return
        lost = first - reach.seq - 1
        self.find(Kind.MISSING, f"{lost} records are gone, the first of them {reach.seq + 1}", chain, first)
        reach.seq, reach.hash = item.seq, item.hash
        self._newest.grown[chain] = reach

    def _meet_anchors(self, signed: Signed) -> None:
        for where, anchor in list(self._anchors.items()):
            if anchor.n == signed.n:
                del self._anchors[where]
                if anchor.hash != signed.hash:
                    self.find(Kind.CHECKPOINT, f"checkpoint {signed.n} is not the one that {where} knows")

    def _believe(self, signed: Signed) -> Checkpoint | None:
        """The checkpoint if the key's owner states it, at this place in this log."""
        name = f"checkpoint {signed.n}"
        key = self._public_key
        if key is not None and not self._verify_signature(key, signed.message, signed.signature):
            self.find(Kind.CHECKPOINT, f"{name} was changed, or is not signed with the log's key {key_id(key)}")
            return None
        try:
            checkpoint = parse(signed.body)
        except ValueError as error:
            self.find(Kind.CHECKPOINT, f"{name} cannot be read: {error}")
            return None
        before = self._newest.checkpoint
        if checkpoint.n != signed.n:
            self.find(Kind.REORDERED, f"{name} is signed as number {checkpoint.n}")
        elif before is not None and checkpoint.log != before.log:
            self.find(Kind.CHECKPOINT, f"{name} is of another log, {checkpoint.log}")
        elif self._newest.gapless and checkpoint.previous != self._newest.hash:
            self.find(Kind.CHECKPOINT, f"{name} does not follow on the one before")
        else:
            return checkpoint
        return None

    def _compare(self, checkpoint: Checkpoint) -> None:
        """Hold what the checkpoint states against what the chains are."""
        for head in checkpoint.heads.values():
            self._compare_head(checkpoint.n, head)
        own = self._reaches.get(checkpoint.chain)
        if own is not None:
            own.known = True
            own.closed = own.closed or checkpoint.closed
        if not self._newest.gapless:
            for name in checkpoint.heads.keys() & self._reaches.keys():
                self._reaches[name].known = True
            return
        for name, reach in self._newest.grown.items():
            if name not in checkpoint.heads:
                self.find(Kind.ADDED, f"checkpoint {checkpoint.n} does not know of these records", name, reach.seq)

    def _compare_head(self, number: int, head: Head) -> None:
        reach = self._reaches.get(head.chain)
        known = f"checkpoint {number} knows the chain up to {head.seq}"
        if reach is None:
            self.find(Kind.CUT_OFF, f"{known}; all of it is gone", head.chain, head.seq)
        elif reach.seq < head.seq:
            self.find(Kind.CUT_OFF, f"{known}; it ends with {reach.seq}", head.chain, reach.seq + 1)
        elif reach.seq > head.seq:
            self.find(Kind.ADDED, f"{known}; more stand before it", head.chain, head.seq + 1)
        elif not reach.hash:  # it ends among records that are away: here is what their last hash is
            reach.hash = head.hash
        elif reach.hash != head.hash:
            self.find(Kind.CHANGED, f"{known}, with another hash: it was written anew", head.chain, head.seq)
