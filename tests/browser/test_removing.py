"""In a real browser: a policy is removed and comes back, and a backtest tells how far it is until it is cancelled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from onpurpose.core.access import Role
from onpurpose.core.revision import Kind
from tests.browser.chromium import Browsing
from tests.dashboard.authors import Authors, authors

BASE = "/policies/policy/base"


class Gate:
    """Holds a backtest between two blocks of calls until it is let go."""

    def __init__(self) -> None:
        self.opened = threading.Event()

    def __call__(self) -> None:
        assert self.opened.wait(30)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def house(tmp_path: Path, gate: Gate) -> Iterator[Authors]:
    with authors(tmp_path, gate) as made:
        yield made
        gate.opened.set()


def test_a_policy_is_removed_and_comes_back(browsing: Browsing, house: Authors) -> None:
    house.call(purpose_id=None, elements=None)
    window = browsing.open(house.url + "/policies", cookies={"onpurpose": house.token(Role.ADMIN)})
    page = window.page
    page.goto(house.url + BASE)
    page.get_by_role("link", name="Remove …").click()
    expect(page.get_by_text("that run today would not run any more")).to_be_visible()
    page.get_by_label("Why").fill("no longer needed")
    page.get_by_role("button", name="Remove the capability policy").click()
    expect(page.get_by_text("base was removed.")).to_be_visible()
    page.get_by_text("Removed (1)").click()
    assert window.axe() == []
    page.get_by_role("link", name="base").click()
    expect(page.get_by_text("It was removed, and counts no more.")).to_be_visible()
    assert window.axe() == []
    page.get_by_role("button", name="Restore revision 1").click()
    expect(page.get_by_text("Revision 3 is saved and watched in shadow.")).to_be_visible()
    assert house.world.standing(Kind.POLICY, "base").shadow == 3


def test_a_backtest_tells_how_far_it_is_and_is_cancelled(browsing: Browsing, house: Authors, gate: Gate) -> None:
    for _ in range(150):
        house.call()
    window = browsing.open(house.url + "/policies", cookies={"onpurpose": house.token(Role.AUTHOR)})
    page = window.page
    page.goto(house.url + f"{BASE}/edit")
    page.get_by_role("button", name="Try it on recorded calls").click()
    trial = page.locator("#trial")
    expect(trial).to_contain_text("64 of 150 calls")
    assert window.axe() == []
    trial.get_by_role("button", name="Cancel").click()
    gate.opened.set()
    expect(trial).to_contain_text("It was cancelled: the newest ones were")
    expect(trial).to_contain_text("Tried on 128 recorded calls")
    expect(page.get_by_label("YAML", exact=True)).to_have_value("allow:\n  - capability: '*'\n")
