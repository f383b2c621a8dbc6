"""The settings: each role sees its own, secrets are shown once, and what is wrong is said where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from onpurpose.adapters.clock import Ids
from onpurpose.app.channels import Channels, Configured
from onpurpose.app.viewing import Moot
from onpurpose.core.access import Role, Scope
from onpurpose.core.delivery import Channel, Delivery, Event, Progress, UndeliverableError, View
from onpurpose.core.purpose import Notify, Settings
from onpurpose.core.revision import Kind
from onpurpose.server.dashboard import settings, sign_in
from onpurpose.server.dashboard.settings_frame import SECTIONS
from tests.dashboard.desks import HOSTILE, PASSWORD, Browser, Desks, Place, opened
from tests.server.api.house import House

SECRET = "whsec_c2VjcmV0"
HOOK = "https://hooks.example/services/T0/very-secret-path"
NOTIFY = Notify(slack="C0APPROVALS", email=True, webhooks=(HOOK,))


class Noted:
    """A messenger that keeps what it is to send; to `down` it cannot."""

    def __init__(self, down: str = "") -> None:
        self.sent: list[tuple[Delivery, View]] = []
        self._down = down

    def send(self, delivery: Delivery, view: View) -> str:
        if self._down:
            raise UndeliverableError(self._down)
        self.sent.append((delivery, view))
        return "ref"


class Dead:
    """Deliveries of which one was given up."""

    def dead(self, workspace: str, limit: int, channel: Channel | None = None) -> list[Delivery]:
        return [
            Delivery(
                id="d", workspace=workspace, approval_id="a", channel=Channel.WEBHOOK, event=Event.REQUESTED,
                recipient=HOOK, created_at=1, due_at=1, attempts=9, progress=Progress.DEAD, error=HOSTILE,
            )
        ] if channel is Channel.WEBHOOK else []  # fmt: skip


MAIL = Noted()


def channels(house: House) -> Channels:
    configured = [
        Configured(channel=Channel.SLACK, ready=True, facts=(("Bot token", "set"),)),
        Configured(channel=Channel.EMAIL, ready=True, facts=(("From", "gate@corp.example"),)),
        Configured(channel=Channel.WEBHOOK, ready=True),
    ]
    messengers: Any = {Channel.EMAIL: MAIL, Channel.SLACK: Noted("no such channel")}
    dead: Any = Dead()
    return Channels(
        configured, messengers, dead, view=lambda _: Moot("it is none"), wake=lambda _: None,
        settings=lambda _: Settings(notify=NOTIFY), secret_of=lambda _: SECRET, ledger=house.ledger, clock=house.clock,
        new_id=Ids().new,
    )  # fmt: skip


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    with opened(tmp_path_factory.mktemp("desks"), [settings.routes, sign_in.routes], channels) as found:
        yield found


def once(text: str) -> str:
    """The secret that a page shows."""
    found = re.search(r'class="mono" readonly value="([^"]+)"', text)
    assert found is not None, text
    return found.group(1)


# -- who sees what


@pytest.mark.parametrize("who", ["vic", "ada", "wim", "pia", "ann"])
@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: one.label)
def test_a_section_is_open_to_its_roles_alone(place: Place, who: str, section: Any) -> None:
    browser = place.browser(who)
    may = (section.scope is Scope.READ or who == "ann") and not section.operator
    assert browser.get(section.path).status_code == (200 if may else 403)
    assert (f'href="{section.path}"' in browser.get("/settings").text) is may


@pytest.mark.parametrize("section", SECTIONS, ids=lambda one: one.label)
def test_the_operators_admin_sees_all_and_their_viewer_does_not(desks: Desks, section: Any) -> None:
    operator = desks.operator()
    assert operator.browser("ann").get(section.path).status_code == 200
    assert operator.browser("vic").get(section.path).status_code == (200 if section.scope is Scope.READ else 403)


CHANGES = [
    ("/settings/users", {"name": "X", "email": "x@corp.example"}), ("/settings/users/ada", {"name": "X"}),
    ("/settings/users/ada/disable", {}), ("/settings/users/ada/link", {}), ("/settings/keys", {"name": "x"}),
    ("/settings/keys/none/revoke", {}), ("/settings/channels/email/test", {}),
    ("/settings/channels/webhook/secret", {}), ("/settings/channels/email/again", {}), ("/settings/channels", {}),
    ("/settings/tokens", {"reason": "x"}), ("/settings/workspaces", {"id": "x"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "fields"), CHANGES, ids=[path for path, _ in CHANGES])
@pytest.mark.parametrize("who", ["vic", "ada", "wim", "pia"])
def test_only_admins_change_anything(place: Place, who: str, path: str, fields: dict[str, str]) -> None:
    before = [place.desks.house.control.keyring.users(place.name), place.desks.house.control.keyring.keys(place.name)]
    assert place.browser(who).act(path, fields, at="/settings").status_code == 403
    assert before == [
        place.desks.house.control.keyring.users(place.name), place.desks.house.control.keyring.keys(place.name)
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["/settings/tokens", "/settings/workspaces"])
def test_what_belongs_to_the_operator_no_other_admin_does(admin: Browser, path: str) -> None:
    assert admin.act(path, {"reason": "x", "id": "mine"}, at="/settings").status_code == 403


@pytest.mark.parametrize(("path", "fields"), CHANGES, ids=[path for path, _ in CHANGES])
def test_a_form_of_another_page_changes_nothing(place: Place, path: str, fields: dict[str, str]) -> None:
    browser = place.desks.operator().browser("ann")
    browser.get("/settings")
    assert browser.post(path, fields, origin="https://evil.example").status_code == 403
    assert browser.post(path, fields | {"_csrf": "no"}).status_code == 403


# -- users


def test_a_user_is_made_changed_disabled_and_enabled(place: Place, admin: Browser) -> None:
    keyring = place.desks.house.control.keyring
    fields = {
        "id": "eve", "name": "Eve", "email": "eve@corp.example", "groups": "approvers\nsales, ops", "slack": "U0EVE",
        "roles": ["approver", "author"],
    }  # fmt: skip
    made = admin.act("/settings/users", fields)
    assert (made.status_code, made.headers["location"]) == (303, "/settings/users/eve?done=made")
    eve = keyring.user(place.name, "eve")
    assert (eve.groups, eve.slack, eve.roles) == (
        ("approvers", "sales", "ops"), "U0EVE", frozenset({Role.APPROVER, Role.AUTHOR}),
    )  # fmt: skip
    changed = {"name": "Eve E.", "email": "eve@corp.example", "groups": "", "slack": "", "roles": ["viewer"]}
    assert admin.act("/settings/users/eve", changed).status_code == 303
    eve = keyring.user(place.name, "eve")
    assert (eve.name, eve.groups, eve.slack, eve.roles) == ("Eve E.", (), None, frozenset({Role.VIEWER}))
    assert admin.act("/settings/users/eve/disable", {}, at="/settings/users/eve").status_code == 303
    assert keyring.user(place.name, "eve").disabled_at is not None
    assert "Enable the user" in admin.get("/settings/users/eve").text
    assert admin.post("/settings/users/eve", changed).status_code == 303
    assert keyring.user(place.name, "eve").disabled_at is None


def test_what_is_wrong_with_a_user_stands_at_its_field_and_nothing_is_lost(admin: Browser) -> None:
    fields = {"id": "a b", "name": "Zoë", "email": "nowhere", "groups": "with space", "slack": "zoe", "roles": "viewer"}
    response = admin.act("/settings/users", fields)
    assert response.status_code == 422
    for field in ("id", "email", "groups", "slack"):
        assert f'id="f-{field}-errors"' in response.text
    assert 'value="Zoë"' in response.text
    taken = admin.post("/settings/users", {"id": "ada", "name": "Ada", "email": "ada@corp.example"})
    assert taken.status_code == 409
    assert "There is a user `ada` already." in taken.text


def test_nobody_disables_themselves(place: Place, admin: Browser) -> None:
    assert admin.act("/settings/users/ann/disable", {}, at="/settings/users").status_code == 409
    assert place.desks.house.control.keyring.user(place.name, "ann").disabled_at is None


def test_a_link_lets_the_user_set_a_password_once(place: Place, admin: Browser) -> None:
    page = admin.act("/settings/users/ada/link", {}, at="/settings/users/ada")
    link = once(page.text)
    assert link.startswith("http://127.0.0.1/sign-in/link/")
    assert link not in admin.get("/settings/users/ada").text
    guest, path = place.browser(), link.removeprefix("http://127.0.0.1")
    assert guest.act(path, {"password": PASSWORD, "again": PASSWORD}).status_code == 200
    assert place.desks.own.invited(path.rpartition("/")[2]) is None
    assert admin.act("/settings/users/ada/link", {}, at="/settings/users/ada").status_code == 200


def test_who_cannot_sign_in_gets_no_link(place: Place, admin: Browser) -> None:
    place.desks.house.control.keyring.disable_user(place.name, "ada", by="tests")
    assert admin.act("/settings/users/ada/link", {}, at="/settings/users").status_code == 409


def test_users_of_another_workspace_are_not_there(desks: Desks, place: Place, admin: Browser) -> None:
    desks.workspace().person("far", Role.VIEWER)
    assert admin.get("/settings/users/far").status_code == 404
    assert admin.act("/settings/users/far/disable", {}, at="/settings/users").status_code == 404


# -- keys


def test_a_key_is_shown_once_and_works_until_it_is_revoked(place: Place, admin: Browser) -> None:
    fields = {"name": "the agent", "scopes": ["evaluate", "read"], "expires_in_seconds": "86400", "per_minute": "120"}
    made = admin.act("/settings/keys", fields)
    secret = once(made.text)
    (key,) = place.desks.house.control.keyring.keys(place.name)
    assert (key.name, key.scopes, key.per_minute, key.created_by) == ("the agent", {"evaluate", "read"}, 120, "ann")
    assert key.expires_at is not None
    assert place.desks.house.authority.find(secret, place.desks.house.clock.now()) == key
    again = admin.get("/settings/keys").text
    assert secret not in again
    assert key.prefix in again
    assert admin.post(f"/settings/keys/{key.id}/revoke", {}).status_code == 303
    assert "revoked" in admin.get("/settings/keys").text
    assert place.desks.house.control.keyring.key(place.name, key.id).revoked_at is not None


def test_a_personal_key_may_not_ask_as_an_agent(place: Place, admin: Browser) -> None:
    response = admin.act("/settings/keys", {"name": "ada's", "scopes": ["approve", "evaluate"], "user": "ada"})
    assert response.status_code == 422
    assert "a personal key has the scopes `approve` and `read` at most" in response.text
    assert admin.post("/settings/keys", {"name": "ada's", "scopes": ["approve"], "user": "ada"}).status_code == 200
    assert [one.user for one in place.desks.house.control.keyring.keys(place.name)] == ["ada"]


def test_what_is_wrong_with_a_key_stands_at_its_field(admin: Browser) -> None:
    response = admin.act("/settings/keys", {"name": "", "per_minute": "many", "user": "nobody"})
    assert response.status_code == 422
    assert "Choose what it may do." in response.text
    assert 'id="f-per_minute-errors"' in response.text


def test_the_last_admin_key_is_not_revoked(place: Place, admin: Browser) -> None:
    made = place.desks.house.control.keyring.create_key(place.name, "admin", [Scope.ADMIN], by="tests")
    response = admin.act(f"/settings/keys/{made.key.id}/revoke", {}, at="/settings/keys")
    assert response.status_code == 409
    assert "last admin key" in response.text


# -- channels


def test_channels_show_what_is_set_and_nothing_secret(admin: Browser) -> None:
    text = admin.get("/settings/channels").text
    for wanted in ("gate@corp.example", "3 sent, 1 tried again, 0 given up", "C0APPROVALS", "hooks.example"):
        assert wanted in text
    assert "very-secret-path" not in text
    assert SECRET not in text
    assert "<script>alert" not in text


def test_a_test_message_says_that_it_is_one_and_asks_nothing(place: Place, admin: Browser) -> None:
    response = admin.act("/settings/channels/email/test", {}, at="/settings/channels")
    assert "A test message went to ann." in response.text
    delivery, view = MAIL.sent[-1]
    assert (delivery.recipient, view.address) == ("ann", "ann@corp.example")
    assert view.approval.state == "cancelled"
    assert "test message" in view.approval.acts[0].text
    assert "no such channel" in admin.post("/settings/channels/slack/test", {}).text
    assert "nothing is configured" in admin.post("/settings/channels/webhook/test", {}).text
    assert admin.post("/settings/channels/pigeon/test", {}).status_code == 404


def test_the_webhook_secret_is_shown_on_demand_and_that_is_recorded(place: Place, admin: Browser) -> None:
    assert once(admin.act("/settings/channels/webhook/secret", {}, at="/settings/channels").text) == SECRET
    place.desks.follow()
    (event,) = place.desks.house.feed.events(place.name, kinds=["webhook_secret.shown"])
    assert event.kind == "webhook_secret.shown"


# -- the document


def test_the_document_is_saved_with_a_reason_by_who_writes_and_promotes(place: Place, admin: Browser) -> None:
    assert "Nothing was written yet" in admin.get("/settings/workspace").text
    fields = {"text": "purpose_required: true\n", "reason": "from now on", "version": "0"}
    assert admin.act("/settings/workspace", fields).status_code == 303
    _, revision = place.desks.house.control.shelf.newest(place.name, Kind.SETTINGS, "settings")
    assert (revision.text, revision.reason, revision.author) == ("purpose_required: true\n", "from now on", "ann")
    assert "from now on" in admin.get("/settings/workspace?done=1").text
    assert "purpose_required" in place.browser("vic").get("/settings/workspace").text


def test_problems_stand_at_their_lines_and_the_text_comes_back(place: Place, admin: Browser) -> None:
    text = "purpose_required: true\nunmatched: perhaps\nwhatever: <script>alert(1)</script>\n"
    response = admin.act("/settings/workspace", {"text": text, "version": "0"})
    assert response.status_code == 422
    assert '<a href="#L2">Line 2' in response.text
    assert '<a href="#L3">Line 3' in response.text
    assert 'class="line is-hit" id="L2"' in response.text
    assert "unmatched: perhaps" in response.text
    assert "<script>alert" not in response.text


def test_who_was_slower_loses_nothing_and_changes_nothing(place: Place, admin: Browser) -> None:
    admin.act("/settings/workspace", {"text": "purpose_required: true\n", "version": "0"})
    late = admin.post("/settings/workspace", {"text": "unmatched: allow\n", "version": "0"})
    assert late.status_code == 409
    assert "unmatched: allow" in late.text
    _, revision = place.desks.house.control.shelf.newest(place.name, Kind.SETTINGS, "settings")
    assert revision.text == "purpose_required: true\n"


def test_an_author_alone_does_not_change_what_decides(place: Place) -> None:
    response = place.browser("wim").act("/settings/workspace", {"text": "unmatched: allow\n", "version": "0"})
    assert response.status_code == 403
    assert "this needs the scope `policy:promote`" in response.text
    assert place.browser("pia").act("/settings/workspace", {"text": "unmatched: allow\n"}).status_code == 403


# -- the service


def test_token_keys_are_rotated_for_a_reason(desks: Desks) -> None:
    browser = desks.operator().browser("ann")
    before = desks.house.tokens.jwks()["keys"]
    assert browser.act("/settings/tokens", {"reason": " "}).status_code == 422
    assert browser.post("/settings/tokens", {"reason": "every year"}).status_code == 303
    assert len(desks.house.tokens.jwks()["keys"]) == len(before) + 1  # type: ignore[arg-type]


def test_a_workspace_is_made_and_its_admin_key_shown_once(desks: Desks) -> None:
    browser = desks.operator().browser("ann")
    made = browser.act("/settings/workspaces", {"id": "fresh", "name": "Fresh <b>"})
    assert once(made.text).startswith("op_")
    assert "Fresh &lt;b&gt;" in made.text
    assert browser.post("/settings/workspaces", {"id": "fresh"}).status_code == 409
    assert browser.post("/settings/workspaces", {"id": "no way"}).status_code == 422


def test_days_that_were_archived_are_listed_with_their_records(desks: Desks) -> None:
    operator = desks.operator()
    operator.record("archive.made", id="m", day="2026-01-02", file="2026-01-02.parquet", by=HOSTILE)
    operator.record("retention.ordered", id="o", day="2026-01-02", reason=HOSTILE, by="ann")
    text = operator.browser("ann").get("/settings/retention").text
    assert "2026-01-02.parquet" in text
    assert "let go" in text
    assert "<script>alert" not in text


def test_nothing_that_somebody_is_called_is_markup(place: Place, admin: Browser) -> None:
    name = HOSTILE[:200]
    admin.act("/settings/users", {"id": "evil", "name": name, "email": "<img@x>", "groups": "", "roles": "viewer"})
    admin.post("/settings/users", {"id": "evil", "name": name, "email": "'\"<b>@x", "roles": "viewer"})
    admin.post("/settings/keys", {"name": name, "scopes": "evaluate"})
    for path in ("/settings/users", "/settings/users/evil", "/settings/keys"):
        text = admin.get(path).text
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "<b>" not in text
