"""The pages in a real browser: on a phone, in light and dark, with forms that arrive."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from onpurpose.core.act import State
from onpurpose.core.call import Call
from tests.app.deciding import route
from tests.browser.chromium import Browsing, Window
from tests.server.api.house import House, Tenant
from tests.server.pages.reading import link, sign_in

CALL = Call(
    "agent-" + "x" * 300,
    "payments.transfer",
    {"amount": 61_000, "note": "W" * 3000, "spaces": "a" + " " * 2000 + "b", "tower": "Z" + "\u0336" * 200, "אב": "גד"},
)
SMALL = "[...document.querySelectorAll('button, select, textarea')].filter(e => e.offsetHeight < 44).length"

Opens = Callable[..., Window]


@pytest.fixture
def opens(house: House, browsing: Browsing) -> Opens:
    """Opens a page in a window of its own. Its icon, which the pages do not have, is nobody's fault."""

    def go(path: str, **options: object) -> Window:
        window = browsing.open(**options)  # type: ignore[arg-type]  # those of `open`
        window.expected.append("favicon")
        window.page.goto(house.served.url + path)
        return window

    return go


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 375, 1280])
def test_nothing_is_wider_than_the_screen(office: Tenant, opens: Opens, width: int, scheme: str) -> None:
    path = link(office, office.opened(call=CALL)).path
    window = opens(path, device="phone" if width < 500 else "desktop", scheme=scheme)
    window.page.set_viewport_size({"width": width, "height": 800})
    assert window.page.evaluate("document.documentElement.scrollWidth") <= width
    expect(window.page.locator("form")).to_have_count(3)
    dark = window.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(21, 23, 28)" if scheme == "dark" else "rgb(255, 255, 255)")
    assert window.page.evaluate(SMALL) == 0
    assert window.axe() == []


def test_a_form_of_a_link_arrives(house: House, office: Tenant, opens: Opens) -> None:
    approval = office.opened()
    window = opens(link(office, approval).path)
    window.expected.append("422")
    page = window.page
    page.locator("button.deny").click()
    expect(page.get_by_text("There is a problem")).to_be_visible()
    expect(page.locator(".summary")).to_be_focused()
    page.locator("#reason").fill("not this one")
    page.locator("button.deny").click()
    expect(page.get_by_text("The request is denied")).to_be_visible()
    after = house.desk.get(office.workspace, approval.id)
    assert (after.state, after.acts[0].text) == (State.DENIED, "not this one")


def test_one_signs_in_and_decides(house: House, office: Tenant, opens: Opens) -> None:
    approval = office.opened(route("anyone", step_up=True))
    page = opens(sign_in(office, approval.id).path).page
    page.locator("#key").fill(office.keys["ada"].secret)
    page.get_by_role("button").click()
    expect(page.get_by_text("An agent asks for your approval")).to_be_visible()
    page.locator("button.grant").click()
    expect(page.get_by_text("Your grant is kept")).to_be_visible()
    assert house.desk.get(office.workspace, approval.id).state is State.GRANTED
    assert office.keys["ada"].secret not in page.content() + page.url


def test_no_script_of_an_agent_runs(office: Tenant, opens: Opens) -> None:
    text = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    page = opens(link(office, office.opened(call=Call(text, "open", {text: text}))).path).page
    expect(page).to_have_title("Request for approval · onpurpose")
    expect(page.locator("main img, main script")).to_have_count(0)


def test_a_tower_of_marks_stays_in_its_box(office: Tenant, opens: Opens) -> None:
    block = opens(link(office, office.opened(call=CALL)).path).page.locator(".block").first
    assert block.evaluate("(one) => one.offsetHeight") <= 24 * 16 + 2
    assert block.evaluate("(one) => getComputedStyle(one).contain") == "paint"
