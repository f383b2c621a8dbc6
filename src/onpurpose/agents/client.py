"""Asking a decision service over a network, with the surface of a gate. No answer is a denial.

A call that no answer decides (none came in time, not a good one, or one to another call) is denied
with the code `unreachable`. Nothing that the service or the network does is raised.
"""

from __future__ import annotations

import inspect
import logging
import os
import secrets
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from onpurpose.agents.guard import ask, ask_async, guard, resume, resume_async
from onpurpose.agents.tool import SafeTool
from onpurpose.agents.waiting import AsyncWaiting, Reply, Waiting
from onpurpose.agents.wire import Question, no_answer, read_answer, unsendable, write_question
from onpurpose.core.call import Call, Identity
from onpurpose.core.facts import Malformed
from onpurpose.core.result import Result
from onpurpose.core.ticket import Waiter

if TYPE_CHECKING:
    import asyncio

P = ParamSpec("P")
R = TypeVar("R")

log = logging.getLogger("onpurpose")

DEFAULT_AGENT = "agent"
"""Who acts, where a tool does not say."""

PATIENCE_SECONDS = 10.0
"""How long a call waits for its answer before it is denied."""

CONNECT_SECONDS = 2.0
"""How much of that a connection may take."""

CONNECTIONS = 32
"""How many calls are asked at once; more wait for their turn, within their patience."""


class Line(Protocol):
    """A line to a service for threads."""

    def post(self, body: bytes, key: str | None) -> Reply:
        """The answer to a question. Raises `OSError` where there is none, `TimeoutError` where it came too late.

        `key` names the question: asked twice under it, it is answered once. Without one it is never asked twice.
        """
        ...

    def approval(self, approval_id: str, seconds: float) -> Reply:
        """How an approval stands, once it is decided or after so many seconds. Raises as `post`."""
        ...

    def close(self) -> None:
        """Hang up. Later questions are given `OSError`; one that waits ends in its time."""
        ...


class AsyncLine(Protocol):
    """A line to a service for coroutines."""

    async def post(self, body: bytes, key: str | None) -> Reply:
        """As in `Line`."""
        ...

    async def approval(self, approval_id: str, seconds: float) -> Reply:
        """As in `Line`."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class Asked:
    """A call that a service is asked: `finish` once `receipt` is done."""

    __slots__ = ("_question", "_waiter", "receipt")

    def __init__(self, question: Question, receipt: Future[Any], waiter: Waiter) -> None:
        self._question = question
        self._waiter = waiter
        self.receipt = receipt

    def finish(self, patience: float | None = 0) -> Result:
        """The answer, after waiting at most so many seconds for it; without one, a denial."""
        return _finish(self._question, self.receipt, patience, self._waiter)


class Unasked:
    """A call that no service is asked: it is denied."""

    __slots__ = ("_result",)

    def __init__(self, result: Result) -> None:
        self._result = result

    @property
    def receipt(self) -> None:
        """Nothing to wait for."""

    def finish(self, patience: float | None = 0) -> Result:
        """The denial."""
        return self._result


def _finish(question: Question, receipt: Future[Any], patience: float | None, waiter: Waiter) -> Result:
    try:
        status, body = receipt.result(patience)
    except TimeoutError:
        receipt.cancel()  # what nobody waits for need not be asked
        return no_answer(question.call, "the service did not answer in time")
    except (OSError, CancelledError) as error:
        receipt.cancel()
        return no_answer(question.call, f"the service cannot be reached: {error}")
    except Exception:
        log.exception("the service could not be asked; the call is denied")
        return no_answer(question.call, "the service could not be asked: an error inside the client, see its log")
    return read_answer(question, status, body, waiter)


class _Surface(ABC):
    """What both clients have in common: a question is written here and now, and a tool put behind it."""

    blocks = False

    def __init__(self, patience: float, waiter: Waiter, *, retry: bool) -> None:
        self.patience = patience
        self._waiter = waiter
        self._retry = retry

    def begin(self, call: Call, policy_path: object = None, approval_id: str | None = None) -> Asked | Unasked:
        """Ask the service, without waiting for its answer. Never raises for what the call contains."""
        try:
            question = write_question(call, policy_path, approval_id)
        except Malformed as malformed:
            return Unasked(unsendable(call, str(malformed)))
        except Exception:  # whatever a hostile call does to who reads it
            log.exception("a call could not be written as a question; it is denied")
            return Unasked(unsendable(call, "the call cannot be read"))
        try:
            key = secrets.token_hex(16) if self._retry else None
            return Asked(question, self._send(question.body, key), self._waiter)
        except RuntimeError as error:  # closed, or no event loop runs
            return Unasked(no_answer(call, f"the service cannot be asked: {error}"))

    def follow(self, result: Result) -> Result:
        """The result as it is: the service asks people by itself."""
        return result

    @abstractmethod
    def _send(self, body: bytes, key: str | None) -> Future[Any]:
        """The reply to come. Raises `RuntimeError` where none can."""

    def tool(
        self,
        function: Callable[[Any], R],
        capability: str,
        *,
        agent_id: Any = DEFAULT_AGENT,
        policy_path: object = None,
        **fields: Any,
    ) -> SafeTool[R]:
        """The function behind the service, as `Gate.tool`; `policy_path` names a policy of the workspace."""
        return SafeTool(self, function, capability, policy_path, agent_id=agent_id, **fields)

    def guard(
        self, capability: str, *, agent_id: Any = DEFAULT_AGENT, policy_path: object = None, **fields: Any
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator for a function, as `Gate.guard`; `policy_path` names a policy of the workspace."""
        return guard(self, capability, policy_path=policy_path, agent_id=agent_id, **fields)


