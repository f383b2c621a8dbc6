"""What a call says of itself, read lazily and once; true, false, or unknown (`None`).

The walk over the payload alone is not lazy: only it tells whether the payload can be read at all.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from decimal import Decimal
from math import isfinite
from typing import Any, Final, NamedTuple, TypeAlias

from onpurpose.core.call import MAX_DEPTH, MAX_TEXT, MAX_VALUES, Call
from onpurpose.core.numbers import Real, magnitude
from onpurpose.core.paths import Reading, read_path
from onpurpose.core.text import BETWEEN, fold, fold_all, unreadable
from onpurpose.core.values import ABSENT, OPAQUE, entries, scalars_under

Answer: TypeAlias = bool | None
"""Kleene's three values; `None` is unknown."""

_MIN_INT, _MAX_INT = -(1 << 63), (1 << 63) - 1
_JSON = frozenset({str, int, float, bool, type(None), dict, list})


class Malformed(Exception):  # noqa: N818  the contract's word
    """The payload cannot be read at all; the message says why, for a person."""


class _Anything:
    """A text that may hold any other."""

    def __contains__(self, text: object) -> bool:
        return True


ANYTHING: Final = _Anything()
"""In place of folded text that cannot be had."""

_NOWHERE = "\\"  # removed from all folded text


class Needle(NamedTuple):
    """A text that a policy looks for, and its folded form."""

    text: str
    folded: str


def needle(text: str) -> Needle:
    """The text, ready to be looked for. One of which folding leaves nothing is sought as it stands only."""
    return Needle(text, fold(text) or _NOWHERE)


_EXACT = frozenset({int, float})

Amounts: TypeAlias = tuple[Real, Real, str]
"""The smallest and the largest amount read; or, as third, why that cannot be told."""

Paths: TypeAlias = tuple[tuple[Reading, ...], str]
"""The paths read; or, as second, why they cannot be told."""


