"""What it means to be a ledger: every adapter runs this suite."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path

import pytest

from onpurpose.adapters.memory import MemoryLedger
from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql import SqliteArchive, SqliteLedger
from onpurpose.adapters.sql.postgres import PostgresArchive, PostgresLedger
from onpurpose.core.record import GENESIS, MAX_BODY, LedgerError, Record, Stored, link
from onpurpose.ports import Ledger


@dataclass
class Subject:
    ledger: Ledger
    read: Callable[[], list[Stored]]


def _in_memory(_: Path, __: pytest.FixtureRequest) -> Subject:
    ledger = MemoryLedger()
    return Subject(ledger, ledger.records)


def _in_sqlite(folder: Path, _: pytest.FixtureRequest) -> Subject:
    path = folder / "onpurpose.db"

    def read() -> list[Stored]:
        with SqliteArchive(path) as archive:
            return list(archive.records())

    signer = KeyFile(folder / "onpurpose.db.key", folder / "onpurpose.db.pub")
    return Subject(SqliteLedger(path, signer=signer), read)


def _in_postgres(folder: Path, request: pytest.FixtureRequest) -> Subject:
    url = request.getfixturevalue("postgres_url")

    def read() -> list[Stored]:
        with PostgresArchive(url) as archive:
            return list(archive.records())

    signer = KeyFile(folder / "key", folder / "pub")
    return Subject(PostgresLedger(url, signer=signer, anchor=folder / "anchor"), read)


@pytest.fixture(params=[_in_memory, _in_sqlite, _in_postgres])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    made = request.param(tmp_path, request)
    yield made
    made.ledger.close()


def record(number: int) -> Record:
    return Record("decision", b'{"kind":"decision","number":%d}' % number)


def test_a_receipt_says_where_the_record_stands(subject: Subject) -> None:
    receipt = subject.ledger.append(record(1)).result(10)
    stored = subject.read()[-1]
    assert (receipt.chain, receipt.seq, receipt.hash) == (stored.chain, stored.seq, stored.hash)
    assert stored.body == record(1).body


def test_the_first_record_says_that_the_log_was_opened(subject: Subject) -> None:
    assert subject.ledger.append(record(1)).result(10).seq == 2
    assert b'"kind":"log.opened"' in subject.read()[0].body


def test_every_record_is_linked_to_the_one_before(subject: Subject) -> None:
    for number in range(20):
        subject.ledger.append(record(number)).result(10)
    previous = GENESIS
    for seq, stored in enumerate(subject.read(), 1):
        assert stored.seq == seq
        assert stored.hash == link(previous, stored.chain, seq, stored.body)
        previous = stored.hash


def test_records_of_one_thread_stand_in_its_order(subject: Subject) -> None:
    futures = [subject.ledger.append(record(number)) for number in range(500)]
    assert [future.result(10).seq for future in futures] == list(range(2, 502))
    assert [stored.body for stored in subject.read()[1:]] == [record(number).body for number in range(500)]


def test_many_threads_lose_nothing(subject: Subject) -> None:
    def append(start: int) -> None:
        for number in range(start, start + 20):
            subject.ledger.append(record(number)).result(10)

    threads = [threading.Thread(target=append, args=(start,)) for start in range(0, 640, 20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {stored.body for stored in subject.read()[1:]} == {record(number).body for number in range(640)}


def test_a_callback_may_append(subject: Subject) -> None:
    second: list[object] = []
    done = threading.Event()

    def append_again(_: object) -> None:
        subject.ledger.append(record(2)).add_done_callback(lambda future: (second.append(future.result()), done.set()))

    subject.ledger.append(record(1)).add_done_callback(append_again)
    assert done.wait(10)
    assert len(second) == 1


def test_a_body_that_is_too_long_fails_and_leaves_no_record(subject: Subject) -> None:
    future = subject.ledger.append(Record("decision", b" " * (MAX_BODY + 1)))
    with pytest.raises(LedgerError, match="bytes"):
        future.result(10)
    assert subject.ledger.append(record(1)).result(10).seq == 2


def test_close_writes_what_was_appended(subject: Subject) -> None:
    futures = [subject.ledger.append(record(number)) for number in range(100)]
    subject.ledger.close()
    assert all(future.done() and future.exception() is None for future in futures)
    assert len(subject.read()) == 101


def test_nothing_can_be_appended_after_close_which_may_be_called_twice(subject: Subject) -> None:
    subject.ledger.append(record(1)).result(10)
    subject.ledger.close()
    subject.ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        subject.ledger.append(record(2)).result(10)
    assert len(subject.read()) == 2


def test_close_may_be_called_by_a_callback(subject: Subject) -> None:
    closed = threading.Event()
    subject.ledger.append(record(1)).add_done_callback(lambda _: (subject.ledger.close(), closed.set()))
    assert closed.wait(10)
    assert isinstance(subject.ledger.append(record(2)).exception(10), LedgerError)


def test_a_ledger_that_was_never_used_closes_and_leaves_nothing(subject: Subject, tmp_path: Path) -> None:
    subject.ledger.close()
    assert list(tmp_path.iterdir()) == []


def test_status_counts_records(subject: Subject) -> None:
    subject.ledger.append(record(1)).result(10)
    subject.ledger.close()
    status = subject.ledger.status()
    assert status["records"] == 2
    assert status["last_error"] is None
    assert status["pending"] == 0
    assert status["closed"] is True


def test_a_record_cancelled_before_it_is_taken_up_is_not_written(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    subject = _in_sqlite(tmp_path, request)
    subject.ledger.append(record(1)).result(10)
    other = sqlite3.connect(tmp_path / "onpurpose.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # the writer waits with the first of these, so the second is not taken up
    held = subject.ledger.append(record(2))
    while not held.running():
        threading.Event().wait(0.001)
    cancelled = subject.ledger.append(record(3))
    assert cancelled.cancel()
    other.execute("ROLLBACK")
    other.close()
    assert held.result(10).seq == 3
    subject.ledger.close()
    with pytest.raises(CancelledError):
        cancelled.result(10)
    assert [stored.body for stored in subject.read()[1:]] == [record(1).body, record(2).body]


def test_a_ledger_in_memory_takes_no_more_than_its_limit() -> None:
    ledger = MemoryLedger(limit=3)
    assert [ledger.append(record(number)).exception() is None for number in range(4)] == [True, True, False, False]
    assert isinstance(ledger.append(record(9)).exception(), LedgerError)
    assert len(ledger.records()) == 3


# -- gathering


def beside(ledger: Ledger, number: int) -> int:
    """Have another thread append a record and wait for it; its place."""
    places: list[int] = []
    thread = threading.Thread(target=lambda: places.append(ledger.append(record(number)).result(10).seq))
    thread.start()
    thread.join()
    return places[0]


@pytest.fixture(params=[_in_sqlite, _in_postgres])
def grouped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """A ledger with a writer of its own, which has begun."""
    made = request.param(tmp_path, request)
    made.ledger.append(record(0)).result(10)
    yield made
    made.ledger.close()


def test_what_is_gathered_is_written_in_its_order(subject: Subject) -> None:
    with subject.ledger.gathering():
        promises = [subject.ledger.append(record(number)) for number in range(100)]
    assert [promise.result(10).seq for promise in promises] == list(range(2, 102))
    assert [stored.body for stored in subject.read()[1:]] == [record(number).body for number in range(100)]


def test_what_is_gathered_waits_for_the_end_and_holds_up_no_other_thread(grouped: Subject) -> None:
    with grouped.ledger.gathering():
        promise = grouped.ledger.append(record(1))
        assert beside(grouped.ledger, 2) == 3
        assert not promise.done()
        assert grouped.ledger.status()["pending"] == 1
    assert promise.result(10).seq == 4


def test_an_error_hands_over_what_was_gathered(grouped: Subject) -> None:
    promises = []

    def fail() -> None:
        with grouped.ledger.gathering():
            promises.append(grouped.ledger.append(record(1)))
            raise RuntimeError("in the midst")

    with pytest.raises(RuntimeError, match="midst"):
        fail()
    assert promises[0].result(10).seq == 3
    assert grouped.ledger.append(record(2)).result(10).seq == 4


def test_a_gathering_within_another_ends_nothing(grouped: Subject) -> None:
    with grouped.ledger.gathering():
        with grouped.ledger.gathering():
            promise = grouped.ledger.append(record(1))
        assert beside(grouped.ledger, 2) == 3
        assert not promise.done()
    assert promise.result(10).seq == 4


def test_of_two_threads_that_gather_the_second_waits_for_nothing(grouped: Subject) -> None:
    def second() -> None:
        with grouped.ledger.gathering():
            places.append(grouped.ledger.append(record(2)).result(10).seq)

    places: list[int] = []
    with grouped.ledger.gathering():
        promise = grouped.ledger.append(record(1))
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert places == [3]
        assert not promise.done()
    assert promise.result(10).seq == 4


def test_close_writes_what_is_being_gathered(grouped: Subject) -> None:
    with grouped.ledger.gathering():
        promise = grouped.ledger.append(record(1))
        grouped.ledger.close()
        assert promise.result(10).seq == 3
        refused = grouped.ledger.append(record(2))
    assert isinstance(refused.exception(10), LedgerError)
    assert len(grouped.read()) == 3


def test_a_record_that_is_being_gathered_can_be_cancelled(grouped: Subject) -> None:
    with grouped.ledger.gathering():
        cancelled = grouped.ledger.append(record(1))
        assert cancelled.cancel()
        kept = grouped.ledger.append(record(2))
    assert kept.result(10).seq == 3
    assert grouped.ledger.status()["pending"] == 0
