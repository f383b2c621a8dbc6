"""The shell in a real browser: no fault that axe knows, no jump, no complaint; by keyboard, and live."""

from __future__ import annotations

import re
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import DEVICES, MOST_BYTES, Browsing, Window


def look(browsing: Browsing, gallery_url: str, **options: str) -> Window:
    window = browsing.open(gallery_url + "/_gallery", **options)
    expect(window.page.locator(".u-wrap")).to_have_count(2)
    return window


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", list(DEVICES))
def test_the_gallery_has_no_fault(browsing: Browsing, gallery_url: str, device: str, scheme: str) -> None:
    window = look(browsing, gallery_url, device=device, scheme=scheme)
    assert window.faults() == []
    window.page.evaluate("document.getElementById('keys').showModal()")
    assert window.axe() == []


def test_faults_would_be_found(browsing: Browsing, gallery_url: str) -> None:
    page = (window := look(browsing, gallery_url)).page
    page.evaluate("scrollTo(0, 0)")  # further down, the browser would hold on to what is seen
    page.evaluate("""() => {
      const wide = document.createElement("div");
      wide.style.cssText = "width: 3000px; height: 100px";
      wide.append(document.createElement("img"));
      document.querySelector("main").prepend(wide);
    }""")
    axe, jump, width = window.faults()
    assert "image-alt" in axe
    assert "jumped" in jump
    assert "wide" in width


def test_the_gallery_weighs_what_it_loads_and_is_seen_soon(browsing: Browsing, gallery_url: str) -> None:
    window = look(browsing, gallery_url)
    assert 100_000 < window.weight() < MOST_BYTES
    assert 0 < window.first_paint() < 2_000


def test_what_is_pressed_on_a_phone_is_44_pixels_high(browsing: Browsing, gallery_url: str) -> None:
    page = look(browsing, gallery_url, device="phone").page
    small = page.evaluate("""[...document.querySelectorAll("main button, main input:not([type=hidden]), main select,"
      + " .top a:not(.brand), .top summary, main summary")].filter((one) => one.checkVisibility())
      .map((one) => one.closest("label") ?? one).filter((one) => one.getBoundingClientRect().height < 43.9)
      .map((one) => one.outerHTML)""")
    assert small == []