class Facts:
    """The facts of one call. Raises `Malformed` when its payload cannot be read at all.

    `opaque`: something in the payload could hold anything; `blurred`: some text in it cannot be read;
    `direct`: JSON writes equal payloads equally, without a canonical form of ours.
    """

    __slots__ = (
        "_path_keys", "_paths", "_size", "_values", "amount_keys", "amounts_read", "blurred", "context",
        "direct", "flat", "haystack", "joined", "keys", "names", "opaque", "payload", "texts",
    )  # fmt: skip

    def __init__(self, call: Call) -> None:
        payload: Any = call.payload
        self.payload = payload
        self.context = call.policy_context
        self.opaque = self.blurred = False
        self.direct = True
        self.haystack: Container[str] | None = None
        self.amount_keys: frozenset[str] | None = None
        self._path_keys: frozenset[str] | None = None
        self.texts: list[str] = []
        self.flat = type(payload) is dict and len(payload) <= MAX_DEPTH and self._flat(payload, self.texts)
        if not self.flat:
            self._deep(payload)
        self.joined = " ".join(self.texts)

    # -- the walk

    def _flat(self, payload: dict[Any, Any], texts: list[str]) -> bool:
        """Read a small mapping of ASCII strings and scalars in one pass; false where it is not one."""
        size = 0
        for key, value in payload.items():
            kind = type(value)
            if kind is str:
                if not value.isascii():
                    return False
                texts.append(value)
                size += len(value)
            elif kind is int:
                if not _MIN_INT <= value <= _MAX_INT:
                    self.direct = False
            elif kind is float:
                self.direct = self.direct and _is_direct(value)
            elif kind is not bool and value is not None:
                return False
            if type(key) is not str or not key.isascii():
                return False
            size += len(key)
        self.keys = [*payload]
        return size <= MAX_TEXT

    def _deep(self, payload: object) -> None:
        self.texts, self.keys, self._size, self._values = [], [], 0, 0
        self.direct = True
        if isinstance(payload, Mapping):
            self._descend(payload)
        elif isinstance(payload, str):
            self.direct = type(payload) is str
            self._text(payload, self.texts)
        elif payload is not None:
            raise Malformed("the payload is neither a mapping nor a string")

    def _descend(self, payload: object) -> None:
        self._container(payload)
        stack = [self._enter(payload)]
        while stack:
            child = next(stack[-1], ABSENT)
            if child is ABSENT:
                stack.pop()
            elif len(stack) >= MAX_DEPTH:
                raise Malformed(f"the payload is nested deeper than {MAX_DEPTH}")
            else:
                stack.append(self._enter(child))

    def _enter(self, container: object) -> Iterator[object]:
        """Read the container's names and scalars; hand out the containers in it, in their order."""
        for key, value in entries(container):
            if key is not ABSENT:
                self._key(key)
            if isinstance(value, Mapping | list | tuple):
                self._container(value)
                yield value
            else:
                self._scalar(value)

    def _container(self, value: object) -> None:
        self._count()
        if self.direct:  # whatever is taken for its text here, JSON may write in another way
            kind = type(value)
            items: Any = value.values() if kind is dict else value  # type: ignore[attr-defined]
            self.direct = kind in (dict, list) and _JSON.issuperset(map(type, items))

    def _key(self, key: object) -> None:
        if isinstance(key, str):
            self.direct = self.direct and type(key) is str
            self._text(key, self.keys)
        else:
            self.direct = False
            self.opaque = True

    def _scalar(self, value: object) -> None:
        self._count()
        if isinstance(value, Decimal):
            value = str(value)
            self.direct = False
        if isinstance(value, str):
            self._text(value, self.texts)
            return
        if isinstance(value, bytes):
            self.blurred = True
        elif value is OPAQUE:
            self.opaque = True
        if not (value is None or type(value) is bool or _is_direct(value)):
            self.direct = False

    def _text(self, text: str, into: list[str]) -> None:
        self._size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if self._size > MAX_TEXT:
            raise Malformed("the payload holds over 1 MiB of text")
        if unreadable(text):
            self.blurred = True
            self.direct = False
        into.append(str.__str__(text))

    def _count(self) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise Malformed(f"the payload holds over {MAX_VALUES:,} values")

    # -- text

    def contains(self, needles: tuple[Needle, ...]) -> Answer:
        """Whether any of the texts occurs in a string of the payload; unknown where only folded or in a key."""
        folded = self.haystack or self.fold()
        for text, sought in needles:
            if sought in folded or text in self.joined or text in self.names:
                return self._contains(needles)
        return False

    def _contains(self, needles: tuple[Needle, ...]) -> Answer:
        if any(text in one for text, _ in needles for one in self.texts):
            return True
        folded = self.haystack or self.fold()
        if any(sought in folded or any(text in key for key in self.keys) for text, sought in needles):
            return None
        return False

    def fold(self) -> Container[str]:
        """The folded text of values and keys; one that holds all where there is none, or some cannot be read."""
        self.names = BETWEEN.join(self.keys)
        unread = self.payload is None or self.opaque or self.blurred
        self.haystack = ANYTHING if unread else fold_all(self.joined, self.texts, self.keys)
        return self.haystack

    # -- amounts

    def amounts(self, keys: frozenset[str]) -> Amounts:
        """The payload's amounts, read under the keys (lower case); also left in `amounts_read`, for `amount_keys`."""
        if self.amount_keys is not keys:
            self.amount_keys = keys
            self.amounts_read = self._read_amounts(keys)
        return self.amounts_read

    def _read_amounts(self, keys: frozenset[str]) -> Amounts:
        found, trouble = self._under(keys, "amount")
        if len(found) == 1 and type(found[0][1]) in _EXACT and self.direct:
            size = abs(found[0][1])
            return size, size, ""
        sizes: list[int | Decimal] = []
        for key, value in found:
            read = magnitude(value)
            if read is not None:
                sizes.append(read)
            elif not (key == "value" and isinstance(value, str) and not any(map(str.isnumeric, value))):
                return 0, 0, f"what stands under `{key}` cannot be read as a number"
        if trouble or not sizes:
            return 0, 0, trouble or "the payload holds no amount"
        return min(sizes), max(sizes), ""

    # -- paths

    def paths(self, keys: frozenset[str]) -> Paths:
        """The payload's paths, read under the keys (lower case), relative ones from `policy_context.cwd`."""
        if self._path_keys is not keys:
            self._path_keys = keys
            self._paths = self._read_paths(keys)
        return self._paths

    def _read_paths(self, keys: frozenset[str]) -> Paths:
        found, trouble = self._under(keys, "path")
        readings = []
        for key, value in found:
            reading = None
            if isinstance(value, str):
                reading = read_path(value) if value[:1] == "/" else read_path(value, self.base)
            if reading is None:
                return (), f"what stands under `{key}` cannot be read as an absolute path"
            readings.append(reading)
        if trouble or not readings:
            return (), trouble or "the payload holds no path"
        return tuple(readings), ""

    @property
    def base(self) -> object:
        """What relative paths start from: `policy_context.cwd`, unchecked."""
        return None if self.context is None else self.context.get("cwd")

    def _under(self, keys: frozenset[str], what: str) -> tuple[list[tuple[str, Any]], str]:
        """What stands under the keys; and why, where the payload does not tell all that does."""
        if self.flat:
            return [(k.lower(), v) for k, v in self.payload.items() if k in keys or k.lower() in keys], ""
        if self.payload is None:
            return [], "the call carries no payload"
        if not isinstance(self.payload, Mapping):
            return [], f"the payload is a bare string, of which no {what} can be told"
        trouble = f"the payload holds something unreadable that may hold {what}s" if self.opaque else ""
        return scalars_under(self.payload, keys), trouble


def _is_direct(value: Any) -> bool:
    """Whether JSON writes every number equal to this one in the same way."""
    kind = type(value)
    if kind is int:
        return bool(_MIN_INT <= value <= _MAX_INT)
    if kind is float:
        return bool(isfinite(value) and not value.is_integer())
    return False
