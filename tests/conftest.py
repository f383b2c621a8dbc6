"""What every test shares: how Hypothesis looks for examples, databases, a browser, and what garbage is."""

from __future__ import annotations

import gc
import os

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres", "tests.sqlite", "tests.browser.opening"]

# On a shared machine a slow example is no finding; where a run decides whether a change lands, the
# examples are the same each time, and everywhere else they are new ones.
settings.register_profile(
    "onpurpose",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
    print_blob=True,
)
settings.load_profile("onpurpose")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Have the collector of garbage leave alone what was collected of tests: it stays."""
    gc.collect()
    gc.freeze()
