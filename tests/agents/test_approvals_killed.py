"""Real processes that are killed, forked and raced: nothing runs twice, and nothing that was granted is lost."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from onpurpose.core.act import State
from onpurpose.core.decision import Code
from tests.agents.people import People, Process, kinds, open_gate, records
from tests.agents.test_approvals import CALL, codes, opened


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


EVALUATE = """
result = gate.evaluate(CALL.agent_id, CALL.capability, CALL.payload)
say(result.approval.id)
hold()
"""


def test_a_grant_outlives_an_agent_that_is_killed_between_asking_and_using_it(log: Path) -> None:
    agent = Process(EVALUATE, log)
    approval_id = agent.line()
    People(log).grant(approval_id)
    agent.kill()
    again = Process("say(str(gate.resume(sys.argv[2], CALL).outcome))\ngate.close()", log, approval_id)
    assert again.line() == "allow"
    assert again.end() == 0
    assert kinds(log) == ["requested", "granted", "used"]


USE_AND_DIE = """
from onpurpose.adapters.sql.local import LocalApprovals
change = LocalApprovals.change
def die(self, approval, *, deliveries, notes):
    if sys.argv[3] == "after":
        change(self, approval, deliveries=deliveries, notes=notes)
    os.kill(os.getpid(), 9)
LocalApprovals.change = die
gate.resume(sys.argv[2], CALL)
"""


@pytest.mark.parametrize(("when", "code"), [("before", Code.APPROVAL_GRANTED), ("after", Code.APPROVAL_USED)])
def test_whoever_is_killed_amid_using_a_grant_has_run_nothing(log: Path, when: str, code: Code) -> None:
    with open_gate(log) as gate:
        approval_id = opened(gate.evaluate("pay", "payments.transfer", CALL.payload)).id
        People(log).grant(approval_id)
        assert Process(USE_AND_DIE, log, approval_id, when).end() == -9
        assert [one["outcome"] for one in records(log, "decision")].count("allow") == 0
        result = gate.resume(approval_id, CALL)
        assert codes(result)[0] is code
        assert gate.evaluate("pay", "payments.transfer", {"amount": 2000, "to": "shop"}).approval is not None
    assert kinds(log).count("used") == 1, "what the dead process kept is told of by the next"


OPEN_AND_DIE = """
from onpurpose.adapters.sql.local import LocalApprovals
LocalApprovals.open = lambda *_, **__: os.kill(os.getpid(), 9)
gate.evaluate(CALL.agent_id, CALL.capability, CALL.payload)
"""


def test_an_agent_that_is_killed_between_its_decision_and_asking_asks_when_it_comes_back(log: Path) -> None:
    assert Process(OPEN_AND_DIE, log).end() == -9
    assert [one["outcome"] for one in records(log, "decision")] == ["require_approval"]
    assert not People(log).file.exists()
    with open_gate(log) as gate:
        assert opened(gate.evaluate("pay", "payments.transfer", CALL.payload)).pending


CLICK_AND_DIE = """
from onpurpose.app.outbox import Post
from tests.agents.people import People
Post.drain = lambda self: os.kill(os.getpid(), 9)
People(log).grant(sys.argv[2])
"""


def test_a_click_counts_although_whoever_clicked_died_before_the_log_was_told(log: Path) -> None:
    with open_gate(log) as gate:
        approval_id = opened(gate.evaluate("pay", "payments.transfer", CALL.payload)).id
        assert Process(CLICK_AND_DIE, log, approval_id).end() == -9
        assert gate.resume(approval_id, CALL).allowed
    assert kinds(log) == ["requested", "granted", "used"]


RACE = """
tool_ran = []
tool = gate.tool(tool_ran.append, "payments.transfer", agent_id="pay")
say("ready")
hold()
try:
    tool.run(dict(CALL.payload))
except Refused as refused:
    say(refused.result.reasons[0].code)
else:
    say("ran" if tool_ran else "lost")
gate.close()
"""


def test_of_processes_that_race_for_one_grant_one_runs(log: Path) -> None:
    with open_gate(log) as gate:
        approval_id = opened(gate.evaluate("pay", "payments.transfer", CALL.payload)).id
    people = People(log)
    people.grant(approval_id)
    racers = [Process(RACE, log) for _ in range(3)]
    assert [racer.line() for racer in racers] == ["ready"] * 3
    for racer in racers:
        racer.go()
    found = [racer.line() for racer in racers]
    assert [racer.end() for racer in racers] == [0] * 3
    assert found.count("ran") == 1
    assert set(found) - {"ran"} <= {"approval_used", "rule_matched"}
    assert [one["outcome"] for one in records(log, "decision")].count("allow") == 1
    assert kinds(log).count("used") == 1


FORK = """
ticket = gate.evaluate(CALL.agent_id, CALL.capability, CALL.payload).approval
if not (child := os.fork()):
    same = gate.evaluate(CALL.agent_id, CALL.capability, CALL.payload).approval
    say([same.id == ticket.id, same.state])
    say(str(ticket.wait(30).state))
    say(str(gate.resume(ticket.id, CALL).outcome))
    gate.close()
    os._exit(7)
say(ticket.id)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
say(gate.resume(ticket.id, CALL).reasons[0].code)
gate.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_asks_waits_and_uses_grants_as_its_parent_does(log: Path) -> None:
    process = Process(FORK, log)
    lines = [process.line(), process.line()]
    (approval_id,) = [line for line in lines if isinstance(line, str)]
    assert [True, "pending"] in lines
    People(log).grant(approval_id)
    assert [process.line() for _ in range(3)] == ["granted", "allow", "approval_used"]
    assert process.end() == 0
    assert [one.state for one in People(log).all()] == [State.USED]
    with closing(sqlite3.connect(People(log).file)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
