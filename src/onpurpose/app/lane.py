"""The work of one channel: what is due is taken, sent, and kept as sent; what cannot leave is put off or laid aside."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

from msgspec import Struct
from msgspec.structs import replace

from onpurpose.app.digests import DigestSender, Gathering, mark, marked
from onpurpose.app.telling import ASKING
from onpurpose.app.viewing import Moot, Viewer
from onpurpose.core.delivery import (
    Channel,
    Delivery,
    Progress,
    RetryError,
    UndeliverableError,
    View,
    is_hopeless,
    retry_after,
)
from onpurpose.core.revision import StoreError
from onpurpose.ports import Clock, Deliveries, Messenger

log = logging.getLogger("onpurpose")

BATCH = 50
"""How many messages are taken at once."""

TOGETHER = 10
"""Of how many at once it is kept that they are tried: after a crash, so many may be sent again."""

KEEP_SECONDS = 0.05
"""For how long it is not kept yet what became of those that were sent, while others are."""

TROUBLE_SECONDS = 1.0

MOST_ASKED_SECONDS = 3600.0
"""How long a channel may ask to be left alone; more is cut."""

SLOWER = 4
"""How many times as long as it took to fail, a recipient is left alone: so one that hangs takes a fifth of the time."""

MAX_ERROR = 500

_BEHIND = 500_000
_MOST_RESTS = 10_000
_SECOND = 1_000_000


@runtime_checkable
class Line(Protocol):
    """A messenger that keeps a connection while there is something to send."""

    def rest(self) -> None:
        """Nothing is left to send for now: let go of the connection. Never raises."""
        ...


class Traffic(Struct, kw_only=True):
    """What one channel has done since the start. Times are microseconds UTC."""

    sent: int = 0
    retried: int = 0
    dead: int = 0
    last_error: str = ""
    last_error_at: int | None = None
    failing_since: int | None = None
    next_due: int | None = None


class _Rest(Struct, frozen=True):
    """A recipient that could not be reached: how often in a row, and until when it is left alone."""

    failures: int
    until: int


_Item = tuple[Delivery, View]


class Lane:
    """One channel's work. Everything but `wake`, `stop` and `status` belongs to one thread."""

    def __init__(  # noqa: PLR0913  as of `Courier`
        self,
        channel: Channel,
        deliveries: Deliveries,
        messenger: Messenger,
        viewer: Viewer,
        *,
        undelivered: Callable[[Delivery], None],
        clock: Clock,
        chance: Callable[[], float],
        lease_seconds: float,
        poll_seconds: float,
    ) -> None:
        self._channel = channel
        self._deliveries = deliveries
        self._messenger = messenger
        self._digests = messenger if isinstance(messenger, DigestSender) else None
        self._viewer = viewer
        self._undelivered = undelivered
        self._clock = clock
        self._chance = chance
        self._lease = int(lease_seconds * _SECOND)
        self._poll = poll_seconds
        self._gathering = Gathering()
        self._rests: dict[tuple[str, str], _Rest] = {}
        self._traffic = Traffic()
        self._store_fails = False
        self._unkept: list[Delivery] = []
        self._woken = threading.Event()
        self._stopped = threading.Event()

    # -- the thread

    def run(self) -> None:
        """Send until stopped."""
        while True:
            self._woken.clear()
            if self._stopped.is_set():  # asked after the clearing, or a stop just before it would be slept over
                break
            try:
                if not self.step():
                    self._idle()
                self._store_fails = False
            except Exception as error:  # what was taken is taken again after its lease
                if not self._store_fails:
                    log.warning("`%s` cannot be sent: the store cannot be used: %s", self._channel, error)
                self._store_fails = True
                self._note(f"the store cannot be used: {error}")
                self._stopped.wait(TROUBLE_SECONDS)
        self._rest()

    def wake(self) -> None:
        """Have the thread look now."""
        self._woken.set()

    def stop(self) -> None:
        """Have the thread end after what it is at."""
        self._stopped.set()
        self._woken.set()

    def _idle(self) -> None:
        self._rest()
        due = self._traffic.next_due = self._deliveries.next_due(self._channel)
        left = self._poll if due is None else (due - self._clock.now()) / _SECOND
        self._woken.wait(min(max(left, 0.0), self._poll))

    def _rest(self) -> None:
        if isinstance(self._messenger, Line):
            self._messenger.rest()

    def status(self) -> dict[str, object]:
        """As `Courier.status`, of one channel."""
        traffic = self._traffic
        overdue = 0 if traffic.next_due is None else max(0, self._clock.now() - traffic.next_due)
        return {
            "sent": traffic.sent,
            "retried": traffic.retried,
            "dead": traffic.dead,
            "waiting_seconds": overdue / _SECOND,
            "last_error": traffic.last_error,
            "last_error_at": traffic.last_error_at,
            "failing_since": traffic.failing_since,
        }

    # -- what is due

    def step(self) -> int:
        """Deal with what is due, at most `BATCH` of it; how many that was."""
        self._unkept.clear()
        leased_until = self._clock.now() + self._lease
        taken = self._take(leased_until)
        gathered: dict[str, list[_Item]] = {}
        for start in range(0, len(taken), TOGETHER):
            items = [
                item for one in taken[start : start + TOGETHER] if (item := self._item(one, leased_until, gathered))
            ]
            self._send_each(items, leased_until)
        for items in gathered.values():
            if len(taken) < BATCH and not marked(items[0][0]):  # else there may be more, for the next digest
                self._gathering.gathered(items[0][0])
            self._send_gathered(items, leased_until)
        return len(taken)

    def _take(self, leased_until: int) -> list[Delivery]:
        """What is due; all of it where something of a digest is, which must leave as a whole."""
        taken: list[Delivery] = []
        while True:
            more = self._deliveries.take(self._channel, self._clock.now(), leased_until, BATCH)
            taken += more
            if len(more) < BATCH or not any(map(marked, taken)):
                return taken

    def _item(self, delivery: Delivery, leased_until: int, gathered: dict[str, list[_Item]]) -> _Item | None:
        """What is to be sent now by itself; `None` where that is not so, and it was said what becomes of it."""
        now = self._clock.now()
        if self._stopped.is_set() or self._is_late(leased_until):
            self._settle(delivery, due_at=now)
            return None
        if self._rests_with(delivery):
            return None
        try:
            found = self._viewer.view(delivery)
        except StoreError:
            raise
        except Exception as error:  # whatever is wrong with it holds up none of those behind it
            log.exception("a message by `%s` could not be made", self._channel)
            tried = replace(delivery, attempts=delivery.attempts + 1)
            self._retry([tried], f"unexpected: {type(error).__name__}")
            return None
        if isinstance(found, Moot):
            self._settle(delivery, progress=Progress.SENT, ref="", error=found.why)
            return None
        return None if self._joins(delivery, found, gathered) else (delivery, found)

    def _is_late(self, leased_until: int) -> bool:
        return self._clock.now() > leased_until - self._lease // 4

    def _rests_with(self, delivery: Delivery) -> bool:
        """Whether its recipient is left alone, and so is it; that counts as no try."""
        rest = self._rests.get(_whom(delivery))
        if rest is None or rest.until <= self._clock.now():
            return False
        self._put_off(delivery, rest.until, delivery.error or self._traffic.last_error)
        return True

    def _joins(self, delivery: Delivery, view: View, gathered: dict[str, list[_Item]]) -> bool:
        """Whether it leaves, now or later, with others. What may have left by itself does so again."""
        if delivery.event not in ASKING or self._digests is None:
            return False
        name = marked(delivery)
        if delivery.attempts and not name:
            return False
        until = None if name else self._gathering.holds_until(delivery, view.approval, view.now)
        if not name and until is None:
            self._gathering.left(delivery, view.now)
            return False
        if until is not None and until > view.now:
            self._put_off(delivery, until, "")
            return True
        gathered.setdefault(name or _nameless(delivery), []).append((delivery, view))
        return True

    # -- sending

    def _send_each(self, items: list[_Item], leased_until: int) -> None:
        """Send them one by one. That they are tried is kept before, what became of them now and then."""
        begun = [self._begin(delivery, leased_until) for delivery, _ in items]
        self._keep()
        kept = time.monotonic()
        for (delivery, view), tried in zip(items, begun, strict=True):
            if self._stopped.is_set() or self._is_late(leased_until):
                self._settle(delivery, due_at=self._clock.now())
            elif not self._rests_with(delivery):
                self._try([tried], partial(self._messenger.send, delivery, view))
            if time.monotonic() - kept > KEEP_SECONDS:
                self._keep()
                kept = time.monotonic()
        self._keep()

    def _send_gathered(self, items: list[_Item], leased_until: int) -> None:
        first, _ = items[0]
        if len(items) == 1 and not marked(first):
            self._send_each(items, leased_until)
        elif self._digests is not None:
            # Before it leaves it is kept what leaves together: after a crash the same digest leaves again.
            name = marked(first) or first.id
            begun = [self._begin(delivery, leased_until, mark(name)) for delivery, _ in items]
            self._keep()
            self._try(begun, partial(self._digests.send_digest, name, items))
            self._keep()

    def _begin(self, delivery: Delivery, leased_until: int, ref: str = "") -> Delivery:
        """It is tried now: whoever finds it after a crash knows that it may have left."""
        begun = replace(delivery, attempts=delivery.attempts + 1, due_at=leased_until, ref=ref)
        self._unkept.append(begun)
        return begun

    def _try(self, begun: list[Delivery], send: Callable[[], str]) -> None:
        began = self._clock.now()
        try:
            ref = send()
        except UndeliverableError as error:
            for one in begun:
                self._give_up(one, str(error))
        except RetryError as error:
            self._retry(begun, str(error), error.after, (self._clock.now() - began) / _SECOND)
        except Exception as error:
            log.exception("`%s` could not be sent", self._channel)
            self._retry(begun, f"unexpected: {type(error).__name__}")
        else:
            self._have_left(begun, ref)

    def _have_left(self, begun: list[Delivery], ref: str) -> None:
        self._rests.pop(_whom(begun[0]), None)
        for one in begun:
            self._settle(one, progress=Progress.SENT, ref=ref, error="")
        self._traffic.sent += len(begun)
        if self._traffic.failing_since is not None:
            self._traffic.failing_since = None
            log.warning("`%s` can be sent again", self._channel)

    def _retry(self, begun: Sequence[Delivery], why: str, after: float | None = None, took: float = 0.0) -> None:
        """Leave the recipient alone for a while, for longer the longer it `took` (seconds) to fail.

        What failed comes after the others that wait for them: so one message that always fails cannot keep
        the others back.
        """
        now, whom = self._clock.now(), _whom(begun[0])
        known = self._rests.get(whom)
        failures = 1 if known is None else known.failures + 1
        asked = 0.0 if after is None else min(max(after, 0.0), MOST_ASKED_SECONDS) + self._chance()
        rest = max(asked, retry_after(failures, self._chance()), SLOWER * took)
        if len(self._rests) >= _MOST_RESTS:
            self._rests.clear()
        self._rests[whom] = _Rest(failures, now + int(rest * _SECOND))
        self._trouble(why)
        own = max(rest, retry_after(begun[0].attempts, self._chance()))
        for one in begun:
            self._put_off(one, now + int(own * _SECOND) + _BEHIND, why)
        self._traffic.retried += len(begun)

    # -- what becomes of it

    def _put_off(self, delivery: Delivery, due_at: int, why: str) -> None:
        if is_hopeless(delivery, self._clock.now()):
            self._give_up(delivery, f"given up after a day: {why}" if why else "given up after a day")
        else:
            self._settle(delivery, due_at=due_at, error=_short(why))

    def _give_up(self, delivery: Delivery, why: str) -> None:
        dead = replace(delivery, progress=Progress.DEAD, error=_short(why), ref="")
        try:
            self._undelivered(dead)
        except Exception as error:  # what nobody was told of is not laid aside
            self._trouble(f"it could not be recorded what was given up: {error}")
            self._settle(delivery, due_at=self._clock.now() + int(TROUBLE_SECONDS * _SECOND), error=_short(why))
            return
        log.error("`%s` about approval %s was given up: %s", self._channel, delivery.approval_id, dead.error)
        self._unkept.append(dead)
        self._traffic.dead += 1
        self._note(dead.error)

    def _settle(self, delivery: Delivery, **changed: object) -> None:
        self._unkept.append(replace(delivery, **changed))

    def _keep(self) -> None:
        """Have the store keep what became of messages so far."""
        if self._unkept:
            unkept, self._unkept = self._unkept, []
            self._deliveries.settle(*unkept)

    # -- what is told of it

    def _trouble(self, why: str) -> None:
        if self._traffic.failing_since is None:
            self._traffic.failing_since = self._clock.now()
            log.warning("`%s` cannot be sent, and is tried again: %s", self._channel, _short(why))
        self._note(why)

    def _note(self, why: str) -> None:
        self._traffic.last_error = _short(why)
        self._traffic.last_error_at = self._clock.now()


def _whom(delivery: Delivery) -> tuple[str, str]:
    return delivery.workspace, delivery.recipient


def _nameless(delivery: Delivery) -> str:
    """Under what those are gathered that leave for one person in this round; no name of a digest looks so."""
    return f"\n{delivery.workspace}\n{delivery.recipient}"


def _short(why: str) -> str:
    return " ".join(why.split())[:MAX_ERROR]
