"""No answer permits a call whose record is not durable, whatever becomes of the record."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from onpurpose import ActionDenied, Gate, Identity, Outcome, Result, parse_policy
from onpurpose.adapters.memory import MemoryLedger
from onpurpose.core.decision import Code
from onpurpose.core.record import LedgerError
from tests.app.logs import RECEIPT, Answering, Overtaken, Scripted, decisions, failing, never, raising, stuck, written

OPEN = parse_policy("deny:\n  - capability: shut\nallow:\n  - capability: open\n", "open.yaml")

TROUBLE = {
    "fails": failing(LedgerError("the disk is full")),
    "fails late": failing(TimeoutError("the disk sleeps")),
    "fails without words": failing(OSError()),
    "never comes": never,
    "is stuck": stuck,
    "raises": raising,
}


def gate_on(answer: Answering, patience: float = 0.01) -> tuple[Gate, Scripted]:
    ledger = Scripted(answer)
    return Gate(OPEN, ledger, audit_timeout_seconds=patience, reload_seconds=3600), ledger


def codes(result: Result) -> list[Code]:
    return [reason.code for reason in result.reasons]


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")


def test_a_durable_record_is_answered_with_its_receipt() -> None:
    gate, _ = gate_on(written)
    result = gate.evaluate("a", "open", {})
    assert (result.allowed, result.receipt) == (True, RECEIPT)


@pytest.mark.parametrize("answer", TROUBLE.values(), ids=TROUBLE)
def test_a_record_in_trouble_denies(answer: Answering) -> None:
    gate, _ = gate_on(answer)
    result = gate.evaluate("a", "open", {})
    assert (result.outcome, codes(result), result.receipt) == (Outcome.DENY, [Code.AUDIT_UNAVAILABLE], None)
    assert gate.status()["unrecorded"] == 1


@pytest.mark.parametrize("answer", TROUBLE.values(), ids=TROUBLE)
def test_a_record_in_trouble_keeps_the_tool_from_being_entered(answer: Answering) -> None:
    gate, _ = gate_on(answer)
    entered: list[object] = []
    guarded = gate.guard("open")(lambda: entered.append("guarded"))
    for attempt in (lambda: gate.tool(entered.append, "open").run({}), guarded):
        with pytest.raises(ActionDenied):
            attempt()
    assert entered == []


@pytest.mark.parametrize("answer", TROUBLE.values(), ids=TROUBLE)
def test_what_was_denied_anyway_keeps_its_reasons(answer: Answering) -> None:
    gate, _ = gate_on(answer)
    assert codes(gate.evaluate("a", "shut", {})) == [Code.RULE_MATCHED, Code.AUDIT_UNAVAILABLE]


def test_the_reason_says_why_there_is_no_record() -> None:
    gate, _ = gate_on(failing(LedgerError("the disk is full")))
    assert "the disk is full" in gate.evaluate("a", "open", {}).explain()
    for answer in (never, stuck):
        gate, _ = gate_on(answer)
        assert "did not become durable in time" in gate.evaluate("a", "open", {}).explain()


def test_a_record_that_was_not_taken_up_is_cancelled() -> None:
    gate, ledger = gate_on(never)
    gate.evaluate("a", "open", {})
    assert ledger.kinds() == ["decision"]


def test_a_record_that_may_still_land_is_taken_back() -> None:
    gate, ledger = gate_on(stuck)
    result = gate.evaluate("a", "open", {})
    assert ledger.kinds() == ["decision", "decision.withdrawn"]
    assert ledger.given[1]["id"] == result.decision_id


def test_a_record_that_failed_needs_no_taking_back() -> None:
    gate, ledger = gate_on(failing(LedgerError("the disk is full")))
    gate.evaluate("a", "open", {})
    assert ledger.kinds() == ["decision"]


def test_a_record_that_lands_as_the_patience_ends_counts() -> None:
    gate, ledger = gate_on(lambda record: Overtaken())
    result = gate.evaluate("a", "open", {})
    assert (result.allowed, result.receipt, ledger.kinds()) == (True, RECEIPT, ["decision"])
    assert gate.status()["unrecorded"] == 0


def test_a_log_that_cannot_take_the_taking_back_either_still_denies() -> None:
    gate, ledger = gate_on(lambda record: stuck(record) if record.kind == "decision" else raising(record))
    assert codes(gate.evaluate("a", "open", {})) == [Code.AUDIT_UNAVAILABLE]
    assert ledger.kinds() == ["decision", "decision.withdrawn"]


def test_each_lost_record_is_logged_by_its_decision(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "onpurpose")
    gate, _ = gate_on(failing(LedgerError("the disk is full")))
    result = gate.evaluate("a", "open", {})
    assert [result.decision_id in message for message in caplog.messages] == [True]


def test_a_log_that_is_full_denies_from_then_on() -> None:
    gate = Gate(OPEN, MemoryLedger(limit=3), reload_seconds=3600)
    assert [gate.evaluate("a", "open", {}).allowed for _ in range(4)] == [True, True, False, False]


WHOLE: dict[str, Any] = {"agent_id": "a", "capability": "open", "payload": {}}


def unreadable() -> dict[str, dict[str, Any]]:
    deep: dict[str, Any] = {}
    for _ in range(64):
        deep = {"x": deep}
    cyclic: dict[str, Any] = {}
    cyclic["again"] = cyclic
    return {
        "nested too deep": {"payload": deep},
        "cyclic": {"payload": cyclic},
        "an object": {"payload": object()},
        "a list": {"payload": ["ls"]},
        "too long": {"payload": {"x": "y" * (2 << 20)}},
        "too long as one string": {"payload": "y" * (2 << 20)},
        "too many": {"payload": {"x": [0] * (2 << 20)}},
        "no agent": {"agent_id": ""},
        "an agent of another type": {"agent_id": None},
        "an agent's name too long": {"agent_id": "a" * 513},
        "an agent outside Unicode": {"agent_id": "a\ud800"},
        "no capability": {"capability": ""},
        "a capability of another type": {"capability": 7},
        "a capability with a space": {"capability": "open "},
        "a capability outside Unicode": {"capability": "open\udfff"},
        "a context that is no mapping": {"policy_context": ["production"]},
        "a context that is a string": {"policy_context": "production"},
        "a label of another type": {"task_context": 7},
        "a label outside Unicode": {"risk_category": "\ud800"},
        "a purpose outside Unicode": {"purpose_id": "\ud800"},
        "an identity of another type": {"identity": "ann"},
        "an identity outside Unicode": {"identity": Identity("\ud800")},
        "an identity that is a number": {"identity": Identity(7)},  # type: ignore[arg-type]
        "groups of another type": {"identity": Identity("ann", "admin")},  # type: ignore[arg-type]
        "a group of another type": {"identity": Identity("ann", ("a", None))},  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("fields", unreadable().values(), ids=unreadable())
def test_a_malformed_call_is_denied_and_recorded(fields: dict[str, Any]) -> None:
    ledger = MemoryLedger()
    result = Gate(OPEN, ledger, reload_seconds=3600).evaluate(**{**WHOLE, **fields})
    assert (result.outcome, codes(result)) == (Outcome.DENY, [Code.MALFORMED_CALL])
    assert result.receipt is not None
    (record,) = decisions(ledger)
    assert (record["id"], record["outcome"]) == (result.decision_id, "deny")
    assert result.explain().startswith("deny: ")


class Sealed:
    def __str__(self) -> str:
        raise RuntimeError("sealed")

    __repr__ = __str__


class Shut(dict[str, object]):
    def get(self, *_: object) -> object:
        raise RuntimeError("shut")


AWKWARD = {
    "a context with a lone surrogate": {"policy_context": {"environment": "\ud800"}},
    "a context's name with a lone surrogate": {"policy_context": {"\ud800": "x"}},
    "a context with an object": {"policy_context": {"tenant": Sealed()}},
    "a context with a huge integer": {"policy_context": {"caller_depth": 10**5000}},
    "a context with not a number": {"policy_context": {"caller_depth": float("nan")}},
    "a context that names numbers": {"policy_context": {1: 2, None: 3}},
    "a context that cannot be asked": {"policy_context": Shut(environment="x")},
    "an endless context": {"policy_context": {"x": [[]]}},
    "elements of objects": {"elements": (Sealed(),)},
    "elements that are no tuple": {"elements": {1, 2}},
    "a path of the policy that is none": {"policy_path": Sealed()},
    "a path of the policy with a NUL": {"policy_path": "a\0b"},
    "an agent's name that cannot be shown": {"agent_id": Sealed()},
    "a capability that cannot be shown": {"capability": Sealed()},
    "a capability too long to be shown": {"capability": 10**5000},
    "a record too long for a log": {"payload": {"x": [-(1 << 62)] * 1_000_000}},
    "a context too long for a log": {"policy_context": {"x": "y" * (1 << 24)}},
}
endless: list[object] = []
endless.append(endless)
AWKWARD["an endless context"] = {"policy_context": {"x": endless}}


@pytest.mark.parametrize("fields", AWKWARD.values(), ids=AWKWARD)
def test_an_awkward_call_never_raises_and_is_recorded(fields: dict[str, Any]) -> None:
    ledger = MemoryLedger()
    result = Gate(OPEN, ledger, reload_seconds=3600).evaluate(**{**WHOLE, **fields})
    assert result.receipt is not None
    (record,) = decisions(ledger)
    assert (record["id"], record["outcome"]) == (result.decision_id, str(result.outcome))
    assert record["outcome"] == result.explain().partition(":")[0]


DENIED = (
    "elements", "a path", "an agent", "a capability", "a record", "a context too", "a context that cannot", "an endless"
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in AWKWARD if name.startswith(DENIED)])
def test_what_cannot_be_judged_or_recorded_as_it_is_is_denied(name: str) -> None:
    result = Gate(OPEN, MemoryLedger(), reload_seconds=3600).evaluate(**{**WHOLE, **AWKWARD[name]})
    assert not result.allowed


def test_an_error_inside_the_gate_denies_is_recorded_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "onpurpose")
    ledger = MemoryLedger()
    gate = Gate(OPEN, ledger, reload_seconds=3600)
    result = gate.evaluate(**WHOLE, policy_context=Shut(environment="x"))
    assert codes(result) == [Code.INTERNAL_ERROR]
    assert decisions(ledger)[0]["reasons"][0]["code"] == "internal_error"
    assert gate.status()["internal_errors"] >= 1
    assert "shut" in caplog.text


def test_a_clock_that_fails_lets_nothing_run() -> None:
    gate = Gate(OPEN, MemoryLedger(), reload_seconds=3600)
    entered: list[object] = []
    gate._clock = StoppedClock()
    with pytest.raises(OSError, match="stopped"):
        gate.tool(entered.append, "open").run({})
    assert entered == []


class StoppedClock:
    def now(self) -> int:
        raise OSError("stopped")
