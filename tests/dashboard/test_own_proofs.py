"""Links to set a password, the first person, one's own account: each is for one person, and once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

import pyotp
import pytest
from msgspec.structs import replace

from onpurpose.adapters.vault import AesVault
from onpurpose.app.own_proofs import LINK_SECONDS, OwnProofs, password_fault
from onpurpose.app.proofs import Proofs
from onpurpose.app.sign_in import Proved
from onpurpose.core.access import Role, Scope, User
from onpurpose.core.revision import ConflictError
from onpurpose.core.session import Credential
from tests.dashboard.entrance import PASSWORD, SECOND, SECRET, Browser, Entrance, path_of

NEW = "eleven wet lanterns"


@pytest.fixture
def entrance() -> Entrance:
    made = Entrance()
    made.person("root", Role.ADMIN)
    made.person("ann", Role.VIEWER)
    return made


def ann(entrance: Entrance) -> User:
    return entrance.keyring.user("default", "ann")


# -- links


def followed(browser: Browser, token: str, password: str = NEW, again: str = NEW) -> int:
    browser.get(f"/sign-in/link/{token}")
    fields = browser.fields | {"password": password, "again": again}
    return browser.post(f"/sign-in/link/{token}", fields).status_code


def test_by_a_link_one_sets_a_password_once(entrance: Entrance) -> None:
    new = entrance.person("new", Role.VIEWER, password=None)
    token = entrance.own.link(new, by="root")
    browser = entrance.browser()
    assert "new" in browser.get(f"/sign-in/link/{token}").text
    assert browser.get(f"/sign-in/link/{token}").status_code == 200, "looking changes nothing"
    assert followed(browser, token) == 200
    assert followed(browser, token, "another long one", "another long one") == 410
    assert browser.sign_in("new", NEW).status_code == 303
    (note,) = entrance.notes("password.link_made")
    assert (note["by"], note["user"]) == ("root", "new")
    assert token not in str(entrance.world.notes())
    assert [note["first"] for note in entrance.notes("password.changed") if note["user"] == "new"] == [True]


def test_a_link_ends_the_password_before_and_every_session(entrance: Entrance) -> None:
    browser = entrance.browser()
    browser.sign_in()
    entrance.clock.at += SECOND
    assert followed(entrance.browser(), entrance.own.link(ann(entrance), by="root")) == 200
    assert not browser.is_in()
    assert browser.sign_in().status_code == 401


def test_whose_link_it_was_signs_in_there_whatever_others_try(entrance: Entrance) -> None:
    browser = entrance.browser()
    assert followed(browser, entrance.own.link(ann(entrance), by="root")) == 200
    for number in range(30):
        entrance.sign_in.by_password("default", "ann" if number < 5 else f"n{number}", "wrong", "testclient")
    assert entrance.browser().sign_in("ann", NEW).status_code == 429
    assert browser.sign_in("ann", NEW).status_code == 303


def test_a_link_is_good_for_three_days_and_unless_something_changed(entrance: Entrance) -> None:
    first, second = (entrance.own.link(ann(entrance), by="root") for _ in range(2))
    entrance.clock.at += SECOND
    assert entrance.own.follow(first, NEW) is not None
    assert entrance.own.invited(second) is None
    third = entrance.own.link(ann(entrance), by="root")
    entrance.clock.at += LINK_SECONDS * SECOND - 1
    assert entrance.own.invited(third) is not None
    entrance.keyring.disable_user("default", "ann", by="root")
    assert entrance.own.invited(third) is None
    entrance.keyring.update_user("default", "ann", "Ann", "a@corp.example", (), by="root")
    entrance.clock.at += 1
    assert (entrance.own.invited(third), entrance.own.follow(third, NEW)) == (None, None)


def test_what_was_not_signed_here_is_no_link(entrance: Entrance) -> None:
    token = entrance.own.link(ann(entrance), by="root")
    body, _, seal = token.partition(".")
    other = Entrance()
    other.person("ann")
    for forged in (
        "",
        ".",
        body,
        f"{body}.",
        f"{body}.{seal[:-2]}AA",
        f"{body[:-2]}.{seal}",
        f"é{token}",
        token * 50,
        f".{seal}",
    ):
        assert entrance.own.invited(forged) is None
    assert entrance.browser().get("/sign-in/link/x.y").status_code == 410
    assert repr(entrance.own) == "OwnProofs()"


def test_of_several_who_follow_a_link_at_once_one_sets_the_password(entrance: Entrance) -> None:
    token, start, won = entrance.own.link(ann(entrance), by="root"), threading.Barrier(4), []
    entrance.clock.at += SECOND

    def follow(number: int) -> None:
        start.wait(10)
        if entrance.own.follow(token, f"{NEW} {number}") is not None:
            won.append(number)

    threads = [threading.Thread(target=follow, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(won) == 1
    assert isinstance(entrance.sign_in.by_password("default", "ann", f"{NEW} {won[0]}", ""), Proved)


def test_a_link_that_was_followed_meanwhile_sets_nothing(entrance: Entrance) -> None:
    token = entrance.own.link(ann(entrance), by="root")
    entrance.clock.at += SECOND

    class Meanwhile:
        """Credentials that somebody else sets once they were looked at."""

        looked = False

        def get(self, workspace: str, user_id: str) -> Credential | None:
            found = entrance.means.credentials.get(workspace, user_id)
            if not self.looked:
                self.looked = True
                entrance.own.follow(token, "the other's password")
            return found

        def keep(self, credential: Credential, *, signs_out: bool = False, notes: Sequence[bytes]) -> None:
            entrance.means.credentials.keep(credential, signs_out=signs_out, notes=notes)

    means = replace(entrance.means, credentials=Meanwhile())
    own = OwnProofs(
        means, Proofs(means), entrance.world.control.post, secret=SECRET, people=entrance.world.access.users
    )
    assert own.follow(token, NEW) is None
    assert isinstance(entrance.sign_in.by_password("default", "ann", "the other's password", ""), Proved)


@pytest.mark.parametrize(
    ("password", "again"), [("short", "short"), (NEW, NEW + "x"), ("a" * 20, "a" * 20), ("x" * 300, "x" * 300)]
)
def test_a_password_that_will_not_do_is_not_set(entrance: Entrance, password: str, again: str) -> None:
    token, browser = entrance.own.link(ann(entrance), by="root"), entrance.browser()
    assert followed(browser, token, password, again) == 422
    browser.get("/sign-in")
    assert browser.sign_in().status_code == 303


def test_a_link_is_followed_from_our_own_page(entrance: Entrance) -> None:
    token, browser = entrance.own.link(ann(entrance), by="root"), entrance.browser()
    fields = {"password": NEW, "again": NEW}
    assert browser.post(f"/sign-in/link/{token}", fields).status_code == 403
    browser.get(f"/sign-in/link/{token}")
    response = browser.post(f"/sign-in/link/{token}", browser.fields | fields, origin="https://evil.example")
    assert response.status_code == 403
    assert browser.sign_in().status_code == 303


@pytest.mark.parametrize(
    ("password", "fault"),
    [("eleven wet lanterns", ""), ("a" * 12, "repeats"), ("elevenchars", "12 characters at least"),
     ("Ann@Corp.example", "your own name"), ("x" * 257, "256 characters at most"), ("ann.long.name", "your own name")],
)  # fmt: skip
def test_a_password_is_long_and_not_a_name(password: str, fault: str) -> None:
    found = password_fault(password, "ann.long.name", "ann@corp.example")
    assert fault in found
    assert bool(fault) == bool(found)


# -- the first person


@pytest.fixture
def empty() -> Entrance:
    return Entrance()


def set_up(browser: Browser, **changed: str) -> int:
    browser.get("/set-up")
    fields = {
        "key": browser.entrance.admin_key, "id": "ada", "name": "Ada", "email": "ada@corp.example", "password": NEW,
        "again": NEW,
    }  # fmt: skip
    return browser.post("/set-up", browser.fields | fields | changed).status_code


def test_the_first_person_is_made_by_whoever_has_the_key_and_then_never_again(empty: Entrance) -> None:
    browser = empty.browser()
    assert path_of(browser.get("/sign-in")) == "/set-up"
    assert set_up(browser) == 200
    assert browser.get("/set-up").status_code == 404
    assert browser.post("/set-up", browser.fields | {"key": empty.admin_key}).status_code == 404
    assert browser.sign_in("ada", NEW).status_code == 303
    (ada,) = empty.keyring.users("default")
    assert (ada.id, ada.roles) == ("ada", {Role.ADMIN})
    assert empty.admin_key not in str(empty.world.notes())
    assert NEW not in str(empty.world.notes())


@pytest.mark.parametrize("kind", ["none", "unknown", "reader", "other workspace", "revoked"])
def test_without_the_key_nobody_is_made(empty: Entrance, kind: str) -> None:
    made = {
        "reader": ("default", Scope.READ),
        "other workspace": ("other", Scope.ADMIN),
        "revoked": ("default", Scope.ADMIN),
    }
    key = {"none": "", "unknown": "op_" + "x" * 52}.get(kind, "")
    if kind in made:
        new = empty.keyring.create_key(made[kind][0], "k", [made[kind][1]], by="")
        key = new.secret
        if kind == "revoked":
            empty.keyring.revoke_key("default", new.key.id, by="")
    browser = empty.browser()
    assert set_up(browser, key=key) == 401
    assert empty.keyring.users("default") == []
    if key:
        assert key not in browser.get("/set-up").text


def test_nobody_keeps_out_who_has_the_key_by_giving_wrong_ones(empty: Entrance) -> None:
    browser = empty.browser()
    assert {set_up(browser, key="op_x") for _ in range(30)} == {401}
    assert set_up(browser) == 200


@pytest.mark.parametrize(
    "changed",
    [{"id": "a b"}, {"id": ""}, {"id": "../x"}, {"email": "ada"}, {"password": "short", "again": "short"},
     {"again": "other"}, {"name": "x" * 201}, {"id": "<script>alert(1)</script>"}],
)  # fmt: skip
def test_what_will_not_do_is_said_at_its_field(empty: Entrance, changed: dict[str, str]) -> None:
    browser = empty.browser()
    assert set_up(browser, **changed) == 422
    assert empty.keyring.users("default") == []
    assert "<script>alert" not in browser.get("/set-up").text


def test_the_set_up_page_answers_its_own_form_alone(empty: Entrance) -> None:
    browser = empty.browser()
    browser.get("/set-up")
    fields = browser.fields | {
        "key": empty.admin_key,
        "id": "eve",
        "email": "e@x.example",
        "password": NEW,
        "again": NEW,
    }
    assert browser.post("/set-up", fields, origin="https://evil.example").status_code == 403
    assert browser.post("/set-up", fields | {"_csrf": "x"}).status_code == 403
    assert empty.keyring.users("default") == []


def test_of_two_at_once_one_wins(empty: Entrance) -> None:
    start, made = threading.Barrier(3), []

    def make(name: str) -> None:
        start.wait(10)
        made.append(empty.first.make(name, name, f"{name}@corp.example", NEW))

    threads = [threading.Thread(target=make, args=(name,)) for name in ("ada", "bob", "eve")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(one is None for one in made) == [False, True, True]
    assert len(empty.keyring.users("default")) == 1


def test_a_user_who_was_there_becomes_the_first_person(empty: Entrance) -> None:
    empty.keyring.create_user("default", "ada", "Ada", "ada@corp.example", ("approvers",), by="api", slack="U1")
    assert set_up(empty.browser()) == 200
    (ada,) = empty.keyring.users("default")
    assert (ada.groups, ada.slack, ada.roles) == (("approvers",), "U1", {Role.ADMIN})


def test_without_an_admin_the_others_still_sign_in(empty: Entrance) -> None:
    empty.person("ann", Role.VIEWER)
    browser = empty.browser()
    assert browser.sign_in().status_code == 303
    assert set_up(empty.browser()) == 200


# -- one's own account


@pytest.fixture
def browser(entrance: Entrance) -> Browser:
    made = entrance.browser()
    made.sign_in()
    return made


def csrf(browser: Browser) -> dict[str, str]:
    browser.get("/account")
    return {"_csrf": browser.fields["_csrf"]}


def test_a_new_password_signs_out_everywhere(entrance: Entrance, browser: Browser) -> None:
    other = entrance.browser()
    other.sign_in()
    fields = csrf(browser) | {"current": PASSWORD, "password": NEW, "again": NEW}
    assert path_of(browser.post("/account/password", fields)) == "/sign-in"
    assert not browser.is_in()
    assert not other.is_in()
    assert browser.sign_in("ann", PASSWORD).status_code == 401
    assert browser.sign_in("ann", NEW).status_code == 303


@pytest.mark.parametrize(
    "changed", [{"current": "wrong"}, {"password": "short", "again": "short"}, {"again": "other"}, {"current": ""}]
)
def test_a_password_is_not_changed_by_a_slip_or_a_stranger(browser: Browser, changed: dict[str, str]) -> None:
    fields = csrf(browser) | {"current": PASSWORD, "password": NEW, "again": NEW} | changed
    assert browser.post("/account/password", fields).status_code == 422
    assert browser.is_in()


def test_the_current_password_cannot_be_guessed_on_and_on(browser: Browser) -> None:
    fields = csrf(browser) | {"password": NEW, "again": NEW}
    for _ in range(5):
        browser.post("/account/password", fields | {"current": "wrong"})
    response = browser.post("/account/password", fields | {"current": PASSWORD})
    assert (response.status_code, "wait 30 s" in response.text) == (422, True)


def test_a_second_factor_is_turned_on_shown_once_and_turned_off(entrance: Entrance, browser: Browser) -> None:
    assert browser.post("/account/code", csrf(browser) | {"current": "wrong"}).status_code == 422
    shown = browser.post("/account/code", csrf(browser) | {"current": PASSWORD}).text
    secret = shown.partition("<dt>Secret</dt><dd><code>")[2].partition("<")[0]
    assert "otpauth://totp/onpurpose:ann" in shown
    assert secret not in browser.get("/account").text
    assert browser.post("/account/code/confirm", csrf(browser) | {"code": "000000"}).status_code == 422
    assert not entrance.own.has_code(ann(entrance))
    code = pyotp.TOTP(secret).at(entrance.clock.at // SECOND)
    shown = browser.post("/account/code/confirm", csrf(browser) | {"code": code}).text
    assert shown.count("<li><code>") == 10
    assert entrance.own.has_code(ann(entrance))
    assert "<li><code>" not in browser.get("/account").text
    assert browser.post("/account/code/remove", csrf(browser) | {"current": "wrong"}).status_code == 422
    browser.post("/account/code/remove", csrf(browser) | {"current": PASSWORD})
    assert not entrance.own.has_code(ann(entrance))
    assert [note["kind"] for note in entrance.notes("second_factor")] == ["second_factor.set", "second_factor.removed"]


def test_nothing_is_confirmed_that_was_not_proposed(entrance: Entrance) -> None:
    assert entrance.own.confirm_code(ann(entrance), "123456") is None
    entrance.own.remove_code(ann(entrance), by="root")
    assert entrance.notes("second_factor") == []


def test_one_signs_out_everywhere_at_once(entrance: Entrance, browser: Browser) -> None:
    other = entrance.browser()
    other.sign_in()
    assert browser.get("/account").text.count("password</td>") == 2
    browser.post("/account/sign-out-everywhere", csrf(browser))
    assert not browser.is_in()
    assert not other.is_in()
    assert entrance.signed_in.end_all(ann(entrance), by="root") == 0
    assert len(entrance.notes("session.ended")) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/account/password",
        "/account/code",
        "/account/code/confirm",
        "/account/code/remove",
        "/account/sign-out-everywhere",
    ],
)
def test_what_changes_an_account_is_sent_by_its_own_page(browser: Browser, path: str) -> None:
    fields = {"current": PASSWORD, "password": NEW, "again": NEW, "code": "1"}
    assert browser.post(path, fields).status_code == 403
    assert browser.post(path, csrf(browser) | fields, origin="https://evil.example").status_code == 403
    assert browser.is_in()


def test_a_secret_sealed_for_one_opens_for_no_other(entrance: Entrance) -> None:
    entrance.own.propose_code(ann(entrance))
    kept = entrance.means.credentials.get("default", "ann")
    assert kept is not None
    assert kept.proposed is not None
    vault = AesVault("s" * 40)
    with pytest.raises(Exception, match="cannot be opened"):
        vault.open(kept.proposed, "totp default root")


def test_what_is_changed_all_the_time_by_others_is_given_up(entrance: Entrance) -> None:
    class Restless:
        """Every version is taken already."""

        def get(self, workspace: str, user: str) -> Credential | None:
            return None

        def keep(self, credential: Credential, *, signs_out: bool = False, notes: object) -> None:
            raise ConflictError("taken")

    proofs = Proofs(replace(entrance.means, credentials=Restless()))
    with pytest.raises(ConflictError, match="at the same time"):
        proofs.change(ann(entrance), "ann", lambda held, _: (replace(held, failures=1), [], None))


def test_no_password_comes_back_in_a_page_when_the_session_has_ended(entrance: Entrance, browser: Browser) -> None:
    fields = csrf(browser) | {"current": PASSWORD, "password": NEW, "again": NEW}
    entrance.signed_in.end_all(ann(entrance), by="root")
    response = browser.post("/account/password", fields)
    assert (response.status_code, PASSWORD in response.text, NEW in response.text) == (401, False, False)
    response = browser.post("/account/code/confirm", {"code": "123456", "_csrf": "old"})
    assert (response.status_code, "123456" in response.text) == (401, False)
    browser.sign_in()
    response = browser.post("/account/password", fields)
    assert (response.status_code, PASSWORD in response.text, NEW in response.text) == (403, False, False)


def test_nothing_leads_elsewhere(browser: Browser) -> None:
    for path in ("/account", "/sign-in", "/read"):
        where = browser.get(path).headers.get("location", "/")
        assert not urlsplit(where).netloc
