"""What time does to an embedded gate's approvals, on a clock that is set by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onpurpose import Call, Gate, Outcome
from onpurpose.core.act import State
from onpurpose.core.decision import Code
from tests.agents.people import People, kinds, open_gate
from tests.agents.test_approvals import CALL, PAYLOAD, ask, codes, opened
from tests.app.keys import SetClock

HOUR = 3600


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SetClock:
    """The clock of every desk that is opened from now on."""
    clock = SetClock()
    monkeypatch.setattr("onpurpose.local.SystemClock", lambda: clock)
    return clock


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
def gate(log: Path, clock: SetClock) -> Iterator[Gate]:
    with open_gate(log) as gate:
        yield gate


@pytest.fixture
def people(log: Path, gate: Gate) -> People:
    return People(log)


def test_an_approval_that_nobody_decides_expires_which_is_no_person_s_no(
    gate: Gate, people: People, clock: SetClock
) -> None:
    ticket = opened(ask(gate))
    clock.pass_seconds(HOUR)
    result = gate.resume(ticket.id, CALL)
    assert (result.outcome, codes(result)[0]) == (Outcome.DENY, Code.APPROVAL_EXPIRED)
    assert "undecided" in result.reasons[0].message
    assert ticket.wait(0).state is State.EXPIRED
    assert opened(ask(gate)).id != ticket.id, "it may be asked again"


def test_a_grant_that_is_not_used_in_time_is_good_for_nothing(gate: Gate, people: People, clock: SetClock) -> None:
    ticket = opened(ask(gate))
    clock.pass_seconds(HOUR - 1)
    people.grant(ticket.id)
    clock.pass_seconds(HOUR - 1)
    assert opened(ask(gate)).granted
    clock.pass_seconds(1)
    result = gate.resume(ticket.id, CALL)
    assert (result.outcome, codes(result)[0]) == (Outcome.DENY, Code.APPROVAL_EXPIRED)
    assert "before it was used" in result.reasons[0].message


def test_a_denial_stands_until_its_time_is_over_and_then_people_are_asked_again(
    gate: Gate, people: People, clock: SetClock
) -> None:
    ticket = opened(ask(gate))
    people.deny(ticket.id)
    again = ask(gate)
    assert again.approval is not None
    assert (again.approval.id, again.approval.state) == (ticket.id, State.DENIED)
    clock.pass_seconds(HOUR)
    anew = opened(ask(gate))
    assert anew.id != ticket.id
    assert anew.pending


def test_the_sweep_tells_the_log_what_has_expired_once(gate: Gate, people: People, clock: SetClock, log: Path) -> None:
    ticket = opened(ask(gate))
    clock.pass_seconds(HOUR)
    asking = gate._people
    assert asking is not None
    local = asking._made
    assert local is not None
    local._sweep(lambda: None)
    local._sweep(lambda: None)
    assert kinds(log).count("expired") == 1
    assert people.all()[0].state is State.EXPIRED
    assert ticket.wait(0).state is State.EXPIRED


def test_the_time_of_an_approval_is_the_policy_s(log: Path, clock: SetClock) -> None:
    text = "approval_timeout_seconds: 60\nrequire_approval:\n  - capability: payments.transfer\n"
    with open_gate(log, text) as gate:
        ticket = opened(ask(gate))
        assert ticket.until == clock.now() + 60 * 1_000_000
        clock.pass_seconds(60)
        expired = gate.resume(ticket.id, Call("pay", "payments.transfer", PAYLOAD))
        assert codes(expired)[0] is Code.APPROVAL_EXPIRED
