"""A promise is a future of the standard library in all that can be seen, and a bell tells of many at once."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.waiting import TICK_SECONDS, Promise, bell_of, done

ERROR = ValueError("why not")
STEPS: dict[str, Callable[[Any], object]] = {
    "take up": lambda one: one.set_running_or_notify_cancel(),
    "give": lambda one: one.set_result(7),
    "fail": lambda one: one.set_exception(ERROR),
    "cancel": lambda one: one.cancel(),
    "done": lambda one: one.done(),
    "cancelled": lambda one: one.cancelled(),
    "running": lambda one: one.running(),
    "result": lambda one: one.result(0),
    "late result": lambda one: one.result(-1),
    "exception": lambda one: one.exception(0),
}


def seen(one: Any, steps: list[str]) -> list[object]:
    """What each step gives or raises, and what callbacks see when they are called."""
    found: list[object] = []
    for number, step in enumerate(steps):
        if step == "ask":
            one.add_done_callback(
                lambda it, number=number: found.append((number, it is one, it.done(), it.cancelled()))
            )
            continue
        try:
            found.append((step, STEPS[step](one)))
        except (RuntimeError, ValueError, TimeoutError, CancelledError, InvalidStateError) as error:
            found.append((step, type(error), error is ERROR))
    return found


@given(st.lists(st.sampled_from([*STEPS, "ask"]), max_size=12))
def test_a_promise_does_what_a_future_does(steps: list[str]) -> None:
    logging.getLogger("concurrent.futures").setLevel(logging.CRITICAL + 1)  # of a step that is one too many
    assert seen(Promise[int](), steps) == seen(Future[int](), steps)


@pytest.mark.parametrize("end", ["give", "fail", "cancel"])
def test_a_thread_that_blocks_on_a_promise_is_woken_by_its_end(end: str) -> None:
    promise = Promise[int]()
    found: list[object] = []
    readers = [threading.Thread(target=lambda: found.extend(seen_blocking(promise))) for _ in range(3)]
    for reader in readers:
        reader.start()
    STEPS[end](promise)
    for reader in readers:
        reader.join(10)
    assert found == [{"give": 7, "fail": ValueError, "cancel": CancelledError}[end]] * 3


def seen_blocking(promise: Promise[int]) -> list[object]:
    try:
        return [promise.result(10)]
    except (ValueError, CancelledError) as error:
        return [type(error)]


def test_a_promise_that_is_not_kept_in_time_is_late_and_may_be_kept_afterwards() -> None:
    promise = Promise[int]()
    with pytest.raises(TimeoutError):
        promise.result(0.001)
    with pytest.raises(TimeoutError):
        promise.exception(0.001)
    promise.set_result(7)
    assert promise.result() == 7


def test_a_callback_that_raises_is_told_in_the_log_and_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    promise = Promise[int]()
    called: list[object] = []
    promise.add_done_callback(lambda _: 1 // 0)
    promise.add_done_callback(called.append)
    promise.set_result(7)
    promise.add_done_callback(lambda _: 1 // 0)
    assert called == [promise]
    assert caplog.text.count("ZeroDivisionError") == 2


def test_a_callback_that_ends_its_thread_keeps_nobody_waiting() -> None:
    def leave(_: object) -> None:
        raise SystemExit

    promise = Promise[int]()
    called: list[object] = []
    for fn in (leave, called.append, leave, called.append):
        promise.add_done_callback(fn)
    with pytest.raises(SystemExit):
        promise.set_result(7)
    assert called == [promise, promise]


def test_of_two_that_end_a_promise_one_succeeds() -> None:
    for _ in range(200):
        promise = Promise[int]()
        barrier = threading.Barrier(2)
        ends: list[bool] = []

        def give(promise: Promise[int] = promise, barrier: threading.Barrier = barrier) -> None:
            barrier.wait(10)
            if promise.set_running_or_notify_cancel():
                promise.set_result(7)
                ends.append(True)  # noqa: B023  joined below

        giver = threading.Thread(target=give)
        giver.start()
        barrier.wait(10)
        ends.append(promise.cancel())
        giver.join(10)
        assert sum(ends) == 1


@pytest.mark.parametrize("patience", [0.01, 1.0])
def test_who_waits_for_a_promise_in_vain_waits_no_longer_than_told(patience: float) -> None:
    async def run() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(done(Promise[int](), patience) for _ in range(50)))
        return loop.time() - began

    assert patience - 0.005 <= asyncio.run(run()) < patience + TICK_SECONDS + 1


def test_many_that_wait_share_a_few_alarms() -> None:
    async def run() -> tuple[int, int]:
        promises = [Promise[int]() for _ in range(1000)]
        waiters = [asyncio.ensure_future(done(promise, 30)) for promise in promises]
        await asyncio.sleep(0)
        bell = bell_of(asyncio.get_running_loop())
        alarms = len(bell._alarms)

        def keep() -> None:
            for promise in promises:
                promise.set_result(1)

        threading.Thread(target=keep).start()
        await asyncio.gather(*waiters)
        return alarms, sum(len(alarm.watches) for alarm in bell._alarms.values())

    alarms, left = asyncio.run(run())
    assert 1 <= alarms <= 2 + 1 / TICK_SECONDS
    assert left == 0


def test_what_fails_on_the_loop_is_told_in_the_log_and_holds_up_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> bool:
        bell = bell_of(asyncio.get_running_loop())
        promises = [Promise[int](), Promise[int]()]
        told = asyncio.Event()
        bell.watch(promises[0], 10, lambda: 1 // 0)
        bell.watch(promises[1], 10, told.set)
        for promise in promises:
            promise.set_result(1)
        return await asyncio.wait_for(told.wait(), 10)

    assert asyncio.run(run())
    assert "ZeroDivisionError" in caplog.text


def test_a_promise_that_is_kept_after_its_loop_was_closed_is_kept() -> None:
    promise = Promise[int]()

    async def run() -> None:
        bell_of(asyncio.get_running_loop()).watch(promise, 10, lambda: None)

    asyncio.run(run())
    promise.set_result(7)
    assert promise.result(0) == 7
