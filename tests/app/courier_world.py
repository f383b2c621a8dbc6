"""A courier whose store is in memory and whose clock stands still, with letterboxes for channels."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import count

from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.app.courier import Courier
from onpurpose.app.links import Links
from onpurpose.app.viewing import Viewer
from onpurpose.core.access import User
from onpurpose.core.approval import Act, Approval, Move, Seat, Via, advance, open_approval
from onpurpose.core.delivery import Channel, Delivery, Event, View
from onpurpose.core.routing import Route, Stage
from onpurpose.ports import Messenger
from tests.app.keys import NOW, SECOND, SetClock

HOUR = 3600
LINKS = Links("0123456789abcdef0123456789abcdef", "https://gate.example")


def user(name: str, **changed: object) -> User:
    fields: dict[str, object] = {
        "id": name, "workspace": "acme", "name": name.title(), "email": f"{name}@example.com",
        "groups": ("approvers",), "created_at": NOW, "slack": f"U{name.upper()}",
    }  # fmt: skip
    return User(**(fields | changed))  # type: ignore[arg-type]  # what the tests write


USERS = [user("anna"), user("bob"), user("carol"), user("agent-owner", groups=()), user("gone", disabled_at=NOW)]


class Letterbox:
    """A channel that keeps what it is given, and does to each message what it was told to."""

    def __init__(self) -> None:
        self.got: list[tuple[Delivery, View]] = []
        self.does: Callable[[Delivery], object] = lambda delivery: None
        self.arrived = threading.Semaphore(0)
        self.rests = 0

    def send(self, delivery: Delivery, view: View) -> str:
        self.does(delivery)
        self.got.append((delivery, view))
        self.arrived.release()
        return f"ref-{delivery.id}"

    def rest(self) -> None:
        self.rests += 1

    @property
    def ids(self) -> list[str]:
        return [delivery.id for delivery, _ in self.got]


class DigestBox(Letterbox):
    """One that takes several messages as one too."""

    def __init__(self) -> None:
        super().__init__()
        self.digests: list[tuple[str, list[str]]] = []

    def send_digest(self, name: str, items: Sequence[tuple[Delivery, View]]) -> str:
        for delivery, _ in items:
            self.does(delivery)
        self.digests.append((name, [delivery.id for delivery, _ in items]))
        return f"digest-{name}"


class World:
    """A store, a clock, letterboxes and the courier between them."""

    def __init__(self, users: Sequence[User] = tuple(USERS), chance: float = 0.5, store: MemoryApprovals | None = None):
        self.clock = SetClock()
        self.store = MemoryApprovals() if store is None else store
        self.boxes = {Channel.SLACK: Letterbox(), Channel.EMAIL: Letterbox(), Channel.WEBHOOK: Letterbox()}
        self.users = list(users)
        self.dead: list[Delivery] = []
        self.chance = chance
        self.ids = (f"{number:04}" for number in count())

    def courier(self, messengers: dict[Channel, Messenger] | None = None, **changed: object) -> Courier:
        store = changed.pop("deliveries", self.store)
        undelivered = changed.pop("undelivered", self.dead.append)
        viewer = Viewer(self.store, self.store, people=lambda _: self.users, links=LINKS, clock=self.clock)
        return Courier(
            store,  # type: ignore[arg-type]  # a store, or one that dies
            dict(self.boxes) if messengers is None else messengers,
            viewer,
            undelivered=undelivered,  # type: ignore[arg-type]  # what a test gives
            clock=self.clock,
            chance=lambda: self.chance,
            **changed,  # type: ignore[arg-type]  # settings
        )

    def ask(
        self,
        *told: tuple[Channel, str],
        requesters: tuple[str, ...] = (),
        route: Route | None = None,
        timeout: int = 48 * HOUR,
        event: Event = Event.REQUESTED,
    ) -> tuple[Approval, list[Delivery]]:
        """A new approval of which these are told."""
        number = next(self.ids)
        route = route or Route(stages=(Stage(approvers=("group:approvers",)),), timeout_seconds=timeout)
        approval = open_approval(
            Approval(
                id=f"a{number}", workspace="acme", digest=f"d{number}", agent_id="agent-7", capability="crm.export",
                requesters=requesters, routes=(route,), context=b'{"payload": "{}"}', opened_at=self.clock.now(),
                until=0, wake_at=None,
            )
        )  # fmt: skip
        deliveries = [self.message(approval, channel, to, event) for channel, to in told]
        assert self.store.open(approval, deliveries=deliveries, notes=[]) is None
        return approval, deliveries

    def message(self, approval: Approval, channel: Channel, to: str, event: Event) -> Delivery:
        now = self.clock.now()
        return Delivery(
            id=f"m{next(self.ids)}", workspace="acme", approval_id=approval.id, channel=channel, event=event,
            recipient=to, created_at=now, due_at=now,
        )  # fmt: skip

    def grant(self, approval: Approval, by: str, *told: tuple[Channel, str]) -> list[Delivery]:
        """It is granted, and these are told."""
        act = Act(move=Move.GRANT, at=self.clock.now(), by=by, via=Via.API, seats=(Seat(0, 0),))
        granted = advance(approval, act)
        deliveries = [self.message(granted, channel, to, Event.GRANTED) for channel, to in told]
        self.store.change(granted, deliveries=deliveries, notes=[])
        return deliveries

    def kept(self, delivery: Delivery) -> Delivery:
        return next(one for one in self.store.of("acme", delivery.approval_id) if one.id == delivery.id)

    def pass_seconds(self, seconds: float) -> None:
        self.clock.at += int(seconds * SECOND)

    def run(self, courier: Courier, seconds: float, channels: Sequence[Channel] = tuple(Channel)) -> None:
        """Let so much time pass, with the courier at it whenever something is due."""
        end = self.clock.now() + int(seconds * SECOND)
        while True:
            while sum(courier.step(channel) for channel in channels):
                pass
            due = [time for channel in channels if (time := self.store.next_due(channel)) is not None]
            if not due or min(due) > end:
                self.clock.at = end
                return
            self.clock.at = max(min(due), self.clock.at)
