"""Signing in: who is who stays theirs, whoever is not learns nothing, and nothing that was written is lost."""

from __future__ import annotations

import threading
import time
from base64 import urlsafe_b64decode
from http.cookies import SimpleCookie

import pyotp
import pytest
from msgspec.structs import replace

from onpurpose.adapters.passwords import Argon2Passwords
from onpurpose.app.masking import Masking
from onpurpose.app.patience import FREE, LONGEST_SECONDS, Patience, network, penalty
from onpurpose.app.proofs import Proofs
from onpurpose.app.sessions import SignedIn, form_token
from onpurpose.app.sign_in import FREE_BY_ADDRESS, KNOWN_SECONDS, CodeWanted, Proved, Refused, SignIn
from onpurpose.app.turned_away import MOST_A_MINUTE, TurnedAway
from onpurpose.core.access import Role, User
from onpurpose.core.session import SCOPES, Principal
from onpurpose.server.dashboard.session import local_path
from tests.app.world import ids
from tests.dashboard.entrance import HOUR, ORIGIN, PASSWORD, PASSWORDS, SECOND, Browser, Entrance, Late, path_of

COOKIE = "__Host-onpurpose"


@pytest.fixture
def entrance() -> Entrance:
    made = Entrance()
    made.person("root", Role.ADMIN)
    made.person("ann", Role.VIEWER, Role.AUTHOR)
    return made


@pytest.fixture
def browser(entrance: Entrance) -> Browser:
    return entrance.browser()


# -- coming in


@pytest.mark.parametrize("name", ["ann", "ann@corp.example", " ANN@corp.example "])
def test_who_gives_a_name_and_the_password_is_in(browser: Browser, name: str) -> None:
    assert not browser.is_in()
    response = browser.sign_in(name)
    assert (response.status_code, path_of(response)) == (303, "/")
    assert browser.get("/read").text == "read by ann"
    (note,) = browser.entrance.notes("session.opened")
    assert (note["by"], note["method"], note["address"]) == ("ann", "password", "testclient")
    assert browser.cookies[COOKIE] not in str(browser.entrance.world.notes())


def test_no_name_is_taken_for_another_that_only_folds_like_it(entrance: Entrance) -> None:
    entrance.person("bob", Role.VIEWER, email="bob@strasse.example")
    assert entrance.sign_in.find("default", "BOB@strasse.example") == entrance.keyring.user("default", "bob")
    assert entrance.sign_in.find("default", "bob@stra\u00dfe.example") is None


def test_the_cookie_is_kept_from_scripts_other_sites_and_plain_http(browser: Browser) -> None:
    response = browser.sign_in()
    cookie = SimpleCookie(next(one for one in response.headers.get_list("set-cookie") if one.startswith(f"{COOKIE}=")))[
        COOKIE
    ]
    assert cookie["secure"] is True
    assert cookie["httponly"] is True
    assert (cookie["samesite"], cookie["path"], cookie["domain"], cookie["max-age"]) == ("lax", "/", "", "604800")
    assert len(cookie.value) == 43


