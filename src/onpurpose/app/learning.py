"""What the values that an argument had allow to say of it: the narrowest test that covers them.

Nothing here is sure, and what is learned is meant to be read by a person. When in doubt the
values are left out: an argument that says where something goes or what is run is never left open.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from math import isfinite
from typing import TypeAlias, TypeVar

from onpurpose.app.masking import MASK, Masking
from onpurpose.core.domains import host_of, in_domain
from onpurpose.core.numbers import as_number, exact, magnitude
from onpurpose.core.paths import read_path
from onpurpose.core.policy import (
    AMOUNT_KEYS,
    PATH_KEYS,
    Compare,
    DomainIn,
    Equals,
    In,
    Number,
    Operator,
    Test,
    Under,
)
from onpurpose.core.text import unreadable

OFTEN = 3
"""How often something must have been seen to be taken for a habit."""

MAX_VALUES = 12
"""How many values, domains or directories a test lists."""

Path: TypeAlias = tuple[str, ...]

Listed = TypeVar("Listed", str, Number)

_MASKING = Masking()
_MAX_TEXT = 120
_MAX_NUMBER = Decimal(10) ** 30
_SEGMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_RUN = re.compile(r"(?:^|_)(?:command|cmd|script|code|sql|statement|expression|exec|args|argv|program)s?$")
_SQL = re.compile(r"\s*(?:select|insert|update|delete|drop|alter|create|with|truncate|grant|merge)\b", re.IGNORECASE)
_WHERE = re.compile(
    r"(?:^|_)(?:to|cc|bcc|recipient|payee|beneficiary|account|iban|destination|vendor|user|username|email|address"
    r"|host|hostname|domain|url|uri|endpoint|channel|group|role|bucket|database|table|repo|repository)s?$"
)
_CHANGING = re.compile(
    r"[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?(?:[T ].{0,40})?|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
)
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)+{_LABEL}")
_NOT_IN_PREFIX = re.compile(r"[*$`%~\\]")


@dataclass(slots=True)
class Observed:
    """The values that stood at one path, each with the `cwd` of its call; how long lists there were."""

    values: list[tuple[object, object]] = field(default_factory=list)
    calls: int = 0
    longest: int = 0
    single: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """What is to be asked of an argument: tests, or an amount's limit; or why nothing is (`free`).

    `refusal` says why the argument keeps its whole capability from being allowed.
    """

    tests: tuple[Test, ...] = ()
    limit: Number | None = None
    free: str = ""
    refusal: str = ""


def leaves(payload: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Each path that a policy can name, with the scalar or the list of scalars that stands there."""
    if isinstance(payload, Mapping):
        for key, value in payload.items():
            if isinstance(key, str) and _SEGMENT.fullmatch(key):
                yield from leaves(value, (*path, key))
    elif isinstance(payload, list | tuple) and any(isinstance(item, Mapping) for item in payload):
        for item in payload:
            yield from leaves(item, (*path, "*"))
    elif path:
        yield path, payload


def scalars(value: object) -> Iterator[object]:
    """The value itself, or the items of a list at any depth."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from scalars(item)
    else:
        yield value


def learn(path: Path, observed: Observed) -> Learned:
    """The narrowest test that covers the argument's values, but for the exceptions among them."""
    values = [(value, cwd) for value, cwd in observed.values if value is not None]
    key = next((part for part in reversed(path) if part != "*"), "")
    if not values:
        return Learned(free="never set")
    if _MASKING.is_secret(key):
        return Learned(free="a secret, which does not belong in a policy")
    if key.lower() in AMOUNT_KEYS:
        amounts = [size for value, _ in values if (size := magnitude(value)) is not None and size < _MAX_NUMBER]
        if amounts and len(amounts) * 5 >= len(values) * 4:
            return Learned(limit=_sensible_limit(amounts))
    kinds = Counter("flag" if isinstance(v, bool) else "text" if isinstance(v, str) else "number" for v, _ in values)
    kind, count = max(kinds.items(), key=lambda item: (item[1], item[0]))
    if count * 5 < len(values) * 4:
        return Learned(refusal="holds values of several types")
    if kind == "flag":
        return _learn_flag([v for v, _ in values if isinstance(v, bool)])
    if kind == "number":
        return _learn_number([number for value, _ in values if (number := _number(value)) is not None])
    return _learn_text(key, [(value, cwd) for value, cwd in values if isinstance(value, str)])


def _most(answers: list[bool]) -> bool:
    """Whether three in four say so: one strange value among many must not loosen what is learned."""
    return sum(answers) * 4 >= len(answers) * 3


def _learn_flag(flags: list[bool]) -> Learned:
    return Learned(tests=(Equals(flags[0]),)) if len(set(flags)) == 1 else Learned(free="true or false")


def _number(value: object) -> Number | None:
    number = None if isinstance(value, float) and not isfinite(value) else as_number(value)
    if number is None:
        return None
    size = exact(number)
    if not -_MAX_NUMBER < size < _MAX_NUMBER:
        return None
    return int(size) if size == int(size) else size


