"""Idempotency keys: the first request with one is answered, and each further one gets that answer."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from functools import partial
from typing import ParamSpec, TypeAlias, TypeVar

from onpurpose.core.access import ApiKey
from onpurpose.core.claim import Claim, ClaimState
from onpurpose.core.revision import StoreError
from onpurpose.ports import Clock
from onpurpose.server.problems import Fault, ProblemError, conflict, invalid, unavailable
from onpurpose.server.services import Idempotency

log = logging.getLogger("onpurpose")

P = ParamSpec("P")
R = TypeVar("R")

MAX_IDEMPOTENCY_KEY = 255

Work: TypeAlias = Callable[[ApiKey, bytes], Awaitable[bytes]]


class Once:
    """Answers a request with an idempotency key, once. The store is asked in threads of `workers`."""

    def __init__(self, kept: Idempotency | None, clock: Clock, workers: Executor) -> None:
        self._kept = kept
        self._clock = clock
        self._workers = workers

    async def answer(self, key: ApiKey, name: bytes, path: str, body: bytes, work: Work) -> tuple[bytes, bool]:
        """The answer to the first request with this idempotency key, and whether it is a repeated one."""
        kept = self._kept
        if kept is None:
            raise ProblemError(501, "not_kept", "this service remembers no idempotency keys: leave the header out")
        if not 1 <= len(name) <= MAX_IDEMPOTENCY_KEY or not name.isascii():
            raise invalid([Fault("Idempotency-Key", f"must be 1 to {MAX_IDEMPOTENCY_KEY} ASCII characters")])
        mine = hashlib.sha256(key.id.encode() + b"\0" + name).digest()
        asked = hashlib.sha256(path.encode() + b"\0" + body).digest()
        claim = await self._store(kept.claim, key.workspace, mine, asked, self._clock.now())
        if claim.state is not ClaimState.NEW:
            return _first_answer(claim), True
        try:
            answer = await work(key, body)
        except BaseException:  # nothing was answered, so nothing is remembered
            await asyncio.shield(self._release(kept, key.workspace, mine))
            raise
        await self._store(kept.settle, key.workspace, mine, answer, self._clock.now())
        return answer, False

    async def _release(self, kept: Idempotency, workspace: str, mine: bytes) -> None:
        try:
            await self._in_thread(kept.release, workspace, mine)
        except Exception:
            log.exception("an idempotency key could not be released; it is void in a minute")

    async def _store(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await self._in_thread(function, *args, **kwargs)
        except StoreError:
            log.exception("an idempotency key could not be kept; its call is not answered")
            raise unavailable("the store cannot be reached now, so that no idempotency key can be kept") from None

    async def _in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._workers, partial(function, *args, **kwargs))


def _first_answer(claim: Claim) -> bytes:
    if claim.state is ClaimState.BUSY:
        raise conflict("a request with this idempotency key is being answered; ask again in a second")
    if claim.state is ClaimState.OTHER or claim.body is None:
        raise ProblemError(422, "idempotency_key_reused", "this idempotency key was used for another request")
    return claim.body
