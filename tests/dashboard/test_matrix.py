"""Every route of the service times every role: pages open to whoever may, forms are taken from our pages alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from starlette.routing import Route

from onpurpose.app.sessions import form_token
from onpurpose.core.access import Role, User
from onpurpose.server.dashboard.approval import SignedInRoute
from onpurpose.server.dashboard.session import COOKIE, scope_of
from tests.dashboard.matrix import OPEN, check_refused, concrete
from tests.dashboard.whole import Whole, whole
from tests.loopback import asking

LINKS = frozenset({"/approve/{token}", "/approvals/{id}"})
"""Pages that a link, or a key, opens without a session; they ask for it themselves."""

FOR_PROGRAMS = frozenset({"/.well-known/jwks.json", "/slack/interactions"})
"""What is public, and what is signed by whoever sends it. What lies under `/v1/` needs a key."""

VALUES = {"kind": "policy", "name": "base", "id": "nothing", "chain": "0" * 32, "seq": "1"}


@dataclass
class House:
    """The service, a person of every role, and somebody who asks over HTTP."""

    at: Whole
    people: dict[Role, User]
    http: httpx2.Client

    @property
    def routes(self) -> list[Route]:
        """Every route of the service that is no resource of programs."""
        found = [route for route in self.at.service.services.routes if isinstance(route, Route)]
        assert len(found) == len(self.at.service.services.routes)
        return [route for route in found if not route.path.startswith("/v1/")]

    @property
    def guarded(self) -> list[tuple[Route, str]]:
        """The routes that sessions guard, once for each method."""
        found = [route for route in self.routes if scope_of(route.endpoint) is not None]
        return [(route, method) for route in found for method in sorted((route.methods or set()) - {"HEAD"})]

    def send(self, method: str, path: str, token: str | None = None, **given: str) -> httpx2.Response:
        """The answer, without the body of a stream. `csrf` is the field of a form, `origin` where it comes from."""
        headers = {"Accept": "text/html"} | ({"Cookie": f"{COOKIE}={token}"} if token else {})
        form = None
        if method == "POST":
            headers["Origin"] = given.get("origin", self.at.url)
            form = {"_csrf": given["csrf"]} if "csrf" in given else {}
        with self.http.stream(method, path, headers=headers, data=form) as response:
            if "event-stream" not in response.headers.get("content-type", ""):
                response.read()
        return response


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with whole(tmp_path_factory.mktemp("whole")) as at:
        people = {role: at.person(role) for role in Role}
        with asking(at.url) as http:
            yield House(at, people, http)


def test_no_route_is_unguarded_but_those_that_are_named(house: House) -> None:
    unguarded = {route.path for route in house.routes if scope_of(route.endpoint) is None}
    assert unguarded - OPEN - LINKS - FOR_PROGRAMS == {"/static/{hash}/{file}"}
    assert {"/", "/policies", "/settings", "/audit", "/purposes", "/account", "/decisions", "/approvals"} <= {
        route.path for route, _ in house.guarded
    }


@pytest.mark.parametrize("role", [*Role, None])
def test_every_page_is_reached_by_whoever_may_and_by_nobody_else(house: House, role: Role | None) -> None:
    token, signs_out = "", False

    def send(method: str, path: str) -> httpx2.Response:
        return house.send(method, path, token, csrf=form_token(token)) if token else house.send(method, path)

    for route, method in house.guarded:
        if role is None and isinstance(route, SignedInRoute):
            continue  # see below
        if role is not None and (not token or signs_out):
            token = house.at.token(house.people[role])
        signs_out = route.path == "/account/sign-out-everywhere"

        scope = scope_of(route.endpoint)
        assert scope is not None
        check_refused(send, method, concrete(route.path, VALUES), scope, role)


def test_an_approval_asks_whoever_has_no_session_for_a_key(house: House) -> None:
    found = house.send("GET", "/approvals/nothing")
    assert (found.status_code, 'name="key"' in found.text) == (200, True)
    assert house.send("POST", "/approvals/nothing", csrf="x").status_code == 400  # it names no key


def test_no_form_is_taken_from_elsewhere(house: House) -> None:
    admin = house.people[Role.ADMIN]
    token, other = house.at.token(admin), house.at.token(admin)
    for route, method in house.guarded:
        if method != "POST":
            continue
        path = concrete(route.path, VALUES)
        for given in (
            {},
            {"csrf": form_token(other)},
            {"csrf": form_token(token), "origin": "https://evil.example"},
        ):
            assert house.send("POST", path, token, **given).status_code == 403, (path, given)
        ended = house.send("POST", path, "made-up", csrf=form_token("made-up"))
        assert ended.status_code == 401, path
    assert house.send("GET", "/", token).status_code == 200  # nothing signed anybody out
