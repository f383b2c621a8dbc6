"""A desk with people, a clock that is set by hand, and a log in memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from msgspec.structs import replace

from onpurpose.adapters.memory import MemoryLedger
from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.app.approvals import Desk, Question
from onpurpose.app.masking import Masking
from onpurpose.app.outbox import Post
from onpurpose.core.access import User
from onpurpose.core.approval import Approval
from onpurpose.core.call import Call, Identity
from onpurpose.core.canonical import exact_digest
from onpurpose.core.decision import Code, Decision, Reason
from onpurpose.core.delivery import Delivery
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Notify, Settings
from onpurpose.core.revision import ConflictError
from onpurpose.core.routing import Route, Stage
from onpurpose.ports import Approvals
from tests.app.keys import NOW, SetClock

NOTIFY = Notify(slack="C1", slack_direct=True, email=True, webhooks=("https://hooks.example/x",))
CALL = Call("agent-7", "payments.transfer", {"amount": 60_000, "to": "DE02"}, identity=Identity("eve", ("sales",)))


def user(name: str, *groups: str, **other: Any) -> User:
    fields = {"email": f"{name}@corp.example", "slack": f"U{name.upper()}"} | other
    return User(id=name, workspace="acme", name=name.title(), groups=groups, created_at=1, **fields)


def asking(*routes: Route | None, message: str = "over 50,000") -> Decision:
    """A decision whose reasons ask by these routes."""
    reasons = [
        Reason(code=Code.RULE_MATCHED, outcome=Outcome.REQUIRE_APPROVAL, message=message, route=route)
        for route in routes or (None,)
    ]
    return Decision(Outcome.REQUIRE_APPROVAL, tuple(reasons))


def question(call: Call = CALL, *routes: Route | None, **other: Any) -> Question:
    fields: dict[str, Any] = {
        "workspace": "acme",
        "call": call,
        "decision": asking(*routes),
        "decision_id": "d1",
        "asked_with": "key-1",
        "asked_by": "bot key",
    }
    return Question(**(fields | other))


def route(*approvers: str, quorum: int = 1, every: int | None = None, **other: Any) -> Route:
    return Route(stages=(Stage(approvers=approvers, quorum=quorum, escalate_after_seconds=every),), **other)


class Office:
    """A desk and all that it stands on. `users` may be changed at any time."""

    def __init__(self, approvals: MemoryApprovals | None = None, **settings: Any) -> None:
        self.clock = SetClock()
        self.store = approvals or MemoryApprovals()
        self.log = MemoryLedger()
        self.users = [
            user("ada", "approvers"),
            user("bob", "approvers"),
            user("cyd", "approvers"),
            user("eve", "approvers", "sales"),
            user("dee"),
        ]
        self.settings = Settings(**({"notify": NOTIFY} | settings))
        self.woken = 0
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self.desk = self.opened(self.store)

    def opened(self, store: Approvals, ledger: Any = None, **other: Any) -> Desk:
        """Another desk on the same clock and people."""
        ledger = ledger or self.log
        fields: dict[str, Any] = {"poll_seconds": 0.01, "woken": self._wake} | other
        return Desk(
            store,
            Post(self.store, ledger),
            people=lambda _: list(self.users),
            settings=lambda _: self.settings,
            clock=self.clock,
            new_id=self.new_id,
            masking=Masking(),
            ledger=ledger,
            **fields,
        )

    def new_id(self, at: int) -> str:
        with self._lock:
            return f"{at:020}-{next(self._ids):06}"

    def _wake(self) -> None:
        self.woken += 1

    def set_user(self, name: str, **fields: Any) -> None:
        self.users = [replace(one, **fields) if one.id == name else one for one in self.users]

    def ask(self, *routes: Route | None, call: Call = CALL, **other: Any) -> Approval:
        return self.desk.ask(question(call, *routes, **other))

    def consume(self, approval: Approval, call: Call = CALL, **other: Any) -> Any:
        fields: dict[str, Any] = {"digest": exact_digest(call), "agent_id": call.agent_id, "routes": approval.routes}
        fields |= {"decision_id": "d2", "workspace": "acme", "approval_id": approval.id} | other
        return self.desk.consume(**fields)

    def kinds(self, prefix: str = "approval.") -> list[str]:
        """What of approvals the log was told, without the prefix."""
        return [one["kind"][len(prefix) :] for one in self.notes() if one["kind"].startswith(prefix)]

    def notes(self) -> list[dict[str, Any]]:
        """What the log holds; of what two processes brought there, the first."""
        first: dict[str, dict[str, Any]] = {}
        for stored in self.log.records():
            one = orjson.loads(stored.body)
            first.setdefault(one.get("id", ""), one)
        return list(first.values())

    def sent(self, approval: Approval, since: Sequence[Delivery] = ()) -> list[tuple[str, str, str]]:
        """Channel, event and recipient of the deliveries that are owed, but for those known."""
        known = {one.id for one in since}
        found = [one for one in self.store.of("acme", approval.id) if one.id not in known]
        return [(str(one.channel), str(one.event), one.recipient) for one in found]


class Hurried:
    """A store in which somebody else is quicker, so many times: what reads then writes meets a conflict."""

    def __init__(self, store: MemoryApprovals, times: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._store = store
        self.times = times
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def change(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> None:
        if self.times:
            self.times -= 1
            self._meanwhile()
            raise ConflictError("somebody was quicker")
        self._store.change(approval, deliveries=deliveries, notes=notes)


def at_once(count: int, act: Callable[[int], object]) -> list[object]:
    """What so many threads get that act in the same moment: a value or an exception each."""
    found: list[object] = [None] * count
    gate = threading.Barrier(count)

    def run(number: int) -> None:
        gate.wait()
        try:
            found[number] = act(number)
        except Exception as error:
            found[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


__all__ = ["CALL", "NOTIFY", "NOW", "Hurried", "Office", "asking", "at_once", "question", "route", "user"]
