"""What stays where it is: columns when rows arrive, heads of tables when one scrolls, the strip at the top."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Browsing
from tests.browser.watching import busy_house, look, wider_than_window
from tests.dashboard.watchers import Watchers

COLUMNS = "[...document.querySelectorAll('.feed th')].map((one) => Math.round(one.getBoundingClientRect().left))"
PUSHED_OUT = """[...document.querySelectorAll(".feed td > *")].filter((one) => {
  const inner = one.getBoundingClientRect(), cell = one.closest("td").getBoundingClientRect();
  return inner.width && inner.right > cell.right + 0.5;
}).map((one) => one.outerHTML.slice(0, 120))"""
"""What stands out of its cell."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watchers]:
    with busy_house(tmp_path_factory.mktemp("house")) as house:
        yield house


def test_columns_stay_where_they_are_when_a_long_name_arrives(browsing: Browsing, house: Watchers) -> None:
    page = look(browsing, house, "/decisions?capability=crm.read").page
    expect(page.locator("[data-live-text]")).to_have_text("Live")
    before = page.evaluate(COLUMNS)
    house.record("long", capability="crm.read", agent_id="w" * 200, purpose_id="i" * 200)
    expect(page.locator("#feed tr").first).to_contain_text("www")
    assert page.evaluate(COLUMNS) == before


@pytest.mark.parametrize("width", [360, 768, 1024, 1280])
def test_no_name_stands_out_of_its_cell_or_widens_the_page(browsing: Browsing, house: Watchers, width: int) -> None:
    window = look(browsing, house, "/decisions")
    window.page.set_viewport_size({"width": width, "height": 800})
    assert window.page.evaluate(PUSHED_OUT) == []
    assert not wider_than_window(window)


def test_the_head_of_a_long_table_stays_in_sight_below_the_strip_at_the_top(
    browsing: Browsing, house: Watchers
) -> None:
    page = look(browsing, house, "/decisions").page
    page.evaluate("window.scrollTo(0, 600)")
    strip, head = page.locator(".top").bounding_box(), page.locator(".feed th").first.bounding_box()
    assert strip is not None
    assert head is not None
    assert (strip["x"], strip["y"], strip["width"]) == (0, 0, 1280)
    assert abs(head["y"] - strip["height"]) < 1


def test_on_paper_there_is_what_was_found_and_no_control(browsing: Browsing, house: Watchers) -> None:
    page = look(browsing, house, "/decisions", scheme="dark").page
    page.emulate_media(media="print")
    for gone in (".top", ".actions", ".pager"):
        assert not page.locator(gone).first.is_visible()
    expect(page.locator("#feed [data-row]").first).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