def _learn_number(numbers: list[Number]) -> Learned:
    closed = _closed(Counter(numbers), MAX_VALUES // 2)
    if closed:
        return Learned(tests=(_one_of(closed),))
    if not numbers:
        return Learned(refusal="holds no number that can be read")
    usual, _ = _without_far_ones(numbers)
    low, high = min(usual), max(usual)
    return Learned(tests=(Compare(Operator.GTE, low), Compare(Operator.LTE, high)))


def _learn_text(key: str, values: list[tuple[str, object]]) -> Learned:
    """Addresses by domain, paths by directory, few texts by name; others only where they say no more."""
    counts = Counter(value for value, _ in values)
    listable = Counter({text: n for text, n in counts.items() if _is_listable(text)})
    if len(counts) == 1 and len(listable) == 1 and len(values) >= OFTEN:
        return Learned(tests=(Equals(next(iter(listable))),))
    bare = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).replace("-", "_").lower()
    if _RUN.search(bare) or any(_SQL.match(value) for value in counts):
        return _only_often(listable, "is run or executed, and never often the same")
    if _most(["@" in v or "://" in v or v.lower().startswith("www.") for v, _ in values]):
        return _learn_domains([host_of(value) for value, _ in values])
    if key.lower() in PATH_KEYS or _most([value.startswith(("/", "file:")) for value, _ in values]):
        return _learn_paths(values, listable)
    closed = _closed(listable, MAX_VALUES)
    if closed and sum(listable[text] for text in closed) * 3 >= len(values) * 2:
        return Learned(tests=(_one_of(closed),))
    if _WHERE.search(bare):
        return _only_often(listable, "says where something goes, and never often the same")
    if all(_CHANGING.fullmatch(value) for value in counts):
        return Learned(free="a date or an id, another each time")
    return Learned(free="any text")


def _only_often(counts: Counter[str], refusal: str) -> Learned:
    often = [text for text, count in counts.most_common() if count >= OFTEN]
    often = sorted(often, key=lambda text: (-counts[text], text))[:MAX_VALUES]
    return Learned(tests=(_one_of(often),)) if often else Learned(refusal=refusal)


def _closed(counts: Counter[Listed], most: int) -> list[Listed]:
    """The values that come again, where they are few and two in three; what came once is an exception."""
    kept = [value for value, count in counts.items() if count > 1]
    again = sum(counts[value] for value in kept)
    closed = 0 < len(kept) <= most and again >= max(OFTEN, 2 * len(kept)) and again * 3 >= counts.total() * 2
    return kept if closed else []


def _one_of(values: list[Listed]) -> Test:
    ordered = sorted(values)
    return Equals(ordered[0]) if len(ordered) == 1 else In(tuple(ordered))


def _is_listable(text: str) -> bool:
    """Whether a person can read it in a policy, and may: no secret."""
    if not text or len(text) > _MAX_TEXT or not text.isprintable() or unreadable(text):
        return False
    return MASK[:-1] not in text and _MASKING.text(text) == text


def _learn_domains(hosts: list[str | None]) -> Learned:
    counts = Counter(host for host in hosts if host is not None and _DOMAIN.fullmatch(host))
    kept = [host for host, count in counts.items() if count > 1]
    kept = sorted(kept, key=lambda host: (-counts[host], host))[:MAX_VALUES]
    broad = [host for host in kept if not any(host != other and in_domain(host, other) for other in kept)]
    return Learned(tests=(DomainIn(tuple(sorted(broad))),)) if broad else Learned(refusal="leads to ever other domains")


def _learn_paths(values: list[tuple[str, object]], listable: Counter[str]) -> Learned:
    """The deepest directories that hold the paths, none nearer to the root than two levels."""
    groups: dict[Path, list[Path]] = {}
    for value, cwd in values:
        reading = read_path(value, cwd)
        parts = tuple(reading[0][1:].split("/")[:-1]) if reading is not None else ()
        if len(parts) >= 2 and _is_listable("/".join(parts)) and not _NOT_IN_PREFIX.search("/".join(parts)):
            groups.setdefault(parts[:2], []).append(parts)
    kept = [folders for folders in groups.values() if len(folders) > 1]
    kept = sorted(kept, key=lambda folders: (-len(folders), folders[0]))[:MAX_VALUES]
    if kept:
        return Learned(tests=(Under(tuple(sorted("/" + "/".join(_common(folders)) for folders in kept))),))
    closed = _closed(listable, MAX_VALUES)
    return Learned(tests=(_one_of(closed),)) if closed else Learned(refusal="holds paths with no directory in common")


def _common(folders: list[Path]) -> Path:
    first, last = min(folders), max(folders)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:same]


def _without_far_ones(numbers: list[Number]) -> tuple[list[Number], list[Number]]:
    """The numbers without those above three times the 95th percentile of the rest; and those."""
    ordered = sorted(numbers)
    end = len(ordered)
    while end > OFTEN and (len(ordered) - end) * 5 <= len(ordered):
        if not ordered[end - 1] > 3 * ordered[int(0.95 * (end - 2))] >= 0:
            break
        end -= 1
    return ordered[:end], ordered[end:]


def _sensible_limit(amounts: list[Number]) -> Number:
    """The next of 1, 2, 5, 10, 20 ... from the largest usual amount on; below every unusual one."""
    usual, far = _without_far_ones(amounts)
    top = max(usual)
    step = 1
    while step < top:
        step = step * 5 // 2 if str(step)[0] == "2" else step * 2
    return step if not far or step < min(far) else top
