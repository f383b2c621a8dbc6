"""A policy of ten thousand rules is rewritten and taken up while calls go on: how long does one of them wait?"""

from __future__ import annotations

import gc
import statistics
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from common import CASES, CONTEXT, HERE, HeadLedger, Table, percentile, policy_text, report, spread, target
from onpurpose import Gate
from onpurpose.adapters.clock import BREATH_SECONDS, SWITCH_SECONDS

MANY = 10_000
ROUNDS = 9
SECONDS = 1.0
LIMIT_US = 1000.0
CALL = CASES[0]
ROOM = 1 << 20
NOTHING, SWAP, RESTS = "no swap", "a swap", "as many rests"
REST_NS = 15_000  # a pace that took so long has rested


class Run(NamedTuple):
    """All in microseconds but the numbers of late calls and of rests, and the swap, which is in milliseconds."""

    p50: float
    p99: float
    p999: float
    most: float
    late: float
    collecting: float
    turn: float
    swap: float
    rests: float


def tables() -> list[Table]:
    runs: dict[str, list[Run]] = {}
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=HERE) as folder:
        for number in range(ROUNDS):
            for callers in (1, 4):
                rests = 0.0
                for what in (NOTHING, SWAP, RESTS):
                    name = f"{callers} caller{'s' * (callers > 1)}, {what}"
                    path = Path(folder) / f"{number}-{callers}-{what.replace(' ', '-')}.yaml"
                    run = once(path, callers, what, rests)
                    rests = run.rests or rests
                    runs.setdefault(name, []).append(run)
                    gc.collect()
    rows = []
    for name, some in runs.items():
        run = Run(*map(statistics.median, zip(*some, strict=True)))
        best, worst = min(r.most for r in some), max(r.most for r in some)
        cells = [f"{run.p50:,.1f}", f"{run.p99:,.0f}", f"{run.p999:,.0f}", f"{run.most:,.0f}"]
        cells += [f"{best:,.0f} - {worst:,.0f}", f"{run.late:.0f}", f"{run.collecting:,.0f}", f"{run.turn:,.0f}"]
        rows.append([name, *cells, f"{run.swap:,.0f}" if run.swap else ""])
    longest, alone, bare = (
        statistics.median(run.most for run in runs[f"1 caller, {what}"]) for what in (SWAP, NOTHING, RESTS)
    )
    turn = statistics.median(run.turn for run in runs[f"1 caller, {SWAP}"])
    notes = [
        f"target: no call of one caller waits over 1 ms: {longest:,.0f} us, {target(longest, LIMIT_US)}",
        f"what a swap itself holds up, its longest turn: {turn:,.0f} us, {target(turn, LIMIT_US)}; the rest: waking up",
        f"without a swap the longest wait is {alone:,.0f} us, beside a thread that rests as often {bare:,.0f} us",
        "as many rests: a thread sleeps as often as the swap did, turns as quick, and does nothing in between",
        f"medians of {ROUNDS} rounds; timed are the calls from the change of the file until {SECONDS:g} s later",
        "longest turn: processor time of the loading thread between two rests, which no neighbour can lengthen",
        "no swap: the same time without a change; what waits there is the scheduler's and the neighbours' doing",
        "four callers share one interpreter lock, whose turns last 5 ms, and 0.2 ms while a policy is taken up",
        "the ledger chains and keeps the last hash; the gate looks at the file every 50 ms",
    ]
    head = [
        "us",
        "p50",
        "p99",
        "p99.9",
        "max",
        "max, best - worst",
        "calls over 1 ms",
        "longest gc",
        "longest turn",
        "swap ms",
    ]
    return [Table(f"A swap of {MANY:,} rules under load", head, rows, notes)]


