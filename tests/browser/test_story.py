"""A team's first day, in a real browser on the whole service: from the page that makes the first admin to the undo.

Axe looks at every page on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from onpurpose import Call, Client, Identity
from onpurpose.core.access import Role, Scope
from tests.browser.chromium import Browsing, Window
from tests.dashboard.authors import NAME, PAGE
from tests.dashboard.whole import Whole, whole

PASSWORD = "eleven wet lanterns"
PURPOSE = "customer_support_lookup"
SUPPORT = Identity("kim", ("support-tier-1",))
SALES = Identity("sam", ("sales",))
CAPABILITIES = "require_approval:\n  - capability: payments.transfer\nallow:\n  - capability: '*'\n"
OTHERS = (
    "/", "/decisions", "/audit", "/purposes", f"{PAGE}/history", "/settings", "/settings/users", "/settings/keys",
    "/settings/channels", "/settings/workspace", "/account",
)  # fmt: skip
"""Pages that the story does not lead to, looked at in the end."""

TRIES = 100


@dataclass
class Story:
    """The service, the windows of its people, and the agent that asks. `looked` is what axe was shown."""

    at: Whole
    browsing: Browsing
    window: Window
    looked: list[str] = field(default_factory=list)

    @property
    def page(self) -> Page:
        return self.window.page

    def go(self, path: str) -> None:
        self.page.goto(self.at.url + path)
        self.look()

    def look(self, window: Window | None = None) -> None:
        """Axe finds nothing on the page that is shown."""
        window = window or self.window
        self.looked.append(window.page.url)
        assert window.axe() == [], window.page.url

    def until(self, met: Callable[[], bool]) -> None:
        """Load the page again until the feed has come so far."""
        for _ in range(TRIES):
            if met():
                return
            self.page.reload()
        raise AssertionError(self.page.inner_text("main"))


@pytest.fixture
def story(browsing: Browsing, tmp_path: Path) -> Iterator[Story]:
    with whole(tmp_path) as at:
        yield Story(at, browsing, browsing.open())
        for window in browsing.windows:  # before the service ends: pages ask it how things stand
            window.check()
            window.page.close()


@pytest.fixture
def agent(story: Story) -> Iterator[Client]:
    made = story.at.service.control.keyring.create_key("default", "agent", [Scope.EVALUATE], by="tests")
    story.at.service.workspaces.refresh()
    with Client(story.at.url, made.secret) as client:
        yield client


def test_from_the_first_start_to_a_policy_that_decides(story: Story, agent: Client) -> None:
    begin(story)
    sign_in(story)
    put_capabilities_in_force(story)
    compose_purpose(story)
    compose_policy(story)

    def ask(who: Identity) -> str:
        found = agent.evaluate(
            "bot", "crm.read", {"id": 7}, identity=who, purpose_id=PURPOSE, data_source_id="salesforce_prod"
        )
        return str(found.outcome)

    assert [ask(who) for who in (SUPPORT, SUPPORT, SUPPORT, SALES)] == ["allow"] * 4
    see_the_numbers(story)
    a_call_is_granted_on_a_phone(story, agent)
    promote(story)
    assert (ask(SUPPORT), ask(SALES)) == ("allow", "deny")
    undo(story)
    assert ask(SALES) == "allow"
    for path in (
        "/",
        "/decisions",
        "/audit",
        "/purposes",
        f"{PAGE}/history",
        "/settings",
        "/settings/users",
        "/account",
    ):
        story.go(path)
    story.page.goto(story.at.url + "/decisions")
    story.page.locator('main a[href^="/decisions/"]:visible').first.click()
    story.look()
    assert len(set(story.looked)) > 15


def begin(story: Story) -> None:
    """The first start showed a key; with it, the first admin makes themselves."""
    key = story.at.service.first_key
    assert key is not None
    story.go("/set-up")
    page = story.page
    page.get_by_label("Admin key").fill(key.secret)
    page.get_by_label("User id").fill("ada")
    page.get_by_label("E-mail address").fill("ada@corp.example")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("The same again").fill(PASSWORD)
    page.get_by_role("button", name="Make the first admin").click()
    expect(page.get_by_text("The user ada is made.")).to_be_visible()
    story.look()


def sign_in(story: Story) -> None:
    page = story.page
    page.get_by_label("User or e-mail address").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def put_capabilities_in_force(story: Story) -> None:
    """Whatever an agent does is allowed, but for paying: a policy that nobody saw at work must be let through."""
    expect(story.page.get_by_role("heading", level=1)).to_have_text("Overview")
    story.look()
    story.go("/policies/new/capability")
    page = story.page
    page.get_by_label("Name", exact=True).fill("base")
    page.get_by_label("YAML", exact=True).fill(CAPABILITIES)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Revision 1 is saved")).to_be_visible()
    story.look()
    promote_here(story, "the first policy of all")


def promote_here(story: Story, why: str) -> None:
    """Promote what is shown, and name what is missing."""
    page = story.page
    page.get_by_role("button", name="Promote …").click()
    dialog = page.get_by_role("dialog")
    story.look()
    for box in dialog.get_by_role("checkbox").all():
        box.check()
    dialog.get_by_label("Why").fill(why)
    dialog.get_by_role("button", name="Promote").click()
    expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    story.look()


def compose_purpose(story: Story) -> None:
    story.go("/purposes/new")
    page = story.page
    page.get_by_label("Purpose id").fill(PURPOSE)
    page.get_by_label("Status").select_option("active")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("It is saved, and counts at once.")).to_be_visible()
    story.look()


def compose_policy(story: Story) -> None:
    """The guide's example, by the form; its session ends before it is sent, and nothing of it is lost."""
    story.go("/policies")
    page = story.page
    page.get_by_role("link", name="New policy").click()
    story.look()
    page.get_by_label("Policy id").fill(NAME)
    page.get_by_label("Purpose", exact=True).select_option(PURPOSE)
    page.get_by_label("Groups of that person").fill("support-tier-1, support-tier-2")
    with page.expect_response("**/policies/new/sync?side=form"):
        page.get_by_label("Data source").fill("salesforce_prod")
    page.get_by_label("Why").fill("as the guide says")
    story.at.expire_sessions()
    story.window.expected.append("401")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your session has ended.")).to_be_visible()
    story.look()
    sign_in(story)
    expect(page.get_by_role("heading", level=1)).to_have_text("Send it again?")
    story.look()
    page.get_by_role("button", name="Send it").click()
    expect(page).to_have_url(story.at.url + f"{PAGE}?saved=1")
    expect(page.get_by_text("as the guide says")).to_be_visible()


