"""What the match fields of purpose policies answer of a call, and the elements of a purpose: look-ups only."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from onpurpose.core.call import Call
from onpurpose.core.compile import covers
from onpurpose.core.decision import Unknown
from onpurpose.core.facts import Answer
from onpurpose.core.purpose import Match, Window
from onpurpose.core.values import plain

_T = TypeVar("_T")

Answers: TypeAlias = tuple[int, int]
"""The set of policies that surely match, and the set of those that possibly do."""

Sets: TypeAlias = dict[Any, int]
"""The alternatives of a field, each with the set of policies that name it."""

Read: TypeAlias = Callable[[Call, int], Hashable]
Tell: TypeAlias = Callable[[Any], Answers]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST, _FEW = 1024, 64  # answers that are remembered, of so many groups at most: names may come from anywhere


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
        if type(touched) is not tuple and not isinstance(touched, tuple | list):
            return None
        for element in touched:
            if not self.covers(element):
                return tuple([one for one in touched if not self.covers(one)])
        return ()

    def covers(self, element: object) -> bool:
        """Whether the element is one of these, or a column of a table with `.*`."""
        if not isinstance(element, str):
            return False
        if element in self._exact:
            return True
        table, _, column = element.rpartition(".")
        return column != "" and table in self._tables

    def nearly(self, element: object) -> bool:
        """Whether it would be covered but for letter case and outer white space."""
        return isinstance(element, str) and Elements(map(_folded, self._exact)).covers(_folded(element))


class Field:
    """One match field of all policies of a purpose, asked at once. Bit n of a set stands for policy n.

    `read` takes the fact from the call, `None` where the call does not carry it; `known` holds, by
    fact, the sets of policies whose field surely matches, and possibly.
    """

    __slots__ = ("_all", "_silent", "_tell", "known", "name", "read")

    def __init__(self, name: str, wanted: list[tuple[Hashable, ...] | None]) -> None:
        self.name = name
        self.read, tell = _FIELDS[name]
        sets: dict[Hashable, int] = {}
        self._all = (1 << len(wanted)) - 1
        self._silent = 0
        for number, alternatives in enumerate(wanted):
            if alternatives is None:
                self._silent |= 1 << number
            for alternative in alternatives or ():
                sets[alternative] = sets.get(alternative, 0) | 1 << number
        self._tell = tell(sets)
        self.known: dict[Hashable, Answers] = {}

    def learn(self, value: Hashable) -> Answers:
        """The answers for a fact, remembered unless it is too large to keep."""
        if value is None:
            return remember(self.known, value, (self._silent, self._all))
        surely, possibly = self._tell(value)
        answers = self._silent | surely, self._silent | possibly
        if isinstance(value, tuple) and len(value) > _FEW:  # the groups of one person alone
            return answers
        return remember(self.known, value, answers)


def fields(matches: list[Match]) -> Iterator[Field]:
    """The fields that any of the policies speaks of."""
    for name in _FIELDS:
        wanted = [_alternatives(getattr(match, name)) for match in matches]
        if any(alternatives is not None for alternatives in wanted):
            yield Field(name, wanted)


def _alternatives(wanted: Any) -> tuple[Hashable, ...] | None:
    """What any one of satisfies the field; `None` where the policy does not speak of it."""
    if isinstance(wanted, bool):
        return (True,) if wanted else None
    return None if wanted is None else tuple(wanted)


def _among(sets: Sets) -> Tell:
    """Equal to one; unknown where only letter case or outer white space differ."""
    nearly: dict[str, int] = {}
    for text, those in sets.items():
        nearly[_folded(text)] = nearly.get(_folded(text), 0) | those

    def tell(value: Any) -> Answers:
        surely = sets.get(value, 0)
        return surely, surely | nearly.get(_folded(value), 0)

    return tell


def _any_among(sets: Sets) -> Tell:
    """The same of any of several texts."""
    tell_one = _among(sets)

    def tell(values: Any) -> Answers:
        surely = possibly = 0
        for value in values:
            of_one, nearly = tell_one(value)
            surely |= of_one
            possibly |= nearly
        return surely, possibly

    return tell


def _each(ask: Callable[[Any, Any], Answer]) -> Callable[[Sets], Tell]:
    """Ask every alternative; no look-up finds it."""

    def make(sets: Sets) -> Tell:
        def tell(value: Any) -> Answers:
            surely = possibly = 0
            for alternative, those in sets.items():
                answer = ask(alternative, value)
                if answer is not False:
                    possibly |= those
                if answer is True:
                    surely |= those
            return surely, possibly

        return tell

    return make


def _is_in(window: Window, second: int) -> Answer:
    """Whether the second (since 1970, UTC) lies in the window, on the clocks of its zone."""
    try:
        local = (_EPOCH + timedelta(seconds=second)).astimezone(window.zone)
    except (OverflowError, ValueError):
        return None
    return local.weekday() in window.days and window.start <= local.hour * 60 + local.minute < window.end


def _folded(text: str) -> str:
    return text.strip().casefold()


def _read_person(call: Call, _: int) -> Answer:
    """Anonymity is no missing fact; an identity that names nobody is."""
    identity = call.identity
    return False if identity is None else True if identity.user_id.strip() else None


def _read_groups(call: Call, _: int) -> tuple[str, ...] | None:
    return None if call.identity is None else tuple(call.identity.groups)


def _read_environment(call: Call, _: int) -> str | None:
    if call.policy_context is None:
        return None
    value = call.policy_context.get("environment")
    if type(value) is not str:
        value = plain(value)
    return value if isinstance(value, str) else None


_FIELDS: dict[str, tuple[Read, Callable[[Sets], Tell]]] = {
    "identity_required": (_read_person, _each(lambda required, person: person is required)),
    "user_groups": (_read_groups, _any_among),
    "data_source_id": (lambda call, _: call.data_source_id, _among),
    "agent_ids": (lambda call, _: call.agent_id, _among),
    "capabilities": (lambda call, _: call.capability, _each(covers)),
    "environments": (_read_environment, _among),
    "hours": (lambda _, at: at // 1_000_000, _each(_is_in)),
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
