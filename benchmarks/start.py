"""How long `onpurpose serve` takes to start: from the start of the process until `/readyz` answers 200.

With nothing to decide by, and with ten thousand documents in force. Beside the time stands the processor's
(Linux tells it): what a start takes where nothing else is to be done.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from common import EIGHT, Table, policy_text, report, target
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import open_store
from onpurpose.core.revision import Change, Kind

MANY = 10_000
PURPOSES = 100
RUNS = 5
TARGET_SECONDS = 3.0
PATIENCE_SECONDS = 120

AS_INSTALLED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""An installed package has its bytecode; the first start, which is not timed, writes what is missing."""


class Start(NamedTuple):
    """Seconds until the service was ready, and of the processor until then."""

    wall: float
    processor: float


def tables() -> list[Table]:
    kinds: dict[str, list[Change]] = {
        "nothing but the key": [],
        f"{MANY:,} capability policies of 8 rules, all live": list(_policies()),
        f"{MANY:,} purpose policies of {PURPOSES} purposes, all live": list(_purpose_policies()),
    }
    measured = {what: _measure(changes) for what, changes in kinds.items()}
    rows = [[what, *_cells(starts)] for what, starts in measured.items()]
    worst = max(_median([start.wall for start in starts]) for starts in measured.values())
    how = f"until `/readyz` answers 200, the imports included; {RUNS} starts each, on a store that exists"
    notes = [
        f"target: {MANY:,} policies under {TARGET_SECONDS:.0f} s: {worst:.2f}, {target(worst, TARGET_SECONDS)}",
        how,
    ]
    return [Table("Start of the service, SQLite", ["", "fastest", "median", "processor"], rows, notes)]


def _cells(starts: list[Start]) -> tuple[str, ...]:
    walls = [start.wall for start in starts]
    times = min(walls), _median(walls), _median([start.processor for start in starts])
    return tuple(f"{seconds:.2f} s" for seconds in times)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _policies() -> Iterator[Change]:
    text = policy_text(EIGHT)
    for i in range(MANY):
        yield Change(kind=Kind.POLICY, name=f"policy-{i}", expected=0, text=f"# {i}\n{text}", live=1)


def _purpose_policies() -> Iterator[Change]:
    for i in range(PURPOSES):
        text = f"id: purpose-{i}\nstatus: active\n"
        yield Change(kind=Kind.PURPOSE, name=f"purpose-{i}", expected=0, text=text, live=1)
    for i in range(MANY):
        text = (
            f"policy_id: p-{i}\npurpose_id: purpose-{i % PURPOSES}\ndecision: allow\nshadow_mode: false\n"
            f"match:\n  user_groups: [support-{i}]\n  data_source_id: source-{i % 10}\n"
        )
        yield Change(kind=Kind.PURPOSE_POLICY, name=f"p-{i}", expected=0, text=text, live=1)


def _measure(changes: list[Change]) -> list[Start]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        _start(path)  # makes the store
        if changes:
            with contextlib.closing(open_store(str(path))) as store, contextlib.closing(SqlDocuments(store)) as kept:
                kept.change("default", changes, author="benchmark", at=1, reason="many", notes=())
        return [_start(path) for _ in range(RUNS)]


def _start(path: Path) -> Start:
    """What it takes until the service is ready; it is stopped again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "onpurpose", "serve", "--database", str(path), "--port", str(port)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=AS_INSTALLED)
    try:
        while not _is_ready(port):
            if process.poll() is not None or time.perf_counter() - begun > PATIENCE_SECONDS:
                raise SystemExit("the service did not start")
            time.sleep(0.01)
        return Start(time.perf_counter() - begun, _processor_seconds(process.pid))
    finally:
        process.terminate()
        process.wait(60)


def _processor_seconds(pid: int) -> float:
    """What the process has had of the processor; not a number where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    report(tables)
