"""A running service on either database: SQL in calls, a backtest beside shadow, and keys that rotate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.service.process import ask, put_in_force, running

YAML = {"Content-Type": "application/yaml"}
CRM = "allow:\n  - capability: crm.*\n"
PURPOSE = "id: lookup\nstatus: active\nelements: [users.name]\n"
OPEN = "policy_id: open\npurpose_id: lookup\ndecision: allow\nshadow_mode: false\nmatch: {identity_required: false}\n"
NIGHT = "policy_id: night\npurpose_id: lookup\ndecision: deny\nmatch: {identity_required: false, agent_ids: [owl]}\n"
SETTINGS = "sql:\n  - {capability: crm.query, path: sql, dialect: postgres, schema: {users: [id, name, ssn]}}\n"
NAME, SSN = "SELECT name FROM users", "SELECT ssn FROM users"


@pytest.fixture(params=["sqlite", "postgres"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx2.Client]:
    database = str(tmp_path / "t.db") if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    with running(database, tmp_path) as process, process.client() as client:
        put_in_force(client, CRM, "crm")
        for path, text in (
            ("purposes/lookup", PURPOSE), ("purpose-policies/open", OPEN), ("purpose-policies/night", NIGHT),
            ("settings", SETTINGS),
        ):  # fmt: skip
            saved = client.put(f"/v1/{path}?reason=test", content=text, headers=YAML)
            assert saved.is_success, saved.text
        yield client


def query(client: httpx2.Client, sql: str, agent: str = "ops", **fields: Any) -> dict[str, Any]:
    return ask(client, agent_id=agent, capability="crm.query", payload={"sql": sql}, purpose_id="lookup", **fields)


def test_what_sql_touches_decides_and_the_past_is_judged_by_it_too(client: httpx2.Client) -> None:
    answers = [
        query(client, NAME),
        query(client, NAME, "owl"),
        query(client, SSN),
        query(client, SSN, elements=["users.name"]),
        query(client, "DROP TABLE users", elements=[]),
    ]
    told = [(one["outcome"], one["elements"]) for one in answers]
    assert told == [
        ("allow", ["users.name"]),
        ("allow", ["users.name"]),
        ("deny", ["users.ssn"]),
        ("deny", ["users.name", "users.ssn"]),
        ("deny", None),
    ]
    while client.get(f"/v1/decisions/{answers[-1]['decision_id']}").status_code != 200:
        pass  # until the feed has it
    record = client.get(f"/v1/decisions/{answers[3]['decision_id']}").json()["record"]
    assert (record["elements"], record["elements_given"]) == (["users.name", "users.ssn"], ["users.name"])
    tried = {"policies": [{"kind": "purpose_policy", "name": "night", "revision": 1}]}
    done = client.post("/v1/backtest", json=tried).json()
    shadow = client.get("/v1/purpose-policies/night/shadow").json()["numbers"]
    assert done["policies"][0]["numbers"] == shadow
    assert shadow["newly_blocked"]["count"] == 1
    assert done["together"]["examples"]["newly_blocked"] == [answers[1]["decision_id"]]
    assert (done["calls"], done["masked"], done["changed"], done["stopped"]) == (5, 0, 0, None)


def test_keys_of_tokens_are_rotated_and_the_log_is_told(client: httpx2.Client) -> None:
    token = query(client, NAME)["token"]
    rotated = client.post("/v1/tokens/keys/rotate", json={"reason": "as every quarter"}).json()
    assert rotated["signs"] != rotated["kid"]
    asked = {"token": token, "audience": "crm.query"}
    assert client.post("/v1/tokens/verify", json=asked).json()["valid"] is True
    leaked = client.post("/v1/tokens/keys/rotate", json={"reason": "leaked", "at_once": True}).json()
    assert leaked["signs"] == leaked["kid"]
    assert client.post("/v1/tokens/verify", json=asked).json()["valid"] is False
    assert [key["kid"] for key in client.get("/.well-known/jwks.json").json()["keys"]] == [leaked["kid"]]
    whole = client.get("/v1/audit/export?whole=true").text
    assert whole.count('"kind":"signing_key.rotated"') == 3
    assert '"reason":"leaked"' in whole
    assert client.post("/v1/audit/verify").json()["ok"] is True
