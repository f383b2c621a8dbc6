"""`GET /v1/decisions/stream`: nothing is missed, nothing is sent twice, and a slow reader holds nobody up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import httpx2
import pytest

from onpurpose.core.access import Scope
from onpurpose.core.revision import StoreError
from onpurpose.server import stream
from onpurpose.server.identity import Authority
from onpurpose.server.services import Settings
from onpurpose.server.stream import Reader, Stream
from tests.server.serving import KEYS, Decisions, Served, api_key, read_all, secret_of, services, serving

QUICK = Settings(poll_seconds=0.005, heartbeat_seconds=0.02)
PATH = "/v1/decisions/stream"

Event = tuple[str, str, str]


@contextmanager
def reading(served: Served, key: str = "reader", after: str = "") -> Iterator[Iterator[Event]]:
    """The events of a stream that is open: kind, id, data. Heartbeats come as `("", "", "")`."""
    headers = {"Last-Event-ID": after} if after else {}
    with served.client(key) as client, client.stream("GET", PATH, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        yield events(response)


def events(response: httpx2.Response) -> Iterator[Event]:
    found: dict[str, str] = {}
    for line in response.iter_lines():
        if line:
            name, _, value = line.partition(":")
            found[name] = value.strip()
        elif found:
            yield found.get("event", ""), found.get("id", ""), found.get("data", "")
            found = {}


def next_events(stream_of: Iterator[Event], number: int) -> list[Event]:
    """The next so many that are no heartbeats."""
    found: list[Event] = []
    while len(found) < number:
        event = next(stream_of)
        if event[0]:
            found.append(event)
    return found


@pytest.fixture
def feed() -> Decisions:
    return Decisions()


@pytest.fixture
def served(feed: Decisions) -> Iterator[Served]:
    with serving(services(feed=feed, settings=QUICK)) as one:
        yield one


def test_decisions_come_as_they_are_recorded_and_of_ones_own_workspace(served: Served, feed: Decisions) -> None:
    feed.add("acme", b'{"old":1}')
    with reading(served) as ours, reading(served, "stranger") as theirs:
        next(ours), next(theirs)
        feed.add("acme", b'{"n":1}')
        feed.add("other", b'{"n":2}')
        feed.add("acme", b'{"n":3}')
        assert next_events(ours, 2) == [("decision", "one.2", '{"n":1}'), ("decision", "one.4", '{"n":3}')]
        assert next_events(theirs, 1) == [("decision", "one.3", '{"n":2}')]


def test_who_comes_back_misses_nothing_and_gets_nothing_twice(served: Served, feed: Decisions) -> None:
    feed.add("acme", *(b'{"n":%d}' % n for n in range(1, 1801)))
    with reading(served, after="one.3") as opened:
        feed.add("acme", b'{"n":1801}')
        assert [event[1] for event in next_events(opened, 1798)] == [f"one.{n}" for n in range(4, 1802)]
    with reading(served, after="one.1800") as opened:
        assert next_events(opened, 1) == [("decision", "one.1801", '{"n":1801}')]


def test_who_comes_back_to_others_is_served_from_what_they_had(served: Served, feed: Decisions) -> None:
    with reading(served) as first:
        next(first)
        feed.add("acme", *(b"{}" for _ in range(10)))
        assert len(next_events(first, 10)) == 10
        with reading(served, after="one.4") as second:
            assert [event[1] for event in next_events(second, 6)] == [f"one.{n}" for n in range(5, 11)]


@pytest.mark.parametrize("after", ["one.99999", "one.5"])
def test_an_id_that_is_ahead_is_taken_for_now(served: Served, feed: Decisions, after: str) -> None:
    with reading(served, after=after) as opened:
        next(opened)
        feed.add("acme", b"{}")
        assert next_events(opened, 1) == [("decision", "one.1", "{}")]


@pytest.mark.parametrize("after", ["x", "one.", "one.-1", "one.x", "5", "one." + "9" * 30])
def test_what_is_no_id_is_refused(served: Served, after: str) -> None:
    with served.client("reader") as client:
        response = client.get(PATH, headers={"Last-Event-ID": after})
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "Last-Event-ID")


def test_a_feed_that_was_made_anew_is_told_of(served: Served, feed: Decisions) -> None:
    feed.add("acme", b"{}", b"{}")
    with reading(served) as opened, reading(served, after="older.1") as late:
        assert next_events(late, 1) == [("reset", "", "{}")]
        next(opened)
        feed.epoch = "two"
        assert next_events(opened, 1) == [("reset", "", "{}")]
        feed.add("acme", b'{"n":3}')
        assert next_events(opened, 1) == next_events(late, 2)[1:] == [("decision", "two.3", '{"n":3}')]


def test_a_feed_in_trouble_is_waited_for(
    served: Served, feed: Decisions, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    monkeypatch.setattr(stream, "TROUBLE_SECONDS", 0.01)
    with reading(served) as opened:
        next(opened)
        feed.trouble = StoreError("gone")
        feed.add("acme", b'{"n":1}')
        assert [next(opened) for _ in range(3)] == [("", "", "")] * 3
        feed.trouble = None
        assert next_events(opened, 1) == [("decision", "one.1", '{"n":1}')]


def test_lines_in_a_decision_are_one_event(served: Served, feed: Decisions) -> None:
    with reading(served) as opened:
        next(opened)
        feed.add("acme", b'{"a":1,\n"b":2}')
        (event,) = next_events(opened, 1)
    assert event[0] == "decision"
    assert stream._event("e", 1, b'{"a":1,\n"b":2}') == b'id: e.1\nevent: decision\ndata: {"a":1,\ndata: "b":2}\n\n'


def test_a_stream_ends_once_its_key_counts_no_more(served: Served) -> None:
    with reading(served) as opened:
        next(opened)
        served.services.authority.replace([api_key("reader", Scope.READ, revoked_at=1)])
        rest = list(opened)
    assert all(event == ("", "", "") for event in rest)


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("asker", 403), ("revoked", 401)])
def test_a_stream_needs_a_key_that_may_read(served: Served, key: str | None, status: int) -> None:
    with served.client(key) as client:
        assert client.get(PATH).status_code == status


def test_there_are_so_many_streams_and_no_more(feed: Decisions) -> None:
    settings = Settings(max_streams=1, heartbeat_seconds=0.02)
    with serving(services(feed=feed, settings=settings)) as served, reading(served) as opened:
        next(opened)
        with served.client("reader") as client:
            response = client.get(PATH)
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")


def test_a_service_without_a_feed_has_no_stream() -> None:
    with serving(services()) as served, served.client("reader") as client:
        assert client.get(PATH).status_code == 503


def test_a_service_that_stops_ends_its_streams(feed: Decisions) -> None:
    with serving(services(feed=feed)) as served:
        opened = served.connect()
        key = secret_of("reader")
        opened.sendall(f"GET {PATH} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        assert opened.recv(64).startswith(b"HTTP/1.1 200")
    with closing(opened):
        assert read_all(opened).endswith(b"\r\n0\r\n\r\n")


# -- without a network: what takes many readers, or one that does not read


class Client:
    """One client on the loop: what it was sent, and whether it takes more."""

    def __init__(self, after: str = "") -> None:
        self.scope = {"headers": [(b"last-event-id", after.encode())] if after else []}
        self.sent: list[bytes] = []
        self.takes = asyncio.Event()
        self.takes.set()
        self.left = asyncio.Event()
        self.got = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.takes.wait()
        self.sent.append(message.get("body", b""))
        self.got.set()

    async def until(self, text: bytes) -> bytes:
        while text not in b"".join(self.sent):
            self.got.clear()
            await self.got.wait()
        return b"".join(self.sent)


def streaming(feed: Decisions, **settings: Any) -> Stream:
    wanted: dict[str, Any] = {"poll_seconds": 0.001, "heartbeat_seconds": 5} | settings
    return Stream(services(object(), feed=feed, settings=Settings(**wanted), authority=Authority(KEYS)))


def open_for(one: Stream, client: Client) -> asyncio.Task[None]:
    return asyncio.create_task(one.answer(KEYS[1], client.scope, client.receive, client.send))


def test_a_thousand_readers_share_one_reader_of_the_feed(feed: Decisions) -> None:
    async def run() -> int:
        one = streaming(feed)
        clients = [Client() for _ in range(1000)]
        tasks = [open_for(one, client) for client in clients]
        await asyncio.gather(*(client.until(b"retry") for client in clients))
        before = feed.reads
        feed.add("acme", b'{"n":1}')
        texts = await asyncio.gather(*(client.until(b"one.1") for client in clients))
        assert all(text.count(b"event: decision") == 1 for text in texts)
        reads = feed.reads - before
        for client in clients:
            client.left.set()
        await asyncio.gather(*tasks)
        assert (one._channels, one._follower, one._open) == ({}, None, set())
        return reads

    assert asyncio.run(run()) == 1


def test_a_reader_that_is_too_slow_is_let_go_and_misses_nothing_when_it_is_back(
    feed: Decisions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "MOST_WAITING", 10)
    monkeypatch.setattr(stream, "RECENT", 10)

    async def run() -> tuple[bytes, bytes, int]:
        one = streaming(feed)
        slow, quick = Client(), Client()
        tasks = [open_for(one, slow), open_for(one, quick)]
        await asyncio.gather(slow.until(b"retry"), quick.until(b"retry"))
        feed.add("acme", b"{}")
        await asyncio.gather(slow.until(b"one.1\n"), quick.until(b"one.1\n"))
        slow.takes.clear()
        for number in range(2, 30):
            feed.add("acme", b"{}")
            await quick.until(b"one.%d\n" % number)
        slow.takes.set()
        await tasks[0]
        last = b"".join(slow.sent).rpartition(b"id: ")[2].partition(b"\n")[0].decode()
        back = Client(after=last)
        tasks.append(open_for(one, back))
        await back.until(b"one.29\n")
        quick.left.set()
        back.left.set()
        await asyncio.gather(*tasks)
        return b"".join(slow.sent), b"".join(back.sent), one._metrics.dropped

    first, second, dropped = asyncio.run(run())
    numbers = [line for line in (first + second).split(b"\n") if line.startswith(b"id:")]
    assert numbers == [b"id: one.%d" % n for n in range(1, 30)]
    assert b"event: lagged" in first
    assert dropped == 1


def test_a_client_that_takes_nothing_at_all_is_left(feed: Decisions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SEND_SECONDS", 0.01)

    async def run() -> int:
        one = streaming(feed)
        client = Client()
        task = open_for(one, client)
        await client.until(b"retry")
        client.takes.clear()
        feed.add("acme", b"{}")
        await task
        return one._metrics.dropped

    assert asyncio.run(run()) == 1


def test_an_idle_reader_hears_a_heartbeat() -> None:
    async def run() -> bytes:
        return await Reader().take(0.001)

    assert asyncio.run(run()) == b""
