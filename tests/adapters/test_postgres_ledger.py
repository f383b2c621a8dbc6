"""What is acknowledged stays in PostgreSQL, whoever writes and whatever ends them."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path

import psycopg
import pytest

from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql.engine import open_store
from onpurpose.adapters.sql.postgres import PostgresFollow, PostgresLedger, partitions, schema, store
from onpurpose.core.checkpoint import parse
from onpurpose.core.record import MAX_BODY, LedgerError, Receipt, Record, link
from tests.adapters.postgres_log import PostgresLog, record
from tests.ledger.log import forking
from tests.postgres import PostgresServer


@pytest.fixture
def log(postgres_url: str, tmp_path: Path) -> PostgresLog:
    return PostgresLog(postgres_url, tmp_path)


def wait_until_covered(ledger: PostgresLedger) -> None:
    while ledger.status()["uncovered"]:
        threading.Event().wait(0.005)


def cut_connections(log: PostgresLog) -> None:
    """End our connections on the server's side; returns when they are gone."""
    with log.sql() as sql:
        sql.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'onpurpose'"
        )


def settled(ledger: PostgresLedger) -> Receipt:
    """Write two records, the second when all that goes with a chain's beginning is done; then nothing is under way."""
    ledger.append(record(0)).result(30)
    return ledger.append(record(1)).result(30)


