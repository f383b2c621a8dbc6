"""Ask, obey, fail closed: what every integration does around a tool."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, cast

from onpurpose.core.call import Call
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.outcome import Outcome
from onpurpose.core.record import Receipt
from onpurpose.core.result import Result
from onpurpose.ports import Promised
from onpurpose.waiting import done

P = ParamSpec("P")
R = TypeVar("R")


class Refused(OnPurposeError):  # noqa: N818  what it is, not that something failed
    """A call that may not run; the tool has not been entered. `result` says why."""

    def __init__(self, result: Result) -> None:
        self.result = result
        super().__init__(result.explain())


class ActionDenied(Refused):
    """The call is denied."""


class ApprovalRequired(Refused):
    """The call may run only when a person agrees."""


class Pending(Protocol):
    """A judged call whose record is on its way."""

    @property
    def receipt(self) -> Promised[Receipt] | None:
        """Done once the record is durable; `None` where nothing is recorded."""
        ...

    def finish(self, patience: float | None = 0) -> Result:
        """The answer, after waiting at most so many seconds."""
        ...


class Judge(Protocol):
    """What a guard needs of a gate."""

    @property
    def patience(self) -> float:
        """Seconds to wait for a record."""
        ...

    @property
    def blocks(self) -> bool:
        """Whether `begin` with an approval and `follow` wait for a store, so that an event loop gives them a thread."""
        ...

    def begin(self, call: Call, policy_path: object = None, approval_id: str | None = None) -> Pending:
        """Judge the call and hand its record to the log; `approval_id` names the grant that it is to use."""
        ...

    def follow(self, result: Result) -> Result:
        """What follows a decision once its record is durable: where people are to be asked, they are. Never raises."""
        ...


Wait: TypeAlias = "bool | float"
"""How long people are waited for: not at all, so many seconds, or (`True`) until the approval expires."""


def enforce(result: Result) -> None:
    """Raise `ActionDenied` or `ApprovalRequired` unless the result permits the call."""
    if result.outcome is Outcome.REQUIRE_APPROVAL:
        raise ApprovalRequired(result)
    if not result.allowed:
        raise ActionDenied(result)


def ask(judge: Judge, call: Call, policy_path: object = None) -> Result:
    """The answer to the call, waiting for its record on this thread."""
    return judge.follow(judge.begin(call, policy_path).finish(judge.patience))


async def ask_async(judge: Judge, call: Call, policy_path: object = None) -> Result:
    """The answer to the call, letting the event loop run while its record is written."""
    result = await _recorded(judge, judge.begin(call, policy_path))
    return await _followed(judge, result)


def resume(judge: Judge, approval_id: str, call: Call, policy_path: object = None) -> Result:
    """The answer to the call, which uses the grant of that approval if it still needs one."""
    return judge.follow(judge.begin(call, policy_path, approval_id).finish(judge.patience))


async def resume_async(judge: Judge, approval_id: str, call: Call, policy_path: object = None) -> Result:
    """`resume`, letting the event loop run."""
    if judge.blocks:
        pending = await _in_thread(judge.begin, call, policy_path, approval_id)
    else:
        pending = judge.begin(call, policy_path, approval_id)
    return await _followed(judge, await _recorded(judge, pending))


def permit(judge: Judge, call: Call, policy_path: object = None, wait: Wait = False) -> Result:
    """The answer to a call that runs at once if it is permitted: a grant that is there for it is used up."""
    result = ask(judge, call, policy_path)
    ticket = result.approval
    if ticket is None:
        return result
    if wait is not False:
        ticket = ticket.wait(_seconds(wait))
    return result if ticket.pending else resume(judge, ticket.id, call, policy_path)


async def permit_async(judge: Judge, call: Call, policy_path: object = None, wait: Wait = False) -> Result:
    """`permit`, letting the event loop run."""
    result = await ask_async(judge, call, policy_path)
    ticket = result.approval
    if ticket is None:
        return result
    if wait is not False:
        ticket = await ticket.wait_async(_seconds(wait))
    return result if ticket.pending else await resume_async(judge, ticket.id, call, policy_path)


def _seconds(wait: Wait) -> float | None:
    return None if wait is True else wait


async def _recorded(judge: Judge, pending: Pending) -> Result:
    try:
        if pending.receipt is not None and not pending.receipt.done():
            await done(pending.receipt, judge.patience)
    finally:  # also for a task that is cancelled: what nobody waits for is taken back
        result = pending.finish(0)
    return result


async def _followed(judge: Judge, result: Result) -> Result:
    if result.outcome is not Outcome.REQUIRE_APPROVAL or not judge.blocks:
        return judge.follow(result)
    return await _in_thread(judge.follow, result)


async def _in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    import asyncio  # noqa: PLC0415  takes 25 ms to import, and who awaits has done so

    return await asyncio.to_thread(function, *args, **kwargs)


def guard(
    judge: Judge, capability: str, *, policy_path: object = None, wait: Wait = False, **fixed: Any
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator: the function runs only if the gate permits it, its arguments by name as the payload.

    `fixed` are the call's other fields (`agent_id`, `task_context`, `policy_context`, ...); a field
    given as a function without arguments is asked at every call, in the caller's context. With `wait`
    the caller waits for people where they must agree, and runs on with their grant. The
    arguments are judged as they are at the call and not copied: `SafeTool` runs on a copy.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        def call_of(args: tuple[object, ...], kwargs: dict[str, object]) -> Call:
            return make_call(capability, _by_name(signature, args, kwargs), fixed)

        if inspect.iscoroutinefunction(function):
            running = cast(Callable[P, Awaitable[Any]], function)

            @functools.wraps(function)
            async def guarded_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                enforce(await permit_async(judge, call_of(args, kwargs), policy_path, wait))
                return await running(*args, **kwargs)

            return cast(Callable[P, R], guarded_async)

        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            enforce(permit(judge, call_of(args, kwargs), policy_path, wait))
            return function(*args, **kwargs)

        return guarded

    return decorate


def make_call(capability: str, payload: object, fields: Mapping[str, Any]) -> Call:
    """A call of these fields; those that are functions are asked now."""
    return Call(
        capability=capability,
        payload=payload,
        **{name: value() if callable(value) else value for name, value in fields.items()},
    )


def _by_name(signature: inspect.Signature, args: tuple[object, ...], kwargs: dict[str, object]) -> dict[str, object]:
    """The arguments by name, defaults included: what is not written down at the call counts as well.

    What `*args` takes stands under its own name; `self` and `cls` are no arguments of the tool.
    Raises `TypeError` as the function itself would.
    """
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    payload = dict(bound.arguments)
    for position, (name, parameter) in enumerate(signature.parameters.items()):
        if parameter.kind is parameter.VAR_KEYWORD and not (payload.keys() - {name}) & payload[name].keys():
            payload.update(payload.pop(name))
        elif position == 0 and name in _RECEIVERS:
            del payload[name]
    return payload


_RECEIVERS = frozenset({"self", "cls"})
