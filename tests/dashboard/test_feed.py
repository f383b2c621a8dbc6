"""The feed of decisions, over HTTP: newest first, narrowed by links, page by page, and live."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest

from onpurpose.core.access import Role
from onpurpose.core.call import Identity
from onpurpose.core.outcome import Outcome
from onpurpose.server.dashboard import live
from onpurpose.server.dashboard.feed import Filters
from onpurpose.server.dashboard.live import Place
from tests.dashboard.watchers import HOSTILE, Watchers, is_harmless, seen, watchers


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchers]:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.02)
    with watchers(tmp_path) as house:
        house.guarded()
        yield house


def rows(text: str) -> list[str]:
    """The rows of the feed, as somebody reads them."""
    body = text.partition('<tbody id="feed"')[2].partition("</tbody>")[0]
    return [seen("<main" + row) for row in body.split("<tr ")[1:]]


def test_decisions_stand_newest_first_with_what_would_have_been(house: Watchers) -> None:
    house.call(purpose_id="support", elements=("crm.contacts.email",))
    house.call("payments.transfer", payload={"amount": 5000})
    newest, oldest = rows(house.get("/decisions"))
    assert "ask \N{EN DASH} payments.transfer bot for kim rule matched base@1:5" in newest
    assert "allow deny newly blocked crm.read for support bot for kim rule matched base@1:8" in oldest


@pytest.mark.parametrize("query", ["outcome=deny", "capability=tool.unknown", "agent=eve", "user=sam"])
def test_each_filter_narrows(house: Watchers, query: str) -> None:
    house.call()
    house.call("tool.unknown", "eve", identity=Identity("sam"))
    (row,) = rows(house.get(f"/decisions?{query}"))
    assert "deny \N{EN DASH} tool.unknown" in row


@pytest.mark.parametrize("query", ["shadow=deny", "purpose=support", "policy=shadowed", "blocked=yes"])
def test_each_filter_of_purposes_and_shadow_narrows(house: Watchers, query: str) -> None:
    house.call(purpose_id="support", elements=("crm.contacts.email",))
    house.call("tool.unknown")
    (row,) = rows(house.get(f"/decisions?{query}"))
    assert "allow deny newly blocked crm.read" in row


def test_times_narrow(house: Watchers) -> None:
    house.call()
    house.world.clock.at += 2 * 3_600_000_000
    house.call("tool.unknown")
    assert len(rows(house.get("/decisions"))) == 2
    assert ["tool.unknown" in one for one in rows(house.get("/decisions?within=1h"))] == [True]
    assert ["crm.read" in one for one in rows(house.get("/decisions?until=2026-11-18T12:00"))] == [True]
    assert ["tool.unknown" in one for one in rows(house.get("/decisions?since=2026-11-18T12:00"))] == [True]


def test_what_narrows_is_named_and_taken_away_by_a_link(house: Watchers) -> None:
    house.call()
    text = house.get("/decisions?outcome=allow&agent=bot")
    assert "Only: agent: bot : any ✕ outcome: allow : any ✕ All decisions" in seen(text)
    assert '<a class="button" href="/decisions?outcome=allow"><span>agent' in text
    assert '<a class="button" href="/decisions?agent=bot"><span>outcome' in text


def test_a_filter_that_means_nothing_is_left_out() -> None:
    given = {"outcome": "maybe", "within": "ever", "since": "yesterday", "blocked": "no", "agent": " bot ", "x": "y"}
    assert Filters.of(given).given() == {"agent": "bot"}


def test_filters_ask_the_feed_for_just_what_they_say() -> None:
    filters = Filters.of({"outcome": "ask", "shadow": "deny", "within": "1h", "policy": "p", "blocked": "yes"})
    asked = filters.search("acme", 5_000_000_000)
    assert (asked.outcome, asked.shadow_outcome) == (Outcome.REQUIRE_APPROVAL, Outcome.DENY)
    assert (asked.since, asked.until, asked.policy, asked.newly_blocked) == (1_400_000_000, None, "p", True)


@pytest.mark.parametrize("text", ["", "x", "e.", "e.-1", "e.x", "e.1234567890123456789", "5"])
def test_what_names_no_place_in_the_feed_is_none(text: str) -> None:
    assert Place.read(text) is None


def test_a_place_in_the_feed_reads_back_as_it_was_written() -> None:
    assert Place.read(str(Place("a.b", 7))) == Place("a.b", 7)


def test_pages_follow_each_other_and_lose_nothing(house: Watchers) -> None:
    for number in range(120):
        house.record(f"d{number:03}")
    found, path = [], "/decisions?agent=bot"
    while path:
        text = house.get(path)
        found += re.findall(r'href="/decisions/(d\d+)"', text)
        older = re.search(r'rel="next" href="([^"]+)"', text)
        path = older[1].replace("&amp;", "&") if older else ""
    assert found == [f"d{number:03}" for number in reversed(range(120))]


def test_an_older_page_is_not_live_and_leads_to_the_newest(house: Watchers) -> None:
    house.call()
    text = house.get("/decisions?before=1")
    assert "hx-sse:connect" not in text
    assert '<a class="button" href="/decisions">Newest</a>' in text


def test_a_search_that_finds_nothing_leads_back_to_all(house: Watchers) -> None:
    assert "No such decision" in house.get("/decisions?agent=nobody")


def test_an_empty_feed_says_what_to_do_first(house: Watchers) -> None:
    assert "First make a key for the agent" in house.get("/decisions")
    assert 'href="/settings">To the keys' in house.get("/decisions", role=Role.ADMIN)


def test_whatever_an_agent_wrote_is_text(house: Watchers) -> None:
    house.record(
        "d1", capability=HOSTILE, agent_id=HOSTILE * 40, purpose_id=HOSTILE, identity={"user_id": HOSTILE},
        reasons=[{"code": HOSTILE, "outcome": "allow", "message": HOSTILE, "rule": {"at": HOSTILE}}],
    )  # fmt: skip
    text = house.get("/decisions")
    assert "alert(1)" in text
    assert is_harmless(text)


def test_whatever_stands_in_the_address_is_text(house: Watchers) -> None:
    told = quote(HOSTILE, safe="")
    text = house.get(f"/decisions?agent={told}&capability={told}&policy={told}&outcome={told}&before={told}")
    assert "alert(1)" in text
    edited = re.sub(r"<input[^>]*>", "", text)  # what is edited comes back as it was
    assert is_harmless(edited)
    assert "<script>alert" not in text


def test_nothing_of_another_workspace_is_shown(house: Watchers) -> None:
    house.record("d1", workspace="other", agent_id="stranger")
    assert "stranger" not in house.get("/decisions")


# -- live


@contextlib.contextmanager
def stream(house: Watchers, after: str, **headers: str) -> Iterator[Iterator[str]]:
    """The lines of the stream that a page connects to."""
    with house.visitor() as visitor, visitor.client.stream("GET", after, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield answer.iter_lines()


def connected(text: str) -> str:
    """Where the page connects to."""
    found = re.search(r'hx-sse:connect="([^"]+)"', text)
    assert found is not None
    return found[1].replace("&amp;", "&")


def next_event(lines: Iterator[str]) -> tuple[str, str]:
    """The id and the data of the next event."""
    place, data = "", []
    for line in lines:
        if line.startswith("id: "):
            place = line[4:]
        elif line.startswith("data: "):
            data.append(line[6:])
        elif not line and data:
            break
    return place, "\n".join(data)


def test_new_decisions_come_as_rows_and_nothing_twice(house: Watchers) -> None:
    house.call()
    with stream(house, connected(house.get("/decisions"))) as lines:
        house.call("tool.unknown")
        place, data = next_event(lines)
        assert "tool.unknown" in data
        assert "crm.read" not in data
        house.call("crm.search")
        assert "tool.unknown" not in next_event(lines)[1]
    with stream(house, connected(house.get("/decisions")), **{"Last-Event-ID": place}) as lines:
        assert "crm.search" in next_event(lines)[1]


def test_what_comes_between_the_page_and_its_stream_is_sent(house: Watchers) -> None:
    address = connected(house.get("/decisions"))
    house.call("tool.unknown")
    with stream(house, address) as lines:
        assert "tool.unknown" in next_event(lines)[1]


def test_a_narrowed_feed_stays_narrow_live(house: Watchers) -> None:
    address = connected(house.get("/decisions?outcome=deny"))
    assert parse_qs(urlsplit(address).query)["outcome"] == ["deny"]
    house.call()
    house.call("tool.unknown")
    with stream(house, address) as lines:
        data = next_event(lines)[1]
    assert "tool.unknown" in data
    assert "crm.read" not in data


def test_of_very_many_the_newest_are_sent_and_it_is_said(house: Watchers) -> None:
    address = connected(house.get("/decisions"))
    for number in range(130):
        house.record(f"d{number:03}")
    with stream(house, address) as lines:
        data = next_event(lines)[1]
    assert re.findall(r'href="/decisions/(d\d+)"', data) == [f"d{number:03}" for number in reversed(range(30, 130))]
    assert "More came than are sent at once" in data


def test_a_feed_of_another_epoch_is_said_to_be_made_anew(house: Watchers) -> None:
    with stream(house, "/decisions/live?after=other.5") as lines:
        assert "The feed was made anew" in next_event(lines)[1]


def test_rows_of_a_stream_hold_nothing_that_an_agent_wrote_but_text(house: Watchers) -> None:
    address = connected(house.get("/decisions"))
    house.record("d1", capability=HOSTILE + "\n\ndata: <b>", agent_id="a\r\nevent: x\r\n\r\n")
    with stream(house, address) as lines:
        data = next_event(lines)[1]
    assert "alert(1)" in data
    assert is_harmless(data)
    assert "<b>" not in data


def test_whoever_is_not_signed_in_gets_no_stream(house: Watchers) -> None:
    answer = httpx2.get(house.url + "/decisions/live", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in")


def test_a_stream_ends_with_its_session(house: Watchers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "BEAT_SECONDS", 0.02)
    with house.visitor() as visitor:
        address = connected(visitor.get("/decisions"))
        with visitor.client.stream("GET", address) as answer:
            lines = answer.iter_lines()
            assert ": still here" in (next(lines) for _ in range(4))
            signed_in = house.parts.sessions.signed_in
            signed_in.end_all(next(one for one in house.world.access.users("default") if one.id == "viewer"), by="ann")
            assert set(lines) <= {"", ": still here"}


def test_only_so_many_streams_are_open_at_once(house: Watchers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_STREAMS", 1)
    address = connected(house.get("/decisions"))
    with stream(house, address) as lines:
        assert next(lines) == "retry: 1000"
        with house.visitor() as visitor:
            answer = visitor.client.get(address)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_long_names_are_cut_in_rows_and_whole_in_links(house: Watchers) -> None:
    house.record("d1", capability="c" * 200)
    text = house.get("/decisions")
    assert f'href="/decisions?capability={"c" * 200}"' in text
    assert f"<bdi>{'c' * 95}…</bdi>" in text


def test_a_stream_ends_with_the_service(house: Watchers) -> None:
    with stream(house, connected(house.get("/decisions"))) as lines:
        assert next(lines) == "retry: 1000"
        house.knobs.stopping = True
        assert list(lines) == [""]
