"""A dashboard in one process: people of every role, a real log and feed, calls that a gate decides, chosen pages."""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self

import httpx2
import orjson
from starlette.applications import Starlette

from onpurpose.adapters.clock import Ids
from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.adapters.memory_sign_ins import MemorySessions
from onpurpose.adapters.tokens import JwtFormat
from onpurpose.adapters.vault import AesVault
from onpurpose.app.approvals import Desk
from onpurpose.app.backtest import Backtests
from onpurpose.app.control import control
from onpurpose.app.masking import Masking
from onpurpose.app.outbox import Post
from onpurpose.app.sessions import SignedIn, form_token
from onpurpose.app.tokens import Tokens
from onpurpose.app.trials import Trials
from onpurpose.core.access import Role, User
from onpurpose.core.delivery import Delivery
from onpurpose.core.process import Process
from onpurpose.core.purpose import Settings
from onpurpose.core.record import Record
from onpurpose.core.revision import Kind
from onpurpose.server.api.decisions import Past as Decided
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
"""What an agent or another author may write, wherever it writes."""


class Pages(Protocol):
    """A module of pages."""

    def routes(self, parts: Any, /) -> Sequence[Any]: ...


@dataclass
class Knobs:
    """What a test sets: what is not ready, what was lost, whether the service stops."""

    wrong: list[str] = field(default_factory=list)
    lost: list[Delivery] = field(default_factory=list)
    stopping: bool = False
    broken: bool = False
    courier: dict[str, dict[str, object]] = field(default_factory=dict)
    processes: list[Process] = field(default_factory=list)
    rest: Callable[[], None] = lambda: None
    """Backtests call it between blocks of calls."""

    def ready(self) -> list[str]:
        if self.broken:
            raise RuntimeError("the secret of the store")
        return self.wrong


class House:
    """The service: `url` is where it is served, `parts` are what its pages are made of."""

    def __init__(self, past: Past, parts: Parts, knobs: Knobs, url: str) -> None:
        self.past, self.parts, self.knobs, self.url = past, parts, knobs, url
        self.world = past.world

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: Path, pages: Sequence[Pages], **knobs: Any) -> Iterator[Self]:
        """A house of these pages that runs, with nothing in it but somebody of every role."""
        with recorded(folder) as past, contextlib.ExitStack() as stack:
            _fill(past)
            told = Knobs(**knobs)
            parts = _parts(past, told, stack)
            app = Starlette(
                routes=[*parts.shell.assets.routes(), *(route for one in pages for route in one.routes(parts))],
                exception_handlers=error_pages(parts.shell, parts.sessions, ANSWERS),
            )
            url = stack.enter_context(served(app))
            stack.callback(setattr, told, "stopping", True)
            yield cls(past, parts, told, url)

    def token(self, role: Role = Role.VIEWER) -> str:
        """The cookie of somebody of that role, signed in."""
        person = next(one for one in self.world.access.users("default") if one.id == str(role))
        return self.parts.sessions.signed_in.open(person, method="password", address="127.0.0.1", before=None)

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

    def save(self, kind: Kind, name: str, text: str) -> None:
        """A revision that somebody else wrote."""
        self.world.save(kind, name, text)

    def promote(self, kind: Kind, name: str) -> None:
        """Whatever is in shadow becomes live."""
        self.world.control.promotions.promote(
            "default", [candidate(kind, name)], reason="-", by="somebody", overrides=EVERYTHING
        )

    def live(self, kind: Kind, name: str, text: str) -> None:
        """Have the text decide."""
        self.save(kind, name, text)
        if self.world.standing(kind, name).shadow is not None:
            self.promote(kind, name)

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
    """A browser without script, that sends forms as pages do."""

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

    def form(self, path: str, action: str) -> dict[str, str]:
        """What the form of that action holds as it is shown."""
        return form_in(self.get(path), action)


def form_in(text: str, action: str) -> dict[str, str]:
    """What the form of that action on a page holds, by the names of its controls."""
    found = re.search(rf'<form[^>]*action="{re.escape(action)}"[^>]*>(.*?)</form>', text, re.DOTALL)
    assert found is not None, f"no form of {action} in {text}"
    body, fields = found[1], {}
    for tag in re.findall(r"<input[^>]*>", body):
        told = dict(re.findall(r'(\w+)="([^"]*)"', tag))
        if told.get("type") not in ("checkbox", "radio") or " checked" in tag:
            fields[told.get("name", "")] = html.unescape(told.get("value", ""))
    for name, inside in re.findall(r'<textarea[^>]*name="(\w+)"[^>]*>\n?(.*?)</textarea>', body, re.DOTALL):
        fields[name] = html.unescape(inside)
    for name, inside in re.findall(r'<select[^>]*name="(\w+)"[^>]*>(.*?)</select>', body, re.DOTALL):
        chosen = re.search(r'<option value="([^"]*)" selected', inside)
        fields[name] = html.unescape(chosen[1]) if chosen else ""
    return {name: value for name, value in fields.items() if name not in ("", "_csrf")}


def seen(text: str) -> str:
    """What somebody reads of a page, or of a piece of one: what all pages have around their own is left out."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text.partition("<main")[2] or text)))


def is_harmless(text: str) -> bool:
    """Whether nothing that `HOSTILE` wrote became part of the page."""
    return not any(bad in text for bad in ("<script>alert", "<img src=x", "\u202e", "{{7*7}}</title>49"))


def _fill(past: Past) -> None:
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


def _parts(past: Past, knobs: Knobs, stack: contextlib.ExitStack) -> Parts:
    world, clock, made = past.world, past.world.clock, Ids()
    signed_in = SignedIn(
        MemorySessions(world.access), world.control.post, people=world.access.users, clock=clock, new_id=made.new
    )
    tokens = Tokens(
        "https://gate.example", MemorySigningKeys(), AesVault(SECRET), JwtFormat(), clock=clock, new_id=made.new
    )
    tokens.start()
    approvals = MemoryApprovals()
    desk = Desk(
        approvals, Post(approvals, past.ledger), people=world.access.users, settings=lambda _: Settings(), clock=clock,
        new_id=made.new, masking=Masking(), ledger=past.ledger,
    )  # fmt: skip
    stack.callback(desk.close)
    log = Records(past.follow)
    unused: Any = None
    return Parts(
        shell=a_shell(clock),
        sessions=Sessions(signed_in, sign_in=unused, linking=unused, own=unused, first=unused),
        clock=clock,
        control=world.control,
        past=Decided(decisions=past.feed, log=log),
        feed=Told(past.feed),
        rollups=past.rollups,
        outcomes=past.outcomes,
        trials=Trials(Backtests(world.control.shelf, past.feed, log, rest=knobs.rest)),
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
