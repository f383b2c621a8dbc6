"""The guide's road in a real browser: compose, traffic, the three numbers, promote, undo; and the two sides in step."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from onpurpose.core.access import Role
from onpurpose.core.revision import Kind
from tests.browser.chromium import DEVICES, Browsing, Window
from tests.dashboard.authors import EXAMPLE, NAME, PAGE, Authors, authors

Opens = Callable[..., Window]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Authors]:
    with authors(tmp_path) as made:
        yield made


@pytest.fixture
def opens(browsing: Browsing, house: Authors) -> Opens:
    """Opens a page as an admin."""

    def go(path: str, **options: object) -> Window:
        cookies = {"onpurpose": house.token(Role.ADMIN)}
        window = browsing.open(house.url + "/policies", cookies=cookies, **options)  # type: ignore[arg-type]
        if path != "/policies":
            window.page.goto(house.url + path)
        return window

    return go


def fill(page: Page) -> None:
    """The document's example."""
    page.get_by_label("Policy id").fill(NAME)
    page.get_by_label("Purpose", exact=True).select_option("customer_support_lookup")
    page.get_by_label("Groups of that person").fill("support-tier-1, support-tier-2")
    page.get_by_label("Data source").fill("salesforce_prod")


def test_from_composing_to_undoing(house: Authors, opens: Opens) -> None:
    page = opens("/policies").page
    page.get_by_role("link", name="New policy").click()
    fill(page)
    expect(page.get_by_label("YAML", exact=True)).to_have_value(has("salesforce_prod"))
    page.get_by_label("Why").fill("as the guide says")
    page.get_by_role("button", name="Save").click()
    expect(page).to_have_url(house.url + PAGE + "?saved=1")
    for _ in range(3):
        house.call()
    house.call("bot", "sales")
    page.goto(house.url + PAGE)
    expect(page.locator(".stat").nth(0)).to_contain_text("75.0")
    expect(page.locator(".stat").nth(1)).to_contain_text("(0 of 3)")
    expect(page.locator(".stat").nth(2)).to_contain_text("Confidence drift")
    expect(page.locator(".uplot")).to_have_count(1)
    page.get_by_role("button", name="Promote …").click()
    dialog = page.get_by_role("dialog")
    for box in dialog.get_by_role("checkbox").all():
        box.check()
    dialog.get_by_label("Limit: min_matched").fill("3")
    dialog.get_by_label("Why").fill("the guide says so")
    dialog.get_by_role("button", name="Promote").click()
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    expect(page.locator("[data-disables=undo]")).to_contain_text("s")
    assert house.world.standing(Kind.PURPOSE_POLICY, NAME).live == 1
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("It was reverted")).to_be_visible()
    assert house.world.standing(Kind.PURPOSE_POLICY, NAME).live is None


def has(text: str) -> re.Pattern[str]:
    """A pattern of any value that holds the text."""
    return re.compile(re.escape(text))


def test_both_sides_keep_in_step_as_one_types(opens: Opens) -> None:
    page = opens("/policies/new").page
    fill(page)
    yaml = page.get_by_label("YAML", exact=True)
    expect(yaml).to_have_value(has("support-tier-2"))
    yaml.fill(EXAMPLE.replace("minutes: 5", "minutes: 9"))
    expect(page.get_by_label("A token lives")).to_have_value("9")
    expect(page.locator(".drawn .y-key").first).to_have_text("policy_id")
    page.get_by_label("A token lives").fill("soon")
    expect(page.locator("#e-token_ttl_minutes")).to_contain_text("must be a number")
    expect(page.get_by_label("A token lives")).to_be_focused()
    expect(page.locator(".told").first).to_contain_text("must be a number")
    page.get_by_label("A token lives").fill("7")
    expect(page.locator("#e-token_ttl_minutes")).to_be_empty()
    expect(yaml).to_have_value(has("token_ttl_minutes: 7"))


def test_a_change_in_the_form_keeps_remarks_and_the_yaml_in_sight(opens: Opens) -> None:
    page = opens("/policies/new").page
    expect(page.locator("#yaml-told [role=status]")).to_have_text("Not complete yet: purpose_id is still to be chosen.")
    expect(page.locator(".errors")).to_have_count(0)
    yaml = page.get_by_label("YAML", exact=True)
    text = EXAMPLE.replace("token_ttl", "\n# as agreed\ntoken_ttl").replace("minutes: 5", "minutes:  5  # enough")
    yaml.fill("# ours\n" + text)
    expect(page.get_by_label("Policy id")).to_have_value(NAME)
    page.get_by_label("A token lives").fill("")
    expect(yaml).not_to_have_value(has("token_ttl_minutes"))
    page.get_by_label("A token lives").fill("9")
    expect(yaml).to_have_value("# ours\n" + text.replace("  5  #", "  9  #"))
    page.get_by_label("Only somebody who signs in").scroll_into_view_if_needed()
    expect(yaml).to_be_in_viewport()


def test_a_yaml_amid_a_change_is_not_written_over(opens: Opens) -> None:
    page = opens("/policies/new").page
    yaml = page.get_by_label("YAML", exact=True)
    yaml.fill("policy_id: [")
    expect(page.locator(".told").first).to_be_visible()
    page.get_by_label("Policy id").fill("mine")
    expect(page.get_by_text("Which of them counts?")).to_be_visible()
    expect(yaml).to_have_value("policy_id: [")


def test_it_is_tried_on_recorded_calls_in_place(house: Authors, opens: Opens) -> None:
    house.call()
    page = opens("/policies/new").page
    fill(page)
    page.get_by_role("button", name="Try it on recorded calls").click()
    expect(page.locator("#trial")).to_contain_text("recorded call")
    expect(page.get_by_label("Policy id")).to_have_value(NAME)


def test_it_is_composed_without_script(house: Authors, opens: Opens) -> None:
    page = opens("/policies/new", script=False).page
    fill(page)
    page.get_by_role("button", name="Update the YAML from the form").click()
    expect(page.get_by_label("YAML", exact=True)).to_have_value(has("salesforce_prod"))
    page.get_by_role("button", name="Save").click()
    expect(page).to_have_url(house.url + PAGE + "?saved=1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", list(DEVICES))
@pytest.mark.parametrize("path", ["/policies/new", "/policies/new/capability"])
def test_axe_finds_nothing(opens: Opens, path: str, device: str, scheme: str) -> None:
    window = opens(path, device=device, scheme=scheme)
    assert window.axe() == []
    assert window.weight() < 300_000
    assert window.shift()[0] < 0.02
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert window.page.evaluate(wide) <= 0