@pytest.mark.parametrize("base", ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"])
def test_on_this_machine_it_works_without_tls(base: str) -> None:
    entrance = Entrance(public_url="")
    entrance.person("root", Role.ADMIN)
    entrance.person("ann")
    browser = entrance.browser(base)
    browser.sign_in()
    assert browser.is_in()
    assert "onpurpose" in browser.cookies
    assert COOKIE not in browser.cookies


def test_behind_a_proxy_that_ends_tls_the_cookie_is_a_secure_one(entrance: Entrance) -> None:
    """A proxy that does not pass the host on, either."""
    browser = entrance.browser("http://127.0.0.1:8080")
    page = browser.get("/sign-in")
    (visit,) = SimpleCookie(page.headers["set-cookie"]).values()
    assert (visit.key, visit["secure"]) == ("__Host-onpurpose-visit", True)
    fields = browser.fields | {"user": "ann", "password": PASSWORD}
    response = browser.post("/sign-in", fields, origin=ORIGIN, cookie=f"{visit.key}={visit.value}")
    assert response.status_code == 303
    assert all("secure" in one.lower() for one in response.headers.get_list("set-cookie"))


def test_elsewhere_the_cookie_is_never_sent_in_the_clear(entrance: Entrance) -> None:
    response = entrance.browser("http://gate.example").get("/sign-in")
    assert all("secure" in one.lower() for one in response.headers.get_list("set-cookie"))


def test_the_page_that_was_wanted_is_shown_after_signing_in(browser: Browser) -> None:
    response = browser.get("/read?a=1&b=%2F2")
    assert (response.status_code, path_of(response)) == (303, "/sign-in?next=%2Fread%3Fa%3D1%26b%3D%252F2")
    browser.get(path_of(response))
    response = browser.post("/sign-in", browser.fields | {"user": "ann", "password": PASSWORD})
    assert path_of(response) == "/read?a=1&b=%2F2"
    assert path_of(browser.get("/sign-in?next=/read")) == "/read"


HOSTILE = [
    "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example/",
    "javascript:alert(1)", "///evil.example",
    "/\t/evil.example", "/\n//evil.example", "/%0d%0aX: y\r\n", " //evil.example", "evil", "", "/é",
    "/sign-out", "/sign-in",
    "/a\\b", "/" + "x" * 3000, "/\x00", "http:/evil.example", "//\x09evil",
]  # fmt: skip


@pytest.mark.parametrize("to", HOSTILE)
def test_nobody_is_sent_to_another_host(browser: Browser, to: str) -> None:
    assert local_path(to) == "/"
    browser.get("/sign-in")
    response = browser.post("/sign-in", browser.fields | {"user": "ann", "password": PASSWORD, "_to": to})
    assert response.headers["location"] == "/"
    assert browser.http.get("/sign-in", params={"next": to}).headers["location"] == "/"


MARKUP = "\"><script>alert(1)</script>'{{7*7}}"


def test_what_is_typed_is_shown_as_text(browser: Browser) -> None:
    browser.http.get("/sign-in", params={"next": f"/{MARKUP}"})
    browser.get("/sign-in")
    fields = {"user": MARKUP, "workspace": MARKUP, "password": "x", "_to": f"/{MARKUP}", f"kept.{MARKUP}": MARKUP}
    for response in (
        browser.http.get("/sign-in", params={"next": f"/{MARKUP}"}),
        browser.post("/sign-in", browser.fields | fields),
    ):
        assert "<script>alert" not in response.text
        assert "{{7*7}}" in response.text or "&#39;" not in response.text
        assert "script-src 'self'" in response.headers["content-security-policy"]
    assert MARKUP not in str(browser.entrance.world.notes())


def test_what_was_typed_as_a_name_is_recorded_only_where_it_is_one(entrance: Entrance) -> None:
    for name in (PASSWORD, "ann", " ANN@corp.example"):
        entrance.sign_in.by_password("default", name, "wrong", "192.0.2.1")
    told = [(note["by"], note["address"]) for note in entrance.notes("session.refused")]
    assert told == [("", "192.0.2.1"), ("ann", "192.0.2.1"), ("ann", "192.0.2.1")]
    assert PASSWORD not in str(entrance.world.notes())


# -- who is refused


@pytest.mark.parametrize(
    ("name", "password", "workspace"),
    [("ann", "wrong", ""), ("nobody", PASSWORD, ""), ("ann", PASSWORD, "other"), ("ann", PASSWORD, "nowhere"),
     ("", PASSWORD, ""), ("ann", "", ""), ("ann", PASSWORD + "x" * 300, "")],
)  # fmt: skip
def test_whoever_is_wrong_is_told_the_same(browser: Browser, name: str, password: str, workspace: str) -> None:
    response = browser.sign_in(name, password, workspace=workspace)
    assert response.status_code == 401
    assert "That is not right. Check the workspace, the name and the password." in response.text
    assert not browser.is_in()
    assert PASSWORD not in response.text
    assert len(browser.entrance.notes("session.refused")) == 1
    assert PASSWORD not in str(browser.entrance.world.notes())


@pytest.mark.parametrize("change", ["disabled", "without a role", "of a shared address"])
def test_who_may_not_come_in_is_told_the_same(entrance: Entrance, change: str) -> None:
    entrance.person("bob", Role.VIEWER)
    name = "bob"
    if change == "disabled":
        entrance.keyring.disable_user("default", "bob", by="tests")
    elif change == "without a role":
        entrance.keyring.update_user("default", "bob", "Bob", "b@corp.example", (), by="tests", roles=())
    else:
        entrance.person("bill", Role.VIEWER, email="BOB@corp.example")
        name = "bob@corp.example"
    response = entrance.browser().sign_in(name)
    assert (response.status_code, "That is not right." in response.text) == (401, True)


class Counting(Argon2Passwords):
    """Remembers how often it worked."""

    def __init__(self) -> None:
        super().__init__(**PASSWORDS)
        self.worked = 0

    def matches(self, encoded: str, password: str) -> bool:
        self.worked += 1
        return super().matches(encoded, password)


def test_as_much_is_worked_for_those_who_are_not_there() -> None:
    counting = Counting()
    entrance = Entrance(passwords=counting)
    entrance.person("ann")
    entrance.person("new", password=None)
    for name in ("ann", "nobody", "new", ""):
        before = counting.worked
        assert entrance.sign_in.by_password("default", name, "wrong", "192.0.2.1") == Refused()
        assert counting.worked == before + 1


def test_a_refusal_takes_its_time_whoever_is_meant() -> None:
    entrance = Entrance(refusal_seconds=0.05)
    entrance.person("ann")
    for name in ("ann", "nobody"):
        began = time.monotonic()
        assert entrance.browser().sign_in(name, "wrong").status_code == 401
        assert time.monotonic() - began >= 0.05


def test_after_some_failures_it_takes_longer_and_longer_whoever_is_meant(entrance: Entrance) -> None:
    for name in ("ann", "nobody"):
        waits = []
        for number in range(FREE + 6):
            address = f"192.0.2.{number}"
            assert entrance.sign_in.by_password("default", name, "wrong", address) == Refused()
            refused = (
                entrance.sign_in.by_password("default", name, PASSWORD, f"198.51.100.{number}")
                if number >= FREE - 1
                else Refused()
            )
            assert isinstance(refused, Refused)
            waits.append(refused.wait)
            entrance.clock.at += refused.wait * SECOND
        assert waits == [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900]
    assert isinstance(entrance.sign_in.by_password("default", "ann", PASSWORD, "192.0.2.1"), Proved)
    locked = entrance.notes("session.locked")
    assert [(note["user"], note["seconds"]) for note in locked][:2] == [("ann", 30), ("ann", 60)]


def test_a_success_ends_the_row(entrance: Entrance) -> None:
    for _ in range(4):
        for _ in range(FREE - 1):
            entrance.sign_in.by_password("default", "ann", "wrong", "192.0.2.1")
        assert isinstance(entrance.sign_in.by_password("default", "ann", PASSWORD, "192.0.2.2"), Proved)


def test_one_address_cannot_try_many_names(entrance: Entrance) -> None:
    for number in range(FREE_BY_ADDRESS):
        assert entrance.sign_in.by_password("default", f"name{number}", "x", f"2001:db8::{number:x}") == Refused()
    assert entrance.sign_in.by_password("default", "ann", PASSWORD, "2001:db8::ffff") == Refused(wait=30)
    assert isinstance(entrance.sign_in.by_password("default", "ann", PASSWORD, "2001:db8:0:1::1"), Proved)


def test_however_many_try_at_once_no_more_are_judged_than_are_free() -> None:
    counting = Counting()
    entrance = Entrance(passwords=counting)
    entrance.person("ann")
    before, start = counting.worked, threading.Barrier(20)

    def attempt(number: int) -> None:
        start.wait(10)
        entrance.sign_in.by_password("default", "ann", "wrong", f"192.0.2.{number}")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert counting.worked - before <= FREE


def test_the_page_says_when_to_try_again(browser: Browser) -> None:
    for _ in range(FREE):
        assert browser.sign_in("ann", "wrong").status_code == 401
    response = browser.sign_in()
    assert (response.status_code, response.headers["retry-after"]) == (429, "30")
    assert "Try again in 30 s." in response.text


def test_failures_are_recorded_but_cannot_flood_the_log(entrance: Entrance) -> None:
    for number in range(MOST_A_MINUTE + 30):
        entrance.sign_in.by_password("default", f"n{number}", "x" * 10_000, f"203.0.113.{number}")
    assert len(entrance.notes("session.refused")) == MOST_A_MINUTE


def test_the_penalty_doubles_up_to_a_quarter_of_an_hour() -> None:
    assert [penalty(count) for count in (0, 4, 5, 6, 9, 10, 10_000)] == [
        0,
        0,
        30,
        60,
        480,
        LONGEST_SECONDS,
        LONGEST_SECONDS,
    ]
    patience = Patience()
    assert {patience.attempt("a", 0) for _ in range(FREE)} == {0}
    assert (patience.attempt("a", 0), patience.attempt("a", 1), patience.attempt("b", 0)) == (30, 30, 0)
    assert {patience.attempt("a", 25 * HOUR) for _ in range(FREE)} == {0}, "a day is long"
    patience.succeeded("a")
    assert patience.attempt("a", 25 * HOUR) == 0
    assert [network(one) for one in ("1.2.3.4", "2001:db8::1", "?")] == ["1.2.3.4", "2001:db8::/64", "?"]


def test_what_was_no_failure_is_taken_back_and_nothing_else() -> None:
    patience = Patience()
    for at in range(50):
        assert patience.attempt("a", at) == 0
        patience.take_back("a", at)
    for at in range(FREE):
        patience.attempt("a", at)
    patience.take_back("a", 0)
    assert patience.attempt("a", FREE) == 30, "the last of them was another"
    patience.take_back("a", FREE - 1)
    assert patience.attempt("a", FREE) == 0
    patience.take_back("nobody", 0)


def test_what_is_kept_of_failures_is_bounded() -> None:
    patience = Patience(free=0)
    assert {patience.attempt(str(number), 0) for number in range(50_001)} == {0}
    assert (patience.attempt("50000", 0), patience.attempt("0", 0)) == (60, 0)


# -- what an attacker could learn or spoil


def outcomes(sign_in: SignIn, names: list[str], password: str = "wrong") -> list[Proved | CodeWanted | Refused]:
    return [sign_in.by_password("default", name, password, f"198.51.100.{number}") for number, name in enumerate(names)]


@pytest.mark.parametrize("spelt", [" {}", "{} ", "{}\t", "{}@corp.example", " {}@CORP.example", "{}X"], ids=repr)
@pytest.mark.parametrize("password", ["wrong", "x" * 300], ids=["wrong", "too long"])
def test_no_way_of_spelling_a_name_tells_whether_somebody_has_it(entrance: Entrance, spelt: str, password: str) -> None:
    told = [
        outcomes(entrance.sign_in, [name] * (FREE + 1) + [spelt.format(name)] * (FREE + 1), password)
        for name in ("ann", "nobody")
    ]
    assert told[0] == told[1]
    assert told[0][FREE] == Refused(wait=30)


def test_no_other_process_tells_whether_somebody_has_a_name(entrance: Entrance) -> None:
    outcomes(entrance.sign_in, ["ann"] * FREE + ["nobody"] * FREE)
    other = SignIn(
        entrance.means, Proofs(entrance.means), entrance.world.control.post,
        TurnedAway(None, Masking(), clock=entrance.clock, new_id=ids()), people=entrance.world.access.users,
    )  # fmt: skip
    assert outcomes(other, ["ann"]) == outcomes(other, ["nobody"]) == [Refused()]
    assert outcomes(other, ["ann"], PASSWORD) == [Refused()], "the lock of the user holds everywhere"


@pytest.mark.parametrize("workspace", ["a\x00b", "\n", "x" * 100_000], ids=["nul", "line", "long"])
def test_no_store_is_asked_for_what_no_workspace_is_called(entrance: Entrance, workspace: str) -> None:
    asked: list[str] = []

    def people(name: str) -> list[User]:
        asked.append(name)
        return []

    sign_in = SignIn(
        entrance.means, Proofs(entrance.means), entrance.world.control.post,
        TurnedAway(None, Masking(), clock=entrance.clock, new_id=ids()), people=people,
    )  # fmt: skip
    assert sign_in.by_password(workspace, "ann", PASSWORD, "192.0.2.1") == Refused()
    assert asked == []


def test_who_is_locked_is_worked_for_as_much_as_who_is_wrong() -> None:
    counting = Counting()
    entrance = Entrance(passwords=counting)
    entrance.person("ann")
    outcomes(entrance.sign_in, ["ann"] * FREE)
    before = counting.worked
    assert outcomes(entrance.sign_in, ["ann@corp.example"]) == [Refused()]
    assert counting.worked == before + 1


def test_however_many_come_from_one_address_at_once_no_more_are_judged_than_are_free() -> None:
    counting = Counting()
    entrance = Entrance(passwords=counting)
    entrance.person("ann")
    before, many = counting.worked, FREE_BY_ADDRESS + 15
    start = threading.Barrier(many)

    def attempt(number: int) -> None:
        start.wait(10)
        entrance.sign_in.by_password("default", f"name{number}", "wrong", "192.0.2.1")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert counting.worked - before == FREE_BY_ADDRESS


def test_who_signs_in_rightly_does_not_use_up_their_address(entrance: Entrance) -> None:
    for _ in range(2 * FREE_BY_ADDRESS):
        assert isinstance(entrance.sign_in.by_password("default", "ann", PASSWORD, "192.0.2.1"), Proved)
    outcomes(entrance.sign_in, ["nobody"] * FREE)
    for _ in range(2 * FREE_BY_ADDRESS):
        assert entrance.sign_in.by_password("default", "nobody", "x", "192.0.2.1") == Refused(wait=30)
    assert isinstance(entrance.sign_in.by_password("default", "ann", PASSWORD, "192.0.2.1"), Proved)


def attacked(entrance: Entrance) -> None:
    """Somebody tries ann's password and many names, from the address that everybody has here."""
    for number in range(FREE_BY_ADDRESS):
        name = "ann" if number < FREE else f"name{number}"
        assert entrance.sign_in.by_password("default", name, "wrong", "testclient") == Refused()


def test_nobody_keeps_out_by_failures_who_signed_in_there_before(entrance: Entrance) -> None:
    browser = entrance.browser()
    browser.sign_in()
    browser.post("/sign-out", {"_csrf": form_token(browser.cookies[COOKIE])})
    assert not browser.is_in()
    attacked(entrance)
    assert entrance.browser().sign_in().status_code == 429
    assert browser.sign_in().status_code == 303


def test_nobody_keeps_out_by_failures_who_has_a_second_factor(entrance: Entrance) -> None:
    browser, (totp, _) = entrance.browser(), turned_on(entrance)

    def with_code() -> int:
        entrance.clock.at += 30 * SECOND
        browser.sign_in()
        code = totp.at(entrance.clock.at // SECOND)
        return browser.post("/sign-in", browser.fields | {"code": code}).status_code

    assert with_code() == 303
    browser.http.cookies.delete(COOKIE)
    attacked(entrance)
    assert with_code() == 303
    browser.http.cookies.delete(COOKIE)
    for _ in range(FREE):
        browser.sign_in()
        assert browser.post("/sign-in", browser.fields | {"code": "123456"}).status_code == 401
    assert browser.sign_in().status_code == 429, "the row of the browser is one for password and code"


def test_a_browser_that_is_known_has_a_row_of_its_own(entrance: Entrance) -> None:
    browser = entrance.browser()
    browser.sign_in()
    browser.http.cookies.delete(COOKIE)
    assert [browser.sign_in("ann", "wrong").status_code for _ in range(FREE + 1)] == [401] * FREE + [429]
    assert entrance.notes("session.locked") == []
    assert entrance.browser().sign_in().status_code == 303


@pytest.mark.parametrize("kind", ["made up", "of another user", "of a browser long ago", "changed"])
def test_only_who_signed_in_there_is_known_there(entrance: Entrance, kind: str) -> None:
    ann, root = (entrance.keyring.user("default", name) for name in ("ann", "root"))
    known = entrance.sign_in.known_by(root if kind == "of another user" else ann)
    if kind == "made up":
        known = "é" * 40
    if kind == "changed":
        known = known[:-8] + "AAAAAAA="
    if kind == "of a browser long ago":
        entrance.clock.at += KNOWN_SECONDS * SECOND
    attacked(entrance)
    assert entrance.sign_in.by_password("default", "ann", PASSWORD, "testclient", known) == Refused(wait=30)
    assert entrance.sign_in.by_password("default", "ann", PASSWORD, "192.0.2.1", known) == Refused(wait=30)


def test_what_a_browser_keeps_of_who_signed_in_is_sealed(browser: Browser) -> None:
    response = browser.sign_in()
    (text,) = [one for one in response.headers.get_list("set-cookie") if one.startswith("__Host-onpurpose-known=")]
    cookie = SimpleCookie(text)["__Host-onpurpose-known"]
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, True, "lax", "/")
    assert cookie["max-age"] == str(KNOWN_SECONDS)
    assert b"ann" not in urlsafe_b64decode(cookie.value)


def test_failures_of_long_ago_are_forgotten(entrance: Entrance) -> None:
    for _ in range(12):
        outcomes(entrance.sign_in, ["ann"])
        entrance.clock.at += LONGEST_SECONDS * SECOND
    entrance.clock.at += 25 * HOUR
    assert outcomes(entrance.sign_in, ["ann"] * (FREE - 1)) == [Refused()] * (FREE - 1)
    assert isinstance(entrance.sign_in.by_password("default", "ann", PASSWORD, "192.0.2.1"), Proved)


# -- forms of others


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null", "sec_fetch_site": "-"}, {"sec_fetch_site": "cross-site"},
     {"sec_fetch_site": "same-site"}, {"sec_fetch_site": "none"}, {"origin": "-", "sec_fetch_site": "-"},
     {"origin": "https://gate.example.evil.example", "sec_fetch_site": "-"}],
)  # fmt: skip
def test_no_other_page_signs_anybody_in_or_out_or_acts(entrance: Entrance, headers: dict[str, str]) -> None:
    browser = entrance.browser()
    browser.get("/sign-in")
    fields = browser.fields | {"user": "ann", "password": PASSWORD}
    assert browser.post("/sign-in", fields, **headers).status_code == 403
    assert not browser.is_in()
    browser.sign_in()
    browser.get("/account")
    response = browser.post("/notes", browser.fields | {"text": "x"}, **headers)
    assert (response.status_code, entrance.done) == (403, [])
    assert 'name="text"' not in response.text
    assert browser.post("/sign-out", browser.fields, **headers).status_code == 403
    assert browser.is_in()


