"""Signing in by another service: only what it really said counts, to the browser that was sent, once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc.jwk import ECKey

from onpurpose.adapters.oidc import OidcProvider
from onpurpose.app.single_sign_on import Mapped
from onpurpose.core.access import Role
from onpurpose.core.session import Departure, ProviderError
from onpurpose.server.dashboard.sign_in import ELSEWHERE_AT_ONCE
from tests.app.world import Hand
from tests.dashboard.entrance import ORIGIN, SECOND, Browser, Entrance, Late, path_of
from tests.dashboard.provider import CLIENT, CLIENT_SECRET, Provider, own_secret, provided

ROLES = {"risk": frozenset({Role.APPROVER}), "platform": frozenset({Role.AUTHOR, Role.VIEWER})}


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def provider(clock: Hand) -> Iterator[Provider]:
    with provided(clock) as made:
        yield made


def entrance_of(provider: Provider, clock: Hand, mapped: Mapped | None = None, **given: Any) -> Entrance:
    adapter = OidcProvider(provider.issuer, CLIENT, CLIENT_SECRET, now=lambda: clock.at / SECOND)
    made = Entrance(adapter, mapped, **given)
    made.clock.at = clock.at
    made.person("root", Role.ADMIN)
    made.person("ann", Role.VIEWER, password=None)
    return made


@pytest.fixture
def entrance(provider: Provider, clock: Hand) -> Entrance:
    return entrance_of(provider, clock)


def come_back(browser: Browser, provider: Provider, to: str = "/read", **changed: str) -> Any:
    sent = browser.get(f"/sign-in/oidc?next={to}")
    assert sent.status_code == 303
    code, state = provider.authorize(sent.headers["location"])
    return browser.http.get("/sign-in/oidc/back", params={"code": code, "state": state} | changed)


def test_whom_the_provider_vouches_for_is_in(entrance: Entrance, provider: Provider) -> None:
    browser = entrance.browser()
    assert path_of(come_back(browser, provider)) == "/read"
    assert browser.get("/read").text == "read by ann"
    assert entrance.notes("session.opened")[-1]["method"] == "oidc"
    assert "Sign in with your organisation" in entrance.browser().get("/sign-in").text


def test_the_browser_is_sent_back_to_where_people_reach_us(entrance: Entrance, provider: Provider) -> None:
    response = entrance.browser("https://evil.example").get("/sign-in/oidc?next=//evil.example")
    asked = parse_qs(urlsplit(response.headers["location"]).query)
    assert asked["redirect_uri"] == ["https://gate.example/sign-in/oidc/back"]
    assert response.headers["location"].startswith(provider.issuer)


def test_a_long_way_back_still_fits_into_a_cookie(entrance: Entrance, provider: Provider) -> None:
    to, browser = "/read/" + "x" * 1900, entrance.browser()
    sent = browser.get(f"/sign-in/oidc?next={to}")
    (cookie,) = [one for one in sent.headers.get_list("set-cookie") if "onpurpose-away=" in one]
    assert len(cookie.partition(";")[0]) < 4096
    assert path_of(come_back(browser, provider, to)) == to


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example"])
def test_nobody_is_sent_on_to_another_host(entrance: Entrance, provider: Provider, to: str) -> None:
    assert path_of(come_back(entrance.browser(), provider, to)) == "/"


def test_who_comes_back_must_be_who_was_sent(entrance: Entrance, provider: Provider) -> None:
    mine, theirs = entrance.browser(), entrance.browser()
    sent = mine.get("/sign-in/oidc")
    code, state = provider.authorize(sent.headers["location"])
    assert theirs.http.get("/sign-in/oidc/back", params={"code": code, "state": state}).status_code == 401
    theirs.get("/sign-in/oidc")
    response = theirs.http.get("/sign-in/oidc/back", params={"code": code, "state": state})
    assert (response.status_code, theirs.is_in()) == (401, False)
    assert "/token_endpoint" not in provider.asked
    assert mine.http.get("/sign-in/oidc/back", params={"code": code, "state": state}).status_code == 303
    again = mine.http.get("/sign-in/oidc/back", params={"code": code, "state": state})
    assert again.status_code == 401
    assert all(note["via"] == "oidc" for note in entrance.notes("session.refused"))


@pytest.mark.parametrize("changed", [{"state": ""}, {"state": "\u00e9"}, {"code": ""}, {"code": "x" * 10_000}])
def test_what_was_changed_on_the_way_does_not_count(entrance: Entrance, provider: Provider, changed: dict) -> None:
    browser = entrance.browser()
    assert come_back(browser, provider, **changed).status_code == 401
    assert not browser.is_in()


def test_who_cancels_at_the_provider_is_told_so_and_nothing_is_asked(entrance: Entrance, provider: Provider) -> None:
    response = come_back(entrance.browser(), provider, code="", error="access_denied")
    assert (response.status_code, "the provider sent no code" in response.text) == (401, True)
    assert "/token_endpoint" not in provider.asked


def test_it_takes_ten_minutes_at_most(entrance: Entrance, provider: Provider, clock: Hand) -> None:
    browser = entrance.browser()
    sent = browser.get("/sign-in/oidc")
    code, state = provider.authorize(sent.headers["location"])
    entrance.clock.at += 600 * SECOND
    assert browser.http.get("/sign-in/oidc/back", params={"code": code, "state": state}).status_code == 401


def claim(**changed: Any) -> Any:
    def twist(_: Any, claims: dict[str, Any], __: Any) -> None:
        claims.update(changed)
        for name in [name for name, value in claims.items() if value is None]:
            del claims[name]

    return twist


def stranger(_: Any, __: Any, key: Any) -> Any:
    return ECKey.generate_key("P-256", {"kid": key.kid})


def by_our_secret(header: dict[str, Any], _: Any, __: Any) -> Any:
    header.update(alg="HS256", kid=None)
    del header["kid"]
    return own_secret()


FORGED = {
    "a foreign key": stranger,
    "our own secret": by_our_secret,
    "no signature": lambda *_: "none",
    "another issuer": claim(iss="https://evil.example"),
    "no issuer": claim(iss=None),
    "another audience": claim(aud="another"),
    "no audience": claim(aud=None),
    "several audiences, none of them the one it was for": claim(aud=["another", CLIENT], azp="another"),
    "another nonce": claim(nonce="another"),
    "no nonce": claim(nonce=None),
    "over": claim(exp=1),
    "without an end": claim(exp=None),
    "from the future": claim(iat=4_000_000_000),
    "without a subject": claim(sub=None),
    "an empty subject": claim(sub=""),
    "a subject that is too long": claim(sub="s" * 256),
    "a subject that is no text": claim(sub=7),
    "a subject of other letters": claim(sub="s\u0131"),
    "a subject with what ends it": claim(sub="s1\u0000"),
    "an address not verified": claim(email_verified=False),
    "an address as text verified": claim(email_verified="true"),
    "an address of unknown worth": claim(email_verified=None),
    "no address": claim(email=None),
    "no text": claim(email=["ann@corp.example"]),
    "an address of nobody": claim(email="eve@corp.example"),
    "an empty address": claim(email=""),
}


@pytest.mark.parametrize("forged", FORGED)
def test_what_the_provider_did_not_say_of_somebody_here_counts_for_nothing(
    entrance: Entrance, provider: Provider, forged: str
) -> None:
    browser = entrance.browser()
    provider.twist = FORGED[forged]
    response = come_back(browser, provider)
    assert (response.status_code, browser.is_in()) == (401, False)
    assert "You are not signed in" in response.text
    assert len(entrance.notes("session.refused")) == 1


def test_without_an_identity_token_nobody_is_in(entrance: Entrance, provider: Provider) -> None:
    provider.answers = {"access_token": "a", "token_type": "Bearer"}
    assert come_back(entrance.browser(), provider).status_code == 401
    provider.answers = {"error": "server_error"}
    assert come_back(entrance.browser(), provider).status_code == 401
    whys = [note["why"] for note in entrance.notes("session.refused")]
    assert whys[0] == "the provider gave no identity token"
    assert whys[1].startswith("the provider did not take the code")


def test_a_new_key_of_the_provider_is_taken_up_when_it_is_used(
    entrance: Entrance, provider: Provider, clock: Hand
) -> None:
    assert come_back(entrance.browser(), provider).status_code == 303
    provider.keys = [ECKey.generate_key("P-256", {"kid": "two", "alg": "ES256", "use": "sig"})]
    assert come_back(entrance.browser(), provider).status_code == 401, "asked a moment ago"
    clock.at += 61 * SECOND
    provider.twist = stranger
    assert come_back(entrance.browser(), provider).status_code == 401
    provider.twist = None
    assert come_back(entrance.browser(), provider).status_code == 303
    assert provider.asked.count("/jwks_uri") == 2


def test_what_the_provider_publishes_is_read_once(entrance: Entrance, provider: Provider) -> None:
    for _ in range(3):
        come_back(entrance.browser(), provider)
    assert provider.asked.count("/.well-known/openid-configuration") == 1


@pytest.mark.parametrize(
    "document",
    [{"issuer": "https://evil.example"}, {"token_endpoint": "http://evil.example/t"}, {"jwks_uri": "file:///etc/passwd"},
     {"authorization_endpoint": "javascript:alert(1)"}, {"jwks_uri": None}],
)  # fmt: skip
def test_a_provider_that_contradicts_itself_is_not_used(
    entrance: Entrance, provider: Provider, document: dict[str, Any]
) -> None:
    provider.document = document
    response = entrance.browser().get("/sign-in/oidc")
    assert response.status_code == 502
    assert "use a password" in response.text


@pytest.mark.parametrize("issuer", ["http://idp.example", "ftp://idp.example", "idp.example", "", "https://"])
def test_a_provider_is_reached_by_https(issuer: str) -> None:
    with pytest.raises(ProviderError, match="https"):
        OidcProvider(issuer, CLIENT, CLIENT_SECRET)


def test_a_provider_that_is_away_is_an_error(clock: Hand) -> None:
    with provided(clock) as gone:
        pass
    adapter = OidcProvider(gone.issuer, CLIENT, CLIENT_SECRET)
    with pytest.raises(ProviderError, match="cannot be asked"):
        adapter.begin("https://gate.example/back")
    assert CLIENT_SECRET not in repr(adapter)
    assert repr(Departure(url="u", state="s", nonce="n", verifier="v")) == "Departure()"


def test_a_provider_that_is_away_is_not_asked_by_everybody(entrance: Entrance, provider: Provider, clock: Hand) -> None:
    provider.document = {"issuer": "https://evil.example"}
    for _ in range(5):
        assert entrance.browser().get("/sign-in/oidc").status_code == 502
    assert provider.asked == ["/.well-known/openid-configuration"]
    provider.document = {}
    clock.at += 5 * SECOND
    assert come_back(entrance.browser(), provider).status_code == 303


class Stuck:
    """An identity provider that answers nobody until it is let `go`."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.entered = threading.Semaphore(0)

    def begin(self, back: str, *, anew: bool = False) -> Departure:
        self.entered.release()
        self.go.wait(30)
        return Departure(url="https://idp.example/", state="s", nonce="n", verifier="v")

    def finish(self, departure: Departure, back: str, code: str) -> dict[str, object]:
        raise ProviderError("nobody comes back")


