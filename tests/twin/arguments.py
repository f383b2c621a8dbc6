"""The `args` condition: walk to the place, test what stands there."""

from __future__ import annotations

from decimal import Decimal

from onpurpose.core import policy as p
from tests.twin.amounts import compare
from tests.twin.kleene import Answer, agreed, both, either, opposite
from tests.twin.paths import domain_in, under
from tests.twin.text import contains_one
from tests.twin.tree import Node, readable

ABSENT = Node("absent")


def places(node: Node, path: tuple[str, ...]) -> list[Node]:
    """Where the path leads: nodes, `ABSENT` where it ends early, hidden where it cannot be followed."""
    if not path or node.kind == "opaque":
        return [node if not path else Node("hidden")]
    if path[0] == "*" and node.kind in ("list", "mapping"):
        return [place for child in node.children() for place in places(child, path[1:])]
    if path[0] != "*" and node.kind == "mapping":
        for key, value in node.entries:
            if key == path[0]:
                return places(value, path[1:])
    return [ABSENT]


def flat(node: Node) -> list[Node]:
    """A list stands for its items; anything else for itself."""
    if node.kind != "list":
        return [node]
    return [value for item in node.items for value in flat(item)]


def exists(ends: list[Node]) -> Answer:
    """Whether a branch reaches something."""
    return either(None if end.kind == "hidden" else end is not ABSENT for end in ends)


def few(end: Node, limit: int) -> Answer:
    """Whether a list has at most this many items."""
    return len(end.items) <= limit if end.kind == "list" else None


def argument(tree: Node | None, condition: p.Argument, cwd: object) -> Answer:
    """Whether every value that the path leads to passes every test."""
    if tree is None or tree.kind != "mapping":
        return None
    ends = places(tree, condition.path)
    values = [value for end in ends for value in flat(end)]
    return agreed(both(passes(value, test, ends, cwd) for test in condition.tests) for value in values or [ABSENT])


def passes(value: Node, test: p.Test, ends: list[Node], cwd: object) -> Answer:
    """One test of one value; the tests of the place itself are the same for each of its values."""
    if isinstance(test, p.Not):
        return opposite(both(passes(value, inner, ends, cwd) for inner in test.tests))
    if isinstance(test, p.Exists):
        there = exists(ends)
        return there if test.wanted else opposite(there)
    if isinstance(test, p.MaxItems):
        return agreed(few(end, test.limit) for end in ends)
    if isinstance(test, p.Equals):
        return same(value, test.value)
    if isinstance(test, p.In):
        return one_of(value, test.values)
    if isinstance(test, p.Compare):
        return None if value.number is None else compare(value.number, test.operator, test.limit)
    if value.text is None or value.kind == "number":
        return None
    return text_passes(value.text, test, cwd)


def text_passes(text: str, test: p.Test, cwd: object) -> Answer:
    """The tests that only a text can pass."""
    if isinstance(test, p.ContainsText):
        return either(contains_one(text, needle) for needle in test.texts)
    if not readable(text):
        return None
    if isinstance(test, p.Prefix):
        return any(text.startswith(start) for start in test.texts)
    if isinstance(test, p.Suffix):
        return any(text.endswith(end) for end in test.texts)
    if isinstance(test, p.Matches):
        return test.pattern.fullmatch(text) is not None
    if isinstance(test, p.DomainIn):
        return either(domain_in(text, domain) for domain in test.domains)
    assert isinstance(test, p.Under)
    return either(under(text, prefix, cwd) for prefix in test.prefixes)


def same(value: Node, wanted: p.Scalar) -> Answer:
    """Equal and of one type class; unknown across classes."""
    if isinstance(wanted, bool):
        return None if value.boolean is None else value.boolean == wanted
    if isinstance(wanted, (int, Decimal)):
        return None if value.number is None or value.number.is_nan() else value.number == wanted
    if value.text is None or value.kind == "number" or not readable(value.text):
        return None
    return value.text == wanted


def one_of(value: Node, wanted: tuple[p.Scalar, ...]) -> Answer:
    """Equal to one; unknown only when none is of its type class."""
    answers = [answer for answer in (same(value, scalar) for scalar in wanted) if answer is not None]
    return any(answers) if answers else None
