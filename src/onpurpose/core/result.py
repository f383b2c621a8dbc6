"""What a caller gets back: the decision, its proof, and both in words."""

from __future__ import annotations

from msgspec import Struct

from onpurpose.core.call import MAX_NAME, Call
from onpurpose.core.decision import Decision, Reason, ShadowVerdict
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Purpose
from onpurpose.core.record import Receipt
from onpurpose.core.span import printable
from onpurpose.core.ticket import Ticket


class Result(Struct, eq=False):
    """The answer to one call. Never changed once made.

    `decision_id` names the decision in the log, `receipt` is where its record stands there (`None`
    where nothing was recorded), `digest` the SHA-256 (hex) of the call's canonical form (`None` where
    the call could not be read, or nothing is recorded). `purpose` is the active purpose that the call
    declares, `ttl_seconds` how long a token of it may live (0 where no live policy of it matched),
    `shadows` what policies in shadow would have done, `intent` the classifier's view. `token` is
    the intent token that a service gave, and `expires_at` (microseconds UTC) when that expires. `approval`
    is what came of asking people, where the outcome asks them: `approval.wait()` and then `resume`.
    """

    call: Call
    decision: Decision
    decision_id: str
    digest: str | None
    receipt: Receipt | None
    purpose: Purpose | None = None
    ttl_seconds: int = 0
    shadows: tuple[ShadowVerdict, ...] = ()
    intent: Intent | None = None
    token: str | None = None
    expires_at: int | None = None
    approval: Ticket | None = None

    @property
    def outcome(self) -> Outcome:
        """What was decided."""
        return self.decision.outcome

    @property
    def allowed(self) -> bool:
        """Whether the tool may run: true for allow and warn."""
        return self.decision.outcome.permits

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """Why, the decisive reasons first."""
        return self.decision.reasons

    def explain(self) -> str:
        """The decision for a person, in a few lines; safe to print whatever the call holds."""
        lines = [f"{self.outcome}: {_shown(self.call.capability)} by {_shown(self.call.agent_id)}"]
        for reason in self.reasons:
            lines.extend(_lines(reason))
        if self.approval is not None:
            lines.append(f"  approval {self.approval.id}: {self.approval.state}")
        if self.receipt is not None:
            lines.append(f"  record {self.receipt.chain[:8]}:{self.receipt.seq}, decision {self.decision_id}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Result({self.decision!r}, decision_id={self.decision_id!r})"


def _shown(name: object) -> str:
    """A name as the call gives it, which may be none, or longer than anyone reads."""
    return printable(name[:MAX_NAME]) if isinstance(name, str) else "[unreadable]"


def _lines(reason: Reason) -> list[str]:
    rule = f"{reason.rule}: " if reason.rule else ""
    lines = [f"  {reason.outcome}: {rule}{reason.message}"]
    for unknown in reason.unknown:
        lines.append(f"    unknown: {unknown.condition}: {printable(unknown.why)}")
        lines.append(f"    to settle it: {unknown.settle}")
    for signal in reason.signals:
        maybe = "" if signal.certain else ", perhaps"
        lines.append(f"    signal: {signal.name} (weight {signal.weight}{maybe})")
    return lines
