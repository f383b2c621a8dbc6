"""The recorded sessions under the policies that speak for their agents."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from onpurpose.core.call import Call
from onpurpose.core.decide import decide
from onpurpose.core.outcome import Outcome
from tests.policies.project import SESSIONS, Line, call_of, compiled, lines, policies_for

KEYS = {"session", "agent_id", "capability", "payload", "policy_context", "task_context", "risk_category", "note"}
NAMES = [path.stem for path in SESSIONS]


def outcome(line: Line) -> Outcome:
    return decide(policies_for(str(line["agent_id"])), call_of(line)).outcome


@pytest.mark.parametrize("path", SESSIONS, ids=NAMES)
def test_every_line_has_the_fields_of_a_call_and_tells_no_outcome(path: Path) -> None:
    for number, line in enumerate(lines(path), 1):
        assert set(line) | {"note"} == KEYS, number
        assert isinstance(line["payload"], dict | str), number
        assert isinstance(line["policy_context"], dict), number


def test_the_sessions_are_rich() -> None:
    counts = {path.stem: len(lines(path)) for path in SESSIONS}

    assert counts["shell"] >= 30
    assert counts["payments"] >= 30
    assert counts["support"] >= 40
    assert counts["attacks"] >= 50


@pytest.mark.parametrize("name", ["shell", "payments", "support"])
def test_a_day_of_work_mostly_runs_and_is_stopped_where_it_matters(name: str) -> None:
    path = next(path for path in SESSIONS if path.stem == name)
    outcomes = Counter(outcome(line) for line in lines(path))

    permitted = outcomes[Outcome.ALLOW] + outcomes[Outcome.WARN]
    assert permitted > outcomes.total() / 2
    assert outcomes[Outcome.REQUIRE_APPROVAL] >= 4
    assert outcomes[Outcome.DENY] >= 4


def test_attacks_do_not_run_unasked_but_for_those_said_to_be_invisible_to_text() -> None:
    for line in lines(next(path for path in SESSIONS if path.stem == "attacks")):
        note = str(line["note"])
        told_to_run = note.startswith(("innocent:", "NOT SEEN:"))
        assert outcome(line).permits is told_to_run, (note, line["payload"])


def test_the_invisible_attacks_are_few_and_named() -> None:
    attacks = lines(next(path for path in SESSIONS if path.stem == "attacks"))
    unseen = [line for line in attacks if str(line["note"]).startswith("NOT SEEN:")]

    assert 1 <= len(unseen) <= 6


def test_an_agent_that_no_policy_speaks_for_is_denied() -> None:
    assert policies_for("ops-agent-2") == ()
    assert decide((), Call("ops-agent-2", "shell.execute", {"command": "ls"})).outcome is Outcome.DENY


def test_the_two_support_agents_share_a_policy() -> None:
    assert policies_for("support-agent") == policies_for("support-night-agent") == (compiled("support_agent.yaml"),)