def see_the_numbers(story: Story) -> None:
    page = story.page
    page.goto(story.at.url + PAGE)
    story.until(lambda: "(3 of 4)" in page.locator(".stat").nth(0).inner_text())
    expect(page.locator(".stat").nth(0)).to_contain_text("75.0 %")
    expect(page.locator(".stat").nth(1)).to_contain_text("(0 of 3)")
    expect(page.locator(".stat").nth(2)).to_contain_text("Confidence drift")
    story.look()


def a_call_is_granted_on_a_phone(story: Story, agent: Client) -> None:
    """One by touch, one by the keyboard of the phone; each runs once its agent comes back."""
    ines = story.at.person(Role.APPROVER, "approvers")
    calls = {amount: Call("bot", "payments.transfer", {"amount": amount}) for amount in (5000, 6000)}
    asked = [agent.evaluate(one.agent_id, one.capability, one.payload).approval for one in calls.values()]
    window = story.browsing.open(
        story.at.url + "/approvals", device="phone", cookies={"onpurpose": story.at.token(ines)}
    )
    page = window.page
    for (amount, call), ticket in zip(calls.items(), asked, strict=True):
        assert ticket is not None
        page.goto(story.at.url + "/approvals")
        story.look(window)
        page.locator(f"#a-{ticket.id} h3 a").tap()
        expect(page.locator(".code")).to_contain_text(str(amount))
        story.look(window)
        if amount == 5000:
            page.get_by_role("button", name="Grant…").tap()
            page.get_by_role("button", name="Grant this call").tap()
        else:
            page.keyboard.press("y")
            expect(page.get_by_role("button", name="Grant this call")).to_be_focused()
            page.keyboard.press("Enter")
        expect(page.get_by_text("Your grant is kept.")).to_be_visible()
        story.look(window)
        assert ticket.wait(10).granted
        assert str(agent.resume(ticket.id, call).outcome) == "allow"


def promote(story: Story) -> None:
    """With the evidence in the dialogue, and a reason."""
    story.go(PAGE)
    page = story.page
    page.get_by_role("button", name="Promote …").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("(3 of 4)")
    page.keyboard.press("Escape")
    promote_here(story, "the guide says so")


def undo(story: Story) -> None:
    expect(story.page.locator("[data-disables=undo]")).to_contain_text("s")
    story.page.get_by_role("button", name="Undo").click()
    expect(story.page.get_by_text("It was reverted")).to_be_visible()
    story.look()
