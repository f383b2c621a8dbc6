"""What is no call: every form of it is refused with its place, and nothing of it is judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.call import Call
from onpurpose.server import connection
from onpurpose.server.problems import MOST_FAULTS, ProblemError
from onpurpose.server.question import MAX_APPROVAL_ID, call_faults, read_call, read_call_by_field, read_json
from onpurpose.server.services import Settings
from tests.server.serving import Served, post, read_all, secret_of, services, serving

GOOD = b'{"agent_id":"a","capability":"open"}'


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def problem_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    found: dict[str, Any] = json.loads(body)
    return found


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"nope", b"\xff\xfe{\x00}\x00", b'{"agent_id":"\xff"}', b"\xef\xbb\xbf" + GOOD,
        b'{"agent_id":"a","capability":"open","payload":{"n":NaN}}', b'{"agent_id":"a",}', GOOD + GOOD,
        b'{"agent_id":"\\ud800","capability":"open"}', b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b'{"agent_id":"a","capability":"open","payload":' + b"[" * 999 + b"]" * 999 + b',"x":1}',
    ],
    ids=range(14),
)  # fmt: skip
def test_what_is_no_json_is_refused(service: Served, body: bytes) -> None:
    problem = problem_of(service.raw(post(body)))
    assert (problem["status"], problem["type"]) == (400, "urn:onpurpose:problem:not_json")


@pytest.mark.parametrize(
    ("value", "pointers"),
    [
        (5, [""]),
        ([], [""]),
        ({}, ["/agent_id", "/capability"]),
        ({"agent_id": "a"}, ["/capability"]),
        ({"agent_id": None, "capability": "b"}, ["/agent_id"]),
        ({"agent_id": 5, "capability": ["b"]}, ["/agent_id", "/capability"]),
        ({"agent_id": "a", "capability": "b", "workspace": "other"}, ["/workspace"]),
        ({"agent_id": "a", "capability": "b", "a/b~c": 1}, ["/a~1b~0c"]),
        ({"agent_id": "a", "capability": "b", "task_context": {}}, ["/task_context"]),
        ({"agent_id": "a", "capability": "b", "policy_context": []}, ["/policy_context"]),
        ({"agent_id": "a", "capability": "b", "policy_context": "x"}, ["/policy_context"]),
        ({"agent_id": "a", "capability": "b", "identity": "ann"}, ["/identity"]),
        ({"agent_id": "a", "capability": "b", "identity": {}}, ["/identity/user_id"]),
        ({"agent_id": "a", "capability": "b", "identity": {"user_id": "u", "role": "x"}}, ["/identity/role"]),
        ({"agent_id": "a", "capability": "b", "identity": {"user_id": "u", "groups": "g"}}, ["/identity/groups"]),
        ({"agent_id": "a", "capability": "b", "identity": {"user_id": "u", "groups": [1]}}, ["/identity/groups/0"]),
        ({"agent_id": "a", "capability": "b", "elements": "t.c"}, ["/elements"]),
        ({"agent_id": "a", "capability": "b", "elements": ["t.c", None]}, ["/elements/1"]),
        ({"agent_id": "a", "capability": "b", "policy": "x", "policy_path": "y"}, ["/policy_path"]),
        ({"agent_id": "a", "capability": "b", "conversation": ["x"]}, ["/conversation"]),
    ],
)
def test_a_wrong_form_is_told_with_its_place(service: Served, value: object, pointers: list[str]) -> None:
    problem = problem_of(service.raw(post(orjson.dumps(value))))
    assert (problem["status"], problem["type"]) == (422, "urn:onpurpose:problem:invalid")
    assert [error["pointer"] for error in problem["errors"]] == pointers


def test_a_name_nearly_right_is_suggested() -> None:
    with pytest.raises(ProblemError) as caught:
        read_call({"agent_id": "a", "capabilty": "b"})
    assert caught.value.errors[0].detail == "is no field of a call; did you mean `capability`?"


@pytest.mark.parametrize(
    "value",
    [
        {f"field{n}": n for n in range(50_000)},
        {"agent_id": "a", "capability": "b", "elements": [None] * 100_000},
        {"agent_id": "a", "capability": "b", "identity": {f"x{n}": n for n in range(50_000)}},
    ],
    ids=["fields", "elements", "identity"],
)
def test_of_many_faults_some_are_told(value: object) -> None:
    with pytest.raises(ProblemError) as caught:
        read_call(value)
    assert len(caught.value.errors) == MOST_FAULTS


# -- a name that stands twice


@pytest.mark.parametrize(
    "body",
    [
        b'{"agent_id":"a","agent_id":"b","capability":"open"}',
        b'{"agent_id":"a","capability":"open","payload":{"amount":1,"amount":99999}}',
        b'{"agent_id":"a","capability":"open","payload":[{"x":{"y":1, "y" : 1}}]}',
        b'{"agent_id":"a","capability":"open","payload":{"a":1,"\\u0061":2,"note":"\\u003a"}}',
        b'{"agent_id":"a","capability":"open","payload":{"a:":1,"a:":2,"note":"x:y"}}',
    ],
)
def test_a_name_that_stands_twice_is_refused(service: Served, body: bytes) -> None:
    problem = problem_of(service.raw(post(body)))
    assert problem["status"] == 400
    assert "stands twice" in problem["detail"]


class Pairs(list[tuple[str, Any]]):
    """An object as it is written, names perhaps twice."""


NAMES = st.text(st.sampled_from('ab:"\\u003é'), max_size=3)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(NAMES, inner), max_size=4).map(Pairs),
    max_leaves=12,
)


def text_of(value: object, ascii_only: bool) -> str:
    if isinstance(value, Pairs):
        inner = (f"{json.dumps(name, ensure_ascii=ascii_only)} : {text_of(one, ascii_only)}" for name, one in value)
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ",".join(text_of(one, ascii_only) for one in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def has_twice(value: object) -> bool:
    if isinstance(value, Pairs):
        return len({name for name, _ in value}) < len(value) or any(has_twice(one) for _, one in value)
    return isinstance(value, list) and any(map(has_twice, value))


@given(VALUES, st.booleans())
def test_a_text_is_read_unless_a_name_stands_twice(value: object, ascii_only: bool) -> None:
    text = text_of(value, ascii_only)
    try:
        read = read_json(text.encode())
    except ProblemError:
        assert has_twice(value)
    else:
        assert not has_twice(value)
        assert read == json.loads(text)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), 1 << 63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
FIELDS = [*Call.__struct_fields__, "policy", "policy_path", "user_id", "approval_id"]


@given(JSON | st.dictionaries(st.sampled_from(FIELDS), JSON | st.text()))
def test_any_json_is_a_call_or_a_problem(value: object) -> None:
    try:
        call, policy, approval_id = read_call(value)
    except ProblemError:
        given = value.get("approval_id") if isinstance(value, dict) else None
        assert call_faults(value) or (isinstance(given, str) and not 1 <= len(given) <= MAX_APPROVAL_ID)
    else:
        assert isinstance(value, dict)
        assert (call.agent_id, call.capability, call.payload) == (
            value["agent_id"], value["capability"], value.get("payload"),
        )  # fmt: skip
        assert policy is None or isinstance(policy, str)
        assert approval_id == value.get("approval_id")


TEXTS = st.text(max_size=8)
GROUPS = st.none() | st.lists(TEXTS | JSON, max_size=3)
PEOPLE = JSON | st.fixed_dictionaries({}, optional={"user_id": TEXTS | JSON, "groups": GROUPS, "role": TEXTS})
ELEMENTS = st.none() | st.lists(TEXTS | JSON, max_size=3)
CALLS = st.fixed_dictionaries(
    {"agent_id": TEXTS, "capability": TEXTS},
    optional={
        **dict.fromkeys(FIELDS[4:6] + FIELDS[7:9], st.none() | TEXTS),
        "payload": JSON,
        "policy_context": st.none() | JSON | st.dictionaries(TEXTS, JSON, max_size=2),
        "identity": PEOPLE,
        "elements": ELEMENTS,
        "conversation": st.none() | TEXTS | JSON,
        "policy": st.none() | TEXTS,
        "policy_path": st.none() | TEXTS,
        "approval_id": st.none() | TEXTS,
    },
)


def read_by(read: Callable[[Any], tuple[Call, str | None, str | None]], value: object) -> object:
    """All that is read of a body, or the problem that is answered."""
    try:
        call, *beside = read(value)
    except ProblemError as problem:
        return problem.body()
    return [getattr(call, name) for name in Call.__struct_fields__], beside


@given(CALLS)
def test_a_call_is_read_the_same_at_once_and_field_by_field(value: dict[str, Any]) -> None:
    assert read_by(read_call, value) == read_by(read_call_by_field, value)


@given(st.fixed_dictionaries({"agent_id": TEXTS, "capability": TEXTS, "payload": JSON}))
def test_a_payload_is_handed_on_as_it_was_read(value: dict[str, Any]) -> None:
    assert read_call(value)[0].payload is value["payload"]


# -- HTTP


def test_a_body_that_is_too_long_is_refused_before_it_is_read(service: Served) -> None:
    sent = post(b"").replace(b"Content-Length: 0", b"Content-Length: 99999999999")
    assert problem_of(service.raw(sent))["status"] == 413


def test_a_body_of_chunks_that_grows_too_long_is_refused(service: Served) -> None:
    head = post(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    assert problem_of(service.raw(head + chunk * 17 + b"0\r\n\r\n"))["status"] == 413


def test_a_body_of_chunks_is_read(service: Served) -> None:
    head = post(b"", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD)
    assert status_of(service.raw(head + chunks + b"0\r\n\r\n")) == 200


def test_a_slow_body_is_not_waited_for() -> None:
    with serving(services(settings=Settings(body_seconds=0.05))) as served, served.connect() as opened:
        opened.sendall(post(GOOD)[:-5])
        problem = problem_of(read_all(opened))
    assert (problem["status"], problem["type"]) == (408, "urn:onpurpose:problem:too_slow")


@pytest.mark.parametrize("begun", [b"", b"POST /v1/eva", b"GET /healthz HTTP/1.1\r\nHost: t\r\n\r\nGET /he"])
def test_slow_headers_are_not_waited_for(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEADER_SECONDS", 0.05)
    with serving(services()) as served, served.connect() as opened:
        opened.sendall(begun)
        answered = read_all(opened)
    assert answered.count(b"HTTP/1.1") == begun.count(b"HTTP/1.1")


def test_headers_without_an_end_are_refused(service: Served) -> None:
    with service.connect() as opened:
        opened.sendall(b"POST /v1/evaluate HTTP/1.1\r\nHost: t\r\n" + b"X-Pad: " + b"x" * 200_000)
        answer = read_all(opened)
    assert answer == b"" or problem_of(answer)["status"] == 431


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n",
        b"POST /v1/evaluate HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /v1/evaluate HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused(service: Served, sent: bytes) -> None:
    assert problem_of(service.raw(sent))["status"] in (400, 401)


def test_a_client_that_hangs_up_midway_hurts_nobody(service: Served) -> None:
    with service.connect() as opened:
        opened.sendall(post(GOOD)[:-5])
    assert status_of(service.raw(post(GOOD))) == 200


def test_what_a_client_writes_never_becomes_a_header(service: Served) -> None:
    body = orjson.dumps({"agent_id": "a", "capability": "open\r\nX-Evil: 1", "payload": {"x": "\r\nX-Evil: 1"}})
    head, _, _ = service.raw(post(body, "Idempotency-Key: a\tX-Evil: 1")).partition(b"\r\n\r\n")
    assert b"evil" not in head.lower()
    with service.client() as client:
        response = client.get("/v1/x%0d%0aX-Evil:%201", headers={"Origin": "http://evil"})
    assert response.status_code == 404
    assert "x-evil" not in response.headers


def test_every_request_on_a_connection_needs_its_own_key(service: Served) -> None:
    first = post(GOOD).replace(b"Connection: close\r\n", b"")
    second = post(GOOD).replace(f"Authorization: Bearer {secret_of('asker')}\r\n".encode(), b"")
    answers = service.raw(first + second)
    assert answers.startswith(b"HTTP/1.1 200")
    assert b"HTTP/1.1 401" in answers
