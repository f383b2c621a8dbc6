"""Keeping so many days: what would go is told exactly, and that goes and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import orjson
import pytest

from onpurpose.adapters.clock import Ids
from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql import SqliteLedger
from onpurpose.adapters.sql.reader import SqliteArchive
from onpurpose.app import keeping as module
from onpurpose.app.audit import tail
from onpurpose.app.keeping import Keeping
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import ConflictError
from tests.app.days import MemoryDays

NOON = 1_800_000_000_000_000


class Noon:
    """A clock that stands still."""

    def now(self) -> int:
        return NOON


@pytest.fixture
def days() -> MemoryDays:
    return MemoryDays(NOON)


@pytest.fixture
def keeping(days: MemoryDays, tmp_path: Path) -> Iterator[Keeping]:
    path = tmp_path / "log.db"
    with SqliteLedger(path, signer=KeyFile(f"{path}.key", f"{path}.pub")) as ledger:
        yield Keeping(days, days, ledger, clock=Noon(), new_id=Ids().new)


def told(tmp_path: Path) -> list[tuple[str, str, str]]:
    """The orders in the log: of which day, by whom, why."""
    archive = SqliteArchive(tmp_path / "log.db")
    try:
        bodies = [orjson.loads(one.body) for one in tail(archive, 50)]
    finally:
        archive.close()
    return [(one["day"], one["by"], one["reason"]) for one in bodies if one["kind"] == "retention.ordered"]


def test_what_is_older_than_the_days_to_keep_would_go_oldest_first(days: MemoryDays, keeping: Keeping) -> None:
    days.add(1), days.add(0)
    nine, five = days.add(9, records=7), days.add(5, records=3)
    plan = keeping.plan(5)  # today and four before it
    assert [(one.day, one.records, one.file, one.ordered) for one in plan.going] == [
        (nine, 7, f"records-{nine}.parquet", False), (five, 3, f"records-{five}.parquet", False),
    ]  # fmt: skip
    assert (plan.old, plan.records, plan.stuck) == (2, 10, "")
    assert [one.day for one in keeping.plan(6).going] == [nine]
    assert keeping.plan(30).old == 0
    assert keeping.closed() == [nine, five]
    assert keeping.has_archives


def test_nothing_goes_behind_a_day_that_cannot(days: MemoryDays, keeping: Keeping) -> None:
    nine, eight, seven = days.add(9), days.add(8, archived=False), days.add(7)
    plan = keeping.plan(2)
    assert ([one.day for one in plan.going], plan.old, plan.stuck) == ([nine], 3, f"{eight} is not archived")
    days.made[eight] = days.made[seven]  # which tells of another day
    assert keeping.plan(2).stuck == f"{eight} is not archived"
    days.files[nine] = "other"
    assert keeping.plan(2).stuck == f"the file of {nine} is not the one that was recorded"
    del days.files[nine]
    assert "cannot be read" in keeping.plan(2).stuck


def test_the_days_go_by_orders_on_record(days: MemoryDays, keeping: Keeping, tmp_path: Path) -> None:
    nine, eight, three = days.add(9), days.add(8), days.add(3)
    done = keeping.order(5, [nine, eight], by="ann", reason="a year is over")
    assert (done.days, done.why) == ((nine, eight), "")
    assert list(days.spans) == [three]
    assert told(tmp_path) == [(str(nine), "ann", "a year is over"), (str(eight), "ann", "a year is over")]


def test_what_was_not_shown_does_not_go(days: MemoryDays, keeping: Keeping, tmp_path: Path) -> None:
    nine, eight = days.add(9), days.add(8)
    for expected in ([nine], [eight], [], [eight, nine]):
        with pytest.raises(ConflictError, match="other days would go"):
            keeping.order(5, expected, by="ann", reason="x")
    with pytest.raises(ConflictError):
        keeping.order(30, [], by="ann", reason="x")
    assert list(days.spans) == [nine, eight]
    keeping.order(5, [nine, eight], by="bob", reason="y")
    assert {by for _, by, _ in told(tmp_path)} == {"bob"}


def test_one_that_cannot_be_dropped_ends_it_and_is_finished_by_the_next(
    days: MemoryDays, keeping: Keeping, tmp_path: Path
) -> None:
    nine, eight = days.add(9), days.add(8)
    days.locked.add(eight)
    done = keeping.order(5, [nine, eight], by="ann", reason="x")
    assert (done.days, done.why) == ((nine,), "somebody reads the log just now")
    assert keeping.unfinished() == [eight]
    days.locked.clear()
    (going,) = keeping.plan(5).going
    assert going.ordered
    assert keeping.order(5, [eight], by="bob", reason="y").days == (eight,)
    assert [(day, by) for day, by, _ in told(tmp_path)] == [(str(nine), "ann"), (str(eight), "ann")]


def test_one_order_lets_go_of_so_many_at_most(
    days: MemoryDays, keeping: Keeping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_AT_ONCE", 2)
    added = [days.add(ago) for ago in (9, 8, 7)]
    plan = keeping.plan(5)
    assert ([one.day for one in plan.going], plan.old, plan.stuck) == (added[:2], 3, "")


def test_without_archives_nothing_can_go(days: MemoryDays, tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    nine = days.add(9)
    with SqliteLedger(path, signer=KeyFile(f"{path}.key", f"{path}.pub")) as ledger:
        bare = Keeping(days, None, ledger, clock=Noon(), new_id=Ids().new)
        assert not bare.has_archives
        assert bare.plan(2).going == ()
        with pytest.raises(ConflictError):
            bare.order(2, [nine], by="ann", reason="x")


def test_two_orders_are_not_carried_out_at_once(days: MemoryDays, keeping: Keeping) -> None:
    nine = days.add(9)
    reached, opened = threading.Event(), threading.Event()

    class Slow(MemoryDays):
        """Days of which letting one go takes long."""

        def closed(self) -> list[date]:
            reached.set()
            assert opened.wait(30)
            return days.closed()

    slow = Slow(NOON)
    of = Keeping(slow, slow, keeping._ledger, clock=Noon(), new_id=Ids().new)  # the log that is open already

    def late() -> None:
        with pytest.raises(ConflictError):
            of.order(2, [nine], by="ann", reason="x")

    thread = threading.Thread(target=late)
    thread.start()
    assert reached.wait(30)
    with pytest.raises(ConflictError, match="already"):
        of.order(2, [nine], by="bob", reason="y")
    opened.set()
    thread.join(30)
    assert nine in days.spans


def test_a_log_that_cannot_be_read_is_no_plan(days: MemoryDays, keeping: Keeping) -> None:
    days.broken = True
    with pytest.raises(LedgerError):
        keeping.plan(2)
