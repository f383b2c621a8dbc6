"""What a value in a payload is taken for: base types, standard texts, and what cannot be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Final
from uuid import UUID


class _Sign:
    """A sign that stands for a value; compared by identity."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


OPAQUE: Final = _Sign("OPAQUE")
"""In place of a value that could hold anything: no text, number or structure that can be read."""

HIDDEN: Final = _Sign("HIDDEN")
"""In place of what lies behind an opaque value: it may be there or not."""

ABSENT: Final = _Sign("ABSENT")
"""In place of a value that is not there."""


_SCALARS = frozenset({str, int, float, bool, type(None)})
_BASE = _SCALARS | {dict, list}


def plain(value: object) -> object:
    """The value as a base type, dates, UUIDs, paths and enums as their standard text; else `OPAQUE`.

    Mappings, lists and tuples come back as they are; so do bytes, which are text of no known kind.
    """
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, str | bool | int | float | Decimal | Mapping | list | tuple | bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if hasattr(type(value), "__fspath__"):
        named = getattr(value, "__fspath__")()  # noqa: B009  just asked for
        return named if isinstance(named, str | bytes) else OPAQUE
    return OPAQUE


def entries(container: object) -> Iterator[tuple[object, object]]:
    """The keys and plain values of a mapping; of a list or tuple, its items, each under `ABSENT`."""
    if isinstance(container, Mapping):
        for key, value in container.items():
            yield key, plain(value)
    elif isinstance(container, list | tuple):
        for value in container:
            yield ABSENT, plain(value)


def scalars_under(payload: object, names: frozenset[str]) -> list[tuple[str, object]]:
    """What stands under the names (lower case) at any depth, lists opened: pairs of name and scalar.

    A mapping under such a name that holds none of the names itself is unreadable: (name, `OPAQUE`).
    The payload has passed `Facts`, so that its depth and size are bounded.
    """
    found: list[tuple[str, object]] = []
    _collect(payload, names, "", found)
    return found


def _collect(value: object, names: frozenset[str], name: str, found: list[tuple[str, object]]) -> int:
    """Add what a value that stands under `name` holds under the names; how many of the names it met on the way."""
    if type(value) not in _BASE:
        value = plain(value)
    if isinstance(value, list | tuple):
        met = 0
        for item in value:
            met += _collect(item, names, name, found)
        return met
    if type(value) is dict or isinstance(value, Mapping):
        met = _collect_from(value, names, found)
        if name and not met:
            found.append((name, OPAQUE))
        return met
    if name:
        found.append((name, value))
    return 0


def _collect_from(mapping: Mapping[object, object], names: frozenset[str], found: list[tuple[str, object]]) -> int:
    met = 0
    for key, value in mapping.items():
        text = key if type(key) is str else plain(key)
        name = text.lower() if isinstance(text, str) else ""
        if name in names:
            met += 1
        else:
            name = ""
        if name or type(value) not in _SCALARS:
            met += _collect(value, names, name, found)
    return met
