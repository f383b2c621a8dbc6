"""Keeping the feed up with the log: where both lie, the loop, and `python -m` of it beside a service.

As a process it is told on its standard input, in one line, where they lie; whatever comes after that, the
input's end included, ends it. So it ends with the service that started it, however that ends. On its standard
output it tells how far it is. What it loads, it loads once it is deaf to Ctrl-C, and as little as it can.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import ConflictError

if TYPE_CHECKING:
    from onpurpose.adapters.sql.engine import Store
    from onpurpose.adapters.sql.feed import SqlFeed, SqliteFollow
    from onpurpose.adapters.sql.postgres.follow import PostgresFollow
    from onpurpose.app.projection import Projector

log = logging.getLogger("onpurpose")

FOLLOW_SECONDS = 0.1
"""How long the process rests once it has come as far as the log: the more there is at once, the less each costs."""

TROUBLE_SECONDS = 1.0
"""How long it rests where something is amiss, or where another is at work."""

TELL_SECONDS = 1.0
"""How long it says nothing where nothing is new."""

END_SECONDS = 30.0
"""How long a step may take that was begun when the process was to end."""

NICENESS = 10
"""Calls come first: they are decided in other processes."""

COLLECTED = 50_000
"""After how many new objects the collector looks for cycles: a step makes thousands of objects, and hardly a cycle.

With Python's own 700 it took 5 to 9 % of the processor's time.
"""

LONGEST_LINE = 1 << 14
"""How many bytes a line has at most, in both directions."""

_LONGEST_TROUBLE = 2000  # characters; one of them takes six bytes at most


class Source(Struct, frozen=True):
    """Where a log lies, and the feed that is made of it: `database` is an absolute path, or a URL of PostgreSQL."""

    database: str

    @classmethod
    def of(cls, database: str) -> Source:
        """The source in a database as users name it: a path, `sqlite:///path`, or a URL of PostgreSQL."""
        if database.startswith(("postgresql:", "postgres:")):
            return cls(database.replace("postgres://", "postgresql://", 1))
        return cls(str(Path(database.removeprefix("sqlite:///")).absolute()))

    def __repr__(self) -> str:
        return "Source(...)"  # the URL may hold a password

    @property
    def is_postgres(self) -> bool:
        """Whether both lie in PostgreSQL."""
        return self.database.startswith("postgres")

    @property
    def path(self) -> Path:
        """The file of the log, in SQLite."""
        return Path(self.database)

    def follow(self) -> SqliteFollow | PostgresFollow:
        """The log, to be followed."""
        if self.is_postgres:
            from onpurpose.adapters.sql.postgres.follow import PostgresFollow  # noqa: PLC0415  an extra

            return PostgresFollow(self.database)
        from onpurpose.adapters.sql.feed import SqliteFollow  # noqa: PLC0415  slow to import

        return SqliteFollow(self.path)

    def feed(self, store: Store | None = None) -> SqlFeed:
        """The feed: beside the tables of PostgreSQL (the store's, if there is one), in a file of its own with SQLite.

        Without a store it is one that a service has open. Raises `StoreError`.
        """
        from onpurpose.adapters.sql.feed import SqlFeed, open_feed  # noqa: PLC0415  as above

        if not self.is_postgres:
            return open_feed(f"{self.path}.feed", shared=store is None)
        from onpurpose.adapters.sql.engine import open_store  # noqa: PLC0415  as above

        return SqlFeed((store or open_store(self.database)).engine)


class Word(Struct, frozen=True, forbid_unknown_fields=True):
    """What the process tells: how many records the feed is behind the log, and what is amiss, if anything is."""

    behind: Annotated[int, Meta(ge=0)]
    trouble: Annotated[str, Meta(max_length=_LONGEST_TROUBLE)] = ""


def keep_up(
    projector: Projector, stopped: threading.Event, tell: Callable[[int, str], None], *, rest: float = FOLLOW_SECONDS
) -> None:
    """Take step after step until it is stopped, and tell after each how far behind the feed is, and what is amiss.

    `rest`: how many seconds it waits once the feed has all of the log.
    """
    while not stopped.is_set():
        trouble, pause = "", TROUBLE_SECONDS
        try:
            began = time.monotonic()
            projector.step()
            took = time.monotonic() - began  # as long again for the calls, which come first
            pause = took if projector.behind else max(took, rest)
        except ConflictError:  # another process is at it
            pass
        except OnPurposeError as error:
            trouble = str(error)
        except Exception:
            log.exception("the feed could not follow the log")
        tell(projector.behind, trouble)
        stopped.wait(pause)


class _Teller:
    """Writes words down a pipe: those that say something new, and one from time to time that says all is well."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._behind = -1
        self._told = 0.0

    def tell(self, behind: int, trouble: str = "") -> None:
        """Raises `BrokenPipeError` where nobody listens."""
        now = time.monotonic()
        if behind == self._behind and not trouble and now - self._told < TELL_SECONDS:
            return
        self._behind, self._told = behind, now
        trouble = trouble[:_LONGEST_TROUBLE].encode("utf-8", "replace").decode()
        line = memoryview(msgspec.json.encode(Word(behind, trouble)) + b"\n")
        while line:
            line = line[self._file.write(line) :]


def main() -> None:
    """Follow the log into the feed until the standard input says otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which says when to end
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    given, told = FileIO(0, closefd=False), FileIO(os.dup(1), "w")
    with suppress(OSError):  # the service was started without an output for errors
        os.dup2(2, 1)  # whatever else prints, it is no word of ours
    try:
        source = msgspec.json.decode(given.readline(LONGEST_LINE), type=Source)
    except msgspec.MsgspecError:
        sys.exit("this is a part of `onpurpose serve`, which starts it")
    stopped = threading.Event()
    threading.Thread(target=_await_end, args=(given, stopped), daemon=True).start()
    with suppress(BrokenPipeError):
        _follow(source, _Teller(told).tell, stopped)


def _await_end(given: FileIO, stopped: threading.Event) -> None:
    with suppress(OSError):
        given.read(1)
    stopped.set()
    time.sleep(END_SECONDS)  # the end of the process ends this thread
    os._exit(1)


def _follow(source: Source, tell: Callable[[int, str], None], stopped: threading.Event) -> None:
    from onpurpose.app.projection import Projector  # noqa: PLC0415  slow to import

    with ExitStack() as closing:
        try:
            follow = source.follow()
            closing.callback(follow.close)
            feed = source.feed()
        except OnPurposeError as error:
            tell(0, str(error))
            sys.exit(1)
        # Let go of, and not closed: to bring it to the disk is for the service, which reads it until its own end.
        closing.callback(feed.engine.dispose)
        gc.collect()
        gc.freeze()
        gc.set_threshold(COLLECTED)
        keep_up(Projector(follow, feed), stopped, tell)


if __name__ == "__main__":
    main()
