"""A log that cannot be written fails each append, clearly, and goes on by itself when it can."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from onpurpose.core.chain import Kind
from onpurpose.core.record import LedgerError, Record, link
from tests.ledger.log import Log, body

needs_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can set this up")


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[Log]:
    """A log on a file system of its own."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("this user may not mount a file system")
    yield Log(folder)
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Log]:
    """A log on a file system of one mebibyte."""
    with mounted(tmp_path / "tiny", "1m") as log:
        yield log


@needs_root
def test_a_full_disk_fails_appends_until_there_is_room(tiny: Log) -> None:
    large = Record("decision", b'"' + b"x" * 20_000 + b'"')
    ballast = tiny.folder / "ballast"
    with tiny.ledger() as ledger:
        ledger.append(Record("decision", body(1))).result(30)
        ballast.write_bytes(b"x" * 400_000)
        outcomes = [ledger.append(large).exception(30) for _ in range(60)]
        failed = [error for error in outcomes if error is not None]
        assert failed
        assert all(isinstance(error, LedgerError) for error in failed)
        assert "disk" in str(failed[0])
        assert outcomes[0] is None
        ballast.unlink()
        ledger.append(Record("decision", body(2))).result(30)
    assert tiny.numbers() == [1, 2]
    assert len(tiny.records()) == 2 + outcomes.count(None) + tiny.verify().chains
    assert tiny.verify().findings == ()


@needs_root
def test_a_disk_that_is_full_while_pages_are_moved_loses_nothing(tmp_path: Path) -> None:
    large = Record("decision", b'"' + b"x" * 100_000 + b'"')
    with mounted(tmp_path / "small", "8m") as log, log.ledger() as ledger:
        ledger.append(Record("decision", body(1))).result(30)
        ballast = log.folder / "ballast"
        ballast.write_bytes(b"x" * 6_500_000)  # room for the write-ahead log, and none for what is moved out of it
        kept = 0
        while ledger.status()["last_error"] is None:
            kept += ledger.append(large).exception(30) is None
        assert "disk" in str(ledger.status()["last_error"])
        assert kept * 100_000 > 1 << 20
        ballast.unlink()
        ledger.append(Record("decision", body(2))).result(30)
        assert len(log.records()) >= kept + 3
        assert log.numbers() == [1, 2]
        assert log.verify().findings == ()


def test_a_file_size_limit_fails_appends_and_loses_nothing_acknowledged(log: Log) -> None:
    process = log.process("""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
append(0).result(30)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
written, failed = 0, []
for number in range(1, 150):
    body = b'{"kind":"decision","number":%d,"x":"%s"}' % (number, b"x" * 2000)
    error = ledger.append(Record("decision", body)).exception(30)
    failed.append(error) if error else print(number)
assert failed and all(isinstance(error, LedgerError) for error in failed), failed
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
append(1000).result(30)
ledger.close()
""")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert {0, 1000, *map(int, output.split())} <= set(log.numbers())
    assert log.verify().findings == ()


def test_a_locked_log_fails_appends_within_the_timeout_and_recovers(log: Log) -> None:
    with log.ledger(busy_timeout=0.2) as ledger:
        ledger.append(Record("decision", body(1))).result(30)
        with log.sql() as other:
            other.execute("BEGIN EXCLUSIVE")
            start = time.monotonic()
            with pytest.raises(LedgerError, match="locked by another process"):
                ledger.append(Record("decision", body(2))).result(30)
            assert time.monotonic() - start < 3
            assert "locked" in str(ledger.status()["last_error"])
            other.execute("ROLLBACK")
        ledger.append(Record("decision", body(3))).result(30)
    assert log.numbers() == [1, 3]
    report = log.verify()
    assert (report.findings, report.chains) == ((), 1)


