"""When one person is sent many requests: the first few leave at once, the others are gathered into one mail.

What is counted lives with the process. What must survive it, that a delivery has gone out as part of a
digest, is kept with the delivery while it waits (`mark`), so that it leaves under the same name again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from onpurpose.core.approval import Approval
from onpurpose.core.delivery import Delivery, View

MANY = 5
"""How many requests one person is sent one by one within `WINDOW_SECONDS`."""

WINDOW_SECONDS = 600

GATHER_SECONDS = 120
"""How long the further ones are gathered at most, before they leave as one."""

_SECOND = 1_000_000
_MARK = "digest:"

_Person = tuple[str, str]


@runtime_checkable
class DigestSender(Protocol):
    """A messenger that can say several things at once."""

    def send_digest(self, name: str, items: Sequence[tuple[Delivery, View]]) -> str:
        """Send one message about all of them, to whom they are all for; what the channel calls it.

        `name` is its identity, as `Delivery.id` is of one. Raises `RetryError`, `UndeliverableError`.
        """
        ...


class Gathering:
    """Who was sent how many requests lately, and whose further ones are gathered until when. For one thread."""

    def __init__(self) -> None:
        self._left: dict[_Person, deque[int]] = {}
        self._until: dict[_Person, int] = {}

    def holds_until(self, delivery: Delivery, approval: Approval, now: int) -> int | None:
        """`None` where it may leave by itself; else the time from which it leaves with the others.

        Half of the time that is left to decide is never spent on waiting for others.
        """
        person = (delivery.workspace, delivery.recipient)
        until = self._until.get(person)
        if until is None and self._count(person, now) < MANY:
            return None
        latest = now + min(GATHER_SECONDS * _SECOND, (approval.until - now) // 2)
        self._until[person] = latest if until is None else min(until, latest) if until > now else until
        return self._until[person]

    def left(self, delivery: Delivery, now: int) -> None:
        """A request has left by itself."""
        self._left.setdefault((delivery.workspace, delivery.recipient), deque(maxlen=MANY)).append(now)

    def gathered(self, delivery: Delivery) -> None:
        """What was gathered for its recipient leaves: what comes now begins anew."""
        self._until.pop((delivery.workspace, delivery.recipient), None)

    def _count(self, person: _Person, now: int) -> int:
        left = self._left.get(person, deque())
        while left and left[0] <= now - WINDOW_SECONDS * _SECOND:
            left.popleft()
        if not left:
            self._left.pop(person, None)
        return len(left)


def mark(name: str) -> str:
    """What stands as `ref` of a delivery that leaves as part of the digest of that name, until it has left."""
    return _MARK + name


def marked(delivery: Delivery) -> str:
    """The name of the digest that a waiting delivery has been put into; empty where there is none."""
    return delivery.ref[len(_MARK) :] if delivery.ref.startswith(_MARK) else ""
