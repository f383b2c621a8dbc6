"""A service with people of every role, and the pages of approvals, audit and settings, over HTTP and in browsers."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import httpx2
import orjson
from starlette.applications import Starlette
from starlette.testclient import TestClient

from onpurpose.adapters.clock import Ids
from onpurpose.adapters.memory_sign_ins import MemoryCredentials, MemoryIdentities, MemorySessions
from onpurpose.adapters.one_time_codes import TotpCodes
from onpurpose.adapters.passwords import Argon2Passwords
from onpurpose.adapters.signing import read_public_key, verify_signature
from onpurpose.adapters.sql.feed import SqliteFollow
from onpurpose.adapters.vault import AesVault
from onpurpose.app import audit
from onpurpose.app.channels import Channels
from onpurpose.app.first_person import FirstPerson
from onpurpose.app.keeping import Keeping
from onpurpose.app.masking import Masking
from onpurpose.app.own_proofs import OwnProofs
from onpurpose.app.proofs import Means, Proofs
from onpurpose.app.sessions import SignedIn
from onpurpose.app.sign_in import SignIn
from onpurpose.app.single_sign_on import Linking
from onpurpose.app.turned_away import TurnedAway
from onpurpose.core.access import Role, User, Workspace
from onpurpose.core.approval import Approval
from onpurpose.core.call import Call
from onpurpose.core.chain import Report
from onpurpose.core.record import Record
from onpurpose.core.routing import Route
from onpurpose.server.api.decisions import Past
from onpurpose.server.dashboard import approval, approvals
from onpurpose.server.dashboard.errors import error_pages
from onpurpose.server.dashboard.session import Sessions
from onpurpose.server.dashboard.shell import Parts
from onpurpose.server.pages.routes import page_routes
from onpurpose.server.problems import ANSWERS
from tests.app.deciding import CALL, question, route
from tests.browser.serving import served
from tests.dashboard.shells import a_shell
from tests.server.api.house import House
from tests.server.api.house import opened as opened_house

SECRET = "a secret of at least thirty-two characters"
PASSWORD = "a horse in the rain"

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"
"""What an agent may write wherever it writes."""


_NUMBERS = itertools.count(1)
"""Of workspaces, over all houses: what tests keep by their names must not meet."""


@dataclass
class Desks:
    """The service. `app` has its pages; `parts` is what they are made of."""

    house: House
    parts: Parts
    app: Starlette
    own: OwnProofs
    signed_in: SignedIn

    def workspace(self) -> Place:
        """A workspace with ada and bob, who approve; vic looks; ann is its admin; pia promotes; wim writes."""
        name = f"acme{next(_NUMBERS)}"
        self.house.access.put(Workspace(id=name, name=name.title(), created_at=0), notes=[])
        return Place(self, name).filled()

    def operator(self) -> Place:
        """The workspace of who runs the service."""
        return Place(self, "default").filled()

    def follow(self) -> None:
        """Have the feed take up all that is in the log."""
        while self.house.projector.step():
            pass


@dataclass
class Place:
    """One workspace, and who is in it."""

    desks: Desks
    name: str
    users: dict[str, User] = field(default_factory=dict)

    def filled(self) -> Place:
        known = {user.id: user for user in self.desks.house.control.keyring.users(self.name)}
        for who, groups, role in (
            ("ada", ("approvers",), Role.APPROVER), ("bob", ("approvers",), Role.APPROVER), ("vic", (), Role.VIEWER),
            ("ann", (), Role.ADMIN), ("wim", (), Role.AUTHOR), ("pia", (), Role.PROMOTER),
        ):  # fmt: skip
            self.users[who] = known.get(who) or self.person(who, role, *groups)
        return self

    def person(self, who: str, role: Role, *groups: str, name: str = "") -> User:
        """A new user of that role."""
        keyring = self.desks.house.control.keyring
        made = keyring.create_user(
            self.name, who, name or who.title(), f"{who}@corp.example", groups, by="tests", roles=(role,)
        )
        self.users[who] = made
        return made

    def asked(self, *routes: Route, call: Call = CALL, **fields: Any) -> Approval:
        """An approval that an agent asks for; the group `approvers` decides, unless routes are given."""
        made = question(call, *(routes or (route("group:approvers"),)), workspace=self.name, **fields)
        return self.desks.house.desk.ask(made)

    def token(self, who: str, method: str = "password") -> str:
        """The cookie of a new session of that user."""
        return self.desks.signed_in.open(self.users[who], method=method, address="", before=None)

    def browser(self, who: str | None = None, method: str = "password") -> Browser:
        """Somebody's browser, signed in where a user is named."""
        http = TestClient(self.desks.app, base_url="http://127.0.0.1", follow_redirects=False)
        if who is not None:
            http.cookies.set("onpurpose", self.token(who, method), domain="127.0.0.1")
        return Browser(http)

    def record(self, kind: str, **told: Any) -> None:
        """A record of the workspace comes to the log and to the feed."""
        told = {"v": 1, "kind": kind, "at": self.desks.house.clock.now(), "workspace": self.name} | told
        self.desks.house.ledger.append(Record(kind, orjson.dumps(told))).result(30)
        self.desks.follow()


