"""Which processes serve together, and how each of them is: every one tells of itself, now and then, in the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from onpurpose.core.process import GONE_US, TELL_US, Process
from onpurpose.core.revision import StoreError
from onpurpose.ports import Clock

log = logging.getLogger("onpurpose")

UNKNOWN = "it could not tell whether it is ready; its log says why"


class Processes(Protocol):
    """Where processes tell of themselves. Raises `StoreError` where the store cannot be reached."""

    def put(self, process: Process, *, gone_before: int) -> None:
        """Keep what a process tells, in the place of what it told before, and forget those last seen before."""
        ...

    def remove(self, process_id: str) -> None:
        """Forget a process."""
        ...

    def all(self) -> list[Process]:
        """What every process told last, those first that run longest."""
        ...


class Presence:
    """One process among those that serve together. `ready` says what is not ready; `name` where it runs."""

    def __init__(
        self, processes: Processes, ready: Callable[[], list[str]], *, clock: Clock, process_id: str, name: str
    ) -> None:
        self._processes = processes
        self._ready = ready
        self._clock = clock
        self._told_at: int | None = None
        self.id = process_id
        self._name = name
        self._started_at = clock.now()

    def tell(self) -> None:
        """Tell how this process is, where that was not done just now. Raises `StoreError`."""
        now = self._clock.now()
        if self._told_at is not None and 0 <= now - self._told_at < TELL_US:
            return
        process = Process(
            id=self.id, name=self._name, started_at=self._started_at, seen_at=now, wrong=tuple(self._wrong())
        )
        self._processes.put(process, gone_before=now - GONE_US)
        self._told_at = now

    def leave(self) -> None:
        """Say nothing of this process any more: it ends as it should."""
        try:
            self._processes.remove(self.id)
        except StoreError as error:  # the others see that it is silent
            log.warning("the other processes could not be told of the end of this one: %s", error)

    def all(self) -> Sequence[Process]:
        """What every process told last, those first that run longest. Raises `StoreError`."""
        return self._processes.all()

    def _wrong(self) -> list[str]:
        try:
            return self._ready()
        except Exception:  # whatever it is, the others are to see that something is wrong here
            log.exception("the service could not tell whether it is ready")
            return [UNKNOWN]