class Client(_Surface):
    """Asks a service from threads. Thread-safe; what `Gate` decides here, the service decides there."""

    def __init__(self, line: Line, *, patience: float, retry: bool = True, connections: int = CONNECTIONS) -> None:
        super().__init__(patience, Waiting(line), retry=retry)
        self._line = line
        self._connections = connections
        self._start()
        reference = weakref.ref(self)  # a forked child has none of the threads
        os.register_at_fork(after_in_child=lambda: client._start() if (client := reference()) else None)

    def _start(self) -> None:
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  only who asks needs threads

        self._threads = ThreadPoolExecutor(self._connections, "onpurpose-client")

    def evaluate(  # noqa: PLR0913  these are the call's fields
        self,
        agent_id: str,
        capability: str,
        payload: object = None,
        *,
        task_context: str | None = None,
        risk_category: str | None = None,
        policy_path: object = None,
        policy_context: Mapping[str, object] | None = None,
        identity: Identity | None = None,
        purpose_id: str | None = None,
        data_source_id: str | None = None,
        elements: tuple[str, ...] | None = None,
        conversation: str | None = None,
    ) -> Result:
        """The service's decision on one call, or a denial. Never raises for what service, network or call do.

        `policy_path` names a capability policy of the workspace for this call, instead of the workspace's choice.
        """
        call = Call(
            agent_id, capability, payload, policy_context, task_context, risk_category, identity, purpose_id,
            data_source_id, elements, conversation,
        )  # fmt: skip
        return ask(self, call, policy_path)

    def resume(self, approval_id: str, call: Call, *, policy_path: object = None) -> Result:
        """As `Gate.resume`: the service judges the call again, and uses what people granted."""
        return resume(self, approval_id, call, policy_path)

    async def resume_async(self, approval_id: str, call: Call, *, policy_path: object = None) -> Result:
        """`resume` for a coroutine."""
        return await resume_async(self, approval_id, call, policy_path)

    async def evaluate_async(self, agent_id: str, capability: str, payload: object = None, **fields: Any) -> Result:
        """`evaluate` for a coroutine: the event loop runs on meanwhile."""
        policy_path = fields.pop("policy_path", None)
        return await ask_async(self, Call(agent_id, capability, payload, **fields), policy_path)

    def close(self) -> None:
        """Hang up. Calls are denied from now on; one that waits for its answer ends in its time."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._line.close()

    def _send(self, body: bytes, key: str | None) -> Future[Any]:
        return self._threads.submit(self._line.post, body, key)


class AsyncClient(_Surface):
    """Asks a service from coroutines. For one event loop at a time."""

    def __init__(self, line: AsyncLine, *, patience: float, retry: bool = True) -> None:
        super().__init__(patience, AsyncWaiting(line), retry=retry)
        self._line = line
        self._tasks: set[asyncio.Future[Reply]] = set()
        self._closed = False

    async def evaluate(self, agent_id: str, capability: str, payload: object = None, **fields: Any) -> Result:
        """The service's decision on one call, or a denial: `Client.evaluate` for a coroutine, with its fields."""
        policy_path = fields.pop("policy_path", None)
        return await ask_async(self, Call(agent_id, capability, payload, **fields), policy_path)

    async def resume(self, approval_id: str, call: Call, *, policy_path: object = None) -> Result:
        """As `Gate.resume`, for a coroutine."""
        return await resume_async(self, approval_id, call, policy_path)

    def guard(
        self, capability: str, *, agent_id: Any = DEFAULT_AGENT, policy_path: object = None, **fields: Any
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator for an async function, as `Gate.guard`. `TypeError` for a plain one: use `Client` there."""
        decorate = super().guard(capability, agent_id=agent_id, policy_path=policy_path, **fields)

        def checked(function: Callable[P, R]) -> Callable[P, R]:
            plain: object = function
            if not inspect.iscoroutinefunction(plain):
                raise TypeError("an AsyncClient guards async functions alone: use Client for a plain one")
            return decorate(function)

        return checked

    async def close(self) -> None:
        """Hang up. Calls are denied from now on, those still waiting too."""
        self._closed = True
        for task in list(self._tasks):
            task.cancel()
        await self._line.close()

    def _send(self, body: bytes, key: str | None) -> Future[Any]:
        import asyncio  # noqa: PLC0415  takes 25 ms to import

        if self._closed:
            raise RuntimeError("the client is closed")
        asyncio.get_running_loop()  # before there is a coroutine that nobody would run
        task = asyncio.ensure_future(self._line.post(body, key))
        receipt = _Receipt(task)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return receipt


class _Receipt(Future[Any]):
    """The future of a coroutine's answer, on one event loop. Who cancels it ends the asking."""

    def __init__(self, task: asyncio.Future[Reply]) -> None:
        super().__init__()
        self._task = task
        task.add_done_callback(self._settle)

    def result(self, timeout: float | None = None) -> Any:
        """As any future's, but the loop's own thread cannot wait: it would wait for itself."""
        if timeout != 0 and not self.done():
            raise ConnectionError("an AsyncClient answers coroutines alone: await `run_async`, or use Client")
        return super().result(timeout)

    def cancel(self) -> bool:
        """End the asking, where it has not ended."""
        self._task.cancel()
        return super().cancel()

    def _settle(self, task: asyncio.Future[Reply]) -> None:
        error = CancelledError("it was given up") if task.cancelled() else task.exception()
        if self.cancelled():
            return
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(task.result())
