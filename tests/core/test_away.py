"""Days that are not at hand are passed over only where they fit, and where the log says that they were let go."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
import pytest

from onpurpose.core.chain import Kind, LogCheck, Report
from onpurpose.core.checkpoint import GENESIS as FIRST
from onpurpose.core.checkpoint import Checkpoint, Signed
from onpurpose.core.record import GENESIS, Away, DayArchive, Gone, Head, Place, Stored, archive_of, link, order_of

A, B = "a" * 32, "b" * 32
DAY, DIGEST = "2026-01-31", "d" * 64
BEFORE = 6
"""How many records of the chain A lie in the day: its first ones."""

MADE = {"kind": "archive.made", "day": DAY, "file": "records-2026-01-31.parquet", "digest": DIGEST}
PLACE = {"chain": A, "seq": BEFORE + 1, "hash": "0" * 64}
ORDERED = {"kind": "retention.ordered", "day": DAY, "reason": "old", "digest": DIGEST, "archive": PLACE}


def chain(name: str, bodies: Iterable[bytes]) -> list[Stored]:
    """The records of a chain, at the positions from 1."""
    last, records = GENESIS, []
    for seq, body in enumerate(bodies, 1):
        last = link(last, name, seq, body)
        records.append(Stored(seq, name, seq, last, body))
    return records


def checkpoint(records: list[Stored], before: Signed | None = None, *, closed: bool = False) -> Signed:
    """A checkpoint over all of the records, the last of which is its writer's."""
    head = records[-1]
    number = 1 if before is None else before.n + 1
    made = Checkpoint(
        log="0" * 32, n=number, at=number, previous=FIRST if before is None else before.hash, key="0" * 16,
        count=head.position, chain=head.chain, closed=closed, heads={head.chain: Head(head.chain, head.seq, head.hash)},
    )  # fmt: skip
    return Signed(n=number, body=made.body(), signature=b"")


class Log:
    """One chain: a day of records, then what says that it was archived, then what says that it was let go."""

    def __init__(self, made: dict[str, object] = MADE, ordered: dict[str, object] = ORDERED) -> None:
        old = [b'{"n":%d}' % number for number in range(BEFORE)]
        last = chain(A, old)[-1].hash.hex()
        self.body = orjson.dumps({**made, "chains": {A: [1, BEFORE, last]}})
        self.records = chain(A, [*old, self.body, orjson.dumps(ordered)])
        told = archive_of(orjson.dumps({**MADE, "chains": {A: [1, BEFORE, last]}}))
        assert told is not None
        self.gone = Gone(body=self.body, archive=told, made=Place(A, BEFORE + 1), ordered=Place(A, BEFORE + 2))

    def away(self, first: int, last: int, *, told: bool = True, gone: Gone | None = None) -> Away:
        """Records of the day that are passed over; the last hash is `told`, or not."""
        digest = self.records[last - 1].hash if told else b""
        return Away(position=last, chain=A, first=first, seq=last, hash=digest, day=gone or self.gone)

    def check(self, *shown: Stored | Away | Signed) -> Report:
        check = LogCheck(public_key=bytes(32), verify_signature=lambda *_: True, anchors={})
        for item in shown:
            if isinstance(item, Away):
                check.away(item)
            elif isinstance(item, Stored):
                check.record(item)
            else:
                check.checkpoint(item)
        return check.report()


def kinds(report: Report) -> set[Kind]:
    return {finding.kind for finding in report.findings}


def test_a_day_that_fits_is_no_finding_and_the_log_is_not_whole() -> None:
    log = Log()
    report = log.check(log.away(1, BEFORE), *log.records[BEFORE:], checkpoint(log.records))
    assert (report.findings, report.ok, report.whole) == ((), True, False)
    assert (report.records, report.uncovered) == (2, 0)
    (day,) = report.away
    assert (day.day, day.file, day.digest, day.records, day.proven) == (
        DAY, "records-2026-01-31.parquet", DIGEST, BEFORE, True,
    )  # fmt: skip


def test_a_log_with_all_days_at_hand_is_whole() -> None:
    log = Log()
    report = log.check(*log.records, checkpoint(log.records))
    assert (report.whole, report.away) == (True, ())


@pytest.mark.parametrize("forged", [False, True])
def test_a_checkpoint_within_the_day_says_what_the_hash_is_there(forged: bool) -> None:
    log = Log()
    first = checkpoint(log.records[:3])
    second = checkpoint(log.records, first)
    head = log.away(1, 3, told=False)
    rest = log.away(4, BEFORE)
    following = [Stored(s.position, A, s.seq, s.hash, b"{}" if forged else s.body) for s in log.records[BEFORE:]]
    report = log.check(head, first, rest, *following, second)
    assert kinds(report) == ({Kind.CHANGED, Kind.MISSING} if forged else set())
    assert report.away[0].records == BEFORE


