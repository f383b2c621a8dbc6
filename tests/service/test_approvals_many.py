"""Ten thousand approvals that wait, and two processes on one database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from threading import Barrier

import pytest

from onpurpose import Client, Result
from onpurpose.adapters.sql.approval_rows import approval_row
from onpurpose.adapters.sql.engine import open_store
from onpurpose.adapters.sql.tables import approvals
from onpurpose.core.approval import Approval, State, open_approval
from onpurpose.core.decision import Code
from onpurpose.core.routing import Route, Stage
from tests.service.office import Case, Office, done
from tests.service.process import Process
from tests.service.test_approvals import approval_of, ask, codes, resume
from tests.service.test_approvals_killed import grant, let_leases_run_out

MANY = 10_000
SOON = 0.5
"""Seconds within which anything is done where ten thousand wait: many times what it takes."""


def many(case: Case) -> None:
    """Keep them in the store while no process uses it: a year of them, all pending."""
    route = Route(stages=(Stage(approvers=(f"group:{case.group}",)),), timeout_seconds=30 * 24 * 3600)
    now = time.time_ns() // 1000
    rows = [
        approval_row(
            open_approval(
                Approval(
                    id=f"{n:032x}", workspace="default", digest=f"{n:064x}", agent_id=case.agent,
                    capability=case.capability, routes=(route,), context=b'{"payload":"' + b"x" * 2000 + b'"}',
                    opened_at=now - n, until=0, wake_at=None,
                )
            )
        )
        for n in range(MANY)
    ]  # fmt: skip
    with closing(open_store(case.office.database)) as store, store.writing() as connection:
        connection.execute(approvals.insert(), rows)


def took(act: object) -> float:
    """The fastest of three, in seconds."""
    assert callable(act)
    times = []
    for _ in range(3):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return min(times)


def test_ten_thousand_that_wait_slow_nothing_down(own_office: Office) -> None:
    case = own_office.case()
    own_office.kill()
    many(case)
    began = time.perf_counter()
    own_office.start()
    assert time.perf_counter() - began < 15, "the start took too long"
    admin, client = own_office.admin, case.client()
    page = done(admin.get("/v1/approvals", params={"state": "pending", "limit": 100})).json()
    assert len(page["items"]) == 100
    assert took(lambda: done(admin.get("/v1/approvals", params={"state": "pending", "cursor": page["next"]}))) < SOON
    assert took(lambda: own_office.approval(f"{MANY // 2:032x}")) < SOON
    numbers = iter(range(100))
    assert took(lambda: client.evaluate(**case.fields(limit=next(numbers)))) < SOON
    with case.personal() as person:
        some = iter(range(100))
        assert took(lambda: done(person.post(f"/v1/approvals/{next(some):032x}/grant", json={}))) < SOON
    fresh = own_office.case(timeout=2)
    began = time.monotonic()
    result = ask(fresh)
    own_office.message(approval_of(result))
    assert time.monotonic() - began < 2
    assert result.approval is not None
    assert result.approval.wait(20).state is State.EXPIRED
    own_office.told(approval_of(result), "expired")


# -- two processes on one database


@pytest.fixture
def pair(postgres_office: Office) -> Iterator[tuple[Case, Process]]:
    """A case at one process, and the other process."""
    with postgres_office.second() as second:
        case = postgres_office.case()
        end, client = time.monotonic() + 20, case.client(second)
        nobody = case.fields() | {"identity": None}  # whom no policy asks people about
        while Code.UNKNOWN_PURPOSE in codes(client.evaluate(**nobody)):
            assert time.monotonic() < end, "the second process does not take up the purpose"
        yield case, second


def test_an_agent_that_waits_at_one_process_is_told_of_a_grant_at_the_other(pair: tuple[Case, Process]) -> None:
    case, second = pair
    result = ask(case)
    assert result.approval is not None
    key = case.office.make_key("anna", "approve", "read", user=case.people[0])
    with ThreadPoolExecutor(1) as agent, second.client() as there:
        waiting = agent.submit(result.approval.wait, 30)
        done(
            there.post(f"/v1/approvals/{result.approval.id}/grant", json={}, headers={"Authorization": f"Bearer {key}"})
        )
        began = time.monotonic()
        ticket = waiting.result(30)
        assert time.monotonic() - began < 2
    assert (ticket.state, ticket.by) == (State.GRANTED, case.people[0])
    assert resume(case, result, second).allowed
    assert codes(resume(case, result))[0] is Code.APPROVAL_USED


def race(barrier: Barrier, result: Result, client: Client) -> Result:
    barrier.wait(10)
    return client.resume(approval_of(result), result.call)


def test_of_agents_that_resume_at_two_processes_one_runs(pair: tuple[Case, Process]) -> None:
    case, second = pair
    first = case.office.process
    for limit in range(5):
        result = ask(case, second, limit=limit)
        grant(case, approval_of(result))
        clients = [case.client(process) for process in (first, second) for _ in range(3)]
        barrier = Barrier(len(clients))

        with ThreadPoolExecutor(len(clients)) as agents:
            results = list(agents.map(partial(race, barrier, result), clients))
        assert sum(one.allowed for one in results) == 1
        assert {codes(one)[0] for one in results if not one.allowed} == {Code.APPROVAL_USED}
    case.office.verified()


def test_equal_calls_at_two_processes_join_one_approval(pair: tuple[Case, Process]) -> None:
    case, second = pair
    clients = [case.client(process) for process in (case.office.process, second) for _ in range(4)]
    barrier = Barrier(len(clients))

    def asked(client: Client) -> Result:
        barrier.wait(10)
        return client.evaluate(**case.fields())

    with ThreadPoolExecutor(len(clients)) as agents:
        results = list(agents.map(asked, clients))
    assert len({approval_of(one) for one in results}) == 1
    assert len(case.office.mails(case.people[0])) == 1
    case.grant_in_slack(approval_of(results[0]))
    assert len(case.office.messages(approval_of(results[0]))) == 1


def test_what_one_process_was_asked_the_other_tells_when_the_first_is_killed(pair: tuple[Case, Process]) -> None:
    case, second = pair
    office = case.office
    office.slack.down = True
    result = ask(case)
    office.kill()
    let_leases_run_out(office)
    office.slack.down = False
    office.slack.request_url = f"{second.url}/slack/interactions"
    office.slack.wait_for(lambda: office.messages(approval_of(result)))
    office.process, office.admin = second, second.client()
    try:
        case.grant_in_slack(approval_of(result))
        assert resume(case, result, second).allowed
        office.verified()
    finally:
        office.admin.close()
