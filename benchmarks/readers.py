"""A thousand people with the feed open: what do their streams cost the service, at rest and while agents ask?

    python benchmarks/readers.py [--readers 1000] [--seconds 10] [--rate 20] [--json]

The service runs in a process of its own, on SQLite. The same is asked of the programs' stream of decisions.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from common import HERE, Table, report
from dashboard import TOKEN, furnish, sign_in

sys.path.insert(0, str(HERE.parent))

from tests.service.process import Process, ask, running

READERS = 1000
SECONDS = 10.0
RATE = 20
SETTLE_SECONDS = 3.0
STREAMS = {
    "the dashboard's feed": ("/decisions/live", f"Cookie: onpurpose={TOKEN}"),
    "the dashboard's feed, narrowed by agent": ("/decisions/live?agent=ops", f"Cookie: onpurpose={TOKEN}"),
    "`/v1/decisions/stream`": ("/v1/decisions/stream", "Authorization: Bearer {key}"),
}


class Spent(NamedTuple):
    """Processor seconds of the service for each second at rest and while calls came, and what readers then saw."""

    at_rest: float
    busy: float
    alone: float
    behind: list[float]
    told: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readers", type=int, default=READERS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rate", type=int, default=RATE)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    report(lambda: tables(chosen.readers, chosen.seconds, chosen.rate))


def tables(readers: int, seconds: float, rate: int) -> list[Table]:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=HERE) as folder:
        database = Path(folder) / "onpurpose.db"
        with running(str(database), Path(folder)) as process:
            furnish(process)
            sign_in(database)
            spent = {name: asyncio.run(measured(process, name, readers, seconds, rate)) for name in STREAMS}
    rows = [
        [name, f"{one.at_rest:.1%}", f"{one.busy:.1%}", f"{one.alone:.1%}", f"{one.told / seconds / readers:.1f}",
         f"{1000 * median(one.behind):,.0f}", f"{1000 * max(one.behind):,.0f}"]
        for name, one in spent.items()
    ]  # fmt: skip
    notes = [
        f"{readers:,} readers of one workspace, {seconds:g} s each at rest and with {rate} calls a second",
        "the service's processor time as a share of one core; `alone` are the same calls with one reader",
        "events that each reader was sent a second, and how long after its answer a decision was told to a reader",
    ]
    columns = ["", "at rest", "calls come", "alone", "events/s", "median ms", "longest ms"]
    return [Table("Open feeds", columns, rows, notes)]


async def measured(process: Process, name: str, readers: int, seconds: float, rate: int) -> Spent:
    path, who = STREAMS[name]
    asked = (path, who.format(key=process.key))
    async with gathered(process, asked, 1):
        alone = await while_called(process, seconds, rate)
    async with gathered(process, asked, readers) as told:
        await asyncio.sleep(SETTLE_SECONDS)
        began = processor(process)
        await asyncio.sleep(seconds)
        at_rest = (processor(process) - began) / seconds
        told.clear()
        behind: list[float] = []
        busy = await while_called(process, seconds, rate, told, behind)
    return Spent(at_rest, busy, alone, behind, sum(told.values()))


async def while_called(
    process: Process, seconds: float, rate: int, told: dict[int, int] | None = None, behind: list[float] | None = None
) -> float:
    """The share of a core that the service takes while calls are decided."""
    began, start = processor(process), time.monotonic()
    with process.client() as client:
        while time.monotonic() - start < seconds:
            await asyncio.to_thread(ask, client)
            answered, before = time.monotonic(), (told or {}).get(0, 0)
            if told is not None and behind is not None and len(behind) < 5:
                while told.get(0, 0) == before and time.monotonic() - answered < 5:
                    await asyncio.sleep(0.005)
                behind.append(time.monotonic() - answered)
            await asyncio.sleep(1 / rate)
    return (processor(process) - began) / (time.monotonic() - start)


@asynccontextmanager
async def gathered(process: Process, asked: tuple[str, str], count: int) -> AsyncIterator[dict[int, int]]:
    """So many streams that are open, and how many events each was sent."""
    told: dict[int, int] = {}
    turns = asyncio.Semaphore(20)
    begun = asyncio.Semaphore(0)

    async def read(number: int) -> None:
        path, who = asked
        async with turns:
            reader, writer = await asyncio.open_connection("127.0.0.1", process.port, limit=1 << 22)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{process.port}\r\n{who}\r\n\r\n".encode())
            head = await reader.readuntil(b"retry: 1000\n\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            begun.release()
        try:
            while chunk := await reader.read(1 << 16):
                told[number] = told.get(number, 0) + chunk.count(b"\nid: ") + chunk.startswith(b"id: ")
        finally:
            writer.close()

    tasks = [asyncio.create_task(read(number)) for number in range(count)]
    try:
        for _ in range(count):
            await begun.acquire()
        yield told
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def processor(process: Process) -> float:
    """Processor seconds that the service has taken so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text("ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
