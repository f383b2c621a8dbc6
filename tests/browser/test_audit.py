"""The log in a real browser: searched and read by keyboard, checked while one watches, and unmoved by hostile text."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Browsing
from tests.browser.deskwork import Running, deskwork, faults
from tests.dashboard.desks import HOSTILE, Place

LOOKS = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with deskwork(tmp_path_factory.mktemp("desks")) as found:
        yield found


@pytest.fixture
def place(at: Running) -> Place:
    made = at.desks.workspace()
    for n in range(3):
        made.record("approval.refused", id=f"r{n}", why=f"reason {n}", by="ada", via="page")
    return made


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_axe_finds_nothing_and_nothing_jumps(
    at: Running, browsing: Browsing, place: Place, device: str, scheme: str
) -> None:
    window = at.open(browsing, place, "ann", "/audit", device=device, scheme=scheme)
    assert faults(window, phone=device == "phone") == []
    record = window.page.locator("tbody a").first.get_attribute("href")
    for path in (record, "/audit/verify", "/audit?q=nothing-has-this", "/audit?by=ada"):
        window.page.goto(f"{at.url}{path}")
        assert faults(window, phone=device == "phone") == []


def test_a_record_is_found_and_read_with_the_keyboard_alone(at: Running, browsing: Browsing, place: Place) -> None:
    page = at.open(browsing, place, "vic", "/audit").page
    page.keyboard.press("/")
    page.keyboard.type("reason 1")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=reason+1**")
    expect(page.locator("tbody tr[data-row]")).to_have_count(1)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Its hash is right")).to_be_visible()
    page.keyboard.press("l")
    expect(page.locator(".code").last).to_contain_text("reason 2")
    page.keyboard.press("h")
    expect(page.locator(".code").last).to_contain_text("reason 1")


def test_a_check_is_watched_until_it_says_what_it_found(browsing: Browsing, tmp_path: Path) -> None:
    go = threading.Event()

    def wait(progress: Callable[[int], None]) -> None:
        progress(10_000)
        assert go.wait(30)

    with deskwork(tmp_path, while_verifying=wait) as own:
        place = own.desks.operator()
        window = own.open(browsing, place, "ann", "/audit")
        window.page.keyboard.press("v")
        expect(window.page.get_by_role("progressbar")).to_be_visible()
        expect(window.page.get_by_text("10,000")).to_be_visible()
        assert window.axe() == []
        go.set()
        expect(window.page.get_by_text("The log is whole")).to_be_visible()
        assert window.axe() == []


def test_the_log_is_taken_along_as_a_file(at: Running, browsing: Browsing, place: Place) -> None:
    page = at.open(browsing, place, "ann", "/audit").page
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Export").click()
    assert re.fullmatch(r"onpurpose-log-\d{4}-\d\d-\d\d\.jsonl", waiting.value.suggested_filename)
    assert len(Path(waiting.value.path()).read_text("utf-8").splitlines()) >= 3


def test_what_stands_in_a_record_runs_nowhere(at: Running, browsing: Browsing, place: Place) -> None:
    place.record("approval.refused", id=HOSTILE, why=HOSTILE, by=HOSTILE, more={HOSTILE: [HOSTILE]})
    window = at.open(browsing, place, "vic", "/audit")
    page = window.page
    page.on("dialog", lambda dialog: window.complaints.append(f"a dialogue: {dialog.message}"))
    expect(page.locator("tbody tr[data-row]").first).to_contain_text("<script>alert(1)</script>")
    page.locator("tbody a").first.click()
    expect(page.locator(".code")).to_contain_text("<img src=x onerror=alert(2)>")
    for path in ("", f"?q={HOSTILE}", f"?by={HOSTILE}"):
        page.goto(f"{at.url}/audit{path}")
        assert page.locator("main img, main script").count() == 0
