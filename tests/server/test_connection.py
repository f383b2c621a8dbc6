"""The short road of an evaluate: the same answers as on the long one, in order, and nothing is lost on it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from onpurpose.core.access import ApiKey
from onpurpose.core.record import Receipt, Record
from onpurpose.core.result import Result
from onpurpose.server.build import App, Services, Settings, make_server
from onpurpose.server.listening import bind
from tests.app.logs import RECEIPT, Scripted, never, stuck
from tests.server.serving import Gates, gate, secret_of, services

CALL = b'{"agent_id":"a","capability":"open","payload":{"n":%d}}'
OPEN = CALL % 1


class Counted(App):
    """Counts what takes the long road."""

    long = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.long += scope["type"] == "http"
        await super().__call__(scope, receive, send)


@contextmanager
def serving(parts: Services | None = None, keep_alive: int = 75) -> Iterator[tuple[Counted, int]]:
    app = Counted(parts or services())
    server = make_server(app, grace_seconds=5)
    server.config.timeout_keep_alive = keep_alive
    sockets = bind("127.0.0.1", 0)
    for one in sockets:
        one.listen()
    port = sockets[0].getsockname()[1]
    thread = threading.Thread(target=server.run, kwargs={"sockets": sockets})
    thread.start()
    try:
        yield app, port
    finally:
        server.should_exit = True
        thread.join(30)


def request(body: bytes = OPEN, *lines: str, key: str = "asker", path: str = "/v1/evaluate") -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: test", f"Authorization: Bearer {secret_of(key)}", *lines]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Talk:
    """One connection, of which answers are read one by one."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._read = self.socket.makefile("rb")

    def close(self) -> None:
        self._read.close()
        self.socket.close()

    def answer(self) -> tuple[int, dict[str, str], Any]:
        status = int(self._read.readline().split()[1])
        if status == 100:
            self._read.readline()
            status = int(self._read.readline().split()[1])
        headers = {}
        while (line := self._read.readline().strip()) != b"":
            name, _, value = line.decode().partition(": ")
            headers[name] = value
        return status, headers, json.loads(self._read.read(int(headers["content-length"])))

    def ask(self, *sent: bytes) -> tuple[int, dict[str, str], Any]:
        for part in sent:
            self.socket.sendall(part)
        return self.answer()

    def at_end(self) -> bool:
        return self._read.read(1) == b""


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (request(), 200),
        (request(CALL % 10**9), 200),
        (request(b"nope"), 400),
        (request(key="nobody"), 401),
        (request(key="expired"), 401),
        (request(key="revoked"), 401),
        (request(key="reader"), 403),
        (request(b'{"agent_id":"a"}'), 422),
    ],
)
def test_an_answer_is_the_same_on_both_roads(sent: bytes, status: int) -> None:
    with serving() as (app, port), closing(Talk(port)) as talk:
        short = talk.ask(sent)
        assert app.long == 0
        long = talk.ask(sent.replace(b"Host: test\r\n", b"Host: test\r\nOrigin: https://a.example\r\n"))
        assert app.long == 1
    assert short[0] == long[0] == status
    for one in (short, long):
        for name in ("date", "content-length"):
            one[1].pop(name)
        one[2].pop("decision_id", None)
    assert short[1:] == long[1:]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("Connection: close", "/v1/evaluate"),
        ("Expect: 100-continue", "/v1/evaluate"),
        ("Idempotency-Key: one", "/v1/evaluate"),
        ("X: y", "/v1/evaluate?"),
        ("X: y", "/v1/evaluate/batch"),
    ],
)
def test_what_asks_for_more_than_an_answer_takes_the_long_road(line: str, path: str) -> None:
    with serving() as (app, port), closing(Talk(port)) as talk:
        talk.ask(request(OPEN, line, path=path))
        assert app.long == 1


def test_a_body_that_comes_late_or_in_parts_is_answered_all_the_same() -> None:
    head, body = request().split(b"\r\n\r\n")
    with serving() as (app, port), closing(Talk(port)) as talk:
        for parts in ([head + b"\r\n\r\n", body], [head + b"\r\n\r\n" + body[:9], body[9:]], [head[:20], head[20:]]):
            if parts[-1] == head[20:]:
                parts[-1] += b"\r\n\r\n" + body
            talk.socket.sendall(parts[0])
            while app.long == 0 and parts[0] != head[:20]:
                time.sleep(0)
            assert talk.ask(*parts[1:])[0] == 200
        assert app.long == 2


def test_requests_sent_at_once_are_answered_in_their_order() -> None:
    calls = [b'{"agent_id":"a","capability":"%s"}' % name for name in (b"open", b"shut", b"open", b"mail.send") * 4]
    with serving() as (_, port), closing(Talk(port)) as talk:
        talk.socket.sendall(b"".join(map(request, calls)))
        outcomes = [talk.answer()[2]["outcome"] for _ in calls]
    assert outcomes == ["allow", "deny", "allow", "warn"] * 4


