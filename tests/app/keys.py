"""Signing keys and revocations in memory, a clock that is set by hand, and results to give tokens for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

from onpurpose.core.call import Call
from onpurpose.core.canonical import digest
from onpurpose.core.decision import Code, Decision, Reason
from onpurpose.core.facts import Facts
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Purpose, Status
from onpurpose.core.result import Result
from onpurpose.core.revision import StoreError
from onpurpose.core.span import Span
from onpurpose.core.token import Revocation, SigningKey

NOW = 1_800_000_000_000_000
"""When these tests take place, in microseconds UTC."""

SECOND = 1_000_000
SPAN = Span("purposes.yaml", 1, 1, 1)
PURPOSE = Purpose(
    id="look_up", name="Look up", elements=("crm.name",), ttl_seconds=600, status=Status.ACTIVE, span=SPAN
)
CALL = Call("agent-7", "crm.read", {"id": 7}, purpose_id="look_up")


class SetClock:
    """What time it is said to be."""

    def __init__(self, at: int = NOW) -> None:
        self.at = at

    def now(self) -> int:
        return self.at

    def pass_seconds(self, seconds: float) -> None:
        self.at += int(seconds * SECOND)


class MemorySigningKeys:
    """Keys and revocations in dictionaries; shared by services as a database would be."""

    def __init__(self) -> None:
        self._keys: dict[str, SigningKey] = {}
        self._revocations: dict[tuple[str, str, str], Revocation] = {}
        self.notes: list[dict[str, Any]] = []
        self.down = False

    def keys(self) -> list[SigningKey]:
        self._answer()
        return sorted(self._keys.values(), key=lambda key: (key.created_at, key.kid))

    def add(self, key: SigningKey, *, retire_others_at: int | None, notes: Sequence[bytes]) -> None:
        self._answer(notes)
        for other in list(self._keys.values()):
            if retire_others_at is not None and (other.retires_at is None or retire_others_at < other.retires_at):
                self._keys[other.kid] = msgspec.structs.replace(other, retires_at=retire_others_at)
        self._keys[key.kid] = key

    def revocations(self, now: int) -> list[Revocation]:
        self._answer()
        return [one for one in self._revocations.values() if one.until >= now]

    def revoke(self, revocation: Revocation, *, notes: Sequence[bytes]) -> None:
        self._answer(notes)
        key = (revocation.kind, revocation.workspace, revocation.value)
        old = self._revocations.get(key, revocation)
        at, until = max(old.at, revocation.at), max(old.until, revocation.until)
        self._revocations[key] = msgspec.structs.replace(revocation, at=at, until=until)

    def _answer(self, notes: Sequence[bytes] = ()) -> None:
        if self.down:
            raise StoreError("the store is down")
        self.notes.extend(orjson.loads(note) for note in notes)


def result(call: Call = CALL, outcome: Outcome = Outcome.ALLOW, **other: Any) -> Result:
    """A result as the gate gives it to a call whose purpose matched a live policy with five minutes."""
    decision = Decision(outcome, (Reason(code=Code.RULE_MATCHED, outcome=outcome, message="as written"),))
    fields: dict[str, Any] = {"purpose": PURPOSE, "ttl_seconds": 300, "digest": digest(call, Facts(call))} | other
    return Result(call, decision, "d" * 32, fields.pop("digest"), None, **fields)
