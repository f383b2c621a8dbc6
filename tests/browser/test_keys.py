"""The dashboard by keyboard: the same keys on every list, help that tells them all, dialogues that keep them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from onpurpose import Client
from onpurpose.core.access import Role, Scope
from onpurpose.core.act import Via
from onpurpose.core.revision import Kind
from onpurpose.server.dashboard.nav import ITEMS
from tests.app.world import EVERYTHING, candidate
from tests.browser.chromium import Browsing
from tests.dashboard.authors import EXAMPLE, NAME, PAGE, SUPPORT
from tests.dashboard.whole import Whole, whole

LISTS = (
    "/decisions", "/policies", "/purposes", "/approvals", "/approvals?state=decided", "/audit", "/settings",
    "/settings/users", "/settings/keys", f"{PAGE}/history",
)  # fmt: skip
SEARCHED = {"/decisions", "/audit"}
"""Lists with a search of their own."""

DOCUMENTS = (
    (Kind.POLICY, "base", "require_approval:\n  - capability: payments.transfer\nallow:\n  - capability: '*'\n"),
    (Kind.PURPOSE, "customer_support_lookup", SUPPORT),
    (Kind.PURPOSE_POLICY, NAME, EXAMPLE),
    (Kind.PURPOSE_POLICY, NAME, EXAMPLE.replace("minutes: 5", "minutes: 6")),
)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    """A service with something in each of its lists."""
    with whole(tmp_path_factory.mktemp("whole")) as at:
        control = at.service.control
        at.person(Role.ADMIN, "approvers")
        for number, (kind, name, text) in enumerate(DOCUMENTS):
            version = 1 if number == len(DOCUMENTS) - 1 else 0
            control.library.save(
                "default", kind, name, text, author="ada", reason="", expected_version=version, may_promote=True
            )
        control.promotions.promote(
            "default", [candidate(Kind.POLICY, "base")], reason="-", by="ada", overrides=EVERYTHING
        )
        made = control.keyring.create_key("default", "agent", [Scope.EVALUATE], by="tests")
        at.service.workspaces.refresh()
        with Client(at.url, made.secret) as client:
            found = [client.evaluate("bot", name, {"n": 1}) for name in ("crm.read", "crm.write", "payments.transfer")]
            again = client.evaluate("bot", "payments.transfer", {"n": 2})
        assert again.approval is not None
        assert [str(one.outcome) for one in found] == ["allow", "allow", "require_approval"]
        at.service.asking.desk.deny("default", again.approval.id, "admin", via=Via.PAGE, text="no")
        yield at


@pytest.fixture
def page(at: Whole, browsing: Browsing) -> Iterator[Page]:
    """A page of an admin's."""
    admin = next(one for one in at.service.control.keyring.users("default") if one.id == "admin")
    page = browsing.open(at.url + "/policies", cookies={"onpurpose": at.token(admin)}).page
    yield page
    page.close()


@pytest.mark.parametrize("path", LISTS)
def test_rows_are_walked_and_opened_on_every_list(at: Whole, page: Page, path: str) -> None:
    page.goto(at.url + path)
    rows = page.locator("[data-row]:visible")
    if path == "/decisions":
        expect(rows).to_have_count(4)
    seen = []
    for key in ("j", "j", "k"):
        page.keyboard.press(key)
        seen.append(page.evaluate("document.activeElement.closest('[data-row]')?.outerHTML ?? null"))
    assert None not in seen
    assert seen[0] == seen[2]
    assert (seen[0] == seen[1]) == (rows.count() == 1)
    if page.evaluate("document.activeElement.matches('a[href]')"):
        target = page.evaluate("document.activeElement.href")
        page.keyboard.press("Enter")
        expect(page).to_have_url(target)


@pytest.mark.parametrize("path", LISTS)
def test_slash_goes_to_a_search_and_escape_leaves_it(at: Whole, page: Page, path: str) -> None:
    page.goto(at.url + path)
    page.keyboard.press("/")
    field = page.locator("[data-search]")
    expect(field).to_be_focused()
    expect(page).to_have_url(re.compile(r"/audit$" if path == "/audit" else "/decisions(#search)?$"))
    page.keyboard.type("j?")
    expect(field).to_have_value("j?")
    page.keyboard.press("Escape")
    expect(field).not_to_be_focused()
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.closest('[data-row]') !== null")


@pytest.mark.parametrize("path", [*LISTS, "/", PAGE, "/policies/new", "/account"])
def test_help_tells_every_key_of_the_page_and_closes_as_it_opened(at: Whole, page: Page, path: str) -> None:
    page.goto(at.url + path)
    page.keyboard.press("?")
    told = page.get_by_role("dialog", name="Keyboard")
    expect(told).to_be_visible()
    known = set(told.locator("kbd").all_inner_texts())
    own = page.evaluate("[...document.querySelectorAll('[data-key]')].map((one) => one.dataset.key)")
    assert known >= {"/", "j", "k", "Enter", "g", "?", "Esc", *own, *(item.key for item in ITEMS)}
    page.keyboard.press("?")
    expect(told).to_be_hidden()
    page.keyboard.press("?")
    page.keyboard.press("Escape")
    expect(told).to_be_hidden()


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.label)
def test_g_and_a_letter_lead_anywhere_from_anywhere(at: Whole, page: Page, item: object) -> None:
    page.goto(at.url + "/account")
    page.keyboard.press("g")
    page.keyboard.press(item.key)  # type: ignore[attr-defined]  # it is one of the navigation
    expect(page).to_have_url(at.url + item.path)  # type: ignore[attr-defined]  # as above


def test_in_a_dialogue_keys_are_its_own_and_escape_goes_back_to_its_button(at: Whole, page: Page) -> None:
    page.goto(at.url + PAGE)
    opener = page.get_by_role("button", name="Promote …")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    for key in ("j", "g", "d", "e", "h", "/"):
        page.keyboard.press(key)
    expect(page).to_have_url(at.url + PAGE)
    for _ in range(30):  # once around: the focus stays in it
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('dialog')")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()


def test_letters_in_a_field_are_text(at: Whole, page: Page) -> None:
    page.goto(at.url + "/policies/new")
    field = page.get_by_label("Policy id")
    field.focus()
    page.keyboard.type("gd/?jk")
    expect(field).to_have_value("gd/?jk")
    expect(page).to_have_url(at.url + "/policies/new")
