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
    assert {Kind.MISSING, Kind.CUT_OFF} <= log.kinds()
    path.write_bytes(content)
    assert log.verify().findings == ()


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
