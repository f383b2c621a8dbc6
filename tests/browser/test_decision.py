"""One decision in a real browser: no fault that axe knows, nothing that an agent wrote does anything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from onpurpose.core.access import Role
from onpurpose.core.feed import Search
from tests.browser.chromium import Browsing
from tests.browser.watching import LOOKS, busy_house, look, too_small, wider_than_window
from tests.dashboard.watchers import Watchers


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watchers]:
    with busy_house(tmp_path_factory.mktemp("house")) as house:
        yield house


def newest(house: Watchers, capability: str) -> str:
    """The newest decision on the capability."""
    page = house.past.feed.page(Search(workspace="default", capability=capability), limit=1)
    return page.entries[0].decision_id


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
@pytest.mark.parametrize("capability", ["crm.read", "payments.transfer", "tool.unknown"])
def test_axe_finds_nothing(browsing: Browsing, house: Watchers, capability: str, device: str, scheme: str) -> None:
    path = f"/decisions/{newest(house, capability)}?verify=1"
    window = look(browsing, house, path, device=device, scheme=scheme)
    for summary in window.page.locator("main details > summary").all():
        summary.click()
    assert window.axe() == []
    assert not wider_than_window(window)


@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_what_a_hostile_agent_wrote_fits_and_does_nothing(browsing: Browsing, house: Watchers, device: str) -> None:
    window = look(browsing, house, "/decisions/hostile", device=device)
    for summary in window.page.locator("main details > summary").all():
        summary.click()
    assert window.page.locator("main script, main img").count() == 0
    assert window.axe() == []
    assert not wider_than_window(window)


def test_nothing_jumps_and_the_page_is_small(browsing: Browsing, house: Watchers) -> None:
    window = look(browsing, house, f"/decisions/{newest(house, 'crm.read')}")
    assert window.shift() == (0, [])
    assert window.weight() < 300_000


def test_what_is_pressed_on_a_phone_is_44_pixels_high(browsing: Browsing, house: Watchers) -> None:
    window = look(browsing, house, f"/decisions/{newest(house, 'crm.read')}", device="phone")
    assert too_small(window) == []


def test_a_record_is_verified_by_a_button(browsing: Browsing, house: Watchers) -> None:
    page = look(browsing, house, f"/decisions/{newest(house, 'crm.read')}").page
    page.get_by_role("link", name="Verify this record").click()
    expect(page.get_by_role("status").filter(has_text="It holds")).to_be_visible()


def test_the_test_case_is_downloaded(browsing: Browsing, house: Watchers) -> None:
    page = look(browsing, house, f"/decisions/{newest(house, 'payments.transfer')}").page
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the test case").click()
    assert download.value.suggested_filename.startswith("base_")
    assert "payments.transfer" in download.value.path().read_text("utf-8")


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_axe_finds_nothing_where_a_purpose_is_made(
    browsing: Browsing, house: Watchers, device: str, scheme: str
) -> None:
    path = f"/decisions/{newest(house, 'crm.read')}/purpose"
    window = look(browsing, house, path, role=Role.AUTHOR, device=device, scheme=scheme)
    assert window.axe() == []
    assert not wider_than_window(window)
    assert too_small(window) == [] or device == "desktop"


def test_a_purpose_is_made_from_calls_like_this_one(browsing: Browsing, house: Watchers) -> None:
    window = look(browsing, house, f"/decisions/{newest(house, 'crm.read')}", role=Role.AUTHOR)
    window.expected.append("404")  # the policies' pages are none of this house
    page = window.page
    page.get_by_role("link", name="Make a purpose").click()
    page.get_by_label("Reason").fill("calls like this come often")
    page.get_by_role("button", name="Create both").click()
    page.wait_for_url("**/policies/purpose_policy/*")