def test_a_log_that_is_locked_from_the_start_fails_appends_and_recovers(log: Log) -> None:
    log.write(1)
    with log.ledger(busy_timeout=0.2) as ledger:
        with log.sql() as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(LedgerError, match="locked by another process"):
                ledger.append(Record("decision", body(2))).result(30)
            other.execute("ROLLBACK")
        ledger.append(Record("decision", body(3))).result(30)
    assert log.numbers() == [0, 3]
    assert log.verify().ok


def test_a_missing_directory_fails_appends_until_it_is_there(log: Log) -> None:
    inner = Log(log.folder / "later")
    with inner.ledger() as ledger:
        with pytest.raises(LedgerError, match="No such file or directory"):
            ledger.append(Record("decision", body(1))).result(30)
        inner.folder.mkdir()
        ledger.append(Record("decision", body(2))).result(30)
    assert inner.numbers() == [2]
    assert inner.verify().ok


@needs_root
@pytest.mark.parametrize("what", ["directory", "log", "key"])
def test_what_this_user_may_not_write_or_read_fails_appends(log: Log, what: str) -> None:
    log.write(1)
    for folder in (log.folder, *log.folder.parents[:3]):
        folder.chmod(0o755)
    for path in log.folder.iterdir():
        os.chown(path, 65534, 65534)
    os.chown(log.folder, 65534, 65534)
    if what == "directory":
        os.chown(log.folder, 0, 0)
        log.folder.chmod(0o700)
    else:
        path = log.path if what == "log" else log.key
        os.chown(path, 0, 0)
        path.chmod(0o400)
    process = log.process("""
import os, tempfile
with tempfile.TemporaryDirectory() as folder:  # what is imported late, while this process may read it
    with SqliteLedger(folder + "/x", signer=KeyFile(folder + "/k", folder + "/p")) as warm:
        warm.append(Record("decision", b"1")).result(30)
os.setgid(65534), os.setuid(65534)
error = append(1).exception(30)
ledger.close()
print(type(error).__name__, error)
""")
    output, errors = process.communicate(timeout=60)
    assert output.startswith("LedgerError the "), (output, errors)
    assert "help" in output or "Permission denied" in output
    assert log.numbers() == [0]
    assert log.verify().ok


def test_a_log_deleted_underneath_fails_appends_until_it_is_back(log: Log) -> None:
    away = log.folder / "away"
    with log.ledger() as ledger:
        ledger.append(Record("decision", body(1))).result(30)
        log.path.rename(away)
        for number in (2, 3):
            with pytest.raises(LedgerError, match="put"):
                ledger.append(Record("decision", body(number))).result(30)
        away.rename(log.path)
        ledger.append(Record("decision", body(4))).result(30)
    assert log.numbers() == [1, 4]
    assert log.verify().ok


def test_another_log_put_in_its_place_is_not_written_to(log: Log, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Log(tmp_path / "other")
    other.write(3)
    log.write(3)
    shutil.copyfile(other.path, log.path)
    with log.ledger() as ledger, pytest.raises(LedgerError, match="cut off or replaced"):
        ledger.append(Record("decision", body(1))).result(30)
    assert Kind.CHECKPOINT in log.kinds()


def test_a_log_signed_with_another_key_is_not_written_to(log: Log) -> None:
    log.write(1)
    log.key.unlink()
    log.public_key.unlink()
    with log.ledger() as ledger, pytest.raises(LedgerError, match="another key"):
        ledger.append(Record("decision", body(1))).result(30)
    assert log.numbers() == [0]


def test_a_log_whose_file_alone_is_gone_is_not_begun_anew(log: Log) -> None:
    log.write(1)
    log.path.unlink()
    with log.ledger() as ledger, pytest.raises(LedgerError, match="its anchor"):
        ledger.append(Record("decision", body(1))).result(30)
    assert not log.path.exists()
    assert log.kinds() == {Kind.UNREADABLE}


def test_a_log_that_was_cut_off_is_not_continued(log: Log) -> None:
    log.write(2)
    shorter = log.path.read_bytes()
    log.write(2)
    log.path.write_bytes(shorter)
    with log.ledger() as ledger, pytest.raises(LedgerError, match="cut off or replaced"):
        ledger.append(Record("decision", body(9))).result(30)
    assert log.path.read_bytes() == shorter


def test_a_file_that_is_no_log_is_left_as_it_is(log: Log) -> None:
    with log.sql() as other:
        other.execute("CREATE TABLE precious (x)")
    before = log.path.read_bytes()
    log.folder.joinpath("junk.db").write_bytes(os.urandom(8192))
    with log.ledger() as ledger, pytest.raises(LedgerError, match="no log of onpurpose"):
        ledger.append(Record("decision", body(1))).result(30)
    with log.sql() as other:
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("precious",)]
    assert len(log.path.read_bytes()) == len(before)


