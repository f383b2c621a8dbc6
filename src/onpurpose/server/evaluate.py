"""The hot path: `POST /v1/evaluate` and its batch, plain ASGI, and below it a shorter road for most calls.

One order for all: who asks, how often, what; judge; wait until the record is durable; answer. What goes
wrong on it is a problem document or a denial, and never a pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any, ParamSpec, TypeAlias, TypeVar

from starlette.types import Receive, Scope, Send

from onpurpose.core.access import ApiKey
from onpurpose.core.access import Scope as Right
from onpurpose.core.call import Call
from onpurpose.core.outcome import Outcome
from onpurpose.core.record import Receipt
from onpurpose.core.result import Result
from onpurpose.ports import Promised
from onpurpose.server.answer import write_answer, write_batch
from onpurpose.server.body import Gone, read_body
from onpurpose.server.connection import Reply
from onpurpose.server.headers import BARE, Headers, secure
from onpurpose.server.identity import authenticate, permit
from onpurpose.server.limits import Limits
from onpurpose.server.once import Once
from onpurpose.server.problems import (
    MEDIA_TYPE,
    ProblemError,
    internal,
    method_not_allowed,
    rate_limited,
    unavailable,
)
from onpurpose.server.question import read_batch, read_call, read_json
from onpurpose.server.services import Pending, Services
from onpurpose.waiting import bell_of, done

log = logging.getLogger("onpurpose")

P = ParamSpec("P")
R = TypeVar("R")

PATH = "/v1/evaluate"
BATCH_PATH = "/v1/evaluate/batch"

LARGE = 1 << 16
"""A body above so many bytes is read and judged in a worker thread: the others do not wait for it."""

STRIDE = 16
"""How many calls of a batch are judged before others get their turn."""

ROW = 64
"""How many calls that came at once are judged in a row at most."""

ROW_SECONDS = 0.02
"""After how long a row ends: large calls must not hold up others, nor the records of those before them."""

_WORKERS = 8

_Asked: TypeAlias = tuple[Call, str | None, str | None]
_Begun: TypeAlias = tuple[bytes | None, bytes, Reply, float]
_Judged: TypeAlias = tuple[Pending, ApiKey, Reply, float]
_Keys: TypeAlias = dict[bytes | None, ApiKey]


class Evaluate:
    """The ASGI application of both paths. One event loop; the evaluator is asked from it and from worker threads.

    `begin` answers what needs no task of its own: the connection says which that is. What was read at one
    turn of the loop is judged in a row at the next: in between, the loop gives the interpreter away for each
    connection that it reads, and while the writer of the log waits for it, wakes that in vain each time.
    """

    def __init__(self, services: Services, limits: Limits) -> None:
        self._services = services
        self._limits = limits
        self._settings = services.settings
        self._begin = services.evaluator.begin
        self._metrics = services.metrics
        self._workers = ThreadPoolExecutor(_WORKERS, "onpurpose-evaluate")
        self._once = Once(services.idempotency, services.clock, self._workers)
        self._tasks: set[asyncio.Task[None]] = set()
        self._row: deque[_Begun] = deque()
        self.path = PATH.encode()
        self.most = min(LARGE, self._settings.max_body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever it is."""
        try:
            body, replayed = await self._answer(scope, receive)
        except Gone:
            return
        except ProblemError as problem:
            await self._refuse(send, problem)
            return
        except Exception:
            log.exception(_UNANSWERED)
            await self._refuse(send, internal())
            return
        self._metrics.responded(200)
        headers = [*_HEADERS, (b"content-length", b"%d" % len(body))]
        if replayed:
            headers.append((b"idempotency-replayed", b"true"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def begin(self, authorization: bytes | None, body: bytes, reply: Reply) -> None:
        """Have one call judged soon, and answered once its record is durable. On the event loop; never raises."""
        if not self._row:
            asyncio.get_running_loop().call_soon(self._judge_row)
        self._row.append((authorization, body, reply, perf_counter()))

    def _judge_row(self) -> None:
        row, loop, until = self._row, asyncio.get_running_loop(), perf_counter() + ROW_SECONDS
        keys: _Keys = {}
        judged: list[_Judged] = []
        with self._services.gathering():
            for _ in range(min(len(row), ROW)):
                one = self._judge_now(keys, *row.popleft())
                if one is not None:
                    judged.append(one)
                if perf_counter() > until:
                    break
        self._end_row(judged, perf_counter() + self._settings.patience)
        if row:
            loop.call_soon(self._judge_row)

    def _judge_now(
        self, keys: _Keys, authorization: bytes | None, body: bytes, reply: Reply, began: float
    ) -> _Judged | None:
        try:
            # One that came with the same header, at this very turn, was looked up already.
            key = keys.get(authorization) or keys.setdefault(authorization, self._authenticate(authorization))
            self._charge(key)
            call, policy, approval_id = read_call(read_json(body))
            if approval_id is not None:
                self._later(self._resume(key, body, reply))
                return None
            return self._begin(call, policy, workspace=key.workspace, key=key.id), key, reply, began
        except ProblemError as problem:
            self._refuse_on(reply, problem)
        except Exception:
            log.exception(_UNANSWERED)
            self._refuse_on(reply, internal())
        return None

    def _end_row(self, row: list[_Judged], until: float) -> None:
        """Answer those whose records are durable, or that waited for long enough; the others once the last of them is.

        Records that a thread appends become durable in their order: one promise is watched for a row of them.
        """
        late = perf_counter() >= until
        left: list[_Judged] = []
        last: Promised[Receipt] | None = None
        for one in row:
            receipt = one[0].receipt
            if receipt is None or late or receipt.done():
                self._end(*one)
            else:
                left.append(one)
                last = receipt
        if last is not None:
            bell = bell_of(asyncio.get_running_loop())
            bell.watch(last, max(until - perf_counter(), 0.0), partial(self._end_row, left, until))

    def _end(self, pending: Pending, key: ApiKey, reply: Reply, began: float) -> None:
        try:
            result = pending.finish(0)
            if result.outcome is Outcome.REQUIRE_APPROVAL and self._services.follow is not None:
                self._later(self._ask(result, key, reply, began))
                return
        except Exception:
            log.exception(_UNANSWERED)
            self._refuse_on(reply, internal())
        else:
            self._answer_on(reply, result, key, began)

    async def _ask(self, result: Result, key: ApiKey, reply: Reply, began: float) -> None:
        try:
            result = await self._followed(result, key)
        except Exception:  # it promises not to raise; without this nobody would be answered
            log.exception(_UNANSWERED)
            self._refuse_on(reply, internal())
        else:
            self._answer_on(reply, result, key, began)

    async def _resume(self, key: ApiKey, body: bytes, reply: Reply) -> None:
        try:
            answer = await self._one(key, body)
        except ProblemError as problem:
            self._refuse_on(reply, problem)
        except Exception:
            log.exception(_UNANSWERED)
            self._refuse_on(reply, internal())
        else:
            self._metrics.responded(200)
            reply.send(200, _LINES, answer)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        """Go on with it in a task of its own, which is held until it ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _followed(self, result: Result, key: ApiKey) -> Result:
        """The result with what follows it: where people are to be asked, they are."""
        follow = self._services.follow
        if follow is None or result.outcome is not Outcome.REQUIRE_APPROVAL:
            return result
        return await self._in_thread(follow, result, key)

    def _answer_on(self, reply: Reply, result: Result, key: ApiKey, began: float) -> None:
        try:
            answer = self._write(result, key.workspace)
        except ProblemError as problem:
            self._refuse_on(reply, problem)
        except Exception:
            log.exception(_UNANSWERED)
            self._refuse_on(reply, internal())
        else:
            self._metrics.decided(result.outcome, perf_counter() - began)
            self._metrics.responded(200)
            reply.send(200, _LINES, answer)

    def _refuse_on(self, reply: Reply, problem: ProblemError) -> None:
        self._metrics.responded(problem.status)
        lines = secure(_problem_headers(problem))
        reply.send(problem.status, b"".join([b"%b: %b\r\n" % line for line in lines]), problem.body())

    def close(self) -> None:
        """Let the worker threads end."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[bytes, bool]:
        if scope["method"] != "POST":
            raise method_not_allowed("POST")
        headers: dict[bytes, bytes] = dict(scope["headers"])
        key = self._admit(headers.get(b"authorization"))
        body = await read_body(receive, headers, self._settings.max_body, self._settings.body_seconds)
        path: str = scope["path"]
        work = self._one if path == PATH else self._batch
        name = headers.get(b"idempotency-key")
        if name is not None:
            return await self._once.answer(key, name, path, body, work)
        answer = await work(key, body)
        return answer, False

    def _admit(self, authorization: bytes | None) -> ApiKey:
        key = self._authenticate(authorization)
        self._charge(key)
        return key

    def _authenticate(self, authorization: bytes | None) -> ApiKey:
        key = authenticate(self._services.authority, authorization, self._services.clock.now())
        permit(key, Right.EVALUATE)
        return key

    def _charge(self, key: ApiKey) -> None:
        wait = self._limits.take(key.id, key.per_minute)
        if wait:
            raise rate_limited(wait)

    # -- one call, and many

    async def _one(self, key: ApiKey, body: bytes) -> bytes:
        began = perf_counter()
        if len(body) > LARGE:
            pending = await self._in_thread(self._read_and_judge, key, body)
        elif (asked := read_call(read_json(body)))[2] is None:
            pending = self._judge(key, asked)
        else:  # the store is asked for the approval
            pending = await self._in_thread(self._judge, key, asked)
        try:
            await self._wait(pending, self._settings.patience)
        finally:  # also for a task that is cancelled: what nobody waits for is taken back
            result = pending.finish(0)
        result = await self._followed(result, key)
        answer = self._write(result, key.workspace)
        self._metrics.decided(result.outcome, perf_counter() - began)
        return answer

    def _read_and_judge(self, key: ApiKey, body: bytes) -> Pending:
        return self._judge(key, read_call(read_json(body)))

    def _judge(self, key: ApiKey, asked: _Asked) -> Pending:
        call, policy, approval_id = asked
        if approval_id is None:
            return self._begin(call, policy, workspace=key.workspace, key=key.id)
        return self._begin(call, policy, workspace=key.workspace, key=key.id, approval_id=approval_id)

    async def _batch(self, key: ApiKey, body: bytes) -> bytes:
        began = perf_counter()
        calls = await self._in_thread(_read_batch, body) if len(body) > LARGE else _read_batch(body)
        self._limits.charge(key.id, key.per_minute, len(calls) - 1)
        pending: list[Pending] = []
        results: list[Result] = []
        try:
            for start in range(0, len(calls), STRIDE):
                if start:
                    await asyncio.sleep(0)
                with self._services.gathering():
                    for call, policy in calls[start : start + STRIDE]:
                        pending.append(self._begin(call, policy, workspace=key.workspace, key=key.id))
            patience = self._settings.patience + perf_counter()
            for one in pending:
                await self._wait(one, patience - perf_counter())
        finally:
            results.extend(one.finish(0) for one in pending)
        results = [await self._followed(result, key) for result in results]
        answers = [self._write(result, key.workspace) for result in results]
        took = perf_counter() - began
        for result in results:
            self._metrics.decided(result.outcome, took)
        return write_batch(answers)

    async def _wait(self, pending: Pending, patience: float) -> None:
        receipt = pending.receipt
        if receipt is not None and not receipt.done():
            await done(receipt, max(patience, 0.0))

    def _write(self, result: Result, workspace: str) -> bytes:
        token = None
        if result.ttl_seconds and result.allowed and self._services.minter is not None:
            try:
                token = self._services.minter.mint(result, workspace)
            except Exception:
                log.exception("no token could be made for decision %s", result.decision_id)
                raise unavailable("the call is allowed, but no token can be made for it now") from None
        return write_answer(result, token, self._settings.classifier)

    async def _in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._workers, partial(function, *args, **kwargs))

    async def _refuse(self, send: Send, problem: ProblemError) -> None:
        self._metrics.responded(problem.status)
        await send_problem(send, problem)


_UNANSWERED = "an evaluate could not be answered; no tool may run"
_HEADERS = [(b"content-type", b"application/json"), *BARE]
_LINES = b"".join([b"%b: %b\r\n" % line for line in _HEADERS])


async def send_problem(send: Send, problem: ProblemError) -> None:
    """Answer with the problem document."""
    body = problem.body()
    headers = [*_problem_headers(problem), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": problem.status, "headers": secure(headers)})
    await send({"type": "http.response.body", "body": body})


def _problem_headers(problem: ProblemError) -> Headers:
    given = [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    return [(b"content-type", MEDIA_TYPE.encode()), *given]


def _read_batch(body: bytes) -> list[tuple[Call, str | None]]:
    return read_batch(read_json(body))
