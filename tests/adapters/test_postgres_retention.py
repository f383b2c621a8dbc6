"""Days that were archived and let go are still verified, and nothing else can be let go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from onpurpose.adapters.clock import Ids, SystemClock
from onpurpose.adapters.parquet import DayFiles
from onpurpose.adapters.sql.postgres import PostgresArchive, PostgresDays, partitions, store
from onpurpose.app import audit
from onpurpose.app.keeping import Keeping
from onpurpose.app.notes import Pen
from onpurpose.app.retention import Retention, RetentionError
from onpurpose.core.chain import Kind
from onpurpose.core.record import LedgerError, Stored
from tests.adapters.postgres_log import PostgresLog, record

TODAY = datetime.now(UTC).date()
OLD, NEXT = TODAY - timedelta(days=9), TODAY - timedelta(days=8)


class Kept(PostgresLog):
    """A log whose days can be archived into a folder."""

    def __init__(self, url: str, folder: Path) -> None:
        super().__init__(url, folder)
        self.files = DayFiles(folder / "days")
        self.days = PostgresDays(url)

    def archive(self) -> PostgresArchive:
        return PostgresArchive(self.url, anchor=self.anchor, archived=self.files)

    def retention(self, use: Callable[[Retention], Any]) -> Any:
        with self.ledger() as ledger:
            return use(Retention(self.days, self.files, ledger))


def pen() -> Pen:
    return Pen(SystemClock(), Ids().new, "", "operator")


@pytest.fixture
def log(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Two writers over two old days and today, one only on the first of them."""
    made = Kept(postgres_url, tmp_path)
    with made.ledger() as one, made.ledger() as other:
        for day in (OLD, NEXT, TODAY):
            monkeypatch.setattr(store, "_today", lambda day=day: day)
            for number in range(30):
                one.append(record(number)).result(30)
                if day == OLD:
                    other.append(record(1000 + number)).result(30)
    return made


def test_a_day_that_was_archived_and_let_go_is_verified_from_its_file(log: Kept) -> None:
    before = [(stored.chain, stored.seq, stored.body) for stored in log.records()]
    assert log.verify().findings == ()
    for day in (OLD, NEXT):
        log.retention(lambda retention, day=day: retention.archive(day, pen()))
        assert log.verify().findings == ()
        log.retention(lambda retention, day=day: retention.let_go(day, pen(), reason="a year is over"))
    with log.sql() as sql:
        assert sql.execute("SELECT min(day) FROM records").fetchone() == (TODAY,)
    report = log.verify()
    assert (report.findings, report.uncovered) == ((), 0)
    after = [(stored.chain, stored.seq, stored.body) for stored in log.records()]
    assert after[: len(before)] == before
    assert [stored.seq for stored in log.records(5)][:3] == [stored.seq for stored in log.records()][5:8]
    with log.archive() as archive:
        assert len(audit.tail(archive, 10)) == 10


def test_what_was_done_is_on_record(log: Kept) -> None:
    made = log.retention(lambda retention: retention.archive(OLD, pen()))
    log.retention(lambda retention: retention.let_go(OLD, pen(), reason="a year is over"))
    told = [orjson.loads(stored.body) for stored in log.records()]
    (archived,) = [one for one in told if one["kind"] == "archive.made"]
    (ordered,) = [one for one in told if one["kind"] == "retention.ordered"]
    assert archived["digest"] == ordered["digest"] == log.files.digest(OLD)
    assert archived["file"] == f"records-{OLD}.parquet"
    assert sorted((first, last) for first, last, _ in archived["chains"].values()) == [(1, 31), (1, 31)]
    assert ordered["archive"] == {"chain": made.chain, "seq": made.seq, "hash": made.hash.hex()}
    assert (ordered["reason"], ordered["by"], ordered["day"]) == ("a year is over", "operator", OLD.isoformat())


