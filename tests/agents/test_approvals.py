"""A call that needs a person waits, comes back, and runs exactly once with what was granted."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from onpurpose import ActionDenied, ApprovalRequired, Call, Gate, Identity, Outcome, Refused, Result, SafeTool
from onpurpose.adapters.memory import MemoryLedger
from onpurpose.core.act import State
from onpurpose.core.decision import Code
from onpurpose.core.ticket import Ticket
from tests.agents.people import ASKING, People, kinds, open_gate, policy, records
from tests.app.deciding import at_once
from tests.app.logs import Scripted, failing, written

PATIENCE = 30.0
"""Seconds after which a test that waits has failed."""

PAYLOAD = {"amount": 5000, "to": "shop"}
CALL = Call("pay", "payments.transfer", PAYLOAD)


class Till:
    """A tool that notes what it was told to pay."""

    def __init__(self) -> None:
        self.paid: list[Any] = []

    def __call__(self, action: Any) -> str:
        self.paid.append(action)
        return f"paid {action['amount']}"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
def gate(log: Path) -> Iterator[Gate]:
    with open_gate(log) as gate:
        yield gate


@pytest.fixture
def people(log: Path) -> People:
    return People(log)


@pytest.fixture
def till() -> Till:
    return Till()


def tool_of(gate: Gate, till: Till) -> SafeTool[str]:
    return gate.tool(till, "payments.transfer", agent_id="pay")


def ask(gate: Gate, payload: object = PAYLOAD, **fields: Any) -> Result:
    return gate.evaluate("pay", "payments.transfer", payload, **fields)


def opened(result: Result) -> Ticket:
    assert result.outcome is Outcome.REQUIRE_APPROVAL
    assert result.approval is not None, result.explain()
    return result.approval


def codes(result: Result) -> list[Code]:
    return [reason.code for reason in result.reasons]


def in_background(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


# -- asking


def test_a_call_that_needs_a_person_has_an_approval_that_is_pending(gate: Gate, log: Path) -> None:
    result = ask(gate)
    ticket = opened(result)
    assert (ticket.pending, ticket.granted, ticket.by, ticket.reason, ticket.page) == (True, False, "", "", "")
    assert f"approval {ticket.id}: pending" in result.explain()
    assert [one["id"] for one in records(log, "decision")] == [result.decision_id]
    assert kinds(log) == ["requested"]


@pytest.mark.parametrize("payload", [{"amount": 5}, {"amount": 5000, "to": "thief"}])
def test_nobody_is_asked_about_what_is_allowed_or_denied(gate: Gate, people: People, payload: object) -> None:
    assert ask(gate, payload).approval is None
    assert not people.file.exists()


def test_the_same_call_joins_the_approval_that_is_open_and_another_does_not(gate: Gate) -> None:
    ticket = opened(ask(gate))
    assert opened(ask(gate, {"to": "shop", "amount": 5000.0})).id == ticket.id
    assert opened(ask(gate, {"amount": 5001, "to": "shop"})).id != ticket.id
    assert opened(ask(gate, identity=Identity("ann"))).id != ticket.id


def test_an_approval_is_not_for_a_call_that_holds_an_object(gate: Gate, people: People, till: Till) -> None:
    result = ask(gate, {**PAYLOAD, "memo": object()})
    assert result.outcome is Outcome.REQUIRE_APPROVAL
    assert result.approval is None
    assert codes(result)[-1] is Code.APPROVAL_UNAVAILABLE
    assert "cannot be approved" in result.reasons[-1].message
    assert not people.file.exists()
    with pytest.raises(ApprovalRequired):
        tool_of(gate, till).run({**PAYLOAD, "memo": object()}, wait=True)
    assert till.paid == []


def test_an_object_in_the_payload_uses_no_grant(gate: Gate, people: People) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    used = gate.resume(ticket.id, Call("pay", "payments.transfer", {**PAYLOAD, "memo": object()}))
    assert (used.outcome, codes(used)[0]) == (Outcome.DENY, Code.APPROVAL_UNAVAILABLE)
    assert gate.resume(ticket.id, CALL).allowed


# -- waiting


def test_whoever_waits_goes_on_when_a_person_has_granted(gate: Gate, people: People) -> None:
    ticket = opened(ask(gate))
    person = in_background(lambda: people.grant(ticket.id))
    after = ticket.wait(PATIENCE)
    person.join()
    assert after.granted
    assert after.by == people.all()[0].acts[-1].by
    assert not ticket.granted, "what one holds does not change"
    assert after.wait() is after


def test_whoever_waits_is_told_why_it_was_denied(gate: Gate, people: People) -> None:
    ticket = opened(ask(gate))
    people.deny(ticket.id, "the shop is closed")
    after = ticket.wait(PATIENCE)
    assert (after.state, after.reason) == (State.DENIED, "the shop is closed")


@pytest.mark.parametrize("seconds", [0, 0.01, -5, float("nan")])
def test_whoever_waits_in_vain_gets_the_approval_as_pending_as_it_was(gate: Gate, seconds: float) -> None:
    ticket = opened(ask(gate))
    after = ticket.wait(seconds)
    assert (after.id, after.pending) == (ticket.id, True)


def test_patience_may_be_longer_than_any_clock_counts(gate: Gate, people: People) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    assert ticket.wait(1e300).granted
    assert ticket.wait(float("inf")).granted


def test_a_coroutine_waits_and_resumes_while_the_loop_runs_on(gate: Gate, people: People) -> None:
    async def run() -> tuple[Result, int]:
        first = await gate.evaluate_async("pay", "payments.transfer", PAYLOAD)
        ticket = opened(first)
        waiting = asyncio.ensure_future(ticket.wait_async(PATIENCE))
        ticks = 0
        while ticks < 3:
            await asyncio.sleep(0)
            ticks += 1
        assert not waiting.done()
        await asyncio.to_thread(people.grant, ticket.id)
        assert (await waiting).granted
        return await gate.resume_async(ticket.id, CALL), ticks

    result, _ = asyncio.run(run())
    assert result.allowed
    assert codes(result)[0] is Code.APPROVAL_GRANTED


def test_a_coroutine_that_waits_can_be_cancelled(gate: Gate, people: People) -> None:
    async def run() -> Ticket:
        ticket = opened(await gate.evaluate_async("pay", "payments.transfer", PAYLOAD))
        waiting = asyncio.ensure_future(ticket.wait_async())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return ticket

    ticket = asyncio.run(run())
    people.grant(ticket.id)
    assert gate.resume(ticket.id, CALL).allowed


def test_a_gate_that_closes_lets_go_whoever_waits(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    gate = open_gate(log)
    ticket = opened(ask(gate))
    found: list[Ticket] = []
    waiting = in_background(lambda: found.append(ticket.wait()))
    gate.close()
    waiting.join(PATIENCE)
    assert [one.pending for one in found] == [True]
    assert caplog.text.count("could not be waited for") <= 1


# -- using


def test_a_grant_lets_exactly_that_call_run_once(gate: Gate, people: People, log: Path) -> None:
    ticket = opened(ask(gate))
    person = people.grant(ticket.id).acts[-1].by
    result = gate.resume(ticket.id, CALL)
    assert result.outcome is Outcome.ALLOW
    assert codes(result) == [Code.APPROVAL_GRANTED, Code.RULE_MATCHED]
    assert result.reasons[0].message == f"granted by `{person}`"
    record = records(log, "decision")[-1]
    assert record["id"] == result.decision_id
    assert record["approval"] == {"id": ticket.id, "code": "approval_granted", "by": [person]}
    assert record["outcome"] == "allow"
    again = gate.resume(ticket.id, CALL)
    assert (again.outcome, codes(again)[0]) == (Outcome.DENY, Code.APPROVAL_USED)
    assert kinds(log) == ["requested", "granted", "used"]


def test_equal_values_written_differently_are_the_call_that_was_granted(gate: Gate, people: People) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    assert gate.resume(ticket.id, Call("pay", "payments.transfer", {"to": "shop", "amount": 5000.0})).allowed


def test_a_changed_argument_is_asked_anew_and_it_is_said_what_changed(gate: Gate, people: People) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    result = gate.resume(ticket.id, Call("pay", "payments.transfer", {"amount": 9000, "to": "shop"}))
    assert codes(result) == [Code.APPROVAL_CHANGED, Code.RULE_MATCHED]
    assert opened(result).id != ticket.id
    assert '-   "amount": 5000' in result.reasons[0].message
    assert '+   "amount": 9000' in result.reasons[0].message
    assert "shop" not in result.reasons[0].message
    assert gate.resume(ticket.id, CALL).allowed, "the grant is there for what was granted"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"identity": Identity("ann")}, "another user"),
        ({"policy_context": {"environment": "production"}}, "another policy context"),
        ({"purpose_id": "refund"}, "another purpose"),
        ({"data_source_id": "bank"}, "another data source"),
    ],
)
def test_a_grant_is_bound_to_who_and_where_too(gate: Gate, people: People, fields: dict[str, Any], words: str) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    result = gate.resume(ticket.id, Call("pay", "payments.transfer", PAYLOAD, **fields))
    assert codes(result)[0] is Code.APPROVAL_CHANGED
    assert words in result.reasons[0].message


def test_another_agent_cannot_use_or_see_the_grant(gate: Gate, people: People) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    result = gate.resume(ticket.id, Call("spy", "payments.transfer", PAYLOAD))
    assert (result.outcome, codes(result)[0]) == (Outcome.DENY, Code.APPROVAL_UNKNOWN)
    assert gate.resume(ticket.id, CALL).allowed


def act_on(people: People, ticket: Ticket, end: str) -> None:
    if end == "denied":
        people.deny(ticket.id, "no money")
    if end == "cancelled":
        people.cancel(ticket.id)


@pytest.mark.parametrize(
    ("end", "outcome", "code", "words"),
    [
        ("pending", Outcome.REQUIRE_APPROVAL, Code.APPROVAL_PENDING, "waits for a decision"),
        ("denied", Outcome.DENY, Code.APPROVAL_DENIED, "no money"),
        ("cancelled", Outcome.DENY, Code.APPROVAL_CANCELLED, "cancelled by"),
    ],
)
def test_how_an_approval_stands_is_told_by_a_code_of_its_own(
    gate: Gate, people: People, end: str, outcome: Outcome, code: Code, words: str
) -> None:
    ticket = opened(ask(gate))
    act_on(people, ticket, end)
    result = gate.resume(ticket.id, CALL)
    assert (result.outcome, codes(result)[0]) == (outcome, code)
    assert words in result.reasons[0].message


@pytest.mark.parametrize("name", ["", "nothing", "x" * 100_000, "\ud800", "\x1b[2J", "a\nb"])
def test_an_approval_that_is_not_there_lets_nothing_run(gate: Gate, log: Path, name: str) -> None:
    opened(ask(gate))
    result = gate.resume(name, CALL)
    assert result.outcome is Outcome.DENY
    assert codes(result)[0] in (Code.APPROVAL_UNKNOWN, Code.APPROVAL_UNAVAILABLE)
    told = records(log, "decision")[-1]
    assert told["capability"] == "payments.transfer"
    assert len(told["approval"]["id"]) <= 600
    assert told["approval"]["id"].replace("\n", "").isprintable()


def test_what_needs_nobody_any_more_uses_no_grant(gate: Gate, people: People, log: Path) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    with open_gate(log, "allow:\n  - capability: payments.transfer\n") as looser:
        assert codes(looser.resume(ticket.id, CALL)) == [Code.RULE_MATCHED]
    assert gate.resume(ticket.id, CALL).allowed
    assert people.all()[0].state is State.USED


def test_a_denial_that_came_in_between_wins_and_leaves_the_grant(gate: Gate, people: People, log: Path) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    stricter = ASKING.replace("equals: thief", "equals: shop")
    with open_gate(log, stricter) as now:
        result = now.resume(ticket.id, CALL)
    assert (result.outcome, codes(result)) == (Outcome.DENY, [Code.RULE_MATCHED])
    assert people.all()[0].state is State.GRANTED


@pytest.mark.parametrize(
    "change",
    ["\n    approvers: [group:treasury]", "\n    approvers: {from: [anyone], quorum: 2}", "\n    step_up: true"],
)
def test_a_grant_does_not_outlive_a_policy_that_asks_other_people(
    gate: Gate, people: People, log: Path, change: str
) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    with open_gate(log, ASKING.replace("amount_gt: 1000", f"amount_gt: 1000{change}")) as now:
        result = now.resume(ticket.id, CALL)
        assert codes(result)[0] is Code.APPROVAL_CHANGED
        assert "ask other people" in result.reasons[0].message
        assert opened(result).id != ticket.id


def test_what_is_granted_is_kept_over_a_restart_of_both_sides(log: Path) -> None:
    with open_gate(log) as first:
        ticket = opened(ask(first))
    People(log).grant(ticket.id)
    with open_gate(log) as second:
        assert opened(ask(second)).granted
        assert second.resume(ticket.id, CALL).allowed
    with open_gate(log) as third:
        assert codes(third.resume(ticket.id, CALL))[0] is Code.APPROVAL_USED


def test_who_comes_back_after_a_restart_waits_on_by_the_approval_s_id(log: Path, people: People) -> None:
    with open_gate(log) as first:
        approval_id = opened(ask(first)).id
    with open_gate(log) as second:
        again = second.resume(approval_id, CALL)
        assert codes(again)[0] is Code.APPROVAL_PENDING
        ticket = opened(again)
        assert ticket.id == approval_id
        people.grant(approval_id)
        assert ticket.wait(PATIENCE).granted
        assert second.resume(approval_id, CALL).allowed


def test_a_tool_uses_no_grant_of_people_whom_the_policy_asks_no_more(
    gate: Gate, people: People, log: Path, till: Till
) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    with open_gate(log, ASKING.replace("amount_gt: 1000", "amount_gt: 1000\n    approvers: [user:nobody]")) as now:
        with pytest.raises(ApprovalRequired) as caught:
            tool_of(now, till).run(PAYLOAD)
        assert opened(caught.value.result).id != ticket.id
    assert till.paid == []


def test_a_file_of_its_own_may_hold_the_approvals(tmp_path: Path, log: Path) -> None:
    place = tmp_path / "elsewhere"
    with open_gate(log, approvals=place) as gate:
        opened(ask(gate))
    assert place.exists()
    assert not People(log).file.exists()


def test_of_many_threads_that_use_one_grant_one_runs(gate: Gate, people: People, log: Path) -> None:
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    found = at_once(16, lambda _: gate.resume(ticket.id, CALL))
    results = [one for one in found if isinstance(one, Result)]
    assert len(results) == 16
    assert sum(one.allowed for one in results) == 1
    assert {codes(one)[0] for one in results} == {Code.APPROVAL_GRANTED, Code.APPROVAL_USED}
    assert [one["outcome"] for one in records(log, "decision")].count("allow") == 1


# -- tools


def test_a_tool_that_waits_runs_on_with_the_grant(gate: Gate, people: People, till: Till) -> None:
    pending = threading.Event()
    tool = tool_of(gate, till)

    def decide() -> None:
        pending.wait(PATIENCE)
        people.grant(people.pending()[0].id)

    person = in_background(decide)
    opened(tool.check(PAYLOAD))
    pending.set()
    assert tool.run(PAYLOAD, wait=True) == "paid 5000"
    person.join()
    assert till.paid == [PAYLOAD]
    assert [one.state for one in people.all()] == [State.USED]


def test_a_tool_that_waits_in_vain_is_refused_with_the_approval(gate: Gate, till: Till) -> None:
    with pytest.raises(ApprovalRequired) as caught:
        tool_of(gate, till).run(PAYLOAD, wait=0.01)
    assert opened(caught.value.result).pending
    assert till.paid == []


def test_a_tool_that_does_not_wait_uses_a_grant_that_is_there(gate: Gate, people: People, till: Till) -> None:
    tool = tool_of(gate, till)
    with pytest.raises(ApprovalRequired) as caught:
        tool.run(PAYLOAD)
    people.grant(opened(caught.value.result).id)
    assert tool.run(PAYLOAD) == "paid 5000"
    with pytest.raises(ApprovalRequired):
        tool.run(PAYLOAD)
    assert till.paid == [PAYLOAD]


def test_a_denied_call_stays_denied_however_often_it_is_tried(gate: Gate, people: People, till: Till) -> None:
    tool = tool_of(gate, till)
    people.deny(opened(tool.check(PAYLOAD)).id, "no money")
    for wait in (False, True, 5):
        with pytest.raises(ActionDenied) as caught:
            tool.run(PAYLOAD, wait=wait)
        assert codes(caught.value.result)[0] is Code.APPROVAL_DENIED
    assert (till.paid, len(people.all())) == ([], 1)


def test_asking_alone_uses_no_grant(gate: Gate, people: People, till: Till) -> None:
    tool = tool_of(gate, till)
    ticket = opened(tool.check(PAYLOAD))
    people.grant(ticket.id)
    for _ in range(3):
        assert opened(tool.check(PAYLOAD)).granted
        assert opened(ask(gate)).granted
    assert people.all()[0].state is State.GRANTED
    assert tool.run(PAYLOAD) == "paid 5000"


def test_an_async_tool_waits_and_runs_on(gate: Gate, people: People) -> None:
    paid: list[Any] = []

    async def pay(action: Any) -> str:
        paid.append(action)
        return "paid"

    async def run() -> str:
        tool = gate.tool(pay, "payments.transfer", agent_id="pay")
        ticket = opened(await asyncio.to_thread(tool.check, PAYLOAD))
        running = asyncio.ensure_future(tool.run_async(PAYLOAD, wait=PATIENCE))
        await asyncio.to_thread(people.grant, ticket.id)
        return str(await running)

    assert asyncio.run(run()) == "paid"
    assert paid == [PAYLOAD]


@pytest.mark.parametrize("wait", [True, PATIENCE])
def test_a_guarded_function_waits_and_runs_on(gate: Gate, people: People, wait: bool | float) -> None:
    @gate.guard("payments.transfer", agent_id="pay", wait=wait)
    def pay(amount: int, to: str) -> str:
        return f"paid {amount} to {to}"

    @gate.guard("payments.transfer", agent_id="pay", wait=wait)
    async def pay_async(amount: int, to: str) -> str:
        return f"paid {amount} to {to}"

    people.grant(opened(ask(gate)).id)
    assert pay(5000, "shop") == "paid 5000 to shop"
    people.grant(opened(ask(gate)).id)
    assert asyncio.run(pay_async(5000, "shop")) == "paid 5000 to shop"


def test_a_guarded_function_that_does_not_wait_is_refused(gate: Gate) -> None:
    @gate.guard("payments.transfer", agent_id="pay")
    def pay(amount: int, to: str) -> None:
        raise AssertionError("it was entered")

    with pytest.raises(ApprovalRequired):
        pay(5000, "shop")


# -- what goes wrong


@pytest.mark.parametrize("settings", [{"approvals": False}, {"audit": None}, {"audit": MemoryLedger()}])
def test_a_gate_that_keeps_no_approvals_refuses_what_needs_one(settings: dict[str, Any], tmp_path: Path) -> None:
    given: dict[str, Any] = {"audit": tmp_path / "audit.db", "reload_seconds": 3600} | settings
    with Gate(policy(), **given) as gate:
        result = ask(gate)
        assert (result.outcome, result.approval, codes(result)) == (
            Outcome.REQUIRE_APPROVAL,
            None,
            [Code.RULE_MATCHED],
        )
        resumed = gate.resume("x" * 100_000, CALL)
        assert (resumed.outcome, codes(resumed)[0]) == (Outcome.DENY, Code.APPROVAL_UNAVAILABLE)
        assert "keeps no approvals" in resumed.reasons[0].message
    assert not list(tmp_path.glob("*approvals*"))


def break_file(file: Path, how: str) -> None:
    if how == "symlink":
        (file.parent / "real").touch()
        file.symlink_to(file.parent / "real")
    elif how == "folder":
        file.mkdir()
    elif how == "damaged":
        file.write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    elif how == "foreign":
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("CREATE TABLE diary (day)")


@pytest.mark.parametrize("how", ["symlink", "folder", "damaged", "foreign", "no place"])
def test_where_approvals_cannot_be_kept_the_call_stays_refused(
    log: Path, till: Till, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = log.with_name("kept") if how != "no place" else log.parent / "no" / "folder"
    break_file(file, how)
    with open_gate(log, approvals=file) as gate:
        result = ask(gate)
        assert (result.outcome, result.approval) == (Outcome.REQUIRE_APPROVAL, None)
        assert codes(result) == [Code.RULE_MATCHED, Code.APPROVAL_UNAVAILABLE]
        resumed = gate.resume("anything", CALL)
        assert (resumed.outcome, codes(resumed)[0]) in [
            (Outcome.DENY, Code.APPROVAL_UNAVAILABLE),
            (Outcome.DENY, Code.APPROVAL_UNKNOWN),
        ]
        with pytest.raises(ApprovalRequired):
            tool_of(gate, till).run(PAYLOAD, wait=True)
    assert till.paid == []
    assert "no approval could be opened" in caplog.text


@pytest.mark.skipif(os.getuid() == 0, reason="root writes where it likes")
def test_a_file_that_may_not_be_written_keeps_the_call_refused(log: Path) -> None:
    file = log.with_name("kept")
    file.touch(0o400)
    with open_gate(log, approvals=file) as gate:
        assert codes(ask(gate))[-1] is Code.APPROVAL_UNAVAILABLE


def test_a_row_that_was_changed_by_hand_grants_nothing(gate: Gate, people: People) -> None:
    ticket = opened(ask(gate))
    with closing(sqlite3.connect(people.file, isolation_level=None)) as connection:
        connection.execute("UPDATE approvals SET state = 'granted'")
    result = gate.resume(ticket.id, CALL)
    assert (result.outcome, codes(result)[0]) == (Outcome.DENY, Code.APPROVAL_UNAVAILABLE)


def test_nothing_runs_before_its_record_is_durable_even_with_a_grant(log: Path, till: Till, people: People) -> None:
    with open_gate(log) as before:
        ticket = opened(ask(before))
    people.grant(ticket.id)
    ledger = Scripted(failing(OSError("no space left on device")))
    with Gate(policy(), ledger, approvals=people.file, reload_seconds=3600) as gate:
        resumed = gate.resume(ticket.id, CALL)
        assert (resumed.outcome, resumed.receipt) == (Outcome.DENY, None)
        assert codes(resumed)[0] is Code.AUDIT_UNAVAILABLE
        with pytest.raises(Refused):
            tool_of(gate, till).run(PAYLOAD)
    assert till.paid == []
    with open_gate(log) as after:
        assert codes(after.resume(ticket.id, CALL))[0] is Code.APPROVAL_USED, "at most once, never twice"


def test_a_decision_that_cannot_be_recorded_asks_nobody(people: People) -> None:
    ledger = Scripted(failing(OSError("no space left on device")))
    with Gate(policy(), ledger, approvals=people.file, reload_seconds=3600) as gate:
        assert ask(gate).outcome is Outcome.DENY
    assert not people.file.exists()


def test_the_record_of_a_use_is_durable_before_its_result_is_given(log: Path, people: People) -> None:
    with open_gate(log) as before:
        ticket = opened(ask(before))
    people.grant(ticket.id)
    ledger = Scripted(written)
    with Gate(policy(), ledger, approvals=people.file, reload_seconds=3600) as gate:
        assert gate.resume(ticket.id, CALL).receipt is not None
    assert ledger.given[-1]["approval"]["id"] == ticket.id


def test_a_gate_that_is_closed_uses_no_grant_and_asks_nobody(log: Path, people: People) -> None:
    gate = open_gate(log)
    ticket = opened(ask(gate))
    people.grant(ticket.id)
    gate.close()
    assert gate.resume(ticket.id, CALL).outcome is Outcome.DENY
    assert ask(gate).outcome is Outcome.DENY
    with open_gate(log) as another:
        assert another.resume(ticket.id, CALL).allowed