def test_a_provider_that_does_not_answer_holds_up_nobody_but_those_who_want_it() -> None:
    stuck = Stuck()
    entrance = Entrance(stuck)
    entrance.person("ann")

    async def visited() -> list[int]:
        transport = httpx2.ASGITransport(app=entrance.app)
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            wanting = [asyncio.create_task(client.get("/sign-in/oidc")) for _ in range(60)]
            for _ in range(ELSEWHERE_AT_ONCE):
                assert await asyncio.to_thread(stuck.entered.acquire, timeout=10)
            page = await asyncio.wait_for(client.get("/sign-in"), 10)
            stuck.go.set()
            return [page.status_code, *{one.status_code for one in await asyncio.gather(*wanting)}]

    try:
        assert asyncio.run(visited()) == [200, 303]
    finally:
        stuck.go.set()


# -- asked anew


def test_who_is_to_confirm_who_they_are_is_asked_for_it_by_the_provider(entrance: Entrance, provider: Provider) -> None:
    for more, wanted in (("", {}), ("&anew=1", {"prompt": ["login"], "max_age": ["0"]})):
        asked = parse_qs(urlsplit(entrance.browser().get(f"/sign-in/oidc?next=/read{more}").headers["location"]).query)
        assert {name: asked[name] for name in ("prompt", "max_age") if name in asked} == wanted


