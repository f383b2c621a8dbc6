"""Decisions a second when each record is durable before its answer: one caller, threads, coroutines."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from common import CASES, CONTEXT, HERE, Table, percentile, policy_text, report, spread, target
from onpurpose import Gate, parse_policy

ROUNDS = 3
SECONDS = 1.5
POLICY_TEXT = policy_text(spread(8))
CALL = CASES[0]


class Run(NamedTuple):
    """So many a second, and how long one took (microseconds)."""

    rate: float
    p50: float
    p99: float


def tables() -> list[Table]:
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=HERE) as folder:
        for number in range(ROUNDS):  # round after round, so that all of them meet the same weather
            for name, once in _ways(Path(folder)).items():
                gc.collect()
                runs.setdefault(name, []).append(once(Path(folder) / f"{number}-{len(runs)}"))
    median = {name: Run(*map(statistics.median, zip(*some, strict=True))) for name, some in runs.items()}
    one, first = median["1 caller"].rate, median.get("capfence, 1 caller")
    rows = []
    for name, run in median.items():
        base = first.rate if name.startswith("capfence") and first else one
        ratio = f"{run.rate / base:.2f}"
        rows.append([name, f"{run.rate:,.0f}", f"{run.p50:,.0f}", f"{run.p99:,.0f}", ratio])
    threads, coroutines = median["64 threads"].rate / one, median["256 coroutines"].rate / one
    notes = [
        f"target: 64 threads at least 4 times one caller: {threads:.1f}, {target(threads, 4, at_least=True)}",
        f"target: 256 coroutines at least 10 times: {coroutines:.1f}, {target(coroutines, 10, at_least=True)}",
        f"medians of {ROUNDS} rounds of {SECONDS:g} s each; ratios are to one caller of the same product",
        "a bare fsync writes 4 KiB behind the last and waits for `fdatasync`, in a loop",
        "onpurpose: SQLite in WAL with `synchronous=FULL`, signed checkpoints on; the answer waits for the commit",
        "capfence: its own SQLite file as it opens it (WAL); callers that share a logger chain to the same record",
    ]
    head = ["", "a second", "p50 us", "p99 us", "ratio"]
    return [Table("Decisions whose record is durable", head, rows, notes)]


def _ways(folder: Path) -> dict[str, Callable[[Path], Run]]:
    ways: dict[str, Callable[[Path], Run]] = {
        "bare fsync": bare_fsync,
        "1 caller": lambda path: threads(ask(path), 1),
        "16 threads": lambda path: threads(ask(path), 16),
        "64 threads": lambda path: threads(ask(path), 64),
        "256 coroutines": lambda path: asyncio.run(coroutines(path, 256)),
    }
    try:
        import capfence  # noqa: F401
    except ImportError:
        return ways
    (folder / "policy.yaml").write_text(POLICY_TEXT)
    ways["capfence, 1 caller"] = lambda path: threads(ask_capfence(path), 1)
    ways["capfence, 16 threads"] = lambda path: threads(ask_capfence(path), 16)
    return ways


Asked = tuple[Callable[[], bool], Callable[[], None]]
"""Ask once, and whether it was allowed; close."""


def gate_at(path: Path) -> Gate:
    return Gate(parse_policy(POLICY_TEXT.encode(), "bench.yaml"), path.with_suffix(".db"))


def ask(path: Path) -> Asked:
    gate = gate_at(path)
    return lambda: gate.evaluate("agent", CALL.capability, CALL.payload, policy_context=CONTEXT).allowed, gate.close


def ask_capfence(path: Path) -> Asked:
    from capfence.core.approvals import ApprovalEngine
    from capfence.core.audit import AuditLogger
    from capfence.core.capabilities import CapabilitySystem
    from capfence.core.runtime import ActionEvent, ActionRuntime

    system = CapabilitySystem()
    system.load_policy(path.parent / "policy.yaml")
    runtime = ActionRuntime(system, ApprovalEngine(), AuditLogger(path.with_suffix(".db")))
    what = {"capability": CALL.capability, "payload": CALL.payload}
    event = ActionEvent("agent", "execute", "shell", CONTEXT["environment"], "low", what)
    return lambda: runtime.execute(event).authorized, lambda: None


def bare_fsync(path: Path) -> Run:
    page = os.urandom(4096)
    with path.open("wb", buffering=0) as file:

        def once() -> bool:
            file.write(page)
            os.fdatasync(file.fileno())
            return True

        return threads((once, lambda: None), 1)


def threads(asked: Asked, count: int) -> Run:
    """So many threads ask in a loop, all for the same time."""
    once, close = asked
    taken: list[list[int]] = [[] for _ in range(count)]
    barrier = threading.Barrier(count + 1)
    stop = threading.Event()

    def loop(mine: list[int]) -> None:
        clock, stopped = time.perf_counter_ns, stop.is_set
        barrier.wait()
        while not stopped():
            start = clock()
            if not once():
                raise SystemExit("a call that is allowed was refused")
            mine.append(clock() - start)

    workers = [threading.Thread(target=loop, args=(mine,)) for mine in taken]
    for worker in workers:
        worker.start()
    once()
    barrier.wait()
    start = time.perf_counter()
    time.sleep(SECONDS)
    stop.set()
    for worker in workers:
        worker.join()
    took = time.perf_counter() - start
    close()
    return _run(taken, took)


async def coroutines(path: Path, count: int) -> Run:
    """So many coroutines of one event loop ask in a loop."""
    gate = gate_at(path)
    taken: list[list[int]] = [[] for _ in range(count)]
    await gate.evaluate_async("agent", CALL.capability, CALL.payload, policy_context=CONTEXT)
    start = time.perf_counter()
    end = start + SECONDS

    async def loop(mine: list[int]) -> None:
        clock = time.perf_counter_ns
        while time.perf_counter() < end:
            began = clock()
            result = await gate.evaluate_async("agent", CALL.capability, CALL.payload, policy_context=CONTEXT)
            if not result.allowed:
                raise SystemExit("a call that is allowed was refused")
            mine.append(clock() - began)

    await asyncio.gather(*(loop(mine) for mine in taken))
    took = time.perf_counter() - start
    gate.close()
    return _run(taken, took)


def _run(taken: list[list[int]], took: float) -> Run:
    all_of_them = sorted(nanos for mine in taken for nanos in mine)
    return Run(len(all_of_them) / took, percentile(all_of_them, 0.5) / 1000, percentile(all_of_them, 0.99) / 1000)


if __name__ == "__main__":
    report(tables)