@pytest.mark.parametrize("headers", [{"origin": "-"}, {"origin": "null"}, {"sec_fetch_site": "-"}])
def test_browsers_that_say_less_are_believed_where_it_is_enough(browser: Browser, headers: dict[str, str]) -> None:
    browser.get("/sign-in")
    fields = browser.fields | {"user": "ann", "password": PASSWORD}
    assert browser.post("/sign-in", fields, **headers).status_code == 303


def token_of(browser: Browser) -> str:
    browser.get("/account")
    return browser.fields["_csrf"]


@pytest.mark.parametrize("forged", ["missing", "empty", "wrong", "other session", "visitor", "cookie"])
def test_a_form_needs_the_token_of_its_session(entrance: Entrance, forged: str) -> None:
    browser, other = entrance.browser(), entrance.browser()
    browser.get("/sign-in")
    visitor = browser.fields["_csrf"]
    browser.sign_in()
    other.sign_in("ann")
    token = {"missing": None, "empty": "", "wrong": "x" * 43, "other session": token_of(other), "visitor": visitor,
             "cookie": browser.cookies[COOKIE]}[forged]  # fmt: skip
    fields = {"text": "hello"} | ({} if token is None else {"_csrf": token})
    response = browser.post("/notes", fields)
    assert (response.status_code, entrance.done) == (403, [])
    assert browser.post("/sign-out", {"_csrf": token or ""}).status_code == 403
    assert browser.is_in()
    browser.post("/notes", {"text": "hello", "_csrf": token_of(browser)})
    assert entrance.done == [("ann", [("text", "hello")])]


