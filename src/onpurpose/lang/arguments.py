"""The condition `args`: dotted paths into the payload, and the tests of what they lead to."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeAlias

from onpurpose.core.call import MAX_DEPTH
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
    Operator,
    Prefix,
    Scalar,
    Suffix,
    Test,
    Under,
)
from onpurpose.lang import shapes
from onpurpose.lang.conditions import path_prefixes
from onpurpose.lang.nodes import Mapping, Node, Sequence
from onpurpose.lang.nodes import Scalar as ScalarNode
from onpurpose.lang.report import Report, shortened

TestReader: TypeAlias = Callable[[Node, Report, str], Test | None]

MAX_NOT = 8
"""How deep `not` may nest."""

MAX_PATTERN = 1000
"""How long a regular expression may be, in characters."""

_PATTERN_MEMORY = 1 << 20
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


class Expression:
    """A regular expression in RE2's syntax, matched in linear time. Equal if written equally."""

    __slots__ = ("_compiled", "pattern")

    def __init__(self, pattern: str) -> None:
        """Compile the pattern. Raises `ValueError` with RE2's words if it cannot be."""
        import re2  # noqa: PLC0415  only a policy that uses `matches` pays for it

        options = re2.Options()
        options.max_mem = _PATTERN_MEMORY
        options.log_errors = False
        self.pattern = pattern
        try:
            self._compiled: Any = re2.compile(pattern, options)
        except re2.error as error:
            words = error.args[0]
            raise ValueError(words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)) from None

    def fullmatch(self, text: str, /) -> object | None:
        """Something when the whole text matches, else `None`."""
        found: object | None = self._compiled.fullmatch(text)
        return found

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.pattern == other.pattern

    def __hash__(self) -> int:
        return hash(self.pattern)

    def __repr__(self) -> str:
        return f"Expression({self.pattern!r})"

    def __reduce__(self) -> tuple[type[Expression], tuple[str]]:
        return Expression, (self.pattern,)


def arguments(node: Node, report: Report) -> list[Argument] | None:
    """The conditions that `args` states, one a path; `None` after telling a problem."""
    if isinstance(node, Mapping) and not shapes.not_empty(node, report, "args"):
        return None
    found: list[Argument] = []
    whole = isinstance(node, Mapping)
    for key, path, value in shapes.pairs(node, report, "args", "write `args: {recipient: {equals: ...}}`"):
        reached = segments(key, path, report)
        tests = _tests(value, report, path, 0)
        if reached is None or tests is None:
            whole = False
        else:
            found.append(Argument(reached, tests))
    return found if whole else None


def segments(key: Node, path: str, report: Report) -> tuple[str, ...] | None:
    """The segments of a dotted path into the payload; `None` after telling what is wrong with it, at `key`."""
    found = tuple(path.split("."))
    if "" in found:
        report.on(key, "malformed-path", "a path into the payload has no empty segment", "write `items.*.sku`")
    elif any(segment != segment.strip() for segment in found):
        report.on(key, "white-space", "a path into the payload has white space around a segment", "remove it")
    elif any("*" in segment and segment != "*" for segment in found):
        report.on(key, "malformed-path", "a `*` stands for a whole segment", "write `items.*.sku`")
    elif len(found) > MAX_DEPTH:
        report.on(key, "malformed-path", f"a path has at most {MAX_DEPTH} segments", "shorten it")
    else:
        return found
    return None


def _tests(node: Node, report: Report, path: str, depth: int) -> tuple[Test, ...] | None:
    if isinstance(node, Mapping) and not shapes.not_empty(node, report, path):
        return None
    found: list[Test] = []
    cure = f"write `{shortened(path)}: {{equals: ...}}`"
    whole = isinstance(node, Mapping)
    for key, name, value in shapes.pairs(node, report, shortened(path), cure):
        test: Test | None = None
        if name == "not":
            test = _not(key, value, report, depth + 1)
        elif name in TESTS:
            test = TESTS[name](value, report, name)
        else:
            report.on(key, "unknown-key", f"`{shortened(name)}` is no test", shapes.choice(name, (*TESTS, "not")))
        if test is None:
            whole = False
        else:
            found.append(test)
    return tuple(found) if whole else None


def _not(key: ScalarNode, node: Node, report: Report, depth: int) -> Test | None:
    if depth > MAX_NOT:
        report.on(key, "too-deep", f"`not` is nested deeper than {MAX_NOT}", "two of them cancel out")
        return None
    tests = _tests(node, report, "not", depth)
    return None if tests is None else Not(tests)


# -- the tests


