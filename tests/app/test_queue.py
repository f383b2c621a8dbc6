"""The order in which a person should look at what waits, and how long people take."""

from __future__ import annotations

import pytest

from onpurpose.app.queue import pace, queue
from onpurpose.core.act import State, Via
from onpurpose.core.approval import Approval
from onpurpose.core.call import Call
from tests.app.deciding import Office, question, route


@pytest.fixture
def office() -> Office:
    return Office()


def asked(office: Office, n: int, *approvers: str, seconds: int = 600) -> Approval:
    return office.desk.ask(question(Call("bot", "a.b", {"n": n}), route(*approvers, timeout_seconds=seconds)))


def test_what_the_person_may_decide_comes_first_and_soonest_first(office: Office) -> None:
    others = asked(office, 1, "user:bob", seconds=10)
    late, soon = asked(office, 2, "user:ada", seconds=900), asked(office, 3, "user:ada", seconds=60)
    found = queue([others, late, soon], "ada", office.users)
    assert [(one.approval.id, one.mine) for one in found] == [(soon.id, True), (late.id, True), (others.id, False)]


def test_what_is_settled_does_not_wait(office: Office) -> None:
    one = asked(office, 1, "user:ada")
    after = office.desk.grant("acme", one.id, "ada", via=Via.PAGE)
    assert after.state is State.GRANTED
    assert queue([after], "ada", office.users) == []


def test_nobody_unknown_may_decide_anything(office: Office) -> None:
    assert [one.mine for one in queue([asked(office, 1, "anyone")], "nobody", office.users)] == [False]


def test_who_has_granted_may_still_deny(office: Office) -> None:
    one = office.desk.ask(question(Call("bot", "a.b", {}), route("group:approvers", quorum=2)))
    after = office.desk.grant("acme", one.id, "ada", via=Via.PAGE)
    assert [one.mine for one in queue([after], "ada", office.users)] == [True]


def test_the_pace_counts_people_alone(office: Office) -> None:
    one, two, three = (asked(office, n, "group:approvers") for n in range(3))
    office.clock.pass_seconds(10)
    granted = office.desk.grant("acme", one.id, "ada", via=Via.PAGE)
    office.clock.pass_seconds(20)
    denied = office.desk.deny("acme", two.id, "bob", via=Via.PAGE, text="no")
    cancelled = office.desk.cancel("acme", three.id, by="ada", via=Via.PAGE)
    took = pace([granted, denied, cancelled])
    assert (took.count, took.median_seconds, took.by) == (2, 20.0, (("ada", 1, 10.0), ("bob", 1, 30.0)))
    assert pace([]).median_seconds is None
