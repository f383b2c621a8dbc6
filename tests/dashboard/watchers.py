"""A dashboard with the pages that watch: people of every role, a real log and feed, and calls that a gate decides."""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import orjson
from starlette.applications import Starlette

from onpurpose.adapters.clock import Ids
from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.adapters.memory_sign_ins import MemorySessions
from onpurpose.adapters.tokens import JwtFormat
from onpurpose.adapters.vault import AesVault
from onpurpose.app.approvals import Desk
from onpurpose.app.control import control
from onpurpose.app.masking import Masking
from onpurpose.app.outbox import Post
from onpurpose.app.sessions import SignedIn, form_token
from onpurpose.app.tokens import Tokens
from onpurpose.core.access import Role, User
from onpurpose.core.call import Call, Identity
from onpurpose.core.delivery import Delivery
from onpurpose.core.process import Process
from onpurpose.core.purpose import Settings
from onpurpose.core.record import Record
from onpurpose.core.result import Result
from onpurpose.core.revision import Kind
from onpurpose.server.api.decisions import Past as Decided
from onpurpose.server.dashboard import decision, feed, overview
from onpurpose.server.dashboard.errors import error_pages
from onpurpose.server.dashboard.session import Sessions
from onpurpose.server.dashboard.shell import Parts
from onpurpose.server.metrics import Metrics
from onpurpose.server.problems import ANSWERS
from onpurpose.service import Records, Told
from tests.app.keys import MemorySigningKeys
from tests.app.past import Past, recorded
from tests.app.world import EVERYTHING, candidate, ids
from tests.browser.serving import served
from tests.dashboard.shells import a_shell
from tests.loopback import asking

SECRET = "a secret of at least thirty-two characters"

HOSTILE = "<script>alert(1)</script>\u202e\"'&<img src=x onerror=alert(2)>{{7*7}}"
"""What an agent may write wherever it writes."""

POLICY = """deny:
  - capability: shell.run
    contains: rm -rf
require_approval:
  - capability: payments.transfer
    amount_gt: 1000
allow:
  - capability: crm.read
  - capability: crm.search
  - capability: payments.transfer
  - capability: never.used
"""

SHADOWED = "policy_id: shadowed\npurpose_id: support\ndecision: deny\n"


@dataclass
class Knobs:
    """What a test sets: what is not ready, what was lost, whether the service stops."""

    wrong: list[str] = field(default_factory=list)
    lost: list[Delivery] = field(default_factory=list)
    stopping: bool = False
    broken: bool = False
    courier: dict[str, dict[str, object]] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)

    def ready(self) -> list[str]:
        if self.broken:
            raise RuntimeError("the secret of the store")
        return self.wrong


class Watchers:
    """The house: `url` is where it is served."""

    def __init__(self, past: Past, parts: Parts, knobs: Knobs, url: str) -> None:
        self.past, self.parts, self.knobs, self.url = past, parts, knobs, url
        self.world = past.world

    def token(self, role: Role = Role.VIEWER) -> str:
        """The cookie of somebody of that role, signed in."""
        person = next(one for one in self.world.access.users("default") if one.id == str(role))
        return self.parts.sessions.signed_in.open(person, method="password", address="", before=None)

    @contextlib.contextmanager
    def visitor(self, role: Role = Role.VIEWER) -> Iterator[Visitor]:
        """Somebody of that role in a browser without script."""
        token = self.token(role)
        with asking(self.url, cookies={"onpurpose": token}) as client:
            yield Visitor(client, token)

    def get(self, path: str, status: int = 200, role: Role = Role.VIEWER) -> str:
        """The page, as somebody of that role sees it."""
        with self.visitor(role) as visitor:
            return visitor.get(path, status)

    def live(self, kind: Kind, name: str, text: str) -> None:
        """Have the text decide."""
        self.world.save(kind, name, text)
        if self.world.standing(kind, name).shadow is not None:
            self.world.control.promotions.promote(
                "default", [candidate(kind, name)], reason="-", by="somebody", overrides=EVERYTHING
            )

    def guarded(self) -> None:
        """A live policy, an active purpose, and a policy of it in shadow."""
        self.live(Kind.POLICY, "base", POLICY)
        self.live(Kind.PURPOSE, "support", "id: support\nstatus: active\nelements: [crm.contacts.*]\n")
        self.world.save(Kind.PURPOSE_POLICY, "shadowed", SHADOWED)

    def call(self, capability: str = "crm.read", agent_id: str = "bot", **fields: Any) -> Result:
        """A call that is decided, a second after the one before."""
        given: dict[str, Any] = {"payload": {"id": 7}, "identity": Identity("kim", ("tier-1",))} | fields
        return self.past.decide(Call(agent_id, capability, **given))

    def record(self, decision_id: str, **told: Any) -> None:
        """A decision's record comes to the log and to the feed, as it is."""
        body = {
            "v": 1, "kind": "decision", "id": decision_id, "at": self.world.clock.now(), "workspace": "default",
            "agent_id": "bot", "capability": "crm.read", "outcome": "allow", "digest": None, "reasons": [],
            "policies": [],
        }  # fmt: skip
        self.past.ledger.append(Record("decision", orjson.dumps(body | told))).result(30)
        while self.past.projector.step():
            pass


