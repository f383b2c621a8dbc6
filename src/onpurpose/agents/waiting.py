"""Waiting for a service's approvals: it holds its answer back until people have decided, and is asked again."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Protocol

from onpurpose.agents.wire import read_ticket
from onpurpose.core.ticket import Ticket
from onpurpose.waiting import Promise, done

HOLD_SECONDS = 25.0
"""How long the service is asked to hold one answer back."""

RETRY_SECONDS = 1.0
"""After how long it is asked again, where it gave no answer."""

GRACE_SECONDS = 5.0
"""How long after its end an approval is still asked for, so that the service can say that it has expired."""

_MOST_SECONDS = 60.0
"""How much longer than it was asked to a line may take for one answer; lines have limits of their own."""

Reply = tuple[int, bytes]
"""The status of an HTTP answer, and its body."""


class Line(Protocol):
    """What is needed of a line for threads."""

    def approval(self, approval_id: str, seconds: float) -> Reply:
        """How an approval stands, once it is decided or after so many seconds. Raises `OSError` for no answer."""
        ...


class AsyncLine(Protocol):
    """What is needed of a line for coroutines."""

    async def approval(self, approval_id: str, seconds: float) -> Reply:
        """As in `Line`."""
        ...


class Waiting:
    """Waits on threads."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def wait(self, ticket: Ticket, seconds: float | None) -> Ticket:
        """As `core.ticket.Waiter.wait`: asked until it is decided or the time is over; never raises for the network."""
        end = _end(ticket, seconds)
        while True:
            left = end - time.monotonic()
            began = time.monotonic()
            with suppress(OSError):  # asked again: a service that starts anew is one that was away
                ticket = read_ticket(ticket, *self._line.approval(ticket.id, _hold(left)))
            left = end - time.monotonic()
            if not ticket.pending or left <= 0:
                return ticket
            time.sleep(_pause(time.monotonic() - began, left))

    async def wait_async(self, ticket: Ticket, seconds: float | None) -> Ticket:
        """`wait` for a coroutine; one that is cancelled leaves no thread that anything waits for."""
        return await AsyncWaiting(_Threads(self._line)).wait_async(ticket, seconds)


class _Threads:
    """A line for threads as one for coroutines.

    Each question has a thread of its own: answers are held back for long, and the loop's pool has few threads,
    which it waits for when it ends.
    """

    def __init__(self, line: Line) -> None:
        self._line = line

    async def approval(self, approval_id: str, seconds: float) -> Reply:
        """As in `AsyncLine`."""
        reply: Promise[Reply] = Promise()

        def ask() -> None:
            try:
                reply.set_result(self._line.approval(approval_id, seconds))
            except Exception as error:
                reply.set_exception(error)

        threading.Thread(target=ask, name="onpurpose-waiting", daemon=True).start()
        await done(reply, seconds + _MOST_SECONDS)
        return reply.result(0)


class AsyncWaiting:
    """Waits in coroutines."""

    def __init__(self, line: AsyncLine) -> None:
        self._line = line

    def wait(self, ticket: Ticket, seconds: float | None) -> Ticket:
        """Not for threads: the approval as it was. Use `wait_async`."""
        return ticket

    async def wait_async(self, ticket: Ticket, seconds: float | None) -> Ticket:
        """As `Waiting.wait`."""
        import asyncio  # noqa: PLC0415

        end = _end(ticket, seconds)
        while True:
            left = end - time.monotonic()
            began = time.monotonic()
            with suppress(OSError):
                ticket = read_ticket(ticket, *await self._line.approval(ticket.id, _hold(left)))
            left = end - time.monotonic()
            if not ticket.pending or left <= 0:
                return ticket
            await asyncio.sleep(_pause(time.monotonic() - began, left))


def _end(ticket: Ticket, seconds: float | None) -> float:
    """When to give up, on the monotonic clock."""
    if seconds is None:
        seconds = ticket.until / 1_000_000 - time.time() + GRACE_SECONDS
    return time.monotonic() + max(0.0, seconds)


def _hold(left: float) -> float:
    return max(0.0, min(HOLD_SECONDS, left))


def _pause(took: float, left: float) -> float:
    """How long to leave the service alone, so that it is asked once a second at most, however fast it answers."""
    return max(0.0, min(RETRY_SECONDS - took, left))
