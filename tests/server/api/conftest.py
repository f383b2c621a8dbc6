"""One service of all resources, and a workspace of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server.api.house import House, Tenant, opened


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def tenant(house: House) -> Tenant:
    return house.tenant()


@pytest.fixture
def stranger(house: House) -> Tenant:
    """Another workspace."""
    return house.tenant()


@pytest.fixture
def operator(house: House) -> Tenant:
    """The workspace of who runs the service."""
    return house.operator


@pytest.fixture
def office(tenant: Tenant) -> Tenant:
    """A workspace with people who may decide."""
    for name in ("ada", "bob"):
        tenant.person(name, "approvers")
    return tenant
