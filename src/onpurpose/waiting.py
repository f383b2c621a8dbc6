"""What one thread promises another, and waiting for it: a cheap future, and one wake-up of a loop for many."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, InvalidStateError
from threading import Lock
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    import asyncio

    from onpurpose.ports import Promised

T = TypeVar("T")

log = logging.getLogger("onpurpose")

EXACT_SECONDS = 1.0
"""Patience of so many seconds or more may last `TICK_SECONDS` longer, so that many waiters share an alarm."""

TICK_SECONDS = 0.125

_PENDING, _RUNNING, _FINISHED, _CANCELLED, _NOTIFIED = range(5)  # done from the third on


class Promise(Generic[T]):
    """A value that another thread will give: `concurrent.futures.Future`, at a fifth of its price.

    The same methods with the same meanings, but for the lock and the condition that each future of the
    standard library makes whether or not a thread blocks on it. Only a thread that blocks makes one here.
    """

    __slots__ = ("_callbacks", "_error", "_lock", "_state", "_value")

    def __init__(self) -> None:
        self._lock = Lock()
        self._state = _PENDING
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[Any], object]] = []

    def cancel(self) -> bool:
        """Whether nobody will give the value any more: false once it was taken up or given."""
        with self._lock:
            if self._state != _PENDING:
                return self._state >= _CANCELLED
            self._state = _CANCELLED
        self._tell()
        return True

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self._state >= _CANCELLED

    def running(self) -> bool:
        """Whether it was taken up, and is not done."""
        return self._state == _RUNNING

    def done(self) -> bool:
        """Whether it was cancelled, or the value or an error was given."""
        return self._state >= _FINISHED

    def result(self, timeout: float | None = None) -> T:
        """The value, after waiting at most so many seconds for it.

        Raises the error that was given in its place, `CancelledError`, or `TimeoutError`.
        """
        if self._state != _FINISHED:
            self._wait(timeout)
        if self._error is not None:
            try:
                raise self._error
            finally:
                self = None  # type: ignore[assignment]  # noqa: PLW0642  no circle by way of the traceback
        return cast("T", self._value)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error, or `None` where a value was given, after waiting at most so many seconds.

        Raises `CancelledError` or `TimeoutError`.
        """
        if self._state != _FINISHED:
            self._wait(timeout)
        return self._error

    def add_done_callback(self, fn: Callable[[Any], object], /) -> None:
        """Have `fn` called with this promise once it is done: by the thread that ends it, or now if it is done."""
        with self._lock:
            if self._state < _FINISHED:
                self._callbacks.append(fn)
                return
        self._call(fn)

    def set_running_or_notify_cancel(self) -> bool:
        """Take it up, so that it cannot be cancelled any more; false if it was cancelled. For who gives the value."""
        with self._lock:
            if self._state == _PENDING:
                self._state = _RUNNING
                return True
            if self._state == _CANCELLED:
                self._state = _NOTIFIED
                return False
        raise RuntimeError("a promise is taken up once")

    def set_result(self, value: T) -> None:
        """Give the value. `InvalidStateError` if it is done."""
        with self._lock:
            if self._state >= _FINISHED:
                raise InvalidStateError("a promise is kept once")
            self._value = value
            self._state = _FINISHED
        self._tell()

    def set_exception(self, error: BaseException) -> None:
        """Give an error in place of the value. `InvalidStateError` if it is done."""
        with self._lock:
            if self._state >= _FINISHED:
                raise InvalidStateError("a promise is kept once")
            self._error = error
            self._state = _FINISHED
        self._tell()

    def _tell(self) -> None:
        """Call whoever asked for it; nobody is added any more, as it is done."""
        callbacks = self._callbacks
        if callbacks:
            self._callbacks = []
            self._tell_all(iter(callbacks))

    def _tell_all(self, callbacks: Iterator[Callable[[Any], object]]) -> None:
        try:
            for fn in callbacks:
                self._call(fn)
        except BaseException:  # that of one must not keep the others waiting
            self._tell_all(callbacks)
            raise

    def _call(self, fn: Callable[[Any], object]) -> None:
        try:
            fn(self)
        except Exception:
            log.exception("a callback of a promise failed")

    def _wait(self, timeout: float | None) -> None:
        """Return once it is finished; raise when it is cancelled, or late."""
        if self._state < _FINISHED:
            bell = Lock()
            bell.acquire()
            self.add_done_callback(lambda _: bell.release())
            if timeout is None:
                bell.acquire()
            elif timeout > 0:
                bell.acquire(timeout=timeout)
        if self._state >= _CANCELLED:
            raise CancelledError
        if self._state != _FINISHED:
            raise TimeoutError


