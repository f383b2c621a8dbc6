"""What the stores of approvals take where ten thousand wait: `python benchmarks/approvals.py [DATABASE]`.

With a DATABASE (`postgresql://...`, empty) that one is measured too.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from common import HERE, Table, report, target
from onpurpose.adapters.sql.approvals import SqlApprovals
from onpurpose.adapters.sql.deliveries import SqlDeliveries
from onpurpose.adapters.sql.engine import open_store
from onpurpose.adapters.sql.local import LocalApprovals
from onpurpose.core.approval import Approval, State, Wanted, open_approval
from onpurpose.core.delivery import Channel, Delivery, Event
from onpurpose.core.routing import DEFAULT
from onpurpose.ports import Approvals, Deliveries

MANY = 10_000
ROUNDS = 31
LIMIT_MS = 10.0
SECOND = 1_000_000
T0 = 1_700_000_000 * SECOND
CONTEXT = b'{"payload":"' + b"x" * 4096 + b'"}'
PENDING = frozenset({State.PENDING})


class Kept(NamedTuple):
    approvals: Approvals
    deliveries: Deliveries


def tables() -> list[Table]:
    rows: dict[str, list[str]] = {}
    worst = 0.0
    stores = ["the embedded gate's file", "the service's SQLite", *(["PostgreSQL"] if len(_given()) else [])]
    for name in stores:
        with tempfile.TemporaryDirectory(prefix=".bench-", dir=HERE) as folder, _store(name, Path(folder)) as kept:
            for what, took in _measure(kept):
                rows.setdefault(what, [what]).append(f"{took:,.2f}")
                worst = max(worst, took)
    notes = [
        f"each approval has a context of {len(CONTEXT):,} bytes and one message that waits; medians of {ROUNDS}",
        f"the slowest takes {worst:,.1f} ms (target: {LIMIT_MS:,.0f}): {target(worst, LIMIT_MS)}",
    ]
    return [Table(f"Where {MANY:,} approvals wait (ms)", ["", *stores], list(rows.values()), notes)]


def _given() -> list[str]:
    return [argument for argument in sys.argv[1:] if argument != "--json"]


@contextlib.contextmanager
def _store(name: str, folder: Path) -> Iterator[Kept]:
    if name == "the embedded gate's file":
        with contextlib.closing(LocalApprovals(folder / "audit.approvals")) as local:
            yield Kept(local, local)
    else:
        database = str(folder / "onpurpose.db") if name == "the service's SQLite" else _given()[0]
        with contextlib.closing(open_store(database)) as store:
            yield Kept(SqlApprovals(store), SqlDeliveries(store))


def _approval(number: int) -> Approval:
    return open_approval(
        Approval(
            id=f"{number:012}",
            workspace="acme",
            digest=f"{number:064x}",
            agent_id=f"agent-{number % 50}",
            capability=f"payments.transfer{number % 7}",
            routes=(DEFAULT,),
            context=CONTEXT,
            opened_at=T0 + number * SECOND // 10,
            until=0,
            wake_at=None,
        )
    )


def _delivery(of: Approval) -> Delivery:
    return Delivery(
        id=f"d{of.id}",
        workspace=of.workspace,
        approval_id=of.id,
        channel=Channel.SLACK,
        event=Event.REQUESTED,
        recipient="C1",
        created_at=of.opened_at,
        due_at=of.opened_at,
    )


def _open(kept: Kept, number: int) -> None:
    one = _approval(number)
    kept.approvals.open(one, deliveries=[_delivery(one)], notes=[b"note"])


def _measure(kept: Kept) -> Iterator[tuple[str, float]]:
    for number in range(MANY):
        _open(kept, number)
    names = [f"{number:012}" for number in range(0, MANY, MANY // 200)]
    middle, now = f"{MANY // 2:012}", T0 + 10 * 24 * 3600 * SECOND
    pending = Wanted(workspace="acme", states=PENDING)
    soon = T0 + MANY // 10 * SECOND // 10 + 1800 * SECOND  # when a tenth of them wants its reminder
    alike = Wanted(workspace="acme", agent_id="agent-3", capability="payments.transfer3", limit=5)

    def change(number: int) -> None:
        one = _approval(number)
        kept.approvals.change(replace(one, version=2, joined=1), deliveries=[], notes=[b"note"])

    asked: dict[str, Callable[[int], object]] = {
        "the first page of 100": lambda _: kept.approvals.find(pending),
        "a page of 100 from the middle": lambda _: kept.approvals.find(replace(pending, before=middle)),
        "the last 5 of an agent and capability": lambda _: kept.approvals.find(alike),
        "the 100 that are due first, of 1,000": lambda _: kept.approvals.find(Wanted(due_at=soon)),
        "none is due": lambda _: kept.approvals.find(Wanted(due_at=T0)),
        "200 versions": lambda _: kept.approvals.versions(names),
        "one approval": lambda number: kept.approvals.get("acme", f"{number:012}"),
        "open one": lambda number: _open(kept, MANY + number),
        "a question that is pending": lambda number: _open(kept, number),
        "change one": change,
        "when a message is due": lambda _: kept.deliveries.next_due(Channel.SLACK),
        "take 10 messages of 10,000 due": lambda _: kept.deliveries.take(Channel.SLACK, now, now + SECOND, 10),
        "take none, 10,000 put off": lambda _: kept.deliveries.take(Channel.SLACK, T0 - 1, now, 10),
        "settle one message": lambda number: kept.deliveries.settle(_delivery(_approval(number))),
    }
    for what, act in asked.items():
        yield what, statistics.median(_milliseconds(act, number) for number in range(ROUNDS))


def _milliseconds(act: Callable[[int], object], number: int) -> float:
    start = time.perf_counter()
    act(number)
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    report(tables)
