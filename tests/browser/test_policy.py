"""The list of policies, one policy's page and its history in a real browser: no fault that axe knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from onpurpose.core.access import Role
from onpurpose.core.call import Identity
from onpurpose.core.revision import Kind
from tests.browser.chromium import DEVICES, Browsing, Window
from tests.dashboard.authors import EXAMPLE, HOSTILE, NAME, PAGE, Authors, authors

PAGES = {
    "list": "/policies",
    "policy": PAGE,
    "capability": "/policies/policy/base",
    "history": f"{PAGE}/history",
    "purposes": "/purposes",
    "purpose": "/purposes/customer_support_lookup",
    "new purpose": "/purposes/new",
    "remove": f"{PAGE}/remove",
    "remove purpose": "/purposes/customer_support_lookup/remove",
    "history of purpose": "/purposes/customer_support_lookup/history",
    "backtest": "/trials/nowhere",
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authors]:
    with authors(Path(tmp_path_factory.mktemp("policy"))) as made:
        made.save(Kind.PURPOSE_POLICY, NAME, EXAMPLE)
        for _ in range(3):
            made.call()
        made.call("helper", "sales")
        made.call(HOSTILE, identity=Identity(HOSTILE, ("g" * 300, HOSTILE)), elements=("crm.orders.total", HOSTILE))
        made.promote(Kind.PURPOSE_POLICY, NAME)
        made.save(Kind.PURPOSE_POLICY, NAME, EXAMPLE.replace("minutes: 5", "minutes: 6"))
        made.call()
        made.call("helper", "sales")
        yield made


def go(browsing: Browsing, house: Authors, path: str, **options: str) -> Window:
    cookies = {"onpurpose": house.token(Role.ADMIN)}
    window = browsing.open(house.url + "/policies", cookies=cookies, **options)  # type: ignore[arg-type]
    if path != "/policies":
        window.page.goto(house.url + path)
    return window


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", list(DEVICES))
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browsing: Browsing, house: Authors, name: str, device: str, scheme: str) -> None:
    window = go(browsing, house, PAGES[name], device=device, scheme=scheme)
    assert window.axe() == []
    assert window.weight() < 300_000
    assert window.shift()[0] < 0.02
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert window.page.evaluate(wide) <= 0


def test_axe_finds_nothing_in_the_dialogues(browsing: Browsing, house: Authors) -> None:
    window = go(browsing, house, PAGE)
    for opener, title in (("Promote …", f"Promote {NAME}"), ("Revert …", f"Revert {NAME}")):
        window.page.get_by_role("button", name=opener).click()
        expect(window.page.get_by_role("dialog", name=title)).to_be_visible()
        assert window.axe() == []
        window.page.keyboard.press("Escape")


def test_a_promotion_that_is_refused_shows_its_dialogue_again(browsing: Browsing, house: Authors) -> None:
    window = go(browsing, house, PAGE)
    window.expected.append("409")
    window.page.get_by_role("button", name="Promote …").click()
    window.page.get_by_role("dialog").get_by_label("Why").fill("because")
    window.page.get_by_role("dialog").get_by_role("button", name="Promote").click()
    dialog = window.page.get_by_role("dialog", name=f"Promote {NAME}")
    expect(dialog).to_contain_text("at least 50 must have")
    expect(dialog.get_by_label("Why")).to_have_value("because")


def test_the_pages_of_a_policy_are_reached_by_keys(browsing: Browsing, house: Authors) -> None:
    page = go(browsing, house, "/policies").page
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(NAME)
    page.keyboard.press("h")
    expect(page).to_have_url(house.url + f"{PAGE}/history")
