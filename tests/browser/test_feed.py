"""The feed in a real browser: live, held while it is read, by keyboard, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Browsing, Window
from tests.browser.watching import LOOKS, busy_house, look, too_small, wider_than_window
from tests.dashboard.watchers import HOSTILE, Watchers, watchers


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watchers]:
    with busy_house(tmp_path_factory.mktemp("house")) as house:
        yield house


@pytest.fixture
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchers]:
    """A house of a test's own, in which nothing was decided."""
    monkeypatch.setattr("onpurpose.server.dashboard.live.POLL_SECONDS", 0.05)
    with watchers(tmp_path) as house:
        house.guarded()
        yield house


def live(browsing: Browsing, house: Watchers, path: str = "/decisions") -> Window:
    """A window of a feed that is live."""
    window = look(browsing, house, path)
    expect(window.page.locator("[data-live-text]")).to_have_text("Live")
    return window


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_axe_finds_nothing(browsing: Browsing, house: Watchers, device: str, scheme: str) -> None:
    window = look(browsing, house, "/decisions?capability=crm.read", device=device, scheme=scheme)
    assert window.axe() == []
    assert not wider_than_window(window)
    window.page.goto(house.url + "/decisions")
    assert window.axe() == []
    assert not wider_than_window(window)


@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_axe_finds_nothing_where_nothing_was_decided(browsing: Browsing, quiet: Watchers, device: str) -> None:
    window = look(browsing, quiet, "/decisions", device=device)
    assert window.axe() == []
    assert not wider_than_window(window)


def test_nothing_jumps_and_the_page_is_small(browsing: Browsing, house: Watchers) -> None:
    window = live(browsing, house)
    assert window.shift() == (0, [])
    assert window.weight() < 300_000


def test_what_is_pressed_on_a_phone_is_44_pixels_high(browsing: Browsing, house: Watchers) -> None:
    window = look(browsing, house, "/decisions?agent=bot", device="phone")
    assert too_small(window) == []


def test_decisions_appear_as_they_are_made_and_the_first_replaces_what_to_do(
    browsing: Browsing, quiet: Watchers
) -> None:
    page = live(browsing, quiet).page
    expect(page.locator("#none")).to_be_visible()
    quiet.call("crm.read")
    expect(page.locator("#feed [data-row]")).to_have_count(1)
    expect(page.locator("#none")).to_have_count(0)
    quiet.call("tool.unknown")
    expect(page.locator("#feed [data-row]")).to_have_count(2)
    expect(page.locator("#feed tr").first).to_contain_text("tool.unknown")


def test_the_feed_is_held_while_a_row_is_read_and_by_the_button(browsing: Browsing, quiet: Watchers) -> None:
    quiet.call("crm.read")
    page = live(browsing, quiet).page
    rows = page.locator("#feed [data-row]")
    rows.first.hover()
    expect(page.locator("[data-live-text]")).to_have_text("Paused")
    with page.expect_event("console", lambda message: message.text == "held"):
        page.evaluate("document.addEventListener('htmx:sse:before:message', () => console.log('held'), { once: true })")
        quiet.call("tool.unknown")
    expect(rows).to_have_count(1)
    page.locator("h1").hover()
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-live-text]")).to_have_text("Paused")


def test_a_page_does_not_grow_without_end(browsing: Browsing, quiet: Watchers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onpurpose.server.dashboard.live.MOST_ROWS", 3)
    page = live(browsing, quiet).page
    for number in range(8):
        quiet.record(f"d{number}")
        expect(page.locator(f'#feed a[href="/decisions/d{number}"]')).to_have_count(1)
    expect(page.locator("#feed [data-row]")).to_have_count(3)


def test_rows_are_walked_and_opened_by_keyboard(browsing: Browsing, house: Watchers) -> None:
    page = look(browsing, house, "/decisions?capability=payments.transfer").page
    expect(page.locator("#feed [data-row]")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("j")
    href = page.evaluate("document.activeElement.getAttribute('href')")
    page.keyboard.press("Enter")
    page.wait_for_url(house.url + href)
    page.go_back()
    page.keyboard.press("/")
    page.keyboard.type("crm.read")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("capability=.*crm.read"))


def test_filters_are_links(browsing: Browsing, house: Watchers) -> None:
    page = look(browsing, house, "/decisions").page
    page.get_by_role("navigation", name="Outcome", exact=True).get_by_role("link", name="ask").click()
    page.wait_for_url(house.url + "/decisions?outcome=ask")
    expect(page.locator("#feed [data-row]")).to_have_count(2)
    page.get_by_role("link", name=re.compile("outcome: ask")).click()
    page.wait_for_url(house.url + "/decisions")


def test_what_a_hostile_agent_wrote_does_nothing_live(browsing: Browsing, quiet: Watchers) -> None:
    page = live(browsing, quiet).page
    quiet.record("d1", capability=HOSTILE, agent_id='<b hx-get="/" hx-trigger="load">x</b>')
    expect(page.locator("#feed [data-row]")).to_contain_text("alert(1)")
    assert page.locator("#feed b, #feed img, #feed script").count() == 0


def test_the_feed_is_read_without_script(browsing: Browsing, house: Watchers) -> None:
    window = browsing.open(script=False)
    window.page.context.add_cookies([{"name": "onpurpose", "value": house.token(), "url": house.url}])
    window.page.goto(house.url + "/decisions?outcome=deny")
    expect(window.page.locator("#feed [data-row]")).to_contain_text(["tool.unknown"])
