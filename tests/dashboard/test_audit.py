"""The log on the dashboard: it is searched within bounds, checked by one at a time, and nobody sees another's."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest

from onpurpose.app.log_search import CLOSED_KINDS, OPEN_KINDS, Query, search
from onpurpose.server.dashboard import audit, record
from tests.dashboard.desks import HOSTILE, Browser, Desks, Place, opened

HOUR = 3600 * 1_000_000


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    with opened(tmp_path_factory.mktemp("desks"), [audit.routes, record.routes]) as found:
        yield found


@pytest.fixture
def place(desks: Desks) -> Place:
    return desks.workspace()


def rows(browser: Browser, path: str) -> list[str]:
    """The links of the records that a search shows."""
    return re.findall(r'<td><a href="(/audit/[^"]*)"', browser.get(path).text)


def told(browser: Browser, path: str) -> list[str]:
    """What the records of a search are about."""
    return re.findall(r"<td><bdi>([^<]*)</bdi></td>\s*<td><code>", browser.get(path).text)


# -- searching


def test_the_newest_comes_first_and_decisions_are_asked_for(place: Place) -> None:
    for n in range(3):
        place.record("approval.refused", id=f"r{n}", why=f"reason {n}", by="ada")
    place.record("decision", id="d1", agent_id="bot", capability="mail.send", outcome="allow", reasons=[], policies=[])
    viewer = place.browser("vic")
    assert told(viewer, "/audit") == ["reason 2", "reason 1", "reason 0"]
    assert told(viewer, "/audit?kind=decision") == ["allow: mail.send"]


def test_kind_actor_text_and_time_narrow_a_search(desks: Desks, place: Place) -> None:
    place.record("approval.refused", id="a", why="early", by="ada", at=HOUR)
    place.record("approval.refused", id="b", why="a forged link", by="bob", at=50 * HOUR)
    place.record("token.revoked", id="c", reason="leaked", by="ADA", at=100 * HOUR)
    browser = place.browser("ann")
    assert told(browser, "/audit?kind=token.revoked") == ["leaked"]
    assert told(browser, "/audit?by=ada&q=early") == ["early"]
    assert told(browser, "/audit?by=ada&kind=token.revoked") == ["leaked"]
    assert told(browser, "/audit?q=FORGED") == ["a forged link"]
    assert told(browser, "/audit?kind=approval.refused&until=1970-01-02") == ["early"]
    assert told(browser, "/audit?kind=approval.refused&since=1970-01-02&until=1970-01-03+03:00") == ["a forged link"]


def test_a_time_that_is_none_is_refused_at_its_field(place: Place) -> None:
    response = place.browser("vic").get("/audit?since=yesterday")
    assert response.status_code == 422
    assert 'id="f-since-errors"' in response.text


def test_a_decision_is_found_by_its_id(place: Place) -> None:
    place.record("decision", id="d-by-id", agent_id="bot", capability="a.b", outcome="deny", reasons=[], policies=[])
    assert "The decision of that id" in place.browser("vic").get("/audit?q=d-by-id").text
    assert "The decision of that id" not in place.desks.workspace().browser("vic").get("/audit?q=d-by-id").text


def test_a_search_looks_at_so_many_and_goes_on_where_it_stopped(place: Place) -> None:
    for n in range(7):
        place.record("approval.refused", id=f"r{n}", why="needle" if n == 0 else "hay")
    past, query = place.desks.parts.past, Query(workspace=place.name, text="needle", kinds=("approval.refused",))
    first = search(past.decisions, past.log, query, most=5)
    assert (first.rows, first.looked_at) == ((), 5)
    rest = search(past.decisions, past.log, Query(workspace=place.name, text="needle", before=first.before), most=500)
    assert [one.id for one in rest.rows] == ["r0"]
    assert rest.before is None


def test_pages_of_a_search_hold_everything_once(place: Place) -> None:
    for n in range(60):
        place.record("approval.refused", id=f"r{n}", why=str(n))
    browser = place.browser("vic")
    first = browser.get("/audit?kind=approval.refused").text
    follow = re.search(r'rel="next" href="([^"]*)"', first)
    assert follow is not None
    seen = told(browser, "/audit?kind=approval.refused") + told(browser, follow.group(1).replace("&amp;", "&"))
    assert seen == [str(n) for n in reversed(range(60))]


def test_who_only_reads_sees_nothing_of_people_keys_and_sign_ins(place: Place) -> None:
    place.record("session.refused", id="s", why="wrong name or password", by="mallory")
    place.record("something.new", id="n", why="of a kind nobody knows")
    viewer, admin = place.browser("vic"), place.browser("ann")
    assert "mallory" not in viewer.get("/audit").text
    assert rows(viewer, "/audit?kind=session.refused") == []
    assert {"wrong name or password", "of a kind nobody knows"} <= set(told(admin, "/audit"))
    (link,) = rows(admin, "/audit?kind=session.refused")
    assert admin.get(link).status_code == 200
    assert viewer.get(link).status_code == 404
    assert not set(OPEN_KINDS) & set(CLOSED_KINDS)


# -- one record


def test_a_record_stands_between_its_neighbours_and_its_hash_follows(place: Place) -> None:
    for n in range(3):
        place.record("approval.refused", id=f"r{n}", why=str(n), nested={"n": n})
    browser = place.browser("vic")
    link = rows(browser, "/audit?kind=approval.refused")[1]
    text = browser.get(link).text
    chain, seq = link.split("/")[2:]
    assert "Its hash is right" in text
    assert "whose hash follows from this one" in text
    assert f'href="/audit/{chain}/{int(seq) - 1}"' in text
    assert f'href="/audit/{chain}/{int(seq) + 1}"' in text


def test_records_of_others_are_not_there_but_for_the_operator(desks: Desks, place: Place) -> None:
    place.record("approval.refused", id="mine", why="mine")
    (link,) = rows(place.browser("vic"), "/audit?kind=approval.refused")
    assert desks.workspace().browser("ann").get(link).status_code == 404
    operator = desks.operator()
    assert operator.browser("vic").get(link).status_code == 404
    assert operator.browser("ann").get(link).status_code == 200
    assert link in rows(operator.browser("ann"), f"/audit?of={place.name}&kind=approval.refused")
    assert rows(operator.browser("vic"), f"/audit?of={place.name}&kind=approval.refused") == []
    assert rows(desks.workspace().browser("ann"), f"/audit?of={place.name}&kind=approval.refused") == []


@pytest.mark.parametrize(
    "path", ["/audit/none/1", "/audit/x/0", "/audit/x/-1", "/audit/x/%C2%B2", f"/audit/x/{'9' * 40}"]
)
def test_what_is_no_record_is_not_there(place: Place, path: str) -> None:
    assert place.browser("ann").get(path).status_code == 404


def test_nothing_in_a_record_is_markup(place: Place) -> None:
    place.record("approval.refused", id=HOSTILE, why=HOSTILE, by=HOSTILE, more={HOSTILE: [HOSTILE]})
    browser = place.browser("vic")
    (link,) = rows(browser, "/audit?kind=approval.refused")
    for path in ("/audit", link, f"/audit?q={HOSTILE}", "/audit?by=<script>alert(1)</script>"):
        text = browser.get(path).text
        assert "<script>alert" not in text
        assert "<img" not in text


# -- checking


def settled(browser: Browser) -> str:
    """What a check says once it is done."""
    while True:
        text = browser.get("/audit/verify").text
        if "Reading the log" not in text:
            return text


def test_a_check_tells_the_operator_all_and_others_whether_it_is_whole(desks: Desks, place: Place) -> None:
    place.record("approval.refused", id="one", why="x")
    operator, admin = desks.operator().browser("ann"), place.browser("ann")
    assert operator.act("/audit/verify", {}).status_code == 303
    text = settled(operator)
    assert "The log is whole" in text
    assert "Checkpoints" in text
    assert admin.act("/audit/verify", {}).status_code == 303
    text = settled(admin)
    assert "The log is whole" in text
    assert re.search(r"[0-9]+\srecords of it are of your workspace", text)
    assert "Checkpoints" not in text


def test_one_check_runs_at_a_time(desks: Desks, place: Place) -> None:
    browser = place.browser("ann")
    with desks.house.log.busy:
        response = browser.act("/audit/verify", {})
        assert response.headers["location"] == "/audit/verify?busy=1"
        assert "One runs at a time" in browser.get("/audit/verify?busy=1").text
    assert not desks.house.log.busy.locked()


def test_progress_is_shown_while_it_runs(tmp_path: Path) -> None:
    reading, go = threading.Event(), threading.Event()

    def wait(progress: Callable[[int], None]) -> None:
        progress(10_000)
        reading.set()
        assert go.wait(30)

    with opened(tmp_path, [audit.routes], while_verifying=wait) as own:
        browser = own.workspace().browser("ann")
        browser.act("/audit/verify", {}, at="/audit")
        assert reading.wait(30)
        part = browser.get("/audit/verify", **{"hx-request": "true"}).text
        assert "10,000" in part
        assert 'hx-trigger="every 1s"' in part
        assert "<html" not in part
        go.set()
        assert "The log is whole" in settled(browser)


def test_damage_is_told_with_its_place(tmp_path: Path) -> None:
    with opened(tmp_path, [audit.routes, record.routes]) as own:
        place = own.operator()
        place.record("approval.refused", id="target", why="the truth")
        with sqlite3.connect(tmp_path / "onpurpose.db") as connection:
            forged = "CAST(replace(CAST(body AS TEXT), 'the truth', 'a forgery') AS BLOB)"
            connection.execute(f"UPDATE records SET body = {forged} WHERE CAST(body AS TEXT) LIKE '%the truth%'")
        connection.close()
        browser = place.browser("ann")
        browser.act("/audit/verify", {}, at="/audit")
        text = settled(browser)
        assert "Something is wrong with the log" in text
        assert re.search(r'href="/audit/[0-9a-f]{32}/\d+"', text)


# -- taking it along


def test_the_export_holds_ones_own_records_or_for_the_operator_all(desks: Desks, place: Place) -> None:
    place.record("approval.refused", id="mine", why="x")
    response = place.browser("ann").get("/audit/export")
    assert response.headers["content-disposition"].startswith('attachment; filename="onpurpose-log-')
    lines = [orjson.loads(line)["record"] for line in response.text.splitlines()]
    assert {line["workspace"] for line in lines} == {place.name}
    assert place.browser("ann").get("/audit/export?whole=true").status_code == 403
    whole = desks.operator().browser("ann").get("/audit/export?whole=true").text.splitlines()
    assert len(whole) > len(lines)


@pytest.mark.parametrize("who", ["vic", "ada", "wim", "pia"])
def test_only_admins_check_and_export(place: Place, who: str) -> None:
    browser = place.browser(who)
    assert "Verify the log now" not in browser.get("/audit").text
    assert browser.get("/audit/export").status_code == 403
    assert browser.get("/audit/verify").status_code == 403
    assert browser.act("/audit/verify", {}, at="/audit").status_code == 403


def test_nobody_who_is_not_signed_in_sees_anything(place: Place) -> None:
    for path in ("/audit", "/audit/verify", "/audit/export", "/audit/x/1"):
        assert place.browser().get(path).headers["location"].startswith("/sign-in?next=")
