"""Approvals against those who may not: forged, replayed, foreign and late attempts, and two hundred at once."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlencode

import pytest

from onpurpose.app.links import Links
from onpurpose.core.approval import Approval
from onpurpose.core.routing import DEFAULT
from tests.service.office import SECRET, Case, Office, done, member
from tests.service.test_approvals import approval_of, ask
from tests.slack.fake import Json

GRANT = "onpurpose_grant"


def still_waits(case: Case, approval_id: str) -> bool:
    told = case.office.approval(approval_id)
    return (told["state"], told["history"]) == ("pending", [])


# -- links


def forged(path: str) -> str:
    """The link, for somebody else, under the seal that it had."""
    body, _, seal = path.removeprefix("/approve/").partition(".")
    told = json.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    told["u"] = "mallory"
    return f"/approve/{urlsafe_b64encode(json.dumps(told).encode()).decode().rstrip('=')}.{seal}"


def test_a_forged_link_neither_shows_nor_decides_and_is_recorded(case: Case) -> None:
    result = ask(case)
    path = forged(case.office.link(case.people[0]))
    shown = case.office.admin.get(path)
    assert shown.status_code == 404
    assert "sk-very" not in shown.text
    assert case.office.post(path, action="grant").status_code == 404
    assert still_waits(case, approval_of(result))
    assert case.office.refused("", "this is no link of ours")["via"] == "email"


def test_a_link_is_good_for_one_decision(case: Case) -> None:
    case.ask_people(f"approvers: {{from: [group:{case.group}], quorum: 2}}\n")
    result = ask(case)
    path = case.office.link(case.people[0])
    assert case.office.post(path, action="grant").status_code == 200
    replayed = case.office.post(path, action="grant")
    assert replayed.status_code == 410, replayed.text
    assert case.office.admin.get(path).status_code == 410
    told = case.office.approval(approval_of(result))
    assert (told["state"], len(told["history"])) == ("pending", 1)
    assert case.office.refused(approval_of(result), "used already")["by"] == case.people[0]


def test_a_link_of_another_workspace_decides_nothing_here(case: Case) -> None:
    result = ask(case)
    here = case.office.approval(approval_of(result))
    elsewhere = Approval(
        id=approval_of(result), workspace="elsewhere", digest="", agent_id="", capability="", routes=(DEFAULT,),
        context=b"", opened_at=0, until=here["until"], wake_at=None,
    )  # fmt: skip
    path = (
        Links(SECRET, "https://gate.example").url(elsewhere, case.people[0], "n1").removeprefix("https://gate.example")
    )
    assert case.office.post(path, action="grant").status_code == 404
    assert still_waits(case, approval_of(result))
    assert case.office.refused(approval_of(result), "no such approval")["workspace"] == "elsewhere"


def test_the_form_of_another_site_decides_nothing(case: Case) -> None:
    result = ask(case)
    path = case.office.link(case.people[0])
    refused = case.office.admin.post(path, data={"action": "grant"}, headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403
    assert still_waits(case, approval_of(result))
    assert case.office.refused(approval_of(result), "not sent by one of our pages")


def test_a_policy_that_demands_step_up_is_decided_on_the_page_by_whoever_signs_in(case: Case) -> None:
    case.ask_people(f"approvers: [group:{case.group}]\nstep_up: true\n")
    result = ask(case)
    (mail,) = case.office.mails(case.people[0])
    body = mail.get_body(("plain",))
    assert body is not None
    assert "/approve/" not in body.get_content()
    payload = case.office.slack.pressed(
        case.office.message(approval_of(result)), "onpurpose_page", member(case.people[0])
    )
    payload["actions"][0] |= {"action_id": GRANT, "value": json.dumps({"w": "default", "a": approval_of(result)})}
    assert case.office.slack.deliver(payload).status == 200
    case.office.refused(approval_of(result), "signs in")
    assert still_waits(case, approval_of(result))
    key = case.office.make_key("anna's", "approve", "read", user=case.people[0])
    granted = case.office.post(f"/approvals/{approval_of(result)}", action="grant", key=key)
    assert granted.status_code == 200, granted.text
    assert case.office.approval(approval_of(result))["history"][-1]["via"] == "page"


# -- Slack


def press_of(case: Case, approval_id: str) -> Json:
    return case.office.slack.pressed(case.office.message(approval_id), GRANT, member(case.people[0]))


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        (lambda slack, body: slack.signed(body, secret="guessed"), "signed by somebody else"),
        (lambda slack, body: slack.signed(body, at=int(slack.now()) - 3600), "signed too long ago"),
        (lambda slack, body: {**slack.signed(body), "X-Slack-Signature": ""}, "not signed"),
    ],
)
def test_a_press_that_slack_did_not_sign_just_now_is_refused_and_recorded(
    case: Case, headers: Callable[..., dict[str, str]], why: str
) -> None:
    result = ask(case)
    body = urlencode({"payload": json.dumps(press_of(case, approval_of(result)))}).encode()
    answer = case.office.slack.post(body, headers(case.office.slack, body))
    assert answer.status == 401
    assert case.office.refused("", why)["via"] == "slack"
    assert still_waits(case, approval_of(result))


def test_a_press_that_is_sent_again_is_refused_and_recorded(case: Case) -> None:
    result = ask(case)
    slack = case.office.slack
    body = urlencode({"payload": json.dumps(press_of(case, approval_of(result)))}).encode()
    headers = slack.signed(body)
    assert slack.post(body, headers).status == 200
    assert slack.post(body, headers).status == 401
    assert case.office.approval(approval_of(result), wait=10)["state"] == "granted"
    assert case.office.refused("", "sent before")
    assert len(case.office.approval(approval_of(result))["history"]) == 1


def test_a_button_that_names_another_workspace_decides_nothing(case: Case) -> None:
    result = ask(case)
    payload = press_of(case, approval_of(result))
    payload["actions"][0]["value"] = json.dumps({"w": "elsewhere", "a": approval_of(result)})
    assert case.office.slack.deliver(payload).status == 200
    assert case.office.refused(approval_of(result), "")["workspace"] in {"elsewhere", ""}
    assert still_waits(case, approval_of(result))


def test_somebody_in_slack_who_is_no_user_or_no_approver_decides_nothing(case: Case) -> None:
    result = ask(case)
    office = case.office
    office.slack.add_member("U0STRANGER", "stranger@example.com")
    case.hire(f"zoe{case.agent[6:]}", "elsewhere")
    for who in ("U0STRANGER", member(f"zoe{case.agent[6:]}")):
        office.slack.press(office.message(approval_of(result)), GRANT, who)
        office.slack.wait_for(partial(is_told, office, who))
    assert still_waits(case, approval_of(result))
    assert office.refused(approval_of(result), "")


def is_told(office: Office, who: str) -> bool:
    return any(one["user"] == who for one in office.slack.ephemeral)


# -- keys


def test_keys_of_another_workspace_see_and_decide_nothing_here(case: Case) -> None:
    result = ask(case)
    office = case.office
    made = done(office.admin.post("/v1/workspaces", json={"id": f"ws-{case.agent}"})).json()
    other = {"Authorization": f"Bearer {made['secret']}"}
    path = f"/v1/approvals/{approval_of(result)}"
    assert office.admin.get(path, headers=other).status_code == 404
    assert office.admin.get("/v1/approvals", headers=other).json()["items"] == []
    body = {"id": "eve", "name": "Eve", "email": "eve@example.com", "groups": [case.group]}
    done(office.admin.post("/v1/users", json=body, headers=other))
    key = {"name": "eve", "scopes": ["approve", "read"], "user": "eve"}
    eve = {"Authorization": f"Bearer {done(office.admin.post('/v1/keys', json=key, headers=other)).json()['secret']}"}
    assert office.admin.post(f"{path}/grant", json={}, headers=eve).status_code == 404
    assert still_waits(case, approval_of(result))


def test_neither_an_agents_key_nor_an_impersonal_one_decides(case: Case) -> None:
    result = ask(case)
    for key in (case.key, case.office.key):
        headers = {"Authorization": f"Bearer {key}"}
        answer = case.office.admin.post(f"/v1/approvals/{approval_of(result)}/grant", json={}, headers=headers)
        assert answer.status_code == 403, answer.text
    assert still_waits(case, approval_of(result))


# -- at once


def test_of_two_hundred_who_click_at_once_one_decides_and_all_others_are_told_who(office: Office) -> None:
    case = office.case()
    names = [f"p{n}x{case.agent[6:]}" for n in range(200)]
    with ThreadPoolExecutor(4) as hiring:
        list(hiring.map(case.hire, names))
    by_key, by_slack, by_link = names[:65], names[65:130], names[130:]
    approval_id = approval_of(ask(case))
    message = office.message(approval_id)
    told = len(office.slack.ephemeral)
    with ThreadPoolExecutor(200) as people:
        keys = [office.make_key(name, "approve", "read", user=name) for name in by_key]
        links = [office.link(name) for name in by_link]

        def rest(key: str) -> tuple[int, str]:
            headers = {"Authorization": f"Bearer {key}"}
            answer = office.admin.post(f"/v1/approvals/{approval_id}/grant", json={}, headers=headers)
            return answer.status_code, answer.text

        def page(path: str) -> tuple[int, str]:
            answer = office.post(path, action="grant")
            return answer.status_code, answer.text

        def press(name: str) -> int:
            return office.slack.press(message, GRANT, member(name)).status

        pages = [people.submit(page, path) for path in links]
        presses = [people.submit(press, name) for name in by_slack]
        calls = [people.submit(rest, key) for key in keys]
        over_http = [job.result(60) for job in [*pages, *calls]]
        assert {job.result(60) for job in presses} == {200}
    office.slack.wait_for(lambda: len(office.slack.ephemeral) >= told + len(by_slack))
    granted = office.approval(approval_id)
    (act,) = granted["history"]
    assert (granted["state"], act["move"]) == ("granted", "grant")
    winner = act["by"]
    won = sum(status == 200 for status, _ in over_http)
    assert won == (winner in by_key or winner in by_link)
    assert {status for status, _ in over_http} <= {200, 409}
    assert all(winner in text or winner.title() in text for status, text in over_http if status == 409)
    in_slack = [str(one["blocks"]) for one in office.slack.ephemeral[told:]]
    assert sum("You granted" in text for text in in_slack) == (winner in by_slack)
    assert all(winner in text or winner.title() in text for text in in_slack if "You granted" not in text)
    notes = [one for one in office.log() if one.get("approval") == approval_id and one["kind"] == "approval.granted"]
    assert len(notes) == 1
