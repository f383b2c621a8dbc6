"""One canonical form for a value, however it is written; another for every other value."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onpurpose.core.call import Call, Identity
from onpurpose.core.canonical import canonical, digest, encode
from onpurpose.core.facts import Facts


def form(payload: object, **fields: Any) -> bytes:
    call = Call("agent", "a.b", payload, **fields)
    return canonical(call, Facts(call))


def of(value: object) -> bytes:
    return form({"x": value})


class Plain(Enum):
    ONE = 1
    WORD = "word"
    NESTED = 1.0


class Count(IntEnum):
    FOUR = 4


class Label(StrEnum):
    WORD = "word"


class Old(str, Enum):  # noqa: UP042  what people wrote before `StrEnum`
    WORD = "word"


class Loud(str):
    """A string that shows itself as another."""

    __slots__ = ()

    def __str__(self) -> str:
        return "LOUD"


class Wide(float):
    """A float that shows itself as another."""

    def __repr__(self) -> str:
        return "2.0"


class Tall(int):
    """An integer that shows itself as another."""

    def __repr__(self) -> str:
        return "2"

    __str__ = __repr__


ODD_ZONE = timezone(timedelta(hours=5, minutes=53, seconds=28))
WHEN = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

EQUAL: dict[str, tuple[object, ...]] = {
    "one": (1, 1.0, Decimal(1), Decimal("1.00"), Decimal("1e0"), Plain.ONE, Plain.NESTED, Tall(1), Wide(1.0)),
    "zero": (0, 0.0, -0.0, Decimal("-0"), Decimal("0e5")),
    "a fraction": (0.1, Decimal("0.1"), Decimal("0.10")),
    "a small fraction": (1e-7, Decimal("1e-7"), Decimal("0.0000001")),
    "a large number": (1e22, 10**22, Decimal("1e22")),
    "four": (4, Count.FOUR, Decimal(4)),
    "the largest direct integer": ((1 << 63) - 1, Decimal((1 << 63) - 1)),
    "infinity": (float("inf"), Decimal("Infinity")),
    "minus infinity": (float("-inf"), Decimal("-Infinity")),
    "not a number": (float("nan"), Decimal("NaN")),
    "a list": ([1, [2]], (1, (2,)), [1.0, (Decimal(2),)]),
    "a mapping": ({"a": 1, "b": 2}, {"b": 2, "a": 1}, OrderedDict(b=2, a=1.0), MappingProxyType({"a": 1, "b": 2})),
    "a word": ("word", Plain.WORD, Label.WORD, Old.WORD, Loud("word")),
    "a UUID": (UUID(int=5), str(UUID(int=5))),
    "a date": (date(2026, 11, 22), "2026-11-22"),
    "a time": (time(10, 0), "10:00:00"),
    "a moment": (WHEN, WHEN.isoformat()),
    "a moment without a zone": (WHEN.replace(tzinfo=None, microsecond=5), "2026-11-22T10:00:00.000005"),
    "a moment in an odd zone": (WHEN.astimezone(ODD_ZONE), WHEN.astimezone(ODD_ZONE).isoformat()),
    "a path": (PurePosixPath("/etc/passwd"), "/etc/passwd"),
    "bytes": (b"ab", bytearray(b"ab"), memoryview(b"ab")),
    "a named mapping": ({"word": 1}, {Label.WORD: 1}, {Old.WORD: 1.0}, {Plain.WORD: 1}),
    "a mapping named by a UUID": ({UUID(int=5): 1}, {str(UUID(int=5)): 1}),
    "a huge integer": (10**5000, Tall(10**5000)),
}

DIFFERENT: tuple[object, ...] = (
    *(values[0] for values in EQUAL.values()),
    None, True, False, "", "1", "true", "null", "0", [], {}, [[]], [{}], {"a": []}, [1, 2], [2, 1], ["1", "2"], "inf",
    "nan", "!nan", "!bytes:6162", "!opaque", b"", b"a", 1.5, -1, -1.5, 0.30000000000000004, 0.3, 1 << 63,
    -(1 << 63) - 1, (1 << 63) + 1, 1e300, 1e301, Decimal("1e400"), Decimal("-1e400"), Decimal("1e-400"),
    Decimal("0.1234567890123456789"), Decimal("0.1234567890123456788"), 10**400 + 1,
    -(10**5000), 10**5000 + 1, {1: 1}, {"1": 1}, {1.5: 1}, {True: 1},
    {None: 1}, {b"a": 1}, {"a\ud800": 1}, {"a\ud801": 1}, "a\ud800", "a\ud801", "!text:61eda080", "\u00e9", "e\u0301",
    {"a": 1, b"a": 1}, {"a": {"b": 1}}, {"a.b": 1}, {"a": None}, object(), Decimal("sNaN"), WHEN.astimezone(ODD_ZONE),
)  # fmt: skip


@pytest.mark.parametrize("values", EQUAL.values(), ids=EQUAL)
def test_equal_values_written_differently_are_equal(values: tuple[object, ...]) -> None:
    assert len({encode(value) for value in values}) == 1
    assert len({of(value) for value in values}) == 1
    assert len({of([{"deep": value}]) for value in values}) == 1


def test_different_values_differ() -> None:
    forms: dict[bytes, object] = {}
    for value in DIFFERENT[:-1]:
        assert forms.setdefault(of(value), value) is value
    assert len(forms) == len(DIFFERENT) - 1


def test_moments_of_zones_that_differ_by_seconds_differ() -> None:
    near = timezone(timedelta(hours=5, minutes=53))
    assert of(datetime(2026, 1, 1, tzinfo=ODD_ZONE)) != of(datetime(2026, 1, 1, tzinfo=near))


def test_no_payload_an_empty_one_and_an_empty_text_differ() -> None:
    assert len({form(None), form({}), form("")}) == 3


def test_a_text_and_a_mapping_of_the_same_look_differ() -> None:
    assert form('{"a":1}') != form({"a": 1})


@pytest.mark.parametrize(
    "value",
    [b"x", 10**5000, float("inf"), Decimal("1e400"), object(), {1: 2}, "\ud800"],
    ids=["bytes", "a huge integer", "infinity", "a huge number", "an object", "a number as name", "no Unicode"],
)
def test_what_json_lacks_is_written_as_no_json(value: object) -> None:
    with pytest.raises(json.JSONDecodeError):
        json.loads(encode(value))


# -- the quick way and the thorough one write the same

TEXT = st.text(max_size=8) | st.sampled_from(
    ["", "a", "\u00e9", "\U0001f600", "\uffff", "\u2028", "\x7f", "\\", '"', "/", "\0"]
)
NUMBERS = (
    st.integers()
    | st.integers(-(1 << 64), 1 << 64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(
        [5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1e16, 1e21, 1e22, 1e23, 0.1, 1.5e-5, -0.0]
    )
)
JSON = st.recursive(
    TEXT | NUMBERS | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
PAYLOADS = st.dictionaries(TEXT, JSON, max_size=5) | TEXT


def slow(payload: object) -> bytes:
    """What the thorough way writes, whatever the payload is."""
    return encode(["agent", "a.b", payload, None, None, None, None, None, None])


@given(PAYLOADS)
@settings(max_examples=400, deadline=None)
def test_both_ways_write_the_same_bytes(payload: object) -> None:
    assert form(payload) == slow(payload)


@given(st.floats() | st.integers())
@settings(max_examples=300, deadline=None)
def test_both_ways_write_a_number_the_same(number: float) -> None:
    assert of(number) == slow({"x": number})


@given(PAYLOADS, PAYLOADS)
@settings(max_examples=200, deadline=None)
def test_equal_payloads_and_no_others_have_equal_forms(first: object, second: object) -> None:
    assert (form(first) == form(second)) == (normal(first) == normal(second))


def normal(value: object) -> object:
    """The value with its types made plain: numbers by their decimal value, mappings as sorted pairs."""
    if isinstance(value, dict):
        return ("mapping", tuple(sorted((key, normal(item)) for key, item in value.items())))
    if isinstance(value, list):
        return ("list", tuple(normal(item) for item in value))
    if isinstance(value, bool) or value is None:
        return ("word", str(value))
    if isinstance(value, float):
        return ("number", Decimal(repr(value)))
    return ("number", Decimal(value)) if isinstance(value, int) else ("text", value)


@given(PAYLOADS, st.data())
@settings(max_examples=150, deadline=None)
def test_a_payload_written_in_another_way_has_the_same_form(payload: object, data: st.DataObject) -> None:
    assert form(rewritten(payload, data.draw)) == form(payload)


def rewritten(value: object, draw: Any) -> object:
    if isinstance(value, dict):
        pairs = [(key, rewritten(item, draw)) for key, item in value.items()]
        return draw(st.sampled_from([dict, OrderedDict]))(draw(st.permutations(pairs)))
    if isinstance(value, list):
        return draw(st.sampled_from([list, tuple]))(rewritten(item, draw) for item in value)
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    assert isinstance(value, int | float)
    return Decimal(repr(value)) if draw(st.booleans()) and abs(value) < 10**1000 else value


@given(JSON, st.sampled_from([b"x", object(), float("inf"), {1: 2}, "\ud800"]), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_what_json_lacks_never_passes_for_json(value: object, strange: object, depth: int) -> None:
    for _ in range(depth):
        strange = [strange]
    assume(isinstance(value, list | dict | str))
    assert of([value, strange]) != of([value, encode(strange).decode()])


# -- the other fields

FIELDS: list[dict[str, Any]] = [
    {},
    {"identity": Identity("ann")},
    {"identity": Identity("ann", ("a",))},
    {"identity": Identity("ann", ("a", "b"))},
    {"identity": Identity("ann", ("ab",))},
    {"purpose_id": "x"},
    {"data_source_id": "x"},
    {"policy_context": {"environment": "x"}},
    {"policy_context": {"user_role": "x"}},
    {"policy_context": {"tenant": "x"}},
    {"policy_context": {"tenant": 1}},
    {"policy_context": {"tenant": "1"}},
    {"policy_context": {"tenant": ["x"]}},
    {"policy_context": {"tenant": "\ud800"}},
    {"policy_context": {"tenant": "\ud801"}},
]


def test_every_field_that_an_approval_is_bound_to_counts() -> None:
    for payload in ({"a": 1}, {"a": 1.0}, "text", None):
        assert len({form(payload, **fields) for fields in FIELDS}) == len(FIELDS)
    assert digest_of(Call("b", "a.b")) != digest_of(Call("agent", "a.b")) != digest_of(Call("agent", "a.c"))


def test_no_field_passes_for_another() -> None:
    assert digest_of(Call("a", "b", "c")) != digest_of(Call("b", "a", "c")) != digest_of(Call("b", "c", "a"))


def digest_of(call: Call) -> str:
    return digest(call, Facts(call))


@pytest.mark.parametrize(
    "same",
    [
        {"policy_context": {}},
        {"policy_context": {"environment": None, "cwd": "/", "caller_depth": 7}},
        {"task_context": "x", "risk_category": "y", "elements": ("a.b",)},
    ],
)
def test_what_an_approval_is_not_bound_to_does_not_count(same: dict[str, Any]) -> None:
    assert form({"a": 1}, **same) == form({"a": 1})


def test_groups_count_as_a_set() -> None:
    assert form({}, identity=Identity("ann", ("a", "b"))) == form({}, identity=Identity("ann", ("b", "a")))


@pytest.mark.parametrize("context", [{"tenant": "x"}, {"environment": Label.WORD}, {"user_role": "\u00e9"}])
def test_both_ways_write_the_context_the_same(context: dict[str, Any]) -> None:
    direct = form({"a": 1}, policy_context=context, identity=Identity("\u00e9", ("b", "a")))
    thorough = form({"a": 1.0}, policy_context=context, identity=Identity("\u00e9", ("a", "b")))
    assert direct == thorough


def test_the_form_is_the_documented_one() -> None:
    call = Call(
        "ops", "a.b", {"b": 1.50, "a": [True, None, "\u00e9"]}, {"environment": "prod", "tenant": "acme"},
        identity=Identity("ann", ("b", "a")), purpose_id="p",
    )  # fmt: skip
    written = '["ops","a.b",{"a":[true,null,"\u00e9"],"b":1.5},["ann",["a","b"]],"p",null,"prod",null,"acme"]'
    assert canonical(call, Facts(call)) == written.encode()


def test_the_digest_does_not_depend_on_the_process() -> None:
    code = (
        "from onpurpose.core.call import Call, Identity\n"
        "from onpurpose.core.canonical import digest\n"
        "from onpurpose.core.facts import Facts\n"
        "from decimal import Decimal\n"
        "call = Call('a', 'b', {'y': {1: 2, b'x': 3, None: 4}, 'x': Decimal('1.0'), 'z': 'q'},"
        " identity=Identity('ann', ('c', 'a', 'b')))\n"
        "print(digest(call, Facts(call)))\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1")
    }
    assert len(seen) == 1
