"""What every test shares: how Hypothesis looks for examples, a PostgreSQL, and a browser."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres", "tests.browser.opening"]

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