def test_the_token_may_come_in_a_header(browser: Browser) -> None:
    browser.sign_in()
    browser.post("/notes", {"text": "a"}, x_csrf_token=token_of(browser))
    assert browser.entrance.done == [("ann", [("text", "a")])]


def test_the_sign_in_form_is_made_for_one_browser(entrance: Entrance) -> None:
    mine, theirs = entrance.browser(), entrance.browser()
    mine.get("/sign-in")
    theirs.get("/sign-in")
    for fields in (mine.fields, {}, {"_csrf": "x"}):
        response = theirs.post("/sign-in", {**fields, "user": "ann", "password": PASSWORD})
        assert response.status_code == 403
        assert not theirs.is_in()


# -- sessions


def test_a_session_that_was_there_before_is_never_used_on(entrance: Entrance) -> None:
    browser = entrance.browser()
    planted = "A" * 43
    browser.http.cookies.set(COOKIE, planted, domain="gate.example", path="/")
    browser.http.cookies.set("__Host-onpurpose-visit", "B" * 43, domain="gate.example", path="/")
    browser.sign_in()
    token = browser.cookies[COOKIE]
    assert token not in (planted, "B" * 43)
    assert entrance.signed_in.principal(planted) is None
    assert entrance.signed_in.principal("B" * 43) is None


