"""Approvals over HTTP: who sees what, who decides, once; waiting without a thread."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import orjson
import pytest

from onpurpose.agents.wire import read_ticket
from onpurpose.app.consent import ticket
from onpurpose.core.access import Scope
from onpurpose.core.act import State, Via
from onpurpose.core.call import Call
from onpurpose.server.api.table import APPROVALS
from tests.app.deciding import route
from tests.server.api.house import House, Tenant, good, problem

DECISIONS: dict[str, dict[str, Any]] = {
    "grant": {},
    "deny": {"text": "not today"},
    "delegate": {"to": "bob"},
    "comment": {"text": "hm"},
}


def path(approval_id: str, move: str = "") -> str:
    return f"/v1/approvals/{approval_id}" + (f"/{move}" if move else "")


# -- what is seen


def test_an_agent_sees_what_its_own_key_asked_in_short(office: Tenant) -> None:
    approval = office.opened()
    told = office.get(path(approval.id), "agent")
    assert told.keys() == {"id", "state", "expires_at", "by", "reason", "url"}
    assert (told["id"], told["state"], told["by"]) == (approval.id, "pending", "")
    assert told["url"] == f"https://gate.example/approvals/{approval.id}"


def test_what_an_agent_is_told_is_what_its_client_reads(office: Tenant) -> None:
    held = ticket(office.opened())
    office.post(path(held.id, "deny"), "ada", text="not today")
    response = office.ask("agent", "GET", path(held.id))
    read = read_ticket(held, response.status_code, response.content)
    assert (read.state, read.by, read.reason) == (State.DENIED, "ada", "not today")


@pytest.mark.parametrize("who", ["reader", "watcher", "ada", "admin"])
def test_whoever_may_read_or_approve_sees_all_that_one_decides_by(office: Tenant, who: str) -> None:
    earlier = office.opened()
    office.post(path(earlier.id, "deny"), "bob", text="no")
    approval = office.opened(call=Call("agent-7", "payments.transfer", {"amount": 61_000}))
    office.post(path(approval.id, "comment"), "bob", text="let me see")
    told = office.get(path(approval.id), who)
    assert told["context"]["capability"] == "payments.transfer"
    assert "61000" in told["context"]["payload"]
    assert told["waits_for"] == [{"route": 0, "stage": 0, "approvers": ["anyone"], "quorum": 1, "granted_by": []}]
    assert [(act["move"], act["by"], act["via"], act["text"]) for act in told["history"]] == [
        ("comment", "bob", "api", "let me see")
    ]
    assert [(one["id"], one["state"], one["by"]) for one in told["similar"]] == [(earlier.id, "denied", "bob")]


def test_another_agents_approval_is_not_there(office: Tenant) -> None:
    approval = office.opened()
    problem(office.ask("evaluator", "GET", path(approval.id)), 404)
    problem(office.ask("evaluator", "POST", path(approval.id, "cancel"), json={}), 404)
    assert office.get(path(approval.id))["state"] == "pending"


@pytest.mark.parametrize("who", ["reader", "ada", "agent", "admin"])
def test_approvals_of_another_workspace_are_not_there(office: Tenant, stranger: Tenant, who: str) -> None:
    stranger.person("ada", "approvers")
    approval = office.opened()
    problem(stranger.ask(who, "GET", path(approval.id)), 404)
    if who == "ada":
        for move, body in DECISIONS.items():
            problem(stranger.ask("ada", "POST", path(approval.id, move), json=body), 404)
    if who != "reader":
        refused = stranger.ask(who, "POST", path(approval.id, "cancel"), json={})
        problem(refused, 404)
    if who in ("reader", "ada"):
        assert stranger.get("/v1/approvals", who)["items"] == []
    assert office.get(path(approval.id))["state"] == "pending"


def test_approvals_are_listed_newest_first_in_pages(office: Tenant) -> None:
    made = [office.opened(call=Call("bot", "open", {"n": n})).id for n in range(5)]
    first = office.get("/v1/approvals?limit=2")
    second = office.get(f"/v1/approvals?limit=3&cursor={first['next']}")
    assert [one["id"] for one in first["items"] + second["items"]] == made[::-1]
    assert second["next"] is None
    assert "context" not in first["items"][0]


def test_a_list_is_narrowed_by_state_agent_and_capability(office: Tenant) -> None:
    one = office.opened(call=Call("bot", "open", {}))
    other = office.opened(call=Call("cat", "close", {}))
    office.post(path(one.id, "grant"), "ada")

    def ids(query: str) -> list[str]:
        return [found["id"] for found in office.get(f"/v1/approvals?{query}", "watcher")["items"]]

    assert ids("state=granted") == [one.id]
    assert ids("state=pending") == ids("agent=cat") == ids("capability=close") == [other.id]
    assert ids("agent=cat&capability=open") == []


@pytest.mark.parametrize(
    "query",
    [
        "state=open", "limit=0", "limit=101", "cursor=a/b", "agent=%00", "other=1", "agent=" + "x" * 513,
        "state=used&state=used",
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_asked_for_is_refused(office: Tenant, query: str) -> None:
    problem(office.ask("reader", "GET", f"/v1/approvals?{query}"), 422)


@pytest.mark.parametrize("name", ["%00", "x" * 3000, "%F0%9F%92%A9", "..", "'; DROP"])
def test_a_name_that_no_approval_has_is_not_there(office: Tenant, name: str) -> None:
    problem(office.ask("reader", "GET", f"/v1/approvals/{name}"), 404)


# -- who decides


@pytest.mark.parametrize("move", sorted(DECISIONS))
@pytest.mark.parametrize("who", ["admin", "watcher"])
def test_a_key_of_nobody_decides_nothing_and_is_told_how_one_is_made(office: Tenant, move: str, who: str) -> None:
    approval = office.opened()
    told = problem(office.ask(who, "POST", path(approval.id, move), json=DECISIONS[move]), 403)
    assert "POST /v1/keys" in told["detail"]
    assert office.get(path(approval.id))["state"] == "pending"


def test_people_grant_with_their_own_keys_until_there_are_enough(office: Tenant) -> None:
    approval = office.opened(route("group:approvers", quorum=2, step_up=True))
    one = office.post(path(approval.id, "grant"), "ada", text="fine by me")
    assert (one["state"], one["waits_for"][0]["granted_by"]) == ("pending", ["ada"])
    problem(office.ask("ada", "POST", path(approval.id, "grant"), json={}), 403)
    two = office.post(path(approval.id, "grant"), "bob")
    assert (two["state"], two["by"], two["waits_for"]) == ("granted", "bob", [])


def test_a_delegated_request_is_decided_by_the_other(office: Tenant) -> None:
    approval = office.opened(route("group:approvers"))
    assert office.post(path(approval.id, "delegate"), "ada", to="bob")["history"][0]["to"] == "bob"
    problem(office.ask("ada", "POST", path(approval.id, "grant"), json={}), 403)
    assert office.post(path(approval.id, "grant"), "bob")["state"] == "granted"


def test_who_is_not_asked_may_not_decide_and_it_is_recorded(office: Tenant) -> None:
    office.person("dee")
    approval = office.opened(route("group:approvers"))
    told = problem(office.ask("dee", "POST", path(approval.id, "grant"), json={}), 403)
    assert "not among the approvers" in told["detail"]
    assert [(one["by"], one["approval"], one["via"]) for one in office.refused()] == [("dee", approval.id, "api")]


def test_nobody_decides_their_own_request(office: Tenant) -> None:
    approval = office.opened(requesters=("ada",))
    assert "own request" in problem(office.ask("ada", "POST", path(approval.id, "grant"), json={}), 403)["detail"]


def test_a_disabled_user_decides_nothing(office: Tenant) -> None:
    approval = office.opened()
    good(office.ask("admin", "DELETE", "/v1/users/bob"))
    problem(office.ask("bob", "POST", path(approval.id, "grant"), json={}), 401)


def test_who_comes_second_is_told_who_was_first(office: Tenant) -> None:
    approval = office.opened()
    office.post(path(approval.id, "deny"), "ada", text="no")
    for move, body in DECISIONS.items():
        told = problem(office.ask("bob", "POST", path(approval.id, move), json=body), 409)
        assert "denied by `ada`" in told["detail"]
        assert (told["approval"]["state"], told["approval"]["by"]) == ("denied", "ada")
        assert told["type"] == "urn:onpurpose:problem:already_decided"


def test_an_expired_approval_is_not_granted(house: House, office: Tenant) -> None:
    approval = office.opened(route("anyone", timeout_seconds=60))
    house.clock.by += 60_000_000
    told = problem(office.ask("ada", "POST", path(approval.id, "grant"), json={}), 409)
    assert office.get(path(approval.id), "agent")["state"] == "expired"
    assert (told["approval"]["state"], told["approval"]["by"]) == ("expired", "")


def test_the_key_that_asked_takes_it_back(office: Tenant) -> None:
    approval = office.opened()
    told = office.post(path(approval.id, "cancel"), "agent", text="not needed")
    assert told.keys() == {"id", "state", "expires_at", "by", "reason", "url"}
    assert (told["state"], told["reason"]) == ("cancelled", "not needed")


def test_people_who_have_a_part_in_it_take_it_back_and_no_others(office: Tenant) -> None:
    office.person("dee")
    approval = office.opened(route("group:approvers"))
    problem(office.ask("dee", "POST", path(approval.id, "cancel"), json={}), 403)
    problem(office.ask("admin", "POST", path(approval.id, "cancel"), json={}), 403)
    assert office.post(path(approval.id, "cancel"), "ada")["state"] == "cancelled"


@pytest.mark.parametrize(
    ("move", "body"),
    [
        ("deny", {}), ("deny", {"text": " \n"}), ("deny", {"text": "x" * 2001}), ("comment", {"text": ""}),
        ("grant", {"text": "\x00"}), ("grant", {"by": "bob"}), ("delegate", {}), ("delegate", {"to": "../x"}),
        ("cancel", {"text": 1}), ("grant", []),
    ],
)  # fmt: skip
def test_a_body_of_another_form_decides_nothing(office: Tenant, move: str, body: Any) -> None:
    approval = office.opened()
    problem(office.ask("ada", "POST", path(approval.id, move), json=body), 422)
    assert office.get(path(approval.id))["history"] == []


def test_a_body_is_bounded(office: Tenant) -> None:
    approval = office.opened()
    problem(office.ask("ada", "POST", path(approval.id, "grant"), json={"text": "x" * 70_000}), 413)


def test_of_two_hundred_who_decide_at_once_one_does(house: House, office: Tenant) -> None:
    approval = office.opened()
    names = [office.person(f"p{number}") for number in range(8)]
    begin = threading.Barrier(20)

    def click(number: int) -> httpx2.Response:
        if number < 20:
            begin.wait()
        who, move = names[number % 8], ("grant", "deny")[number % 2]
        return office.ask(who, "POST", path(approval.id, move), json=DECISIONS[move])

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(click, range(200)))
    won = [one for one in answers if one.status_code == 200]
    assert len(won) == 1
    lost = [problem(one, 409) for one in answers if one is not won[0]]
    first = won[0].json()
    assert len(lost) == 199
    assert {one["approval"]["by"] for one in lost} == {first["by"]}
    assert all(f"`{first['by']}`" in one["detail"] for one in lost)
    assert len(office.get(path(approval.id))["history"]) == 1


# -- waiting


def test_an_answer_is_held_back_until_somebody_decides(house: House, office: Tenant) -> None:
    approval = office.opened()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(office.get, path(approval.id) + "?wait=30", "agent")
        house.desk.await_watchers(1)
        began = time.monotonic()
        office.post(path(approval.id, "grant"), "ada")
        assert waiting.result(10)["state"] == "granted"
    assert time.monotonic() - began < 5


def test_an_answer_is_held_back_no_longer_than_asked(office: Tenant) -> None:
    approval = office.opened()
    began = time.monotonic()
    assert office.get(path(approval.id) + "?wait=0.2", "agent")["state"] == "pending"
    assert 0.2 <= time.monotonic() - began < 5


def test_what_is_decided_is_answered_at_once(office: Tenant) -> None:
    approval = office.opened()
    office.post(path(approval.id, "grant"), "ada")
    began = time.monotonic()
    assert office.get(path(approval.id) + "?wait=30", "reader")["by"] == "ada"
    assert time.monotonic() - began < 5


def test_hundreds_wait_without_a_thread_each(house: House, office: Tenant) -> None:
    approval = office.opened()
    sent = f"GET {path(approval.id)}?wait=30 HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer "
    request = f"{sent}{office.key('agent').secret}\r\n\r\n".encode()
    connections = [house.served.connect() for _ in range(300)]
    try:
        for one in connections:
            one.sendall(request)
        house.desk.await_watchers(300)
        assert threading.active_count() < 100
        house.desk.grant(office.workspace, approval.id, "ada", via=Via.TERMINAL)
        for one in connections:
            answer = b""
            while part := one.recv(65536):
                answer += part
            assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["state"] == "granted"
    finally:
        for one in connections:
            one.close()


def test_a_client_that_hangs_up_is_waited_for_no_more(house: House, office: Tenant) -> None:
    approval = office.opened()
    with house.served.connect() as connection:
        line = f"GET {path(approval.id)}?wait=30 HTTP/1.1\r\nHost: t\r\n"
        connection.sendall(f"{line}Authorization: Bearer {office.key('agent').secret}\r\n\r\n".encode())
        house.desk.await_watchers(1)
    house.desk.await_watchers(0)


@pytest.mark.parametrize("wait", ["-1", "31", "nan", "inf", "x", ""])
def test_waiting_is_bounded(office: Tenant, wait: str) -> None:
    problem(office.ask("agent", "GET", path(office.opened().id) + f"?wait={wait}"), 422)


# -- personal keys


def test_a_personal_key_says_whose_it_is(office: Tenant) -> None:
    made = office.post("/v1/keys", "admin", name="a", scopes=["approve", "read"], user="ada")
    assert made["key"]["user"] == "ada"
    assert office.get(f"/v1/keys/{made['key']['id']}", "admin")["user"] == "ada"
    assert office.post("/v1/keys", "admin", name="a", scopes=["read"])["key"]["user"] is None


@pytest.mark.parametrize("scope", sorted(set(Scope) - {Scope.APPROVE, Scope.READ}))
def test_a_personal_key_only_decides_and_looks(office: Tenant, scope: Scope) -> None:
    body = {"name": "a", "scopes": ["approve", scope], "user": "ada"}
    assert "personal key" in problem(office.ask("admin", "POST", "/v1/keys", json=body), 422)["errors"][0]["detail"]


def test_a_personal_key_is_made_for_a_user_of_the_workspace_who_may_act(office: Tenant, stranger: Tenant) -> None:
    body = {"name": "a", "scopes": ["approve"], "user": "ada"}
    problem(stranger.ask("admin", "POST", "/v1/keys", json=body), 404)
    good(office.ask("admin", "DELETE", "/v1/users/ada"))
    problem(office.ask("admin", "POST", "/v1/keys", json=body), 409)


def test_disabling_a_user_revokes_their_keys_for_good(office: Tenant) -> None:
    good(office.ask("ada", "GET", "/v1/approvals"))
    user = office.get("/v1/users/ada")
    good(office.ask("admin", "DELETE", "/v1/users/ada"))
    problem(office.ask("ada", "GET", "/v1/approvals"), 401)
    fields = {name: user[name] for name in ("name", "email", "groups")}
    assert good(office.ask("admin", "PUT", "/v1/users/ada", json=fields)).json()["disabled_at"] is None
    problem(office.ask("ada", "GET", "/v1/approvals"), 401)
    good(office.ask("bob", "GET", "/v1/approvals"))


def test_a_user_has_an_account_in_slack(office: Tenant) -> None:
    fields = {"name": "Ada", "email": "ada@corp.example", "groups": []}
    assert office.get("/v1/users/ada")["slack"] is None
    assert good(office.ask("admin", "PUT", "/v1/users/ada", json=fields | {"slack": "U024BE7LH"})).json()["slack"]
    assert office.get("/v1/users/ada")["slack"] == "U024BE7LH"
    for wrong in ("u1", "C024BE7LH", "U" * 40, "U1\n", "<@U1>"):
        problem(office.ask("admin", "PUT", "/v1/users/ada", json=fields | {"slack": wrong}), 422)


def test_the_table_names_every_operation_once() -> None:
    assert len({(one.method, one.path) for one in APPROVALS}) == len(APPROVALS) == 7
