"""The machine's clock, its names for decisions, and a beat for what is done again and again."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from itertools import count

log = logging.getLogger("onpurpose")

TURN_SECONDS = 0.0002
"""How long work in the background keeps the interpreter, before others may have it."""

BREATH_SECONDS = 0.0003
"""How long it then rests: longer than a thread that waits for the interpreter takes to wake up."""

SWITCH_SECONDS = 0.0002
"""How long, while such work goes on, a thread waits for the interpreter before it asks for it.

After Python's own 5 ms the work would take five times as long, and so would whatever waits for its end;
and a turn that takes longer than it should is ended by whoever waits.
"""


class SystemClock:
    """What time the machine thinks it is."""

    def now(self) -> int:
        """Microseconds since 1970-01-01 UTC."""
        return time.time_ns() // 1000


class Ids:
    """New names: 32 hex digits, unique over processes, in the order of their times.

    13 digits of microseconds, 12 of chance drawn once a process, 7 of a counter.
    """

    def __init__(self) -> None:
        self._draw()
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: ids._draw() if (ids := reference()) else None)

    def _draw(self) -> None:
        self._chance = int.from_bytes(os.urandom(6), "big") << 28
        self._count = count()

    def new(self, at: int) -> str:
        """A new name for something that happens at that time (microseconds)."""
        return "%032x" % (at << 76 | self._chance | next(self._count) & 0xFFFFFFF)


class Beat:
    """Calls a method of an object every `seconds` on a thread of its own, until stopped or the object is gone."""

    def __init__(self, method: Callable[[Callable[[], None]], None], seconds: float) -> None:
        stopped = self._stopped = threading.Event()
        self._method = weakref.WeakMethod(method, lambda _: stopped.set())
        self._seconds = min(seconds, threading.TIMEOUT_MAX)
        self._hushed = threading.Event()
        self._start()
        reference = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: beat._revive() if (beat := reference()) else None)

    def _start(self) -> None:
        details = (self._method, self._seconds, self._stopped, self._hushed)
        threading.Thread(target=_beat, args=details, daemon=True).start()

    def _revive(self) -> None:
        """In a forked child, which has no thread but the one that forked."""
        if self._hushed.is_set():
            self._hushed.clear()
            gc.enable()
        self._start()

    def stop(self) -> None:
        """Call no more."""
        self._stopped.set()


def _beat(
    method: weakref.WeakMethod[Callable[[Callable[[], None]], None]],
    seconds: float,
    stopped: threading.Event,
    hushed: threading.Event,
) -> None:
    while not stopped.wait(seconds):
        call = method()
        if call is None:
            return
        if gc.isenabled():  # a full collection amid the work would hold up every thread; `Pace` does the small ones
            hushed.set()
            gc.disable()
        pace = Pace()
        try:
            call(pace)
        except Exception:
            log.exception("what is done every %s s failed, and is tried again", seconds)
        finally:
            pace.end()
            if hushed.is_set():
                hushed.clear()
                gc.enable()
        del call


class Pace:
    """Called amid long work, lets other threads have the interpreter every `TURN_SECONDS`."""

    def __init__(self) -> None:
        self._since = time.perf_counter()
        self._long = False

    def __call__(self) -> None:
        if time.perf_counter() - self._since > TURN_SECONDS:
            if not self._long:
                self._long = True
                _switching.shorten()
            time.sleep(BREATH_SECONDS)
            self._since = time.perf_counter()
            gc.collect(0)  # part of the turn that now begins

    def end(self) -> None:
        """The work is done."""
        if self._long:
            self._long = False
            _switching.restore()


class _Switching:
    """How often threads take turns, which is the whole process's: short as long as any of ours is at long work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._working = 0
        self._found = self._ours = 0.0
        os.register_at_fork(after_in_child=self._revive)

    def shorten(self) -> None:
        with self._lock:
            self._working += 1
            if self._working == 1:
                self._found = sys.getswitchinterval()
                if self._found > SWITCH_SECONDS:
                    sys.setswitchinterval(SWITCH_SECONDS)
                self._ours = sys.getswitchinterval()

    def restore(self) -> None:
        with self._lock:
            self._working -= 1
            if self._working == 0:
                self._put_back()

    def _put_back(self) -> None:
        if sys.getswitchinterval() == self._ours:  # else somebody has set another meanwhile, which stays
            sys.setswitchinterval(self._found)

    def _revive(self) -> None:
        """In a forked child, in which nobody is at work."""
        self._lock = threading.Lock()
        if self._working:
            self._working = 0
            self._put_back()


_switching = _Switching()
