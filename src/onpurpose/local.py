"""Approvals of an embedded gate: kept beside its log, decided in the terminal by users of the operating system."""

from __future__ import annotations

import threading
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

SWEEP_SECONDS = 1.0
"""How often what is due for approvals is done."""


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
        self._store = LocalApprovals(path)
        self.desk: Desk = Desk(
            self._store,
            Post(self._store, ledger),
            people=os_users,
            settings=lambda _: settings,
            clock=SystemClock(),
            new_id=Ids().new,
            masking=masking,
            ledger=ledger,
        )
        self.consent: Consent = Consent(self.desk, settings=lambda _: settings, waits=True)
        self._beat = Beat(self._sweep, SWEEP_SECONDS)

    def _sweep(self, _: Callable[[], None]) -> None:
        self.desk.sweep()

    def close(self) -> None:
        """Let go of who waits, and of the file."""
        self._beat.stop()
        self.desk.close()
        self._store.close()


class Asking:
    """`app.gate.Asking` for a gate, made at its first use. Thread-safe."""

    def __init__(self, make: Callable[[], LocalDesk]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: LocalDesk | None = None

    def use(
        self, approval_id: str, workspace: str, call: Call, decision: Decision, decision_id: str
    ) -> tuple[Decision, Mapping[str, object]]:
        """As `Consent.use`."""
        return self._consent().use(approval_id, workspace, call, decision, decision_id)

    def ask(self, result: Result, workspace: str, key: ApiKey | None) -> Result:
        """As `Consent.ask`."""
        return self._consent().ask(result, workspace, key)

    def close(self) -> None:
        """Let go; may be called twice."""
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()

    def _consent(self) -> Consent:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made.consent


def approvals_beside(log: Path) -> Path:
    """Where the approvals of a log lie unless it is said."""
    return log.with_name(f"{log.name}.approvals")
