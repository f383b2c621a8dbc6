"""The overview in a real browser: no fault that axe knows, no jump, no complaint, nothing wider than a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Route, expect

from tests.browser.chromium import Browsing
from tests.browser.watching import LOOKS, busy_house, look, too_small, wider_than_window
from tests.dashboard.watchers import Watchers, watchers


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watchers]:
    with busy_house(tmp_path_factory.mktemp("house")) as house:
        house.knobs.wrong = ["the feed is 7 records behind the log"]
        house.knobs.courier = {
            "slack": {"sent": 5, "retried": 1, "dead": 2, "waiting_seconds": 65.0, "failing_since": 1_000_000}
        }
        yield house


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watchers]:
    with watchers(tmp_path_factory.mktemp("empty")) as house:
        yield house


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_axe_finds_nothing(browsing: Browsing, house: Watchers, device: str, scheme: str) -> None:
    window = look(browsing, house, "/", device=device, scheme=scheme)
    expect(window.page.locator(".u-wrap")).to_have_count(1)
    window.page.locator(".chart summary").click()
    assert window.axe() == []
    assert not wider_than_window(window)


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_axe_finds_nothing_where_there_is_nothing_yet(
    browsing: Browsing, empty: Watchers, device: str, scheme: str
) -> None:
    window = look(browsing, empty, "/", device=device, scheme=scheme)
    assert window.axe() == []
    assert not wider_than_window(window)


@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_nothing_jumps_and_the_page_is_small(browsing: Browsing, house: Watchers, device: str) -> None:
    window = look(browsing, house, "/", device=device)
    expect(window.page.locator(".u-wrap")).to_have_count(1)
    assert window.shift() == (0, [])
    assert window.weight() < 300_000


def test_what_is_pressed_on_a_phone_is_44_pixels_high(browsing: Browsing, house: Watchers) -> None:
    assert too_small(look(browsing, house, "/", device="phone")) == []


def test_a_chart_waits_for_its_style(browsing: Browsing, house: Watchers) -> None:
    page = (window := look(browsing, house, "/decisions")).page
    held: list[Route] = []
    page.route("**/*uplot*.css*", lambda route: held.append(route))  # noqa: PLW0108  Playwright takes no method of C
    page.goto(house.url + "/", wait_until="commit")
    page.evaluate("""new Promise((done) => {
      const look = () => ("uPlot" in window ? requestAnimationFrame(() => setTimeout(done, 50)) : setTimeout(look, 5));
      look();
    })""")
    assert (len(held), page.locator(".u-wrap").count()) == (1, 0)
    held[0].continue_()
    expect(page.locator(".u-wrap")).to_have_count(1)
    assert window.shift() == (0, [])


def test_a_chart_is_drawn_where_its_style_cannot_be_had(browsing: Browsing, house: Watchers) -> None:
    page = (window := look(browsing, house, "/decisions")).page
    window.expected.append("Failed to load resource")
    page.route("**/*uplot*.css*", lambda route: route.abort())
    page.goto(house.url + "/")
    expect(page.locator(".u-wrap")).to_have_count(1)