@pytest.mark.parametrize(
    "change",
    [
        "PRAGMA user_version = 2",
        "PRAGMA user_version = 0",
        "PRAGMA application_id = 7",
        "CREATE TRIGGER quiet AFTER INSERT ON records BEGIN DELETE FROM records WHERE position = new.position; END",
        "CREATE INDEX one ON records (hash)",
        "ALTER TABLE records ADD COLUMN x TEXT",
    ],
)
def test_a_log_whose_tables_were_changed_is_neither_written_nor_believed(log: Log, change: str) -> None:
    log.write(1)
    with log.sql() as other:
        other.execute(change)
    with log.ledger() as ledger, pytest.raises(LedgerError, match="cannot be written"):
        ledger.append(Record("decision", body(1))).result(30)
    assert log.kinds() == {Kind.UNREADABLE}


def test_a_damaged_log_fails_appends(log: Log) -> None:
    log.write(200)
    log.path.write_bytes(os.urandom(log.path.stat().st_size))
    with log.ledger() as ledger, pytest.raises(LedgerError, match="no database"):
        ledger.append(Record("decision", body(1))).result(30)


def test_somebody_else_writing_to_the_chain_makes_the_writer_leave_it(log: Log) -> None:
    with log.ledger() as ledger:
        first = ledger.append(Record("decision", body(1))).result(30)
        with log.sql() as other:
            other.execute("INSERT INTO records (chain, seq, hash, body) VALUES (1, 3, x'00', x'00')")
        with pytest.raises(LedgerError, match="another writer"):
            ledger.append(Record("decision", body(2))).result(30)
        later = ledger.append(Record("decision", body(3))).result(30)
        assert later.chain != first.chain
    assert Kind.CHANGED in log.kinds()


def test_more_than_may_wait_fails_at_once(log: Log) -> None:
    with log.ledger(max_pending=10, max_pending_bytes=10_000, busy_timeout=30) as ledger:
        ledger.append(Record("decision", body(0))).result(30)
        with log.sql() as other:
            other.execute("BEGIN IMMEDIATE")
            futures = [ledger.append(Record("decision", body(number))) for number in range(1, 15)]
            assert [future.done() for future in futures] == [False] * 10 + [True] * 4
            assert all(isinstance(future.exception(), LedgerError) for future in futures[10:])
            other.execute("ROLLBACK")
        for future in futures[:10]:
            future.result(30)
        big = ledger.append(Record("decision", b" " * 10_001))
        assert isinstance(big.exception(), LedgerError)
        ledger.append(Record("decision", body(15))).result(30)
    assert log.numbers() == [*range(11), 15]


def test_a_ledger_that_cannot_be_written_closes_all_the_same(log: Log) -> None:
    ledger = log.ledger(busy_timeout=0.1)
    ledger.append(Record("decision", body(1))).result(30)
    with log.sql() as other:
        other.execute("BEGIN EXCLUSIVE")
        pending = ledger.append(Record("decision", body(2)))
        ledger.close()
        assert isinstance(pending.exception(0), LedgerError)
    assert ledger.status()["closed"] is True
    assert log.numbers() == [1]
    assert log.verify().ok


