"""A service of all resources that runs, and workspaces of their own for each test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import orjson

from onpurpose.adapters.clock import Ids, SystemClock
from onpurpose.adapters.memory import MemoryLedger
from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.adapters.memory_store import MemoryAccess, MemoryDocuments
from onpurpose.adapters.signing import KeyFile, read_public_key, verify_signature
from onpurpose.adapters.sql import SqliteArchive, SqliteLedger
from onpurpose.adapters.sql.feed import SqlFeed, SqliteFollow, open_feed
from onpurpose.adapters.tokens import JwtFormat
from onpurpose.adapters.vault import AesVault
from onpurpose.app import audit
from onpurpose.app.approvals import Desk
from onpurpose.app.consent import Consent
from onpurpose.app.control import Control, control
from onpurpose.app.keys import NewKey
from onpurpose.app.links import Links
from onpurpose.app.masking import Masking
from onpurpose.app.outbox import Post
from onpurpose.app.projection import Projector
from onpurpose.app.tokens import Tokens
from onpurpose.core.access import Scope, Workspace
from onpurpose.core.approval import Approval
from onpurpose.core.call import Call
from onpurpose.core.feed import Judged
from onpurpose.core.purpose import Settings
from onpurpose.core.record import Record
from onpurpose.core.routing import Route
from onpurpose.core.statistics import Counts
from onpurpose.server.api.approvals import approval_routes
from onpurpose.server.api.audit import Log
from onpurpose.server.api.decisions import Past
from onpurpose.server.api.routes import routes
from onpurpose.server.api.table import TABLE
from onpurpose.server.api.webhooks import webhook_routes
from onpurpose.server.identity import Authority
from onpurpose.server.pages.guesses import Guesses
from onpurpose.server.pages.routes import page_routes
from onpurpose.waiting import Promise
from tests.app.deciding import CALL, question, route
from tests.app.keys import MemorySigningKeys
from tests.app.world import Rolled
from tests.server.serving import Served, services, serving

_SCOPES = {
    "reader": [Scope.READ],
    "writer": [Scope.READ, Scope.POLICY_WRITE],
    "promoter": [Scope.READ, Scope.POLICY_WRITE, Scope.POLICY_PROMOTE],
    "evaluator": [Scope.EVALUATE],
    "agent": [Scope.EVALUATE],
    "watcher": [Scope.APPROVE],
    "admin": [Scope.ADMIN],
}


class Ahead:
    """The system's clock, so many microseconds ahead."""

    def __init__(self) -> None:
        self.by = 0

    def now(self) -> int:
        return SystemClock().now() + self.by


class Observed(Desk):
    """A desk that tells how many wait."""

    def __init__(self, *parts: Any, **others: Any) -> None:
        super().__init__(*parts, **others)
        self._watchers = 0
        self._turned = threading.Condition()

    def watch(self, workspace: str, approval_id: str) -> Promise[Approval]:
        promise = super().watch(workspace, approval_id)
        self._count(1)
        promise.add_done_callback(lambda _: self._count(-1))
        return promise

    def await_watchers(self, count: int) -> None:
        """Return once so many wait."""
        with self._turned:
            assert self._turned.wait_for(lambda: self._watchers == count, 10), f"{self._watchers} wait"

    def _count(self, change: int) -> None:
        with self._turned:
            self._watchers += change
            self._turned.notify_all()


@dataclass
class House:
    """A store in memory, a log and a feed in files, and a service on them."""

    control: Control
    access: MemoryAccess
    ledger: SqliteLedger
    feed: SqlFeed
    projector: Projector
    rolled: Rolled
    tokens: Tokens
    log: Log
    authority: Authority
    desk: Observed
    clock: Ahead
    links: Links
    served: Served = field(init=False)
    http: httpx2.Client = field(init=False)
    operator: Tenant = field(init=False)
    refusals: MemoryLedger = field(default_factory=MemoryLedger)
    numbers: Any = field(default_factory=lambda: count(1))

    def tenant(self) -> Tenant:
        """A new workspace."""
        name = f"tenant{next(self.numbers)}"
        self.clock.by += 60_000_000  # a new minute: of each, so many attempts are recorded
        self.access.put(Workspace(id=name, name="", created_at=0), notes=[])
        return Tenant(self, name)

    def record(self, workspace: str, decision_id: str, **fields: Any) -> None:
        """A decision comes to the log and to the feed."""
        body = {
            "v": 1, "kind": "decision", "id": decision_id, "at": 1, "workspace": workspace, "agent_id": "bot",
            "capability": "files.read", "outcome": "allow", "digest": None,
            "reasons": [{"code": "rule_matched", "outcome": "allow", "message": "", "rule": {"at": "p:1"}}],
            "policies": [],
        }  # fmt: skip
        self.ledger.append(Record("decision", orjson.dumps(body | fields))).result(30)
        while self.projector.step():
            pass


