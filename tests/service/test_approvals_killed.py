"""Approvals when processes are killed and Slack goes away: nothing acknowledged is lost, nothing happens twice."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import httpx2
from sqlalchemy import update

from onpurpose.adapters.sql.engine import open_store
from onpurpose.adapters.sql.tables import deliveries
from onpurpose.core.approval import State
from onpurpose.core.decision import Code
from tests.service.office import CHANNEL, Case, Office, done, wait_for
from tests.service.test_approvals import approval_of, ask, codes, resume
from tests.slack.fake import Trouble, buttons, seen


def let_leases_run_out(office: Office) -> None:
    """What a process had taken when it died, others may take, as a minute later."""
    with closing(open_store(office.database)) as store, store.writing() as connection:
        connection.execute(update(deliveries).where(deliveries.c.progress == "waiting").values(due_at=0))


def grant(case: Case, approval_id: str) -> None:
    with case.personal() as person:
        done(person.post(f"/v1/approvals/{approval_id}/grant", json={}))


def test_a_decision_is_told_after_a_kill_that_came_between_the_two(own_office: Office) -> None:
    case = own_office.case()
    result = ask(case)
    approval_id = approval_of(result)
    own_office.message(approval_id)
    own_office.told(approval_id, "requested")
    own_office.slack.down = True
    own_office.hooks.answers = [None]  # taken, and never answered
    grant(case, approval_id)
    first = own_office.told(approval_id, "granted")
    own_office.kill()
    let_leases_run_out(own_office)
    own_office.slack.down = False
    own_office.start()
    own_office.slack.wait_for(lambda: "Granted by" in seen(own_office.message(approval_id)))
    wait_for(own_office.hooks.arrived, lambda: len(granted(own_office, approval_id)) > 1, "it is told once more")
    assert len(own_office.messages(approval_id)) == 1
    assert len({headers["Webhook-Id"] for headers in granted(own_office, approval_id)}) == 1
    assert first["data"]["state"] == "granted"
    assert len([one for one in own_office.log() if one["kind"] == "approval.granted"]) == 1
    assert resume(case, result).allowed


def granted(office: Office, approval_id: str) -> list[dict[str, str]]:
    """The headers of what webhooks were sent of the grant."""
    return [
        headers
        for _, headers, body in list(office.hooks.got)
        if b'"approval.granted"' in body and approval_id.encode() in body
    ]


def test_a_message_that_left_just_before_a_kill_is_found_and_not_posted_again(own_office: Office) -> None:
    case = own_office.case()
    own_office.slack.fail("chat.postMessage", Trouble(acts=True, hangs=True))
    approval_id = approval_of(ask(case))
    own_office.message(approval_id)
    own_office.kill()
    let_leases_run_out(own_office)
    own_office.start()
    own_office.slack.wait_for(lambda: own_office.slack.message().get("edited"))
    assert len(own_office.slack.channels[CHANNEL]) == 1
    case.grant_in_slack(approval_id)


def test_a_grant_is_good_after_a_kill_and_used_once(own_office: Office) -> None:
    case = own_office.case()
    result = ask(case)
    case.grant_in_slack(approval_of(result))
    own_office.kill()
    own_office.start()
    assert resume(case, result).allowed
    own_office.kill()
    own_office.start()
    assert codes(resume(case, result))[0] is Code.APPROVAL_USED
    own_office.verified()


def test_an_agent_that_waits_outlives_the_service(own_office: Office) -> None:
    case = own_office.case()
    result = ask(case)
    assert result.approval is not None
    with ThreadPoolExecutor(1) as agent:
        waiting = agent.submit(result.approval.wait, 60)
        own_office.message(result.approval.id)  # one that was about to leave would leave when its lease has ended
        own_office.kill()
        own_office.start()
        case.grant_in_slack(result.approval.id)
        assert waiting.result(30).state is State.GRANTED


class Storm:
    """Agents that ask and a person who grants, until the service is gone; what was acknowledged of both."""

    def __init__(self, case: Case, askers: int = 6) -> None:
        self.asked: list[str] = []
        self.granted: list[str] = []
        self._case = case
        self._enough = threading.Condition()
        self._granting = 0
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(askers)]
        self._threads.append(threading.Thread(target=self._grant))
        for thread in self._threads:
            thread.start()

    def _ask(self, asker: int) -> None:
        client = self._case.client()
        agent = {"agent_id": f"{self._case.agent}-{asker}"}
        for n in range(10_000):
            result = client.evaluate(**self._case.fields(limit=asker * 10_000 + n) | agent)
            if result.approval is None:
                return
            with self._enough:
                self.asked.append(result.approval.id)
                self._enough.notify_all()

    def _grant(self) -> None:
        with self._case.personal() as person, suppress(httpx2.HTTPError):
            while True:
                with self._enough:
                    self._enough.wait_for(lambda: len(self.asked) > 3 * len(self.granted), 30)
                    one = self.asked[3 * len(self.granted)]
                done(person.post(f"/v1/approvals/{one}/grant", json={}))
                self.granted.append(one)

    def wait_for(self, asked: int) -> None:
        """Return once so many were acknowledged."""
        with self._enough:
            assert self._enough.wait_for(lambda: len(self.asked) >= asked and len(self.granted) > asked // 20, 60)

    def end(self) -> None:
        for thread in self._threads:
            thread.join(60)


def test_a_kill_amid_two_hundred_open_approvals_loses_nothing_that_was_acknowledged(own_office: Office) -> None:
    case = own_office.case()
    storm = Storm(case)
    storm.wait_for(200)
    own_office.kill()
    storm.end()
    let_leases_run_out(own_office)
    own_office.start()
    own_office.verified()
    for one in storm.asked:
        own_office.approval(one)
    assert {own_office.approval(one)["state"] for one in storm.granted} == {"granted"}
    notes = {(one["kind"], one.get("approval")) for one in own_office.log()}
    assert {("approval.requested", one) for one in storm.asked} <= notes
    assert {("approval.granted", one) for one in storm.granted} <= notes
    every_one_is_told(own_office, storm.asked)
    own_office.verified()


def every_one_is_told(office: Office, approval_ids: list[str]) -> None:
    """Return once each has its message in Slack, and it has one."""

    def in_channel() -> list[str]:
        return [one["blocks"][-1]["block_id"] for one in office.slack.channels[CHANNEL]]

    def told() -> int:
        text = str([one["blocks"][-1] for one in office.slack.channels[CHANNEL]])
        return sum(one in text for one in approval_ids)

    deadline = time.monotonic() + 60
    while told() < len(approval_ids):
        assert time.monotonic() < deadline, f"{told()} of {len(approval_ids)} were told in Slack"
        with suppress(AssertionError):
            office.slack.wait_for(lambda: told() == len(approval_ids))
    assert len(in_channel()) == len(set(in_channel()))


def test_a_slack_that_is_down_holds_up_nobody_and_is_told_everything_once_when_it_is_back(own_office: Office) -> None:
    case = own_office.case()
    own_office.slack.down = True
    results = [ask(case, limit=n) for n in range(3)]
    began = time.monotonic()
    own_office.mails(case.people[0], needed=3)
    own_office.mails(case.people[1], needed=3)
    for result in results:
        own_office.told(approval_of(result), "requested")
    assert time.monotonic() - began < 10, "mails and webhooks waited for Slack"
    assert own_office.slack.channels[CHANNEL] == []
    grant(case, approval_of(results[0]))
    own_office.told(approval_of(results[0]), "granted")
    own_office.slack.down = False
    every_one_is_told(own_office, [approval_of(one) for one in results])
    own_office.slack.wait_for(lambda: "Granted by" in seen(own_office.message(approval_of(results[0]))))
    assert "Grant" in buttons(own_office.message(approval_of(results[1])))
    assert len(own_office.slack.channels[CHANNEL]) == 3