def test_a_day_with_another_last_hash_does_not_fit() -> None:
    log = Log()
    wrong = Away(position=BEFORE, chain=A, first=1, seq=BEFORE, hash=bytes(32), day=log.gone)
    assert Kind.CHANGED in kinds(log.check(wrong, *log.records[BEFORE:], checkpoint(log.records)))


@pytest.mark.parametrize(("first", "last", "kind"), [(2, BEFORE, Kind.MISSING), (1, BEFORE - 1, Kind.MISSING)])
def test_records_beside_the_day_that_are_gone_are_missing(first: int, last: int, kind: Kind) -> None:
    log = Log()
    assert kind in kinds(log.check(log.away(first, last), *log.records[BEFORE:], checkpoint(log.records)))


def test_a_day_whose_records_are_there_already_is_out_of_order() -> None:
    log = Log()
    report = log.check(*log.records[:BEFORE], log.away(1, BEFORE), *log.records[BEFORE:], checkpoint(log.records))
    assert Kind.REORDERED in kinds(report)


def test_nothing_goes_on_behind_the_end_that_was_signed() -> None:
    log = Log()
    end = checkpoint(log.records[:3], closed=True)
    report = log.check(*log.records[:3], end, log.away(4, BEFORE), *log.records[BEFORE:], checkpoint(log.records, end))
    assert Kind.ADDED in kinds(report)


@pytest.mark.parametrize(
    ("made", "ordered", "missing"),
    [
        (MADE, ORDERED, set()),
        (MADE, {**ORDERED, "digest": "e" * 64}, {"let go"}),
        (MADE, {**ORDERED, "day": "2026-02-01"}, {"let go"}),
        (MADE, {**ORDERED, "kind": "decision"}, {"let go"}),
        (MADE, {"kind": "retention.ordered"}, {"let go"}),
    ],
)
def test_a_day_is_let_go_by_an_order_of_its_own(
    made: dict[str, object], ordered: dict[str, object], missing: set[str]
) -> None:
    log = Log(made, ordered)
    report = log.check(log.away(1, BEFORE), *log.records[BEFORE:], checkpoint(log.records))
    assert {finding.message.rpartition(" was ")[2] for finding in report.findings} == missing
    assert kinds(report) == ({Kind.MISSING} if missing else set())
    assert report.away[0].proven is (not missing)


def test_a_day_that_the_log_tells_otherwise_of_is_missing() -> None:
    log = Log()
    gone = Gone(body=b"{}", archive=log.gone.archive, made=log.gone.made, ordered=log.gone.ordered)
    report = log.check(log.away(1, BEFORE, gone=gone), *log.records[BEFORE:], checkpoint(log.records))
    assert [finding.message for finding in report.findings] == [
        f"{BEFORE} records of {DAY} are gone, and none says that the day was archived"
    ]


@pytest.mark.parametrize(("day", "proven"), [("2026-02-01", True), ("2026-01-30", False), (DAY, False)])
def test_only_a_later_day_may_hold_what_says_of_a_day(day: str, proven: bool) -> None:
    log = Log()
    whole = chain(B, [b"{}"])[0]
    told = DayArchive("archive.made", day, "later", DIGEST, {A: (BEFORE + 1, BEFORE + 2, "0" * 64)})
    there = Gone(body=b"{}", archive=told, made=Place(B, 1), ordered=Place(B, 1))
    rest = log.away(BEFORE + 1, BEFORE + 2, gone=there)
    report = log.check(log.away(1, BEFORE), rest, Stored(BEFORE + 3, B, 1, whole.hash, whole.body))
    said = {finding.message for finding in report.findings if DAY in finding.message}
    assert (said == set()) is proven


def test_of_a_log_that_cannot_be_read_on_nothing_is_concluded() -> None:
    log = Log()
    check = LogCheck(public_key=bytes(32), verify_signature=lambda *_: True, anchors={})
    check.away(log.away(1, BEFORE))
    check.stop("the connection is lost")
    assert kinds(check.report()) == {Kind.UNREADABLE}


def test_what_a_record_says_of_a_day_is_read_from_its_body() -> None:
    told = archive_of(orjson.dumps({**MADE, "chains": {A: [1, 6, "0" * 64], B: [3, 3, "0" * 64]}, "by": "someone"}))
    assert told is not None
    assert (told.day, told.records) == (DAY, 7)
    order = order_of(orjson.dumps(ORDERED))
    assert order is not None
    assert (order.reason, order.archive) == ("old", PLACE)
    for body in (b"", b"{}", b"[]", b"\xff", orjson.dumps({**ORDERED, "kind": "archive.made"})):
        assert (archive_of(body), order_of(body)) == (None, None)
