"""What was decided and why. Values only."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

import orjson
from msgspec import Struct

from onpurpose.core.outcome import Outcome
from onpurpose.core.routing import Route
from onpurpose.core.span import Span


class Code(StrEnum):
    """Why, in one stable word: what an agent or a query switches on."""

    RULE_MATCHED = "rule_matched"
    RULE_UNKNOWN = "rule_unknown"
    NO_RULE_MATCHED = "no_rule_matched"
    RISK = "risk"
    MALFORMED_CALL = "malformed_call"
    NO_POLICY = "no_policy"
    POLICY_UNREADABLE = "policy_unreadable"
    AUDIT_UNAVAILABLE = "audit_unavailable"
    INTERNAL_ERROR = "internal_error"
    UNKNOWN_PURPOSE = "unknown_purpose"
    PURPOSE_REQUIRED = "purpose_required"
    PURPOSE_POLICY_MATCHED = "purpose_policy_matched"
    PURPOSE_POLICY_UNKNOWN = "purpose_policy_unknown"
    NO_PURPOSE_POLICY_MATCHED = "no_purpose_policy_matched"
    ELEMENT_OUTSIDE_PURPOSE = "element_outside_purpose"
    OBSERVED = "observed"
    UNREACHABLE = "unreachable"
    APPROVAL_GRANTED = "approval_granted"
    APPROVAL_PENDING = "approval_pending"
    APPROVAL_DENIED = "approval_denied"
    APPROVAL_EXPIRED = "approval_expired"
    APPROVAL_CANCELLED = "approval_cancelled"
    APPROVAL_USED = "approval_used"
    APPROVAL_CHANGED = "approval_changed"
    """What was approved is another call than this one, or policies ask other people now."""
    APPROVAL_UNKNOWN = "approval_unknown"
    APPROVAL_UNAVAILABLE = "approval_unavailable"


class Unknown(Struct, frozen=True, gc=False, kw_only=True):
    """A condition that could not be answered: which, why, and what would settle it."""

    condition: str
    why: str
    settle: str


class RuleRef(Struct, frozen=True, gc=False, kw_only=True):
    """The rule a reason speaks of: its section's outcome, its capability and its place."""

    outcome: Outcome
    capability: str
    span: Span

    def __str__(self) -> str:
        return f"{self.span.source}:{self.span.line}"


class PolicyRef(Struct, frozen=True, gc=False, kw_only=True):
    """A purpose policy or capability policy of a workspace, at one revision of it."""

    kind: str
    name: str
    revision: int

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}"


class Signal(Struct, frozen=True, gc=False, kw_only=True):
    """A sign of risk that the taxonomy found in the payload, and what it weighs."""

    name: str
    weight: int
    certain: bool


class Reason(Struct, frozen=True, gc=False, kw_only=True):
    """One step of the road to the outcome; `outcome` is what this reason alone asks for.

    `route` says who is to be asked, where that is what it asks for.
    """

    code: Code
    outcome: Outcome
    message: str
    rule: RuleRef | None = None
    policy: PolicyRef | None = None
    unknown: tuple[Unknown, ...] = ()
    signals: tuple[Signal, ...] = ()
    route: Route | None = None


class ShadowVerdict(Struct, frozen=True, gc=False, kw_only=True):
    """What a policy in shadow would have done, had it been live beside today's live ones.

    A verdict exists for calls that qualify. `matched` is `None` where it cannot be told whether the
    policy matches; `would` is the call's outcome then; `newly_blocked` says that the call ran and
    would not have run, `unmatched` that it would not because no policy would have matched it.
    """

    policy: PolicyRef
    matched: bool | None
    would: Outcome
    newly_blocked: bool
    unmatched: bool


class Decision:
    """The outcome of a call and its reasons, the decisive ones first. Never changed once made.

    Where no rule made it beforehand, the decision that gives the reasons is worked out when they are first
    asked for: a function without arguments stands in their place. `written` remembers the reasons' JSON, once
    a record needed it.
    """

    __slots__ = ("_reasons", "outcome", "written")

    def __init__(self, outcome: Outcome, reasons: tuple[Reason, ...] | Callable[[], Decision]) -> None:
        self.outcome = outcome
        self._reasons: tuple[Reason, ...] | Callable[[], Decision] | Decision = reasons
        self.written: orjson.Fragment | None = None

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why, the decisive reasons first."""
        reasons = self._reasons
        return reasons if isinstance(reasons, tuple) else self.settle().reasons

    @property
    def settled(self) -> bool:
        """Whether the reasons are worked out: the decision then holds nothing of the call but words."""
        return isinstance(self._reasons, tuple | Decision)

    def settle(self) -> Decision:
        """The decision that gives the reasons: itself, or one that calls alike may share."""
        reasons = self._reasons
        if isinstance(reasons, tuple):
            return self
        if not isinstance(reasons, Decision):
            reasons = self._reasons = reasons()
        return reasons

    def __repr__(self) -> str:
        return f"Decision({self.outcome!s}, {', '.join(str(reason.code) for reason in self.reasons)})"


def denial(code: Code, message: str) -> Decision:
    """A denial for one reason that no rule gave."""
    return Decision(Outcome.DENY, (Reason(code=code, outcome=Outcome.DENY, message=message),))


NO_POLICY = denial(Code.NO_POLICY, "no policy is in force for this call")