@pytest.mark.parametrize(
    ("auth_time", "method"),
    [(0, "oidc-anew"), (-30, "oidc-anew"), (-3600, "oidc"), (None, "oidc"), ("now", "oidc"), (True, "oidc")],
)
def test_only_what_the_provider_says_tells_that_somebody_was_asked_just_now(
    entrance: Entrance, provider: Provider, clock: Hand, auth_time: Any, method: str
) -> None:
    is_time = isinstance(auth_time, int) and not isinstance(auth_time, bool)
    provider.twist = claim(auth_time=clock.at // SECOND + auth_time if is_time else auth_time)
    sent = (browser := entrance.browser()).get("/sign-in/oidc?anew=1")
    code, state = provider.authorize(sent.headers["location"])
    response = browser.http.get("/sign-in/oidc/back", params={"code": code, "state": state})
    if response.status_code == 303:
        assert entrance.notes("session.opened")[-1]["method"] == method
    else:
        assert auth_time == "now", "no time at all"


# -- who it is


UNLINK = "ask an admin of the workspace to unlink the old one"


def who(entrance: Entrance, provider: Provider, **claims: Any) -> str:
    """Who is in after the provider said that; what the page says where nobody is."""
    provider.twist, browser = claim(**claims), entrance.browser()
    response = come_back(browser, provider)
    return browser.get("/read").text.removeprefix("read by ") if response.status_code == 303 else response.text


def test_the_first_time_a_user_is_found_by_an_address_that_is_vouched_for(
    entrance: Entrance, provider: Provider
) -> None:
    assert who(entrance, provider, email="Ann@CORP.example") == "ann"
    (linked,) = entrance.linking.of(entrance.keyring.user("default", "ann"))
    assert (linked.issuer, linked.subject, linked.email) == (provider.issuer, "s1", "Ann@CORP.example")
    (note,) = entrance.notes("identity.linked")
    assert {name: note[name] for name in ("workspace", "by", "user", "issuer", "subject", "email")} == {
        "workspace": "default", "by": "oidc", "user": "ann", "issuer": provider.issuer, "subject": "s1",
        "email": "Ann@CORP.example",
    }  # fmt: skip


@pytest.mark.parametrize(
    "now",
    [{"email": "ann@new.example"}, {"email": "root@corp.example"}, {"email": None}, {"email_verified": False},
     {"email_verified": None}, {"email": "no address"}],
)  # fmt: skip
def test_from_then_on_no_address_says_who_it_is(entrance: Entrance, provider: Provider, now: dict[str, Any]) -> None:
    assert who(entrance, provider) == "ann"
    assert who(entrance, provider, **now) == "ann"
    assert entrance.keyring.user("default", "ann").email == "ann@corp.example"
    assert len(entrance.notes("identity.linked")) == 1


def test_whoever_gets_the_address_next_is_not_its_user(provider: Provider, clock: Hand) -> None:
    entrance = entrance_of(provider, clock, Mapped(roles=ROLES, creates=True))
    assert who(entrance, provider, groups=["risk"]) == "ann"
    ann = entrance.keyring.user("default", "ann")
    page = who(entrance, provider, sub="s2", groups=["platform"])
    assert UNLINK in page
    assert entrance.keyring.users("default")[0] == ann
    assert len(entrance.keyring.users("default")) == 2
    assert who(entrance, provider, groups=["risk"]) == "ann"
    (note,) = entrance.notes("session.refused")
    assert (note["by"], note["why"]) == ("s2", "that e-mail address is of another account of the provider")


def test_who_was_unlinked_is_out_and_another_may_be_linked(entrance: Entrance, provider: Provider) -> None:
    browser, ann = entrance.browser(), entrance.keyring.user("default", "ann")
    come_back(browser, provider)
    (linked,) = entrance.linking.of(ann)
    assert entrance.linking.unlink(linked, by="root")
    assert not browser.is_in()
    assert not entrance.linking.unlink(linked, by="root")
    assert [(note["by"], note["user"], note["subject"]) for note in entrance.notes("identity.unlinked")] == [
        ("root", "ann", "s1")
    ]
    assert who(entrance, provider, sub="s2") == "ann"
    assert UNLINK in who(entrance, provider)


def test_who_comes_back_while_they_are_unlinked_stays_out(provider: Provider, clock: Hand) -> None:
    entrance = entrance_of(provider, clock, kept=Late)
    assert isinstance(entrance.kept, Late)
    ann, browser = entrance.keyring.user("default", "ann"), entrance.browser()
    entrance.kept.meanwhile = lambda: entrance.linking.unlink(entrance.linking.of(ann)[0], by="root")
    assert come_back(browser, provider).status_code == 401
    assert (browser.is_in(), entrance.kept.of("default", "ann")) == (False, [])


def test_an_address_that_moved_to_another_user_leads_to_them_where_nobody_is_linked(
    entrance: Entrance, provider: Provider
) -> None:
    assert who(entrance, provider) == "ann"
    assert who(entrance, provider, sub="s2", email="root@corp.example") == "root"
    assert who(entrance, provider, email="root@corp.example") == "ann"


@pytest.mark.parametrize(
    ("held", "told"),
    [("bob@strasse.example", "bob@stra\u00dfe.example"), ("kim@corp.example", "\u212aim@corp.example"),
     ("ine\u0301s@corp.example", "in\u00e9s@corp.example"), ("i@corp.example", "\u0130@corp.example")],
)  # fmt: skip
def test_no_address_is_taken_for_another_that_only_looks_or_folds_like_it(
    entrance: Entrance, provider: Provider, held: str, told: str
) -> None:
    entrance.person("bob", Role.ADMIN, email=held)
    assert "nobody here" in who(entrance, provider, email=told)
    assert who(entrance, provider, email=held) == "bob"


def test_who_is_made_is_linked_at_once(provider: Provider, clock: Hand) -> None:
    entrance = entrance_of(provider, clock, Mapped(roles=ROLES, creates=True))
    new = {"sub": "s9", "groups": ["risk"]}
    made = who(entrance, provider, email="new@corp.example", **new)
    assert who(entrance, provider, email="newer@corp.example", **new) == made
    assert len(entrance.keyring.users("default")) == 3


@pytest.mark.parametrize(
    "address", ["new@corp.example\nBcc: x@corp.example", "a b@corp.example", "@", "x" * 300 + "@x"]
)
def test_nobody_is_made_of_what_is_no_address(provider: Provider, clock: Hand, address: str) -> None:
    entrance = entrance_of(provider, clock, Mapped(roles=ROLES, creates=True))
    assert "does not vouch" in who(entrance, provider, sub="s9", email=address, groups=["risk"])
    assert len(entrance.keyring.users("default")) == 2


def test_who_comes_twice_at_once_is_made_once(provider: Provider, clock: Hand) -> None:
    entrance = entrance_of(provider, clock, Mapped(roles=ROLES, creates=True))
    provider.claims = {"sub": "s9", "email": "new@corp.example", "groups": ["risk"]}
    start, found = threading.Barrier(4), []
    assert entrance.elsewhere is not None
    elsewhere = entrance.elsewhere
    back = f"{ORIGIN}/sign-in/oidc/back"

    def come() -> None:
        url, kept = elsewhere.begin(back, "/")
        code, state = provider.authorize(url)
        start.wait(10)
        found.append(elsewhere.finish(kept, back, state, code, "192.0.2.1").user)

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(entrance.keyring.users("default")) == 3
    assert len({user.id for user in found if user is not None}) == 1
    assert len(found) == 4


def test_nobody_is_linked_who_may_not_sign_in(entrance: Entrance, provider: Provider) -> None:
    entrance.keyring.update_user("default", "ann", "Ann", "ann@corp.example", (), by="root", roles=())
    assert "nobody here" in who(entrance, provider)
    assert entrance.notes("identity.linked") == []
    entrance.keyring.update_user("default", "ann", "Ann", "ann@corp.example", (), by="root", roles=(Role.VIEWER,))
    assert who(entrance, provider) == "ann"
    entrance.keyring.disable_user("default", "ann", by="root")
    assert "nobody here" in who(entrance, provider, groups=["risk"])
    assert entrance.keyring.user("default", "ann").disabled_at is not None


def test_who_is_disabled_meanwhile_is_not_enabled_by_new_groups(entrance: Entrance) -> None:
    entrance.keyring.disable_user("default", "ann", by="root")
    entrance.keyring.follow_user("default", "ann", ("risk",), frozenset({Role.VIEWER}), by="oidc")
    ann = entrance.keyring.user("default", "ann")
    assert (ann.groups, ann.disabled_at is None) == (("risk",), False)


# -- groups and roles


def test_groups_become_groups_and_roles(provider: Provider, clock: Hand) -> None:
    entrance = entrance_of(provider, clock, Mapped(roles=ROLES, groups_claim="teams"))
    provider.claims = {"teams": ["risk", "platform", "risk", "", 7, "x" * 300, "unknown"], "groups": ["admin"]}
    browser = entrance.browser()
    assert come_back(browser, provider).status_code == 303
    ann = entrance.keyring.user("default", "ann")
    assert ann.groups == ("risk", "platform", "unknown")
    assert ann.roles == {Role.APPROVER, Role.AUTHOR, Role.VIEWER}
    provider.claims = {"teams": ["platform"]}
    assert come_back(entrance.browser(), provider).status_code == 303
    assert entrance.keyring.user("default", "ann").roles == {Role.AUTHOR, Role.VIEWER}
    assert not browser.is_in(), "a role was lost"
    for nothing in ([], None, "platform"):
        provider.claims = {"teams": nothing}
        assert come_back(entrance.browser(), provider).status_code == 401
        assert entrance.keyring.user("default", "ann").roles == frozenset()


def test_without_a_mapping_roles_stay_as_they_are(entrance: Entrance, provider: Provider) -> None:
    provider.claims = {"groups": ["risk"]}
    assert come_back(entrance.browser(), provider).status_code == 303
    ann = entrance.keyring.user("default", "ann")
    assert (ann.groups, ann.roles) == (("risk",), {Role.VIEWER})
    provider.claims = {}
    come_back(entrance.browser(), provider)
    assert entrance.keyring.user("default", "ann").groups == ("risk",)


@pytest.mark.parametrize(
    ("creates", "groups", "made"), [(True, ["risk"], True), (True, [], False), (False, ["risk"], False)]
)
def test_somebody_new_is_made_where_that_is_wanted(
    provider: Provider, clock: Hand, creates: bool, groups: list[str], made: bool
) -> None:
    entrance = entrance_of(provider, clock, Mapped(roles=ROLES, creates=creates))
    provider.claims = {"email": "new@corp.example", "groups": groups, "name": "New\u0000"}
    browser = entrance.browser()
    assert come_back(browser, provider).status_code == (303 if made else 401)
    found = [user for user in entrance.keyring.users("default") if user.email == "new@corp.example"]
    assert [(user.name, user.roles) for user in found] == [("new@corp.example", {Role.APPROVER})] * made
    assert browser.is_in() is made


@pytest.mark.parametrize("state", ["disabled", "twice"])
def test_who_is_disabled_or_not_one_stays_out(provider: Provider, clock: Hand, state: str) -> None:
    entrance = entrance_of(provider, clock, Mapped(roles=ROLES, creates=True))
    provider.claims = {"groups": ["risk"]}
    if state == "disabled":
        entrance.keyring.disable_user("default", "ann", by="root")
    else:
        entrance.person("anna", Role.VIEWER, email="ANN@corp.example")
    assert come_back(entrance.browser(), provider).status_code == 401
    assert len(entrance.keyring.users("default")) == (2 if state == "disabled" else 3)


def test_only_the_workspace_of_the_provider_is_entered(provider: Provider, clock: Hand) -> None:
    entrance = entrance_of(provider, clock, Mapped(workspace="other"))
    assert come_back(entrance.browser(), provider).status_code == 401


def test_without_a_provider_there_is_no_way_to_it() -> None:
    entrance = Entrance()
    entrance.person("root", Role.ADMIN)
    browser = entrance.browser()
    assert browser.get("/sign-in/oidc").status_code == 404
    assert "organisation" not in browser.get("/sign-in").text
