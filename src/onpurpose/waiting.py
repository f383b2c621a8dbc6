"""Waiting on an event loop for what other threads finish: one wake-up of the loop for many futures at once."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio


class _Bell:
    """Wakes one event loop for many finished futures at once.

    `asyncio.wrap_future` writes to the loop's pipe once a future; a group commit finishes hundreds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._finished: deque[asyncio.Future[None]] = deque()
        self._ringing = False

    def ring(self, waiter: asyncio.Future[None]) -> None:
        """From any thread: have the loop finish the waiter.

        Without a lock: the waiter is put down before the flag is looked at, and the loop takes the flag
        away before it looks at the waiters. Two that ring at once wake it twice, for nothing.
        """
        self._finished.append(waiter)
        if self._ringing:
            return
        self._ringing = True
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._finished.clear()

    def _answer(self) -> None:
        self._ringing = False
        finished = self._finished
        while finished:
            waiter = finished.popleft()
            if not waiter.done():
                waiter.set_result(None)


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


_bells: dict[asyncio.AbstractEventLoop, _Bell] = {}


async def done(future: Future[Any], patience: float) -> None:
    """Return once the future is done, or after so many seconds. Never raises what the future holds."""
    import asyncio  # noqa: PLC0415  takes 25 ms to import, and who waits here has done so

    loop = asyncio.get_running_loop()
    bell = _bells.get(loop)
    if bell is None:
        for closed in [known for known in list(_bells) if known.is_closed()]:  # other threads add theirs
            _bells.pop(closed, None)
        bell = _bells[loop] = _Bell(loop)
    waiter: asyncio.Future[None] = loop.create_future()
    future.add_done_callback(lambda _: bell.ring(waiter))
    alarm = loop.call_later(patience, _finish, waiter)
    try:
        await waiter
    finally:
        alarm.cancel()