def once(path: Path, callers: int, what: str, rests: float = 0) -> Run:
    """Callers in a loop, and in the midst of it a new text of the policy, or as many rests, or nothing."""
    text = policy_text(spread(MANY))
    path.write_text(text)
    new = path.with_suffix(".new")
    new.write_text(text.replace("phrase", "wording"))
    gate = Watched(path, HeadLedger(), reload_seconds=0.05)
    stop = threading.Event()
    # Nothing that the collector would look at, and nothing that grows.
    taken = [(array("q", bytes(8 * ROOM)), array("q", bytes(8 * ROOM))) for _ in range(callers)]
    workers = [threading.Thread(target=_call, args=(gate, *mine, stop)) for mine in taken]
    for worker in workers:
        worker.start()
    time.sleep(0.2)
    pauses = Pauses()
    start = time.perf_counter_ns()
    if what == SWAP:
        new.replace(path)
        gate.swapped.wait(30)
    elif what == RESTS:
        resting = threading.Thread(target=_rest, args=(int(rests),))
        resting.start()
        resting.join()
    took = (time.perf_counter_ns() - start) / 1e9
    time.sleep(max(0.5, SECONDS - took))  # what is freed after the swap counts too
    end = time.perf_counter_ns()
    pauses.close()
    stop.set()
    for worker in workers:
        worker.join()
    if what == SWAP and not gate.swapped.is_set():
        raise SystemExit(f"the new policy was not taken up: {gate.status()}")
    gate.close()
    pairs = (pair for began, nanos in taken for pair in zip(began, nanos, strict=True))
    calls = sorted(nanos / 1000 for at, nanos in pairs if start <= at < end)
    late = sum(micros > LIMIT_US for micros in calls)
    p50, p99, p999 = (percentile(calls, share) for share in (0.5, 0.99, 0.999))
    turn, swap = gate.turn / 1000, 1000 * took if what == SWAP else 0.0
    return Run(p50, p99, p999, calls[-1], late, pauses.longest / 1000, turn, swap, gate.rests)


class Watched(Gate):
    """A gate that tells when it took up a text; one that asks it again and again would hold up its callers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.swapped = threading.Event()
        self.turn = self.rests = 0
        super().__init__(*args, **kwargs)
        self._first = self._digest()

    def refresh(self, pace: Callable[[], None] = lambda: None) -> None:
        turns = Turns(pace)
        super().refresh(turns)
        turns.end()
        self.turn = max(self.turn, turns.longest)
        self.rests += turns.rests
        if not self.swapped.is_set() and self._digest() != self._first:
            self.swapped.set()

    def _digest(self) -> object:
        policies: Any = self.status()["policies"]
        return policies[0]["digest"]


class Turns:
    """The longest that the loading thread ran on a processor between two rests, in nanoseconds."""

    def __init__(self, pace: Callable[[], None]) -> None:
        self._pace = pace
        self._since: int | None = None  # what comes before, reading and hashing the file, holds up nobody
        self.longest = self.rests = 0

    def __call__(self) -> None:
        start = time.perf_counter_ns()
        self._pace()
        if self._since is None or time.perf_counter_ns() - start > REST_NS:
            self.rests += 1
            self.end()

    def end(self) -> None:
        now = time.thread_time_ns()
        self.longest = max(self.longest, now - (now if self._since is None else self._since))
        self._since = now


def _rest(times: int) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    for _ in range(times):
        time.sleep(BREATH_SECONDS)
    sys.setswitchinterval(before)


class Pauses:
    """The longest run of the garbage collector since, in nanoseconds."""

    def __init__(self) -> None:
        self.longest = self._start = 0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, _: dict[str, int]) -> None:
        now = time.perf_counter_ns()
        if phase == "start":
            self._start = now
        else:
            self.longest = max(self.longest, now - self._start)

    def close(self) -> None:
        gc.callbacks.remove(self._note)


def _call(gate: Gate, began: array[int], nanos: array[int], stop: threading.Event) -> None:
    clock, stopped = time.perf_counter_ns, stop.is_set
    for number in range(ROOM):
        at = clock()
        gate.evaluate("agent", CALL.capability, CALL.payload, policy_context=CONTEXT)
        nanos[number] = clock() - at
        began[number] = at
        if stopped():
            break


if __name__ == "__main__":
    report(tables)
