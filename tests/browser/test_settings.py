"""The settings in a real browser: made by keyboard, shown once, and unmoved by what somebody is called."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Browsing
from tests.browser.deskwork import Running, deskwork, faults
from tests.dashboard.desks import HOSTILE, Place
from tests.dashboard.test_settings import channels
from tests.dashboard.test_settings_sign_in import linked, turned_on

LOOKS = [("desktop", "light"), ("desktop", "dark"), ("phone", "light"), ("phone", "dark")]
PATHS = ("", "/users", "/users/ada", "/keys", "/channels", "/workspace", "/retention", "/tokens", "/workspaces")


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with deskwork(tmp_path_factory.mktemp("desks"), channels=channels) as found:
        yield found


@pytest.fixture
def place(at: Running) -> Place:
    return at.desks.workspace()


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_axe_finds_nothing_and_nothing_jumps(at: Running, browsing: Browsing, device: str, scheme: str) -> None:
    window = at.open(browsing, at.desks.operator(), "ann", "/settings", device=device, scheme=scheme)
    for path in PATHS:
        window.page.goto(f"{at.url}/settings{path}")
        assert (path, faults(window, phone=device == "phone")) == (path, [])


def test_a_key_is_made_with_the_keyboard_alone_and_shown_once(at: Running, browsing: Browsing, place: Place) -> None:
    page = at.open(browsing, place, "ann", "/settings/keys").page
    page.locator("#new input[name=name]").focus()
    page.keyboard.type("the agent")
    page.keyboard.press("Enter")
    secret = page.locator("#secret")
    expect(secret).to_be_focused()
    expect(secret).to_have_value(re.compile("^op_"))
    text = secret.input_value()
    page.goto(f"{at.url}/settings/keys")
    assert text not in page.content()
    page.get_by_role("button", name="Revoke the agent…").click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.locator("tbody tr[data-row]")).to_contain_text("revoked")


def test_a_user_is_made_on_a_phone(at: Running, browsing: Browsing, place: Place) -> None:
    page = at.open(browsing, place, "ann", "/settings/users", device="phone").page
    page.locator(".actions").get_by_role("link", name="New user").tap()
    page.get_by_label("Name").fill("Zoë")
    page.get_by_label("E-mail address").fill("zoe@corp.example")
    page.get_by_label("approver: approve, read").check()
    page.get_by_role("button", name="Make the user").tap()
    expect(page.get_by_text("The user is made.")).to_be_visible()
    page.get_by_role("button", name="Make a link to set a password").tap()
    expect(page.locator("#link")).to_have_value(re.compile("/sign-in/link/"))


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_each_thing_done_to_how_somebody_signs_in_is_asked_and_told(
    at: Running, browsing: Browsing, place: Place, device: str, scheme: str
) -> None:
    turned_on(place, "ada")
    linked(place, "ada", issuer="https://idp.example/" + "long-" * 20, subject="0" * 100)
    place.token("ada")
    window = at.open(browsing, place, "ann", "/settings/users/ada", device=device, scheme=scheme)
    assert faults(window, phone=device == "phone") == []
    page = window.page
    for opener, button, told in (
        ("End all sessions…", "End all sessions", "Every session of this user has ended."),
        ("Remove the second factor…", "Remove the second factor", "The second factor is removed"),
        (re.compile("^Unlink 0.*…$"), "Unlink the identity", "The identity is unlinked"),
    ):
        page.get_by_role("button", name=opener, exact=True).click()
        assert window.axe() == []
        page.get_by_role("dialog").get_by_role("button", name=button).click()
        expect(page.get_by_text(told)).to_be_visible()
        expect(page.get_by_role("button", name=opener, exact=True)).to_have_count(0)
    assert faults(window, phone=device == "phone") == []


def test_problems_of_the_document_lead_to_their_lines(at: Running, browsing: Browsing, place: Place) -> None:
    window = at.open(browsing, place, "ann", "/settings/workspace")
    window.expected.append("422")
    page = window.page
    page.locator("#f-text").fill("purpose_required: true\nunmatched: perhaps\n")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_focused()
    assert window.axe() == []
    page.get_by_role("link", name="Line 2").click()
    expect(page.locator("#L2")).to_be_in_viewport()
    expect(page.locator("#f-text")).to_have_value("purpose_required: true\nunmatched: perhaps\n")


def test_what_somebody_is_called_runs_nowhere(at: Running, browsing: Browsing, place: Place) -> None:
    keyring = at.desks.house.control.keyring
    keyring.create_user(place.name, "evil", HOSTILE, "evil@corp.example", (HOSTILE,), by="tests")
    keyring.create_key(place.name, HOSTILE, ["read"], by=HOSTILE)
    window = at.open(browsing, place, "ann", "/settings/users")
    page = window.page
    page.on("dialog", lambda dialog: window.complaints.append(f"a dialogue: {dialog.message}"))
    for path in ("/users", "/users/evil", "/keys", "/channels"):
        page.goto(f"{at.url}/settings{path}")
        expect(page.locator("main")).to_contain_text("<script>alert(1)</script>")
        assert page.locator("main img, main script").count() == 0
