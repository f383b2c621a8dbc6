"""`onpurpose demo` as a newcomer meets it: a process of its own, asked over HTTP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import orjson

from tests.loopback import asking

START_SECONDS = 120
PATIENCE_SECONDS = 60
KEY = re.compile(r"op_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")


class Shown:
    """One `onpurpose demo`, once it printed `told`. `visitor` and `admin` are the keys that it printed."""

    visitor = admin = url = ""

    def __init__(self, *options: str, folder: Path, told: str = "Ctrl-C ends it") -> None:
        self._awaited = told
        command = [sys.executable, "-m", "onpurpose", "demo", "--port", "0", *options]
        around = {**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(folder)}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder, env=around
        )
        self._told = threading.Event()
        self._lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._told.wait(START_SECONDS) or told not in self.output:
            self._process.kill()
            self._end()
            raise AssertionError(f"the demo did not begin:\n{self.output}")
        if keys := KEY.findall(self.output):
            self.admin, self.visitor = keys
            self.url = re.search(r"http://127\.0\.0\.1:\d+", self.output)[0]  # type: ignore[index]  # it was told

    @property
    def output(self) -> str:
        return "".join(self._lines)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            if self._awaited in line:
                self._told.set()
        self._told.set()

    def client(self, key: str) -> httpx2.Client:
        return asking(self.url, key, timeout=60)

    def interrupt(self) -> int:
        """Press Ctrl-C; its exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._end()

    def terminate(self) -> int:
        """Have it ended as a supervisor would; its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._end()

    def wait(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self._end()

    def _end(self) -> int:
        try:
            return self._process.wait(60)
        finally:
            self._process.kill()
            self._reader.join(30)
            assert self._process.stdout is not None
            self._process.stdout.close()


def every(client: httpx2.Client, path: str, most: int = 1_000_000) -> Iterator[dict[str, Any]]:
    """The items of a list, newest first; no further page once there were so many."""
    cursor: dict[str, str] = {}
    while True:
        page = client.get(path, params={"limit": "100", **cursor}).raise_for_status().json()
        yield from page["items"]
        most -= len(page["items"])
        if page["next"] is None or most <= 0:
            return
        cursor = {"cursor": str(page["next"])}


def coming(client: httpx2.Client, count: int) -> list[dict[str, Any]]:
    """The next so many decisions, as the stream sends them; waits for them."""
    return list(islice(stream(client), count))


def stream(client: httpx2.Client) -> Iterator[dict[str, Any]]:
    """The decisions that come, as they do; it fails where they are waited for too long."""
    until = time.monotonic() + PATIENCE_SECONDS
    with client.stream("GET", "/v1/decisions/stream") as answer:
        for line in answer.iter_lines():  # a heartbeat at least
            assert time.monotonic() < until, f"not in {PATIENCE_SECONDS} s"
            if line.startswith("data:"):
                yield orjson.loads(line.removeprefix("data:"))
