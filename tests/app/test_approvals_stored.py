"""Approvals of two processes on one database: what one decides, the other neither decides nor uses again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.approvals import SqlApprovals
from onpurpose.adapters.sql.deliveries import SqlDeliveries
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import open_store
from onpurpose.app.approvals import Consumed, Desk
from onpurpose.app.masking import Masking
from onpurpose.app.outbox import Post
from onpurpose.core.access import Workspace
from onpurpose.core.act import State, Via
from onpurpose.core.approval import Approval, IllegalMoveError
from onpurpose.core.decision import Code
from tests.app.deciding import Office, at_once, question, user


class Process:
    """A desk on a database of several."""

    def __init__(self, office: Office, database: str) -> None:
        self._store = open_store(database)
        self._outbox = SqlDocuments(self._store)
        self.deliveries = SqlDeliveries(self._store)
        self.access = SqlAccess(self._store)
        self.desk = Desk(
            SqlApprovals(self._store),
            Post(self._outbox, office.log),
            people=lambda _: list(office.users),
            settings=lambda _: office.settings,
            clock=office.clock,
            new_id=office.new_id,
            masking=Masking(),
            ledger=office.log,
            poll_seconds=0.01,
        )

    def close(self) -> None:
        self.desk.close()
        self._outbox.close()
        self._store.close()


@pytest.fixture
def office() -> Iterator[Office]:
    office = Office()
    office.users = [user(f"u{number}", "approvers") for number in range(20)]
    yield office
    office.desk.close()


@pytest.fixture
def processes(tmp_path: Path, office: Office) -> Iterator[list[Process]]:
    with contextlib.ExitStack() as stack:
        made = [Process(office, str(tmp_path / "onpurpose.db")) for _ in range(2)]
        for one in made:
            stack.callback(one.close)
        made[0].access.put(Workspace(id="acme", name="Acme", created_at=1), notes=[])
        yield made


def test_one_decides_and_one_runs_whichever_process_they_came_to(office: Office, processes: list[Process]) -> None:
    desks = [one.desk for one in processes]
    found = at_once(10, lambda number: desks[number % 2].ask(question(decision_id=f"d{number}")).id)
    assert len(set(found)) == 1
    approval = desks[1].get("acme", str(found[0]))
    waiting = desks[0].watch("acme", approval.id)
    clicks = at_once(20, lambda number: desks[number % 2].grant("acme", approval.id, f"u{number}", via=Via.PAGE))
    decided = [one for one in clicks if isinstance(one, Approval)]
    assert [type(one) for one in clicks].count(IllegalMoveError) == 19
    assert [one.state for one in decided] == [State.GRANTED]
    assert waiting.result(30).acts == decided[0].acts

    def use(number: int) -> Consumed:
        return desks[number % 2].consume(
            "acme", approval.id, approval.digest, approval.agent_id, approval.routes, f"r{number}"
        )

    codes = [one.code for one in at_once(10, use) if isinstance(one, Consumed)]
    assert sorted(codes) == [Code.APPROVAL_GRANTED] + [Code.APPROVAL_USED] * 9
    kinds = office.kinds()
    assert (kinds.count("requested"), kinds.count("granted"), kinds.count("used")) == (1, 1, 1)
    events = {str(one.event) for one in processes[0].deliveries.of("acme", approval.id)}
    assert events == {"requested", "granted"}


def test_a_process_that_starts_later_goes_on_where_another_stopped(office: Office, processes: list[Process]) -> None:
    first, second = (one.desk for one in processes)
    approval = first.ask(question())
    first.deny("acme", approval.id, "u1", via=Via.SLACK, text="no")
    assert second.ask(question()).state is State.DENIED
    assert second.get("acme", approval.id) == first.get("acme", approval.id)
    office.clock.pass_seconds(4000)
    again = second.ask(question())
    assert again.state is State.PENDING
    office.clock.pass_seconds(4000)
    assert first.sweep() + second.sweep() == 1
    assert second.get("acme", again.id).state is State.EXPIRED
