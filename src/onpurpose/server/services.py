"""What the service is made of: the parts that `build` puts together, and what it needs of each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from onpurpose.core.access import ApiKey
from onpurpose.core.call import Call
from onpurpose.core.claim import Claim
from onpurpose.core.record import Receipt
from onpurpose.core.result import Result
from onpurpose.ports import Clock, Promised
from onpurpose.server.api.table import TABLE, Operation
from onpurpose.server.identity import Authority
from onpurpose.server.limits import PER_MINUTE
from onpurpose.server.metrics import Metrics
from onpurpose.server.problems import ANSWERS


class Pending(Protocol):
    """A judged call whose record is on its way."""

    @property
    def receipt(self) -> Promised[Receipt] | None:
        """Done once the record is durable; `None` where nothing is recorded."""
        ...

    def finish(self, patience: float | None = 0) -> Result:
        """The answer; a denial where the record is not durable by then."""
        ...


class Evaluator(Protocol):
    """Judges calls by what is in force in a workspace. Thread-safe; never raises for what a call contains."""

    def begin(
        self, call: Call, policy: str | None, *, workspace: str, key: str, approval_id: str | None = None
    ) -> Pending:
        """Judge the call and hand its record to the log, without waiting. `policy` names one for this call alone.

        With `approval_id` the grant of that approval is used, which waits for the store.
        """
        ...


class Follow(Protocol):
    """What follows a decision once its record is durable. Run in worker threads before the answer; never raises."""

    def __call__(self, result: Result, key: ApiKey) -> Result:
        """The result, with the approval that people are asked for where it needs one."""
        ...


class Minter(Protocol):
    """Makes intent tokens."""

    def mint(self, result: Result, workspace: str) -> tuple[str, int] | None:
        """The token of an allowed call under a purpose and when it expires, in microseconds UTC; `None` without one.

        May raise: the call is then answered with a problem, and no tool runs.
        """
        ...


class Idempotency(Protocol):
    """Remembers first answers. Run in worker threads; raises `StoreError` where the store cannot be reached.

    `key_hash` and `call_digest` are 32 bytes each. A claim that is neither settled nor released within a minute
    is void (its process has died); answers are kept a day. They may hold tokens: treat them as secrets.
    """

    def claim(self, workspace: str, key_hash: bytes, call_digest: bytes, at: int) -> Claim:
        """Claim the key for this request, in one transaction."""
        ...

    def settle(self, workspace: str, key_hash: bytes, body: bytes, at: int) -> None:
        """Keep the answer of a claim."""
        ...

    def release(self, workspace: str, key_hash: bytes) -> None:
        """Give up a claim without an answer."""
        ...


class Feed(Protocol):
    """Decisions in the order of their running numbers. Run in worker threads; raises `StoreError`."""

    def newest(self) -> tuple[str, int]:
        """The feed's epoch (it differs once numbers were given anew) and the newest number, over all workspaces."""
        ...

    def after(self, workspace: str, number: int, limit: int) -> Sequence[tuple[int, bytes]]:
        """The workspace's next decisions behind a number, oldest first: numbers and JSON objects."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the service behaves. Sizes in bytes, times in seconds.

    `cors_origins` are the origins whose pages may ask (none); `trusted_proxies` the addresses and networks of
    proxies that are believed whom they speak for; `max_body` of an evaluate; `patience` is how
    long a record may take before its call is denied, `body_seconds` how long a body may take to arrive.
    `per_minute` is the limit of keys without one of their own.
    """

    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    max_body: int = 1 << 20
    patience: float = 10.0
    body_seconds: float = 10.0
    per_minute: int = PER_MINUTE
    heartbeat_seconds: float = 15.0
    poll_seconds: float = 0.2
    max_streams: int = 2000
    classifier: str = "none"


Answers = Mapping[Any, Callable[[Request, Exception], Awaitable[Response]]]
"""What answers an error that a route raises, by its kind, as Starlette's `exception_handlers`."""


def _nothing_wrong() -> list[str]:
    return []


def _nothing() -> None:
    """Nothing to close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts of the service. `build` closes them with `close`, after the last answer.

    `stop` is called when the service begins to stop: whoever waits for people is answered at once.

    `ready` tells what is not ready, one line each and fit for anybody's eyes; it is run in a worker thread.
    `gathering` begins and ends a row of calls that are judged one after another: their records may be written together.
    `routes` are pages and the JSON resources, which `operations` describe; `answers` what errors of theirs become.
    """

    evaluator: Evaluator
    authority: Authority
    clock: Clock
    metrics: Metrics
    routes: Sequence[BaseRoute] = ()
    answers: Answers = field(default_factory=lambda: ANSWERS)
    operations: Sequence[Operation] = TABLE
    ready: Callable[[], list[str]] = _nothing_wrong
    gathering: Callable[[], AbstractContextManager[None]] = nullcontext
    feed: Feed | None = None
    minter: Minter | None = None
    follow: Follow | None = None
    idempotency: Idempotency | None = None
    stop: Callable[[], None] = _nothing
    close: Callable[[], None] = _nothing
    settings: Settings = Settings()