class Tenant:
    """A workspace and clients of its keys, by who has them."""

    def __init__(self, house: House, workspace: str) -> None:
        self.house = house
        self.workspace = workspace
        self.keys: dict[str, NewKey] = {}

    def key(self, who: str) -> NewKey:
        """The key of one who may read, write, promote, evaluate or do everything."""
        if who not in self.keys:
            self.keys[who] = self.house.control.keyring.create_key(self.workspace, who, _SCOPES[who], by="tests")
        return self.keys[who]

    def person(self, name: str, *groups: str, slack: str | None = None) -> str:
        """A new user with a personal key."""
        self.house.control.keyring.create_user(
            self.workspace, name, name.title(), f"{name}@corp.example", groups, by="tests", slack=slack
        )
        scopes = [Scope.APPROVE, Scope.READ]
        keyring = self.house.control.keyring
        self.keys[name] = keyring.create_key(self.workspace, name, scopes, by="tests", user=name)
        return name

    def opened(self, *routes: Route, call: Call = CALL, **fields: Any) -> Approval:
        """An approval that the key of `agent` asks for; anybody decides it unless routes are given."""
        asked = {"workspace": self.workspace, "asked_with": self.key("agent").key.id} | fields
        return self.house.desk.ask(question(call, *(routes or (route("anyone"),)), **asked))

    def refused(self) -> list[dict[str, Any]]:
        """What the log was told of attempts that were turned away, oldest first."""
        bodies = [orjson.loads(one.body) for one in self.house.refusals.records()]
        return [one for one in bodies if one["kind"] == "approval.refused" and one["workspace"] == self.workspace]

    def ask(
        self, who: str, method: str, path: str, headers: dict[str, str] | None = None, **given: Any
    ) -> httpx2.Response:
        sent = {"Authorization": f"Bearer {self.key(who).secret}"} | (headers or {})
        return self.house.http.request(method, path, headers=sent, **given)

    def get(self, path: str, who: str = "reader", **given: Any) -> Any:
        return good(self.ask(who, "GET", path, **given)).json()

    def put(self, path: str, text: str, who: str = "promoter", **given: Any) -> Any:
        return good(self.ask(who, "PUT", path, json={"text": text, **given})).json()

    def post(self, path: str, who: str = "promoter", **body: Any) -> Any:
        return good(self.ask(who, "POST", path, json=body)).json()

    def watch(self, kind: str, name: str, revision: int = 1, **counts: int) -> None:
        """The revision was seen on many calls, without a denial unless given."""
        judged = Judged(workspace=self.workspace, kind=kind, name=name, revision=revision)
        self.house.rolled.watch(judged, Counts(**({"qualified": 1000, "matched": 1000} | counts)))


def good(response: httpx2.Response) -> httpx2.Response:
    """The response, which did what was asked."""
    assert response.is_success, response.text
    return response


def problem(response: httpx2.Response, status: int) -> dict[str, Any]:
    """The problem document that a refusal is."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = response.json()
    assert told["status"] == status
    assert told["type"].startswith("urn:onpurpose:problem:")
    return told


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[House]:
    path = folder / "onpurpose.db"
    documents, rolled, authority = MemoryDocuments(), Rolled(), Authority()
    access = MemoryAccess(documents)
    ids = Ids()
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(SqliteLedger(path, signer=KeyFile(f"{path}.key", f"{path}.pub")))
        feed = stack.enter_context(contextlib.closing(open_feed(f"{path}.feed")))
        follow = stack.enter_context(contextlib.closing(SqliteFollow(path)))
        clock = SystemClock()
        uses = control(
            documents, documents, access, rolled, ledger, clock=clock, new_id=ids.new,
            delivered=lambda: authority.replace(access.keys()),
        )  # fmt: skip
        tokens = Tokens(
            "https://gate.example", MemorySigningKeys(), AesVault("a secret of at least thirty-two characters"),
            JwtFormat(), clock=clock, new_id=ids.new,
        )  # fmt: skip
        tokens.start()
        log = Log(
            lambda: SqliteArchive(path),
            lambda: audit.verify(
                lambda: SqliteArchive(path),
                public_key=read_public_key(f"{path}.pub"),
                verify_signature=verify_signature,
            ),
        )
        told, ahead, approvals = MemoryLedger(), Ahead(), MemoryApprovals()
        desk = Observed(
            approvals, Post(approvals, told), people=access.users, settings=lambda _: Settings(), clock=ahead,
            new_id=ids.new, masking=Masking(), ledger=told, poll_seconds=0.02,
        )  # fmt: skip
        stack.callback(desk.close)
        links = Links("a secret of at least thirty-two characters", "https://gate.example")
        house = House(
            uses,
            access,
            ledger,
            feed,
            Projector(follow, feed),
            rolled,
            tokens,
            log,
            authority,
            desk,
            ahead,
            links,
            told,
        )
        past = Past(decisions=feed, log=follow)
        house.operator = Tenant(house, "default")
        first = uses.keyring.first_key()
        assert first is not None
        house.operator.keys["admin"] = first
        tell = Consent(desk, settings=lambda _: Settings(), page=links.page).ticket
        made = [
            *routes(uses, past=past, tokens_of=tokens, log=log, clock=clock),
            *approval_routes(desk, tell),
            *webhook_routes(lambda workspace: f"whsec_of {workspace}"),
            *page_routes(
                desk,
                links,
                authority,
                people=access.users,
                clock=ahead,
                public_url="https://gate.example",
                guesses=Guesses(now=lambda: ahead.by / 1_000_000),
            ),
        ]
        parts = services(authority=authority, clock=clock, routes=made, operations=TABLE)
        house.served = stack.enter_context(serving(parts))
        house.http = stack.enter_context(house.served.client(None))
        yield house
