"""Checking the whole log while somebody watches: one check at a time in this process, told how far it is."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from onpurpose.core.chain import Report
from onpurpose.ports import Clock

log = logging.getLogger("onpurpose")

Verify = Callable[[Callable[[int], None]], Report]
"""Checks the whole log, telling how many records it has read."""


class Check(Struct, frozen=True, kw_only=True):
    """A check of the log that `by` asked for. Times are microseconds UTC; `ended` is `None` while it runs.

    `read` of about `total` records were read. `own` is how many of them are the workspace's, `None` where that
    is not known. `failed`: it ended without a report.
    """

    workspace: str
    by: str
    began: int
    total: int = 0
    read: int = 0
    ended: int | None = None
    report: Report | None = None
    own: int | None = None
    failed: bool = False


class Checks:
    """Runs checks on a thread of their own, and keeps the last one of each workspace. Thread-safe.

    `busy` is held while one runs: whoever else checks the log holds it, too. `count` tells how many records a
    workspace has, `size` how many the log has, both roughly as of now.
    """

    def __init__(
        self,
        verify: Verify,
        *,
        busy: threading.Lock,
        size: Callable[[], int],
        count: Callable[[str], int | None],
        clock: Clock,
    ) -> None:
        self._verify = verify
        self._busy = busy
        self._size = size
        self._count = count
        self._clock = clock
        self._checks: dict[str, Check] = {}

    def start(self, workspace: str, by: str) -> bool:
        """Begin a check, unless one runs, here or for somebody else; whether this one was begun."""
        if not self._busy.acquire(blocking=False):
            return False
        try:
            self._checks[workspace] = Check(workspace=workspace, by=by, began=self._clock.now())
            threading.Thread(target=self._run, args=(workspace,), name="onpurpose-check", daemon=True).start()
        except BaseException:
            self._busy.release()
            raise
        return True

    def last(self, workspace: str) -> Check | None:
        """The check that runs for the workspace, or the last one that did."""
        return self._checks.get(workspace)

    def is_busy(self) -> bool:
        """Whether any check of the log runs."""
        return self._busy.locked()

    def _run(self, workspace: str) -> None:
        def read(count: int) -> None:
            self._note(workspace, read=count)

        try:
            self._note(workspace, total=self._size())
            report = self._verify(read)
            own = self._count(workspace)
            self._note(workspace, report=report, own=own, read=report.records, ended=self._clock.now())
        except Exception:
            log.exception("the log could not be checked")
            self._note(workspace, failed=True, ended=self._clock.now())
        finally:
            self._busy.release()

    def _note(self, workspace: str, **told: object) -> None:
        self._checks[workspace] = replace(self._checks[workspace], **told)
