"""When a classifier's view is uncertain."""

from __future__ import annotations

import pytest

from onpurpose.core.intent import CERTAIN, Intent
from onpurpose.core.purpose import IntentClass


@pytest.mark.parametrize(
    ("confidence", "uncertain"), [(0.0, True), (CERTAIN - 0.01, True), (CERTAIN, False), (1, False)]
)
def test_a_view_below_the_limit_is_uncertain(confidence: float, uncertain: bool) -> None:
    view = Intent(label="lookup", intent_class=IntentClass.LOOKUP, confidence=confidence)
    assert view.uncertain is uncertain
