"""What a classifier makes of a call: which kind of intent, and how sure it is. Values only."""

from __future__ import annotations

from msgspec import Struct

from onpurpose.core.purpose import IntentClass

CERTAIN = 0.7
"""A classifier whose confidence is below this is uncertain."""


class Intent(Struct, frozen=True, kw_only=True):
    """The classifier's view of a call. It never decides; it is recorded and counted.

    `label` is the classifier's own word, `confidence` lies between 0 and 1.
    """

    label: str
    intent_class: IntentClass
    confidence: float

    @property
    def uncertain(self) -> bool:
        """Whether the classifier could not tell."""
        return self.confidence < CERTAIN
