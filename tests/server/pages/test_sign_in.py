"""The page where one signs in with a personal key: it shows and decides for that user, and keeps nothing."""

from __future__ import annotations

import logging

import orjson
import pytest
from msgspec.structs import replace

from onpurpose.core.access import Scope
from onpurpose.core.act import State, Via
from onpurpose.core.approval import Approval
from onpurpose.core.call import Call
from tests.app.deciding import route
from tests.server.api.house import House, Tenant, good
from tests.server.pages.reading import OURS, Visit, sign_in


@pytest.fixture
def approval(office: Tenant) -> Approval:
    return office.opened(route("group:approvers", step_up=True))


@pytest.fixture
def visit(office: Tenant, approval: Approval) -> Visit:
    return sign_in(office, approval.id)


def now(office: Tenant, approval: Approval) -> Approval:
    return office.house.desk.get(office.workspace, approval.id)


def whys(office: Tenant) -> list[tuple[str, str]]:
    return [(one["why"], one["by"]) for one in office.refused()]


def test_the_page_asks_for_a_key_and_tells_nothing_of_any_request(office: Tenant, visit: Visit) -> None:
    page = visit.look()
    assert (page.status, page.title) == (200, "Sign in")
    assert office.house.http.get("/approvals/no-such").text == office.house.http.get(visit.path).text
    assert {("input", "type", "password"), ("input", "autocomplete", "off")} <= set(page.attributes)
    assert page.forms[0].fields == {"action": "show", "key": ""}


def test_whoever_signs_in_sees_the_request_and_decides_it(office: Tenant, approval: Approval, visit: Visit) -> None:
    key = office.keys["ada"].secret
    page = visit.send(action="show", key=key)
    assert page.actions() == ["grant", "deny", "delegate"]
    assert '"amount": 60000' in page.text
    assert now(office, approval) == approval
    done = visit.send(**page.form("grant").fields)
    assert done.title == "Your grant is kept"
    act = now(office, approval).acts[0]
    assert (now(office, approval).state, act.by, act.via, act.link) == (State.GRANTED, "ada", Via.PAGE, "")


