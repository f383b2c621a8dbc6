"""A decision's record, read for people: what each layer said, in the record's order, and what it did not know."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import Struct

from onpurpose.core.decision import Code
from onpurpose.core.outcome import BY_NAME, Outcome

CALL, CAPABILITY, RISK, PURPOSE, WORKSPACE, APPROVAL, SERVICE = (
    "the call", "capability policy", "risk", "purpose", "workspace", "approval", "the service itself",
)  # fmt: skip
"""What may have an opinion on a call."""

_LAYERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        Code.MALFORMED_CALL: CALL,
        Code.RULE_MATCHED: CAPABILITY,
        Code.RULE_UNKNOWN: CAPABILITY,
        Code.NO_RULE_MATCHED: CAPABILITY,
        Code.NO_POLICY: CAPABILITY,
        Code.POLICY_UNREADABLE: CAPABILITY,
        Code.RISK: RISK,
        Code.UNKNOWN_PURPOSE: PURPOSE,
        Code.PURPOSE_REQUIRED: PURPOSE,
        Code.PURPOSE_POLICY_MATCHED: PURPOSE,
        Code.PURPOSE_POLICY_UNKNOWN: PURPOSE,
        Code.NO_PURPOSE_POLICY_MATCHED: PURPOSE,
        Code.ELEMENT_OUTSIDE_PURPOSE: PURPOSE,
        Code.OBSERVED: WORKSPACE,
    }
)


class Rule(Struct, frozen=True, gc=False):
    """The rule that a reason speaks of: `at` is its place, `SOURCE:LINE`."""

    at: str = ""
    capability: str = ""


class Policy(Struct, frozen=True, gc=False):
    """A policy of the workspace at one revision of it."""

    name: str
    kind: str = ""
    revision: int | None = None


class Unknown(Struct, frozen=True, gc=False):
    """A condition that could not be answered, and what would settle it."""

    condition: str = ""
    why: str = ""
    settle: str = ""


class Signal(Struct, frozen=True, gc=False):
    """A sign of risk in the payload."""

    name: str = ""
    weight: int = 0
    certain: bool = True


class Opinion(Struct, frozen=True, gc=False):
    """What one layer said, and why."""

    code: str = ""
    outcome: str = ""
    message: str = ""
    rule: Rule | None = None
    policy: Policy | str | None = None
    unknown: tuple[Unknown, ...] = ()
    signals: tuple[Signal, ...] = ()

    @property
    def layer(self) -> str:
        """Whose opinion it is."""
        return APPROVAL if self.code.startswith("approval_") else _LAYERS.get(self.code, SERVICE)

    @property
    def document(self) -> Policy | None:
        """The policy that it names, where it is one of a workspace."""
        return self.policy if isinstance(self.policy, Policy) else None


class Person(Struct, frozen=True, gc=False):
    """In whose name the agent acted."""

    user_id: str = ""
    groups: tuple[str, ...] | None = None


class View(Struct, frozen=True, gc=False, rename={"intent_class": "class"}):
    """What the intent classifier saw in the call."""

    label: str | None = None
    intent_class: str | None = None
    confidence: float | None = None


class Verdict(Struct, frozen=True, gc=False):
    """What a policy in shadow would have done."""

    name: str
    would: str
    kind: str = ""
    revision: int | None = None
    matched: bool | None = None
    newly_blocked: bool = False
    unmatched: bool = False


class InForce(Struct, frozen=True, gc=False):
    """A capability policy that had a say: `source` is `NAME@REVISION`, or a file."""

    source: str = ""


class Used(Struct, frozen=True, gc=False):
    """The approval that the call named, and what came of that."""

    id: str = ""
    code: str = ""


class Told(Struct, frozen=True, gc=False):
    """A decision as its record tells it. `at` is in microseconds UTC; payload and context as they were written."""

    id: str
    at: int
    outcome: str
    agent_id: str = ""
    capability: str = ""
    reasons: tuple[Opinion, ...] = ()
    identity: Person | None = None
    purpose_id: str | None = None
    data_source_id: str | None = None
    elements: tuple[str, ...] | None = None
    task_context: str | None = None
    risk_category: str | None = None
    payload: object = None
    policy_context: object = None
    digest: str | None = None
    policies: tuple[InForce, ...] = ()
    purpose_policies: tuple[Policy, ...] = ()
    shadow: tuple[Verdict, ...] = ()
    intent: View | None = None
    approval: Used | None = None
    key: str | None = None
    policy: str | None = None
    stale_seconds: float | None = None

    @property
    def token_id(self) -> str | None:
        """The id (`jti`) that a token for this decision bears; `None` where no token is given for it."""
        permitted = self.outcome in BY_NAME and BY_NAME[self.outcome].permits
        return self.id if permitted and self.purpose_id and self.purpose_policies else None

    def of(self, *layers: str) -> list[Opinion]:
        """What these layers said, in the record's order."""
        return [one for one in self.reasons if one.layer in layers]

    def asked_by(self, *layers: str) -> Outcome | None:
        """The strictest outcome that these layers ask for; `None` where they have no opinion."""
        return max((BY_NAME[one.outcome] for one in self.of(*layers) if one.outcome in BY_NAME), default=None)


_TOLD = msgspec.json.Decoder(Told)


def retell(body: bytes) -> Told | None:
    """The decision that a record's body tells of; `None` where the body cannot be read as one."""
    try:
        return _TOLD.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


class Spot(Struct, frozen=True):
    """A line of a policy's text: of a document at a revision, or (without one) of a file."""

    name: str
    revision: int | None
    line: int


def spot(at: str) -> Spot | None:
    """The place that a rule's `at` (`NAME@REVISION:LINE`) names; `None` where it names none."""
    source, colon, line = at.rpartition(":")
    if not colon or not _is_number(line):
        return None
    name, sign, revision = source.rpartition("@")
    if sign and _is_number(revision):
        return Spot(name, int(revision), int(line))
    return Spot(source, None, int(line))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