def test_a_file_that_was_changed_or_is_gone_shows(log: Kept) -> None:
    log.retention(lambda retention: retention.archive(OLD, pen()))
    log.retention(lambda retention: retention.let_go(OLD, pen(), reason="old"))
    path = log.folder / "days" / log.files.name(OLD)
    content = path.read_bytes()
    changed = [Stored(0, s.chain, s.seq, s.hash, s.body.replace(b"7", b"8")) for s in log.files.read(OLD)]
    log.files.write(OLD, changed)
    assert Kind.CHANGED in log.kinds()
    path.write_bytes(content[:-200])
    assert Kind.UNREADABLE in log.kinds()
    path.unlink()
    report = log.verify()
    assert (report.findings, report.whole) == ((), False)
    path.write_bytes(content)
    assert log.verify().whole
    assert log.verify().findings == ()


def let_go(log: Kept, *days: date) -> None:
    for day in days:
        log.retention(lambda retention, day=day: retention.archive(day, pen()))
    for day in days:
        log.retention(lambda retention, day=day: retention.let_go(day, pen(), reason="old"))


def hide(log: Kept, day: date) -> Path:
    """Take the day's file out of the folder; where it is now."""
    path = log.folder / "days" / log.files.name(day)
    return path.rename(log.folder / path.name)


def test_days_whose_files_are_not_at_hand_are_named_and_all_else_is_verified(log: Kept) -> None:
    let_go(log, OLD, NEXT)
    digests = [log.files.digest(OLD), log.files.digest(NEXT)]
    files = [hide(log, day) for day in (OLD, NEXT)]
    report = log.verify()
    assert (report.findings, report.ok, report.whole, report.uncovered) == ((), True, False, 0)
    assert [(day.day, day.records, day.digest, day.proven) for day in report.away] == [
        (str(OLD), 62, digests[0], True), (str(NEXT), 30, digests[1], True),
    ]  # fmt: skip
    assert [day.file for day in report.away] == [path.name for path in files]
    files[1].rename(log.folder / "days" / files[1].name)
    assert [day.day for day in log.verify().away] == [str(OLD)]
    assert log.verify().findings == ()
    files[0].rename(log.folder / "days" / files[0].name)
    whole = log.verify()
    assert (whole.whole, whole.records) == (True, report.records + 92)
    positions = [stored.position for stored in log.records()]
    hide(log, OLD)
    kept = [item for item in log.records() if isinstance(item, Stored)]
    assert [stored.position for stored in kept] == [one for one in positions if one in {s.position for s in kept}]
    assert audit_lines(log) == len(kept) == len(positions) - 62


def audit_lines(log: Kept) -> int:
    with log.archive() as archive:
        return sum(1 for _ in audit.export(archive))


def test_a_change_beside_days_that_are_not_at_hand_is_found(log: Kept) -> None:
    let_go(log, OLD)
    hide(log, OLD)
    with log.sql() as sql:
        sql.execute("UPDATE records SET body = '{}' WHERE chain = 1 AND seq = 40")
    assert log.kinds() == {Kind.CHANGED}
    with log.sql() as sql:
        sql.execute("DELETE FROM records WHERE chain = 1 AND seq = 32")
    assert Kind.MISSING in log.kinds()


@pytest.mark.parametrize("moved", [(-1, 0), (1, 0), (0, 0)], ids=["less", "more", "another hash"])
def test_what_is_noted_of_a_day_must_fit_between_what_is_there(log: Kept, moved: tuple[int, int]) -> None:
    let_go(log, OLD)
    hide(log, OLD)
    with log.sql() as sql:
        ((body,),) = sql.execute("SELECT archive FROM let_go").fetchall()
        told = orjson.loads(body)
        chain = next(iter(told["chains"]))
        first, last, digest = told["chains"][chain]
        told["chains"][chain] = [first, last + moved[0], digest if moved[0] else "0" * 64]
        sql.execute("UPDATE let_go SET archive = %s", (orjson.dumps(told),))
    assert log.kinds() & {Kind.MISSING, Kind.REORDERED, Kind.CHANGED}


