"""A dashboard with its authors' pages: people of every role, a real log and feed, and calls that a gate decides."""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
from starlette.applications import Starlette

from onpurpose.adapters.clock import Ids
from onpurpose.adapters.memory_sign_ins import MemorySessions
from onpurpose.adapters.tokens import JwtFormat
from onpurpose.adapters.vault import AesVault
from onpurpose.app.backtest import Backtests
from onpurpose.app.control import control
from onpurpose.app.sessions import SignedIn, form_token
from onpurpose.app.tokens import Tokens
from onpurpose.app.trials import Trials
from onpurpose.core.access import Role, User
from onpurpose.core.call import Call, Identity
from onpurpose.core.result import Result
from onpurpose.core.revision import Kind
from onpurpose.server.api.decisions import Past as Decided
from onpurpose.server.dashboard import compose, editor, policies, policy, purposes, trials
from onpurpose.server.dashboard.errors import error_pages
from onpurpose.server.dashboard.session import Sessions
from onpurpose.server.dashboard.shell import Parts
from onpurpose.server.problems import ANSWERS
from onpurpose.service import Records
from tests.app.keys import MemorySigningKeys
from tests.app.past import Past, recorded
from tests.app.world import EVERYTHING, candidate, ids
from tests.browser.serving import served
from tests.dashboard.shells import a_shell
from tests.loopback import asking

SUPPORT = "id: customer_support_lookup\nname: Support lookup\nstatus: active\nelements: [crm.contacts.*]\n"
EXAMPLE = """policy_id: support_lookup_business_hours
purpose_id: customer_support_lookup
match:
  identity_required: true
  user_groups: ["support-tier-1", "support-tier-2"]
  data_source_id: salesforce_prod
decision: allow
token_ttl_minutes: 5
approval_required: false
shadow_mode: true
"""
NAME = "support_lookup_business_hours"
PAGE = f"/policies/purpose_policy/{NAME}"
HOSTILE = "<script>alert(1)</script>\u202e\"'&<img src=x onerror=alert(2)>{{7*7}}"
"""What an agent or another author may write."""


_PAGES = (policies, compose, editor, trials, policy, purposes)


class Authors:
    """The house: `url` is where it is served."""

    def __init__(self, past: Past, url: str, parts: Parts) -> None:
        self.past, self.url, self.parts = past, url, parts
        self.world = past.world

    def token(self, role: Role) -> str:
        """The cookie of somebody of that role, signed in."""
        person = next(one for one in self.world.access.users("default") if one.id == str(role))
        return self.parts.sessions.signed_in.open(person, method="password", address="127.0.0.1", before=None)

    @contextlib.contextmanager
    def visitor(self, role: Role) -> Iterator[Visitor]:
        """Somebody of that role in a browser."""
        token = self.token(role)
        with asking(self.url, cookies={"onpurpose": token}) as client:
            yield Visitor(client, token)

    def save(self, kind: Kind, name: str, text: str) -> None:
        """A revision that somebody else wrote."""
        self.world.save(kind, name, text)

    def promote(self, kind: Kind, name: str) -> None:
        """Whatever is in shadow becomes live."""
        self.world.control.promotions.promote(
            "default", [candidate(kind, name)], reason="-", by="somebody", overrides=EVERYTHING
        )

    def call(self, agent_id: str = "bot", *groups: str, **fields: Any) -> Result:
        """A call that declares the purpose of the example, on behalf of somebody in these groups."""
        given: dict[str, Any] = {
            "capability": "crm.read", "payload": {"id": 7}, "purpose_id": "customer_support_lookup",
            "data_source_id": "salesforce_prod", "elements": ("crm.contacts.email",),
            "identity": Identity("kim", groups or ("support-tier-1",)),
        }  # fmt: skip
        return self.past.decide(Call(agent_id, **(given | fields)))


class Visitor:
    """A browser without script, that sends forms as pages do."""

    def __init__(self, client: httpx2.Client, token: str) -> None:
        self.client = client
        self.token = token

    def get(self, path: str, status: int = 200, /) -> str:
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
    """What somebody reads on the page."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text)))


@contextlib.contextmanager
def authors(folder: Path, rest: Callable[[], None] = lambda: None) -> Iterator[Authors]:
    """A house that runs, with a live capability policy that allows everything and an active purpose.

    Backtests call `rest` between blocks of calls.
    """
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
        parts = _parts(past, rest)
        app = Starlette(
            routes=[
                *parts.shell.assets.routes(),
                *(route for module in _PAGES for route in module.routes(parts)),
            ],
            exception_handlers=error_pages(parts.shell, parts.sessions, ANSWERS),
        )
        world.save(Kind.PURPOSE, "customer_support_lookup", SUPPORT)
        with served(app) as url:
            house = Authors(past, url, parts)
            house.save(Kind.POLICY, "base", "allow:\n  - capability: '*'\n")
            house.promote(Kind.POLICY, "base")
            yield house


def _parts(past: Past, rest: Callable[[], None]) -> Parts:
    world, clock, made = past.world, past.world.clock, Ids()
    signed_in = SignedIn(
        MemorySessions(world.access), world.control.post, people=world.access.users, clock=clock, new_id=made.new
    )
    tokens = Tokens(
        "https://gate.example", MemorySigningKeys(), AesVault("a secret of at least thirty-two characters"),
        JwtFormat(), clock=clock, new_id=made.new,
    )  # fmt: skip
    tokens.start()
    log = Records(past.follow)
    unused: Any = None
    return Parts(
        shell=a_shell(clock),
        sessions=Sessions(signed_in, sign_in=unused, linking=unused, own=unused, first=unused),
        clock=clock,
        control=world.control,
        past=Decided(decisions=past.feed, log=log),
        feed=unused,
        rollups=past.rollups,
        outcomes=past.outcomes,
        trials=Trials(Backtests(world.control.shelf, past.feed, log, rest=rest)),
        desk=unused,
        tokens=tokens,
        log=unused,
        workspaces=past.workspaces,
        metrics=unused,
        courier=dict,
    )
