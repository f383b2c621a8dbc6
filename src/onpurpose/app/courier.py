"""From the store to the world: every message that is kept leaves, by one thread for each channel.

A message leaves once at least. Whoever dies between sending it and keeping that it was sent sends it again,
or has it sent by another process, under the same identity. A channel, or a recipient, that is down holds up
nobody else.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from onpurpose.app.lane import Lane
from onpurpose.app.notes import Pen
from onpurpose.app.viewing import Viewer
from onpurpose.core.delivery import Channel, Delivery, RetryError, View
from onpurpose.core.record import Record
from onpurpose.ports import Clock, Deliveries, Ledger, Messenger

LEASE_SECONDS = 60.0
"""How long nobody else takes what was taken; what is not begun by three quarters of it is given back."""

POLL_SECONDS = 1.0
"""How often a thread looks by itself: another process may have kept messages, and died."""

UNDELIVERED = "approval.undelivered"
"""The kind of the record of a message that was laid aside."""

PATIENCE_SECONDS = 10.0
"""How long that record is waited for."""


class Courier:
    """Sends what must leave. `start` it, `wake` it when something was kept, `close` it in the end.

    A channel without a messenger keeps its messages and lays them aside in the end, visibly, like one that
    is down. `undelivered` is told of each that is laid aside, before that is kept: where it raises, the
    message is tried again. `chance` gives numbers from 0 to 1.
    """

    def __init__(  # noqa: PLR0913  what it is made of
        self,
        deliveries: Deliveries,
        messengers: Mapping[Channel, Messenger],
        viewer: Viewer,
        *,
        undelivered: Callable[[Delivery], None],
        clock: Clock,
        chance: Callable[[], float] = random.random,
        lease_seconds: float = LEASE_SECONDS,
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._lanes = {
            channel: Lane(
                channel, deliveries, messengers.get(channel, Absent(channel)), viewer,
                undelivered=undelivered, clock=clock, chance=chance, lease_seconds=lease_seconds,
                poll_seconds=poll_seconds,
            )
            for channel in Channel
        }  # fmt: skip
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to send, on threads of its own."""
        for channel, lane in self._lanes.items():
            thread = threading.Thread(target=lane.run, name=f"onpurpose-{channel}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def wake(self, channel: Channel | None = None) -> None:
        """Look now what there is to send, by one channel or by all. Returns at once, from any thread."""
        for lane in self._lanes.values() if channel is None else (self._lanes[channel],):
            lane.wake()

    def step(self, channel: Channel) -> int:
        """Deal with what is due on one channel, at most `BATCH` of it, in this thread; how many that was."""
        return self._lanes[channel].step()

    def status(self) -> dict[str, dict[str, object]]:
        """By channel: `sent`, `retried`, `dead` since the start, `waiting_seconds` of what is overdue, the errors.

        `failing_since` (microseconds UTC) is `None` where the last thing that was tried worked.
        """
        return {str(channel): lane.status() for channel, lane in self._lanes.items()}

    def close(self, patience: float = 5.0) -> None:
        """Stop. What is being sent has so many seconds left; what was taken and not begun is given back."""
        for lane in self._lanes.values():
            lane.stop()
        for thread in self._threads:
            thread.join(patience)
        self._threads.clear()


class Absent:
    """Stands where no messenger is configured: nothing can leave by this channel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def send(self, delivery: Delivery, view: View) -> str:
        """Raises `RetryError`: it may be configured later."""
        raise RetryError(f"nothing is configured by which `{self._channel}` could be sent")


def recorder(ledger: Ledger, clock: Clock, new_id: Callable[[int], str]) -> Callable[[Delivery], None]:
    """What tells the log of messages that were laid aside, and returns once that is durable. It raises `LedgerError`.

    Of a webhook's URL the record holds the host alone: the rest of it may be a secret.
    """

    def record(delivery: Delivery) -> None:
        pen = Pen(clock, new_id, delivery.workspace, "")
        body = pen.note(
            UNDELIVERED, approval=delivery.approval_id, delivery=delivery.id, channel=str(delivery.channel),
            event=str(delivery.event), to=_shown(delivery), attempts=delivery.attempts, error=delivery.error,
        )  # fmt: skip
        ledger.append(Record(UNDELIVERED, body)).result(PATIENCE_SECONDS)

    return record


def _shown(delivery: Delivery) -> str:
    if delivery.channel is not Channel.WEBHOOK:
        return delivery.recipient
    return urlsplit(delivery.recipient).hostname or ""
