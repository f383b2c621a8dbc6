"""Reading a log changes nothing: no byte, no file, no time of change; while it is written, too."""

from __future__ import annotations

import itertools
import os
import signal
import threading

import orjson
import pytest

from onpurpose.adapters.sql import SqliteArchive
from onpurpose.app import audit
from onpurpose.core.chain import Kind
from onpurpose.core.record import GENESIS, LedgerError, LogChangedError, Record, link
from tests.ledger.log import Log, body


def state(log: Log) -> dict[str, tuple[bytes, int, int]]:
    return {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_mode)
        for path in (log.folder, *log.folder.iterdir())
        if path.is_file()
    } | {".": (b"", log.folder.stat().st_mtime_ns, log.folder.stat().st_mode)}


def killed(log: Log) -> Log:
    """A log whose writer was killed: its write-ahead log and the index of that are left."""
    process = log.process("for number in range(20): print(append(number).result(30).seq, flush=True)\ninput()")
    assert process.stdout is not None
    assert [int(process.stdout.readline()) for _ in range(20)] == list(range(2, 22))
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    return log


def read_everything(log: Log) -> None:
    assert log.verify().ok
    with SqliteArchive(log.path) as archive:
        assert len(list(audit.export(archive))) == 21
        assert len(audit.tail(archive, 5)) == 5


def test_reading_a_closed_log_changes_nothing(log: Log) -> None:
    log.write(20)
    before = state(log)
    assert set(before) == {".", "onpurpose.db", "onpurpose.db.anchor", "onpurpose.db.key", "onpurpose.db.pub"}
    read_everything(log)
    assert state(log) == before


def test_reading_a_killed_writers_log_changes_nothing(log: Log) -> None:
    killed(log)
    before = state(log)
    assert {"onpurpose.db-wal", "onpurpose.db-shm"} <= set(before)
    read_everything(log)
    assert state(log) == before


def test_reading_a_log_without_the_index_of_its_write_ahead_log_changes_nothing(log: Log) -> None:
    killed(log)
    log.path.with_name("onpurpose.db-shm").unlink()
    before = state(log)
    read_everything(log)
    assert state(log) == before


def test_reading_a_log_that_is_open_for_writing_changes_nothing(log: Log) -> None:
    process = log.process("for number in range(20): print(append(number).result(30).seq, flush=True)\ninput()")
    assert process.stdout is not None
    assert [int(process.stdout.readline()) for _ in range(20)] == list(range(2, 22))
    process.send_signal(signal.SIGSTOP)  # so that nobody else changes anything
    before = state(log)
    read_everything(log)
    after = state(log)
    process.send_signal(signal.SIGCONT)
    process.communicate("\n", timeout=30)
    assert after == before
    assert log.verify().uncovered == 0


def test_a_log_can_be_read_where_nothing_may_be_written(log: Log) -> None:
    log.write(20)
    for path in log.folder.iterdir():
        path.chmod(0o400)
    log.folder.chmod(0o500)
    try:
        read_everything(log)
    finally:
        log.folder.chmod(0o700)


def test_verifying_while_records_come_finds_nothing_wrong(log: Log) -> None:
    stop = threading.Event()

    def write() -> None:
        for number in itertools.count():
            if stop.is_set():
                break
            ledger.append(Record("decision", body(number))).result(30)

    with log.ledger(checkpoint_seconds=0.01) as ledger:
        ledger.append(Record("decision", body(-1))).result(30)
        writer = threading.Thread(target=write)
        writer.start()
        reports = [log.verify() for _ in range(15)]
        while reports[-1].records == reports[0].records and writer.is_alive():
            reports.append(log.verify())
        stop.set()
        writer.join()
    assert not any(report.findings for report in reports)
    assert [report.records for report in reports] == sorted(report.records for report in reports)
    assert reports[-1].records > reports[0].records


def test_a_view_stays_as_it_was_when_it_was_opened(log: Log) -> None:
    with log.ledger() as ledger:
        ledger.append(Record("decision", body(1))).result(30)
        with SqliteArchive(log.path) as archive:
            ledger.append(Record("decision", body(2))).result(30)
            assert len(list(archive.records())) == 2
        assert len(log.records()) == 3


