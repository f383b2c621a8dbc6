"""Promotion over HTTP: refused with what is missing, answered with how to undo it, and one of two at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest

from onpurpose.app import audit
from tests.app.world import POLICY, PURPOSE, purpose_policy
from tests.server.api.house import House, Tenant, problem

HOURS = "/v1/purpose-policies/hours"
ASIDE = {"min_matched": 0, "min_days": 0, "would_deny": 1}
POLICIES = [
    ("/v1/purpose-policies", "purpose_policy", "hours", purpose_policy("hours")),
    ("/v1/policies", "policy", "base", POLICY),
]


def notes(house: House, workspace: str, kind: str) -> list[dict[str, Any]]:
    archive = house.log.open_archive()
    try:
        told = [orjson.loads(line)["record"] for line in audit.export(archive)]
    finally:
        archive.close()
    return [one for one in told if one.get("workspace") == workspace and one["kind"] == kind]


@pytest.mark.parametrize(("path", "kind", "name", "text"), POLICIES)
def test_what_is_ready_is_promoted_and_offered_to_be_undone(
    house: House, tenant: Tenant, path: str, kind: str, name: str, text: str
) -> None:
    tenant.put(f"{path}/{name}", text)
    tenant.watch(kind, name)
    done = tenant.post(f"{path}/{name}/promote", reason="it did well", revision=1)
    assert done["undo_until"] == done["promoted_at"] + 30_000_000
    assert done["policies"] == [{k: v for k, v in tenant.get(f"{path}/{name}").items() if k != "revision"}]
    assert done["policies"][0]["live"] == 1
    (note,) = notes(house, tenant.workspace, "policy.promoted")
    assert note["documents"] == done["evidence"]["documents"]
    assert note["by"].startswith("promoter (op_")
    reverted = tenant.post(f"{path}/{name}/revert", reason="it did not")
    assert (reverted["live"], reverted["shadow"], reverted["undo_until"]) == (None, 1, None)
    assert len(notes(house, tenant.workspace, "policy.reverted")) == 1


def test_what_is_not_ready_is_refused_with_what_is_missing(tenant: Tenant) -> None:
    tenant.put(HOURS, purpose_policy("hours"))
    told = problem(tenant.ask("promoter", "POST", f"{HOURS}/promote", json={"reason": "r"}), 409)
    assert told["type"] == "urn:onpurpose:problem:not_ready"
    assert len(told["missing"]) == 3
    assert tenant.get(HOURS)["live"] is None
    assert tenant.post(f"{HOURS}/promote", reason="r", overrides=ASIDE)["policies"][0]["live"] == 1


def test_a_set_goes_live_and_back_at_once(tenant: Tenant) -> None:
    for path, kind, name, text in POLICIES:
        tenant.put(f"{path}/{name}", text)
        tenant.watch(kind, name)
    policies = [{"kind": kind, "name": name} for _, kind, name, _ in POLICIES]
    done = tenant.post("/v1/promotions", policies=policies, reason="together")
    assert [one["live"] for one in done["policies"]] == [1, 1]
    reverted = tenant.post("/v1/promotions/revert", policies=policies, reason="together")
    assert [one["live"] for one in reverted["policies"]] == [None, None]
    problem(tenant.ask("promoter", "POST", "/v1/promotions/revert", json={"policies": policies, "reason": "r"}), 409)


@pytest.mark.parametrize("behind", ["promote", "revert"])
@pytest.mark.parametrize("who", ["reader", "writer", "evaluator"])
def test_without_the_scope_nothing_goes_live(tenant: Tenant, who: str, behind: str) -> None:
    tenant.put(HOURS, purpose_policy("hours"))
    tenant.watch("purpose_policy", "hours")
    policies = {"policies": [{"kind": "purpose_policy", "name": "hours"}], "reason": "r"}
    problem(tenant.ask(who, "POST", f"{HOURS}/{behind}", json={"reason": "r"}), 403)
    problem(tenant.ask(who, "POST", "/v1/promotions", json=policies), 403)
    problem(tenant.ask(who, "POST", "/v1/promotions/revert", json=policies), 403)
    assert tenant.get(HOURS)["live"] is None


@pytest.mark.parametrize(("path", "kind", "name", "text"), POLICIES)
def test_another_workspace_finds_nothing(
    tenant: Tenant, stranger: Tenant, path: str, kind: str, name: str, text: str
) -> None:
    tenant.put(f"{path}/{name}", text)
    tenant.watch(kind, name)
    for behind in ("promote", "revert"):
        problem(stranger.ask("admin", "POST", f"{path}/{name}/{behind}", json={"reason": "r"}), 404)
    for behind in ("shadow", "shadow?revision=1", "shadow/dimensions"):
        problem(stranger.ask("admin", "GET", f"{path}/{name}/{behind}"), 404)
    policies = [{"kind": kind, "name": name}]
    problem(stranger.ask("admin", "POST", "/v1/promotions", json={"policies": policies, "reason": "r"}), 404)
    assert tenant.get(f"{path}/{name}")["live"] is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"reason": ""},
        {"reason": "  "},
        {"reason": "r", "revision": 0},
        {"reason": "r", "overrides": {"everything": 1}},
        {"reason": "r", "overrides": {"would_deny": 2}},
        {"reason": "r", "overrides": {"min_days": -1}},
        {"reason": "r", "overrides": ["min_days"]},
        {"reason": "r", "more": 1},
    ],
)
def test_a_promotion_says_why_and_what_it_sets_aside(tenant: Tenant, body: dict[str, object]) -> None:
    tenant.put(HOURS, purpose_policy("hours"))
    tenant.watch("purpose_policy", "hours")
    problem(tenant.ask("promoter", "POST", f"{HOURS}/promote", json=body), 422)
    assert tenant.get(HOURS)["live"] is None


@pytest.mark.parametrize(
    "policies",
    [
        [],
        [{"kind": "purpose", "name": "lookup"}],
        [{"kind": "purpose_policy"}],
        [{"kind": "purpose_policy", "name": "a"}] * 101,
    ],
)
def test_a_set_is_some_policies(tenant: Tenant, policies: list[dict[str, str]]) -> None:
    problem(tenant.ask("promoter", "POST", "/v1/promotions", json={"policies": policies, "reason": "r"}), 422)


def test_a_revision_that_somebody_replaced_conflicts(tenant: Tenant) -> None:
    tenant.put(HOURS, purpose_policy("hours"))
    tenant.put(HOURS, purpose_policy("hours", more="token_ttl_minutes: 2\n"))
    problem(tenant.ask("promoter", "POST", f"{HOURS}/promote", json={"reason": "r", "revision": 1}), 409)


def test_of_many_promotions_at_once_one_wins_and_the_others_are_told(tenant: Tenant) -> None:
    tenant.put(HOURS, purpose_policy("hours"))
    tenant.watch("purpose_policy", "hours")
    with ThreadPoolExecutor(6) as threads:
        asked = [
            threads.submit(tenant.ask, "promoter", "POST", f"{HOURS}/promote", json={"reason": "r"}) for _ in range(6)
        ]
    assert sorted(one.result().status_code for one in asked) == [200, 409, 409, 409, 409, 409]


# -- numbers


def test_the_numbers_come_with_their_intervals_and_what_is_missing(tenant: Tenant) -> None:
    tenant.put(HOURS, purpose_policy("hours"))
    tenant.watch("purpose_policy", "hours", would_deny=200)
    seen = tenant.get(f"{HOURS}/shadow")
    assert (seen["kind"], seen["name"], seen["revision"]) == ("purpose_policy", "hours", 1)
    denied = seen["numbers"]["would_deny"]
    assert (denied["count"], denied["of"]) == (200, 1000)
    assert 0.17 < denied["low"] < 0.2 < denied["high"] < 0.23
    assert (seen["ready"], len(seen["missing"])) == (False, 1)
    assert [one["matched"] for one in seen["series"]] == [1000, 0, 0, 0]
    assert tenant.get(f"{HOURS}/shadow?bucket=hour")["series"] == []
    assert tenant.get(f"{HOURS}/shadow?dimension=agent:x")["numbers"]["qualified"] == 0


def test_before_any_call_the_numbers_are_zero_and_nothing_is_ready(tenant: Tenant) -> None:
    tenant.put("/v1/policies/base", POLICY)
    seen = tenant.get("/v1/policies/base/shadow")
    assert (seen["numbers"]["qualified"], seen["first_at"], seen["ready"]) == (0, None, False)
    assert seen["numbers"]["match"] == {"count": 0, "of": 0, "low": 0.0, "high": 1.0}
    assert tenant.get("/v1/policies/base/shadow/dimensions") == {"items": []}


def test_each_dimension_is_told_apart(tenant: Tenant) -> None:
    tenant.put(HOURS, purpose_policy("hours"))
    tenant.watch("purpose_policy", "hours")
    (counted,) = tenant.get(f"{HOURS}/shadow/dimensions")["items"]
    assert (counted["dimension"], counted["matched"]) == ("all", 1000)


def test_a_live_policy_has_numbers_of_a_revision_that_is_named(tenant: Tenant) -> None:
    tenant.put(HOURS, purpose_policy("hours"))
    tenant.watch("purpose_policy", "hours")
    tenant.post(f"{HOURS}/promote", reason="r")
    problem(tenant.ask("reader", "GET", f"{HOURS}/shadow"), 409)
    assert tenant.get(f"{HOURS}/shadow?revision=1")["numbers"]["match"]["count"] == 1000
    problem(tenant.ask("reader", "GET", f"{HOURS}/shadow?revision=2"), 404)


def test_a_purpose_has_no_shadow(tenant: Tenant) -> None:
    tenant.put("/v1/purposes/lookup", PURPOSE)
    assert tenant.ask("reader", "GET", "/v1/purposes/lookup/shadow").status_code == 404