class Watch:
    """Calls `tell` on an event loop, once: when a promise is done, or when the time for it is over.

    It is the callback of the promise. `drop` takes it back.
    """

    __slots__ = ("_alarm", "_bell", "tell")

    def __init__(self, bell: Bell, alarm: _Alarm, tell: Callable[[], object]) -> None:
        self._bell = bell
        self._alarm = alarm
        self.tell: Callable[[], object] | None = tell

    def __call__(self, _: object = None) -> None:
        """From any thread: have the loop call `tell`."""
        self._bell.ring(self)

    def end(self) -> None:
        """On the loop: call `tell`, unless it was called or dropped before."""
        tell = self.tell
        if tell is None:
            return
        self.drop()
        try:
            tell()
        except Exception:  # the others that are done must be told all the same
            log.exception("what waited for a promise failed")

    def drop(self) -> None:
        """On the loop: nobody waits any more."""
        self.tell = None
        self._alarm.leave(self)


class _Alarm:
    """Ends the watches that are left at its time."""

    __slots__ = ("handle", "keeps", "watches")

    def __init__(self, *, keeps: bool) -> None:
        self.watches: set[Watch] = set()
        self.keeps = keeps
        self.handle: asyncio.TimerHandle | None = None

    def leave(self, watch: Watch) -> None:
        """One does not wait any more."""
        self.watches.discard(watch)
        if not self.keeps and self.handle is not None:
            self.handle.cancel()

    def ring(self) -> None:
        """It is time."""
        for watch in list(self.watches):
            watch.end()


class Bell:
    """Wakes one event loop for many promises at once: a group commit keeps hundreds.

    `asyncio.wrap_future` writes to the loop's pipe once a future, and `call_later` makes a timer for each.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._finished: deque[Watch] = deque()
        self._ringing = False
        self._alarms: dict[int, _Alarm] = {}

    def watch(self, promise: Promised[Any], patience: float, tell: Callable[[], object]) -> Watch:
        """Have `tell` called on this loop once the promise is done, or after so many seconds. Call on the loop."""
        alarm = self._alarm(patience)
        watch = Watch(self, alarm, tell)
        alarm.watches.add(watch)
        promise.add_done_callback(watch)
        return watch

    def ring(self, watch: Watch) -> None:
        """From any thread: have the loop end the watch.

        Without a lock: the watch is put down before the flag is looked at, and the loop takes the flag
        away before it looks at the watches. Two that ring at once wake it twice, for nothing.
        """
        self._finished.append(watch)
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
            finished.popleft().end()

    def _alarm(self, patience: float) -> _Alarm:
        """An alarm after so many seconds, or up to a tick later where that does not matter."""
        if patience < EXACT_SECONDS:
            alarm = _Alarm(keeps=False)
            alarm.handle = self._loop.call_later(patience, alarm.ring)
            return alarm
        tick = int((self._loop.time() + patience) / TICK_SECONDS) + 1
        shared = self._alarms.get(tick)
        if shared is None:
            shared = self._alarms[tick] = _Alarm(keeps=True)
            self._loop.call_at(tick * TICK_SECONDS, self._ring_at, tick)
        return shared

    def _ring_at(self, tick: int) -> None:
        self._alarms.pop(tick).ring()


_bells: dict[asyncio.AbstractEventLoop, Bell] = {}


def bell_of(loop: asyncio.AbstractEventLoop) -> Bell:
    """The bell of the running loop."""
    bell = _bells.get(loop)
    if bell is None:
        for closed in [known for known in list(_bells) if known.is_closed()]:  # other threads add theirs
            _bells.pop(closed, None)
        bell = _bells[loop] = Bell(loop)
    return bell


async def done(promise: Promised[Any], patience: float) -> None:
    """Return once the promise is done, or after so many seconds. Never raises what it holds."""
    import asyncio  # noqa: PLC0415  takes 25 ms to import, and who waits here has done so

    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not waiter.done():  # cancelled
            waiter.set_result(None)

    watch = bell_of(loop).watch(promise, patience, tell)
    try:
        await waiter
    finally:
        watch.drop()
