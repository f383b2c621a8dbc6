"""One service for all tests that do not need their own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.server.serving import Decisions, Gates, Remembered, Served, gate, services, serving


@pytest.fixture(scope="session")
def service() -> Iterator[Served]:
    one, other = gate(), gate(policy="allow:\n  - capability: theirs\n")
    parts = services(Gates({"acme": one, "other": other}), idempotency=Remembered(), feed=Decisions())
    with serving(parts) as served:
        yield served


@pytest.fixture
def client(service: Served) -> Iterator[httpx2.Client]:
    with service.client() as opened:
        yield opened