@dataclass
class Browser:
    """What a person does: open pages, and send forms with the token of the page that was seen last."""

    http: TestClient
    csrf: str = ""

    def get(self, path: str, **headers: str) -> httpx2.Response:
        return self._seen(self.http.get(path, headers={"accept": "text/html", **headers}))

    def post(self, path: str, fields: dict[str, Any], **headers: str) -> httpx2.Response:
        ours = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin", "accept": "text/html"}
        return self._seen(self.http.post(path, data={"_csrf": self.csrf} | fields, headers=ours | headers))

    def act(self, path: str, fields: dict[str, Any], at: str = "") -> httpx2.Response:
        """Open the page (or that at `at`), then send a form."""
        self.get(at or path)
        return self.post(path, fields)

    def _seen(self, response: httpx2.Response) -> httpx2.Response:
        found = re.search(r'<meta name="csrf-token" content="([^"]*)"', response.text)
        self.csrf = html.unescape(found.group(1)) if found else self.csrf
        return response


Pages = Sequence[Callable[[Parts], Sequence[Any]]]


@contextmanager
def opened(
    folder: Path,
    pages: Pages = (),
    channels: Callable[[House], Channels] | None = None,
    while_verifying: Callable[[Callable[[int], None]], None] = lambda _: None,
    keeping: Callable[[House], Keeping] | None = None,
) -> Iterator[Desks]:
    """The service. `pages` are the `routes` of further modules; `while_verifying` is called as a check begins."""
    with opened_house(folder) as house, closing(SqliteFollow(folder / "onpurpose.db")) as follow:
        path, ids, clock, post = folder / "onpurpose.db", Ids(), house.clock, house.control.post
        kept = MemorySessions(house.access)
        means = Means(
            credentials=MemoryCredentials(house.access, kept), passwords=Argon2Passwords(memory_kib=8, passes=1),
            codes=TotpCodes(), vault=AesVault(SECRET), clock=clock, new_id=ids.new,
        )  # fmt: skip
        proofs, people = Proofs(means), house.access.users
        own = OwnProofs(means, proofs, post, secret=SECRET, people=people)
        away = TurnedAway(house.refusals, Masking(), clock=clock, new_id=ids.new)
        signed_in = SignedIn(kept, post, people=people, clock=clock, new_id=ids.new)
        sessions = Sessions(
            signed_in, sign_in=SignIn(means, proofs, post, away, people=people), own=own,
            first=FirstPerson(house.control.keyring, own, find_key=lambda _: None, alone=nullcontext),
            linking=Linking(MemoryIdentities(house.access, kept), post, clock=clock, new_id=ids.new),
        )  # fmt: skip

        def verify(progress: Callable[[int], None]) -> Report:
            while_verifying(progress)
            return audit.verify(
                house.log.open_archive, public_key=read_public_key(f"{path}.pub"), verify_signature=verify_signature,
                progress=progress,
            )  # fmt: skip

        shell, unused = a_shell(clock), cast(Any, None)
        parts = Parts(
            shell=shell, sessions=sessions, clock=clock, control=house.control,
            past=Past(decisions=house.feed, log=follow), feed=unused, rollups=unused, outcomes=unused, trials=unused,
            desk=house.desk, tokens=house.tokens, log=house.log, workspaces=unused, metrics=unused,
            courier=lambda: {"slack": {"sent": 3, "retried": 1, "dead": 0, "waiting_seconds": 0.0, "last_error": "",
                                       "last_error_at": None, "failing_since": None}},
            links=house.links, channels=None if channels is None else channels(house), verify=verify,
            keeping=None if keeping is None else keeping(house),
        )  # fmt: skip
        made = [one for module in (approvals, approval) for one in module.routes(parts)]
        made += [one for routes in pages for one in routes(parts)]
        made += page_routes(house.desk, house.links, house.authority, people=people, clock=clock)
        made += shell.assets.routes()
        app = Starlette(routes=made, exception_handlers=error_pages(shell, sessions, ANSWERS))
        yield Desks(house, parts, app, own, signed_in)


@contextmanager
def running(desks: Desks) -> Iterator[str]:
    """The service's address, while it answers browsers."""
    with served(desks.app) as url:
        yield url
