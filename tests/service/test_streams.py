"""A thousand readers of the stream of decisions: each is told each one, in order, and evaluate answers meanwhile."""

from __future__ import annotations

import asyncio
import re
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import orjson
import pytest

from tests.service.process import CALL, Process, put_in_force, running

READERS = 1000
DECISIONS = 30
SECONDS = 60
_FILES = READERS + 200
_EVENT = re.compile(rb"id: (\S+)\nevent: decision\ndata: (.*)\n")


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Process]:
    with many_files(), running(str(tmp_path / "t.db"), tmp_path) as process:
        with process.client() as client:
            put_in_force(client)
        yield process


@contextmanager
def many_files() -> Iterator[None]:
    """As many open files as the readers need, for this process and those that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _FILES:
        if hard < _FILES:
            pytest.skip(f"a thousand readers need {_FILES} open files, and {hard} are the most here")
        resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@asynccontextmanager
async def connected(service: Process) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


def head(service: Process, start: str, more: str = "") -> bytes:
    return f"{start} HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer {service.key}\r\n{more}\r\n".encode()


class Follower:
    """One reader of the stream: the ids of its events, and the decisions that they tell of."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._text = b""
        self.ids: list[str] = []
        self.decisions: list[str] = []

    async def begin(self, service: Process, after: str = "") -> None:
        """Ask for the stream; returns once it has begun."""
        more = f"Last-Event-ID: {after}\r\n" if after else ""
        self._writer.write(head(service, "GET /v1/decisions/stream", more))
        await self._writer.drain()
        answer = await self._reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        await self._reader.readuntil(b"retry: 1000\n\n")

    async def read(self, count: int) -> None:
        """Return once so many events have come in all."""
        while len(self.ids) < count:
            chunk = await self._reader.read(1 << 16)
            assert chunk, "the stream ended"
            self._text += chunk
            complete, mark, rest = self._text.rpartition(b"\n\n")
            if mark:
                self._text = rest
                for match in _EVENT.finditer(complete + mark):
                    self.ids.append(match[1].decode())
                    self.decisions.append(orjson.loads(match[2])["id"])


async def decide(service: Process, count: int) -> list[str]:
    """The ids of so many decisions, asked for one after another."""
    body = orjson.dumps(CALL)
    made = []
    async with connected(service) as (reader, writer):
        for _ in range(count):
            writer.write(head(service, "POST /v1/evaluate", f"Content-Length: {len(body)}\r\n") + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200 "), answer
            length = re.search(rb"(?i)content-length: (\d+)", answer)
            assert length
            told = orjson.loads(await reader.readexactly(int(length[1])))
            assert told["outcome"] == "allow"
            made.append(told["decision_id"])
    return made


async def gathered(service: Process, stack: AsyncExitStack, count: int, after: str = "") -> list[Follower]:
    """So many readers whose streams have begun, connected a few at a time."""
    turns = asyncio.Semaphore(50)

    async def one() -> Follower:
        async with turns:
            follower = Follower(*await stack.enter_async_context(connected(service)))
            await follower.begin(service, after)
            return follower

    return list(await asyncio.gather(*(one() for _ in range(count))))


def test_a_thousand_readers_are_told_every_decision_in_order_while_more_are_made(service: Process) -> None:
    async def follow() -> None:
        async with asyncio.timeout(SECONDS), AsyncExitStack() as stack:
            followers = await gathered(service, stack, READERS)
            reading = asyncio.gather(*(follower.read(DECISIONS) for follower in followers))
            made = await decide(service, DECISIONS)
            await reading
            assert {tuple(follower.decisions) for follower in followers} == {tuple(made)}
            assert len({tuple(follower.ids) for follower in followers}) == 1

    asyncio.run(follow())


def test_readers_that_come_back_with_the_last_id_miss_nothing_and_are_told_nothing_twice(service: Process) -> None:
    async def follow() -> None:
        async with asyncio.timeout(SECONDS):
            async with AsyncExitStack() as stack:
                [first] = await gathered(service, stack, 1)
                made = await decide(service, DECISIONS)
                await first.read(DECISIONS)
            made += await decide(service, DECISIONS)  # nobody reads
            async with AsyncExitStack() as stack:
                back = await gathered(service, stack, 100, after=first.ids[4])
                reading = asyncio.gather(*(follower.read(2 * DECISIONS + 5) for follower in back))
                made += await decide(service, 10)
                await reading
                for follower in back:
                    assert follower.decisions == made[5:]

    asyncio.run(follow())
