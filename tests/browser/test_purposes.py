"""A purpose in a real browser: composed of what was seen, and its tokens revoked after a second question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from onpurpose.core.access import Role
from tests.browser.chromium import Browsing
from tests.dashboard.authors import Authors, authors


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Authors]:
    with authors(tmp_path) as made:
        yield made


def test_composed_of_what_was_seen_then_its_tokens_revoked(browsing: Browsing, house: Authors) -> None:
    house.call(purpose_id=None, elements=("crm.orders.total",))
    window = browsing.open(house.url + "/purposes", cookies={"onpurpose": house.token(Role.AUTHOR)})
    page = window.page
    page.get_by_role("link", name="New purpose").click()
    page.get_by_label("Purpose id").fill("orders")
    page.get_by_label("crm.orders.total").check()
    page.get_by_label("Status").select_option("active")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("It is saved, and counts at once.")).to_be_visible()
    expect(page.get_by_text("crm.orders.total")).to_be_visible()
    page.get_by_label("Why", exact=True).last.fill("leaked")
    page.get_by_role("button", name="Revoke …").click()
    expect(page.get_by_text("This cannot be taken back.")).to_be_visible()
    assert window.axe() == []
    page.get_by_role("button", name="Revoke", exact=True).click()
    expect(page.get_by_text("The tokens are revoked")).to_be_visible()
    assert house.parts.tokens.status()["revocations"] == 1
