"""Backtests over HTTP: what a set would have done on the workspace's own past."""

from __future__ import annotations

from typing import Any

import pytest

from onpurpose.core.access import Scope
from tests.server.api.house import House, Tenant, problem

LIVE = "allow:\n  - capability: files.*\n"
STRICT = "deny:\n  - capability: files.wipe\nallow:\n  - capability: files.read\n"
TRIED = {"kind": "policy", "name": "base", "text": STRICT}


@pytest.fixture
def past(house: House, tenant: Tenant) -> Tenant:
    """A workspace with a live policy and three decisions that it made."""
    tenant.put("/v1/policies/base", LIVE)
    body = {"reason": "tests", "overrides": {"min_matched": 0, "min_days": 0, "would_deny": 1}}
    tenant.post("/v1/policies/base/promote", **body)
    for number, capability in enumerate(("files.read", "files.wipe", "files.wipe")):
        name = f"{tenant.workspace}-{number}"
        house.record(tenant.workspace, name, capability=capability, at=1000 + number, digest="0" * 64, payload={})
    return tenant


def run(tenant: Tenant, *policies: dict[str, Any], **more: Any) -> Any:
    return tenant.post("/v1/backtest", policies=list(policies), **({"since": 0} | more))


def test_a_text_that_was_not_saved_is_tried_on_the_recorded_calls(past: Tenant) -> None:
    done = run(past, TRIED)
    (policy,) = done["policies"]
    assert (policy["kind"], policy["name"], policy["revision"]) == ("policy", "base", None)
    assert policy["numbers"] == done["together"]["numbers"]
    assert policy["numbers"]["would_deny"] | {"low": 0, "high": 1} == {"count": 2, "of": 3, "low": 0, "high": 1}
    assert policy["examples"]["newly_blocked"] == [f"{past.workspace}-2", f"{past.workspace}-1"]
    assert (done["calls"], done["masked"], done["unreadable"], done["stopped"]) == (3, 3, 0, None)
    assert past.get("/v1/policies/base")["revision"]["number"] == 1


def test_a_saved_revision_is_tried(past: Tenant) -> None:
    past.put("/v1/policies/base", STRICT)
    assert run(past, {"kind": "policy", "name": "base", "revision": 2})["together"]["numbers"]["match"]["count"] == 3
    problem(
        past.ask("promoter", "POST", "/v1/backtest", json={"policies": [TRIED | {"text": None, "revision": 9}]}), 404
    )


def test_the_window_and_the_number_of_calls_are_kept(past: Tenant) -> None:
    assert run(past, TRIED, since=1001, until=1002)["calls"] == 1
    cut = run(past, TRIED, calls=2)
    assert (cut["calls"], cut["stopped"], cut["first_at"]) == (2, "limit", 1001)
    recent = past.post("/v1/backtest", policies=[TRIED], days=0.5)
    assert (recent["calls"], recent["until"] - recent["since"]) == (0, 43_200_000_000)


def test_a_text_that_cannot_be_read_is_refused_with_the_place(past: Tenant) -> None:
    broken = [TRIED, {"kind": "policy", "name": "more", "text": "allow:\n  - capability: x\n    contians: y\n"}]
    told = problem(past.ask("writer", "POST", "/v1/backtest", json={"policies": broken}), 422)
    (first,) = told["problems"]
    assert (first["source"], first["line"]) == ("more", 3)


@pytest.mark.parametrize(
    "body",
    [
        {"policies": []},
        {"policies": [TRIED | {"revision": 1}]},
        {"policies": [{"kind": "policy", "name": "base"}]},
        {"policies": [TRIED | {"kind": "purpose"}]},
        {"policies": [TRIED], "days": 1, "since": 1},
        {"policies": [TRIED], "calls": 1_000_000},
    ],
)
def test_a_body_that_asks_for_none_or_too_much_is_refused(past: Tenant, body: dict[str, Any]) -> None:
    problem(past.ask("writer", "POST", "/v1/backtest", json=body), 422)


def test_who_may_not_write_policies_or_read_decisions_may_not_try(house: House, past: Tenant) -> None:
    problem(past.ask("reader", "POST", "/v1/backtest", json={"policies": [TRIED]}), 403)
    blind = house.control.keyring.create_key(past.workspace, "blind", [Scope.POLICY_WRITE], by="tests")
    sent = {"Authorization": f"Bearer {blind.secret}"}
    problem(house.http.post("/v1/backtest", headers=sent, json={"policies": [TRIED]}), 403)
