"""Calls that came at once are judged in a row, and each gets the answer that it would get alone."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import pytest

from onpurpose.core.access import ApiKey, Scope
from onpurpose.core.record import LedgerError, Receipt, Record
from onpurpose.server import evaluate
from onpurpose.server.build import App, Settings
from onpurpose.server.evaluate import ROW, ROW_SECONDS
from onpurpose.server.identity import Authority, Refusal
from tests.app.logs import RECEIPT, Answering, Scripted, never
from tests.server.serving import KEYS, Gates, api_key, gate, secret_of, services

CALL = b'{"agent_id":"a","capability":"open","payload":{"n":%d}}'
OPEN = CALL % 1


class Kept:
    """Where an answer goes."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.body = b""

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        self.status = status
        self.body = body

    @property
    def codes(self) -> list[str]:
        return [reason["code"] for reason in json.loads(self.body)["reasons"]]


class Rows:
    """Counts the rows in which calls are judged, and how many were answered when each began."""

    def __init__(self) -> None:
        self.replies: list[Kept] = []
        self.answered: list[int] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.answered.append(sum(reply.status is not None for reply in self.replies))
        yield


def header_of(name: str) -> bytes:
    return f"Bearer {secret_of(name)}".encode()


def ask(app: App, *asked: tuple[bytes, bytes], rows: Rows | None = None) -> list[Kept]:
    """Have all of it come at once; what was answered, once all of it is."""
    replies = [] if rows is None else rows.replies

    async def run() -> None:
        for authorization, body in asked:
            replies.append(Kept())
            app.direct.begin(authorization, body, replies[-1])
        while any(reply.status is None for reply in replies):
            await asyncio.sleep(0)

    asyncio.run(run())
    return replies


def calls(count: int, key: str = "asker") -> list[tuple[bytes, bytes]]:
    return [(header_of(key), CALL % number) for number in range(count)]


# -- how many share a row


@pytest.mark.parametrize(("count", "answered"), [(1, [0]), (ROW, [0]), (2 * ROW + 5, [0, ROW, 2 * ROW])])
def test_calls_that_come_at_once_are_judged_in_rows(
    count: int, answered: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "ROW_SECONDS", 600)  # however slow the machine is
    rows = Rows()
    replies = ask(App(services(gathering=rows)), *calls(count), rows=rows)
    assert rows.answered == answered
    assert {reply.status for reply in replies} == {200}


class Slow(Gates):
    """Takes longer than a row may."""

    def begin(self, *asked: Any, **more: Any) -> Any:
        started = time.perf_counter()
        while time.perf_counter() - started < ROW_SECONDS:
            pass
        return super().begin(*asked, **more)


def test_a_row_of_calls_that_take_long_ends_early() -> None:
    rows = Rows()
    ask(App(services(Slow({"acme": gate()}), gathering=rows)), *calls(3), rows=rows)
    assert rows.answered == [0, 1, 2]


def test_one_call_of_a_row_that_goes_wrong_leaves_the_others() -> None:
    key = header_of("asker")
    replies = ask(App(services()), (key, OPEN), (b"Bearer nobody", OPEN), (key, b"{"), (key, OPEN))
    assert [reply.status for reply in replies] == [200, 401, 400, 200]


# -- when they are answered


def kept(_: Record) -> Future[Receipt]:
    held: Future[Receipt] = Future()
    held.set_result(RECEIPT)
    return held


def broken(_: Record) -> Future[Receipt]:
    held: Future[Receipt] = Future()
    held.set_exception(LedgerError("the disk is gone"))
    return held


def in_turn(*answers: Answering) -> Scripted:
    left = iter(answers)

    def answer(record: Record) -> Future[Receipt]:
        return next(left)(record)

    return Scripted(answer)


def judged_by(log: Scripted, patience: float = 10) -> App:
    return App(services(Gates({"acme": gate(log)}), close=lambda: None, settings=Settings(patience=patience)))


def test_each_of_a_row_is_answered_as_its_own_record_fared() -> None:
    replies = ask(judged_by(in_turn(kept, broken, kept)), *calls(3))
    assert [reply.codes[0] for reply in replies] == ["rule_matched", "audit_unavailable", "rule_matched"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_records_that_become_durable_in_any_order_are_waited_for(order: tuple[int, ...]) -> None:
    """A log writes what a thread appends in its order; one that does not is only slower to be answered from."""
    held: list[Future[Receipt]] = []

    def hold(_: Record) -> Future[Receipt]:
        held.append(Future())
        return held[-1]

    app, replies = judged_by(Scripted(hold)), [Kept() for _ in order]

    async def run() -> None:
        for reply, (authorization, body) in zip(replies, calls(len(order)), strict=True):
            app.direct.begin(authorization, body, reply)
        for number in order:
            while len(held) < len(order):
                await asyncio.sleep(0)
            held[number].set_result(RECEIPT)
            for _ in range(10):  # whoever is woken too early answers now
                await asyncio.sleep(0)
        while any(reply.status is None for reply in replies):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert [reply.codes[0] for reply in replies] == ["rule_matched"] * len(order)


def test_those_whose_records_come_too_late_are_denied_and_the_others_are_not() -> None:
    replies = ask(judged_by(in_turn(never, kept, never), patience=0.05), *calls(3))
    assert [reply.codes[-1] for reply in replies] == ["audit_unavailable", "rule_matched", "audit_unavailable"]


# -- who asks


class Lookups(Authority):
    """Counts how often a key is looked up."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        super().__init__(keys)
        self.count = 0

    def find(self, secret: str, now: int) -> ApiKey | Refusal:
        self.count += 1
        return super().find(secret, now)


def test_a_header_is_looked_up_once_a_row_and_each_by_itself() -> None:
    authority = Lookups(KEYS)
    asked = [*calls(3), *calls(2, "nobody"), *calls(1, "asker"), *calls(2, "reader")]
    replies = ask(App(services(authority=authority)), *asked)
    assert [reply.status for reply in replies] == [200, 200, 200, 401, 401, 200, 403, 403]
    assert authority.count == 1 + 2 + 2  # what is refused is looked up each time


def test_a_key_that_is_revoked_counts_no_more_at_the_next_turn() -> None:
    authority = Authority(KEYS)
    app = App(services(authority=authority))
    assert [reply.status for reply in ask(app, *calls(2))] == [200, 200]
    authority.replace([api_key("asker", Scope.EVALUATE, revoked_at=1)])
    assert [reply.status for reply in ask(app, *calls(2))] == [401, 401]


def test_each_call_of_a_row_counts_against_its_keys_rate() -> None:
    authority = Authority([api_key("asker", Scope.EVALUATE, per_minute=12)])  # two in ten seconds at once
    replies = ask(App(services(authority=authority)), *calls(4))
    assert [reply.status for reply in replies] == [200, 200, 429, 429]
