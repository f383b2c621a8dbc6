"""Backtests while somebody watches: each on a thread of its own, told how far it is, ended where it is not wanted."""

from __future__ import annotations

import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from onpurpose.app.backtest import Backtested, Backtests, Member
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import ConflictError

log = logging.getLogger("onpurpose")

MOST_KEPT = 100
"""How many are remembered in a process, those that were begun last."""


class Trial(Struct, frozen=True, kw_only=True):
    """A backtest that was begun: `judged` of `chosen` calls so far.

    While `running` there is neither `done` nor `error`. It ended without both where it failed for no known reason.
    """

    id: str
    workspace: str
    judged: int = 0
    chosen: int = 0
    running: bool = True
    done: Backtested | None = None
    error: OnPurposeError | None = None


class Trials:
    """Runs backtests, one of a workspace at a time, and remembers what came of them. Thread-safe.

    They live with the process: one that was begun in another is not known here.
    """

    def __init__(self, backtests: Backtests, *, new_id: Callable[[], str] = lambda: secrets.token_hex(16)) -> None:
        self._backtests = backtests
        self._new_id = new_id
        self._known: OrderedDict[str, Trial] = OrderedDict()
        self._cancelled: set[str] = set()
        self._changed = threading.Condition()

    def start(self, workspace: str, members: Sequence[Member], *, since: int, until: int, limit: int) -> Trial:
        """Begin what `Backtests.run` does. `ConflictError` while one of the workspace runs."""
        with self._changed:
            if any(one.running and one.workspace == workspace for one in self._known.values()):
                raise ConflictError("a backtest is running already; ask again when it is done")
            trial = Trial(id=self._new_id(), workspace=workspace)
            self._known[trial.id] = trial
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
        work = (trial, members, since, until, limit)
        threading.Thread(target=self._run, args=work, name="onpurpose-trial", daemon=True).start()
        return trial

    def find(self, workspace: str, trial_id: str) -> Trial | None:
        """The workspace's trial of that id; `None` where it is not known here, or not any more."""
        found = self._known.get(trial_id)
        return found if found is not None and found.workspace == workspace else None

    def wait(self, trial: Trial, seconds: float) -> Trial:
        """The trial as it is once it has ended, or after so long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._now(trial).running, seconds)
            return self._now(trial)

    def cancel(self, workspace: str, trial_id: str) -> None:
        """Have it end soon with what it has judged by then. One that has ended stays as it is."""
        with self._changed:
            found = self.find(workspace, trial_id)
            if found is not None and found.running:
                self._cancelled.add(trial_id)

    def _run(self, trial: Trial, members: Sequence[Member], since: int, until: int, limit: int) -> None:
        def seen(judged: int, chosen: int) -> None:
            self._note(trial, judged=judged, chosen=chosen)

        ended: dict[str, object] = {"running": False}
        try:
            ended["done"] = self._backtests.run(
                trial.workspace, members, since=since, until=until, limit=limit, seen=seen,
                cancelled=lambda: trial.id in self._cancelled,
            )  # fmt: skip
        except OnPurposeError as error:
            ended["error"] = error
        except Exception:
            log.exception("a backtest could not be finished")
        finally:
            self._note(trial, **ended)

    def _note(self, trial: Trial, **told: object) -> None:
        with self._changed:
            now = replace(self._now(trial), **told)
            if trial.id in self._known:
                self._known[trial.id] = now
            if not now.running:
                self._cancelled.discard(trial.id)
            self._changed.notify_all()

    def _now(self, trial: Trial) -> Trial:
        return self._known.get(trial.id, trial)
