"""What processes tell of themselves, kept in SQLite and PostgreSQL, and told again."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from onpurpose.adapters.sql.engine import Store, open_store
from onpurpose.adapters.sql.processes import SqlProcesses
from onpurpose.app.presence import UNKNOWN, Presence
from onpurpose.core.process import GONE_US, TELL_US, Process
from onpurpose.core.revision import StoreError
from tests.app.keys import SetClock

NOON = 1_700_000_000_000_000


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    local = request.param == "sqlite"
    database = str(tmp_path / "onpurpose.db") if local else request.getfixturevalue("postgres_store_url")
    with closing(open_store(database)) as store:
        yield store


def process(number: str, started_at: int = 1, seen_at: int = NOON, *wrong: str) -> Process:
    return Process(id=number, name=f"host:{number}", started_at=started_at, seen_at=seen_at, wrong=wrong)


def test_the_last_word_of_each_process_is_kept(store: Store) -> None:
    kept = SqlProcesses(store)
    told = [process("b", 2), process("a", 1), process("c", 1), process("b", 2, NOON + 5, "the log \N{SNOWMAN}", "feed")]
    for one in told:
        kept.put(one, gone_before=0)
    assert kept.all() == [told[1], told[2], told[3]]
    kept.remove("c")
    kept.remove("nobody")
    assert kept.all() == [told[1], told[3]]


def test_a_process_of_which_nothing_was_heard_for_long_is_forgotten(store: Store) -> None:
    kept = SqlProcesses(store)
    kept.put(process("old", seen_at=NOON), gone_before=0)
    kept.put(process("new", seen_at=NOON + 9), gone_before=NOON)
    assert [one.id for one in kept.all()] == ["new", "old"]
    kept.put(process("new", seen_at=NOON + 10), gone_before=NOON + 1)
    assert [one.id for one in kept.all()] == ["new"]


def present(store: Store, clock: SetClock, wrong: list[str], name: str = "p") -> Presence:
    return Presence(SqlProcesses(store), lambda: wrong, clock=clock, process_id=name, name="host:1")


def test_a_process_tells_of_itself_now_and_then_and_no_more_once_it_ends(store: Store) -> None:
    clock, wrong = SetClock(NOON), ["the feed is behind"]
    one = present(store, clock, wrong)
    one.tell()
    told = Process(id="p", name="host:1", started_at=NOON, seen_at=NOON, wrong=("the feed is behind",))
    assert one.all() == [told]
    wrong.clear()
    clock.at += TELL_US - 1
    one.tell()
    assert one.all() == [told]
    clock.at += 1
    one.tell()
    assert one.all() == [Process(id="p", name="host:1", started_at=NOON, seen_at=NOON + TELL_US)]
    one.leave()
    assert one.all() == []


def test_processes_see_each_other_and_forget_who_is_gone(store: Store) -> None:
    clock = SetClock(NOON)
    first, second = present(store, clock, [], "first"), present(store, clock, [], "second")
    first.tell()
    second.tell()
    assert [one.id for one in first.all()] == ["first", "second"]
    clock.at += GONE_US + 1
    first.tell()
    assert [one.id for one in second.all()] == ["first"]


def test_a_process_that_cannot_tell_how_it_is_says_so(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> list[str]:
        raise RuntimeError("a secret")

    one = Presence(SqlProcesses(store), broken, clock=SetClock(NOON), process_id="p", name="host:1")
    with caplog.at_level(logging.CRITICAL, "onpurpose"):
        one.tell()
    assert one.all()[0].wrong == (UNKNOWN,)


def test_a_store_that_is_away_keeps_nobody_from_ending(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Away(SqlProcesses):
        def remove(self, process_id: str) -> None:
            raise StoreError(f"no store for {process_id}")

    with closing(open_store(str(tmp_path / "onpurpose.db"))) as store:
        Presence(Away(store), list, clock=SetClock(NOON), process_id="p", name="host:1").leave()
    assert "the other processes could not be told" in caplog.text
