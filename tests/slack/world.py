"""A Slack, a desk, a courier between them, and people; the clock stands still."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as Path

from onpurpose.adapters.memory import MemoryLedger
from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.adapters.slack import Interactions, SlackApi, SlackMessenger
from onpurpose.app.approvals import Desk
from onpurpose.app.courier import Courier
from onpurpose.app.links import Links
from onpurpose.app.masking import Masking
from onpurpose.app.outbox import Post
from onpurpose.app.telling import deliveries
from onpurpose.app.viewing import Viewer
from onpurpose.core.access import User
from onpurpose.core.approval import Approval, open_approval
from onpurpose.core.delivery import Channel, Delivery, Event
from onpurpose.core.purpose import Notify, Settings
from onpurpose.core.routing import Route, Stage
from onpurpose.server.slack import PATH, slack_route
from tests.app.keys import NOW, SetClock
from tests.slack.fake import SIGNING_SECRET, TOKEN, FakeSlack, fake_slack

CHANNEL = "C0APPROVALS"
LINKS = Links("0123456789abcdef0123456789abcdef", "https://gate.example")
ROUTE = Route(stages=(Stage(approvers=("group:approvers",)),))
TWO = Route(stages=(Stage(approvers=("group:approvers",), quorum=2),))
REASONS = ("Too much.", "Not now.")

CONTEXT: dict[str, Any] = {
    "agent_id": "agent-7",
    "user": {"id": "kim", "groups": ["support"]},
    "capability": "payments.transfer",
    "purpose": {"id": "refund", "name": "Refunds", "description": "Give money back", "elements": ["crm.orders"]},
    "elements": ["crm.orders.total"],
    "data_source_id": "crm",
    "policy_context": {"environment": "production"},
    "payload": '{\n  "amount": 900,\n  "to": "kim@example.com"\n}',
    "payload_cut": 0,
    "changed": {"since": "a0", "lines": ['-   "amount": 90,', '+   "amount": 900,']},
    "rules": [{"at": "pay.yaml:7", "capability": "payments.*", "outcome": "require_approval", "message": "over 500"}],
    "unknown": [{"condition": "amount_gt", "why": "two readings", "settle": "say one amount"}],
    "signals": [{"name": "external recipient", "weight": 3, "certain": True}],
    "intent": {"label": "refund a customer", "class": "write", "confidence": 0.83},
    "asked_by": "billing key",
    "decision_id": "d1",
}


def user(name: str, **changed: Any) -> User:
    fields: dict[str, Any] = {
        "id": name, "workspace": "acme", "name": name.title(), "email": f"{name}@example.com",
        "groups": ("approvers",), "created_at": NOW, "slack": None,
    }  # fmt: skip
    return User(**(fields | changed))


class World:
    """`notify`: where people are told. Anna is linked to `U0ANNA`, Bob and Carol are found by their addresses."""

    def __init__(self, slack: FakeSlack, clock: SetClock, notify: Notify) -> None:
        self.slack = slack
        self.clock = clock
        self.store = MemoryApprovals()
        self.users = [user("anna", slack="U0ANNA"), user("bob"), user("carol"), user("kim"), user("dave", groups=())]
        for member in ("U0ANNA", "U0BOB", "U0CAROL", "U0KIM", "U0DAVE"):
            slack.add_member(member, f"{member[2:].lower()}@example.com")
        self.notify = notify
        self.log = MemoryLedger()
        self._ids = count(1)
        self._lock = threading.Lock()
        self.desk = Desk(
            self.store, Post(self.store, self.log), people=self.people, settings=lambda _: Settings(notify=notify),
            clock=clock, new_id=self.new_id, masking=Masking(), ledger=self.log,
        )  # fmt: skip
        self.api = SlackApi(TOKEN, base_url=slack.url, timeout=5)
        self.messenger = SlackMessenger(self.api)
        self.refused_requests: list[str] = []
        self.dead: list[Delivery] = []
        self.interactions = Interactions(
            api=self.api,
            desk=self.desk,
            people=self.people,
            sent=self.store.of,
            refused=self.desk.refused,
            reasons=REASONS,
        )
        self.viewer = Viewer(self.store, self.store, people=self.people, links=LINKS, clock=clock)
        self.courier = self.new_courier()

    def people(self, workspace: str) -> list[User]:
        return [one for one in self.users if one.workspace == workspace]

    def new_id(self, at: int = 0) -> str:
        with self._lock:
            return f"m{next(self._ids):04}"

    @property
    def refused(self) -> list[dict[str, Any]]:
        """The attempts that are recorded as turned away."""
        notes = [orjson.loads(stored.body) for stored in self.log.records()]
        return [note for note in notes if note["kind"] == "approval.refused"]

    def new_courier(self) -> Courier:
        return Courier(
            self.store, {Channel.SLACK: self.messenger}, self.viewer, undelivered=self.dead.append, clock=self.clock,
            chance=lambda: 0.5,
        )  # fmt: skip

    def ask(self, route: Route = ROUTE, *, requesters: tuple[str, ...] = ("kim",), **changed: Any) -> Approval:
        """A new request; those who are to be told of it are told once `deliver` is called."""
        number = self.new_id()
        approval = open_approval(
            Approval(
                id=f"a{number}", workspace="acme", digest=f"d{number}", requesters=requesters, routes=(route,),
                agent_id=changed.pop("agent_id", "agent-7"),
                capability=changed.pop("capability", "payments.transfer"),
                purpose_id=changed.pop("purpose_id", "refund"),
                context=orjson.dumps(CONTEXT | changed), opened_at=self.clock.now(), until=0, wake_at=None,
            )
        )  # fmt: skip
        owed = deliveries(approval, Event.REQUESTED, self.notify, self.users, self.clock.now(), self.new_id)
        assert self.store.open(approval, deliveries=owed, notes=[]) is None
        return approval

    def remind(self) -> None:
        """Let half an hour pass, and the desk see to it."""
        self.clock.pass_seconds(1800)
        self.desk.sweep()

    def deliver(self) -> None:
        """Send what is due, until nothing is."""
        while self.courier.step(Channel.SLACK):
            """Once more."""

    def now(self, approval: Approval) -> Approval:
        return self.desk.get("acme", approval.id)

    def sent(self, approval: Approval) -> list[Delivery]:
        return self.store.of("acme", approval.id)

    def settle(self) -> None:
        """Wait until all that was pressed is dealt with, and bring the messages up to date."""
        self.interactions.close()
        self.deliver()

    def told(self) -> str:
        """What the last person was told for their eyes alone."""
        (block,) = self.slack.ephemeral[-1]["blocks"]
        assert block["text"]["type"] == "plain_text"
        return block["text"]["text"]


class Door:
    """The service, whose endpoint is that of whichever world is there."""

    def __init__(self) -> None:
        self.inner: Path | None = None

    async def answer(self, request: Request) -> Response:
        assert self.inner is not None
        answer: Response = await self.inner.endpoint(request)
        return answer


@contextmanager
def a_world(door: Door | None, url: str, notify: Notify | None = None) -> Iterator[World]:
    """A world of its own, to which its Slack posts at the URL, by the door."""
    clock = SetClock()
    with fake_slack(lambda: clock.now() / 1_000_000) as slack:
        world = World(slack, clock, notify or Notify(slack=CHANNEL))
        if door is not None:
            refused = world.refused_requests.append
            door.inner = slack_route(SIGNING_SECRET, world.interactions, clock=clock, refused=refused)
            slack.request_url = url + PATH
        try:
            yield world
        finally:
            world.interactions.close()
            world.desk.close()
