"""The pages in a real browser, where there is one: on a phone, in light and dark, with forms that arrive."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from onpurpose.core.act import State
from onpurpose.core.call import Call
from tests.app.deciding import route
from tests.server.api.house import House, Tenant
from tests.server.pages.browser import Browser, browsing
from tests.server.pages.reading import link, sign_in

PROGRAM = shutil.which("chromium") or ""

pytestmark = pytest.mark.skipif(not PROGRAM, reason="there is no chromium")

CALL = Call(
    "agent-" + "x" * 300,
    "payments.transfer",
    {"amount": 61_000, "note": "W" * 3000, "spaces": "a" + " " * 2000 + "b", "tower": "Z" + "\u0336" * 200, "אב": "גד"},
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(PROGRAM, tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def violations(browser: Browser) -> list[str]:
    """What the browser refused or complained of."""
    entries = [one["params"]["entry"]["text"] for one in browser.events if one.get("method") == "Log.entryAdded"]
    return [text for text in entries if "favicon" not in text and "404" not in text]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 375, 1280])
def test_nothing_is_wider_than_the_screen(
    house: House, office: Tenant, browser: Browser, width: int, scheme: str
) -> None:
    browser.show(width, scheme)
    browser.open(house.served.url + link(office, office.opened(call=CALL)).path)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert browser.ask("document.forms.length") == 3
    dark = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert dark == ("rgb(21, 23, 28)" if scheme == "dark" else "rgb(255, 255, 255)")
    small = "[...document.querySelectorAll('button, select, textarea')].filter(e => e.offsetHeight < 44).length"
    assert browser.ask(small) == 0
    assert violations(browser) == []


def test_a_form_of_a_link_arrives(house: House, office: Tenant, browser: Browser) -> None:
    approval = office.opened()
    browser.open(house.served.url + link(office, approval).path)
    browser.press("button.deny")
    assert "There is a problem" in browser.ask("document.body.innerText")
    assert browser.ask("document.activeElement.className") == "summary"
    browser.ask("document.querySelector('#reason').value = 'not this one'")
    browser.press("button.deny")
    assert "The request is denied" in browser.ask("document.body.innerText")
    after = house.desk.get(office.workspace, approval.id)
    assert (after.state, after.acts[0].text) == (State.DENIED, "not this one")


def test_one_signs_in_and_decides(house: House, office: Tenant, browser: Browser) -> None:
    approval = office.opened(route("anyone", step_up=True))
    browser.open(house.served.url + sign_in(office, approval.id).path)
    browser.ask(f"document.querySelector('#key').value = '{office.keys['ada'].secret}'")
    browser.press("button")
    assert "An agent asks for your approval" in browser.ask("document.body.innerText")
    browser.press("button.grant")
    assert "Your grant is kept" in browser.ask("document.body.innerText")
    assert house.desk.get(office.workspace, approval.id).state is State.GRANTED
    assert office.keys["ada"].secret not in browser.ask("document.documentElement.outerHTML + location.href")


def test_no_script_of_an_agent_runs(house: House, office: Tenant, browser: Browser) -> None:
    text = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    browser.open(house.served.url + link(office, office.opened(call=Call(text, "open", {text: text}))).path)
    assert browser.ask("document.title") == "Request for approval · onpurpose"
    assert browser.ask("document.querySelectorAll('main img, main script').length") == 0


def test_a_tower_of_marks_stays_in_its_box(house: House, office: Tenant, browser: Browser) -> None:
    browser.open(house.served.url + link(office, office.opened(call=CALL)).path)
    block = "document.querySelector('.block')"
    assert browser.ask(f"{block}.offsetHeight") <= 24 * 16 + 2
    assert browser.ask(f"getComputedStyle({block}).contain") == "paint"
