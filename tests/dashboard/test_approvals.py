"""Approvals on the dashboard: who may, decides first; one decision stands; hostile text stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from onpurpose.core.act import State, Via
from onpurpose.core.call import Call
from tests.app.deciding import route
from tests.dashboard.desks import HOSTILE, PASSWORD, Desks, Place, opened

MINUTE = 60_000_000


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    with opened(tmp_path_factory.mktemp("desks")) as found:
        yield found


@pytest.fixture
def place(desks: Desks) -> Place:
    return desks.workspace()


def call(**payload: Any) -> Call:
    return Call("agent-7", "payments.transfer", payload)


def path(approval_id: str, more: str = "") -> str:
    return f"/approvals/{approval_id}{more}"


# -- the queue


def test_those_that_i_may_decide_come_first_and_soonest_first(place: Place) -> None:
    others = place.asked(route("user:bob", timeout_seconds=60), call=call(n=1))
    late = place.asked(route("user:ada", timeout_seconds=7200), call=call(n=2))
    soon = place.asked(route("user:ada", timeout_seconds=600), call=call(n=3))
    text = place.browser("ada").get("/approvals").text
    assert re.findall(r'id="a-([^"]*)"', text) == [soon.id, late.id, others.id]
    assert "For you to decide" in text
    mine = place.browser("ada").get("/approvals?mine=1").text
    assert re.findall(r'id="a-([^"]*)"', mine) == [soon.id, late.id]
    viewer = place.browser("vic").get("/approvals").text
    assert "For you to decide" not in viewer


def test_an_empty_queue_says_what_to_do_first(place: Place) -> None:
    assert "Nothing waits for a decision" in place.browser("vic").get("/approvals").text


def test_the_queue_is_sent_anew_only_where_it_changed(place: Place) -> None:
    place.asked()
    browser = place.browser("ada")
    follow = re.search(r'hx-get="([^"]*seen=[^"]*)"', browser.get("/approvals").text)
    assert follow is not None
    at = follow.group(1).replace("&amp;", "&")
    assert browser.get(at).status_code == 204
    second = place.asked(call=call(n=2))
    anew = browser.get(at)
    assert anew.status_code == 200
    assert f'id="a-{second.id}"' in anew.text
    assert "<html" not in anew.text


def test_filters_are_links_that_keep_each_other(place: Place) -> None:
    one = place.asked(call=Call("agent-1", "mail.send", {}))
    two = place.asked(call=Call("agent-2", "mail.send", {}))
    browser = place.browser("ada")
    shown = re.findall(r'id="a-([^"]*)"', browser.get("/approvals?agent=agent-1&mine=1").text)
    assert shown == [one.id]
    assert two.id not in shown
    assert 'href="/approvals?agent=agent-1"' in browser.get("/approvals?agent=agent-1&mine=1").text


def test_what_a_query_says_wrongly_is_left_out(place: Place) -> None:
    one = place.asked()
    assert one.id in place.browser("vic").get("/approvals?state=%00nonsense&agent=&mine=x").text


# -- history


def test_history_tells_who_decided_and_how_long_that_took(desks: Desks, place: Place) -> None:
    for n, minutes in enumerate((1, 2, 9)):
        one = place.asked(call=call(n=n))
        desks.house.clock.by += minutes * MINUTE
        desks.house.desk.grant(place.name, one.id, "ada", via=Via.PAGE)
    refused = place.asked(call=call(n=9))
    desks.house.clock.by += 4 * MINUTE
    desks.house.desk.deny(place.name, refused.id, "bob", via=Via.PAGE, text="no")
    text = place.browser("vic").get("/approvals?state=decided").text
    assert re.search(r"3 min 0 s</strong>, of 4\sdecisions", text)
    rows = re.findall(r'<tr><th scope="row"><bdi>([^<]*)</bdi></th><td[^>]*>(\d+)</td><td[^>]*>([^<]*)</td>', text)
    assert rows == [("Ada (ada)", "3", "2 min 0 s"), ("Bob (bob)", "1", "4 min 0 s")]
    assert refused.id not in place.browser("vic").get("/approvals?state=granted").text


def test_history_comes_in_pages(place: Place, desks: Desks) -> None:
    ids = [place.asked(call=call(n=n)).id for n in range(53)]
    for one in ids:
        desks.house.desk.cancel(place.name, one, by="ada", via=Via.PAGE)
    browser = place.browser("vic")
    first = browser.get("/approvals?state=cancelled").text
    seen = re.findall(r'<td><a href="/approvals/([^"]*)"', first)
    follow = re.search(r'rel="next" href="([^"]*)"', first)
    assert follow is not None
    rest = re.findall(r'<td><a href="/approvals/([^"]*)"', browser.get(follow.group(1).replace("&amp;", "&")).text)
    assert seen + rest == ids[::-1]


# -- one of them


def test_a_request_shows_all_that_one_decides_by(place: Place) -> None:
    one = place.asked(call=call(amount=60_000, api_key="sk-secret"))
    text = place.browser("ada").get(path(one.id)).text
    for wanted in ("agent-7", "payments.transfer", "60000", "over 50,000", "bot key", "Similar requests", "Grant…"):
        assert wanted in text
    assert "sk-secret" not in text


def test_without_a_session_the_page_asks_for_a_personal_key(place: Place) -> None:
    one = place.asked()
    text = place.browser().get(path(one.id)).text
    assert "Personal key" in text
    assert "agent-7" not in text


def test_a_session_that_ended_leads_to_the_sign_in_and_back(place: Place) -> None:
    one = place.asked()
    browser = place.browser()
    browser.http.cookies.set("onpurpose", "x" * 43)
    response = browser.get(path(one.id))
    assert response.status_code == 303
    assert response.headers["location"] == f"/sign-in?next=%2Fapprovals%2F{one.id}"


def test_a_grant_is_kept_and_leads_to_the_next_one(place: Place) -> None:
    one, two = place.asked(call=call(n=1)), place.asked(call=call(n=2))
    browser = place.browser("ada")
    response = browser.act(path(one.id), {"action": "grant", "text": "fine"})
    assert (response.status_code, response.headers["location"]) == (303, path(one.id, "?done=grant"))
    after = place.desks.house.desk.get(place.name, one.id)
    assert (after.state, after.acts[-1].by, after.acts[-1].via, after.acts[-1].text) == (
        State.GRANTED, "ada", Via.PAGE, "fine",
    )  # fmt: skip
    text = browser.get(path(one.id, "?done=grant")).text
    assert "Your grant is kept." in text
    assert f'href="{path(two.id)}"' in text


def test_a_denial_needs_a_reason_and_takes_one_that_is_offered(place: Place) -> None:
    one = place.asked()
    browser = place.browser("ada")
    missing = browser.act(path(one.id), {"action": "deny"})
    assert missing.status_code == 422
    assert "the agent is told it" in missing.text
    preset = "Not now: ask again at a better time."
    assert browser.post(path(one.id), {"action": "deny", "preset": preset, "reason": "On Monday."}).status_code == 303
    after = place.desks.house.desk.get(place.name, one.id)
    assert (after.state, after.acts[-1].text) == (State.DENIED, f"{preset}\nOn Monday.")


def test_a_request_is_passed_on_to_somebody_who_may_decide_it(place: Place) -> None:
    one = place.asked(route("user:ada", "user:bob"))
    browser = place.browser("ada")
    assert browser.act(path(one.id), {"action": "delegate", "to": "bob", "text": "yours"}).status_code == 303
    assert "You cannot grant this request: you have delegated" in browser.get(path(one.id)).text
    assert place.browser("bob").act(path(one.id), {"action": "grant"}).status_code == 303


def test_a_comment_decides_nothing(place: Place) -> None:
    one = place.asked()
    browser = place.browser("ada")
    assert browser.act(path(one.id), {"action": "comment", "text": " "}).status_code == 422
    assert browser.post(path(one.id), {"action": "comment", "text": "who asked for this?"}).status_code == 303
    assert "who asked for this?" in browser.get(path(one.id)).text
    assert place.desks.house.desk.get(place.name, one.id).state is State.PENDING


def test_who_comes_second_is_told_who_was_first(place: Place) -> None:
    one = place.asked()
    late = place.browser("bob")
    late.get(path(one.id))
    place.browser("ada").act(path(one.id), {"action": "grant"})
    response = late.post(path(one.id), {"action": "deny", "reason": "no"})
    assert response.status_code == 409
    assert "You come too late; nothing was changed by you. Already granted by Ada (ada) at" in response.text
    assert place.desks.house.desk.get(place.name, one.id).state is State.GRANTED


def test_what_cannot_be_kept_comes_back_as_it_was_written(place: Place) -> None:
    one = place.asked()
    response = place.browser("ada").act(path(one.id), {"action": "grant", "text": "<b>long" + "x" * 3000})
    assert response.status_code == 422
    assert "&lt;b&gt;long" in response.text


def test_who_is_not_asked_cannot_decide_and_is_told_so(place: Place) -> None:
    one = place.asked(route("user:bob"))
    browser = place.browser("ada")
    assert "you are not among the approvers" in browser.get(path(one.id)).text
    response = browser.post(path(one.id), {"action": "grant"})
    assert response.status_code == 403
    assert place.desks.house.desk.get(place.name, one.id).state is State.PENDING


@pytest.mark.parametrize("who", ["vic", "wim", "pia"])
def test_a_role_that_does_not_approve_looks_and_decides_nothing(place: Place, who: str) -> None:
    one = place.asked(route("anyone"))
    browser = place.browser(who)
    text = browser.get(path(one.id)).text
    assert "none of your roles lets you approve" in text
    assert '<dialog id="grant"' not in text
    for action in ("grant", "deny", "delegate", "comment"):
        assert (
            browser.post(path(one.id), {"action": action, "text": "x", "reason": "x", "to": "ada"}).status_code == 403
        )
    assert place.desks.house.desk.get(place.name, one.id).acts == ()


def test_a_form_of_another_page_decides_nothing(place: Place) -> None:
    one = place.asked()
    browser = place.browser("ada")
    browser.get(path(one.id))
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert browser.post(path(one.id), {"action": "grant"}, **headers).status_code == 403
    assert browser.post(path(one.id), {"action": "grant", "_csrf": "forged"}).status_code == 403
    assert place.desks.house.desk.get(place.name, one.id).state is State.PENDING


def test_a_request_of_another_workspace_is_not_there(desks: Desks, place: Place) -> None:
    one = place.asked()
    other = desks.workspace()
    for more in ("", "/standing", "/confirm"):
        assert other.browser("ada").get(path(one.id, more)).status_code == 404
    assert other.browser("ada").act(path(one.id), {"action": "grant"}, at="/approvals").status_code == 404


def test_how_it_stands_is_sent_anew_only_once_it_stands_otherwise(place: Place) -> None:
    one = place.asked()
    browser = place.browser("vic")
    seen = re.search(r"standing\?seen=([^\"]*)", browser.get(path(one.id)).text)
    assert seen is not None
    at = path(one.id, f"/standing?seen={seen.group(1)}")
    assert browser.get(at).status_code == 204
    place.browser("ada").act(path(one.id), {"action": "deny", "reason": "wrong account"})
    told = browser.get(at)
    assert "Already denied by Ada (ada)" in told.text
    assert "wrong account" in told.text


# -- what asks for a sign-in of its own


def test_step_up_is_decided_by_a_sign_in_of_the_last_minutes(desks: Desks, place: Place) -> None:
    one = place.asked(route("group:approvers", step_up=True))
    place.browser("ada").act(path(one.id), {"action": "comment", "text": "on it"})
    browser = place.browser("ada")
    desks.house.clock.by += 16 * MINUTE
    text = browser.get(path(one.id)).text
    assert "Confirm who you are" in text
    assert '<dialog id="grant"' not in text
    refused = browser.post(path(one.id), {"action": "grant"})
    assert refused.status_code == 422
    assert desks.house.desk.get(place.name, one.id).state is State.PENDING
    assert place.browser("ada").act(path(one.id), {"action": "grant"}).status_code == 303


def test_whoever_confirms_by_password_decides_with_a_new_session(desks: Desks, place: Place) -> None:
    one = place.asked(route("group:approvers", step_up=True))
    desks.own.set_password(place.users["ada"], PASSWORD, by="tests")
    browser = place.browser("ada")
    before = browser.http.cookies["onpurpose"]
    desks.house.clock.by += 16 * MINUTE
    assert browser.act(path(one.id, "/confirm"), {"password": "wrong"}).status_code == 401
    response = browser.post(path(one.id, "/confirm"), {"password": PASSWORD})
    assert (response.status_code, response.headers["location"]) == (303, path(one.id))
    assert browser.http.cookies["onpurpose"] != before
    assert desks.signed_in.principal(before) is None
    assert browser.act(path(one.id), {"action": "grant"}).status_code == 303
    assert desks.house.desk.get(place.name, one.id).state is State.GRANTED


def test_step_up_by_another_service_counts_where_it_asked_anew(desks: Desks, place: Place) -> None:
    one = place.asked(route("group:approvers", step_up=True))
    browser = place.browser("ada", method="oidc")
    text = browser.get(path(one.id)).text
    assert ("Confirm who you are" in text, '<dialog id="grant"' in text) == (True, False)
    assert browser.post(path(one.id), {"action": "grant"}).status_code == 422
    confirm = browser.get(path(one.id, "/confirm")).text
    assert f"/sign-in/oidc?anew=1&amp;next={path(one.id)}" in confirm
    assert 'name="password"' in confirm, "who has a password here may confirm with it"
    assert place.browser("ada", method="oidc-anew").act(path(one.id), {"action": "grant"}).status_code == 303


# -- hostile text


def test_nothing_that_an_agent_writes_is_markup(place: Place) -> None:
    hostile = Call(
        HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, purpose_id=HOSTILE, data_source_id=HOSTILE, elements=(HOSTILE,),
        policy_context={HOSTILE: HOSTILE},
    )  # fmt: skip
    one = place.asked(call=hostile)
    browser = place.browser("ada")
    browser.act(path(one.id), {"action": "comment", "text": HOSTILE})
    for at in ("/approvals", path(one.id), path(one.id, "/standing")):
        text = browser.get(at).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "49" not in re.sub(r"\d{3,}|:\d\d", "", text) or "{{7*7}}" in text
    browser.post(path(one.id), {"action": "deny", "reason": HOSTILE})
    for at in ("/approvals?state=decided", path(one.id)):
        assert "<script>alert" not in browser.get(at).text
        assert "<img" not in browser.get(at).text


def test_pages_carry_the_policy_that_lets_nothing_foreign_run(place: Place) -> None:
    one = place.asked()
    for at in ("/approvals", "/approvals?state=decided", path(one.id), path(one.id, "/standing")):
        response = place.browser("ada").get(at)
        assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert response.headers["cache-control"] == "no-store"
        assert " style=" not in response.text
