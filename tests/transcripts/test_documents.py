"""What is read of a stream: documents over one line or many, and what a broken one costs."""

import io
import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.adapters.transcripts.documents import (
    MAX_LINE,
    Document,
    arguments_of,
    documents_of,
    lines_of,
    names_a_key_twice,
)
from onpurpose.core.history import Doubt
from onpurpose.core.span import Problem

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
HOLDERS = st.dictionaries(st.text(max_size=4), JSON, min_size=1, max_size=4)


def read(data: bytes) -> list[Document | Problem]:
    return list(documents_of(lines_of(io.BytesIO(data)), "log"))


def values(data: bytes) -> list[object]:
    return [part.value for part in read(data) if isinstance(part, Document)]


def problems(data: bytes) -> list[tuple[int, str]]:
    return [(part.span.line, part.code) for part in read(data) if isinstance(part, Problem)]


@given(st.lists(JSON, max_size=6))
def test_documents_of_one_line_each_come_back(documents: list[object]) -> None:
    assert values(b"\n".join(map(orjson.dumps, documents))) == documents


@given(st.lists(HOLDERS, max_size=5), st.integers(1, 4))
def test_indented_documents_come_back(documents: list[object], indent: int) -> None:
    data = "\n".join(json.dumps(document, indent=indent) for document in documents).encode()
    assert values(data) == documents
    assert problems(data) == []


@given(HOLDERS, HOLDERS, st.data())
def test_a_torn_line_costs_no_more_than_itself(before: object, after: object, data: st.DataObject) -> None:
    whole = orjson.dumps({"torn": before})
    torn = whole[: data.draw(st.integers(1, len(whole) - 1))]
    stream = b"\n".join([orjson.dumps(before), torn, orjson.dumps(after)])
    assert values(stream) == [before, after]
    assert [line for line, _ in problems(stream)] == [2]


@given(st.lists(st.sampled_from([b'{"a":1}', b"{", b"}", b"[", b'"', b'\\"', b"\xff", b"", b"[1", b" x", b"null"])))
def test_garbage_never_raises_and_every_whole_line_in_an_object_is_found(lines: list[bytes]) -> None:
    parts = read(b"\n".join(lines))
    assert all(isinstance(part, Document | Problem) for part in parts)
    if b"[" not in lines:
        assert sum(isinstance(p, Document) and p.value == {"a": 1} for p in parts) == lines.count(b'{"a":1}')


def test_a_list_with_one_object_a_line_is_one_document() -> None:
    assert values(b'[\n{"a": 1},\n{"b": 2}\n]\n') == [[{"a": 1}, {"b": 2}]]


def test_the_place_of_a_document_is_its_first_line() -> None:
    assert [part.at.line for part in read(b'\n{\n "a": 1\n}\n{"b": 2}\n') if isinstance(part, Document)] == [2, 5]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"not json\n", [(1, "broken-json")]),
        (b'{"a": }\n{"b": 1}', [(1, "broken-json")]),
        (b'{"a": [\n', [(1, "broken-json")]),
        (b'{\n "a": 1,\n}\n', [(1, "broken-json")]),
        (b"\xff\xfe{\x00\n", [(1, "broken-json")]),
        (b"[" * 100_000 + b"\n", [(1, "broken-json")]),
        (b"[" * 50_000 + b"]" * 50_000 + b"\n", [(1, "broken-json")]),
        (b'{"a": "\x00"}\n', [(1, "broken-json")]),
    ],
)
def test_what_is_broken_is_placed(data: bytes, expected: list[tuple[int, str]]) -> None:
    assert problems(data) == expected


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert values(b'\xef\xbb\xbf{"a": 1}\r\n{"b": 2}\r\n') == [{"a": 1}, {"b": 2}]


def test_a_line_that_is_too_long_is_passed_over() -> None:
    data = b'{"a": 1}\n"' + b"x" * (MAX_LINE * 2) + b'"\n{"b": 2}\n'
    assert values(data) == [{"a": 1}, {"b": 2}]
    assert problems(data) == [(2, "line-too-long")]


def test_a_document_that_is_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onpurpose.adapters.transcripts.documents.MAX_DOCUMENT", 100)
    data = b"{\n" + b'  "a": 1,\n' * 50 + b'  "b": 2\n}\n{"c": 3}\n'
    assert values(data)[-1:] == [{"c": 3}]
    assert problems(data)[0] == (1, "document-too-long")


def test_a_line_of_escaped_quotes_without_an_end_is_read_in_linear_time() -> None:
    data = b'{"a": "' + b'\\"' * (1 << 20) + b'\n{"b": 2}\n'
    assert values(data) == [{"b": 2}]


@pytest.mark.parametrize("data", [b'{"a": "\\ud800"}', b'{"a": NaN}'])
def test_what_strict_parsers_refuse_does_not_hide_a_call(data: bytes) -> None:
    assert len(values(data)) == 1


def test_every_byte_is_accounted_for() -> None:
    data = b'{"a": 1}\n\n"' + b"x" * (MAX_LINE + 5) + b'"\nrest'
    assert sum(line.size for line in lines_of(io.BytesIO(data))) == len(data)


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        (b'{"a": 1, "b": {"a": 2}}', False),
        (b'{"a": 1, "a": 1}', True),
        (b'{"a": 1, "\\u0061": 2}', True),
        (b'[{"x": {"y"\t: 1, "y" :2}}]', True),
        (b'{"a": "\\"a\\": 1"}', False),
        (b'{"a\\\\": 1, "b": "\\"c\\":"}', False),
        (b'{"a\\\\": 1, "a\\\\" : 2}', True),
    ],
)
def test_a_key_that_stands_twice_is_seen(text: bytes, twice: bool) -> None:
    [document] = read(text)
    assert isinstance(document, Document)
    assert names_a_key_twice(document) is twice


@given(JSON)
def test_no_written_document_names_a_key_twice(value: object) -> None:
    [document] = read(orjson.dumps(value))
    assert isinstance(document, Document)
    assert not names_a_key_twice(document)


@pytest.mark.parametrize(
    ("recorded", "payload", "doubts"),
    [
        ('{"a": 1}', {"a": 1}, ()),
        ("{}", {}, ()),
        ('{"a": 1', '{"a": 1', ()),
        ("[1]", "[1]", ()),
        ("ls -la", "ls -la", ()),
        ("", "", ()),
        ({"a": 1}, {"a": 1}, ()),
        ([1], [1], ()),
        (None, None, (Doubt.NO_ARGUMENTS,)),
        ('{"a": 1, "a": 2}', {"a": 2}, (Doubt.DUPLICATE_KEYS,)),
    ],
)
def test_arguments_mean_a_payload(recorded: object, payload: object, doubts: tuple[Doubt, ...]) -> None:
    assert arguments_of(recorded) == (payload, doubts)
