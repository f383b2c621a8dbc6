"""Decisions, tokens and the log over HTTP: each workspace its own, byte for byte what was recorded."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from onpurpose import verify_token
from onpurpose.adapters.signing import verify_signature
from onpurpose.app.audit import verify as verify_log
from onpurpose.core.call import Call
from onpurpose.core.record import LedgerError, Stored
from onpurpose.core.revision import MissingError
from onpurpose.ports import Archive
from onpurpose.server.api import audit, decisions
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.audit import Log
from onpurpose.server.api.decisions import Past
from onpurpose.server.api.serving import Asked
from tests.app.keys import result
from tests.server.api.house import House, Tenant, good, problem

# -- decisions


@pytest.fixture
def past(house: House, tenant: Tenant) -> Tenant:
    """A workspace with twelve decisions."""
    for number in range(12):
        house.record(
            tenant.workspace, f"{tenant.workspace}-{number}", at=1000 + number, agent_id=f"bot{number % 2}",
            outcome="deny" if number % 3 == 0 else "allow", capability=f"files.{number}", purpose_id="lookup",
            identity={"user_id": "ann", "groups": []},
            shadow=[
                {"kind": "policy", "name": "base", "revision": 1, "matched": True, "would": "deny",
                 "newly_blocked": number % 3 != 0, "unmatched": False}
            ] if number < 6 else [],
        )  # fmt: skip
    return tenant


def test_decisions_come_newest_first_in_pages(past: Tenant) -> None:
    found: list[str] = []
    cursor = ""
    while True:
        page = past.get(f"/v1/decisions?limit=5{cursor}")
        found += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == [f"{past.workspace}-{number}" for number in reversed(range(12))]


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("agent_id=bot1", {1, 3, 5, 7, 9, 11}),
        ("outcome=deny", {0, 3, 6, 9}),
        ("outcome=deny&agent_id=bot0", {0, 6}),
        ("since=1005&until=1008", {5, 6, 7}),
        ("capability=files.7", {7}),
        ("purpose_id=lookup&user_id=ann&since=1011", {11}),
        ("shadow_outcome=deny", set(range(6))),
        ("newly_blocked=true", {1, 2, 4, 5}),
        ("policy=base", set(range(6))),
        ("agent_id=nobody", set()),
        ("agent_id=%27%20OR%201%3D1%20--", set()),
        ("cursor=9223372036854775807&agent_id=bot1&since=1011", {11}),
    ],
)
def test_each_filter_narrows(past: Tenant, query: str, numbers: set[int]) -> None:
    page = past.get(f"/v1/decisions?{query}")
    assert {one["id"] for one in page["items"]} == {f"{past.workspace}-{number}" for number in numbers}
    assert page["next"] is None


@pytest.mark.parametrize(
    "query", ["outcome=maybe", "cursor=-1", "cursor=x", "cursor=0", "since=-1", "limit=0", "workspace=other", "since=x"]
)
def test_a_filter_that_is_none_is_refused(tenant: Tenant, query: str) -> None:
    problem(tenant.ask("reader", "GET", f"/v1/decisions?{query}"), 422)


def test_the_record_of_a_decision_can_be_checked_against_its_hash(past: Tenant) -> None:
    told = past.ask("reader", "GET", f"/v1/decisions/{past.workspace}-3")
    answer = told.json()
    assert (answer["record"]["id"], answer["record"]["outcome"]) == (f"{past.workspace}-3", "deny")
    lines = good(past.ask("admin", "GET", "/v1/audit/export")).content.splitlines()
    (line,) = [one for one in lines if f'"{past.workspace}-3"'.encode() in one]
    assert orjson.loads(line)["hash"] == answer["hash"]
    assert orjson.dumps(answer["record"]) in line


def test_another_workspace_sees_no_decision(past: Tenant, stranger: Tenant) -> None:
    assert stranger.get("/v1/decisions") == {"items": [], "next": None}
    problem(stranger.ask("admin", "GET", f"/v1/decisions/{past.workspace}-3"), 404)


@pytest.mark.parametrize("name", ["nope", "%00", "x" * 3000, "%F0%9F%92%A3"])
def test_a_decision_that_is_not_there_is_not_found(tenant: Tenant, name: str) -> None:
    problem(tenant.ask("reader", "GET", f"/v1/decisions/{name}"), 404)


def test_a_decision_whose_record_was_archived_is_not_found(house: House, past: Tenant) -> None:
    class Archived:
        """A log without the records of that day."""

        def chains(self) -> dict[str, int]:
            return {}

        def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
            return []

    asked = Asked(
        caller=past.key("reader").key,
        path={"id": f"{past.workspace}-3"},
        query=None,
        body=None,
        wants="application/json",
    )
    with pytest.raises(MissingError, match="archive"):
        decisions.get(Past(decisions=house.feed, log=Archived()), asked)


# -- tokens


def minted(house: House, workspace: str) -> str:
    token = house.tokens.mint(result(), workspace)
    assert token is not None
    return token[0]


def asked(tenant: Tenant, token: str, audience: str = "crm.read") -> Any:
    return tenant.post("/v1/tokens/verify", "reader", token=token, audience=audience)


def test_a_token_is_good_until_it_is_revoked(house: House, tenant: Tenant) -> None:
    token = minted(house, tenant.workspace)
    answer = asked(tenant, token)
    assert answer["valid"] is True
    assert answer["claims"]["purp"]["id"] == "look_up"
    revoked = tenant.ask(
        "writer", "POST", "/v1/tokens/revoke", json={"kind": "jti", "value": answer["claims"]["jti"], "reason": "lost"}
    )
    assert (revoked.status_code, revoked.content) == (204, b"")
    assert asked(tenant, token) == {"valid": False, "claims": None, "reason": "the token is revoked"}


def test_a_token_of_another_workspace_or_audience_is_not_good(house: House, tenant: Tenant, stranger: Tenant) -> None:
    token = minted(house, tenant.workspace)
    assert asked(stranger, token)["valid"] is False
    assert asked(tenant, token, "mail.send")["valid"] is False
    assert asked(tenant, "x.y.z")["valid"] is False
    revoking = {"kind": "purpose", "value": "look_up"}
    assert stranger.ask("writer", "POST", "/v1/tokens/revoke", json=revoking).status_code == 204
    assert asked(tenant, token)["valid"] is True


def test_a_token_is_verified_with_the_published_keys_alone(house: House, tenant: Tenant) -> None:
    response = good(house.http.get("/.well-known/jwks.json"))
    assert response.headers["cache-control"] == "public, max-age=300"
    call: Call = result().call
    assert verify_token(
        minted(house, tenant.workspace),
        jwks=response.json(),
        audience="crm.read",
        call=call,
        issuer="https://gate.example",
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("verify", {}),
        ("verify", {"token": "x"}),
        ("verify", {"token": "x", "audience": ""}),
        ("verify", {"token": "x" * 20_000, "audience": "a"}),
        ("revoke", {"kind": "everything", "value": "x"}),
        ("revoke", {"kind": "jti", "value": ""}),
        ("revoke", {"kind": "jti", "value": "x", "workspace": "other"}),
    ],
)
def test_a_question_of_another_form_is_refused(tenant: Tenant, path: str, body: dict[str, str]) -> None:
    problem(tenant.ask("admin", "POST", f"/v1/tokens/{path}", json=body), 422)


def test_an_operator_rotates_the_keys_of_tokens(house: House, operator: Tenant) -> None:
    before = {key["kid"] for key in good(house.http.get("/.well-known/jwks.json")).json()["keys"]}
    token = minted(house, "default")
    told = operator.post("/v1/tokens/keys/rotate", "admin", reason="as every quarter")
    after = {key["kid"] for key in good(house.http.get("/.well-known/jwks.json")).json()["keys"]}
    assert after - before == {told["kid"]}
    assert (told["signs"] in before, told["verify"]) == (True, len(after))
    assert asked(operator, token)["valid"] is True
    leaked = operator.post("/v1/tokens/keys/rotate", "admin", reason="leaked", at_once=True)
    assert (leaked["signs"], leaked["verify"]) == (leaked["kid"], 1)
    assert asked(operator, token)["valid"] is False
    assert asked(operator, minted(house, "default"))["valid"] is True


def test_the_keys_of_tokens_are_rotated_by_the_operator_alone_and_for_a_reason(
    tenant: Tenant, operator: Tenant
) -> None:
    problem(tenant.ask("admin", "POST", "/v1/tokens/keys/rotate", json={"reason": "mine"}), 403)
    problem(operator.ask("writer", "POST", "/v1/tokens/keys/rotate", json={"reason": "mine"}), 403)
    problem(operator.ask("admin", "POST", "/v1/tokens/keys/rotate", json={"reason": " "}), 422)


# -- the log


def test_the_log_is_whole(tenant: Tenant, operator: Tenant) -> None:
    tenant.put("/v1/purposes/lookup", "id: lookup\n")
    report = operator.post("/v1/audit/verify", "admin")
    assert (report["ok"], report["whole"], report["findings"], report["total"]) == (True, True, [], 0)
    assert report["away"] == []
    assert report["records"] > 0
    assert len(report["anchor"]["hash"]) == 64


def test_another_workspace_learns_whether_the_log_is_whole_and_how_much_of_it_is_its_own(
    house: House, past: Tenant, stranger: Tenant
) -> None:
    house.record(stranger.workspace, "theirs", payload={"workspace": past.workspace})
    own = len(exported(past))
    report = past.post("/v1/audit/verify", "admin")
    assert {name: value for name, value in report.items() if value is not None} == {
        "ok": True, "whole": True, "records": own,
    }  # fmt: skip


def test_a_log_that_cannot_be_read_is_not_whole_for_anybody(tenant: Tenant, operator: Tenant) -> None:
    def gone() -> Archive:
        raise LedgerError("gone")

    log = Log(gone, lambda: verify_log(gone, public_key=None, verify_signature=verify_signature))
    for whose, records in ((tenant, None), (operator, 0)):
        asking = Asked(caller=whose.key("admin").key, path={}, query=None, body=None, wants="application/json")
        report = audit.verify(log, asking)
        assert isinstance(report, wire.AuditReport)
        assert (report.ok, report.whole, report.records) == (False, False, records)


def test_one_check_of_the_log_runs_at_a_time(house: House, tenant: Tenant) -> None:
    with house.log.busy:
        problem(tenant.ask("admin", "POST", "/v1/audit/verify"), 409)
    assert tenant.post("/v1/audit/verify", "admin")["ok"] is True


def exported(tenant: Tenant, query: str = "") -> list[dict[str, Any]]:
    response = good(tenant.ask("admin", "GET", f"/v1/audit/export{query}"))
    assert response.headers["content-type"] == "application/jsonl"
    return [orjson.loads(line) for line in response.content.splitlines()]


def test_a_workspace_exports_its_own_records_alone(house: House, past: Tenant, stranger: Tenant) -> None:
    house.record(stranger.workspace, "theirs", payload={"workspace": past.workspace})
    records = exported(past)
    assert {one["record"]["workspace"] for one in records} == {past.workspace}
    assert {one["record"]["kind"] for one in records} == {"decision", "key.created"}
    assert len([one for one in records if one["record"]["kind"] == "decision"]) == 12
    behind = exported(past, f"?after={records[3]['position']}")
    assert behind == records[4:]


def test_the_whole_log_is_for_the_operator_alone(past: Tenant, operator: Tenant) -> None:
    problem(past.ask("admin", "GET", "/v1/audit/export?whole=true"), 403)
    records = exported(operator, "?whole=true")
    assert [one["position"] for one in records] == list(range(1, len(records) + 1))
    assert {one["record"].get("workspace") for one in exported(operator)} == {"default"}


def test_a_long_export_comes_in_blocks(house: House, tenant: Tenant) -> None:
    for number in range(4):
        house.record(tenant.workspace, f"long-{number}", payload="x" * 50_000)
    url, headers = "/v1/audit/export", {"Authorization": f"Bearer {tenant.key('admin').secret}"}
    with house.http.stream("GET", url, headers=headers) as response:
        blocks = [block for block in response.iter_raw() if block]
    assert len(blocks) > 1
    assert sum(b"long-" in line for line in b"".join(blocks).splitlines()) == 4
