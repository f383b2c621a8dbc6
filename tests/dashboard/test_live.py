"""New rows for open feeds: each reader is told of all that it looks for, once, and none of them holds up another."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text

from onpurpose.core.feed import Search, meets
from onpurpose.core.outcome import Outcome
from onpurpose.core.record import Record
from onpurpose.server.dashboard import live
from onpurpose.server.dashboard.live import AT_ONCE, Channel, Found, Place, Reader, Row
from tests.adapters.test_feed import entry
from tests.dashboard.test_feed import connected, next_event, stream
from tests.dashboard.watchers import Watchers, watchers

SECONDS = 20


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchers]:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.02)
    with watchers(tmp_path) as house:
        house.guarded()
        yield house


def record(house: Watchers, *told: dict[str, Any]) -> None:
    """Decisions come to the log and, all at once, to the feed."""
    body = {
        "v": 1, "kind": "decision", "at": house.world.clock.now(), "workspace": "default", "agent_id": "bot",
        "capability": "crm.read", "outcome": "allow", "digest": None, "reasons": [], "policies": [],
    }  # fmt: skip
    appended = [house.past.ledger.append(Record("decision", orjson.dumps(body | one))) for one in told]
    for one in appended:
        one.result(30)
    while house.past.projector.step():
        pass


# -- over HTTP


def test_what_comes_is_read_once_however_many_read(house: Watchers) -> None:
    with ExitStack() as stack:
        readers = [stack.enter_context(stream(house, connected(house.get("/decisions")))) for _ in range(8)]
        house.call("tool.first")
        for lines in readers:
            assert "tool.first" in next_event(lines)[1]
        asked: list[str] = []
        event.listen(house.past.feed.engine, "before_cursor_execute", lambda _c, _k, said, *_: asked.append(said))
        house.call("tool.second")
        for lines in readers:
            assert "tool.second" in next_event(lines)[1]
        reads = [said for said in asked if said.startswith("SELECT decisions.n, ")]
    assert len(reads) == 1


def test_one_that_comes_later_is_given_what_is_held_behind_its_place(house: Watchers) -> None:
    address = connected(house.get("/decisions"))
    with stream(house, address) as lines:
        house.call("tool.first")
        assert "tool.first" in next_event(lines)[1]
        with stream(house, address) as later:
            assert "tool.first" in next_event(later)[1]
            house.call("tool.second")
            assert "tool.first" not in next_event(later)[1]


def test_each_is_told_what_it_looks_for(house: Watchers) -> None:
    queries = {"policy=shadowed": "crm.read", "blocked=yes": "crm.read", "outcome=deny": "tool.unknown"}
    with ExitStack() as stack:
        readers = {
            query: stack.enter_context(stream(house, connected(house.get(f"/decisions?{query}")))) for query in queries
        }
        house.call(purpose_id="support", elements=("crm.contacts.email",))
        house.call("tool.unknown")
        for query, lines in readers.items():
            data = next_event(lines)[1]
            assert {name for name in queries.values() if name in data} == {queries[query]}


def test_one_that_looks_for_what_is_rare_is_told_of_it_among_more_than_are_held(
    house: Watchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "RECENT", 5)
    with ExitStack() as stack:
        narrow = stack.enter_context(stream(house, connected(house.get("/decisions?agent=rare"))))
        record(house, {"id": "d0", "agent_id": "rare"}, *({"id": f"d{number}"} for number in range(1, 20)))
        data = next_event(narrow)[1]
        assert data.count("data-row") == 1
        assert "/decisions/d0" in data
        record(house, {"id": "d20", "agent_id": "rare"})
        assert "/decisions/d20" in next_event(narrow)[1]


def test_a_stream_in_which_more_and_more_comes_ends_with_its_session_too(
    house: Watchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.1)
    ended = threading.Event()

    def go_on() -> None:
        number = 0
        while not ended.is_set():
            house.record(f"d{number}")
            number += 1

    with house.visitor() as visitor:
        address = connected(visitor.get("/decisions"))
        agents = threading.Thread(target=go_on)
        with visitor.client.stream("GET", address) as answer:
            agents.start()
            try:
                lines = answer.iter_lines()
                next_event(lines)
                signed_in = house.parts.sessions.signed_in
                signed_in.end_all(next(u for u in house.world.access.users("default") if u.id == "viewer"), by="ann")
                for _ in lines:  # until it ends
                    pass
                assert agents.is_alive()
            finally:
                ended.set()
                agents.join()


def test_one_that_takes_nothing_holds_nobody_up_and_is_let_go(house: Watchers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SEND_SECONDS", 0.2)
    address = connected(house.get("/decisions"))
    host, port = house.url.removeprefix("http://").split(":")
    with socket.socket() as slow, stream(house, address) as lines:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(SECONDS)
        slow.connect((host, int(port)))
        head = f"GET {address} HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: onpurpose={house.token()}\r\n\r\n"
        slow.sendall(head.encode())
        taken = slow.recv(12)
        assert taken == b"HTTP/1.1 200"
        long = {name: name[0] * 250 for name in ("agent_id", "capability", "purpose_id")}
        for batch in range(30):
            record(house, *(long | {"id": f"d{batch}-{number}"} for number in range(AT_ONCE)))
            assert f"/decisions/d{batch}-99" in next_event(lines)[1]
        while chunk := slow.recv(1 << 16):
            taken = (taken + chunk)[-64:]
    assert not taken.endswith(b"0\r\n\r\n")


def test_a_feed_that_is_made_anew_meanwhile_is_said_to_be_and_goes_on(house: Watchers) -> None:
    house.call("tool.old")
    address = connected(house.get("/decisions"))
    with stream(house, address) as lines:
        house.past.feed.clear()
        assert "The feed was made anew" in next_event(lines)[1]
        record(house, {"id": "d1"})
        data = next_event(lines)[1]
        while "/decisions/d1" not in data:  # those of before come again, from the log
            data = next_event(lines)[1]
    with stream(house, address) as lines:
        assert "The feed was made anew" in next_event(lines)[1]


def test_a_page_that_knows_of_a_new_feed_tells_the_streams_that_do_not(
    house: Watchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stream(house, connected(house.get("/decisions"))) as lines:
        house.call("tool.first")
        assert "tool.first" in next_event(lines)[1]
        monkeypatch.setattr(live, "POLL_SECONDS", 2 * SECONDS)
        house.past.feed.clear()
        with stream(house, connected(house.get("/decisions"))):
            assert "The feed was made anew" in next_event(lines)[1]


def test_streams_outlast_a_feed_that_cannot_be_read_for_a_while_and_new_ones_end_at_once(house: Watchers) -> None:
    with stream(house, connected(house.get("/decisions"))) as lines:
        next(lines)
        house.call()
        assert next_event(lines)[1]  # it has joined those who are told
        rename(house, "feed_state", "away")
        with house.visitor() as visitor, visitor.client.stream("GET", "/decisions/live?after=other.1") as other:
            assert "".join(other.iter_text()) == "retry: 1000\n\n"
        rename(house, "away", "feed_state")
        house.call("tool.unknown")
        assert "tool.unknown" in next_event(lines)[1]


def rename(house: Watchers, table: str, name: str) -> None:
    with house.past.feed.engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} RENAME TO {name}"))


# -- readers and channels


def rows(*numbers: int) -> list[Row]:
    return [Row(entry(number, outcome=Outcome(number % 4))) for number in numbers]


def test_of_what_waits_for_a_slow_reader_the_newest_is_kept_and_it_is_told() -> None:
    reader = Reader(Search(workspace="acme"))
    for start in range(0, 10 * AT_ONCE, AT_ONCE):
        reader.push(Found(rows(*range(start + 1, start + AT_ONCE + 1)), missed=False), start + AT_ONCE)
    waiting = reader.take()
    assert [row.entry.n for row in waiting.rows] == list(range(9 * AT_ONCE + 1, 10 * AT_ONCE + 1))
    assert (waiting.missed, waiting.place.number) == (True, 10 * AT_ONCE)
    assert reader.take() == live.Waiting([], missed=False, anew=False, place=waiting.place)


def test_a_page_that_knew_more_than_the_channel_is_told_nothing_twice() -> None:
    channel, reader = Channel(Place("e", 5)), Reader(Search(workspace="acme"))
    reader.place = Place("e", 8)
    channel.join(reader)
    channel.publish(rows(6, 7, 8, 9), {reader.search: Found(rows(6, 7, 8, 9), missed=False)}, 9)
    assert [row.entry.n for row in reader.take().rows] == [9]


def test_a_reader_of_a_feed_that_was_made_anew_is_told_so_and_nothing_of_the_old_one() -> None:
    channel, reader = Channel(Place("old", 5)), Reader(Search(workspace="acme"))
    reader.place = Place("old", 5)
    channel.join(reader)
    channel.publish(rows(6), {reader.search: Found(rows(6), missed=False)}, 6)
    channel.restart(Place("new", 1))
    waiting = reader.take()
    assert (waiting.rows, waiting.anew, waiting.place) == ([], True, Place("new", 1))


def test_a_reader_that_is_told_to_end_waits_no_more() -> None:
    async def wait() -> None:
        reader = Reader(Search(workspace="acme"))
        reader.end()
        async with asyncio.timeout(SECONDS):
            await reader.wait(2 * SECONDS)

    asyncio.run(wait())


searches = st.sampled_from([None, *Outcome]).map(lambda outcome: Search(workspace="acme", outcome=outcome))
HELD, SENT = 20, 7
_happenings = st.one_of(
    st.tuples(st.just("come"), st.integers(0, 2 * SENT)),
    st.tuples(st.just("join"), searches, st.integers(0, 3 * HELD)),
    st.tuples(st.just("take"), st.integers(0, 3)),
)


class Told:
    """A reader, and what it was told."""

    def __init__(self, reader: Reader, start: int) -> None:
        self.reader, self.start = reader, start
        self.seen: list[int] = []
        self.missed = False

    def take(self) -> None:
        waiting = self.reader.take()
        self.seen += [row.entry.n for row in waiting.rows]
        self.missed |= waiting.missed


@given(happenings=st.lists(_happenings, max_size=30))
def test_whenever_readers_come_and_take_each_is_told_all_once_in_order_or_that_it_missed_some(
    happenings: list[tuple[Any, ...]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "RECENT", HELD)
        patch.setattr(live, "AT_ONCE", SENT)
        channel, told = Channel(Place("e", 0)), list[Told]()
        for what in happenings:
            match what:
                case ("come", many):
                    come(channel, many)
                case ("join", search, back):
                    reader = Reader(search)
                    reader.place = Place("e", max(channel.since, channel.sent - back))
                    told.append(Told(reader, reader.place.number))
                    channel.join(reader)
                case ("take", which) if which < len(told):
                    told[which].take()
    for one in told:
        one.take()
        behind = rows(*range(one.start + 1, channel.sent + 1))
        looked_for = [row.entry.n for row in behind if meets(row.entry, one.reader.search)]
        if one.missed:
            assert one.seen == sorted(set(one.seen))
            assert set(one.seen) < set(looked_for)
        else:
            assert one.seen == looked_for


def come(channel: Channel, many: int) -> None:
    """So many decisions come, and every reader is given the newest of what it looks for."""
    new = rows(*range(channel.sent + 1, channel.sent + many + 1))
    found = {one.search: [row for row in new if meets(row.entry, one.search)] for one in channel.readers}
    parts = {search: Found(some[-SENT:], missed=len(some) > SENT) for search, some in found.items()}
    channel.publish(new, parts, channel.sent + many)
