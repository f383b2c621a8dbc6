"""What every test in a browser shares, wherever it is: one Chromium for the run, and windows for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.browser.chromium import LEFT_OUT, Browsing, Chromium, program_or_skip


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """The browser that all tests of the run share."""
    with contextlib.closing(Chromium(program_or_skip())) as browser:
        yield browser


@pytest.fixture
def browsing(chromium: Chromium) -> Iterator[Browsing]:
    """Opens windows; the test fails for whatever the browser complains of in them."""
    with chromium.browsing() as windows:
        yield windows
        for window in windows.windows:
            window.check()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was not tested."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(LEFT_OUT in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.write_line(f"WARNING: {count} tests were left out: {LEFT_OUT}", red=True, bold=True)
