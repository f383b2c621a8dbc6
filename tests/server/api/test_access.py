"""Keys, users and workspaces over HTTP; and of every operation, that it asks for its scope."""

from __future__ import annotations

import re
from typing import Any

import pytest

from onpurpose.app.outbox import UntoldError
from onpurpose.core.access import Scope
from onpurpose.core.errors import OnPurposeError
from onpurpose.server.api.refusals import refusal
from onpurpose.server.api.table import TABLE, Operation
from tests.server.api.house import House, Tenant, good, problem

USER = {"name": "Ann", "email": "ann@example.com", "groups": ["sales"]}


def path_of(operation: Operation) -> str:
    return re.sub(r"\{\w+\}", "1", operation.path)


# -- every operation


@pytest.mark.parametrize("operation", TABLE, ids=lambda operation: operation.name)
def test_an_operation_needs_a_key_and_its_scope(house: House, tenant: Tenant, operation: Operation) -> None:
    path = path_of(operation)
    if operation.scope is None:
        assert house.http.request(operation.method, path).status_code == operation.status
        return
    problem(house.http.request(operation.method, path), 401)
    problem(house.http.request(operation.method, path, headers={"Authorization": "Bearer op_no_such"}), 401)
    scopes = set(Scope) - {operation.scope, *operation.also, Scope.ADMIN}
    weak = house.control.keyring.create_key(tenant.workspace, "weak", scopes, by="tests")
    headers = {"Authorization": f"Bearer {weak.secret}"}
    told = problem(house.http.request(operation.method, path, headers=headers), 403)
    assert f"`{operation.scope}`" in told["detail"]


@pytest.mark.parametrize("operation", TABLE, ids=lambda operation: operation.name)
def test_what_an_operation_answers_is_what_the_table_says(tenant: Tenant, operation: Operation) -> None:
    response = tenant.ask("admin", operation.method, path_of(operation), json={} if operation.request else None)
    if response.is_success:
        assert response.status_code == operation.status
    else:
        assert response.status_code in operation.errors
        problem(response, response.status_code)


# -- keys


def test_a_key_works_from_the_moment_it_is_made_until_it_is_revoked(house: House, tenant: Tenant) -> None:
    made = good(tenant.ask("admin", "POST", "/v1/keys", json={"name": "ci", "scopes": ["read"]}))
    assert made.status_code == 201
    key, headers = made.json()["key"], {"Authorization": f"Bearer {made.json()['secret']}"}
    assert (key["name"], key["scopes"], key["state"], key["expires_at"]) == ("ci", ["read"], "active", None)
    assert key["created_by"].startswith("admin (op_")
    assert house.http.get("/v1/policies", headers=headers).status_code == 200
    revoked = good(tenant.ask("admin", "DELETE", f"/v1/keys/{key['id']}")).json()
    assert revoked["state"] == "revoked"
    problem(house.http.get("/v1/policies", headers=headers), 401)
    assert tenant.get(f"/v1/keys/{key['id']}", "admin") == revoked


def test_keys_are_listed_without_anything_secret(tenant: Tenant) -> None:
    made = tenant.post("/v1/keys", "admin", name="ci", scopes=["read", "evaluate"], expires_in_seconds=60, per_minute=9)
    listed = tenant.ask("admin", "GET", "/v1/keys")
    assert made["key"] in listed.json()["items"]
    assert made["secret"].removeprefix(made["key"]["prefix"]) not in listed.text
    assert "hash" not in listed.text
    assert made["key"]["expires_at"] - made["key"]["created_at"] == 60_000_000
    assert made["key"]["per_minute"] == 9


def test_keys_of_another_workspace_are_not_found(tenant: Tenant, stranger: Tenant) -> None:
    key = tenant.post("/v1/keys", "admin", name="ci", scopes=["read"])["key"]
    problem(stranger.ask("admin", "GET", f"/v1/keys/{key['id']}"), 404)
    problem(stranger.ask("admin", "DELETE", f"/v1/keys/{key['id']}"), 404)
    assert [one["name"] for one in stranger.get("/v1/keys", "admin")["items"]] == ["admin"]
    assert tenant.get(f"/v1/keys/{key['id']}", "admin")["state"] == "active"


def test_the_last_admin_key_is_not_revoked(tenant: Tenant) -> None:
    own = tenant.key("admin").key.id
    problem(tenant.ask("admin", "DELETE", f"/v1/keys/{own}"), 409)
    tenant.post("/v1/keys", "admin", name="second", scopes=["admin"])
    assert good(tenant.ask("admin", "DELETE", f"/v1/keys/{own}")).json()["state"] == "revoked"
    problem(tenant.ask("admin", "GET", "/v1/keys"), 401)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "ci"},
        {"name": "ci", "scopes": []},
        {"name": "ci", "scopes": ["root"]},
        {"name": "", "scopes": ["read"]},
        {"name": "a\nb", "scopes": ["read"]},
        {"name": "x" * 201, "scopes": ["read"]},
        {"name": "ci", "scopes": ["read"], "expires_in_seconds": 0},
        {"name": "ci", "scopes": ["read"], "expires_in_seconds": 1e300},
        {"name": "ci", "scopes": ["read"], "per_minute": 0},
        {"name": "ci", "scopes": ["read"], "workspace": "default"},
    ],
)
def test_a_key_of_another_form_is_not_made(tenant: Tenant, body: dict[str, Any]) -> None:
    problem(tenant.ask("admin", "POST", "/v1/keys", json=body), 422)
    assert len(tenant.get("/v1/keys", "admin")["items"]) == 1