@pytest.mark.parametrize("noted", ["{}", "nonsense", '{"kind":"archive.made","day":"2001-01-01"}'])
def test_a_day_of_which_nothing_is_noted_is_missing(log: Kept, noted: str) -> None:
    let_go(log, OLD)
    hide(log, OLD)
    with log.sql() as sql:
        sql.execute("UPDATE let_go SET archive = %s", (noted.encode(),))
    assert {Kind.MISSING, Kind.CUT_OFF} <= log.kinds()
    with log.sql() as sql:
        sql.execute("DROP TABLE let_go")
    assert {Kind.MISSING, Kind.CUT_OFF} <= log.kinds()


def test_a_day_that_was_archived_and_is_gone_without_an_order_is_missing(log: Kept) -> None:
    made = log.retention(lambda retention: retention.archive(OLD, pen()))
    hide(log, OLD)
    with log.sql() as sql:
        sql.execute(f"DROP TABLE {partitions.name_of(OLD)}")
    assert {Kind.MISSING, Kind.CUT_OFF} <= log.kinds()
    log.days.order(OLD, log.days.noted(OLD), made)
    (finding,) = log.verify().findings
    assert (finding.kind, finding.message) == (
        Kind.MISSING, f"62 records of {OLD} are gone, and none says that the day was let go",
    )  # fmt: skip
    assert not log.verify().away[0].proven


def test_a_day_that_nobody_archived_cannot_pass_as_archived(log: Kept) -> None:
    let_go(log, OLD)
    with log.sql() as sql:
        spans = sql.execute(
            "SELECT name, min(seq), max(seq) FROM records JOIN chains ON id = chain WHERE records.day = %s GROUP BY 1",
            (NEXT,),
        ).fetchall()
        last = sql.execute("SELECT hash FROM records WHERE day = %s ORDER BY seq DESC LIMIT 1", (NEXT,)).fetchone()[0]
        told = {"kind": "archive.made", "day": str(NEXT), "file": "x", "digest": "0" * 64}
        told["chains"] = {name: [low, high, last.hex()] for name, low, high in spans}
        sql.execute(
            "INSERT INTO let_go SELECT %s, chain, seq, archive_chain, archive_seq, %s FROM let_go",
            (NEXT, orjson.dumps(told)),
        )
        sql.execute(f"DROP TABLE {partitions.name_of(NEXT)}")
    findings = log.verify().findings
    assert [finding.message for finding in findings] == [
        f"30 records of {NEXT} are gone, and none says that the day was archived",
        f"30 records of {NEXT} are gone, and none says that the day was let go",
    ]


