"""What the match fields of purpose policies answer of a call, and the elements of a purpose: look-ups only."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, TypeVar

from onpurpose.core.arguments import either
from onpurpose.core.call import Call
from onpurpose.core.compile import covers
from onpurpose.core.decision import Unknown
from onpurpose.core.facts import Answer
from onpurpose.core.purpose import Match, Window
from onpurpose.core.values import plain

_T = TypeVar("_T")

Test: TypeAlias = Callable[[Hashable], Answer]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST = 1024  # answers that are remembered: names may come from anywhere


def remember(known: dict[Hashable, _T], key: Hashable, value: _T) -> _T:
    """The value, kept for the next time; when much was kept, all of it is forgotten first."""
    if len(known) >= _MOST:
        known.clear()
    known[key] = value
    return value


class Elements:
    """The data that a purpose may touch, ready to be looked up."""

    __slots__ = ("_exact", "_tables")

    def __init__(self, elements: Iterable[str]) -> None:
        self._exact = frozenset(elements)
        self._tables = frozenset(element[:-2] for element in self._exact if element.endswith(".*"))

    def outside(self, touched: object) -> tuple[object, ...] | None:
        """Those of the call's elements that the purpose does not cover; `None` where they cannot be told."""
        if not isinstance(touched, tuple | list):
            return None
        return tuple([element for element in touched if not self.covers(element)])

    def covers(self, element: object) -> bool:
        """Whether the element is one of these, or a column of a table with `.*`."""
        if not isinstance(element, str):
            return False
        table, _, column = element.rpartition(".")
        return element in self._exact or (bool(column) and table in self._tables)

    def nearly(self, element: object) -> bool:
        """Whether it would be covered but for letter case and outer white space."""
        return isinstance(element, str) and Elements(map(_folded, self._exact)).covers(_folded(element))


class Field:
    """One match field of all policies of a purpose, asked at once.

    `read` takes the fact from the call; `known` holds, by fact, the sets of policies whose field
    surely matches, and possibly.
    """

    __slots__ = ("_all", "_tests", "known", "name", "read")

    def __init__(self, name: str, tests: dict[int, Test], count: int) -> None:
        self.name = name
        self.read = _READERS[name]
        self._tests = tests
        self._all = (1 << count) - 1
        self.known: dict[Hashable, tuple[int, int]] = {}

    def learn(self, value: Hashable) -> tuple[int, int]:
        """The answers for a fact, remembered."""
        surely = possibly = self._all
        for number, test in self._tests.items():
            answer = test(value)
            if answer is not True:
                surely &= ~(1 << number)
            if answer is False:
                possibly &= ~(1 << number)
        return remember(self.known, value, (surely, possibly))


def fields(matches: list[Match]) -> Iterator[Field]:
    """The fields that any of the policies speaks of."""
    for name, make in _TESTS.items():
        tests = {}
        for number, match in enumerate(matches):
            wanted = getattr(match, name)
            if wanted is not None and wanted is not False:
                tests[number] = make(wanted)
        if tests:
            yield Field(name, tests, len(matches))


def _identity(_: object) -> Test:
    return lambda person: person  # type: ignore[return-value]  # what its reader says


def _one_of(wanted: tuple[str, ...]) -> Test:
    """Equal to one of them; unknown where there is nothing, or only letter case or outer white space differ."""
    exact, nearly = frozenset(wanted), frozenset(map(_folded, wanted))

    def test(value: Hashable) -> Answer:
        if not isinstance(value, str):
            return None
        return True if value in exact else None if _folded(value) in nearly else False

    return test


def _any_group(wanted: tuple[str, ...]) -> Test:
    test = _one_of(wanted)
    return lambda groups: either([test(group) for group in groups]) if isinstance(groups, tuple) else None


def _covered(patterns: tuple[str, ...]) -> Test:
    return lambda capability: either([covers(pattern, str(capability)) for pattern in patterns])


def _within(windows: tuple[Window, ...]) -> Test:
    return lambda second: either([_is_in(window, second) for window in windows])


def _is_in(window: Window, second: Hashable) -> Answer:
    """Whether the second (since 1970, UTC) lies in the window, on the clocks of its zone."""
    try:
        local = (_EPOCH + timedelta(seconds=second)).astimezone(window.zone)  # type: ignore[arg-type]  # see its reader
    except (OverflowError, ValueError):
        return None
    return local.weekday() in window.days and window.start <= local.hour * 60 + local.minute < window.end


def _folded(text: str) -> str:
    return text.strip().casefold()


_TESTS: dict[str, Callable[..., Test]] = {
    "identity_required": _identity,
    "user_groups": _any_group,
    "data_source_id": _one_of,
    "agent_ids": _one_of,
    "capabilities": _covered,
    "environments": _one_of,
    "hours": _within,
}


def _read_person(call: Call, _: int) -> Answer:
    """Anonymity is no missing fact; an identity that names nobody is."""
    identity = call.identity
    return False if identity is None else True if identity.user_id.strip() else None


def _read_groups(call: Call, _: int) -> tuple[str, ...] | None:
    return None if call.identity is None else tuple(call.identity.groups)


def _read_environment(call: Call, _: int) -> str | None:
    value = plain(call.policy_context.get("environment")) if call.policy_context is not None else None
    return value if isinstance(value, str) else None


_READERS: dict[str, Callable[[Call, int], Hashable]] = {
    "identity_required": _read_person,
    "user_groups": _read_groups,
    "data_source_id": lambda call, _: call.data_source_id,
    "agent_ids": lambda call, _: call.agent_id,
    "capabilities": lambda call, _: call.capability,
    "environments": _read_environment,
    "hours": lambda _, at: at // 1_000_000,
}


def _unknown(condition: str, why: str, settle: str) -> Unknown:
    return Unknown(condition=f"match.{condition}", why=why, settle=settle)


_NOT_AS_WRITTEN = "is not given, or is not written as the policy writes it"
UNKNOWN = {
    "identity_required": _unknown("identity_required", "the identity names nobody", "pass identity with a user_id"),
    "user_groups": _unknown(
        "user_groups",
        "the call carries no identity, or a group is not written as the policy writes it",
        "pass identity=Identity(user_id, groups) from the application",
    ),
    "data_source_id": _unknown("data_source_id", f"data_source_id {_NOT_AS_WRITTEN}", "pass data_source_id=..."),
    "agent_ids": _unknown("agent_ids", f"agent_id {_NOT_AS_WRITTEN}", "name the agent as the policy does"),
    "capabilities": _unknown(
        "capabilities",
        "the call's name lies under the policy's, or differs in letter case alone",
        "name the capability as the policy does",
    ),
    "environments": _unknown(
        "environments", f"policy_context.environment {_NOT_AS_WRITTEN}", "pass policy_context={'environment': ...}"
    ),
    "hours": _unknown("hours", "the time of the call lies outside the calendar", "mend the clock"),
}