def test_signing_in_again_ends_the_session_before(entrance: Entrance) -> None:
    browser = entrance.browser()
    browser.sign_in()
    first = browser.cookies[COOKIE]
    ann = entrance.keyring.user("default", "ann")
    second = entrance.signed_in.open(ann, method="password", address="", before=first)
    assert entrance.signed_in.principal(first) is None
    assert entrance.signed_in.principal(second) is not None


def test_a_stolen_cookie_is_worth_nothing_after_signing_out(browser: Browser) -> None:
    browser.sign_in()
    stolen = browser.cookies[COOKIE]
    response = browser.post("/sign-out", {"_csrf": token_of(browser)})
    assert path_of(response) == "/sign-in"
    assert COOKIE not in browser.cookies
    browser.http.cookies.set(COOKIE, stolen)
    assert not browser.is_in()
    assert [note["by"] for note in browser.entrance.notes("session.ended")] == ["ann"]
    assert browser.post("/sign-out", {}).status_code == 303


def test_a_session_ends_after_a_while_without_use_and_at_last_in_any_case(entrance: Entrance) -> None:
    browser = entrance.browser()
    browser.sign_in()
    began = entrance.clock.at
    entrance.clock.at += 8 * HOUR
    assert not browser.is_in()
    entrance.clock.at = began + 8 * HOUR - 1
    while entrance.clock.at < began + 7 * 24 * HOUR:
        assert browser.is_in()
        entrance.clock.at += 7 * HOUR
    assert not browser.is_in()


