"""On an event loop nobody waits for the disk but the call itself."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import pytest

from onpurpose import ActionDenied, Gate, Result, parse_policy, waiting
from onpurpose.adapters.sql import SqliteArchive
from onpurpose.core.decision import Code
from onpurpose.core.record import LedgerError, Receipt, Record
from tests.app.logs import RECEIPT, Answering, Scripted, failing, never, raising, stuck

POLICY = parse_policy("deny:\n  - capability: shut\nallow:\n  - capability: open\n", "open.yaml")

T = TypeVar("T")


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Gate]:
    with Gate(POLICY, tmp_path / "onpurpose.db", reload_seconds=3600) as gate:
        yield gate


def scripted(answer: Answering, patience: float = 10) -> tuple[Gate, Scripted]:
    ledger = Scripted(answer)
    return Gate(POLICY, ledger, audit_timeout_seconds=patience, reload_seconds=3600), ledger


async def many(gate: Gate, number: int) -> list[Result]:
    return await asyncio.gather(*(gate.evaluate_async("a", "open", {"n": n}) for n in range(number)))


def test_many_calls_on_one_loop_all_get_their_receipts(durable: Gate, tmp_path: Path) -> None:
    results = asyncio.run(many(durable, 256))
    durable.close()
    assert all(result.allowed for result in results)
    receipts = {result.receipt.seq: result.receipt.hash for result in results if result.receipt}
    assert len(receipts) == 256
    with SqliteArchive(tmp_path / "onpurpose.db") as archive:
        stored = {one.seq: one.hash for one in archive.records()}
    assert receipts.items() <= stored.items()


def test_two_loops_in_two_threads_share_a_gate(durable: Gate) -> None:
    found: list[Result] = []
    threads = [threading.Thread(target=lambda: found.extend(asyncio.run(many(durable, 64)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({result.receipt.seq for result in found if result.receipt and result.allowed}) == 256


def test_one_loop_after_another_is_served_and_none_is_kept(durable: Gate) -> None:
    for _ in range(5):
        assert all(result.allowed for result in asyncio.run(many(durable, 3)))
    assert sum(loop.is_closed() for loop in waiting._bells) <= 1  # a server of other tests may have one that runs


def test_the_fields_are_those_of_evaluate(durable: Gate, tmp_path: Path) -> None:
    closed = tmp_path / "closed.yaml"
    closed.write_text("deny:\n  - capability: '*'\n", encoding="utf-8")
    asked = durable.evaluate_async(
        "a", "open", {}, policy_path=closed, task_context="t", policy_context={"tenant": "x"}
    )
    result = asyncio.run(asked)
    assert (result.allowed, result.call.task_context, result.call.policy_context) == (False, "t", {"tenant": "x"})


def test_the_loop_runs_on_while_a_record_is_written() -> None:
    held: Future[Receipt] = Future()
    gate, _ = scripted(lambda record: held)

    async def run() -> Result:
        asked = asyncio.create_task(gate.evaluate_async("a", "open", {}))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not asked.done()
        held.set_result(RECEIPT)
        return await asked

    assert asyncio.run(run()).receipt is RECEIPT


@pytest.mark.parametrize(
    "answer",
    [never, stuck, raising, failing(LedgerError("the disk is full"))],
    ids=["never", "stuck", "raising", "failing"],
)
def test_a_record_in_trouble_denies(answer: Answering, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    gate, _ = scripted(answer, 0.01)
    entered: list[object] = []

    @gate.guard("open")
    async def tool() -> None:
        entered.append(1)

    with pytest.raises(ActionDenied) as caught:
        asyncio.run(tool())
    assert [reason.code for reason in caught.value.result.reasons] == [Code.AUDIT_UNAVAILABLE]
    assert entered == []


def test_patience_that_ends_takes_back_what_may_still_land(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    for answer, kinds in ((never, ["decision"]), (stuck, ["decision", "decision.withdrawn"])):
        gate, ledger = scripted(answer, 0.01)
        result = asyncio.run(gate.evaluate_async("a", "open", {}))
        assert "did not become durable in time" in result.explain()
        assert ledger.kinds() == kinds


def cancelled(gate: Gate, ledger: Scripted, entered: list[object]) -> None:
    @gate.guard("open")
    async def tool() -> None:
        entered.append(1)

    async def run() -> None:
        task = asyncio.create_task(tool())
        while not ledger.given:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


@pytest.mark.parametrize(("answer", "kinds"), [(never, ["decision"]), (stuck, ["decision", "decision.withdrawn"])])
def test_a_task_that_is_cancelled_meanwhile_takes_its_record_back(
    answer: Answering, kinds: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    gate, ledger = scripted(answer)
    entered: list[object] = []
    cancelled(gate, ledger, entered)
    assert entered == []
    assert ledger.kinds() == kinds


def test_a_loop_that_is_closed_meanwhile_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    held: list[Future[Receipt]] = []

    def answer(record: Record) -> Future[Receipt]:
        future = stuck(record)
        held.append(future)
        return future

    gate, _ = scripted(answer)
    loop = asyncio.new_event_loop()
    step(loop, gate.evaluate_async("a", "open", {}))
    loop.close()
    for future in held[:1]:
        future.set_result(RECEIPT)
    assert [future.result(0) for future in held[:1]] == [RECEIPT]


def step(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> None:
    """Run the coroutine until it waits, and abandon it there."""
    task = loop.create_task(coroutine)
    for _ in range(5):
        loop.run_until_complete(asyncio.sleep(0))
    assert not task.done()
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    del task
    gc.collect()


def test_a_call_that_records_nothing_is_answered_at_once() -> None:
    gate = Gate(POLICY, None, reload_seconds=3600)
    assert [asyncio.run(gate.evaluate_async("a", name)).allowed for name in ("open", "shut")] == [True, False]
