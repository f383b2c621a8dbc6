"""Waiting for approvals: for thousands of them, one thread looks at what the store holds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

from onpurpose.core.approval import Approval, State
from onpurpose.core.revision import MissingError
from onpurpose.ports import Approvals, Clock
from onpurpose.waiting import Promise

log = logging.getLogger("onpurpose")

POLL_SECONDS = 0.5
"""How often the store is asked for what other processes changed; a change made here is told at once."""

_AT_ONCE = 500
_REST = 10
"""How many times as long as a look took it is before the next one: many who wait are no load."""


_Key = tuple[str, str]
"""A workspace and the id of an approval in it."""


class _Waited:
    """An approval that somebody waits for: as it was last seen, and whom to tell."""

    __slots__ = ("promises", "until", "version")

    def __init__(self) -> None:
        self.version = 0
        self.until = 0
        self.promises: list[Promise[Approval]] = []


class Waits:
    """Keeps promises of approvals that are not pending any more. Thread-safe.

    `load` gives an approval as of now, or raises `MissingError`. The thread is started by the first who waits.
    """

    def __init__(
        self,
        approvals: Approvals,
        load: Callable[[str, str], Approval],
        *,
        clock: Clock,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._approvals = approvals
        self._load = load
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._changed = threading.Condition()
        self._waited: dict[_Key, _Waited] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def watch(self, workspace: str, approval_id: str) -> Promise[Approval]:
        """A promise of the approval once it is decided or over. Whoever does not wait any more cancels it.

        It is kept with `MissingError` where there is none, and cancelled when this is closed. Raises `StoreError`.
        """
        promise: Promise[Approval] = Promise()
        key = (workspace, approval_id)
        with self._changed:  # registered before it is looked at, so that no change falls in between
            if self._closed:
                promise.cancel()
                return promise
            self._waited.setdefault(key, _Waited()).promises.append(promise)
            self._start()
        promise.add_done_callback(lambda done: self._forget(key, done))
        try:
            self._look(key)
        except BaseException:
            promise.cancel()
            raise
        return promise

    def changed(self, approval: Approval) -> None:
        """Tell who waits for it how it stands."""
        key = (approval.workspace, approval.id)
        with self._changed:
            waited = self._waited.get(key)
            if waited is not None and approval.state is State.PENDING:
                waited.version, waited.until = max(waited.version, approval.version), approval.until
                return
            promises = self._taken(key)
        for promise in promises:
            if promise.set_running_or_notify_cancel():
                promise.set_result(approval)

    def poll(self) -> None:
        """Look once at all that is waited for: what others changed, and whose time is over."""
        now = self._clock.now()
        with self._changed:
            seen = [(key, one.version, one.until) for key, one in self._waited.items()]
        for start in range(0, len(seen), _AT_ONCE):
            part = seen[start : start + _AT_ONCE]
            versions = self._approvals.versions([approval_id for (_, approval_id), _, _ in part])
            for key, version, until in part:
                if versions.get(key[1]) != version or now >= until:
                    self._look(key)

    def close(self) -> None:
        """Stop the thread; the promises of whoever still waits are cancelled."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            thread = self._thread
            left = [promise for key in list(self._waited) for promise in self._taken(key)]
        for promise in left:
            promise.cancel()
        if thread is not None:
            thread.join()

    def _look(self, key: _Key) -> None:
        try:
            self.changed(self._load(*key))
        except MissingError as error:
            with self._changed:
                promises = self._taken(key)
            for promise in promises:
                if promise.set_running_or_notify_cancel():
                    promise.set_exception(error)

    def _taken(self, key: _Key) -> list[Promise[Approval]]:
        """Whom to tell, by one thread alone."""
        waited = self._waited.pop(key, None)
        return [] if waited is None else waited.promises

    def _forget(self, key: _Key, promise: Promise[Approval]) -> None:
        with self._changed:
            waited = self._waited.get(key)
            if waited is not None and promise in waited.promises:
                waited.promises.remove(promise)
                if not waited.promises:
                    del self._waited[key]

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():  # none survives a fork
            self._thread = threading.Thread(target=self._run, name="onpurpose-approvals", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run(self) -> None:
        pause = self._poll_seconds
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waited or self._closed)
                self._changed.wait_for(lambda: self._closed, pause)
                if self._closed:
                    return
            begun = monotonic()
            try:
                self.poll()
            except Exception:  # a store that is down now may be up at the next look
                log.exception("approvals that are waited for could not be looked at")
            pause = max(self._poll_seconds, _REST * (monotonic() - begun))