def test_requests_sent_before_a_record_is_durable_are_answered_in_their_order() -> None:
    held: list[Future[Receipt]] = []
    arrived = threading.Event()

    def answer(record: Record) -> Future[Receipt]:
        held.append(Future())
        arrived.set()
        return held[-1]

    log = Scripted(answer)
    with serving(services(Gates({"acme": gate(log)}))) as (_, port), closing(Talk(port)) as talk:
        talk.socket.sendall(request(b'{"agent_id":"a","capability":"mail.send"}') + request())
        assert arrived.wait(10)
        assert len(held) == 1
        arrived.clear()
        held[0].set_result(RECEIPT)
        assert talk.answer()[2]["outcome"] == "warn"
        assert arrived.wait(10)
        held[1].set_result(RECEIPT)
        assert talk.answer()[2]["outcome"] == "allow"


@pytest.mark.parametrize("taken", [False, True])
def test_a_record_that_is_late_denies_and_is_taken_back(taken: bool) -> None:
    log = Scripted(stuck if taken else never)
    parts = services(Gates({"acme": gate(log)}), settings=Settings(patience=0.05))
    with serving(parts) as (app, port), closing(Talk(port)) as talk:
        status, _, answer = talk.ask(request())
    assert (status, answer["outcome"], answer["reasons"][0]["code"], app.long) == (200, "deny", "audit_unavailable", 0)
    assert log.kinds() == ["decision", *["decision.withdrawn"] * taken]


def test_a_record_that_fails_denies() -> None:
    def answer(record: Record) -> Future[Receipt]:
        future: Future[Receipt] = Future()
        threading.Thread(target=future.set_exception, args=[OSError("no room")]).start()
        return future

    with serving(services(Gates({"acme": gate(Scripted(answer))}))) as (_, port), closing(Talk(port)) as talk:
        answered = talk.ask(request())[2]
    assert (answered["allowed"], answered["reasons"][0]["code"]) == (False, "audit_unavailable")


class Broken:
    """An evaluator with an error of its own."""

    def begin(self, *_: object, **__: object) -> Any:
        raise RuntimeError("broken")


def test_an_error_of_ours_is_a_problem_that_tells_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    with serving(services(Broken())) as (app, port), closing(Talk(port)) as talk:
        first, second = talk.ask(request()), talk.ask(request())
    assert (first[0], second[0], app.long) == (500, 500, 0)
    assert "broken" not in str(first)
    assert "broken" in caplog.text


def test_an_error_while_people_are_asked_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    def follow(result: Result, key: ApiKey) -> Result:
        raise RuntimeError("broken")

    asked = request(b'{"agent_id":"a","capability":"payments.transfer","payload":{"amount":5000}}')
    with serving(services(follow=follow)) as (app, port), closing(Talk(port)) as talk:
        assert [talk.ask(sent)[0] for sent in (asked, request())] == [500, 200]
        assert app.long == 0
    assert "broken" in caplog.text


def test_a_client_that_hangs_up_leaves_its_record_and_a_service_that_goes_on() -> None:
    held: Future[Receipt] = Future()
    arrived = threading.Event()

    def answer(record: Record) -> Future[Receipt]:
        if arrived.is_set():
            later: Future[Receipt] = Future()
            later.set_result(RECEIPT)
            return later
        arrived.set()
        return held

    with serving(services(Gates({"acme": gate(Scripted(answer))}))) as (_, port):
        with closing(Talk(port)) as gone:
            gone.socket.sendall(request())
            assert arrived.wait(10)
        with closing(Talk(port)) as talk:
            assert talk.ask(request())[0] == 200
            held.set_result(RECEIPT)
            assert talk.ask(request())[0] == 200


def test_what_is_begun_is_answered_before_the_service_stops() -> None:
    held: Future[Receipt] = Future()
    arrived = threading.Event()

    def answer(record: Record) -> Future[Receipt]:
        arrived.set()
        return held

    log = Scripted(answer)
    with closing(gate(log)) as one:
        with serving(services(Gates({"acme": one}), close=lambda: None)) as (_, port):
            talk = Talk(port)
            talk.socket.sendall(request())
            assert arrived.wait(10)
            threading.Timer(0.15, held.set_result, [RECEIPT]).start()
        with closing(talk):
            status, headers, answered = talk.answer()
            assert talk.at_end()
    assert (status, headers["connection"], answered["outcome"]) == (200, "close", "allow")


def test_an_idle_connection_is_closed_so_long_after_its_last_answer() -> None:
    with serving(keep_alive=1) as (_, port), closing(Talk(port)) as talk:
        for _ in range(3):
            talk.ask(request())
        answered = time.monotonic()
        assert talk.at_end()
    assert 0.9 < time.monotonic() - answered < 10


def test_who_asks_before_it_is_idle_for_so_long_is_not_closed() -> None:
    unlimited = services(settings=Settings(per_minute=10**9))
    with serving(unlimited, keep_alive=1) as (_, port), closing(Talk(port)) as talk:
        end = time.monotonic() + 1.3
        while time.monotonic() < end:
            assert talk.ask(request())[0] == 200
