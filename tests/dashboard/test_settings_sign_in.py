"""What admins do about how others sign in: end sessions, remove a lost second factor, unlink who they are elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
import pyotp
import pytest

from onpurpose.core.access import Role
from onpurpose.core.record import Stored
from onpurpose.server.dashboard import account, settings, sign_in
from tests.dashboard.desks import HOSTILE, PASSWORD, Browser, Desks, Place, opened

SECOND = 1_000_000
IDP = "https://idp.example"


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    with opened(tmp_path_factory.mktemp("desks"), [settings.routes, sign_in.routes, account.routes]) as found:
        yield found


def done(browser: Browser, what: str, who: str = "ada", **fields: str) -> str:
    """The page after that was done to the user from it."""
    path = f"/settings/users/{who}"
    response = browser.act(f"{path}/{what}", fields, at=path)
    assert response.status_code == 303, response.text
    assert response.headers["location"].startswith(f"{path}?done=")
    return browser.get(response.headers["location"]).text


def notes(place: Place, kind: str) -> list[dict[str, Any]]:
    """What the log tells of that kind in this workspace."""
    with closing(place.desks.house.log.open_archive()) as archive:
        found = [orjson.loads(one.body) for one in archive.records() if isinstance(one, Stored)]
    return [one for one in found if one["kind"] == kind and one.get("workspace") == place.name]


def turned_on(place: Place, who: str) -> pyotp.TOTP:
    """The second factor that the user has now."""
    user = place.users[who]
    totp = pyotp.parse_uri(place.desks.own.propose_code(user).uri)
    assert isinstance(totp, pyotp.TOTP)
    assert place.desks.own.confirm_code(user, totp.at(place.desks.house.clock.now() // SECOND)) is not None
    return totp


def linked(place: Place, who: str, subject: str = "s1", issuer: str = IDP) -> None:
    linking = place.desks.parts.sessions.linking
    linking.link(place.users[who], issuer, subject, f"{who}@corp.example", by="oidc")


def dialogs(text: str) -> set[str]:
    """What the page can open."""
    found = set(re.findall(r'<dialog id="([^"]+)"', text))
    assert found == set(re.findall(r'commandfor="([^"]+)"', text)) & found
    return found & {"sign-out", "remove-code", "unlink-1", "unlink-2"}


# -- sessions


def test_an_admin_ends_all_sessions_of_a_user(place: Place, admin: Browser) -> None:
    here, there, other = place.browser("ada"), place.browser("ada"), place.browser("bob")
    assert "sign-out" in dialogs(admin.get("/settings/users/ada").text)
    assert "Every session of this user has ended." in done(admin, "sign-out")
    assert [one.get("/settings").status_code for one in (here, there, other)] == [303, 303, 200]
    assert "This user was not signed in anywhere." in done(admin, "sign-out")
    assert dialogs(admin.get("/settings/users/ada").text) == set()
    assert [(note["by"], note["user"], note["session"]) for note in notes(place, "session.ended")] == [
        ("ann", "ada", None)
    ]


# -- a lost second factor


def test_an_admin_removes_a_second_factor_that_was_lost(place: Place, admin: Browser) -> None:
    turned_on(place, "ada")
    assert "remove-code" in dialogs(admin.get("/settings/users/ada").text)
    assert "the password alone signs this user in" in done(admin, "remove-code")
    assert not place.desks.own.has_code(place.users["ada"])
    assert "This user had no second factor." in done(admin, "remove-code")
    assert [(note["by"], note["user"]) for note in notes(place, "second_factor.removed")] == [("ann", "ada")]


def test_nobody_gets_round_their_own_second_factor_or_locks_themselves_out(place: Place, admin: Browser) -> None:
    turned_on(place, "ann")
    linked(place, "ann")
    text = admin.get("/settings/users/ann").text
    assert dialogs(text) == set()
    assert 'href="/account"' in text
    for what, fields in (("remove-code", {}), ("sign-out", {}), ("unlink", {"issuer": IDP, "subject": "s1"})):
        response = admin.act(f"/settings/users/ann/{what}", fields, at="/settings/users/ann")
        assert (response.status_code, "Your own sign-in is changed under your account" in response.text) == (409, True)
    assert place.desks.own.has_code(place.users["ann"])
    assert len(place.desks.parts.sessions.linking.of(place.users["ann"])) == 1
    assert admin.get("/settings").status_code == 200


# -- identities


def test_an_admin_sees_and_unlinks_who_somebody_is_elsewhere(place: Place, admin: Browser) -> None:
    linked(place, "ada")
    linked(place, "ada", "s7", "https://other.example")
    ada = place.browser("ada")
    text = admin.get("/settings/users/ada").text
    assert all(told in text for told in ("s1", "s7", IDP, "https://other.example", "ada@corp.example"))
    assert dialogs(text) == {"sign-out", "unlink-1", "unlink-2"}
    assert "The identity is unlinked" in done(admin, "unlink", issuer=IDP, subject="s1")
    assert ada.get("/settings").status_code == 303
    left = place.desks.parts.sessions.linking.of(place.users["ada"])
    assert [(one.issuer, one.subject) for one in left] == [("https://other.example", "s7")]
    (note,) = notes(place, "identity.unlinked")
    assert (note["by"], note["user"], note["issuer"], note["subject"]) == ("ann", "ada", IDP, "s1")


@pytest.mark.parametrize(
    "given", [{}, {"issuer": IDP}, {"issuer": IDP, "subject": "s2"}, {"issuer": IDP, "subject": "s3"}]
)
def test_only_what_is_theirs_is_unlinked(place: Place, admin: Browser, given: dict[str, str]) -> None:
    linked(place, "ada", "s1")
    linked(place, "bob", "s2")
    response = admin.act("/settings/users/ada/unlink", given, at="/settings/users/ada")
    assert (response.status_code, "This user has no such identity" in response.text) == (409, True)
    linking = place.desks.parts.sessions.linking
    assert [len(linking.of(place.users[who])) for who in ("ada", "bob")] == [1, 1]


def test_what_an_identity_is_called_is_no_markup(place: Place, admin: Browser) -> None:
    linked(place, "ada", HOSTILE)
    text = admin.get("/settings/users/ada").text
    assert ("<script>alert" not in text, "<img src=x" not in text, "{{7*7}}" in text) == (True, True, True)
    assert "The identity is unlinked" in done(admin, "unlink", issuer=IDP, subject=HOSTILE)


# -- who may


@pytest.mark.parametrize("who", ["vic", "ada", "wim", "pia"])
def test_only_admins_see_and_change_how_others_sign_in(place: Place, who: str) -> None:
    turned_on(place, "bob")
    linked(place, "bob")
    bob, browser = place.browser("bob"), place.browser(who)
    text = browser.get("/settings/users/bob").text
    assert ("Signing in" in text, "s1" in text, dialogs(text)) == (False, False, set())
    for what, fields in (("remove-code", {}), ("sign-out", {}), ("unlink", {"issuer": IDP, "subject": "s1"})):
        assert browser.act(f"/settings/users/bob/{what}", fields, at="/settings").status_code == 403
    assert bob.get("/settings").status_code == 200
    assert place.desks.own.has_code(place.users["bob"])


@pytest.mark.parametrize("what", ["remove-code", "sign-out", "unlink"])
def test_users_of_another_workspace_are_left_alone(desks: Desks, admin: Browser, what: str) -> None:
    far = desks.workspace()
    far.person("far", Role.VIEWER)
    turned_on(far, "far")
    linked(far, "far")
    browser, fields = far.browser("far"), {"issuer": IDP, "subject": "s1"}
    assert admin.act(f"/settings/users/far/{what}", fields, at="/settings").status_code == 404
    assert browser.get("/settings").status_code == 200
    assert far.desks.own.has_code(far.users["far"])


@pytest.mark.parametrize("what", ["remove-code", "sign-out", "unlink"])
def test_a_form_of_another_page_changes_nothing(place: Place, admin: Browser, what: str) -> None:
    turned_on(place, "ada")
    linked(place, "ada")
    ada = place.browser("ada")
    admin.get("/settings")
    path, fields = f"/settings/users/ada/{what}", {"issuer": IDP, "subject": "s1"}
    assert admin.post(path, fields, origin="https://evil.example").status_code == 403
    assert admin.post(path, fields | {"_csrf": "no"}).status_code == 403
    assert ada.get("/settings").status_code == 200
    assert place.desks.own.has_code(place.users["ada"])


def test_the_way_back_after_a_lost_second_factor(place: Place, admin: Browser) -> None:
    user = place.users["ada"]
    place.desks.own.set_password(user, PASSWORD, by="ann")
    turned_on(place, "ada")
    done(admin, "remove-code")
    place.desks.operator()  # without anybody there, a service is set up first
    guest, fields = place.browser(), {"user": "ada", "password": PASSWORD, "workspace": place.name}
    assert guest.act("/sign-in", fields).status_code == 303
    assert guest.get("/settings").status_code == 200
