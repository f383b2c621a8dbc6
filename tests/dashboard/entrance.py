"""Who may come in, in one process: a store in memory, a log, a clock set by hand, the real pages, and browsers."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from onpurpose.adapters.memory_sign_ins import MemoryCredentials, MemoryIdentities, MemorySessions
from onpurpose.adapters.one_time_codes import TotpCodes
from onpurpose.adapters.passwords import Argon2Passwords
from onpurpose.adapters.vault import AesVault
from onpurpose.app.first_person import FirstPerson
from onpurpose.app.masking import Masking
from onpurpose.app.own_proofs import OwnProofs
from onpurpose.app.proofs import Means, Proofs
from onpurpose.app.sessions import SignedIn
from onpurpose.app.sign_in import SignIn
from onpurpose.app.single_sign_on import Linking, Mapped, SingleSignOn
from onpurpose.app.turned_away import TurnedAway
from onpurpose.core.access import ApiKey, Role, Scope, User
from onpurpose.core.session import Principal, Session
from onpurpose.ports import Clock
from onpurpose.server.dashboard import account, set_up, sign_in
from onpurpose.server.dashboard.session import Sessions, form_of, page
from onpurpose.server.dashboard.shell import Shell
from onpurpose.server.identity import Authority
from onpurpose.sign_in_ports import IdentityProvider
from tests.app.world import World, ids
from tests.dashboard.shells import a_shell

SECOND = 1_000_000
HOUR = 3600 * SECOND
SECRET = "s" * 40
PASSWORD = "a horse in the rain"
ORIGIN = "https://gate.example"
PASSWORDS = {"memory_kib": 8, "passes": 1, "lanes": 1}
"""As cheap as it can be: the tests are about what is asked, not about how long it takes."""


@dataclass
class Parts:
    """What the pages need of a service."""

    shell: Shell
    sessions: Sessions
    clock: Clock


class Late(MemorySessions):
    """Sessions before the next of which is kept, something happens."""

    meanwhile: Callable[[], object] | None = None

    def open(self, session: Session, *, instead_of: bytes | None, notes: Sequence[bytes]) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().open(session, instead_of=instead_of, notes=notes)


class Entrance:
    """A service in which one can do nothing but come in, write a note (`/notes`), and read (`/read`)."""

    def __init__(
        self,
        provider: IdentityProvider | None = None,
        mapped: Mapped | None = None,
        passwords: Any = None,
        refusal_seconds: float = 0,
        public_url: str = ORIGIN,
        kept: type[MemorySessions] = MemorySessions,
    ) -> None:
        self.world = World()
        self.clock = self.world.clock
        self.keyring = self.world.control.keyring
        post, access, new_id = self.world.control.post, self.world.access, ids()
        self.kept = kept(access)
        self.passwords = passwords or Argon2Passwords(**PASSWORDS)
        self.vault = AesVault(SECRET)
        self.means = Means(
            credentials=MemoryCredentials(access, self.kept), passwords=self.passwords, codes=TotpCodes(),
            vault=self.vault, clock=self.clock, new_id=new_id,
        )  # fmt: skip
        proofs = Proofs(self.means)
        away = TurnedAway(self.world.memory, Masking(), clock=self.clock, new_id=new_id)
        self.own = OwnProofs(self.means, proofs, post, secret=SECRET, people=access.users)
        self.signed_in = SignedIn(self.kept, post, people=access.users, clock=self.clock, new_id=new_id)
        self.sign_in = SignIn(self.means, proofs, post, away, people=access.users)
        self.admin_key = self.keyring.create_key("default", "admin", [Scope.ADMIN], by="").secret
        lock = threading.Lock()

        @contextmanager
        def alone() -> Any:
            with lock:
                yield

        self.first = FirstPerson(self.keyring, self.own, find_key=self._find_key, alone=alone)
        self.linking = Linking(MemoryIdentities(access, self.kept), post, clock=self.clock, new_id=new_id)
        self.elsewhere: SingleSignOn | None = None
        if provider is not None:
            self.elsewhere = SingleSignOn(
                provider, mapped or Mapped(), self.keyring, self.linking, away=away, vault=self.vault, clock=self.clock
            )
        sessions = Sessions(
            self.signed_in,
            sign_in=self.sign_in,
            own=self.own,
            first=self.first,
            linking=self.linking,
            elsewhere=self.elsewhere,
            public_url=public_url,
            refusal_seconds=refusal_seconds,
        )
        shell = a_shell(self.clock)
        self.parts = Parts(shell, sessions, self.clock)
        self.done: list[tuple[str, list[tuple[str, str]]]] = []
        self.app = Starlette(routes=[*self._pages(), *_all(self.parts)])

    def person(self, name: str = "ann", *roles: Role, password: str | None = PASSWORD, **given: Any) -> User:
        """A new user, who can sign in where there is a password."""
        made = self.keyring.create_user(
            given.get("workspace", "default"), name, name.title(), given.get("email", f"{name}@corp.example"), (),
            by="tests", roles=roles or (Role.VIEWER,),
        )  # fmt: skip
        if password is not None:
            self.own.set_password(made, password, by="tests")
        return made

    def browser(self, base: str = ORIGIN) -> Browser:
        """A browser with no cookies yet."""
        return Browser(self, TestClient(self.app, base_url=base, follow_redirects=False))

    def notes(self, kind: str) -> list[dict[str, Any]]:
        """What the log was told of that kind."""
        return self.world.notes(kind)

    def _find_key(self, text: str) -> ApiKey | None:
        found = Authority(self.world.access.keys()).find(text, self.clock.now())
        return found if isinstance(found, ApiKey) else None

    def _pages(self) -> list[Route]:
        def write(request: Request, principal: Principal) -> Response:
            self.done.append((principal.user, [pair for pair in form_of(request) if not pair[0].startswith("_")]))
            return PlainTextResponse("written")

        async def read(_: Request, principal: Principal) -> Response:
            return PlainTextResponse(f"read by {principal.user}")

        return [
            Route("/notes", page(self.parts, Scope.POLICY_WRITE)(write), methods=["POST"]),
            Route("/notes/{name}", page(self.parts, Scope.POLICY_WRITE)(write), methods=["POST"]),
            Route("/read/{name}", page(self.parts, Scope.READ)(read), methods=["GET"]),
            Route("/read", page(self.parts, Scope.READ)(read), methods=["GET"]),
        ]


def _all(parts: Parts) -> list[Any]:
    return [*sign_in.routes(parts), *set_up.routes(parts), *account.routes(parts)]


@dataclass
class Browser:
    """What a person does: follow pages, and send forms with what they hold."""

    entrance: Entrance
    http: TestClient
    fields: dict[str, str] = field(default_factory=dict)

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self.http.cookies)

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self._seen(self.http.get(path, headers=headers))

    def post(self, path: str, fields: Any, **headers: str) -> httpx2.Response:
        given = {"origin": str(self.http.base_url).rstrip("/"), "sec-fetch-site": "same-origin"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return self._seen(self.http.post(path, data=fields, headers={k: v for k, v in given.items() if v != "-"}))

    def sign_in(self, name: str = "ann", password: str = PASSWORD, **more: str) -> httpx2.Response:
        """Open the page, fill it, send it."""
        self.get("/sign-in")
        return self.post("/sign-in", self.fields | {"user": name, "password": password} | more)

    def is_in(self) -> bool:
        return self.get("/read").status_code == 200

    def _seen(self, response: httpx2.Response) -> httpx2.Response:
        """Remember the hidden fields of the page's first form in its main part."""
        main = response.text.partition("<main")[2]
        form = main.partition("<form")[2].partition("</form>")[0]
        self.fields = {
            html.unescape(name): html.unescape(value)
            for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form)
        }
        return response


def path_of(response: httpx2.Response) -> str:
    """Where a redirect leads, which must be to the same host."""
    where = response.headers["location"]
    assert not urlsplit(where).netloc, where
    return where
