"""Attempts on approvals and to sign in that were turned away: recorded, but never so many as to flood the log."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable

import orjson

from onpurpose.app.intent_context import visible
from onpurpose.app.masking import Masking
from onpurpose.app.notes import VERSION
from onpurpose.core.record import Record
from onpurpose.ports import Clock, Ledger

log = logging.getLogger("onpurpose")

MOST_A_MINUTE = 60
"""How many attempts are recorded in a minute by one process, unless said otherwise; of more, how many there were."""

_MINUTE = 60_000_000
_ID = re.compile("[0-9a-f]{32}")
"""What we call approvals ourselves."""

_LONGEST = 500


class TurnedAway:
    """Records attempts, those on approvals as `approval.refused`. Thread-safe; never raises, and waits for nothing."""

    def __init__(
        self,
        ledger: Ledger | None,
        masking: Masking,
        *,
        clock: Clock,
        new_id: Callable[[int], str],
        most: int = MOST_A_MINUTE,
    ) -> None:
        self._ledger = ledger
        self._most = most
        self._masking = masking
        self._clock = clock
        self._new_id = new_id
        self._lock = threading.Lock()
        self._minute = -1
        self._count = 0
        self._left_out = 0

    def __call__(self, why: str, *, workspace: str = "", approval_id: str = "", who: str = "", via: str = "") -> None:
        """One attempt: why it was turned away, on what, and what is known of who tried. The texts are bounded."""
        self.record("approval.refused", why, workspace=workspace, by=who, via=via, approval=approval_id)

    def record(self, kind: str, why: str, **told: str) -> None:
        """One attempt, as a record of that kind: why it was turned away, and what is told of it, bounded."""
        try:
            at = self._clock.now()
            left_out = self._admit(at)
            if left_out is None or self._ledger is None:
                return
            body = {
                "v": VERSION,
                "kind": kind,
                "id": self._new_id(at),
                "at": at,
                **{name: self._shown(text) for name, text in told.items()},
                "why": self._shown(why),
                "not_recorded": left_out,
            }
            self._ledger.append(Record(kind, orjson.dumps(body)))
        except Exception:  # whoever is turned away stays so
            log.exception("an attempt was turned away, and could not be recorded")

    def _admit(self, at: int) -> int | None:
        """How many were left out since the last one that was recorded; `None` where this one is, too."""
        with self._lock:
            if at // _MINUTE != self._minute:
                self._minute, self._count = at // _MINUTE, 0
            if self._count >= self._most:
                self._left_out += 1
                return None
            self._count += 1
            left_out, self._left_out = self._left_out, 0
            return left_out

    def _shown(self, text: str) -> str:
        if _ID.fullmatch(text):  # its digits may look like those of a card, and are no secret
            return text
        return visible(self._masking.text(text[: 4 * _LONGEST].encode("utf-8", "replace").decode()))[:_LONGEST]
