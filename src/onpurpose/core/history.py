"""A call that was recorded somewhere: the call, where it stands, and what is known of it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from onpurpose.core.call import Call
from onpurpose.core.outcome import Outcome
from onpurpose.core.span import Span


class Doubt(StrEnum):
    """Why a recorded call may differ from the one that was made."""

    MASKED = "masked"
    """Secrets in the payload were replaced before it was written down."""

    DUPLICATE_KEYS = "duplicate_keys"
    """A mapping in its line names a key twice: another reader may have seen another value."""

    NO_ARGUMENTS = "no_arguments"
    """Whoever wrote it down left the arguments out; the payload is `None`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedCall:
    """A call as it was recorded, with its place (`at`; column 1 of the line it began on).

    `session` names the conversation or task it was made in and `label` its kind, as far as the
    source tells; `note` is what a person wrote beside it; `decided` is the outcome it had then,
    where that was recorded.
    """

    call: Call
    at: Span
    session: str | None = None
    label: str | None = None
    note: str | None = None
    decided: Outcome | None = None
    doubts: tuple[Doubt, ...] = ()