@pytest.mark.parametrize("change", [{"roles": [Role.VIEWER]}, {"roles": []}, None])
def test_who_is_disabled_or_loses_a_role_is_out_at_once_and_for_good(entrance: Entrance, change: dict | None) -> None:
    browser = entrance.browser()
    browser.sign_in()
    if change is None:
        entrance.keyring.disable_user("default", "ann", by="root")
    else:
        entrance.keyring.update_user("default", "ann", "Ann", "ann@corp.example", (), by="root", **change)
    assert not browser.is_in()
    entrance.keyring.update_user(
        "default", "ann", "Ann", "ann@corp.example", (), by="root", roles=[Role.VIEWER, Role.AUTHOR]
    )
    assert not browser.is_in()
    assert [note["user"]["roles"] for note in entrance.notes("user.saved")][-1] == ["author", "viewer"]


def test_what_is_no_token_is_nobodys(entrance: Entrance) -> None:
    for token in (None, "", "x", "x" * 10_000, "é" * 43, "\x00"):
        assert entrance.signed_in.principal(token) is None


def test_nothing_shown_of_a_session_tells_its_token(browser: Browser) -> None:
    browser.sign_in()
    token = browser.cookies[COOKIE]
    principal = browser.entrance.signed_in.principal(token)
    assert isinstance(principal, Principal)
    assert token not in repr(principal) + repr(principal.session) + principal.csrf
    assert principal.csrf not in repr(principal)


def test_who_is_disabled_while_the_password_is_judged_stays_out() -> None:
    class Slow(Argon2Passwords):
        """While it works, somebody is disabled."""

        meanwhile = staticmethod(lambda: None)

        def matches(self, encoded: str, password: str) -> bool:
            self.meanwhile()
            return super().matches(encoded, password)

    slow = Slow(**PASSWORDS)
    entrance = Entrance(passwords=slow)
    entrance.person("root", Role.ADMIN)
    entrance.person("ann")
    slow.meanwhile = lambda: entrance.keyring.disable_user("default", "ann", by="root")
    browser = entrance.browser()
    assert browser.sign_in().status_code == 401
    assert not browser.is_in()
    assert entrance.notes("session.opened") == []


