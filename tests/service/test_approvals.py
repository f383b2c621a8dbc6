"""Approvals in a real process, as agents and people meet them: asked, told, decided, and used once."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from onpurpose import ActionDenied, ApprovalRequired, Identity, Result, verify_token
from onpurpose.core.approval import State
from onpurpose.core.decision import Code
from onpurpose.core.outcome import Outcome
from tests.service.office import Case, Office, done, member
from tests.service.process import Process
from tests.slack.fake import buttons, seen


def codes(result: Result) -> list[Code]:
    return [Code(reason.code) for reason in result.reasons]


def ask(case: Case, process: Process | None = None, **payload: object) -> Result:
    """The answer to a call that people are asked about."""
    result = case.client(process).evaluate(**case.fields(**payload))
    assert result.outcome is Outcome.REQUIRE_APPROVAL, result.explain()
    assert result.approval is not None
    return result


def approval_of(result: Result) -> str:
    assert result.approval is not None
    return result.approval.id


def resume(case: Case, result: Result, process: Process | None = None) -> Result:
    return case.client(process).resume(approval_of(result), result.call)


# -- asked and told


def test_a_purpose_policy_with_approval_required_asks_in_slack_and_by_mail_with_the_whole_context(case: Case) -> None:
    result = ask(case)
    assert result.approval is not None
    assert (result.token, result.approval.state) == (None, State.PENDING)
    in_slack = seen(case.office.message(result.approval.id))
    (mail,) = case.office.mails(case.people[1])
    body = mail.get_body(("plain",))
    assert body is not None
    by_mail = body.get_content()
    for told in (in_slack, by_mail):
        for fact in (case.agent, "kim", "support", case.capability, "PII export", "crm.contacts.email", '"limit": 500',
                     f"{case.purpose}@1", f"key of {case.agent}"):  # fmt: skip
            assert fact in told, fact
        assert "sk-very-secret" not in told
    assert result.approval.page in by_mail or "/approve/" in by_mail
    assert buttons(case.office.message(result.approval.id)) == ["Grant", "Deny…", "Delegate…", "Open the page"]


def test_the_button_grants_and_the_token_is_minted_only_then_with_its_whole_time(case: Case) -> None:
    result = ask(case)
    assert result.approval is not None
    case.grant_in_slack(result.approval.id)
    ticket = result.approval.wait(10)
    assert (ticket.state, ticket.by) == (State.GRANTED, case.people[0])
    before = time.time()
    used = resume(case, result)
    assert used.allowed
    assert codes(used)[0] is Code.APPROVAL_GRANTED
    assert used.token is not None
    jwks = done(case.office.admin.get("/.well-known/jwks.json")).content
    claims = verify_token(used.token, jwks=jwks, audience=case.capability, call=result.call)
    assert int(before) <= claims.issued_at <= time.time()
    assert claims.expires_at - claims.issued_at == 300
    assert claims.purpose.id == case.purpose
    told = case.office.approval(result.approval.id)
    assert told["state"] == "used"
    assert [act["via"] for act in told["history"]] == ["slack", "agent"]


def test_a_grant_is_used_once(case: Case) -> None:
    result = ask(case)
    case.grant_in_slack(approval_of(result))
    assert resume(case, result).allowed
    again = resume(case, result)
    assert not again.allowed
    assert codes(again)[0] is Code.APPROVAL_USED
    assert again.token is None


def test_plain_evaluate_uses_no_grant(case: Case) -> None:
    result = ask(case)
    case.grant_in_slack(approval_of(result))
    again = ask(case)
    assert again.approval is not None
    assert (again.approval.id, again.approval.state) == (approval_of(result), State.GRANTED)
    assert case.office.approval(approval_of(result))["state"] == "granted"


def test_coroutines_wait_and_resume(case: Case) -> None:
    async def agent() -> tuple[Result, Result]:
        client = case.async_client()
        try:
            result = await client.evaluate(**case.fields())
            assert result.approval is not None
            press = asyncio.to_thread(case.grant_in_slack, result.approval.id)
            ticket, _ = await asyncio.gather(result.approval.wait_async(20), press)
            assert ticket.granted
            return result, await client.resume(ticket.id, result.call)
        finally:
            await client.close()

    result, used = asyncio.run(agent())
    assert (result.outcome, used.outcome) == (Outcome.REQUIRE_APPROVAL, Outcome.ALLOW)
    assert used.token is not None


def tool_fields(case: Case) -> dict[str, object]:
    return {key: value for key, value in case.fields().items() if key not in {"payload", "capability"}}


def test_a_tool_that_waits_runs_once_it_is_granted(case: Case) -> None:
    ran: list[object] = []
    with case.client() as client, ThreadPoolExecutor(1) as agent:
        tool = client.tool(ran.append, case.capability, **tool_fields(case))
        running = agent.submit(tool.run, {"limit": 7}, wait=20)
        case.office.mails(case.people[0])
        assert ran == []
        (waits,) = done(case.office.admin.get("/v1/approvals", params={"agent": case.agent})).json()["items"]
        approval_id = waits["id"]
        case.grant_in_slack(approval_id)
        running.result(20)
    assert ran == [{"limit": 7}]


def test_a_tool_that_waits_for_a_no_is_denied_with_the_persons_reason(case: Case) -> None:
    with case.client() as client, ThreadPoolExecutor(1) as agent:
        tool = client.tool(lambda _: None, case.capability, **tool_fields(case))
        with pytest.raises(ApprovalRequired) as first:
            tool.run({"limit": 8})
        running = agent.submit(tool.run, {"limit": 8}, wait=20)
        with case.personal() as person:
            path = f"/v1/approvals/{approval_of(first.value.result)}/deny"
            done(person.post(path, json={"text": "limit is far too high"}))
        with pytest.raises(ActionDenied, match="limit is far too high"):
            running.result(20)


# -- decided


def test_a_mails_link_shows_and_only_its_form_grants(case: Case) -> None:
    result = ask(case)
    path = case.office.link(case.people[0])
    for _ in range(3):
        shown = case.office.admin.get(path)
        assert shown.status_code == 200
        assert "Grant this call" in shown.text
        assert case.office.approval(approval_of(result))["state"] == "pending"
    granted = case.office.post(path, action="grant", text="for the audit")
    assert granted.status_code == 200, granted.text
    told = case.office.approval(approval_of(result))
    assert told["state"] == "granted"
    assert [(act["by"], act["via"], act["text"]) for act in told["history"]] == [
        (case.people[0], "email", "for the audit")
    ]
    assert resume(case, result).allowed


def test_a_denial_reaches_the_agent_with_its_reason_and_is_no_expiry(case: Case) -> None:
    result = ask(case)
    assert result.approval is not None
    denied = case.office.post(case.office.link(case.people[1]), action="deny", reason="ask for ten rows")
    assert denied.status_code == 200, denied.text
    ticket = result.approval.wait(10)
    assert (ticket.state, ticket.by, ticket.reason) == (State.DENIED, case.people[1], "ask for ten rows")
    refused = resume(case, result)
    assert refused.outcome is Outcome.DENY
    assert codes(refused)[0] is Code.APPROVAL_DENIED
    assert "ask for ten rows" in refused.explain()


def test_a_denial_in_slack_asks_for_a_reason_and_tells_it(case: Case) -> None:
    result = ask(case)
    slack = case.office.slack
    before = len(slack.views)
    slack.press(case.office.message(approval_of(result)), "onpurpose_deny", member(case.people[0]))
    slack.wait_for(lambda: len(slack.views) > before)
    slack.submit(slack.views[-1], {"reason": "not on a Friday"}, member(case.people[0]))
    told = case.office.approval(approval_of(result), wait=10)
    assert (told["state"], told["reason"]) == ("denied", "not on a Friday")
    slack.wait_for(lambda: "not on a Friday" in seen(case.office.message(approval_of(result))))


def test_delegation_moves_the_request_to_somebody_who_is_told_and_decides(office: Office) -> None:
    case = office.case(people=3, more="")
    result = ask(case)
    anna, bob, _ = case.people
    with case.personal(anna) as hers:
        done(hers.post(f"/v1/approvals/{approval_of(result)}/delegate", json={"to": bob, "text": "you know them"}))
        late = hers.post(f"/v1/approvals/{approval_of(result)}/grant", json={})
        assert late.status_code == 403, late.text
    office.told(approval_of(result), "delegated")
    mails = office.mails(bob, needed=2)
    assert mails[1]["In-Reply-To"] == mails[0]["Message-ID"]
    with case.personal(bob) as his:
        done(his.post(f"/v1/approvals/{approval_of(result)}/grant", json={"text": "fine"}))
    assert resume(case, result).allowed


def test_a_comment_is_kept_and_decides_nothing(case: Case) -> None:
    result = ask(case)
    with case.personal() as person:
        told = done(person.post(f"/v1/approvals/{approval_of(result)}/comment", json={"text": "why so many?"})).json()
    assert told["state"] == "pending"
    assert [(act["move"], act["text"]) for act in told["history"]] == [("comment", "why so many?")]


def test_the_asking_key_takes_its_request_back_and_no_other_agents_key_does(case: Case) -> None:
    result = ask(case)
    path = f"/v1/approvals/{approval_of(result)}/cancel"
    other = {"Authorization": f"Bearer {case.office.make_key('other', 'evaluate')}"}
    assert case.office.admin.post(path, json={}, headers=other).status_code == 404
    own = {"Authorization": f"Bearer {case.key}"}
    told = done(case.office.admin.post(path, json={"text": "no longer needed"}, headers=own)).json()
    assert told["state"] == "cancelled"
    refused = resume(case, result)
    assert (refused.outcome, codes(refused)[0]) == (Outcome.DENY, Code.APPROVAL_CANCELLED)


def test_nobody_grants_their_own_request(case: Case) -> None:
    requester = case.people[0]
    with case.client() as client:
        result = client.evaluate(**{**case.fields(), "identity": Identity(requester.upper(), ("support",))})
    with case.personal(requester) as person:
        refused = person.post(f"/v1/approvals/{approval_of(result)}/grant", json={})
    assert refused.status_code == 403, refused.text
    assert case.office.refused(approval_of(result), "own request")["by"] == requester


# -- webhooks


def test_programs_are_told_by_signed_webhooks_of_all_that_happens(office: Office) -> None:
    granted, denied = office.case(), office.case(people=3)
    first, second = ask(granted), ask(denied)
    assert office.told(approval_of(first), "requested")["data"]["context"]["payload"] == (
        '{\n  "api_key": "[masked]",\n  "limit": 500\n}'
    )
    granted.grant_in_slack(approval_of(first))
    told = office.told(approval_of(first), "granted")["data"]
    assert told["acts"][0]["by"] == granted.people[0]
    with denied.personal() as person:
        done(person.post(f"/v1/approvals/{approval_of(second)}/delegate", json={"to": denied.people[1]}))
    office.told(approval_of(second), "delegated")
    with denied.personal(denied.people[1]) as person:
        done(person.post(f"/v1/approvals/{approval_of(second)}/deny", json={"text": "no"}))
    assert office.told(approval_of(second), "denied")["data"]["state"] == "denied"
    expired = office.case(timeout=1)
    third = ask(expired)
    assert office.told(approval_of(third), "expired")["data"]["state"] == "expired"
    names = [headers["Webhook-Id"] for _, headers, _ in office.hooks.got]
    assert len(names) == len(set(names))


# -- time


def test_an_approval_that_nobody_decides_expires_for_agent_people_and_links(office: Office) -> None:
    case = office.case(timeout=1)
    result = ask(case)
    assert result.approval is not None
    message = office.message(result.approval.id)
    path = office.link(case.people[0])
    ticket = result.approval.wait()
    assert ticket.state is State.EXPIRED
    refused = resume(case, result)
    assert (refused.outcome, codes(refused)[0]) == (Outcome.DENY, Code.APPROVAL_EXPIRED)
    late = office.post(path, action="grant")
    assert late.status_code == 410, late.text
    office.slack.press(message, "onpurpose_grant", member(case.people[0]))
    office.slack.wait_for(lambda: "xpired" in seen(office.message(approval_of(result))))
    assert office.approval(result.approval.id)["state"] == "expired"
    assert office.refused(result.approval.id, "expired")


def test_a_grant_that_is_not_used_in_time_is_good_for_nothing(office: Office) -> None:
    case = office.case(timeout=2)
    result = ask(case)
    with case.personal() as person:
        told = done(person.post(f"/v1/approvals/{approval_of(result)}/grant", json={})).json()
    deadline = told["until"] / 1e6
    for _ in range(10_000):  # asking takes its time
        if time.time() > deadline:
            break
        office.approval(approval_of(result))
    refused = resume(case, result)
    assert (refused.outcome, codes(refused)[0]) == (Outcome.DENY, Code.APPROVAL_EXPIRED)


def test_whoever_is_still_asked_is_reminded_at_half_time_in_the_same_thread(office: Office) -> None:
    case = office.case(timeout=4)
    result = ask(case)
    first, reminder = office.mails(case.people[0], needed=2)[:2]
    assert reminder["In-Reply-To"] == first["Message-ID"]
    assert office.approval(approval_of(result))["history"][0]["move"] == "remind"


# -- what changes in between


def test_of_two_that_resume_at_once_one_runs(case: Case) -> None:
    result = ask(case)
    case.grant_in_slack(approval_of(result))
    barrier = threading.Barrier(8)

    def race(_: int) -> Result:
        with case.client() as client:
            barrier.wait(10)
            return client.resume(approval_of(result), result.call)

    with ThreadPoolExecutor(8) as agents:
        results = list(agents.map(race, range(8)))
    assert sum(one.allowed for one in results) == 1
    assert sum(one.token is not None for one in results) == 1
    assert {codes(one)[0] for one in results if not one.allowed} == {Code.APPROVAL_USED}


def test_a_changed_argument_asks_anew_and_says_what_changed(case: Case) -> None:
    result = ask(case)
    case.grant_in_slack(approval_of(result))
    with case.client() as client:
        call = client.evaluate(**case.fields(limit=501)).call
        changed = client.resume(approval_of(result), call)
    assert changed.outcome is Outcome.REQUIRE_APPROVAL
    assert codes(changed)[0] is Code.APPROVAL_CHANGED
    assert "501" in changed.explain()
    assert changed.approval is not None
    assert (changed.approval.id != approval_of(result), changed.approval.state) == (True, State.PENDING)
    assert resume(case, result).allowed, "the grant is still good for the call that was granted"


def test_equal_calls_join_one_approval_and_people_are_asked_once(case: Case) -> None:
    with ThreadPoolExecutor(8) as agents:
        results = list(agents.map(lambda _: ask(case), range(8)))
    assert len({approval_of(one) for one in results}) == 1
    assert len(case.office.mails(case.people[0])) == 1
    assert len(case.office.messages(approval_of(results[0]))) == 1


def test_a_deny_rule_that_came_in_between_wins(case: Case) -> None:
    result = ask(case)
    case.grant_in_slack(approval_of(result))
    rules = f"deny:\n  - capability: {case.capability}\n    contains: sk-very\nallow:\n  - capability: '*'\n"
    case.office.put_in_force(case.agent, rules)
    refused = resume(case, result)
    assert refused.outcome is Outcome.DENY
    assert Code.APPROVAL_GRANTED not in codes(refused)
    assert refused.token is None
    assert case.office.approval(approval_of(result))["state"] == "granted", "what may not run uses nothing"


def test_a_policy_that_asks_other_people_now_asks_them(case: Case) -> None:
    result = ask(case)
    case.grant_in_slack(approval_of(result))
    case.hire(f"olga{case.agent[6:]}", f"others{case.agent[6:]}")
    case.ask_people(f"approvers: [group:others{case.agent[6:]}]\n")
    anew = resume(case, result)
    assert anew.outcome is Outcome.REQUIRE_APPROVAL
    assert codes(anew)[0] is Code.APPROVAL_CHANGED
    assert anew.approval is not None
    assert anew.approval.id != approval_of(result)
    assert case.office.mails(f"olga{case.agent[6:]}")


def test_whoever_left_the_group_since_they_were_told_decides_nothing(case: Case) -> None:
    result = ask(case)
    anna = case.people[0]
    path = case.office.link(anna)
    body = {"name": "Anna", "email": f"{anna}@example.com", "groups": []}
    done(case.office.admin.put(f"/v1/users/{anna}", json=body))
    refused = case.office.post(path, action="grant")
    assert refused.status_code == 403, refused.text
    assert case.office.approval(approval_of(result))["state"] == "pending"
