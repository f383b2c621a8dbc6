"""Records a second on PostgreSQL, each durable before it is acknowledged; beside the bare `COPY` and a locked head row.

Starts a server of its own that syncs each commit to the disk, unless `ONPURPOSE_BENCH_POSTGRES` names one.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import statistics
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import psycopg

from common import HERE, Table, percentile, report, target
from durable import Run
from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql.postgres import PostgresLedger
from onpurpose.core.record import GENESIS, Record, link
from onpurpose.waiting import done

sys.path.insert(0, str(HERE.parent))
from tests.postgres import PostgresServer, _programs

ROUNDS = 3
SECONDS = 1.5
BODY = b'{"kind":"decision","payload":"%b"}' % (b"x" * 600)

Once = Callable[[], None]
"""Write one record (or one group), and wait until it is durable."""


def tables() -> list[Table]:
    runs: dict[str, list[Run]] = {}
    with _server() as url, tempfile.TemporaryDirectory(prefix=".bench-", dir=HERE) as folder:
        for _ in range(ROUNDS):  # round after round, so that all of them meet the same weather
            for name, once in _ways(url, Path(folder)).items():
                gc.collect()
                runs.setdefault(name, []).append(once())
    median = {name: Run(*map(statistics.median, zip(*some, strict=True))) for name, some in runs.items()}
    one = median["1 caller"].rate
    rows = [
        [name, f"{run.rate:,.0f}", f"{run.p50:,.0f}", f"{run.p99:,.0f}", f"{run.rate / one:.2f}"]
        for name, run in median.items()
    ]
    many = median["256 coroutines"].rate
    notes = [
        f"target: 256 coroutines at least 12,000 a second: {many:,.0f}, {target(many, 12_000, at_least=True)}",
        f"medians of {ROUNDS} rounds of {SECONDS:g} s each; ratios are to one caller; a record has {len(BODY)} bytes",
        "server and callers share the machine; `fsync` and `synchronous_commit` on, signed checkpoints on",
        "bare COPY: groups of 100 rows into the same table by one connection, no hash, nobody waits for a row",
        "a locked head row: each of 16 threads locks the one head, links its record, inserts it and commits",
    ]
    head = ["", "a second", "p50 us", "p99 us", "ratio"]
    return [Table("Records that are durable on PostgreSQL", head, rows, notes)]


@contextlib.contextmanager
def _server() -> Iterator[str]:
    given = os.environ.get("ONPURPOSE_BENCH_POSTGRES")
    if given:
        yield given
        return
    programs = _programs()
    if programs is None:
        raise SystemExit("no PostgreSQL here: install one, or name one in `ONPURPOSE_BENCH_POSTGRES`")
    with contextlib.closing(PostgresServer(programs, durable=True)) as server:
        yield server.url()


def _ways(url: str, folder: Path) -> dict[str, Callable[[], Run]]:
    def ledger() -> PostgresLedger:
        return PostgresLedger(url, signer=KeyFile(folder / "key", folder / "pub"), anchor=folder / "anchor")

    return {
        "bare COPY of 100": lambda: bare_copy(url, 100),
        "1 caller": lambda: appending(ledger(), 1),
        "16 threads": lambda: appending(ledger(), 16),
        "64 threads": lambda: appending(ledger(), 64),
        "256 coroutines": lambda: asyncio.run(coroutines(ledger(), 256)),
        "a locked head row, 16 threads": lambda: locked_head(url, 16),
    }


def appending(ledger: PostgresLedger, count: int) -> Run:
    with ledger:
        ledger.append(Record("decision", BODY)).result(30)
        return threads([lambda: ledger.append(Record("decision", BODY)).result(30)] * count)


async def coroutines(ledger: PostgresLedger, count: int) -> Run:
    taken: list[list[int]] = [[] for _ in range(count)]
    with ledger:
        await done(ledger.append(Record("decision", BODY)), 30)
        start = time.perf_counter()
        end = start + SECONDS

        async def loop(mine: list[int]) -> None:
            clock = time.perf_counter_ns
            while time.perf_counter() < end:
                began = clock()
                receipt = ledger.append(Record("decision", BODY))
                await done(receipt, 30)
                receipt.result(0)
                mine.append(clock() - began)

        await asyncio.gather(*(loop(mine) for mine in taken))
        return _run(taken, time.perf_counter() - start)


def bare_copy(url: str, count: int) -> Run:
    row = struct.Struct("!hiiiqiii32si")
    today = (datetime.now(UTC).date() - date(2000, 1, 1)).days
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (chain int, seq bigint, day date, hash bytea, body bytea,"
                           " PRIMARY KEY (chain, seq, day)) PARTITION BY RANGE (day)")  # fmt: skip
        connection.execute("CREATE TABLE IF NOT EXISTS bare_all PARTITION OF bare DEFAULT")
        connection.execute("TRUNCATE bare")
        seq = 0

        def once() -> None:
            nonlocal seq
            rows = (row.pack(5, 4, 1, 8, seq + i, 4, today, 32, GENESIS, len(BODY)) + BODY for i in range(count))
            text = b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"".join(rows) + b"\xff\xff"
            seq += count
            with connection.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT BINARY)") as copy:
                copy.write(text)

        run = threads([once])
    return Run(run.rate * count, run.p50, run.p99)


def locked_head(url: str, count: int) -> Run:
    """What a single chain for all writers would be: each commit waits for the one before it."""
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(psycopg.connect(url, autocommit=True)) for _ in range(count)]
        connections[0].execute("DROP TABLE IF EXISTS head, line")
        connections[0].execute("CREATE TABLE head (seq bigint NOT NULL, hash bytea NOT NULL)")
        connections[0].execute("CREATE TABLE line (seq bigint PRIMARY KEY, hash bytea NOT NULL, body bytea NOT NULL)")
        connections[0].execute("INSERT INTO head VALUES (0, %s)", (GENESIS,))
        return threads([_locked(connection) for connection in connections])


def _locked(connection: psycopg.Connection) -> Once:
    def once() -> None:
        with connection.transaction():
            row = connection.execute("SELECT seq, hash FROM head FOR UPDATE").fetchone()
            assert row is not None
            seq, digest = row[0] + 1, link(row[1], "benchmark", row[0] + 1, BODY)
            connection.execute("INSERT INTO line VALUES (%s, %s, %s)", (seq, digest, BODY))
            connection.execute("UPDATE head SET seq = %s, hash = %s", (seq, digest))

    return once


def threads(each: list[Once]) -> Run:
    """A thread for each, which does it in a loop, all for the same time."""
    taken: list[list[int]] = [[] for _ in each]
    barrier = threading.Barrier(len(each) + 1)
    stop = threading.Event()

    def loop(once: Once, mine: list[int]) -> None:
        clock, stopped = time.perf_counter_ns, stop.is_set
        barrier.wait()
        while not stopped():
            start = clock()
            once()
            mine.append(clock() - start)

    workers = [threading.Thread(target=loop, args=pair) for pair in zip(each, taken, strict=True)]
    for worker in workers:
        worker.start()
    barrier.wait()
    start = time.perf_counter()
    time.sleep(SECONDS)
    stop.set()
    for worker in workers:
        worker.join()
    return _run(taken, time.perf_counter() - start)


def _run(taken: list[list[int]], took: float) -> Run:
    all_of_them = sorted(nanos for mine in taken for nanos in mine)
    return Run(len(all_of_them) / took, percentile(all_of_them, 0.5) / 1000, percentile(all_of_them, 0.99) / 1000)


if __name__ == "__main__":
    report(tables)
