"""Waiting for a service's approvals: asked again until it is decided, whatever the network does."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from onpurpose.agents import waiting as module
from onpurpose.agents.waiting import GRACE_SECONDS, HOLD_SECONDS, AsyncWaiting, Reply, Waiting
from onpurpose.core.act import State
from onpurpose.core.ticket import Ticket

Answer = Callable[[], Reply]
Wait = Callable[["Service", Ticket, "float | None"], Ticket]


def told(state: str = "pending", **fields: Any) -> Answer:
    body = {"id": "a1", "state": state, "expires_at": "2100-01-01T00:00:00Z", "by": "", "reason": "", "url": ""}
    return lambda: (200, orjson.dumps(body | fields))


def plain(status: int, body: bytes = b"") -> Answer:
    return lambda: (status, body)


def failing(error: Exception) -> Answer:
    def answer() -> Reply:
        raise error

    return answer


class Service:
    """A line that answers what it was told to, one after another, the last again and again."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.held: list[float] = []

    def approval(self, approval_id: str, seconds: float) -> Reply:
        assert approval_id == "a1"
        self.held.append(seconds)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer()


class AsyncService:
    """The same for coroutines."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def approval(self, approval_id: str, seconds: float) -> Reply:
        return self._service.approval(approval_id, seconds)


def on_thread(service: Service, ticket: Ticket, seconds: float | None) -> Ticket:
    return Waiting(service).wait(ticket, seconds)


def on_threads_of_a_loop(service: Service, ticket: Ticket, seconds: float | None) -> Ticket:
    return asyncio.run(Waiting(service).wait_async(ticket, seconds))


def on_loop(service: Service, ticket: Ticket, seconds: float | None) -> Ticket:
    return asyncio.run(AsyncWaiting(AsyncService(service)).wait_async(ticket, seconds))


WAYS = pytest.mark.parametrize("wait", [on_thread, on_threads_of_a_loop, on_loop])


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is left alone between two questions."""
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)


def ticket(seconds_left: float = 60) -> Ticket:
    return Ticket(id="a1", state=State.PENDING, until=int((time.time() + seconds_left) * 1_000_000))


@WAYS
@pytest.mark.parametrize("state", [State.GRANTED, State.DENIED, State.EXPIRED, State.CANCELLED, State.USED])
def test_it_is_asked_until_somebody_has_decided(wait: Wait, state: State) -> None:
    service = Service(told(), told(), told(state, by="ann", reason="fine\n", url="https://x/\x1b"))
    after = wait(service, ticket(), None)
    assert (after.state, after.by, after.reason, after.page) == (state, "ann", "fine\ufffd", "https://x/\ufffd")
    assert service.held == [HOLD_SECONDS] * 3


@WAYS
@pytest.mark.parametrize(
    "trouble",
    [
        failing(ConnectionRefusedError("no")),
        failing(TimeoutError("late")),
        plain(503, b"{}"),
        plain(404),
        plain(401),
        plain(200, b"not json"),
        plain(200, b"\xff"),
        plain(200, b"[" * 100_000),
        told("granted", id="another"),
        told("half-granted"),
        told("granted", expires_at="never"),
    ],
)
def test_what_is_no_answer_about_the_approval_is_asked_again(wait: Wait, trouble: Answer) -> None:
    service = Service(trouble, trouble, told("granted"))
    assert wait(service, ticket(), 60).granted
    assert len(service.held) == 3


@WAYS
@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_without_patience_it_is_asked_once_and_nothing_is_held_back(wait: Wait, seconds: float) -> None:
    service = Service(told())
    held = ticket()
    assert wait(service, held, seconds).pending
    assert service.held == [0.0]


@WAYS
def test_it_is_asked_a_little_longer_than_the_approval_lives_so_that_its_end_is_heard_of(wait: Wait) -> None:
    service = Service(told("expired"))
    assert wait(service, ticket(seconds_left=0), None).state is State.EXPIRED
    assert 0 < service.held[0] <= GRACE_SECONDS


@WAYS
def test_patience_may_be_longer_than_any_clock_counts(wait: Wait) -> None:
    assert wait(Service(told(), told("granted")), ticket(), float("inf")).granted


def test_a_client_for_coroutines_is_not_waited_for_on_a_thread() -> None:
    held = ticket()
    assert AsyncWaiting(AsyncService(Service(told("granted")))).wait(held, 60) is held


def test_a_coroutine_that_is_cancelled_keeps_nothing_from_ending() -> None:
    asked, answer = threading.Event(), threading.Event()

    def hold() -> Reply:
        asked.set()
        answer.wait(60)
        return told()()

    async def run() -> None:
        waiting = asyncio.ensure_future(Waiting(Service(hold)).wait_async(ticket(), None))
        await asyncio.to_thread(asked.wait, 60)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    try:
        asyncio.run(run())  # would wait for every thread of the loop's pool
        assert not answer.is_set()
    finally:
        answer.set()


def test_more_coroutines_wait_on_threads_than_the_loop_s_pool_has() -> None:
    number = 50
    everybody = threading.Barrier(number)

    def meet() -> Reply:
        everybody.wait(60)
        return told("granted")()

    async def run() -> list[Ticket]:
        return await asyncio.gather(*(Waiting(Service(meet)).wait_async(ticket(), None) for _ in range(number)))

    assert all(one.granted for one in asyncio.run(run()))


def test_the_service_is_left_alone_for_a_while_however_fast_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    paused: list[float] = []
    monkeypatch.setattr(module, "RETRY_SECONDS", 1.0)
    monkeypatch.setattr("onpurpose.agents.waiting.time.sleep", paused.append)
    assert Waiting(Service(told(), told(), told("granted"))).wait(ticket(), 60).granted
    assert len(paused) == 2
    assert all(0.5 < pause <= 1.0 for pause in paused)
