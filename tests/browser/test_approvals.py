"""Approvals in a real browser: decided with a thumb, decided without a mouse, live, and unmoved by hostile text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from onpurpose.core.act import State, Via
from onpurpose.core.call import Call
from tests.app.deciding import route
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
    return at.desks.workspace()


def call(**payload: object) -> Call:
    return Call("agent-7", "payments.transfer", payload)


@pytest.mark.parametrize(("device", "scheme"), LOOKS)
def test_axe_finds_nothing_and_nothing_jumps(
    at: Running, browsing: Browsing, place: Place, device: str, scheme: str
) -> None:
    asked = place.asked(call=call(amount=60_000, note="x" * 300))
    place.asked(route("user:bob"), call=call(n=2))
    done = place.asked(call=call(n=3))
    at.desks.house.desk.deny(place.name, done.id, "ada", via=Via.PAGE, text="no")
    for path in ("/approvals", "/approvals?state=decided", f"/approvals/{asked.id}", f"/approvals/{asked.id}/confirm"):
        window = at.open(browsing, place, "ada", path, device=device, scheme=scheme)
        assert faults(window, phone=device == "phone") == []
    window = at.open(browsing, place, "ada", f"/approvals/{asked.id}", device=device, scheme=scheme)
    for dialog in ("grant", "deny", "delegate", "comment"):
        window.page.evaluate(f"document.getElementById('{dialog}').showModal()")
        assert window.axe() == []
        window.page.evaluate(f"document.getElementById('{dialog}').close()")


def test_an_approver_decides_on_a_phone_with_a_thumb(at: Running, browsing: Browsing, place: Place) -> None:
    asked, second = place.asked(call=call(n=1)), place.asked(call=call(n=2))
    page = at.open(browsing, place, "ada", "/approvals", device="phone").page
    page.locator(f"#a-{asked.id} h3 a").tap()
    expect(page.get_by_role("button", name="Grant…")).to_be_in_viewport()
    expect(page.locator(".code")).to_contain_text('"n": 1')
    page.get_by_role("button", name="Grant…").tap()
    expect(page.locator("#grant")).to_contain_text("exactly this payments.transfer, once")
    page.get_by_role("button", name="Grant this call").tap()
    expect(page.get_by_text("Your grant is kept.")).to_be_visible()
    assert at.desks.house.desk.get(place.name, asked.id).state is State.GRANTED
    page.get_by_role("link", name="Next:").tap()
    page.get_by_role("button", name="Deny…").tap()
    page.get_by_label("Reason, which the agent is told").select_option(index=1)
    page.get_by_role("button", name="Deny this call").tap()
    expect(page.get_by_text("You denied the request.")).to_be_visible()
    assert at.desks.house.desk.get(place.name, second.id).state is State.DENIED


def test_an_approver_decides_with_the_keyboard_alone(at: Running, browsing: Browsing, place: Place) -> None:
    first = place.asked(route("group:approvers", timeout_seconds=60), call=call(n=1))
    second = place.asked(route("group:approvers", timeout_seconds=600), call=call(n=2))
    page = at.open(browsing, place, "ada", "/approvals").page
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/approvals/{first.id}")
    page.keyboard.press("y")
    expect(page.get_by_role("button", name="Grant this call")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Your grant is kept.")).to_be_visible()
    page.keyboard.press("x")
    page.wait_for_url(f"**/approvals/{second.id}")
    page.keyboard.press("n")
    expect(page.locator("#deny-preset")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.type("not y today")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("You denied the request.")).to_be_visible()
    acts = at.desks.house.desk.get(place.name, second.id).acts
    assert [(act.move, act.text) for act in acts] == [("deny", "not y today")]


def test_escape_leaves_a_request_as_it_was(at: Running, browsing: Browsing, place: Place) -> None:
    asked = place.asked()
    page = at.open(browsing, place, "ada", f"/approvals/{asked.id}").page
    for key, dialog in (("y", "grant"), ("n", "deny"), ("p", "delegate"), ("c", "comment")):
        page.keyboard.press(key)
        expect(page.locator(f"#{dialog}")).to_be_visible()
        page.keyboard.press("Escape")
        expect(page.locator(f"#{dialog}")).to_be_hidden()
        expect(page.locator("dialog :focus")).to_have_count(0)  # a frame later
    assert at.desks.house.desk.get(place.name, asked.id).acts == ()


def test_the_queue_and_a_request_follow_what_others_do(at: Running, browsing: Browsing, place: Place) -> None:
    asked = place.asked()
    queue = at.open(browsing, place, "ada", "/approvals").page
    one = at.open(browsing, place, "ada", f"/approvals/{asked.id}").page
    one.keyboard.press("c")
    one.keyboard.type("I was writing")
    other = place.asked(call=call(n=2))
    expect(queue.locator(f"#a-{other.id}")).to_be_visible()
    at.desks.house.desk.grant(place.name, asked.id, "bob", via=Via.SLACK)
    expect(queue.locator(f"#a-{asked.id}")).to_have_count(0)
    expect(one.locator("#standing")).to_contain_text("Already granted by Bob (bob)")
    expect(one.locator("#comment-text")).to_have_value("I was writing")


def test_who_comes_second_is_told_in_the_browser(at: Running, browsing: Browsing, place: Place) -> None:
    asked = place.asked()
    window = at.open(browsing, place, "ada", f"/approvals/{asked.id}")
    window.expected.append("409")
    page = window.page
    page.keyboard.press("y")
    at.desks.house.desk.deny(place.name, asked.id, "bob", via=Via.SLACK, text="not now")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("nothing was changed by you. Already denied by Bob (bob)")
    expect(page.get_by_role("alert")).to_be_focused()


def test_it_is_decided_without_a_script(at: Running, browsing: Browsing, place: Place) -> None:
    asked = place.asked()
    page = at.open(browsing, place, "ada", f"/approvals/{asked.id}", script=False).page
    page.get_by_role("button", name="Grant…").click()
    page.get_by_role("button", name="Grant this call").click()
    expect(page.get_by_text("Your grant is kept.")).to_be_visible()


def test_what_agents_write_runs_nowhere(at: Running, browsing: Browsing, place: Place) -> None:
    hostile = Call(
        HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, purpose_id=HOSTILE, data_source_id=HOSTILE, elements=(HOSTILE,),
        policy_context={HOSTILE: HOSTILE},
    )  # fmt: skip
    asked = place.asked(call=hostile)
    window = at.open(browsing, place, "ada", "/approvals")
    page = window.page
    page.on("dialog", lambda dialog: window.complaints.append(f"a dialogue: {dialog.message}"))
    expect(page.locator(f"#a-{asked.id}")).to_contain_text("<script>alert(1)</script>")
    for path in (f"/approvals/{asked.id}", f"/approvals?agent={HOSTILE}", "/approvals?state=decided"):
        page.goto(at.url + path)
        assert page.locator("main img, main script").count() == 0
    page.goto(f"{at.url}/approvals/{asked.id}")
    page.keyboard.press("n")
    page.locator("#deny-reason").fill(HOSTILE)
    page.get_by_role("button", name="Deny this call").click()
    expect(page.locator("#standing")).to_contain_text("The reason given:")
    expect(page.locator("#standing")).to_contain_text(re.compile(re.escape("<img src=x")))
    page.goto(f"{at.url}/approvals?state=decided")
    assert page.locator("main img, main script").count() == 0
