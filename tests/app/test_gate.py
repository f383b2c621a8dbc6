"""What a user gets: one gate, one road from a call to an answer that is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from onpurpose import Gate, Identity, Outcome, PolicyError, load_policy, parse_policy
from onpurpose.adapters.memory import MemoryLedger
from onpurpose.adapters.sql import SqliteArchive
from onpurpose.core.decision import Code
from tests.app.logs import decisions

SHELL = """\
deny:
  - capability: shell.execute
    contains: "rm -rf"
require_approval:
  - capability: shell.execute
    contains: "systemctl"
warn:
  - capability: shell.execute
    contains: "curl"
allow:
  - capability: shell.execute
"""

POLICIES = Path(__file__).resolve().parents[2] / "policies"
RESTING: dict[str, Any] = {"reload_seconds": 3600}


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "shell.yaml"
    path.write_text(SHELL, encoding="utf-8")
    return path


@pytest.fixture
def gate(ledger: MemoryLedger, policy: Path) -> Gate:
    return Gate(policy, ledger, **RESTING)


def ask(gate: Gate, command: str) -> Outcome:
    return gate.evaluate("ops-agent", "shell.execute", {"command": command}).outcome


def test_the_first_call_runs_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").symlink_to(POLICIES)
    gate = Gate()
    result = gate.evaluate(
        agent_id="ops-agent",
        task_context="shell",
        risk_category="shell_execution",
        capability="shell.execute",
        policy_path="policies/shell_agent.yaml",
        payload={"command": "ls -la"},
        policy_context={"environment": "production", "user_role": "engineer", "tenant": "acme-corp"},
    )
    gate.close()
    assert (result.outcome, str(result.outcome), result.allowed) == (Outcome.ALLOW, "allow", True)
    assert result.receipt is not None
    with SqliteArchive(tmp_path / "onpurpose.db") as archive:
        stored = [one for one in archive.records() if one.seq == result.receipt.seq]
    assert [one.hash for one in stored] == [result.receipt.hash]
    assert result.decision_id.encode() in stored[0].body


def test_the_first_call_without_context_runs_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policies").symlink_to(POLICIES)
    with Gate() as gate:
        result = gate.evaluate(
            agent_id="ops-agent",
            task_context="shell",
            risk_category="shell_execution",
            capability="shell.execute",
            policy_path="policies/shell_agent.yaml",
            payload={"command": "sudo rm -rf /"},
        )
    assert str(result.outcome) == "deny"
    assert not result.allowed


@pytest.mark.parametrize(
    ("command", "outcome", "allowed"),
    [
        ("ls", "allow", True),
        ("curl example.com", "warn", True),
        ("systemctl stop x", "require_approval", False),
        ("rm -rf /", "deny", False),
    ],
)
def test_every_outcome_is_answered_and_recorded(
    gate: Gate, ledger: MemoryLedger, command: str, outcome: str, allowed: bool
) -> None:
    result = gate.evaluate("ops-agent", "shell.execute", {"command": command})
    assert (str(result.outcome), result.allowed) == (outcome, allowed)
    (record,) = decisions(ledger)
    assert (record["outcome"], record["id"]) == (outcome, result.decision_id)
    assert record["payload"] == {"command": command}
    assert record["digest"] == result.digest


def test_outcomes_compare_by_strictness(gate: Gate) -> None:
    asked = [ask(gate, command) for command in ("rm -rf /", "ls", "systemctl x", "curl x")]
    assert sorted(asked) == [Outcome.ALLOW, Outcome.WARN, Outcome.REQUIRE_APPROVAL, Outcome.DENY]
    assert max(asked) is Outcome.DENY
    assert ask(gate, "ls") < ask(gate, "curl x")


def test_reasons_name_the_rule_by_file_and_line(gate: Gate, policy: Path) -> None:
    result = gate.evaluate("ops-agent", "shell.execute", {"command": "rm -rf /"})
    (reason,) = result.reasons
    assert reason.code is Code.RULE_MATCHED
    assert str(reason.rule) == f"{policy}:2"


def test_reasons_say_what_was_unknown_and_what_would_settle_it(gate: Gate) -> None:
    result = gate.evaluate("ops-agent", "shell.execute", {"command": "RM  -rf /"})
    first = result.reasons[0]
    assert (result.outcome, first.code) == (Outcome.DENY, Code.RULE_UNKNOWN)
    assert [unknown.condition for unknown in first.unknown] == ["contains"]
    assert all(unknown.why and unknown.settle for unknown in first.unknown)


def test_explain_says_the_same_to_a_person(gate: Gate, policy: Path) -> None:
    result = gate.evaluate("ops-agent", "shell.execute", {"command": "RM -RF /"})
    text = result.explain()
    assert text.startswith("deny: shell.execute by ops-agent\n")
    assert f"{policy}:2" in text
    assert "to settle it:" in text
    assert result.decision_id in text


def test_a_policy_may_be_given_as_a_value(ledger: MemoryLedger) -> None:
    gate = Gate(parse_policy(SHELL, "shell.yaml"), ledger, **RESTING)
    assert ask(gate, "ls") is Outcome.ALLOW
    assert gate.status()["policies"] == [
        {"source": "shell.yaml", "digest": parse_policy(SHELL).digest, "problem": None}
    ]


def test_a_policy_may_be_given_as_text_or_path(policy: Path, ledger: MemoryLedger) -> None:
    assert ask(Gate(str(policy), ledger, **RESTING), "ls") is Outcome.ALLOW
    assert ask(Gate(load_policy(policy), ledger, **RESTING), "ls") is Outcome.ALLOW


@pytest.mark.parametrize("wrong", [7, b"shell.yaml", ["shell.yaml"], {"*": 7}])
def test_what_is_no_policy_is_a_type_error(wrong: Any) -> None:
    with pytest.raises(TypeError):
        Gate(wrong, None, **RESTING)


def test_a_gate_without_a_policy_denies(ledger: MemoryLedger) -> None:
    result = Gate(audit=ledger, **RESTING).evaluate("ops-agent", "shell.execute", {"command": "ls"})
    assert (result.outcome, [reason.code for reason in result.reasons]) == (Outcome.DENY, [Code.NO_POLICY])
    assert decisions(ledger)[0]["policies"] == []


def test_each_call_may_name_its_policy(gate: Gate, tmp_path: Path, ledger: MemoryLedger) -> None:
    strict = tmp_path / "strict.yaml"
    strict.write_text("deny:\n  - capability: '*'\n", encoding="utf-8")
    assert ask(gate, "ls") is Outcome.ALLOW
    assert gate.evaluate("a", "shell.execute", {"command": "ls"}, policy_path=strict).outcome is Outcome.DENY
    assert [record["policies"][0]["source"] for record in decisions(ledger)][-1] == str(strict)
    assert ask(gate, "ls") is Outcome.ALLOW


def test_a_record_names_the_policy_in_force_by_digest(gate: Gate, policy: Path, ledger: MemoryLedger) -> None:
    ask(gate, "ls")
    assert decisions(ledger)[0]["policies"] == [{"source": str(policy), "digest": load_policy(policy).digest}]


def test_a_record_holds_every_field_of_the_call(gate: Gate, ledger: MemoryLedger) -> None:
    gate.evaluate(
        "ops-agent",
        "shell.execute",
        {"command": "ls"},
        task_context="shell",
        risk_category="shell_execution",
        policy_context={"environment": "production", "caller_depth": 1},
        identity=Identity("ann", ("sre",)),
        purpose_id="reporting",
        data_source_id="warehouse",
        elements=("orders.total",),
    )
    (record,) = decisions(ledger)
    expected = {
        "agent_id": "ops-agent",
        "capability": "shell.execute",
        "task_context": "shell",
        "risk_category": "shell_execution",
        "policy_context": {"environment": "production", "caller_depth": 1},
        "identity": {"user_id": "ann", "groups": ["sre"]},
        "purpose_id": "reporting",
        "data_source_id": "warehouse",
        "elements": ["orders.total"],
        "payload": {"command": "ls"},
    }
    assert {key: record[key] for key in expected} == expected


def test_recording_nothing_must_be_asked_for_and_shows_in_the_status(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Gate(policy, audit=None, **RESTING) as gate:
        result = gate.evaluate("ops-agent", "shell.execute", {"command": "ls"})
        assert (result.allowed, result.receipt) == (True, None)
        assert gate.status()["audit"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["shell.yaml"]


def test_status_tells_of_policies_and_log(gate: Gate, policy: Path) -> None:
    ask(gate, "ls")
    status: dict[str, Any] = gate.status()
    assert status["policies"] == [{"source": str(policy), "digest": load_policy(policy).digest, "problem": None}]
    assert status["audit"]["records"] == 2
    assert (status["unrecorded"], status["internal_errors"]) == (0, 0)


def test_a_closed_gate_denies(gate: Gate) -> None:
    gate.close()
    result = gate.evaluate("ops-agent", "shell.execute", {"command": "ls"})
    assert [reason.code for reason in result.reasons] == [Code.AUDIT_UNAVAILABLE]
    assert not result.allowed


def test_decisions_have_names_of_their_own_in_the_order_of_time(gate: Gate) -> None:
    names = [gate.evaluate("a", "shell.execute", {"command": "ls"}).decision_id for _ in range(500)]
    assert len(set(names)) == 500
    assert names == sorted(names)


def test_equal_calls_have_equal_digests_and_others_do_not(gate: Gate) -> None:
    def digest(**changed: Any) -> str | None:
        fields: dict[str, Any] = {"agent_id": "a", "capability": "shell.execute", "payload": {"x": 1, "y": [2]}}
        return gate.evaluate(**{**fields, **changed}).digest

    same = digest()
    assert digest(payload={"y": [2.0], "x": 1}) == same
    assert digest(task_context="shell", risk_category="general") == same
    others: list[dict[str, Any]] = [
        {"agent_id": "b"},
        {"capability": "shell.run"},
        {"payload": {"x": 1, "y": [3]}},
        {"identity": Identity("ann")},
        {"purpose_id": "p"},
        {"data_source_id": "d"},
        {"policy_context": {"environment": "production"}},
        {"policy_context": {"user_role": "production"}},
        {"policy_context": {"tenant": "production"}},
    ]
    digests = [same, *(digest(**other) for other in others)]
    assert len(set(digests)) == len(digests)


def test_a_bad_policy_raises_only_where_it_is_loaded_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("deny: 7\n", encoding="utf-8")
    with pytest.raises(PolicyError):
        load_policy(path)
    assert not Gate(path, None, **RESTING).evaluate("a", "b").allowed
