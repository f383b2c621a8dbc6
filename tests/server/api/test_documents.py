"""Documents over HTTP: read, written, removed, restored, by whom it is permitted, and seen by nobody else."""

from __future__ import annotations

import pytest

from tests.app.world import POLICY, PURPOSE, purpose_policy
from tests.server.api.house import Tenant, problem

SEVERAL = [
    ("/v1/purposes", "lookup", PURPOSE),
    ("/v1/purpose-policies", "hours", purpose_policy("hours")),
    ("/v1/policies", "base", POLICY),
]
SINGLE = [("/v1/settings", "purpose_required: true\n")]
PATHS = [f"{path}/{name}" for path, name, _ in SEVERAL] + [path for path, _ in SINGLE]


@pytest.mark.parametrize(("path", "name", "text"), SEVERAL)
def test_what_is_put_is_what_is_got(tenant: Tenant, path: str, name: str, text: str) -> None:
    put = tenant.put(f"{path}/{name}", text, "writer", reason="the first")
    assert put == tenant.get(f"{path}/{name}")
    assert put["revision"]["text"] == text
    assert put["revision"]["reason"] == "the first"
    assert put["revision"]["author"].startswith("writer (op_")
    assert [one["name"] for one in tenant.get(path)["items"]] == [name]


@pytest.mark.parametrize("path", ["/v1/purposes", "/v1/purpose-policies", "/v1/policies"])
def test_a_new_workspace_has_none(tenant: Tenant, path: str) -> None:
    assert tenant.get(path) == {"items": [], "next": None}


@pytest.mark.parametrize("path", [*PATHS, "/v1/index"])
@pytest.mark.parametrize("behind", ["", "/revisions", "/revisions/1"])
def test_what_is_not_there_is_not_found(tenant: Tenant, path: str, behind: str) -> None:
    problem(tenant.ask("reader", "GET", path + behind), 404)
