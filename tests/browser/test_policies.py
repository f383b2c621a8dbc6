"""The editor of capability policies in a real browser: drawn as one types, and a call tried in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from onpurpose.core.access import Role
from tests.browser.chromium import Browsing
from tests.dashboard.authors import Authors, authors

NEW = "/policies/new/capability"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Authors]:
    with authors(tmp_path) as made:
        yield made


def test_problems_stand_at_their_lines_as_one_types(browsing: Browsing, house: Authors) -> None:
    page = browsing.open(house.url + "/policies", cookies={"onpurpose": house.token(Role.AUTHOR)}).page
    page.goto(house.url + NEW)
    text = page.get_by_label("YAML", exact=True)
    text.fill("allow:\n  - capability: a b\n")
    expect(page.locator(".told")).to_contain_text("problem:")
    text.fill("deny:\n  - capability: files.read\n")
    expect(page.locator(".told")).to_have_count(0)
    page.get_by_role("button", name="Try the call").click()
    expect(page.locator("#answer")).to_contain_text("It comes to")
    expect(page.locator("#answer .outcome.is-deny").first).to_be_visible()
    page.get_by_label("Name", exact=True).fill("files")
    page.get_by_role("button", name="Save").click()
    expect(page).to_have_url(house.url + "/policies/policy/files?saved=1")
