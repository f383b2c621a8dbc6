"""The machine's clock, names for decisions, and a beat that ends with its object."""

from __future__ import annotations

import gc
import logging
import os
import subprocess
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onpurpose.adapters.clock import SWITCH_SECONDS, TURN_SECONDS, Beat, Ids, SystemClock

DEADLINE = 20


def test_the_clock_tells_microseconds_since_1970() -> None:
    before = datetime.now(UTC).timestamp()
    told = SystemClock().now() / 1_000_000
    assert before - 1 <= told <= datetime.now(UTC).timestamp() + 1


def test_names_are_of_one_length_unlike_and_in_order() -> None:
    ids = Ids()
    names = [ids.new(at) for at in (0, 0, 1, 1 << 48, (1 << 52) - 1) for _ in range(100)]
    assert {len(name) for name in names} == {32}
    assert all(set(name) <= set("0123456789abcdef") for name in names)
    assert names == sorted(set(names))


def test_names_of_two_sources_do_not_meet() -> None:
    first, second = Ids(), Ids()
    assert {first.new(1) for _ in range(100)}.isdisjoint(second.new(1) for _ in range(100))


def test_names_of_many_threads_do_not_meet() -> None:
    ids, names = Ids(), list[str]()
    threads = [threading.Thread(target=lambda: names.extend(ids.new(1) for _ in range(500))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 2000


class Heart:
    def __init__(self, fails: int = 0) -> None:
        self.beats = 0
        self.fails = fails
        self.beaten = threading.Event()

    def beat(self, pace: Callable[[], None]) -> None:
        self.beats += 1
        pace()
        if self.beats <= self.fails:
            raise RuntimeError("skipped a beat")
        self.beaten.set()


def test_a_beat_goes_on_until_it_is_stopped() -> None:
    heart = Heart()
    beat = Beat(heart.beat, 0.001)
    for _ in range(3):
        assert heart.beaten.wait(DEADLINE)
        heart.beaten.clear()
    beat.stop()
    beat.stop()


def test_a_beat_survives_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    heart = Heart(fails=2)
    beat = Beat(heart.beat, 0.001)
    assert heart.beaten.wait(DEADLINE)
    beat.stop()
    assert heart.beats >= 3


def test_a_beat_ends_with_its_object() -> None:
    before = set(threading.enumerate())
    heart = Heart()
    beat = Beat(heart.beat, 0.001)
    assert heart.beaten.wait(DEADLINE)
    (thread,) = set(threading.enumerate()) - before
    gone = weakref.ref(heart)
    del heart
    thread.join(DEADLINE)
    gc.collect()
    assert (thread.is_alive(), gone()) == (False, None)
    beat.stop()


def test_a_beat_that_rests_for_long_ends_with_its_object_at_once() -> None:
    before = set(threading.enumerate())
    heart = Heart()
    beat = Beat(heart.beat, 3600)
    (thread,) = set(threading.enumerate()) - before
    del heart
    thread.join(DEADLINE)
    assert not thread.is_alive()
    beat.stop()


def test_a_beat_may_be_so_slow_that_it_never_comes() -> None:
    heart = Heart()
    Beat(heart.beat, float("inf")).stop()
    assert heart.beats == 0


class Labour:
    """Long work, which stops where a test wants to look."""

    def __init__(self) -> None:
        self.amid, self.go_on = threading.Event(), threading.Event()
        self.interval = 0.0

    def work(self, pace: Callable[[], None]) -> None:
        if self.amid.is_set():
            return
        started = time.perf_counter()
        while time.perf_counter() - started < 2 * TURN_SECONDS:
            pass
        pace()
        self.interval = sys.getswitchinterval()
        self.amid.set()
        self.go_on.wait(DEADLINE)


@pytest.fixture
def usual() -> Iterator[float]:
    """How long a thread waits for the interpreter, as the process has it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.004)
    yield sys.getswitchinterval()
    sys.setswitchinterval(before)


def settled(interval: float) -> bool:
    deadline = time.monotonic() + DEADLINE
    while sys.getswitchinterval() != interval and time.monotonic() < deadline:
        threading.Event().wait(0.001)
    return sys.getswitchinterval() == interval


def test_threads_take_turns_quickly_while_any_is_at_long_work_and_then_as_before(usual: float) -> None:
    first, second = Labour(), Labour()
    beats = [Beat(one.work, 0.001) for one in (first, second)]
    assert first.amid.wait(DEADLINE)
    assert second.amid.wait(DEADLINE)
    assert first.interval == second.interval == pytest.approx(SWITCH_SECONDS)
    first.go_on.set()
    assert sys.getswitchinterval() == first.interval
    second.go_on.set()
    assert settled(usual)
    for beat in beats:
        beat.stop()


def test_work_that_is_short_changes_nothing(usual: float) -> None:
    heart = Heart()
    beat = Beat(heart.beat, 0.001)
    assert heart.beaten.wait(DEADLINE)
    assert sys.getswitchinterval() == usual
    beat.stop()


def test_who_changes_the_turns_meanwhile_keeps_them(usual: float) -> None:
    labour = Labour()
    before = set(threading.enumerate())
    beat = Beat(labour.work, 0.001)
    (thread,) = set(threading.enumerate()) - before
    assert labour.amid.wait(DEADLINE)
    sys.setswitchinterval(0.003)
    wanted = sys.getswitchinterval()
    labour.go_on.set()
    beat.stop()
    thread.join(DEADLINE)
    assert sys.getswitchinterval() == wanted != usual


def test_turns_that_are_shorter_already_stay(usual: float) -> None:
    sys.setswitchinterval(SWITCH_SECONDS / 2)
    shorter = sys.getswitchinterval()
    labour = Labour()
    beat = Beat(labour.work, 0.001)
    assert labour.amid.wait(DEADLINE)
    assert labour.interval == shorter
    labour.go_on.set()
    beat.stop()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_forked_amid_long_work_takes_turns_as_usual(usual: float) -> None:
    labour = Labour()
    beat = Beat(labour.work, 0.001)
    assert labour.amid.wait(DEADLINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads
        child = os.fork()
    if child == 0:
        os._exit(0 if sys.getswitchinterval() == usual else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    labour.go_on.set()
    beat.stop()


FORKED = """\
import os, sys, time, warnings
from pathlib import Path
from onpurpose import Gate
warnings.simplefilter("ignore")
path = Path(sys.argv[1])
path.write_text("allow:\\n  - capability: a\\n")
gate = Gate(path, None, reload_seconds=0.005)
first = gate.evaluate("x", "a")
child = os.fork()
if child == 0:
    name = gate.evaluate("x", "a").decision_id
    path.with_suffix(".child").write_text(name)
    fresh = path.with_suffix(".new")
    fresh.write_text("deny:\\n  - capability: a\\n")
    fresh.replace(path)
    deadline = time.monotonic() + 20
    while gate.evaluate("x", "a").allowed and time.monotonic() < deadline:
        time.sleep(0.001)
    os._exit(0 if not gate.evaluate("x", "a").allowed else 1)
second = gate.evaluate("x", "a").decision_id
_, status = os.waitpid(child, 0)
assert first.allowed and os.waitstatus_to_exitcode(status) == 0
assert second[13:25] != path.with_suffix(".child").read_text()[13:25]
"""


def test_a_forked_process_names_its_own_decisions_and_goes_on_watching(tmp_path: Path) -> None:
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", FORKED, str(tmp_path / "p.yaml")], check=True, timeout=60)
    assert time.monotonic() - started < 60