# -- users


def test_a_user_is_made_changed_disabled_and_enabled(tenant: Tenant) -> None:
    made = tenant.ask("admin", "POST", "/v1/users", json=USER | {"id": "ann"})
    assert made.status_code == 201
    assert tenant.get("/v1/users/ann") == made.json()
    changed = good(tenant.ask("admin", "PUT", "/v1/users/ann", json=USER | {"name": "Ann B"})).json()
    assert changed["name"] == "Ann B"
    disabled = good(tenant.ask("admin", "DELETE", "/v1/users/ann")).json()
    assert disabled["disabled_at"] is not None
    assert tenant.get("/v1/users")["items"] == [disabled]
    assert good(tenant.ask("admin", "PUT", "/v1/users/ann", json=USER)).json()["disabled_at"] is None


def test_roles_are_written_and_stay_where_they_are_left_out(tenant: Tenant) -> None:
    made = tenant.post("/v1/users", "admin", **USER, id="ann", roles=["viewer", "author", "viewer"])
    assert made["roles"] == ["author", "viewer"]
    assert tenant.ask("admin", "PUT", "/v1/users/ann", json=USER).json()["roles"] == ["author", "viewer"]
    assert tenant.ask("admin", "PUT", "/v1/users/ann", json=USER | {"roles": []}).json()["roles"] == []
    assert tenant.post("/v1/users", "admin", **USER, id="bob")["roles"] == []


def test_users_come_in_pages_by_id(tenant: Tenant) -> None:
    assert tenant.get("/v1/users") == {"items": [], "next": None}
    for name in "cab":
        tenant.post("/v1/users", "admin", **USER, id=name)
    first = tenant.get("/v1/users?limit=2")
    assert ([one["id"] for one in first["items"]], first["next"]) == (["a", "b"], "b")
    assert [one["id"] for one in tenant.get("/v1/users?after=b")["items"]] == ["c"]


def test_an_id_is_taken_once(tenant: Tenant) -> None:
    made = tenant.post("/v1/users", "admin", **USER)
    problem(tenant.ask("admin", "POST", "/v1/users", json=USER | {"id": made["id"]}), 409)


def test_users_of_another_workspace_are_not_found(tenant: Tenant, stranger: Tenant) -> None:
    tenant.post("/v1/users", "admin", **USER, id="ann")
    problem(stranger.ask("admin", "GET", "/v1/users/ann"), 404)
    problem(stranger.ask("admin", "PUT", "/v1/users/ann", json=USER), 404)
    problem(stranger.ask("admin", "DELETE", "/v1/users/ann"), 404)
    assert stranger.get("/v1/users")["items"] == []


@pytest.mark.parametrize(
    "change",
    [
        {"email": "nobody"}, {"email": "a@b\r\nBcc: c@d"}, {"email": "a" * 250 + "@b.c"}, {"name": ""},
        {"groups": ["a b"]}, {"groups": ["g"] * 101}, {"id": "../x"}, {"id": ""}, {"admin": True},
    ],
)  # fmt: skip
def test_a_user_of_another_form_is_not_made(tenant: Tenant, change: dict[str, Any]) -> None:
    problem(tenant.ask("admin", "POST", "/v1/users", json=USER | change), 422)
    assert tenant.get("/v1/users")["items"] == []


# -- workspaces


def test_the_operator_makes_workspaces_whose_admin_makes_the_rest(house: House, operator: Tenant) -> None:
    made = good(operator.ask("admin", "POST", "/v1/workspaces", json={"id": "acme", "name": "Acme"}))
    assert made.status_code == 201
    headers = {"Authorization": f"Bearer {made.json()['secret']}"}
    assert house.http.get("/v1/workspaces", headers=headers).json()["items"] == [made.json()["workspace"]]
    assert house.http.post("/v1/keys", headers=headers, json={"name": "k", "scopes": ["read"]}).status_code == 201
    assert made.json()["workspace"] in operator.get("/v1/workspaces", "admin")["items"]
    problem(operator.ask("admin", "POST", "/v1/workspaces", json={"id": "acme"}), 409)


def test_nobody_else_makes_or_sees_workspaces(tenant: Tenant, operator: Tenant) -> None:
    problem(tenant.ask("admin", "POST", "/v1/workspaces", json={"id": "mine"}), 403)
    assert [one["id"] for one in tenant.get("/v1/workspaces", "admin")["items"]] == [tenant.workspace]
    assert "mine" not in [one["id"] for one in operator.get("/v1/workspaces", "admin")["items"]]


@pytest.mark.parametrize("name", ["", "..", "a/b", "a b", "x" * 129, "a\n"])
def test_a_workspace_of_another_form_is_not_made(operator: Tenant, name: str) -> None:
    problem(operator.ask("admin", "POST", "/v1/workspaces", json={"id": name}), 422)


# -- what goes wrong inside


def test_a_change_whose_record_is_late_is_told_apart_from_one_that_was_not_made() -> None:
    told = refusal(UntoldError("the disk is full: /var/lib/secret"))
    assert (told.status, told.name) == (503, "not_recorded")
    assert "the change was made" in told.detail
    assert "secret" not in told.detail


def test_an_error_of_ours_is_no_problem_of_the_client() -> None:
    with pytest.raises(OnPurposeError, match="inner"):
        refusal(OnPurposeError("inner"))