def test_a_closed_log_that_is_written_while_it_is_read_is_read_again(log: Log) -> None:
    log.write(3)
    with SqliteArchive(log.path) as archive:
        log.write(2)
        with pytest.raises(LogChangedError):
            list(archive.damage())
    opened = 0

    def open_and_write() -> SqliteArchive:
        nonlocal opened
        opened += 1
        archive = SqliteArchive(log.path)
        if opened == 1:
            log.write(2)
        return archive

    report = audit.verify(open_and_write, **log.check)
    assert (report.ok, report.records, opened) == (True, 10, 2)


def test_a_log_that_never_stops_changing_is_called_unreadable(log: Log) -> None:
    log.write(3)

    def open_and_write() -> SqliteArchive:
        archive = SqliteArchive(log.path)
        log.write(1)
        return archive

    report = audit.verify(open_and_write, **log.check)
    assert [finding.kind for finding in report.findings] == [Kind.UNREADABLE]


def test_progress_is_told_of(log: Log) -> None:
    with log.ledger() as ledger:
        for number in range(audit.PROGRESS_EVERY):
            last = ledger.append(Record("decision", body(number)))
        last.result(30)
    told: list[int] = []
    assert log.verify(progress=told.append).ok
    assert told == [audit.PROGRESS_EVERY]


def test_an_export_holds_every_body_byte_for_byte(log: Log) -> None:
    bodies = [b'{"big":12345678901234567890123,"kind":"decision"}', b'{"a":1.0,"kind":"x","text":"\xc3\xa9\\n"}', b"[]"]
    with log.ledger() as ledger:
        for text in bodies:
            ledger.append(Record("decision", text)).result(30)
    with SqliteArchive(log.path) as archive:
        lines = list(audit.export(archive))
    previous, seen = GENESIS, []
    for line in lines:
        place = orjson.loads(line)
        text = line[line.index(b',"record":') + 10 : -2]
        previous = link(previous, place["chain"], place["seq"], text)
        assert previous.hex() == place["hash"]
        seen.append(text)
    assert seen[1:] == bodies
    assert [orjson.loads(line)["position"] for line in lines] == [1, 2, 3, 4]


def test_an_export_of_a_tampered_log_has_one_line_for_each_record(log: Log) -> None:
    log.write(3)
    forged = b'{}}\n{"position":9,"chain":"x","seq":1,"hash":"","record":{}'
    with log.sql() as sql:
        sql.execute("UPDATE records SET body = ? WHERE position = 2", (forged,))
        sql.execute("UPDATE records SET body = x'ff' WHERE position = 3")
    with SqliteArchive(log.path) as archive:
        lines = [orjson.loads(line) for line in audit.export(archive)]
    assert [line["position"] for line in lines] == [1, 2, 3, 4]
    assert lines[1]["damaged"] == forged.hex()
    assert lines[2]["damaged"] == "ff"
    assert lines[3]["record"]["number"] == 2


def test_the_tail_is_the_newest_in_order(log: Log) -> None:
    log.write(10)
    with SqliteArchive(log.path) as archive:
        assert [stored.position for stored in audit.tail(archive, 3)] == [9, 10, 11]
        assert [stored.position for stored in audit.tail(archive, 100)] == list(range(1, 12))
        assert audit.tail(archive, 0) == []
        assert [stored.position for stored in archive.records(8)] == [9, 10, 11]


def test_following_shows_what_comes(log: Log) -> None:
    log.write(3)
    looks = iter([True, True, False])

    def pause() -> bool:
        log.write(1)
        return next(looks)

    positions = [stored.position for stored in audit.follow(lambda: SqliteArchive(log.path), 2, pause)]
    assert positions == [3, 4, 5, 6, 7, 8]


def test_what_cannot_be_opened_is_a_ledger_error(log: Log) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        SqliteArchive(log.path)
    log.path.write_bytes(os.urandom(5000))
    with pytest.raises(LedgerError, match="cannot be read"):
        SqliteArchive(log.path)
    log.path.unlink()
    log.path.mkdir()
    with pytest.raises(LedgerError, match="cannot be read"):
        SqliteArchive(log.path)
