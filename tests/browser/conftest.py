"""What tests in a browser share: one Chromium for the run, windows for each test, and pages that run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.browser.chromium import LEFT_OUT, Browsing, Chromium, program_or_skip
from tests.browser.gallery import gallery
from tests.browser.serving import served


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


@pytest.fixture(scope="session")
def gallery_url() -> Iterator[str]:
    """A service whose page `/_gallery` shows every macro in every state."""
    with served(gallery()) as url:
        yield url


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was not tested."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(LEFT_OUT in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.write_line(f"WARNING: {count} tests were left out: {LEFT_OUT}", red=True, bold=True)
