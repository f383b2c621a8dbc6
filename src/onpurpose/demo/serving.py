"""The demo as a whole: the history is written, then the service serves and the agents ask, until it is told to end."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from msgspec import Struct

from onpurpose.adapters.clock import SystemClock
from onpurpose.demo.classifier import NAME, Drawn, drifts_at
from onpurpose.demo.crowd import Crowd
from onpurpose.demo.history import Story, write_history
from onpurpose.demo.repertoire import Repertoire
from onpurpose.demo.workspace import Keys
from onpurpose.place import Options
from onpurpose.server import listening
from onpurpose.server.build import build, run
from onpurpose.server.services import Settings
from onpurpose.service import Service

_PER_MINUTE: Final = 1_000_000
"""The rate limit: the agents share one key."""


class Demo(Struct, frozen=True, kw_only=True):
    """What is shown: `sockets` are bound already, `file` is a database that is not there yet.

    `rate` is about how many calls a second the agents ask.
    """

    file: Path
    sockets: Sequence[socket.socket]
    repertoire: Repertoire
    story: Story
    rate: float

    @property
    def url(self) -> str:
        """Where it is looked at."""
        return f"http://{listening.place(self.sockets[0])}"


def prepare(demo: Demo, progress: Callable[[int], object]) -> Keys:
    """Write the history; `progress` is told how many more of its calls were asked. Raises `OnPurposeError`."""
    return write_history(_options(demo), demo.story, demo.repertoire, progress)


def serve(demo: Demo, keys: Keys, *, ready: Callable[[], object], seconds: float | None = None) -> None:
    """Serve until SIGINT or SIGTERM, or for so many seconds once it answers; `ready` is called in a thread then."""
    end = threading.Timer(seconds or 0.0, os.kill, (os.getpid(), signal.SIGINT))
    end.daemon = True

    def begun() -> None:
        ready()
        if seconds is not None:
            end.start()

    with ExitStack() as stack:
        service = Service(_options(demo))
        stack.callback(service.close)
        crowd = Crowd(demo.url, keys, demo.repertoire, rate=demo.rate, seed=demo.story.seed, ready=begun)
        stack.callback(crowd.stop)
        stack.callback(end.cancel)

        def close() -> None:
            crowd.stop()
            service.close()

        crowd.start()
        with suppress(KeyboardInterrupt):  # the server has ended in order, and passes on what ended it
            run(build(replace(service.services, close=close)), list(demo.sockets))


def _options(demo: Demo) -> Options:
    """Of the environment nothing is taken: no message leaves this machine."""
    return Options(
        database=str(demo.file),
        issuer=demo.url,
        settings=Settings(per_minute=_PER_MINUTE, classifier=NAME),
        classifier=Drawn(SystemClock(), drifts_at=drifts_at(demo.story.now)),
        environment={"ONPURPOSE_PUBLIC_URL": demo.url},
    )
