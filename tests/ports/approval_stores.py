"""The stores of approvals that the suites of their ports run on, and approvals to keep there."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.adapters.sql.approvals import SqlApprovals
from onpurpose.adapters.sql.deliveries import SqlDeliveries
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import open_store
from onpurpose.adapters.sql.local import LocalApprovals
from onpurpose.core.approval import Approval, open_approval
from onpurpose.core.delivery import Channel, Delivery, Event
from onpurpose.core.routing import Route, Stage
from onpurpose.ports import Approvals, Deliveries, GivenUp, Outbox

T = TypeVar("T")

SECOND = 1_000_000
T0 = 1_700_000_000 * SECOND
NUMBERS = itertools.count(1)


@dataclass
class Kept:
    """A store of approvals, seen by its ports; `elsewhere` is the same one, as another process has it."""

    approvals: Approvals
    deliveries: Deliveries
    given_up: GivenUp
    outbox: Outbox
    elsewhere: Approvals

    def notes(self) -> list[bytes]:
        return [body for _, body in self.outbox.unsent(1000)]


@contextlib.contextmanager
def in_memory() -> Iterator[Kept]:
    one = MemoryApprovals()
    yield Kept(one, one, one, one, one)


@contextlib.contextmanager
def in_database(database: str) -> Iterator[Kept]:
    with (
        contextlib.closing(open_store(database)) as store,
        contextlib.closing(open_store(database)) as second,
        contextlib.closing(SqlDocuments(store)) as outbox,
    ):
        deliveries = SqlDeliveries(store)
        yield Kept(SqlApprovals(store), deliveries, deliveries, outbox, SqlApprovals(second))


@contextlib.contextmanager
def in_file(path: Path) -> Iterator[Kept]:
    with contextlib.closing(LocalApprovals(path)) as one, contextlib.closing(LocalApprovals(path)) as second:
        yield Kept(one, one, one, one, second)


@pytest.fixture(params=["memory", "file", "sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    if request.param == "memory":
        made = in_memory()
    elif request.param == "file":
        made = in_file(tmp_path / "audit.approvals")
    elif request.param == "sqlite":
        made = in_database(request.getfixturevalue("sqlite_store_path"))
    else:
        made = in_database(request.getfixturevalue("postgres_store_url"))
    with made as found:
        yield found


def approval(number: int = 1, workspace: str = "acme", **rest: object) -> Approval:
    """The approval of that number (they sort by it), each of a call of its own."""
    made = open_approval(
        Approval(
            id=f"ap_{number:06}",
            workspace=workspace,
            digest=f"{number:064x}",
            agent_id="billing",
            capability="payments.transfer",
            requesters=("ann",),
            asked_with="k1",
            routes=(Route(stages=(Stage(approvers=("group:finance", "user:é")),), timeout_seconds=60),),
            context=b'{"payload":{"amount":1}}',
            opened_at=T0 + number * SECOND,
            until=0,
            wake_at=None,
            decision_ids=("d1",),
        )
    )
    return replace(made, **rest)


def later(one: Approval, **rest: object) -> Approval:
    """The approval's next version."""
    return replace(one, version=one.version + 1, **rest)


def delivery(of: Approval, recipient: str = "C1", **rest: object) -> Delivery:
    """A message of the approval, due when the approval was opened."""
    made = Delivery(
        id=f"de_{next(NUMBERS):09}",
        workspace=of.workspace,
        approval_id=of.id,
        channel=Channel.SLACK,
        event=Event.REQUESTED,
        recipient=recipient,
        created_at=of.opened_at,
        due_at=of.opened_at,
    )
    return replace(made, **rest)


def all_at_once(count: int, act: Callable[[int], T]) -> list[T]:
    """What so many threads come to that all act at the same moment, in no order."""
    begin, results = threading.Barrier(count), []

    def run(number: int) -> None:
        begin.wait(30)
        results.append(act(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == count
    return results