class Visitor:
    """A browser without script."""

    def __init__(self, client: httpx2.Client, token: str) -> None:
        self.client = client
        self.token = token

    def get(self, path: str, status: int = 200) -> str:
        """The page, as text."""
        response = self.client.get(path, headers={"Accept": "text/html"})
        assert response.status_code == status, response.text
        return response.text

    def post(self, path: str, status: int = 303, /, **fields: Any) -> httpx2.Response:
        """The answer to a form."""
        headers = {"Origin": str(self.client.base_url).rstrip("/"), "Accept": "text/html"}
        response = self.client.post(path, data={"_csrf": form_token(self.token), **fields}, headers=headers)
        assert response.status_code == status, response.text
        return response


def seen(text: str) -> str:
    """What somebody reads on the page."""
    body = text.partition("<main")[2]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", body)))


def is_harmless(text: str) -> bool:
    """Whether nothing that `HOSTILE` wrote became part of the page."""
    return not any(bad in text for bad in ("<script>alert", "<img src=x", "\u202e", "{{7*7}}</title>49"))


@contextlib.contextmanager
def watchers(folder: Path) -> Iterator[Watchers]:
    """A house that runs, with nothing in it."""
    with recorded(folder) as past:
        world = past.world
        world.control = control(
            world.documents, world.documents, world.access, past.rollups, past.ledger, clock=world.clock, new_id=ids(),
            delivered=past.workspaces.refresh,
        )  # fmt: skip
        for role in Role:
            user = User(
                id=str(role), workspace="default", name=str(role).title(), email=f"{role}@corp.example", created_at=0,
                roles=frozenset({role}),
            )  # fmt: skip
            world.access.put(user, notes=[])
        with contextlib.ExitStack() as stack:
            knobs = Knobs()
            parts = _parts(past, knobs, stack)
            app = Starlette(
                routes=[
                    *parts.shell.assets.routes(),
                    *(route for module in (overview, feed, decision) for route in module.routes(parts)),
                ],
                exception_handlers=error_pages(parts.shell, parts.sessions, ANSWERS),
            )
            url = stack.enter_context(served(app))
            stack.callback(setattr, knobs, "stopping", True)
            yield Watchers(past, parts, knobs, url)


def _parts(past: Past, knobs: Knobs, stack: contextlib.ExitStack) -> Parts:
    world, clock, made = past.world, past.world.clock, Ids()
    signed_in = SignedIn(
        MemorySessions(world.access), world.control.post, people=world.access.users, clock=clock, new_id=made.new
    )
    tokens = Tokens(
        "https://gate.example", MemorySigningKeys(), AesVault(SECRET), JwtFormat(), clock=clock, new_id=made.new
    )
    approvals = MemoryApprovals()
    desk = Desk(
        approvals, Post(approvals, past.ledger), people=world.access.users, settings=lambda _: Settings(), clock=clock,
        new_id=made.new, masking=Masking(), ledger=past.ledger,
    )  # fmt: skip
    stack.callback(desk.close)
    unused: Any = None
    return Parts(
        shell=a_shell(clock),
        sessions=Sessions(signed_in, sign_in=unused, linking=unused, own=unused, first=unused),
        clock=clock,
        control=world.control,
        past=Decided(decisions=past.feed, log=Records(past.follow)),
        feed=Told(past.feed),
        rollups=past.rollups,
        outcomes=past.outcomes,
        trials=unused,
        desk=desk,
        tokens=tokens,
        log=unused,
        workspaces=past.workspaces,
        metrics=Metrics(pending=lambda: 3.0),
        courier=lambda: knobs.courier,
        ready=knobs.ready,
        lost=lambda _, limit: knobs.lost[:limit],
        stopping=lambda: knobs.stopping,
        processes=lambda: knobs.processes,
        process="this",
    )
