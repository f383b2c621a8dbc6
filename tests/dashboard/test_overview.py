"""The overview, over HTTP: what it says of traffic, of people who are asked, of shadow, and of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from onpurpose.adapters.sql.feed import SqlFeed
from onpurpose.app.projection import Projector
from onpurpose.core.access import Role
from onpurpose.core.call import Call, Identity
from onpurpose.core.delivery import Channel, Delivery, Event, Progress
from onpurpose.core.process import SILENT_US, Process
from onpurpose.core.revision import Kind
from onpurpose.server.dashboard import overview
from tests.adapters.test_outcomes import as_before_counts
from tests.app.deciding import question, route
from tests.app.world import DAY
from tests.dashboard.watchers import HOSTILE, Watchers, is_harmless, seen, watchers


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Watchers]:
    with watchers(tmp_path) as house:
        yield house


def test_whoever_is_not_signed_in_sees_nothing(house: Watchers) -> None:
    answer = httpx2.get(house.url + "/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2F")


@pytest.mark.parametrize("role", list(Role))
def test_everybody_with_a_role_sees_the_overview(house: Watchers, role: Role) -> None:
    assert "Outcomes over time" in house.get("/", role=role)


def test_an_empty_service_says_what_to_do_first(house: Watchers) -> None:
    page = house.get("/")
    text = seen(page)
    assert "What to do first to do Write a policy" in text
    for path in ("/policies/new/capability", "/purposes/new", "/policies/new"):  # none of them leads nowhere yet
        assert f'href="{path}"' in page
    assert "to do Make a key" in text
    assert "to do Have the agent ask" in text
    assert "No decision yet" in text


def test_what_is_done_is_said_to_be_done_and_the_steps_go_once_all_are(house: Watchers) -> None:
    house.guarded()
    assert "done Write a policy" in seen(house.get("/"))
    house.call()
    assert "What to do first" not in house.get("/")


def test_outcomes_are_counted_and_stand_in_a_table_beside_the_chart(house: Watchers) -> None:
    house.guarded()
    house.call()
    house.call("payments.transfer", payload={"amount": 5000})
    house.call("tool.unknown")
    text = house.get("/")
    assert "2026-11-18 11:00 UTC 1 0 1 1" in seen(text)
    assert "Every call is counted: 3 decisions" in seen(text)
    assert 'data-chart="outcomes-data"' in text


def test_more_calls_than_a_page_of_the_feed_holds_are_counted_to_the_last_one(house: Watchers) -> None:
    for number in range(230):
        house.record(f"d{number}")
    assert "Every call is counted: 230 decisions" in seen(house.get("/"))


def test_while_stored_decisions_are_being_counted_the_page_says_so(house: Watchers) -> None:
    house.guarded()
    for _ in range(3):
        house.call()
    as_before_counts(house.past.feed)
    SqlFeed(house.past.feed.engine)
    text = seen(house.get("/"))
    assert "being counted 3 stored decisions are not counted yet" in text
    assert "Nothing of this time is counted so far." in text
    assert "Every call is counted" not in text
    Projector(house.past.follow, house.past.feed).step()
    assert "Every call is counted: 3 decisions" in seen(house.get("/"))


def test_calls_of_other_days_are_drawn_by_day(house: Watchers) -> None:
    house.guarded()
    house.call()
    house.world.clock.at += 3 * DAY
    assert "No call was decided in this time." in house.get("/")
    assert "2026-11-18 00:00 UTC 1 0 0 0" in seen(house.get("/?over=30d"))


def test_a_window_that_is_none_is_that_of_a_day(house: Watchers) -> None:
    assert 'href="/?over=24h" aria-current="page"' in house.get("/?over=%3Cscript%3E")


def test_what_is_in_shadow_is_shown_with_what_is_missing(house: Watchers) -> None:
    house.guarded()
    house.call(purpose_id="support", elements=("crm.contacts.email",))
    text = seen(house.get("/"))
    assert "shadowed revision 1 not yet 1 calls matched; at least 50 must have" in text
    assert "1 call ran that would not have run." in text


def test_approvals_that_wait_are_counted_with_the_oldest_and_the_time_left(house: Watchers) -> None:
    for number in range(2):
        call = Call("bot", "payments.transfer", {"amount": 5000 + number}, identity=Identity("kim"))
        house.parts.desk.ask(question(call, route("anyone"), workspace="default", asked_with=""))
        house.world.clock.at += 90_000_000
    text = seen(house.get("/"))
    assert "2 approvals" in text
    assert "3 min ago ; the first ends in 57 min 0 s" in text


def test_tools_that_policies_and_traffic_do_not_share_are_named(house: Watchers) -> None:
    house.guarded()
    house.call("crm.read")
    house.call("tool.unknown")
    text = seen(house.get("/"))
    assert "no live policy speaks of. tool.unknown In force" in text
    assert "never.used in base line 11" in text
    assert "crm.read in base" not in text


def test_a_tool_that_was_called_long_ago_is_used_and_not_lately_called(house: Watchers) -> None:
    house.guarded()
    house.call("crm.search")
    house.call("tool.unknown")
    house.world.clock.at += 40 * DAY
    text = seen(house.get("/"))
    assert "crm.search in base" not in text
    assert "No tool was called lately." in text


def test_of_very_many_tools_it_is_said_that_not_all_are_held_against_the_policies(
    house: Watchers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "MOST_CALLED", 2)
    house.guarded()
    for name in ("a.a", "a.b", "crm.search"):
        house.call(name)
    text = seen(house.get("/"))
    assert "More than 2 different tools were called" in text
    assert "crm.search in base" not in text
    assert "never.used in base" in text


def test_lost_messages_are_listed_with_why(house: Watchers) -> None:
    house.knobs.lost = [
        Delivery(
            id="m1", workspace="default", approval_id="a1", channel=Channel.EMAIL, event=Event.REQUESTED,
            recipient=HOSTILE, created_at=house.world.clock.at, due_at=0, progress=Progress.DEAD, error=HOSTILE * 50,
        )
    ]  # fmt: skip
    text = house.get("/")
    assert 'href="/approvals/a1"' in text
    assert is_harmless(text)


def test_health_is_told_as_the_probe_and_the_metrics_tell_it(house: Watchers) -> None:
    house.knobs.wrong = ["the feed is 7 records behind the log"]
    house.knobs.courier = {
        "slack": {"sent": 5, "retried": 1, "dead": 2, "waiting_seconds": 65.0, "failing_since": 1_000_000}
    }
    text = seen(house.get("/"))
    assert "not ready the feed is 7 records behind the log" in text
    assert "records that wait to be written 3 records" in text
    assert "5 sent, 1 tried again, 2 given up; the oldest is overdue for 1 min 5 s failing since" in text


def test_every_process_is_told_of_with_how_it_is(house: Watchers) -> None:
    now = house.world.clock.now()
    house.knobs.processes = [
        Process(id="this", name="host-a:1", started_at=now - 60_000_000, seen_at=now),
        Process(id="other", name="host-b:2", started_at=now, seen_at=now, wrong=("the log cannot be written",)),
        Process(id="dead", name="<script>alert(1)</script>", started_at=now, seen_at=now - SILENT_US - 60_000_000),
    ]
    page = house.get("/")
    text = seen(page)
    assert re.search(r"host-a:1 this one ready runs since \S+ \S+ UTC , told of itself \S+ \S+ UTC", text)
    assert "host-b:2 not ready the log cannot be written" in text
    assert "silent it has died, or cannot reach the store" in text
    assert is_harmless(page)


def test_a_service_that_cannot_tell_whether_it_is_ready_is_seen_all_the_same(house: Watchers) -> None:
    house.knobs.broken = True
    assert "not ready the service could not tell whether it is ready; its log says why" in seen(house.get("/"))


def test_nothing_that_an_agent_or_author_wrote_becomes_part_of_the_page(house: Watchers) -> None:
    house.record("d1", capability=HOSTILE, agent_id=HOSTILE)
    house.live(Kind.PURPOSE, "support", "id: support\nstatus: active\n")
    text = house.get("/")
    assert "alert(1)" in text
    assert is_harmless(text)