@pytest.mark.parametrize("coded", [False, True], ids=["password", "code"])
def test_who_signs_in_while_the_password_is_changed_is_out_with_the_old_one(coded: bool) -> None:
    entrance = Entrance(kept=Late)
    entrance.person("root", Role.ADMIN)
    ann = entrance.person("ann")
    totp = turned_on(entrance)[0] if coded else None
    assert isinstance(entrance.kept, Late)
    browser = entrance.browser()
    entrance.clock.at += SECOND
    entrance.kept.meanwhile = lambda: entrance.own.set_password(ann, "eleven wet lanterns", by="ann")
    response = browser.sign_in()
    if totp is not None:
        code = totp.at(entrance.clock.at // SECOND)
        response = browser.post("/sign-in", browser.fields | {"code": code})
    assert (response.status_code, browser.is_in(), entrance.kept.of("default", "ann")) == (401, False, [])


def test_a_session_of_somebody_who_is_not_there_any_more_is_nobodys(entrance: Entrance) -> None:
    gone: list[User] = []
    elsewhere = SignedIn(
        entrance.kept,
        entrance.world.control.post,
        people=lambda _: gone,
        clock=entrance.clock,
        new_id=lambda at: f"{at}",
    )
    ann = entrance.keyring.user("default", "ann")
    token = elsewhere.open(ann, method="password", address="", before=None)
    assert entrance.signed_in.principal(token) is not None
    for user in (None, replace(ann, disabled_at=1), replace(ann, roles=frozenset()), replace(ann, id="bob")):
        gone[:] = [] if user is None else [user]
        assert elsewhere.principal(token) is None


# -- what was written is not lost


def test_a_form_whose_session_has_ended_is_sent_after_signing_in(entrance: Entrance) -> None:
    browser = entrance.browser()
    browser.sign_in()
    fields = {"text": 'a\nb  "<é\u202e', "name": "", "_csrf": token_of(browser)}
    entrance.clock.at += 9 * HOUR
    response = browser.post("/notes?x=1", fields)
    assert (response.status_code, entrance.done) == (401, [])
    assert "Nothing is lost" in response.text
    assert browser.post("/sign-in", browser.fields | {"user": "ann", "password": "wrong"}).status_code == 401
    response = browser.post("/sign-in", browser.fields | {"user": "ann", "password": PASSWORD})
    assert (response.status_code, entrance.done) == (200, [])
    assert browser.post("/notes?x=1", browser.fields).text == "written"
    assert entrance.done == [("ann", [("text", fields["text"]), ("name", "")])]


def test_a_form_of_an_older_session_is_sent_again_when_its_writer_says_so(browser: Browser) -> None:
    browser.sign_in()
    old = token_of(browser)
    browser.http.cookies.clear()
    browser.sign_in()
    response = browser.post("/notes", {"text": "kept", "_csrf": old})
    assert (response.status_code, browser.entrance.done) == (403, [])
    browser.post("/notes", browser.fields)
    assert browser.entrance.done == [("ann", [("text", "kept")])]


@pytest.mark.parametrize("name", ["100%25", "a%20b", "%C3%A9", "%22%3E%3Cscript%3E"])
def test_the_way_back_is_the_way_that_was_asked(browser: Browser, name: str) -> None:
    browser.get(path_of(browser.get(f"/read/{name}")))
    response = browser.post("/sign-in", browser.fields | {"user": "ann", "password": PASSWORD})
    assert path_of(response) == f"/read/{name}"
    browser.http.cookies.clear()
    response = browser.post(f"/notes/{name}", {"text": "x"})
    assert browser.fields["_to"] == f"/notes/{name}"


def test_no_form_of_another_page_is_kept(entrance: Entrance) -> None:
    response = entrance.browser().post("/notes", {"text": "planted"}, origin="https://evil.example")
    assert response.status_code == 403
    assert "planted" not in response.text


def test_a_part_of_a_page_is_answered_with_a_way_to_sign_in(browser: Browser) -> None:
    response = browser.get("/read", **{"HX-Request": "true"})
    assert (response.status_code, response.headers["hx-redirect"]) == (401, "/sign-in")
    assert browser.get("/read", accept="text/event-stream").status_code == 401
    response = browser.post("/notes", {"text": "x"}, hx_request="true")
    assert (response.status_code, response.headers["hx-retarget"]) == (401, "body")


# -- roles


@pytest.mark.parametrize("role", list(Role))
def test_a_role_reaches_as_far_as_its_scopes(entrance: Entrance, role: Role) -> None:
    entrance.person("bob", role)
    browser = entrance.browser()
    browser.sign_in("bob")
    assert browser.is_in()
    response = browser.post("/notes", {"text": "x", "_csrf": token_of(browser)})
    assert response.status_code == (200 if "policy:write" in SCOPES[role] else 403)
    assert bool(entrance.done) == (response.status_code == 200)


# -- the second factor


def turned_on(entrance: Entrance) -> tuple[pyotp.TOTP, list[str]]:
    ann = entrance.keyring.user("default", "ann")
    proposed = entrance.own.propose_code(ann)
    assert isinstance(entrance.sign_in.by_password("default", "ann", PASSWORD, ""), Proved), "not in force yet"
    totp = pyotp.parse_uri(proposed.uri)
    assert (totp.secret, totp.issuer) == (proposed.secret, "onpurpose")
    codes = entrance.own.confirm_code(ann, totp.at(entrance.clock.at // SECOND))
    assert codes is not None
    entrance.clock.at += 60 * SECOND
    return totp, codes


def code_page(browser: Browser) -> dict[str, str]:
    response = browser.sign_in()
    assert (response.status_code, "ticket" in browser.fields) == (200, True)
    assert not browser.is_in() or pytest.fail("the password alone was enough")
    browser.sign_in()
    return browser.fields


def test_with_a_second_factor_a_password_is_not_enough(browser: Browser) -> None:
    totp, _ = turned_on(browser.entrance)
    fields = code_page(browser)
    assert browser.post("/sign-in", fields | {"code": "000000"}).status_code == 401
    code = totp.at(browser.entrance.clock.at // SECOND)
    assert browser.post("/sign-in", browser.fields | {"code": f"{code[:3]} {code[3:]}"}).status_code == 303
    assert browser.is_in()


def test_a_code_is_used_once(entrance: Entrance) -> None:
    totp, _ = turned_on(entrance)
    code = totp.at(entrance.clock.at // SECOND)
    for expected in (303, 401):
        browser = entrance.browser()
        assert browser.post("/sign-in", code_page(browser) | {"code": code}).status_code == expected
    browser = entrance.browser()
    earlier = totp.at(entrance.clock.at // SECOND - 30)
    assert browser.post("/sign-in", code_page(browser) | {"code": earlier}).status_code == 401


@pytest.mark.parametrize(("steps", "counts"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_counts_half_a_minute_early_and_late(entrance: Entrance, steps: int, counts: bool) -> None:
    totp, _ = turned_on(entrance)
    entrance.clock.at += 300 * SECOND
    found = entrance.sign_in.by_password("default", "ann", PASSWORD, "")
    assert isinstance(found, CodeWanted)
    code = totp.at(entrance.clock.at // SECOND + 30 * steps)
    assert isinstance(entrance.sign_in.by_code(found.ticket, code, ""), Proved) is counts


def test_of_many_who_use_a_code_at_once_one_comes_in(entrance: Entrance) -> None:
    totp, codes = turned_on(entrance)
    found = entrance.sign_in.by_password("default", "ann", PASSWORD, "")
    assert isinstance(found, CodeWanted)
    for code in (totp.at(entrance.clock.at // SECOND), codes[0]):
        start, won = threading.Barrier(4), []

        def use(code: str, start: threading.Barrier, won: list[object]) -> None:
            start.wait(10)
            won.append(entrance.sign_in.by_code(found.ticket, code, ""))

        threads = [threading.Thread(target=use, args=(code, start, won)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert sum(isinstance(one, Proved) for one in won) == 1


def test_a_recovery_code_counts_once_however_it_is_typed(entrance: Entrance) -> None:
    _, codes = turned_on(entrance)
    assert len(set(codes)) == 10
    found = entrance.sign_in.by_password("default", "ann", PASSWORD, "")
    assert isinstance(found, CodeWanted)
    assert isinstance(entrance.sign_in.by_code(found.ticket, codes[3].upper().replace("-", " "), ""), Proved)
    assert entrance.sign_in.by_code(found.ticket, codes[3], "") == Refused()
    assert [note["left"] for note in entrance.notes("recovery_code.used")] == [9]


def test_codes_cannot_be_tried_on_and_on_by_giving_the_password_between(entrance: Entrance) -> None:
    turned_on(entrance)
    for _ in range(FREE):
        found = entrance.sign_in.by_password("default", "ann", PASSWORD, "")
        assert isinstance(found, CodeWanted)
        assert entrance.sign_in.by_code(found.ticket, "123456", "") == Refused()
    assert entrance.sign_in.by_password("default", "ann", PASSWORD, "") == Refused()
    assert entrance.sign_in.by_code(found.ticket, "123456", "") == Refused(wait=30)


def test_a_ticket_is_good_for_a_few_minutes_and_only_as_it_was_given(entrance: Entrance) -> None:
    totp, _ = turned_on(entrance)
    found = entrance.sign_in.by_password("default", "ann", PASSWORD, "")
    assert isinstance(found, CodeWanted)
    code = totp.at(entrance.clock.at // SECOND)
    for forged in ("", "x", found.ticket[:-8] + "AAAAAAA=", f"A{found.ticket}", "é"):
        assert entrance.sign_in.by_code(forged, code, "") is None
    entrance.clock.at += 300 * SECOND
    assert entrance.sign_in.by_code(found.ticket, totp.at(entrance.clock.at // SECOND), "") is None


def test_a_new_password_makes_tickets_void(entrance: Entrance) -> None:
    totp, _ = turned_on(entrance)
    found = entrance.sign_in.by_password("default", "ann", PASSWORD, "")
    assert isinstance(found, CodeWanted)
    entrance.clock.at += SECOND
    entrance.own.set_password(entrance.keyring.user("default", "ann"), "another long one", by="root")
    assert entrance.sign_in.by_code(found.ticket, totp.at(entrance.clock.at // SECOND), "") is None


def test_the_secret_lies_sealed_in_the_store(entrance: Entrance) -> None:
    totp, codes = turned_on(entrance)
    kept = entrance.means.credentials.get("default", "ann")
    assert kept is not None
    assert kept.totp is not None
    assert totp.secret.encode() not in kept.totp
    shown = repr(kept) + str(entrance.world.notes())
    assert not any(secret in shown for secret in (totp.secret, *codes, kept.password or "?"))


# -- parameters


def test_a_hash_that_would_be_made_otherwise_now_is_made_anew() -> None:
    entrance = Entrance()
    entrance.person("ann")
    before = entrance.means.credentials.get("default", "ann")
    entrance.passwords._hasher = Argon2Passwords(memory_kib=16, passes=1, lanes=1)._hasher
    assert isinstance(entrance.sign_in.by_password("default", "ann", PASSWORD, ""), Proved)
    after = entrance.means.credentials.get("default", "ann")
    assert before is not None
    assert after is not None
    assert "m=8," in (before.password or "")
    assert "m=16," in (after.password or "")
    assert isinstance(entrance.sign_in.by_password("default", "ann", PASSWORD, ""), Proved)


def test_passwords_are_hashed_as_owasp_asks() -> None:
    passwords = Argon2Passwords()
    encoded = passwords.hashed("pässword")
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.matches(encoded, "pa\u0308ssword")
    assert not passwords.matches(encoded, "passwort")
    assert not passwords.matches("no hash", "x")
    assert (passwords.is_stale(encoded), passwords.is_stale("no hash")) == (False, True)


def test_the_origin_of_links_is_ours_too(entrance: Entrance) -> None:
    browser = entrance.browser("https://inside.example")
    browser.get("/sign-in")
    fields = browser.fields | {"user": "ann", "password": PASSWORD}
    assert browser.post("/sign-in", fields, origin=ORIGIN, sec_fetch_site="-").status_code == 303