def test_threads_share_commits(log: PostgresLog) -> None:
    def append(start: int) -> None:
        for number in range(start, start + 10):
            ledger.append(record(number)).result(30)

    with log.ledger() as ledger:
        threads = [threading.Thread(target=append, args=(start,)) for start in range(0, 640, 10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        status = ledger.status()
    assert sorted(log.numbers()) == list(range(640))
    assert status["records"] == 641
    assert isinstance(status["commits"], int)
    assert status["commits"] < 400
    assert log.verify().ok


def test_several_processes_write_at_once_and_all_of_it_verifies(log: PostgresLog) -> None:
    script = """
for start in range(0, 200, 10):
    for future in [append(base + number) for number in range(start, start + 10)]:
        future.result(60)
ledger.close()
"""
    KeyFile(log.folder / "key", log.folder / "pub").sign(b"")
    processes = [log.process(f"base = {index * 1000}{script}") for index in range(4)]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
    assert sorted(log.numbers()) == [base + number for base in range(0, 4000, 1000) for number in range(200)]
    report = log.verify()
    assert report.findings == ()
    assert (report.chains, report.uncovered) == (4, 0)


def test_a_killed_writer_loses_nothing_that_was_acknowledged(log: PostgresLog) -> None:
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
    assert report.findings == ()
    assert (report.chains, report.uncovered) == (2, 0)
    with log.sql() as sql:
        assert sql.execute("SELECT count(*) FROM chains WHERE NOT ended").fetchone() == (0,)


def test_a_ledger_left_open_is_closed_when_the_interpreter_ends(log: PostgresLog) -> None:
    process = log.process("for number in range(10): append(number)")
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert log.numbers() == list(range(10))
    assert log.verify().uncovered == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_writes_a_chain_of_its_own(log: PostgresLog) -> None:
    process = log.process(forking(3))
    output, errors = process.communicate(timeout=60)
    assert output.strip() == "[0, 0, 0]", errors
    assert log.numbers().count(2) == 60
    report = log.verify()
    assert report.findings == ()
    assert (report.chains, report.uncovered) == (4, 0)


def test_a_server_stopped_under_load_refuses_and_then_goes_on_by_itself(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    log = PostgresLog(own_postgres.url(), tmp_path)
    acknowledged: list[int] = []
    refused = threading.Event()
    recovered = threading.Event()
    started = threading.Event()
    running = threading.Event()

    def load(start: int) -> None:
        number = start
        while not recovered.is_set():
            number += 1
            try:
                ledger.append(record(number)).result(30)
            except LedgerError:
                refused.set()
                continue
            acknowledged.append(number)
            running.set()
            if refused.is_set() and started.is_set():
                recovered.set()

    with log.ledger() as ledger:
        threads = [threading.Thread(target=load, args=(index * 10**9,)) for index in range(8)]
        for thread in threads:
            thread.start()
        assert running.wait(30)
        own_postgres.kill()
        assert refused.wait(30)
        error = ledger.append(record(-1)).exception(30)
        assert isinstance(error, LedgerError)
        assert str(ledger.status()["last_error"]).startswith("the log `postgresql://127.0.0.1:")
        started.set()
        own_postgres.start()
        assert recovered.wait(30)
        for thread in threads:
            thread.join()
    assert set(acknowledged) <= set(log.numbers())
    report = log.verify()
    assert report.findings == ()
    assert report.uncovered == 0


def test_a_connection_lost_in_peace_is_made_again_and_the_chain_goes_on(log: PostgresLog) -> None:
    with log.ledger(checkpoint_seconds=1000) as ledger:
        first = settled(ledger)
        cut_connections(log)
        second = ledger.append(record(2)).result(30)
    assert (second.chain, second.seq) == (first.chain, first.seq + 1)
    assert log.numbers() == [0, 1, 2]
    assert log.verify().findings == ()


def test_a_commit_whose_answer_was_lost_is_not_written_again(log: PostgresLog) -> None:
    with log.ledger(checkpoint_seconds=1000) as ledger:
        first = settled(ledger)
        cut_connections(log)
        with log.sql() as sql:  # what a commit that arrived before the connection was cut leaves behind
            digest = link(first.hash, first.chain, 4, record(2).body)
            sql.execute("INSERT INTO records SELECT chain, 4, day, %s, %s FROM records WHERE seq = 3",
                        (digest, record(2).body))  # fmt: skip
        assert isinstance(ledger.append(record(2)).exception(30), LedgerError)
        second = ledger.append(record(3)).result(30)
    assert second.chain != first.chain
    assert log.numbers() == [0, 1, 2, 3]
    assert log.verify().findings == ()


def test_a_group_that_arrived_unacknowledged_is_left_and_another_chain_begun(log: PostgresLog) -> None:
    with log.ledger(checkpoint_seconds=1000) as ledger:
        first = settled(ledger)
        with log.sql() as sql:
            # As if the answer to a commit had been lost on its way: the chain is longer than its writer knows.
            sql.execute("INSERT INTO records SELECT chain, 4, day, sha256('x'), 'x' FROM records WHERE seq = 3")
        assert isinstance(ledger.append(record(2)).exception(30), LedgerError)
        second = ledger.append(record(3)).result(30)
    assert second.chain != first.chain
    assert log.numbers() == [0, 1, 3]


def test_a_chain_that_another_session_may_still_write_is_left(log: PostgresLog) -> None:
    with log.ledger(checkpoint_seconds=1000) as ledger, log.sql() as other:
        first = settled(ledger)
        cut_connections(log)
        other.execute("SELECT pg_advisory_lock(1869508725, id) FROM chains")
        assert isinstance(ledger.append(record(2)).exception(30), LedgerError)
        second = ledger.append(record(3)).result(30)
    assert second.chain != first.chain
    assert log.verify().findings == ()


def test_a_quiet_ledger_signs_what_it_wrote_within_the_interval(log: PostgresLog) -> None:
    with log.ledger(checkpoint_seconds=0.05) as ledger:
        ledger.append(record(1)).result(30)
        ledger.append(record(2)).result(30)
        wait_until_covered(ledger)
        assert log.verify().uncovered == 0


def test_of_two_writers_one_signs_for_both(log: PostgresLog) -> None:
    with log.ledger(checkpoint_seconds=0.05) as one, log.ledger(checkpoint_seconds=1000) as other:
        for number in range(10):
            (one, other)[number % 2].append(record(number)).result(30)
        wait_until_covered(one)
        one.append(record(10)).result(30)
        wait_until_covered(one)
        report = log.verify()
        assert (report.findings, report.uncovered, report.chains) == ((), 0, 2)
    with log.archive() as archive:
        signed = [parse(signed.body) for signed in archive.checkpoints()]
    assert max(len(checkpoint.heads) for checkpoint in signed) == 2
    assert len(log.records()) == signed[-1].count


def test_a_writer_waits_with_its_checkpoint_for_what_another_has_just_covered(log: PostgresLog) -> None:
    with log.ledger(checkpoint_seconds=1000) as one, log.ledger(checkpoint_seconds=1000) as other:
        one.append(record(1)).result(30)
        one.append(record(2)).result(30)
        assert one.status()["uncovered"] == 1
        other.append(record(3)).result(30)
        one._store.sign()
        assert one.status()["uncovered"] == 0
        assert one.status()["checkpoint"] == 1


def test_a_log_with_another_key_is_not_written_to(log: PostgresLog, tmp_path: Path) -> None:
    log.write(1)
    other = KeyFile(tmp_path / "other", tmp_path / "other.pub")
    with log.ledger(signer=other, anchor=None) as ledger:
        error = ledger.append(record(1)).exception(30)
    assert "signed with another key" in str(error)


def test_a_log_that_does_not_reach_its_anchor_is_not_written_to(log: PostgresLog) -> None:
    log.write(3)
    with log.sql() as sql:
        sql.execute("TRUNCATE checkpoints, records, chains")
        with log.ledger() as ledger:
            assert "cut off or replaced" in str(ledger.append(record(1)).exception(30))
        sql.execute("DROP TABLE checkpoints, records, chains")
        with log.ledger() as ledger:
            assert "is gone, its anchor" in str(ledger.append(record(1)).exception(30))


def test_without_an_anchor_nothing_is_written_outside_the_database(log: PostgresLog, tmp_path: Path) -> None:
    with log.ledger(anchor=None) as ledger:
        ledger.append(record(1)).result(30)
    assert {path.name for path in tmp_path.iterdir()} == {"key", "pub"}


def test_the_anchor_is_there_as_soon_as_a_chain_has_begun(log: PostgresLog) -> None:
    with log.ledger(checkpoint_seconds=1000) as one, log.ledger(checkpoint_seconds=1000) as other:
        for ledger in (one, other):
            ledger.append(record(1)).result(30)
            ledger.append(record(2)).result(30)
        assert log.verify().findings == ()


def test_an_anchor_that_cannot_be_written_shows_and_stops_no_record(log: PostgresLog, tmp_path: Path) -> None:
    with log.ledger(anchor=tmp_path / "gone" / "anchor", checkpoint_seconds=0) as ledger:
        chains = {ledger.append(record(number)).result(30).chain for number in range(5)}
        wait_until_covered(ledger)
    assert len(chains) == 1
    assert "anchor" in str(ledger.status()["last_error"])
    assert PostgresLog(log.url, tmp_path).numbers() == [0, 1, 2, 3, 4]


def test_a_clock_that_steps_back_does_not_take_a_chain_back(log: PostgresLog, monkeypatch: pytest.MonkeyPatch) -> None:
    days = [date(2030, 3, 2), date(2030, 3, 1), date(2030, 3, 3), date(2031, 1, 1), date(2030, 3, 3)]
    with log.ledger(checkpoint_seconds=1000) as ledger:
        receipts = []
        for number, day in enumerate(days):
            monkeypatch.setattr(store, "_today", lambda day=day: day)
            receipts.append(ledger.append(record(number)).result(30))
    with log.sql() as sql:
        stored = sql.execute("SELECT day FROM records WHERE body LIKE '%decision%' ORDER BY chain, seq").fetchall()
    assert [day for (day,) in stored] == [days[0], days[0], days[2], days[3], days[4]]
    assert len({receipt.chain for receipt in receipts[:4]}) == 1
    assert receipts[4].chain != receipts[3].chain
    assert log.verify().findings == ()


def test_partitions_are_made_for_today_and_tomorrow_and_once(log: PostgresLog) -> None:
    log.write(1)
    today = store._today()
    with log.sql() as sql:
        partitions.ensure(sql, [today, today + timedelta(days=1)])
        found = sql.execute("SELECT inhrelid::regclass::text FROM pg_inherits JOIN pg_class ON oid = inhrelid"
                            " WHERE inhparent = 'records'::regclass ORDER BY 1").fetchall()  # fmt: skip
    assert [name for (name,) in found][:2] == [partitions.name_of(today), partitions.name_of(today + partitions.DAY)]


def test_partitions_are_made_while_somebody_reads_the_log(log: PostgresLog) -> None:
    log.write(1)
    with log.archive() as archive, log.sql() as sql:
        reading = archive.records()
        next(reading)
        sql.execute("SET lock_timeout = '5s'")
        partitions.ensure(sql, [date(2040, 1, 1)])
        assert len(list(reading)) == 1


def test_a_partition_that_was_dropped_is_made_again(log: PostgresLog) -> None:
    with log.ledger() as ledger:
        ledger.append(record(1)).result(30)
        with log.sql() as sql:
            sql.execute(f"DROP TABLE {partitions.name_of(store._today())}")
        assert isinstance(ledger.append(record(2)).exception(30), LedgerError)
        assert ledger.append(record(3)).result(30).seq == 2


def test_what_the_server_refuses_is_told_and_the_next_record_is_written(log: PostgresLog) -> None:
    refusing = "BEGIN RAISE EXCEPTION 'not today: %', repeat('x', 9000); END"
    with log.sql() as sql, log.ledger() as ledger:
        schema.create(sql)
        sql.execute(f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $${refusing}$$")
        for seq in (2, 3):  # within the transaction that begins a chain, and without one
            sql.execute("CREATE TRIGGER refuse BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION refuse()")
            error = ledger.append(record(1)).exception(30)
            assert isinstance(error, LedgerError)
            assert "not today" in str(error)
            sql.execute("DROP TRIGGER refuse ON records")
            assert ledger.append(record(2)).result(30).seq == seq
    assert log.numbers() == [2, 2]
    assert log.verify().findings == ()


def test_a_large_record_is_written_whole(log: PostgresLog) -> None:
    body = b'"' + b"x" * (MAX_BODY - 2) + b'"'
    with log.ledger() as ledger:
        ledger.append(record(1)).result(30)
        ledger.append(Record("decision", body)).result(60)
    assert log.records()[-1].body == body
    assert log.verify().ok


def test_the_log_has_its_tables_from_the_migrations_or_makes_them(log: PostgresLog, postgres_url: str) -> None:
    log.write(1)
    with closing(open_store(postgres_url)):
        log.write(2)
    assert log.numbers() == [0, 0, 1]


def test_a_url_that_cannot_be_read_is_refused_without_its_password() -> None:
    with pytest.raises(ValueError, match="cannot be read") as caught:
        PostgresLedger("postgresql://user:s3cr%zzet@host/db", signer=KeyFile("k", "p"), anchor=None)
    assert "s3cr" not in str(caught.value)


def test_errors_name_the_log_without_its_password(tmp_path: Path) -> None:
    log = PostgresLog("postgresql://user:s3cret@127.0.0.1:1/db", tmp_path)
    with log.ledger() as ledger:
        error = ledger.append(record(1)).exception(30)
        status = ledger.status()
    assert isinstance(error, LedgerError)
    assert "postgresql://127.0.0.1:1/db" in str(error)
    assert "s3cret" not in f"{error}{status}{error.__cause__}"


def test_following_sees_each_record_as_soon_as_it_is_committed(log: PostgresLog) -> None:
    with PostgresFollow(log.url) as follow:
        assert follow.chains() == {}
        with log.ledger(checkpoint_seconds=1000) as one, log.ledger(checkpoint_seconds=1000) as other:
            receipts = [(one, other)[number % 2].append(record(number)).result(30) for number in range(10)]
            reach = follow.chains()
            assert reach == {receipts[0].chain: 6, receipts[1].chain: 6}
            for chain in reach:
                stored = follow.after(chain, 2, 3)
                assert [item.seq for item in stored] == [3, 4, 5]
                assert [item.hash for item in stored] == [r.hash for r in receipts if r.chain == chain][1:4]
                assert follow.after(chain, 6, 3) == []
        assert follow.chains() == reach
        assert follow.after("nobody", 0, 10) == []


def test_following_goes_on_when_the_connection_was_lost(log: PostgresLog) -> None:
    log.write(3)
    with PostgresFollow(log.url) as follow:
        (chain,) = follow.chains()
        cut_connections(log)
        with pytest.raises(LedgerError, match="cannot be read"):
            follow.chains()
        assert len(follow.after(chain, 0, 100)) == 4


def test_synchronous_commit_is_on_whatever_the_database_says(log: PostgresLog) -> None:
    with log.sql() as sql:
        (name,) = sql.execute("SELECT current_database()").fetchone() or ("",)
        sql.execute(psycopg.sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(
            psycopg.sql.Identifier(name)))  # fmt: skip
    connection = store.Address(log.url).writer(3)
    with connection:
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
