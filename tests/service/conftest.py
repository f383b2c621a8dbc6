"""What the tests of the service share: to say loudly which of them were left out."""

from __future__ import annotations

import pytest

from tests.service.disk import LEFT_OUT


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was not tested."""
    count = sum(LEFT_OUT in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if count:
        terminalreporter.write_line(f"WARNING: {count} tests were left out: {LEFT_OUT}", red=True, bold=True)
