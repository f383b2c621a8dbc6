"""What the tests of the service share: an office, and to say loudly which of them were left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.service.disk import LEFT_OUT
from tests.service.office import Case, Office


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A service that tells people, shared by the tests that do it no harm."""
    folder = tmp_path_factory.mktemp("office")
    with ExitStack() as stack:
        yield Office(stack, str(folder / "t.db"), folder)


@pytest.fixture
def case(office: Office) -> Case:
    """An agent, a purpose and people of their own."""
    return office.case()


@pytest.fixture
def own_office(tmp_path: Path) -> Iterator[Office]:
    """A service of a test's own, to be killed."""
    with ExitStack() as stack:
        yield Office(stack, str(tmp_path / "t.db"), tmp_path)


@pytest.fixture
def postgres_office(postgres_url: str, tmp_path: Path) -> Iterator[Office]:
    """A service of a test's own on PostgreSQL."""
    with ExitStack() as stack:
        yield Office(stack, postgres_url, tmp_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was not tested."""
    count = sum(LEFT_OUT in str(report.longrepr) for report in terminalreporter.stats.get("skipped", []))
    if count:
        terminalreporter.write_line(f"WARNING: {count} tests were left out: {LEFT_OUT}", red=True, bold=True)
