"""Settings that are changed, in a real browser: who is told, messages sent again, days let go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Browsing
from tests.browser.deskwork import Running, deskwork, faults
from tests.dashboard.test_settings_channels import HOOK, OTHER, asked, channels, given_up, save, written
from tests.dashboard.test_settings_retention import DAYS, keeping

LOOKS = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]
CHANNELS, RETENTION = "/settings/channels", "/settings/retention"


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with deskwork(tmp_path_factory.mktemp("desks"), channels=channels, keeping=keeping) as found:
        yield found


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_who_is_told_is_chosen_and_what_is_wrong_is_mended(
    at: Running, browsing: Browsing, device: str, scheme: str
) -> None:
    place = at.desks.workspace()
    save(place, f"# ours\nnotify:\n  webhooks:\n    - {HOOK}\n    - {OTHER}  # theirs\n")
    window = at.open(browsing, place, "ann", CHANNELS, device=device, scheme=scheme)
    page = window.page
    assert faults(window, phone=device == "phone") == []
    page.get_by_label("hooks.example").uncheck()
    page.get_by_label("Write mail to approvers").check()
    page.get_by_label("Slack channel").fill("#general")
    window.expected.append("422")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("is no id of a Slack channel")).to_be_visible()
    assert window.axe() == []
    expect(page.get_by_label("hooks.example")).not_to_be_checked()
    page.get_by_label("Slack channel").fill("C0123456789")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("It is kept, and holds from now on.")).to_be_visible()
    expected = f"# ours\nnotify:\n  slack: C0123456789\n  email: true\n  webhooks:\n    - {OTHER}  # theirs\n"
    assert written(place) == expected


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_messages_are_sent_again(at: Running, browsing: Browsing, device: str, scheme: str) -> None:
    place = at.desks.workspace()
    given_up(place, asked(place, 1), HOOK, OTHER)
    window = at.open(browsing, place, "ann", CHANNELS, device=device, scheme=scheme)
    page = window.page
    assert faults(window, phone=device == "phone") == []
    page.get_by_role("button", name="Send again to hooks.example").click()
    expect(page.get_by_text("1 message will be sent again")).to_be_visible()
    page.get_by_role("button", name="Send all again by Webhooks").click()
    expect(page.get_by_text("1 message will be sent again")).to_be_visible()
    expect(page.get_by_role("button", name="Send all again")).to_have_count(0)


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_days_go_once_it_was_seen_which(at: Running, browsing: Browsing, device: str, scheme: str) -> None:
    DAYS.begin(at.desks.house.clock.now())
    nine, eight = DAYS.add(9), DAYS.add(8, archived=False)
    window = at.open(browsing, at.desks.operator(), "ann", RETENTION, device=device, scheme=scheme)
    page = window.page
    page.get_by_label("Days to keep").fill("5")
    page.get_by_role("button", name="Show what would go").click()
    expect(page.get_by_text("1 day with 10 records would go from the database.")).to_be_visible()
    expect(page.get_by_text(f"{eight} is not archived")).to_be_visible()
    assert faults(window, phone=device == "phone") == []
    page.get_by_label("Why").fill("a year is over")
    page.get_by_label("The files above are kept safe").check()
    page.get_by_role("button", name="Let go of 1 day").click()
    expect(page.get_by_text(f"1 day let go: {nine}.")).to_be_visible()
    assert list(DAYS.spans) == [eight]
