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
from onpurpose.core.text import BETWEEN, fold, fold_all, is_plain, unreadable
from onpurpose.core.values import ABSENT, OPAQUE, entries, scalars_under

Answer: TypeAlias = bool | None
"""Kleene's three values; `None` is unknown."""

_LONG = 10**12
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

_FEW, _SHORT = 64, 512
_LITTLE = MAX_TEXT - _FEW * _SHORT
"""So few entries, so short names and so little text are read in one pass, without counting."""


class Needle(NamedTuple):
    """A text that a policy looks for, and its folded form."""

    text: str
    folded: str


def needle(text: str) -> Needle:
    """The text, ready to be looked for. One of which folding leaves nothing is sought as it stands only."""
    return Needle(text, fold(text) or _NOWHERE)


def as_it_is(sought: Needle) -> bool:
    """Whether what `fold` returns holds the folded needle wherever a payload holds it in any way at all."""
    return sought.text.isascii() and sought.text.lower() == sought.folded


_EXACT = frozenset({int, float})

Amounts: TypeAlias = tuple[Real, Real, str]
"""The smallest and the largest amount read; or, as third, why that cannot be told."""

Paths: TypeAlias = tuple[tuple[Reading, ...], str]
"""The paths read; or, as second, why they cannot be told."""


class Facts:
    """The facts of one call. Raises `Malformed` when its payload cannot be read at all.

    `opaque`: something in the payload could hold anything; `blurred`: some text in it cannot be read;
    `direct`: JSON writes equal payloads equally, without a canonical form of ours. `long`: a whole number of
    13 digits or more may be in it.
    """

    __slots__ = (
        "_size", "_values", "amount_keys", "amounts_read", "blurred", "context", "direct", "flat", "folded",
        "haystack", "joined", "keys", "long", "opaque", "path_keys", "paths_read", "payload", "texts",
    )  # fmt: skip

    def __init__(self, call: Call) -> None:
        payload: Any = call.payload
        self.payload = payload
        self.context = call.policy_context
        self.opaque = self.blurred = self.long = False
        self.direct = True
        self.haystack: Container[str] | None = None
        self.amount_keys: frozenset[str] | None = None
        self.path_keys: frozenset[str] | None = None
        if type(payload) is dict and len(payload) <= _FEW:  # the walk of most calls: a function of its own costs
            texts: list[str] = []
            for key, value in payload.items():
                kind = type(value)
                if kind is str and value.isascii():
                    texts.append(value)
                elif kind is int:
                    if not -_LONG < value < _LONG:
                        self.direct = self._is_plain_number(value) and self.direct
                elif kind is float:
                    self.direct = self.direct and _is_direct(value)
                elif kind is not bool and value is not None:
                    break
                if type(key) is not str or not key.isascii() or len(key) > _SHORT:
                    break
            else:
                self.joined = joined = texts[0] if len(texts) == 1 else " ".join(texts)
                if len(joined) <= _LITTLE:
                    self.texts, self.flat = texts, True
                    self.keys: Any = payload  # its keys, without a copy
                    return
        self.flat = False
        self._walk(payload)

    # -- the walk

    def _walk(self, payload: object) -> None:
        """Read a payload that is not flat: quickly if it is JSON of ASCII text, else value by value."""
        self.texts, self.keys, self._size, self._values, self.direct = [], [], 0, 0, True
        if not (type(payload) is dict and self._plain(payload, 1) and self._is_small()):
            self.texts, self.keys, self._values = [], [], 0
            self._any(payload)
        self.joined = " ".join(self.texts)

    def _plain(self, container: Any, depth: int) -> bool:
        """Read nested JSON in its order; false where it holds what is not read at a glance."""
        self._values += len(container)
        if depth > MAX_DEPTH or self._values >= MAX_VALUES:  # before going on: a container may hold itself, twice
            return False
        if type(container) is dict:
            for key in container:
                if type(key) is not str or not key.isascii():
                    return False
            self.keys += container
            container = container.values()
        for value in container:
            kind = type(value)
            if kind is str:
                if not value.isascii():
                    return False
                self.texts.append(value)
            elif kind is dict or kind is list:
                if not self._plain(value, depth + 1):
                    return False
            elif kind is not bool and value is not None and not self._is_plain_number(value):
                return False
        return True

    def _is_plain_number(self, value: object) -> bool:
        """Whether it is a number that JSON writes as all that equal it; a long one is noted."""
        if type(value) is int and not -_LONG < value < _LONG:
            self.long = True
        return _is_direct(value)

    def _is_small(self) -> bool:
        return sum(map(len, self.texts)) + sum(map(len, self.keys)) <= MAX_TEXT

    def _any(self, payload: object) -> None:
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
        if not (value is None or type(value) is bool or self._is_plain_number(value)):
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
        for text, _ in needles:  # loops, not generators: this is asked of most calls
            for one in self.texts:
                if text in one:
                    return True
        self.haystack or self.fold()
        folded = self.folded
        for text, sought in needles:
            if sought in folded:
                return None
            for key in self.keys:
                if text in key:
                    return None
        return False

    def fold(self) -> Container[str]:
        """Fold the text. What a text that `contains` finds cannot be without: see `as_it_is`.

        `folded` is the folded text of values and keys; one that holds all where there is none, or
        some cannot be read.
        """
        if self.payload is None or self.opaque or self.blurred:
            self.folded: Container[str] = ANYTHING
            self.haystack = ANYTHING
        else:
            lower = f"{self.joined}`{BETWEEN.join(self.keys)}".lower()
            if is_plain(lower, len(self.keys) or 1):
                self.folded = self.haystack = lower
            else:
                self.folded = fold_all(self.joined, self.texts, self.keys)
                self.haystack = f"{self.folded}`{lower}"
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
            elif not (key.lower() == "value" and isinstance(value, str) and not any(map(str.isnumeric, value))):
                return 0, 0, f"what stands under `{key}` cannot be read as a number"
        if trouble or not sizes:
            return 0, 0, trouble or "the payload holds no amount"
        return min(sizes), max(sizes), ""

    # -- paths

    def paths(self, keys: frozenset[str]) -> Paths:
        """The payload's paths, read under the keys (lower case), relative ones from `policy_context.cwd`.

        Also left in `paths_read`, for `path_keys`.
        """
        if self.path_keys is not keys:
            self.path_keys = keys
            self.paths_read = self._read_paths(keys)
        return self.paths_read

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
            found = []
            for key, value in self.payload.items():  # a comprehension is a call of its own
                if key in keys or key.lower() in keys:
                    found.append((key, value))
            return found, ""
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