def test_threads_that_wait_while_the_log_is_locked_are_all_told(log: Log) -> None:
    errors: list[BaseException | None] = []
    with log.ledger(busy_timeout=0.2) as ledger:
        ledger.append(Record("decision", body(0))).result(30)
        with log.sql() as other:
            other.execute("BEGIN IMMEDIATE")
            threads = [
                threading.Thread(target=lambda: errors.append(ledger.append(Record("decision", b"1")).exception(30)))
                for _ in range(32)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len(errors) == 32
    assert all(isinstance(error, LedgerError) for error in errors)


def test_an_sqlite_that_fails_in_the_middle_leaves_no_gap(log: Log) -> None:
    with log.ledger(busy_timeout=0.1, checkpoint_seconds=0) as ledger:
        for number in range(6):
            other = sqlite3.connect(log.path, isolation_level=None)
            if number % 2:
                other.execute("BEGIN IMMEDIATE")
            outcome = ledger.append(Record("decision", body(number))).exception(30)
            assert (outcome is None) == (number % 2 == 0)
            other.close()
    assert log.numbers() == [0, 2, 4]
    assert log.verify().findings == ()


def test_an_anchor_that_cannot_be_written_shows_and_is_made_up_for(log: Log) -> None:
    in_the_way = log.folder / "onpurpose.db.anchor.new"
    in_the_way.mkdir()
    with log.ledger() as ledger:
        for number in range(3):
            ledger.append(Record("decision", body(number))).result(30)
    assert "anchor" in str(ledger.status()["last_error"])
    assert log.kinds() == {Kind.ANCHOR}
    in_the_way.rmdir()
    log.write(1)
    assert log.verify().ok
    assert log.anchor.exists()


def test_an_anchor_that_is_damaged_keeps_the_log_from_being_written(log: Log) -> None:
    log.write(1)
    log.anchor.write_bytes(b"{")
    with log.ledger() as ledger, pytest.raises(LedgerError, match="damaged"):
        ledger.append(Record("decision", body(2))).result(30)


def test_a_callback_that_raises_holds_up_nobody(log: Log) -> None:
    def leave(_: object) -> None:
        raise SystemExit

    with log.ledger() as ledger:
        with log.sql() as other:
            ledger.append(Record("decision", body(0))).result(30)
            other.execute("BEGIN IMMEDIATE")  # so that the next records are one group
            futures = [ledger.append(Record("decision", body(number))) for number in range(1, 5)]
            for future in futures[:3]:
                future.add_done_callback(leave)
            other.execute("ROLLBACK")
        assert [future.result(30).seq for future in futures] == [3, 4, 5, 6]
        assert ledger.append(Record("decision", body(5))).result(30).seq == 7


def test_more_bytes_than_one_commit_should_hold_take_several(log: Log) -> None:
    large = Record("decision", b'"' + b"x" * 3_000_000 + b'"')
    with log.ledger() as ledger:
        futures = [ledger.append(large) for _ in range(12)]
        assert [future.result(30).seq for future in futures] == list(range(2, 14))
        status = ledger.status()
    assert isinstance(status["commits"], int)
    assert status["commits"] >= 4
    assert log.verify().ok


def test_a_commit_that_failed_and_yet_arrived_leaves_a_whole_log(log: Log) -> None:
    with log.ledger(busy_timeout=0.1) as ledger:
        first = ledger.append(Record("decision", body(1))).result(30)
        with log.sql() as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(LedgerError):
                ledger.append(Record("decision", body(2))).result(30)
            digest = link(first.hash, first.chain, 3, body(2))
            other.execute("INSERT INTO records VALUES (3, 1, 3, ?, ?)", (digest, body(2)))
            other.execute("COMMIT")
        later = ledger.append(Record("decision", body(3))).result(30)
    assert (later.chain != first.chain, later.seq) == (True, 2)
    assert log.numbers() == [1, 2, 3]
    report = log.verify()
    assert (report.findings, report.uncovered, report.chains) == ((), 0, 2)
