"""Outcomes and their one order: `allow < warn < require_approval < deny`."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """What happens to a call. Stricter is greater, so two opinions meet by `max`."""

    ALLOW = 0
    WARN = 1
    REQUIRE_APPROVAL = 2
    DENY = 3

    def __str__(self) -> str:
        return self.name.lower()

    @property
    def permits(self) -> bool:
        """Whether the call runs: true for allow and warn."""
        return self <= Outcome.WARN


BY_NAME: dict[str, Outcome] = {str(outcome): outcome for outcome in Outcome} | {"block": Outcome.DENY}
"""Every spelling of an outcome in a policy file; `block` is another word for `deny`."""


def stricter(*outcomes: Outcome) -> Outcome:
    """The strictest of the outcomes; of none, `ALLOW`, which is neutral."""
    return max(outcomes, default=Outcome.ALLOW)
