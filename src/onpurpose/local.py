"""Approvals of an embedded gate: kept beside its log, decided in the terminal by users of the operating system."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from onpurpose.adapters.clock import Beat, Ids, SystemClock
from onpurpose.core.routing import ANYONE, Route, Stage

if TYPE_CHECKING:
    from onpurpose.app.approvals import Desk
    from onpurpose.app.consent import Consent
    from onpurpose.app.masking import Masking
    from onpurpose.core.access import ApiKey
    from onpurpose.core.call import Call
    from onpurpose.core.decision import Decision
    from onpurpose.core.result import Result
    from onpurpose.ports import Ledger

ROUTE = Route(stages=(Stage(approvers=(ANYONE,)),))
"""Who is asked where the policy does not say: whoever may write the file of the approvals."""

log = logging.getLogger("onpurpose")

SWEEP_SECONDS = 1.0
"""How often what is due for approvals is done."""

UNUSABLE = "approvals cannot be kept now"
"""Why a call stays refused whose gate cannot ask."""

_PARENTS: list[LocalDesk] = []
"""In a forked child, the desks of its parent: kept, for their files must not be touched, not even to be closed."""


class LocalDesk:
    """The desk of the approvals in one file, and what it needs; the file is made by the first approval."""

    def __init__(self, path: Path, ledger: Ledger, masking: Masking) -> None:
        from onpurpose.adapters.os_users import os_users  # noqa: PLC0415  only who is asked needs all this
        from onpurpose.adapters.sql.local import LocalApprovals  # noqa: PLC0415
        from onpurpose.app.approvals import Desk  # noqa: PLC0415
        from onpurpose.app.consent import Consent  # noqa: PLC0415
        from onpurpose.app.outbox import Post  # noqa: PLC0415
        from onpurpose.core.purpose import Settings  # noqa: PLC0415

        settings = Settings(route=ROUTE)
        self.approvals = LocalApprovals(path)
        self.desk: Desk = Desk(
            self.approvals,
            Post(self.approvals, ledger),
            people=os_users,
            settings=lambda _: settings,
            clock=SystemClock(),
            new_id=Ids().new,
            masking=masking,
            ledger=ledger,
        )
        self.consent: Consent = Consent(self.desk, settings=lambda _: settings, waits=True)
        self._process = os.getpid()
        self._sweeping = threading.Lock()
        self._closed = False
        self._beat = Beat(self._sweep, SWEEP_SECONDS)

    def _sweep(self, _: Callable[[], None]) -> None:
        if os.getpid() != self._process:  # a forked child has a desk of its own
            return
        with self._sweeping:
            if not self._closed:
                self.desk.sweep()

    def close(self) -> None:
        """Let go of who waits, and of the file."""
        self._beat.stop()
        with self._sweeping:  # what is amid its work ends it first
            self._closed = True
        self.desk.close()
        self.approvals.close()


class Asking:
    """`app.gate.Asking` for a gate, made at its first use; in a forked child made anew. Thread-safe."""

    def __init__(self, make: Callable[[], LocalDesk]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: LocalDesk | None = None
        self._closed = False
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: asking._begin_anew() if (asking := reference()) else None)

    def use(
        self, approval_id: str, workspace: str, call: Call, decision: Decision, decision_id: str
    ) -> tuple[Decision, Mapping[str, object]]:
        """As `Consent.use`."""
        from onpurpose.app.consent import unusable  # noqa: PLC0415  only who is asked needs all this

        consent = self._consent()
        if consent is None:
            return unusable(approval_id, decision, UNUSABLE)
        return consent.use(approval_id, workspace, call, decision, decision_id)

    def ask(self, result: Result, workspace: str, key: ApiKey | None) -> Result:
        """As `Consent.ask`."""
        from onpurpose.app.consent import unasked  # noqa: PLC0415  only who is asked needs all this

        consent = self._consent()
        return unasked(result, UNUSABLE) if consent is None else consent.ask(result, workspace, key)

    def close(self) -> None:
        """Let go, for good; may be called twice."""
        with self._lock:
            made, self._made = self._made, None
            self._closed = True
        if made is not None:
            made.close()

    def _consent(self) -> Consent | None:
        """What asks people; `None` where it cannot, or no more: a gate that is closed uses up no grant."""
        with self._lock:
            if self._closed:
                return None
            if self._made is None:
                try:
                    self._made = self._make()
                except Exception:
                    log.exception("approvals cannot be kept here; what needs a person stays refused")
                    return None
            return self._made.consent

    def _begin_anew(self) -> None:
        """In a forked child, whose parent may have held the lock and used the file just then."""
        self._lock = threading.Lock()
        if self._made is not None:
            _PARENTS.append(self._made)
            self._made = None


def approvals_beside(log: Path) -> Path:
    """Where the approvals of a log lie unless it is said."""
    return log.with_name(f"{log.name}.approvals")
