"""Retention: what is stored is told, and archived days go after it was shown which, with a reason, by who runs it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import pytest

from onpurpose.adapters.clock import Ids
from onpurpose.app.keeping import Keeping
from onpurpose.server.dashboard import settings
from tests.app.days import MemoryDays
from tests.dashboard.desks import HOSTILE, Browser, Desks, opened
from tests.server.api.house import House

PATH = "/settings/retention"


DAYS = MemoryDays(0)


def keeping(house: House) -> Keeping:
    return Keeping(DAYS, DAYS, house.ledger, clock=house.clock, new_id=Ids().new)


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    with opened(tmp_path_factory.mktemp("desks"), [settings.routes], keeping=keeping) as found:
        yield found


@pytest.fixture
def days(desks: Desks) -> MemoryDays:
    DAYS.begin(desks.house.clock.now())
    return DAYS


@pytest.fixture
def admin(desks: Desks) -> Browser:
    return desks.operator().browser("ann")


def seen(text: str) -> str:
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


def form(text: str) -> dict[str, Any]:
    """What the form of an order holds."""
    found = re.search(rf'<form method="post" action="{PATH}">(.*?)</form>', text, re.DOTALL)
    assert found is not None
    told = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', found[1])
    return {"keep": dict(told)["keep"], "day": [value for name, value in told if name == "day"]}


def test_what_would_go_is_shown_before_anything_does(days: MemoryDays, admin: Browser) -> None:
    nine, eight = days.add(9, records=1200), days.add(8, records=34)
    text = admin.get(PATH).text
    assert f"In the database since {nine}: 2 days that are over" in seen(text)
    assert 'action="/settings/retention"' in text
    text = admin.get(f"{PATH}?keep=5").text
    assert "2 days with 1,234 records would go from the database." in seen(text)
    assert f"records-{nine}.parquet" in text
    assert form(text) == {"keep": "5", "day": [str(nine), str(eight)]}
    assert list(days.spans) == [nine, eight]
    assert "Nothing would go" in admin.get(f"{PATH}?keep=30").text


def test_what_was_shown_goes_with_a_reason_and_is_recorded(days: MemoryDays, admin: Browser, desks: Desks) -> None:
    nine, two = days.add(9), days.add(2)
    given = form(admin.get(f"{PATH}?keep=5").text) | {"reason": HOSTILE, "sure": "on"}
    text = admin.post(PATH, given).text
    assert f"1 day let go: {nine}." in seen(text)
    assert list(days.spans) == [two]
    desks.follow()
    text = admin.get(PATH).text
    assert "let go" in text
    assert "<script>alert" not in text
    again = admin.post(PATH, given)  # the same form once more
    assert again.status_code == 409
    assert list(days.spans) == [two]


def test_without_a_reason_and_a_word_nothing_goes(days: MemoryDays, admin: Browser) -> None:
    days.add(9)
    given = form(admin.get(f"{PATH}?keep=5").text)
    for more in ({}, {"reason": "x"}, {"sure": "on"}, {"reason": "x" * 1001, "sure": "on"}):
        response = admin.post(PATH, given | more)
        assert response.status_code == 422
        assert 'class="errors"' in response.text
    assert len(days.spans) == 1


def test_what_is_not_archived_stays_and_it_is_said_why(days: MemoryDays, admin: Browser) -> None:
    nine = days.add(9, archived=False)
    text = admin.get(f"{PATH}?keep=5").text
    assert f"Not all of the 1 day can go: {nine} is not archived." in seen(text)
    assert 'method="post" action="/settings/retention"' not in text
    given = {"keep": "5", "day": [str(nine)], "reason": "x", "sure": "on"}
    assert admin.post(PATH, given).status_code == 409
    assert list(days.spans) == [nine]


def test_other_days_than_were_shown_do_not_go(days: MemoryDays, admin: Browser) -> None:
    days.add(9)
    given = form(admin.get(f"{PATH}?keep=5").text) | {"reason": "x", "sure": "on"}
    days.add(8)
    response = admin.post(PATH, given)
    assert response.status_code == 409
    assert "other days would go than were shown" in response.text
    assert admin.post(PATH, given | {"day": ["never"]}).status_code == 409
    assert len(days.spans) == 2


@pytest.mark.parametrize("keep", ["0", "-1", "x", "99999", "²", "1" * 30])
def test_a_number_of_days_is_one(days: MemoryDays, admin: Browser, keep: str) -> None:
    response = admin.get(f"{PATH}?keep={keep}")
    assert response.status_code == 422
    assert "A whole number of days" in response.text
    assert admin.post(PATH, {"keep": keep, "reason": "x", "sure": "on"}).status_code == 422


def test_one_that_ends_early_says_what_went(days: MemoryDays, admin: Browser) -> None:
    nine, eight = days.add(9), days.add(8)
    days.locked.add(eight)
    text = seen(admin.act(PATH, form(admin.get(f"{PATH}?keep=5").text) | {"reason": "x", "sure": "on"}).text)
    assert f"1 day let go: {nine}." in text
    assert "Then it ended: somebody reads the log just now." in text
    assert f"Ordered, and still there {eight}" in seen(admin.get(PATH).text)


def test_without_a_folder_of_archives_it_says_how_to_name_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    def bare(house: House) -> Keeping:
        return Keeping(DAYS, None, house.ledger, clock=house.clock, new_id=Ids().new)

    with opened(tmp_path_factory.mktemp("bare"), [settings.routes], keeping=bare) as found:
        text = found.operator().browser("ann").get(PATH).text
    assert "start it with --archive-folder DIR" in text
    assert "Show what would go" not in text


def test_a_log_that_cannot_be_read_is_said_to_be_so(days: MemoryDays, admin: Browser) -> None:
    days.broken = True
    text = seen(admin.get(f"{PATH}?keep=5").text)
    assert "The log cannot be read now." in text
    assert "What would go cannot be told now" in text
    given = {"keep": "5", "day": [], "reason": "x", "sure": "on"}
    assert admin.post(PATH, given).status_code == 503


def test_only_who_runs_the_service_lets_go_of_days(desks: Desks, days: MemoryDays) -> None:
    days.add(9)
    given = {"keep": "5", "day": [str(day) for day in days.spans], "reason": "x", "sure": "on"}
    for browser in (desks.workspace().browser("ann"), desks.operator().browser("pia")):
        assert browser.act(PATH, given, at="/settings").status_code == 403
    assert len(days.spans) == 1


def test_a_log_in_one_file_keeps_everything_and_says_so(tmp_path_factory: pytest.TempPathFactory) -> None:
    with opened(tmp_path_factory.mktemp("one"), [settings.routes]) as found:
        admin = found.operator().browser("ann")
        found.operator().record("archive.made", id="m", day="2026-01-02")
        text = admin.get(PATH).text
        assert "SQLite, one file" in seen(text)
        assert "<time" in text
        assert 'href="/audit/export?whole=true"' in text
        assert "Show what would go" not in text
        given = {"keep": "5", "reason": "x", "sure": "on"}
        assert admin.post(PATH, given).status_code == 404
        assert admin.get(f"{PATH}?keep=5").status_code == 200
