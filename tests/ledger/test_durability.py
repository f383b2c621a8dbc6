"""What is acknowledged stays, whoever writes and whatever ends them."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from onpurpose.core.record import Receipt, Record
from tests.ledger.log import Log, body, forking


def test_threads_share_commits(log: Log) -> None:
    def append(start: int) -> None:
        for number in range(start, start + 25):
            ledger.append(Record("decision", body(number))).result(30)

    with log.ledger() as ledger:
        threads = [threading.Thread(target=append, args=(start,)) for start in range(0, 1600, 25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = ledger.status()
    assert sorted(log.numbers()) == list(range(1600))
    assert status["records"] == 1601
    assert isinstance(status["commits"], int)
    assert status["commits"] < 800
    assert log.verify().ok


def test_callbacks_of_a_group_run_one_after_another_on_the_writer_thread(log: Log) -> None:
    threads: set[str] = set()
    order: list[int] = []

    def note(future: object, number: int) -> None:
        threads.add(threading.current_thread().name)
        order.append(number)

    with log.ledger() as ledger:
        first = ledger.append(Record("decision", body(0)))
        for number in range(1, 200):
            ledger.append(Record("decision", body(number))).add_done_callback(
                lambda future, number=number: note(future, number)
            )
        first.result(30)
    assert order == sorted(order)
    assert len(order) == 199
    assert "onpurpose-ledger" in threads


def test_each_writer_has_a_chain_of_its_own_in_one_file(log: Log) -> None:
    with log.ledger() as one, log.ledger() as other:
        for number in range(30):
            (one, other)[number % 2].append(Record("decision", body(number))).result(30)
    report = log.verify()
    assert report.ok
    assert (report.chains, report.records, report.uncovered) == (2, 32, 0)


def test_processes_share_one_file(log: Log) -> None:
    script = """
for start in range(0, 200, 10):
    for future in [append(base + number) for number in range(start, start + 10)]:
        future.result(60)
ledger.close()
"""
    processes = [log.process(f"base = {index * 1000}{script}") for index in range(4)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert sorted(log.numbers()) == [base + number for base in range(0, 4000, 1000) for number in range(200)]
    report = log.verify()
    assert report.findings == ()
    assert (report.chains, report.uncovered) == (4, 0)


def test_a_killed_writer_loses_nothing_that_was_acknowledged(log: Log) -> None:
    process = log.process("""
import itertools, os
for number in itertools.count():
    append(number).add_done_callback(lambda future, number=number: os.write(1, b"%d\\n" % number))
    if number % 50 == 0:
        append(-1).result(60)
""")
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(700)]
    process.send_signal(signal.SIGKILL)
    acknowledged += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.communicate(timeout=30)
    assert set(acknowledged) <= set(log.numbers())
    assert log.verify().ok

    log.write(1)
    report = log.verify()
    assert report.ok
    assert (report.chains, report.uncovered) == (2, 0)
    assert set(acknowledged) <= set(log.numbers())


def test_a_ledger_left_open_is_closed_when_the_interpreter_ends(log: Log) -> None:
    process = log.process("for number in range(10): append(number)")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert log.numbers() == list(range(10))
    assert log.verify().uncovered == 0
    assert not log.path.with_name("onpurpose.db-wal").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_writes_a_chain_of_its_own(log: Log) -> None:
    process = log.process(forking(5))
    output, errors = process.communicate(timeout=60)
    assert output.strip() == "[0, 0, 0, 0, 0]", errors
    assert log.numbers().count(2) == 100
    report = log.verify()
    assert report.findings == ()
    assert (report.chains, report.uncovered) == (6, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_what_a_parent_gathers_is_not_its_childs(log: Log) -> None:
    process = log.process("""
import os
append(0).result(60)
with ledger.gathering():
    gathered = append(1)
    child = os.fork()
    if child == 0:
        seq = append(2).result(60).seq
        ledger.close()
        os._exit(0 if seq == 2 else 1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
gathered.result(60)
ledger.close()
""")
    output, errors = process.communicate(timeout=60)
    assert output.strip() == "0", errors
    assert sorted(log.numbers()) == [0, 1, 2]
    assert log.verify().ok


def test_the_write_ahead_log_does_not_grow_without_end(log: Log) -> None:
    large = Record("decision", b'"' + b"x" * 1_000_000 + b'"')
    wal = log.path.with_name("onpurpose.db-wal")
    with log.ledger() as ledger:
        for _ in range(150):
            ledger.append(large).result(30)
        size = wal.stat().st_size
    assert size < 20_000_000
    assert log.verify().ok


def test_a_receipt_is_proof_that_can_be_found_again(log: Log) -> None:
    with log.ledger() as ledger:
        receipt = ledger.append(Record("decision", body(7))).result(30)
    assert isinstance(receipt, Receipt)
    (stored,) = [stored for stored in log.records() if stored.hash == receipt.hash]
    assert stored.body == body(7)


def test_a_quiet_ledger_signs_what_it_wrote_within_the_interval(log: Log) -> None:
    with log.ledger(checkpoint_seconds=0.05) as ledger:
        ledger.append(Record("decision", body(1))).result(30)
        ledger.append(Record("decision", body(2))).result(30)
        while ledger.status()["uncovered"]:
            threading.Event().wait(0.005)
        assert log.verify().uncovered == 0
