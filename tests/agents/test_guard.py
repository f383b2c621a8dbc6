"""A guarded function runs only if the gate permits it, its arguments by name as the payload."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest

from onpurpose import ActionDenied, ApprovalRequired, Gate, OnPurposeError, Outcome, Refused, parse_policy
from onpurpose.adapters.memory import MemoryLedger
from tests.app.logs import decisions

POLICY = parse_policy(
    """\
deny:
  - capability: payments.transfer
    amount_gt: 50000
require_approval:
  - capability: payments.transfer
    amount_gt: 1000
allow:
  - capability: payments.transfer
    amount_lte: 1000
  - capability: any.thing
""",
    "payments.yaml",
)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def gate(ledger: MemoryLedger) -> Gate:
    return Gate(POLICY, ledger, reload_seconds=3600)


def payload_of(gate: Gate, ledger: MemoryLedger, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    gate.guard("any.thing")(function)(*args, **kwargs)
    return decisions(ledger)[-1]["payload"]


def test_a_permitted_function_runs_with_its_arguments(gate: Gate) -> None:
    @gate.guard("payments.transfer")
    def transfer(amount: int, to: str = "shop") -> tuple[int, str]:
        return amount, to

    assert transfer(5) == (5, "shop")
    assert transfer(to="ann", amount=6) == (6, "ann")


@pytest.mark.parametrize(
    ("amount", "error", "outcome"),
    [(60000, ActionDenied, Outcome.DENY), (2000, ApprovalRequired, Outcome.REQUIRE_APPROVAL)],
)
def test_a_refused_function_is_not_entered(gate: Gate, amount: int, error: type[Refused], outcome: Outcome) -> None:
    entered: list[int] = []

    @gate.guard("payments.transfer", agent_id="payer")
    def transfer(amount: int) -> None:
        entered.append(amount)

    with pytest.raises(error) as caught:
        transfer(amount)
    assert entered == []
    assert type(caught.value) is error
    assert isinstance(caught.value, OnPurposeError)
    assert caught.value.result.outcome is outcome
    assert caught.value.result.call.agent_id == "payer"
    assert str(caught.value) == caught.value.result.explain()


@pytest.mark.parametrize(
    ("amount", "error"), [(60000, ActionDenied), (2000, ApprovalRequired), (float("nan"), ActionDenied)]
)
def test_a_refused_coroutine_is_not_entered(gate: Gate, amount: float, error: type[Refused]) -> None:
    entered: list[float] = []

    @gate.guard("payments.transfer")
    async def transfer(amount: float) -> float:
        entered.append(amount)
        return amount

    with pytest.raises(error):
        asyncio.run(transfer(amount))
    assert entered == []
    assert asyncio.run(transfer(5)) == 5
    assert entered == [5]


def test_a_guarded_coroutine_function_is_one(gate: Gate) -> None:
    async def wait() -> None:
        pass

    assert inspect.iscoroutinefunction(gate.guard("any.thing")(wait))
    assert not inspect.iscoroutinefunction(gate.guard("any.thing")(lambda: None))


def test_the_function_keeps_its_name_signature_and_words(gate: Gate) -> None:
    def transfer(amount: int, to: str = "shop") -> int:
        """Move money."""
        return amount

    for guarded in (gate.guard("payments.transfer")(transfer),):
        assert (guarded.__name__, guarded.__doc__) == ("transfer", "Move money.")
        assert inspect.signature(guarded) == inspect.signature(transfer)
        assert inspect.unwrap(guarded) is transfer


def plain(a: int, b: int = 2) -> None: ...
def packed(*a: int, **b: int) -> None: ...
def mixed(a: int, *more: int, flag: bool = False, **rest: object) -> None: ...
def positional(a: int, /, **rest: object) -> None: ...
def named(a: int, *, b: int) -> None: ...
def receiver_later(a: int, self: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "args", "kwargs", "payload"),
    [
        (plain, (1,), {}, {"a": 1, "b": 2}),
        (plain, (1, 3), {}, {"a": 1, "b": 3}),
        (plain, (), {"b": 4, "a": 1}, {"a": 1, "b": 4}),
        (packed, (), {}, {"a": []}),
        (packed, (1, 2), {"x": 3}, {"a": [1, 2], "x": 3}),
        (packed, (1,), {"a": 3}, {"a": [1], "b": {"a": 3}}),
        (packed, (), {"b": 3}, {"a": [], "b": 3}),
        (packed, (), {"self": 3}, {"a": [], "self": 3}),
        (mixed, (1, 2, 3), {"x": 4}, {"a": 1, "more": [2, 3], "flag": False, "x": 4}),
        (positional, (1,), {"a": 2}, {"a": 1, "rest": {"a": 2}}),
        (positional, (1,), {"b": 2}, {"a": 1, "b": 2}),
        (named, (1,), {"b": 2}, {"a": 1, "b": 2}),
        (receiver_later, (1, 2), {}, {"a": 1, "self": 2}),
        (functools.partial(plain, 7), (), {"b": 1}, {"b": 1}),
    ],
)
def test_arguments_stand_in_the_payload_by_name(
    gate: Gate, ledger: MemoryLedger, function: Callable[..., Any], args: Any, kwargs: Any, payload: Any
) -> None:
    assert payload_of(gate, ledger, function, *args, **kwargs) == payload


def test_a_method_is_judged_without_its_receiver(gate: Gate, ledger: MemoryLedger) -> None:
    class Bank:
        def __init__(self) -> None:
            self.sent: list[int] = []

        @gate.guard("payments.transfer")
        def send(self, amount: int) -> None:
            self.sent.append(amount)

        @classmethod
        @gate.guard("payments.transfer")
        def make(cls, amount: int) -> type:
            return cls

        @staticmethod
        @gate.guard("payments.transfer")
        def count(amount: int) -> int:
            return amount

    bank = Bank()
    bank.send(5)
    with pytest.raises(ActionDenied):
        bank.send(60000)
    assert bank.sent == [5]
    assert Bank.make(6) is Bank
    assert Bank.count(7) == 7
    assert [record["payload"] for record in decisions(ledger)] == [{"amount": n} for n in (5, 60000, 6, 7)]


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2, 3), {}), ((1,), {"a": 1}), ((1,), {"c": 1})])
def test_wrong_arguments_are_a_type_error_before_anything_is_recorded(
    gate: Gate, ledger: MemoryLedger, args: Any, kwargs: Any
) -> None:
    with pytest.raises(TypeError):
        gate.guard("any.thing")(plain)(*args, **kwargs)
    assert decisions(ledger) == []


def test_wrong_arguments_of_a_coroutine_are_a_type_error_before_anything_is_recorded(
    gate: Gate, ledger: MemoryLedger
) -> None:
    @gate.guard("any.thing")
    async def wait(a: int) -> None: ...

    with pytest.raises(TypeError):
        asyncio.run(wait())  # type: ignore[call-arg]
    assert decisions(ledger) == []


def test_fields_of_the_call_may_be_functions_asked_at_every_call(gate: Gate, ledger: MemoryLedger) -> None:
    agents = iter(["first", "second"])
    guarded = gate.guard(
        "any.thing",
        agent_id=lambda: next(agents),
        task_context="shell",
        policy_context=lambda: {"environment": "production"},
    )(lambda: None)
    guarded()
    guarded()
    seen = [(record["agent_id"], record["task_context"], record["policy_context"]) for record in decisions(ledger)]
    assert seen == [
        ("first", "shell", {"environment": "production"}),
        ("second", "shell", {"environment": "production"}),
    ]


def test_a_field_that_fails_keeps_the_function_from_being_entered(gate: Gate) -> None:
    entered: list[object] = []

    def fail() -> str:
        raise LookupError("nobody is signed in")

    with pytest.raises(LookupError):
        gate.guard("any.thing", agent_id=fail)(lambda: entered.append(1))()
    assert entered == []


def test_a_guard_may_name_its_policy(gate: Gate, tmp_path: Any) -> None:
    path = tmp_path / "closed.yaml"
    path.write_text("deny:\n  - capability: '*'\n", encoding="utf-8")
    with pytest.raises(ActionDenied):
        gate.guard("any.thing", policy_path=path)(lambda: None)()


def test_what_the_function_raises_is_its_own(gate: Gate) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gate.guard("any.thing")(fail)()


def test_a_function_that_takes_what_cannot_be_read_is_refused_and_recorded(
    ledger: MemoryLedger, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "onpurpose")
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    with pytest.raises(ActionDenied):
        gate.guard("any.thing")(plain)(deep)
    assert decisions(ledger)[0]["reasons"][0]["code"] == "malformed_call"
