"""The service as its users run it: a process of its own, asked over HTTP."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import orjson

from tests.loopback import asking

START_SECONDS = 90
SHELL = "deny:\n  - capability: shell.execute\n    contains: rm -rf\nallow:\n  - capability: shell.execute\n"
CALL = {"agent_id": "ops", "capability": "shell.execute", "payload": {"command": "ls -la"}}
SET_ASIDE = {"min_matched": 0, "min_days": 0, "would_deny": 1}
"""What a promotion without any traffic behind it must name."""


class Process:
    """One `onpurpose serve`. `key` is the admin key that its first start printed (or the one given).

    `environment` is laid over that of the tests; a `port` is free for it where none is given.
    """

    def __init__(
        self,
        database: str,
        directory: Path,
        *,
        key: str = "",
        options: tuple[str, ...] = (),
        port: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.database = database
        self.url = f"http://127.0.0.1:{self.port}"
        command = [
            sys.executable, "-m", "onpurpose", "serve", "--database", database, "--directory", str(directory),
            "--port", str(self.port), "--per-minute", "100000000", *options,
        ]  # fmt: skip
        around = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=around
        )
        self.output: list[str] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listening.wait(START_SECONDS):
            self.kill()
            raise AssertionError("the service did not start:\n" + "".join(self.output))
        found = re.search(r"op_[a-z0-9]{8}_[A-Za-z0-9_-]{43}", "".join(self.output))
        self.key = found[0] if found else key

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line)
            if "onpurpose listens on" in line:
                self._listening.set()
        self._listening.set()

    def client(self, **settings: Any) -> httpx2.Client:
        """A client that asks with the key."""
        return asking(self.url, self.key, **settings)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._end()

    def stop(self, word: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and wait; its exit code."""
        self._process.send_signal(word)
        return self._end()

    def _end(self) -> int:
        code = self._process.wait(30)
        self._reader.join(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None


def eventually(found: Callable[[], Any], seconds: float = 30) -> Any:
    """What is found once there is something."""
    until = time.monotonic() + seconds
    while not (there := found()):
        assert time.monotonic() < until, "it is not found"
    return there


def free_port() -> int:
    """A port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(database: str, directory: Path, **settings: Any) -> Iterator[Process]:
    """A service that is stopped in the end."""
    process = Process(database, directory, **settings)
    try:
        yield process
    finally:
        if process.running:
            process.stop()


def put_in_force(client: httpx2.Client, text: str = SHELL, name: str = "shell") -> None:
    """Save a capability policy and promote it, traffic or none."""
    saved = client.put(f"/v1/policies/{name}?reason=test", content=text, headers={"Content-Type": "application/yaml"})
    assert saved.status_code == 200, saved.text
    done = client.post(f"/v1/policies/{name}/promote", json={"reason": "test", "overrides": SET_ASIDE})
    assert done.status_code == 200, done.text


def ask(client: httpx2.Client, **fields: object) -> dict[str, Any]:
    """The answer to one call."""
    answer = client.post("/v1/evaluate", content=orjson.dumps({**CALL, **fields}))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


class Load:
    """Callers that ask without a pause until stopped; `answered` are the decisions that were acknowledged."""

    def __init__(self, process: Process, callers: int = 8) -> None:
        self.answered: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self._process = process
        self._stop = threading.Event()
        self._enough = threading.Condition()
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _call(self) -> None:
        with self._process.client() as client:
            while not self._stop.is_set():
                try:
                    answer = ask(client)
                except (httpx2.HTTPError, AssertionError) as error:
                    with self._enough:
                        self.refused.append(str(error))
                        self._enough.notify_all()
                    if not self._process.running:
                        return
                    continue
                with self._enough:
                    self.answered.append((answer["decision_id"], answer["outcome"]))
                    self._enough.notify_all()

    def wait_for(self, outcome: str, count: int, seconds: float = 30) -> None:
        """Return once so many more answers of that outcome have come."""
        with self._enough:
            start = len(self.answered)
            met = self._enough.wait_for(
                lambda: sum(one == outcome for _, one in self.answered[start:]) >= count, seconds
            )
        assert met, f"not {count} answers of {outcome} in {seconds} s; {self.refused[-3:]}"

    def stop(self) -> None:
        """No further calls."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