def test_everything_can_be_reached_by_tab_and_its_focus_is_seen(browsing: Browsing, gallery_url: str) -> None:
    page = look(browsing, gallery_url).page
    page.locator(".skip").focus()
    page.keyboard.press("Shift+Tab")
    first = []
    for _ in range(24):
        page.keyboard.press("Tab")
        seen = page.evaluate(
            "[document.activeElement.textContent.trim(), getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert seen[1] == "solid", seen
        first.append(seen[0])
    assert first[0] == "Skip to the content"
    assert first[1:9] == [
        "onpurpose", "Overview", "Decisions", "Policies", "Purposes", "Approvals", "Audit", "Settings",
    ]  # fmt: skip


def test_slash_goes_to_the_search_and_letters_are_then_text(browsing: Browsing, gallery_url: str) -> None:
    page = look(browsing, gallery_url).page
    page.keyboard.press("/")
    expect(page.locator("#search")).to_be_focused()
    page.keyboard.type("j?")
    expect(page.locator("#search")).to_have_value(re.compile(r"j\?"))
    expect(page.locator("#keys")).to_be_hidden()


def test_j_and_k_move_through_rows_and_enter_opens(browsing: Browsing, gallery_url: str) -> None:
    page = look(browsing, gallery_url).page
    for key, row in (("j", "#row-1"), ("j", "#row-2"), ("j", "#row-2"), ("k", "#row-1")):
        page.keyboard.press(key)
        expect(page.locator(row)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("#one$"))


def test_the_question_mark_shows_help_and_escape_closes_it(browsing: Browsing, gallery_url: str) -> None:
    page = look(browsing, gallery_url).page
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_g_and_a_letter_lead_to_a_place(browsing: Browsing, gallery_url: str) -> None:
    window = look(browsing, gallery_url)
    window.expected.append("404")
    window.page.keyboard.press("g")
    window.page.keyboard.press("d")
    expect(window.page).to_have_url(gallery_url + "/decisions")
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Nothing is here")
    assert window.axe() == []


def test_a_dialogue_opens_by_its_button_and_keeps_the_focus(browsing: Browsing, gallery_url: str) -> None:
    page = look(browsing, gallery_url).page
    page.get_by_role("button", name="Promote …").click()
    expect(page.get_by_role("dialog", name="Promote the policy")).to_be_visible()
    page.get_by_role("button", name="Close").click()
    expect(page.get_by_role("button", name="Promote …")).to_be_focused()


def test_what_htmx_sends_carries_the_token_of_the_page(browsing: Browsing, gallery_url: str) -> None:
    page = look(browsing, gallery_url).page
    page.keyboard.press("e")
    expect(page.locator("#echo")).to_have_text("POST with the-token-of-ada")


def test_a_part_that_breaks_is_told_of_and_the_page_stays(browsing: Browsing, gallery_url: str) -> None:
    window = look(browsing, gallery_url)
    window.expected.append("500")
    page = window.page
    page.locator("#f-why").fill("what I wrote")
    page.get_by_role("button", name="Break").click()
    expect(page.locator("#fault")).to_contain_text("That is our fault.")
    expect(page.locator("#fault")).not_to_contain_text("secret")
    expect(page.locator("#echoed")).to_have_text("nothing")
    expect(page.locator("#f-why")).to_have_value("what I wrote")
    assert window.axe() == []
    page.get_by_role("button", name="Echo").click()
    expect(page.locator("#fault")).to_be_hidden()


def test_a_service_that_is_away_is_told_of(browsing: Browsing, gallery_url: str) -> None:
    window = look(browsing, gallery_url)
    window.expected += ["ERR_INTERNET_DISCONNECTED", "Failed to fetch", "network error"]
    window.page.context.set_offline(True)
    window.page.get_by_role("button", name="Echo").click()
    expect(window.page.locator("#fault")).to_contain_text("cannot be reached")


def test_a_countdown_ends_and_disables_what_it_is_for(browsing: Browsing, gallery_url: str) -> None:
    page = browsing.open().page
    page.clock.install()
    page.goto(gallery_url + "/_gallery")
    expect(page.locator("#undo")).to_be_enabled()
    page.clock.run_for(3000)
    expect(page.locator("#undo")).to_be_disabled()
    expect(page.locator("[data-disables=undo]")).to_have_text("over")
    expect(page.locator("#said")).to_have_text("The time is over.")


def test_a_feed_is_live_and_held_while_it_is_read(browsing: Browsing, gallery_url: str) -> None:
    page = look(browsing, gallery_url).page
    status, rows = page.locator("[data-live-status]"), page.locator("#feed tr")
    expect(status).to_have_text("Live")
    tell(gallery_url, "three")
    expect(rows.first).to_have_text("three")
    rows.nth(1).hover()
    expect(status).to_have_text("Paused")
    tell(gallery_url, "four")
    expect(rows).to_have_count(3)
    page.mouse.move(0, 0)
    expect(rows.first).to_have_text("four")
    page.get_by_role("button", name="Pause").click()
    expect(status).to_have_text("Paused")


def test_the_gallery_reads_well_without_script(browsing: Browsing, gallery_url: str) -> None:
    page = browsing.open(gallery_url + "/_gallery", script=False).page
    expect(page.get_by_role("heading", level=1)).to_have_text("Gallery")
    page.get_by_text("The numbers of this chart").first.click()
    expect(page.get_by_role("cell", name="29 calls", exact=True)).to_be_visible()


def test_a_page_that_breaks_says_nothing_of_why(browsing: Browsing, gallery_url: str) -> None:
    window = browsing.open()
    window.expected.append("500")
    window.page.goto(gallery_url + "/_broken")
    expect(window.page.get_by_role("heading", level=1)).to_have_text("That is our fault")
    expect(window.page.locator("body")).not_to_contain_text("secret")


def test_script_in_a_page_is_refused_and_a_test_would_tell(browsing: Browsing, gallery_url: str) -> None:
    window = look(browsing, gallery_url)
    window.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
    window.page.wait_for_function("window.__seen.refused.length > 0")
    with pytest.raises(AssertionError, match="style-src"):
        window.check()
    window.page.evaluate("window.__seen.refused.length = 0")
    window.complaints.clear()


def tell(url: str, word: str) -> None:
    with urllib.request.urlopen(f"{url}/_tick?word={word}", timeout=10) as response:
        assert response.status == 204
