"""A stand-in for a classifier of intents: its views are drawn, not found, so that its numbers can be looked at."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from onpurpose.core.call import Call
from onpurpose.core.intent import Intent
from onpurpose.core.purpose import IntentClass
from onpurpose.demo.moved_clock import DAY
from onpurpose.ports import Clock

NAME: Final = "demo"

_VERBS: Final = (
    (("export",), IntentClass.EXPORT),
    (("lookup", "get_", "read", "search"), IntentClass.LOOKUP),
    (("execute", "invite", "password", "remove"), IntentClass.ADMIN),
    (("send", "issue", "update", "transfer", "refund", "write", "reply", "schedule", "post", "add"), IntentClass.WRITE),
)


class Drawn:
    """Says of each call what its tool's name says, and how sure it claims to be by the call and the time alone.

    Of what support looks up it is less sure in the last days than before: that is what drift looks like.
    """

    def __init__(self, clock: Clock, *, drifts_at: int) -> None:
        self._clock = clock
        self._drifts_at = drifts_at

    def classify(self, call: Call) -> Intent:
        """The view of one call."""
        now = self._clock.now()
        chance = sha256(f"{call.agent_id} {call.capability} {now}".encode()).digest()[0] / 255
        least = 0.55 if call.purpose_id == "customer_support_lookup" and now >= self._drifts_at else 0.67
        return Intent(label=_class(call).value, intent_class=_class(call), confidence=round(least + 0.32 * chance, 3))


def drifts_at(now: int) -> int:
    """When the stand-in grows unsure, of a demo that is begun at `now`."""
    return now - 2 * DAY


def _class(call: Call) -> IntentClass:
    tool = call.capability.rpartition(".")[2]
    return next((found for words, found in _VERBS if any(word in tool for word in words)), IntentClass.OTHER)
