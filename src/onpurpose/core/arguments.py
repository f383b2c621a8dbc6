"""The tests of an `args` condition, compiled: each a function from a value to a Kleene answer."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from onpurpose.core.domains import host_of, in_domain
from onpurpose.core.facts import Answer, Facts, needle
from onpurpose.core.numbers import Real, as_number, exact
from onpurpose.core.paths import prefix_of, read_path, under
from onpurpose.core.policy import (
    Argument,
    Compare,
    ContainsText,
    DomainIn,
    Equals,
    Exists,
    In,
    Matches,
    MaxItems,
    Not,
    Number,
    Operator,
    Prefix,
    Scalar,
    Suffix,
    Test,
    Under,
)  # fmt: skip
from onpurpose.core.text import fold, unreadable
from onpurpose.core.values import ABSENT, HIDDEN, OPAQUE, entries, plain

Place: TypeAlias = list[object]
"""What a path led to: values, `ABSENT` for each branch that ends early, `HIDDEN` behind what cannot be read."""

Check: TypeAlias = Callable[[Facts, object], Answer]

COMPARE: dict[Operator, Callable[[Real, Number], bool]] = {
    Operator.GT: operator.gt,
    Operator.GTE: operator.ge,
    Operator.LT: operator.lt,
    Operator.LTE: operator.le,
}


def compile_argument(argument: Argument) -> Callable[[Facts], Answer]:
    """The condition as a function of the facts."""
    path, verdict = argument.path, _all_of(argument.tests)

    def condition(facts: Facts) -> Answer:
        if not isinstance(facts.payload, Mapping):
            return None
        return verdict(facts, list(reach(facts.payload, path)))

    return condition


def reach(value: object, path: tuple[str, ...]) -> Iterator[object]:
    """Everything the path leads to from the value."""
    if not path:
        yield value
    elif value is OPAQUE:
        yield HIDDEN
    elif path[0] == "*":
        children = [child for _, child in entries(value)]
        for child in children or [ABSENT]:
            yield from reach(child, path[1:])
    else:
        child = plain(value[path[0]]) if isinstance(value, Mapping) and path[0] in value else ABSENT
        yield from reach(child, path[1:]) if child is not ABSENT else (ABSENT,)


def _all_of(tests: tuple[Test, ...]) -> Callable[[Facts, Place], Answer]:
    """Every test holds: those of single values together, value by value; those of the place itself."""
    checks = [_CHECKS[type(test)](test) for test in tests if type(test) in _CHECKS]
    places = [_PLACES[type(test)](test) for test in tests if type(test) in _PLACES]

    def verdict(facts: Facts, place: Place) -> Answer:
        answers = [of_place(facts, place) for of_place in places]
        if checks:
            answers.append(agreed([both([check(facts, value) for check in checks]) for value in items(place)]))
        return both(answers)

    return verdict


def both(answers: list[Answer]) -> Answer:
    """Kleene's *and*."""
    return False if False in answers else None if None in answers else True


def either(answers: list[Answer]) -> Answer:
    """Kleene's *or*."""
    return True if True in answers else None if None in answers else False


def agreed(answers: list[Answer]) -> Answer:
    """The answer that all give; unknown where they differ, one is unknown, or there is none."""
    return answers[0] if answers and all(answer is answers[0] for answer in answers) else None


def items(place: Iterable[object]) -> Iterator[object]:
    """The single values of a place: lists stand for their items, at any depth."""
    for value in place:
        if isinstance(value, list | tuple):
            yield from items([plain(item) for item in value])
        else:
            yield value


# -- tests of a single value


def _equals(test: Equals) -> Check:
    return lambda facts, value: _same(value, test.value)


def _in(test: In) -> Check:
    def check(facts: Facts, value: object) -> Answer:
        answers = [_same(value, scalar) for scalar in test.values]
        return True if True in answers else False if False in answers else None

    return check


def _same(value: object, scalar: Scalar) -> Answer:
    if isinstance(scalar, bool) or isinstance(value, bool):
        return value is scalar if isinstance(value, bool) and isinstance(scalar, bool) else None
    if isinstance(scalar, str):
        return value == scalar if isinstance(value, str) and not unreadable(value) else None
    number = as_number(value)
    return None if number is None else exact(number) == scalar


def _on_text(holds: Callable[[str], Answer]) -> Check:
    def check(facts: Facts, value: object) -> Answer:
        return holds(value) if isinstance(value, str) and not unreadable(value) else None

    return check


def _prefix(test: Prefix) -> Check:
    return _on_text(lambda text: text.startswith(test.texts))


def _suffix(test: Suffix) -> Check:
    return _on_text(lambda text: text.endswith(test.texts))


def _matches(test: Matches) -> Check:
    return _on_text(lambda text: test.pattern.fullmatch(text) is not None)


def _contains(test: ContainsText) -> Check:
    needles = [needle(text) for text in test.texts]

    def check(facts: Facts, value: object) -> Answer:
        if not isinstance(value, str):
            return None
        if any(sought.text in value for sought in needles):
            return True
        if unreadable(value):
            return None
        folded = fold(value)
        return None if any(sought.folded in folded for sought in needles) else False

    return check


def _compare(test: Compare) -> Check:
    compares, limit = COMPARE[test.operator], test.limit

    def check(facts: Facts, value: object) -> Answer:
        number = as_number(value)
        return None if number is None else compares(exact(number), limit)

    return check


def _domain_in(test: DomainIn) -> Check:
    def holds(text: str) -> Answer:
        host = host_of(text)
        return None if host is None else any(in_domain(host, domain) for domain in test.domains)

    return _on_text(holds)


def _under(test: Under) -> Check:
    prefixes = [prefix_of(path) for path in test.prefixes]

    def check(facts: Facts, value: object) -> Answer:
        reading = read_path(value, facts.base) if isinstance(value, str) else None
        return None if reading is None else either([under(reading, prefix) for prefix in prefixes])

    return check


# -- tests of the place itself


def _max_items(test: MaxItems) -> Callable[[Facts, Place], Answer]:
    def of_place(facts: Facts, place: Place) -> Answer:
        return agreed([len(v) <= test.limit if isinstance(v, list | tuple) else None for v in place])

    return of_place


def _exists(test: Exists) -> Callable[[Facts, Place], Answer]:
    def of_place(facts: Facts, place: Place) -> Answer:
        found = either([None if value is HIDDEN else value is not ABSENT for value in place])
        return None if found is None else found is test.wanted

    return of_place


def _not(test: Not) -> Callable[[Facts, Place], Answer]:
    verdict = _all_of(test.tests)

    def of_place(facts: Facts, place: Place) -> Answer:
        answer = verdict(facts, place)
        return None if answer is None else not answer

    return of_place


_CHECKS: dict[type, Callable[..., Check]] = {
    Equals: _equals,
    In: _in,
    Prefix: _prefix,
    Suffix: _suffix,
    Matches: _matches,
    ContainsText: _contains,
    Compare: _compare,
    DomainIn: _domain_in,
    Under: _under,
}
_PLACES: dict[type, Callable[..., Callable[[Facts, Place], Answer]]] = {
    MaxItems: _max_items,
    Exists: _exists,
    Not: _not,
}
