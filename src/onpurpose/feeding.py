"""What keeps a service's feed up with its log: a thread of the service, or a process beside it.

The process leaves the interpreter to the calls; a thread costs nothing where there are few.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import msgspec

from onpurpose.adapters.sql.feed import SqlFeed
from onpurpose.app.projection import Projector
from onpurpose.follower import END_SECONDS, LONGEST_LINE, TROUBLE_SECONDS, Source, Word, keep_up

log = logging.getLogger("onpurpose")

THREAD_SECONDS = 0.05
"""How long the thread rests once the feed has all of the log."""

SILENT_SECONDS = 10.0
"""A process that has said nothing for so long is not as it should be."""

MOST_BEHIND = 1_000_000
"""A feed that is so many records behind the log is not ready to be read."""

_WORD = msgspec.json.Decoder(Word)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Feeding(Protocol):
    """What keeps a feed up with its log, from when it is made until it is closed."""

    @property
    def behind(self) -> int:
        """How many records the feed was behind the log when that was last looked at."""
        ...

    def unready(self) -> list[str]:
        """What is not ready, one line each; nothing where all is."""
        ...

    def close(self) -> None:
        """Add nothing more to the feed; a step that is begun is finished. May be called twice."""
        ...


def feeding(source: Source, feed: SqlFeed, *, apart: bool) -> Feeding:
    """What keeps the feed up, at work: a process of its own if it is to be `apart`."""
    return FeedProcess(source) if apart else FeedThread(source, feed)


class FeedThread:
    """A thread of this process."""

    def __init__(self, source: Source, feed: SqlFeed) -> None:
        self._follow = source.follow()
        self._projector = Projector(self._follow, feed)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="onpurpose-feed", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        keep_up(self._projector, self._stopped, lambda _, trouble: _warn(trouble), rest=THREAD_SECONDS)

    @property
    def behind(self) -> int:
        """How many records the feed was behind the log after the last step."""
        return self._projector.behind

    def unready(self) -> list[str]:
        """What is not ready, one line each; nothing where all is."""
        return _too_far_behind(self.behind)

    def close(self) -> None:
        """Stop after the step that is begun."""
        self._stopped.set()
        self._thread.join()
        self._follow.close()


class FeedProcess:
    """A process of its own, that is started anew whenever it ends; `command` is what is run.

    What it tells is read strictly. One that says what cannot be read is killed: it is not what was started.
    """

    def __init__(self, source: Source, command: Sequence[str] = ()) -> None:
        self._source = source
        self._command = command
        self._owner = os.getpid()
        self._behind = 0
        self._heard = time.monotonic()
        self._unstarted = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="onpurpose-feed", daemon=True)
        self._thread.start()

    @property
    def behind(self) -> int:
        """How many records the feed was behind the log when the process last told."""
        return self._behind

    def unready(self) -> list[str]:
        """What is not ready, one line each; nothing where all is."""
        missing = _too_far_behind(self._behind)
        if self._unstarted:
            missing.append(f"the feed's process cannot be started: {self._unstarted}")
        silent = time.monotonic() - self._heard
        if silent > SILENT_SECONDS:
            missing.append(f"the feed's process says nothing for {silent:.0f} s")
        return missing

    def close(self) -> None:
        """Have the process end after the step that is begun; kill it if that takes too long. May be called twice."""
        if os.getpid() != self._owner:
            return  # a fork of the service's process: this is not its child
        self._stopped.set()
        with self._starting:
            process = self._process
        if process is not None:
            _end(process)
        self._thread.join(END_SECONDS)

    # -- the thread

    def _run(self) -> None:
        while not self._stopped.is_set():
            ended = ""
            try:
                process = self._start()
                ended = self._attend(process) if process is not None else ""
            except Exception:
                log.exception("the feed could not follow the log")
            # Told after the rest: one that ends because all of the service does needs no words.
            if not self._stopped.wait(TROUBLE_SECONDS) and ended:
                log.warning("%s; another one is started", ended)

    def _start(self) -> subprocess.Popen[bytes] | None:
        """A process; none where that cannot be, or no longer is to be."""
        pipe = subprocess.PIPE
        with self._starting:
            if self._stopped.is_set():
                return None
            try:
                self._process = subprocess.Popen(  # noqa: S603  our own words
                    self._command or _command(), stdin=pipe, stdout=pipe, env=_environment()
                )
            except OSError as error:
                self._unstarted = error.strerror or type(error).__name__
                _warn(f"its process cannot be started: {self._unstarted}")
                return None
        self._unstarted = ""
        return self._process

    def _attend(self, process: subprocess.Popen[bytes]) -> str:
        """Hear the process until it ends; how that was."""
        with process:
            try:
                self._hear(process)
            except _UNREADABLE:
                _warn("its process says what cannot be read")
                process.kill()
            finally:
                _end(process)
        return f"the feed's process {process.pid} ended with status {process.returncode}"

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018  they are pipes
        with suppress(BrokenPipeError):  # it has ended already, which is told below
            process.stdin.write(msgspec.json.encode(self._source) + b"\n")
            process.stdin.flush()
        for word in _words(process.stdout):
            self._heard = time.monotonic()
            self._behind = word.behind
            _warn(word.trouble)


def _words(file: IO[bytes]) -> Iterator[Word]:
    """What is told until the file's end. Raises one of `_UNREADABLE`."""
    while line := file.readline(LONGEST_LINE):
        if len(line) < LONGEST_LINE and not line.endswith(b"\n"):
            return  # killed amid a word
        yield _WORD.decode(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Tell it to end, and kill it if it does not."""
    assert process.stdin is not None  # noqa: S101  it is a pipe
    with suppress(OSError, ValueError):  # it has ended, or was told before
        process.stdin.write(b"\n")  # the end of the input is not enough where a fork of this process holds it open
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
        return
    log.warning("the feed's process %s does not end, and is killed", process.pid)
    process.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)


def _command() -> list[str]:
    # It finds modules where we do: in the folder that we are in only if we look there too.
    here = {"", str(Path.cwd())} & set(sys.path)
    return [sys.executable, *([] if here else ["-P"]), "-m", "onpurpose.follower"]


def _environment() -> dict[str, str]:
    """Ours, without what is told of a service in it, secrets among them."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ONPURPOSE_")}


def _too_far_behind(behind: int) -> list[str]:
    return [f"the feed is {behind:,} records behind the log"] if behind > MOST_BEHIND else []


def _warn(trouble: str) -> None:
    if trouble:
        log.warning("the feed cannot follow the log: %s", trouble)