def scalar(node: Node, report: Report, name: str) -> Scalar | None:
    """The node's text, number or truth value."""
    if isinstance(node, ScalarNode):
        value = node.value
        if isinstance(value, str | int | Decimal):
            return value
    shapes.expected(node, report, name, "a text, a finite number or a truth value", f"write `{name}: ...`")
    return None


def _equals(node: Node, report: Report, name: str) -> Test | None:
    value = scalar(node, report, name)
    return None if value is None else Equals(value)


def _in(node: Node, report: Report, name: str) -> Test | None:
    if not isinstance(node, Sequence):
        shapes.expected(node, report, name, "a list", f"write `{name}: [...]`")
        return None
    found: dict[tuple[bool, Scalar], Scalar] = {}
    whole = shapes.not_empty(node, report, name)
    for child in node.children:
        value = scalar(child, report, name)
        key = (isinstance(value, bool), "" if value is None else value)
        if value is None:
            whole = False
        elif key in found:
            shapes.duplicate(child, report, name)
            whole = False
        else:
            found[key] = value
    return In(tuple(found.values())) if whole else None


def _of_texts(make: Callable[[tuple[str, ...]], Test]) -> TestReader:
    def read(node: Node, report: Report, name: str) -> Test | None:
        found = shapes.texts(node, report, name)
        return None if found is None else make(found)

    return read


def _matches(node: Node, report: Report, name: str) -> Test | None:
    pattern = shapes.text(node, report, name)
    if pattern is None:
        return None
    if len(pattern) > MAX_PATTERN:
        message = f"a regular expression has at most {MAX_PATTERN} characters"
        report.on(node, "malformed-expression", message, "shorten it, or use `in`")
        return None
    try:
        return Matches(Expression(pattern))
    except ValueError as error:
        message = f"RE2 cannot read the expression: {shortened(str(error))}"
        cure = "write it in RE2's syntax, in single quotes; it has no look-around and no back-references"
        report.on(node, "malformed-expression", message, cure)
        return None


def _compare(operator: Operator) -> TestReader:
    def read(node: Node, report: Report, name: str) -> Test | None:
        limit = shapes.number(node, report, name)
        return None if limit is None else Compare(operator, limit)

    return read


def _domain_in(node: Node, report: Report, name: str) -> Test | None:
    written = shapes.texts(node, report, name)
    if written is None:
        return None
    nodes = node.children if isinstance(node, Sequence) else [node]
    found: dict[str, None] = {}
    for child, domain in zip(nodes, written, strict=True):
        cure = _domain_cure(domain)
        if cure is not None:
            report.on(child, "malformed-domain", f"`{shortened(domain)}` is no domain", cure)
        elif domain.lower() in found:
            shapes.duplicate(child, report, name)
        else:
            found[domain.lower()] = None
    return DomainIn(tuple(found)) if len(found) == len(written) else None


def _domain_cure(domain: str) -> str | None:
    """How to write what was meant; `None` for a valid domain."""
    bare = domain.rpartition("@")[2].partition("://")[2] or domain.rpartition("@")[2]
    bare = bare.removeprefix("*.").strip(".").partition("/")[0].partition(":")[0].strip().lower()
    if not domain.isascii():
        return "write it in ASCII, as `xn--...`"
    if len(domain) <= 253 and all(_LABEL.fullmatch(label) for label in domain.lower().split(".")):
        return None
    if bare and bare != domain.lower() and all(_LABEL.fullmatch(label) for label in bare.split(".")):
        return f"write `{shortened(bare)}`; its subdomains count too"
    return "write labels of letters, digits and `-`, parted by dots: `example.com`"


def _under(node: Node, report: Report, name: str) -> Test | None:
    found = path_prefixes(node, report, name)
    return None if found is None else Under(found)


def _max_items(node: Node, report: Report, name: str) -> Test | None:
    limit = shapes.whole_number(node, report, name, 0)
    return None if limit is None else MaxItems(limit)


def _exists(node: Node, report: Report, name: str) -> Test | None:
    wanted = shapes.truth(node, report, name)
    return None if wanted is None else Exists(wanted)


TESTS: dict[str, TestReader] = {
    "equals": _equals,
    "in": _in,
    "prefix": _of_texts(Prefix),
    "suffix": _of_texts(Suffix),
    "matches": _matches,
    "contains": _of_texts(ContainsText),
    **{str(operator): _compare(operator) for operator in Operator},
    "domain_in": _domain_in,
    "under": _under,
    "max_items": _max_items,
    "exists": _exists,
}
"""What reads each test, by its key; `not` is not among them, since it nests."""
