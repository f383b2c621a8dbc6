"""What a value in a payload is taken for."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from types import MappingProxyType
from uuid import UUID

import pytest

from onpurpose.core.values import ABSENT, OPAQUE, entries, plain, scalars_under
from tests.core.asking import Count, Elsewhere, Label, Sealed, Word


class Wrapped(Enum):
    LIST = (1, 2)
    NOTHING = None
    STRANGE = Sealed()


class Bytewise:
    def __fspath__(self) -> bytes:
        return b"/x"


class Astray:
    def __fspath__(self) -> int:
        return 7


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        (None, None), (True, True), (1, 1), (1.5, 1.5), ("x", "x"), (Decimal(1), Decimal(1)), (b"x", b"x"),
        (bytearray(b"x"), b"x"), (memoryview(b"x"), b"x"), (date(2026, 1, 2), "2026-01-02"), (time(1, 2), "01:02:00"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"), (UUID(int=1), str(UUID(int=1))),
        (Word.RM, "rm -rf"), (Word.TEN, 10), (Label.PRODUCTION, "production"), (Count.FOUR, 4), (Wrapped.LIST, (1, 2)),
        (Wrapped.NOTHING, None), (PurePosixPath("/a"), "/a"), (Elsewhere(), "/etc/hosts"), (Bytewise(), b"/x"),
    ],
)  # fmt: skip
def test_a_value_is_taken_for_its_plain_form(value: object, taken: object) -> None:
    found = plain(value)
    assert found == taken
    assert type(found) is type(taken)


@pytest.mark.parametrize("value", [Sealed(), {1, 2}, frozenset(), iter([]), Wrapped.STRANGE, Astray(), type, 1j])
def test_what_could_hold_anything_is_opaque(value: object) -> None:
    assert plain(value) is OPAQUE


def test_containers_are_themselves() -> None:
    for value in ({}, [], (), MappingProxyType({})):
        assert plain(value) is value


def test_the_signs_show_their_names() -> None:
    assert (repr(OPAQUE), repr(ABSENT)) == ("OPAQUE", "ABSENT")


def test_entries_are_names_and_plain_values() -> None:
    assert list(entries({"a": Word.RM})) == [("a", "rm -rf")]
    assert list(entries([Word.RM, 1])) == [(ABSENT, "rm -rf"), (ABSENT, 1)]
    assert list(entries("text")) == []


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ({"amount": 1}, [("amount", 1)]),
        ({"AMOUNT": 1, "x": 2}, [("amount", 1)]),
        ({"a": {"amount": [1, [2, (3,)]]}}, [("amount", 1), ("amount", 2), ("amount", 3)]),
        ({"amount": {"x": 1}}, [("amount", OPAQUE)]),
        ({"amount": {"value": 1}}, [("value", 1)]),
        ({"amount": [{"value": 1}, 2]}, [("value", 1), ("amount", 2)]),
        ({"amount": [{"x": 1}]}, [("amount", OPAQUE)]),
        ({"amount": []}, []),
        ({Label.PRODUCTION: {"amount": 1}}, [("amount", 1)]),
        ({7: {"amount": 1}, None: 2}, [("amount", 1)]),
        ([{"amount": 1}], [("amount", 1)]),
        ({}, []),
    ],
)
def test_scalars_are_found_under_their_names_at_any_depth(payload: object, found: object) -> None:
    assert scalars_under(payload, frozenset({"amount", "value"})) == found