def test_a_day_whose_order_is_of_a_later_day_that_is_not_at_hand_is_told_as_not_proven(
    log: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = NEXT + timedelta(days=3)
    monkeypatch.setattr(store, "_today", lambda: later)
    let_go(log, OLD, NEXT)
    monkeypatch.setattr(store, "_today", lambda: TODAY)
    let_go(log, later)
    files = {day: hide(log, day) for day in (OLD, NEXT, later)}
    report = log.verify()
    assert report.findings == ()
    assert [(day.day, day.proven) for day in report.away] == [
        (str(OLD), False), (str(NEXT), False), (str(later), True),
    ]  # fmt: skip
    files[later].rename(log.folder / "days" / files[later].name)
    assert [(day.day, day.proven) for day in log.verify().away] == [(str(OLD), True), (str(NEXT), True)]
    with log.sql() as sql:
        sql.execute("UPDATE let_go SET chain = archive_chain, seq = archive_seq WHERE day = %s", (NEXT,))
    assert Kind.MISSING in log.kinds()


def test_checkpoints_within_a_day_that_is_not_at_hand_are_still_checked(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Kept(postgres_url, tmp_path)
    monkeypatch.setattr(store, "_today", lambda: OLD)
    for _ in range(3):
        with log.ledger(checkpoint_seconds=0.001) as one, log.ledger(checkpoint_seconds=0.001) as other:
            for number in range(10):
                one.append(record(number)).result(30)
                other.append(record(number)).result(30)
    monkeypatch.setattr(store, "_today", lambda: TODAY)
    log.write(3)
    assert log.verify().checkpoints >= 12  # the first of each chain within it
    let_go(log, OLD)
    hide(log, OLD)
    report = log.verify()
    assert (report.findings, report.away[0].records) == ((), 6 * 11)
    with log.sql() as sql:
        sql.execute("UPDATE checkpoints SET signature = signature || 'x' WHERE n = 7")
    assert Kind.CHECKPOINT in log.kinds()


def test_days_without_a_record_are_not_among_the_closed(log: Kept) -> None:
    with log.sql() as sql:
        partitions.ensure(sql, [OLD - timedelta(days=5), NEXT + timedelta(days=2)])
        assert len(partitions.days(sql)) > 4
    assert log.days.closed() == [OLD, NEXT]


KILLED = """
from datetime import date
from onpurpose.adapters.clock import Ids, SystemClock
from onpurpose.adapters.parquet import DayFiles
from onpurpose.adapters.sql.postgres import PostgresDays
from onpurpose.app.keeping import Keeping
from onpurpose.app.notes import Pen
from onpurpose.app.retention import Retention


class Held(PostgresDays):
    def _held(self):
        print("now", flush=True)
        sys.stdin.read()

    def drop(self, day, spans):
        self._held()

    def order(self, day, made, receipt):
        if receipt is not None and AT == "noted":
            self._held()
        super().order(day, made, receipt)


pen = Pen(SystemClock(), Ids().new, "", "operator")
Retention(Held(url), DayFiles(folder / "days"), ledger).let_go(date.fromisoformat(DAY), pen, reason="the first")
"""


@pytest.mark.parametrize(("at", "orders"), [("dropped", 1), ("noted", 2)])
def test_an_order_whose_process_was_killed_before_the_day_was_gone_is_known_and_carried_out(
    log: Kept, at: str, orders: int
) -> None:
    log.retention(lambda retention: retention.archive(OLD, pen()))
    process = log.process(f"DAY, AT = {str(OLD)!r}, {at!r}\n{KILLED}")
    assert process.stdout is not None
    assert process.stdout.readline() == "now\n"
    process.kill()
    process.communicate()
    assert log.days.closed() == [OLD, NEXT]
    assert log.retention(lambda retention: retention.unfinished()) == [OLD]
    done = log.retention(lambda retention: retention.let_go(OLD, pen(), reason="the second"))
    assert (done.reason, done.before) == (("the first", True) if at == "dropped" else ("the second", False))
    assert log.days.closed() == [NEXT]
    assert log.retention(lambda retention: retention.unfinished()) == []
    told = [orjson.loads(stored.body) for stored in log.records()]
    assert len([one for one in told if one["kind"] == "retention.ordered"]) == orders
    assert log.verify().whole


def test_an_order_for_an_archive_that_was_made_anew_is_given_anew(log: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    log.retention(lambda retention: retention.archive(OLD, pen()))
    with log.sql() as sql, sql.transaction():
        sql.execute("SELECT count(*) FROM records")
        with pytest.raises(LedgerError):
            log.retention(lambda retention: retention.let_go(OLD, pen(), reason="the first"))
    log.retention(lambda retention: retention.archive(OLD, pen()))
    done = log.retention(lambda retention: retention.let_go(OLD, pen(), reason="the second"))
    assert (done.reason, done.before) == ("the second", False)
    assert log.verify().whole


def test_a_log_begun_without_the_table_of_orders_is_given_one(log: Kept) -> None:
    with log.sql() as sql:
        sql.execute("DROP TABLE let_go")
    assert log.days.unfinished() == []
    assert log.days.ordered(OLD) is None
    let_go(log, OLD)
    hide(log, OLD)
    assert (log.verify().findings, len(log.verify().away)) == ((), 1)


def test_only_the_oldest_closed_day_is_let_go_and_only_once_archived(log: Kept) -> None:
    with pytest.raises(RetentionError, match="no record says"):
        log.retention(lambda retention: retention.let_go(OLD, pen(), reason="old"))
    log.retention(lambda retention: retention.archive(NEXT, pen()))
    with pytest.raises(RetentionError, match="only the oldest"):
        log.retention(lambda retention: retention.let_go(NEXT, pen(), reason="old"))
    for day in (TODAY, TODAY - partitions.DAY, date(2001, 1, 1)):
        with pytest.raises(RetentionError, match="cannot be archived"):
            log.retention(lambda retention, day=day: retention.archive(day, pen()))
    assert log.verify().findings == ()


def test_a_day_is_kept_when_its_file_is_not_the_recorded_one(log: Kept) -> None:
    log.retention(lambda retention: retention.archive(OLD, pen()))
    log.files.write(OLD, [Stored(0, "a" * 32, 1, bytes(32), b"{}")])
    with pytest.raises(RetentionError, match="not the one that was recorded"):
        log.retention(lambda retention: retention.let_go(OLD, pen(), reason="old"))
    assert OLD in log.days.closed()


def test_a_day_is_kept_when_records_came_after_it_was_archived(log: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    log.retention(lambda retention: retention.archive(OLD, pen()))
    monkeypatch.setattr(store, "_today", lambda: OLD)
    log.write(1)
    monkeypatch.setattr(store, "_today", lambda: TODAY)
    with pytest.raises(LedgerError, match="other records"):
        log.retention(lambda retention: retention.let_go(OLD, pen(), reason="old"))
    log.retention(lambda retention: retention.archive(OLD, pen()))
    log.retention(lambda retention: retention.let_go(OLD, pen(), reason="old"))
    assert log.verify().findings == ()


def test_a_day_with_a_record_that_does_not_follow_is_not_archived(log: Kept) -> None:
    with log.sql() as sql:
        sql.execute("UPDATE records SET body = '{}' WHERE chain = 1 AND seq = 5")
    with pytest.raises(RetentionError, match="record 5 of the chain"):
        log.retention(lambda retention: retention.archive(OLD, pen()))
    assert log.files.days() == []


def test_a_day_that_no_checkpoint_covers_is_not_archived(log: Kept) -> None:
    with log.sql() as sql:
        sql.execute("UPDATE chains SET covered = 20 WHERE id = 1")
    with pytest.raises(LedgerError, match="no checkpoint covers"):
        list(log.days.records(OLD))


def test_a_file_keeps_every_byte_of_every_record(tmp_path: Path) -> None:
    files = DayFiles(tmp_path)
    rows = [Stored(0, name * 32, seq, bytes([seq] * 32), bytes(range(seq))) for name in "ab" for seq in range(1, 200)]
    digest = files.write(OLD, rows)
    assert files.digest(OLD) == digest
    assert files.days() == [OLD]
    assert [(s.chain, s.seq, s.hash, s.body) for s in files.read(OLD)] == [
        (s.chain, s.seq, s.hash, s.body) for s in rows
    ]
    assert [stored.seq for stored in files.read(OLD, "b" * 32, 195)] == [196, 197, 198, 199]
    assert list(files.read(OLD, "c" * 32)) == []
    with pytest.raises(LedgerError, match="cannot be read"):
        list(files.read(NEXT))


def test_keeping_so_many_days_lets_go_of_those_that_were_shown(log: Kept) -> None:
    log.retention(lambda retention: retention.archive(OLD, pen()))
    with log.ledger() as ledger:
        keeping = Keeping(log.days, log.files, ledger, clock=SystemClock(), new_id=Ids().new)
        plan = keeping.plan(5)
        assert [(one.day, one.records, one.ordered) for one in plan.going] == [(OLD, 62, False)]
        assert (plan.old, plan.stuck) == (2, f"{NEXT} is not archived")
        assert keeping.order(5, [OLD], by="ann", reason="kept for a week").days == (OLD,)
        assert keeping.closed() == [NEXT]
    assert log.verify().findings == ()