def test_the_key_travels_in_bodies_alone(office: Tenant, visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key = office.keys["ada"].secret
    page = visit.send(action="show", key=key)
    values = [(tag, name) for tag, name, value in page.attributes if key in value]
    assert values == [("input", "value")] * 3
    assert {form.attributes.get("method") for form in page.forms} == {"post"}
    assert all("action" not in form.attributes for form in page.forms)
    assert key not in page.text
    done = visit.send(**page.form("deny").fields | {"reason": "no"})
    assert all(key not in value for _, _, value in done.attributes)
    visit.send(action="grant", key=key)
    visit.send(action="grant", key=key + "x")
    told = [one.body for one in office.house.refusals.records()]
    assert all(key[12:].encode() not in body for body in told)
    assert key[12:] not in caplog.text


def test_where_something_is_missing_one_stays_signed_in(office: Tenant, visit: Visit) -> None:
    key = office.keys["ada"].secret
    page = visit.send(action="deny", key=key)
    assert page.status == 422
    assert visit.send(**page.form("deny").fields | {"reason": "no"}).title == "The request is denied"


def test_a_wrong_key_opens_nothing_and_is_recorded(office: Tenant, approval: Approval, visit: Visit) -> None:
    before = len(list(office.house.refusals.records()))
    good_key = office.keys["ada"].secret
    for wrong in ("", "op_nothing", good_key[:-1], f"{good_key}x", "x" * 300):
        page = visit.send(action="grant", key=wrong)
        assert page.status == 401
        assert ("a", "href", "#key") in page.attributes
    assert now(office, approval) == approval
    told = [orjson.loads(one.body) for one in list(office.house.refusals.records())[before:]]
    assert [one["why"] for one in told if one["kind"] == "approval.refused"] == [
        "signing in: missing key", *["signing in: unknown key"] * 4,
    ]  # fmt: skip


def test_a_revoked_or_expired_key_opens_nothing(house: House, office: Tenant, approval: Approval, visit: Visit) -> None:
    keyring = house.control.keyring
    old = keyring.create_key(office.workspace, "old", [Scope.APPROVE], by="tests", user="ada", expires_in_seconds=60)
    house.clock.by += 3_600_000_000
    fresh = office.opened()
    assert "expired" in sign_in(office, fresh.id).send(action="grant", key=old.secret).text
    good(office.ask("admin", "DELETE", "/v1/users/ada"))
    assert "revoked" in visit.send(action="grant", key=office.keys["ada"].secret).text
    assert now(office, fresh).acts == ()


@pytest.mark.parametrize("who", ["admin", "watcher", "agent", "reader"])
def test_a_key_that_is_nobodys_own_decides_nothing(office: Tenant, approval: Approval, visit: Visit, who: str) -> None:
    key = office.key(who)
    page = visit.send(action="grant", key=key.secret)
    assert page.status == 403
    assert "nobody's own" in page.text
    assert key.secret not in "".join(value for _, _, value in page.attributes)
    assert now(office, approval) == approval
    assert [by for _, by in whys(office)] == [key.key.prefix]


def test_a_key_that_only_reads_decides_nothing(office: Tenant, approval: Approval, visit: Visit) -> None:
    keyring = office.house.control.keyring
    key = keyring.create_key(office.workspace, "r", [Scope.READ], by="tests", user="ada")
    page = visit.send(action="grant", key=key.secret)
    assert (page.status, now(office, approval)) == (403, approval)
    assert [by for _, by in whys(office)] == ["ada"]


def test_the_key_of_a_user_who_was_disabled_behind_our_back_decides_nothing(
    office: Tenant, approval: Approval, visit: Visit
) -> None:
    user = office.house.control.keyring.user(office.workspace, "ada")
    office.house.access.put(replace(user, disabled_at=1), notes=[])
    assert "disabled" in visit.send(action="grant", key=office.keys["ada"].secret).text
    assert now(office, approval) == approval


def test_a_key_of_another_workspace_finds_nothing(office: Tenant, stranger: Tenant, approval: Approval) -> None:
    stranger.person("ada", "approvers")
    for action in ("show", "grant", "deny", "delegate"):
        page = sign_in(office, approval.id).send(action=action, key=stranger.keys["ada"].secret, reason="x", to="bob")
        assert page.status == 404
        assert "agent-7" not in page.text
    assert now(office, approval) == approval
    assert [one["approval"] for one in stranger.refused()] == [approval.id] * 4


def test_who_may_not_decide_sees_why_and_no_forms(office: Tenant) -> None:
    approval = office.opened(route("group:approvers"), requesters=("ada",))
    visit = sign_in(office, approval.id)
    page = visit.send(action="show", key=office.keys["ada"].secret)
    assert (page.status, page.forms) == (200, [])
    assert "You cannot decide this request: nobody approves their own request." in page.text
    assert visit.send(action="grant", key=office.keys["ada"].secret).status == 403
    assert whys(office) == [("nobody approves their own request", "ada")]


def test_what_is_decided_is_shown_without_forms(office: Tenant, approval: Approval, visit: Visit) -> None:
    key = office.keys["bob"].secret
    office.post(f"/v1/approvals/{approval.id}/deny", "ada", text="wrong account")
    page = visit.send(action="show", key=key)
    assert (page.title, page.forms) == ("Request for approval", [])
    assert "Already denied by Ada (ada) at" in page.text
    assert "wrong account" in page.text
    late = visit.send(action="grant", key=key)
    assert (late.status, late.title) == (409, "You come too late")
    assert "Already denied by Ada (ada) at" in late.text


def test_what_has_expired_is_shown_so(house: House, office: Tenant) -> None:
    pending = office.opened()
    granted = office.opened(route("anyone", timeout_seconds=300), call=Call("bot", "open", {}))
    office.post(f"/v1/approvals/{granted.id}/grant", "ada")
    house.clock.by += 2 * 3_600_000_000
    key = office.keys["ada"].secret
    assert "nobody decided it in time" in sign_in(office, pending.id).send(action="show", key=key).text
    assert "the grant was not used in time" in sign_in(office, granted.id).send(action="show", key=key).text


def test_what_the_policies_took_back_is_nobodys_doing(office: Tenant) -> None:
    approval = office.opened()
    office.opened(route("user:ada"))
    text = sign_in(office, approval.id).send(action="show", key=office.keys["ada"].secret).text
    assert "It was cancelled at 20" in text


def test_a_form_of_another_page_decides_nothing(office: Tenant, approval: Approval, visit: Visit) -> None:
    key = office.keys["ada"].secret
    for headers in ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, {"Origin": "https://evil.example"}, {}):
        assert visit.send(headers, action="grant", key=key).status == 403
    assert now(office, approval) == approval


def test_who_guesses_must_wait_and_then_may_try_again(house: House, office: Tenant, approval: Approval) -> None:
    visit, key = sign_in(office, approval.id), office.keys["ada"].secret
    statuses = [visit.send(action="show", key=f"op_wrong{number}").status for number in range(7)]
    assert statuses[:4] == [401] * 4
    assert statuses[-1] == 429
    answer = house.http.post(visit.path, data={"action": "grant", "key": key}, headers=OURS)
    assert (answer.status_code, now(office, approval)) == (429, approval)
    wait = int(answer.headers["retry-after"])
    assert 0 < wait <= 10
    house.clock.by += wait * 1_000_000
    assert visit.send(action="grant", key=key).status == 200


def test_a_form_that_is_none_of_ours_decides_nothing(house: House, office: Tenant, approval: Approval) -> None:
    path, key = sign_in(office, approval.id).path, office.keys["ada"].secret
    for body in (f"key={key}", f"key={key}&action=use", f"key={key}&action=grant&action=deny"):
        headers = OURS | {"Content-Type": "application/x-www-form-urlencoded"}
        assert house.http.post(path, content=body, headers=headers).status_code == 400
    assert now(office, approval) == approval
