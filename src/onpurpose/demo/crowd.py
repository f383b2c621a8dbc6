"""Agents that go on asking, and people who decide some of it: over HTTP, as anybody else would."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from random import Random
from types import MappingProxyType
from typing import Any, Final

import orjson

from onpurpose.adapters.http_client import HttpResources
from onpurpose.core.call import Call
from onpurpose.core.result import Result
from onpurpose.core.ticket import Ticket
from onpurpose.demo.history import last_calls
from onpurpose.demo.people import NO, YES, among
from onpurpose.demo.repertoire import Repertoire
from onpurpose.demo.workspace import Keys
from onpurpose.wiring import Client

log = logging.getLogger("onpurpose")

READY_SECONDS: Final = 60.0
"""How long the service may take until it answers."""

MOST_LEFT: Final = 8
"""How many requests are left to the visitor at once; more are decided by the sample people."""

_PATIENCE: Final = MappingProxyType({"seconds": 10.0, "connect_seconds": 2.0, "connections": 2})
_LOOK_SECONDS: Final = 2.0
_PROBE_SECONDS: Final = 0.05
_MOST_HELD: Final = 200
_LEFT_SHARE: Final = 0.4
_DENIED_SHARE: Final = 0.25
_SOONEST, _LATEST, _CALM = 6.0, 40.0, 3.0  # after how many seconds somebody decides, up to so many calls a second


class Crowd:
    """The simulated agents and people. `start` them before the service runs, `stop` them before it closes."""

    def __init__(  # noqa: PLR0913  what it is made of
        self, url: str, keys: Keys, repertoire: Repertoire, *, rate: float, seed: int, ready: Callable[[], object]
    ) -> None:
        self._url = url
        self._ready = ready
        self._stopped = threading.Event()
        self._agents = _Agents(url, keys.agents, repertoire, rate=rate, seed=seed)
        self._people = _People(url, keys.approvers, rate=rate, seed=seed)
        self._threads = [
            threading.Thread(target=self._run, args=(one.live,), name="onpurpose-demo", daemon=True)
            for one in (self._agents, self._people)
        ]
        self._opening = threading.Thread(target=self._open, name="onpurpose-demo", daemon=True)

    def start(self) -> None:
        """Wait in the background until the service answers, tell `ready`, and begin."""
        self._opening.start()

    def stop(self) -> None:
        """End. May be called twice, and without a start."""
        self._stopped.set()
        for thread in (self._opening, *self._threads):
            if thread.ident is not None:
                thread.join()
        self._agents.close()
        self._people.close()

    def _open(self) -> None:
        probe = HttpResources(self._url, "op_nobody", **_PATIENCE)
        until = time.monotonic() + READY_SECONDS
        try:
            while not _answers(probe):
                if time.monotonic() > until:
                    log.error("the service does not answer, so that no agent asks")
                    return
                if self._stopped.wait(_PROBE_SECONDS):
                    return
        finally:
            probe.close()
        self._ready()
        for thread in self._threads:
            thread.start()

    def _run(self, live: Callable[[threading.Event], None]) -> None:
        try:
            live(self._stopped)
        except Exception:
            log.exception("the simulated agents or people have ended")


class _Agents:
    """Asks about `rate` calls a second, and has those run that people granted."""

    def __init__(self, url: str, key: str, repertoire: Repertoire, *, rate: float, seed: int) -> None:
        self._client = Client(url, key)
        self._repertoire = repertoire
        self._rate = rate
        self._random = Random(f"agents {seed}")  # noqa: S311  nothing secret hangs on it
        self._held: dict[str, tuple[Call, Ticket]] = {}

    def live(self, stopped: threading.Event) -> None:
        """Ask until stopped."""
        for call in last_calls():  # so that those run too which the visitor finds when they come
            self._hold(call, _ask(self._client, call))
        looked = time.monotonic()
        while not stopped.wait(self._random.expovariate(self._rate)):
            call = self._repertoire.draw(self._random)
            self._hold(call, _ask(self._client, call))
            if time.monotonic() - looked > _LOOK_SECONDS / _haste(self._rate):
                self._look(stopped)
                looked = time.monotonic()

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    def _hold(self, call: Call, result: Result) -> None:
        ticket = result.approval
        if ticket is not None and ticket.pending and len(self._held) < _MOST_HELD:
            self._held[ticket.id] = call, ticket

    def _look(self, stopped: threading.Event) -> None:
        """See what became of what was asked for; of what is old, whether the visitor decided it too."""
        for approval_id, (call, ticket) in list(self._held.items()):
            if stopped.is_set():
                return
            now = ticket.wait(0)
            if now.granted:  # it is held until it is seen to be used: of a service in haste the answer may not come
                self._client.resume(approval_id, call)
            elif not now.pending:
                del self._held[approval_id]


class _People:
    """Decides some of what is asked, after a while, each with a key of their own."""

    def __init__(self, url: str, keys: Mapping[str, str], *, rate: float, seed: int) -> None:
        self._haste = _haste(rate)
        self._doors = {user: HttpResources(url, key, **_PATIENCE) for user, key in keys.items()}
        self._random = Random(f"people {seed}")  # noqa: S311  nothing secret hangs on it
        self._due: dict[str, float | None] = {}

    def live(self, stopped: threading.Event) -> None:
        """Decide until stopped."""
        for approval in self._pending():  # what is there already was left to the visitor
            self._due[approval["id"]] = None
        while not stopped.wait(_LOOK_SECONDS / self._haste):
            pending = self._pending()
            self._due = {one["id"]: self._due.get(one["id"], 0.0) for one in pending}
            for approval in pending:
                if stopped.is_set():
                    return
                self._consider(approval["id"])

    def close(self) -> None:
        """Hang up."""
        for door in self._doors.values():
            door.close()

    def _pending(self) -> list[Mapping[str, Any]]:
        found = self._ask(next(iter(self._doors)), "GET", "v1/approvals", query={"state": "pending", "limit": 100})
        items: list[Mapping[str, Any]] = found.get("items", [])
        return items

    def _consider(self, approval_id: str) -> None:
        due, now = self._due[approval_id], time.monotonic()
        if due == 0.0:
            left = sum(one is None for one in self._due.values())
            leave = self._random.random() < _LEFT_SHARE and left < MOST_LEFT
            self._due[approval_id] = None if leave else now + self._random.uniform(_SOONEST, _LATEST) / self._haste
        elif due is not None and now >= due:
            self._decide(approval_id)

    def _decide(self, approval_id: str) -> None:
        """Have one of those decide it who may and have not yet; where more are needed, the next one does later."""
        waits = self._ask(next(iter(self._doors)), "GET", f"v1/approvals/{approval_id}").get("waits_for", [])
        able = among({name for seat in waits for name in seat["approvers"]})
        able = [user for user in able if all(user not in seat["granted_by"] for seat in waits)]
        if not able:
            return
        user = self._random.choice(able)
        move, texts = ("deny", NO) if self._random.random() < _DENIED_SHARE else ("grant", YES)
        self._ask(user, "POST", f"v1/approvals/{approval_id}/{move}", body={"text": self._random.choice(texts)})

    def _ask(self, user: str, method: str, path: str, **asked: Any) -> Mapping[str, Any]:
        """The answer; nothing where there is none, or a refusal."""
        body = asked.get("body")
        try:
            status, _, told = self._doors[user].request(
                method, path, query=asked.get("query"), body=None if body is None else orjson.dumps(body)
            )
        except OSError:
            return {}
        answer: Mapping[str, Any] = orjson.loads(told) if status == 200 else {}
        return answer


def _haste(rate: float) -> float:
    """How much quicker people and agents are where so much is asked a second: else nobody could keep up."""
    return max(1.0, rate / _CALM)


def _ask(client: Client, call: Call) -> Result:
    return client.begin(call).finish(client.patience)


def _answers(probe: HttpResources) -> bool:
    try:
        status, _, _ = probe.request("GET", "readyz")
    except OSError:
        return False
    return status == 200
