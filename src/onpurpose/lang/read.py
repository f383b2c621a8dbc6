"""YAML text -> `Policy`, or every problem that keeps it from being one."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from onpurpose.core.outcome import BY_NAME, Outcome
from onpurpose.core.policy import (
    AMOUNT_KEYS,
    APPROVAL_TIMEOUT_SECONDS,
    PATH_KEYS,
    SECTIONS,
    Condition,
    Policy,
    RiskLevel,
    Rule,
)
from onpurpose.core.span import PolicyError, Problem, Span
from onpurpose.lang import shapes
from onpurpose.lang.arguments import arguments
from onpurpose.lang.conditions import CONDITIONS, capability
from onpurpose.lang.decoding import MAX_BYTES
from onpurpose.lang.nodes import Mapping, Node, Scalar, Sequence, compose, nothing
from onpurpose.lang.report import Place, Report, nearest, shortened
from onpurpose.lang.routing import ASKING_READERS, ROUTE_KEYS, ROUTE_READERS, route_of, tell_needless

_STEP, _DROPPED = 16, 1024
"""Rules that are read, and that are let go of, between two yields: about 0.04 ms."""

_HASHED = 1 << 16
"""Bytes that are hashed between two yields: about 0.04 ms."""

_SETTINGS = ("risk_levels", "amount_keys", "path_keys", *ASKING_READERS)
POLICY_KEYS = (*(str(outcome) for outcome in SECTIONS), "block", *_SETTINGS)
"""Every key of a policy; `block` is another word for `deny`."""

RULE_KEYS = ("capability", *CONDITIONS, "args", *ROUTE_KEYS)
"""Every key of a rule."""

T = TypeVar("T")

_FIRST_WORDS = "begin with a section of rules: `allow:`, and under it `  - capability: files.read`"


def parse(text: bytes | str, source: str = "<policy>", *, limit: int = MAX_BYTES) -> Policy:
    """The policy that the text states. Raises `PolicyError` with every problem, in the text's order.

    `source` names the text in messages; `limit` is the most that it may measure, in bytes.
    """
    return drained(parse_steps(text, source, limit=limit))


def load(path: str | Path, *, limit: int = MAX_BYTES) -> Policy:
    """The policy in a file. Raises `PolicyError`, also where the file cannot be read."""
    return parse(read_bytes(path, limit), str(path), limit=limit)


def read_bytes(path: str | Path, limit: int = MAX_BYTES) -> bytes:
    """A file's first `limit` + 1 bytes. Raises `PolicyError` where it cannot be read."""
    try:
        with Path(path).open("rb") as file:
            return file.read(limit + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        message = f"the file cannot be read: {why.lower()}"
        cure = "check the path and its permissions"
        problem = Problem(span=Span(str(path), 1, 1), code="unreadable-file", message=message, help=cure)
        raise PolicyError((problem,)) from error


def drained(steps: Generator[None, None, T]) -> T:
    """Run a generator of steps to its end; what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def parse_steps(
    text: bytes | str, source: str = "<policy>", *, limit: int = MAX_BYTES
) -> Generator[None, None, Policy]:
    """As `parse`, yielding about every 0.05 ms, so that others may run in between."""
    report = Report(source)
    root = yield from compose(text, report, limit)
    reader = _Reader(report)
    yield from reader.policy(root)
    report.raise_if_any()
    yield
    digest = yield from _digest(memoryview(text.encode() if isinstance(text, str) else text))
    return (yield from reader.built(digest))


def _digest(text: memoryview) -> Generator[None, None, str]:
    hashed = hashlib.sha256()
    for start in range(0, len(text), _HASHED):
        hashed.update(text[start : start + _HASHED])
        yield
    return hashed.hexdigest()


class _Reader:
    """Reads one policy, section by section."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._rules: dict[Outcome, list[Rule]] = {}
        self._sections: dict[Outcome, Span] = {}
        self._settings: dict[str, Any] = {}

    def built(self, digest: str) -> Generator[None, None, Policy]:
        """The policy, once it was read without a problem."""
        gathered: list[Rule] = []
        for outcome in SECTIONS:
            section = self._rules.get(outcome, [])
            for start in range(0, len(section), _DROPPED):
                gathered += section[start : start + _DROPPED]
                yield
        rules = tuple(gathered)
        yield
        for taken in (gathered, *self._rules.values()):
            while taken:
                del taken[-_DROPPED:]
                yield
        return Policy(
            rules=rules,
            source=self._report.source,
            digest=digest,
            sections=tuple((outcome, self._sections[outcome]) for outcome in SECTIONS if outcome in self._sections),
            risk_levels=MappingProxyType(self._settings.get("risk_levels", {})),
            amount_keys=self._settings.get("amount_keys", AMOUNT_KEYS),
            path_keys=self._settings.get("path_keys", PATH_KEYS),
            approval_timeout_seconds=self._settings.get("approval_timeout_seconds", APPROVAL_TIMEOUT_SECONDS),
            route=route_of(self._settings),
        )

    def policy(self, root: Node | None) -> Generator[None, None, None]:
        """Read the whole document."""
        report = self._report
        if root is None or nothing(root):
            if not report.problems:
                report.on(Place(1, 1), "empty", "the policy is empty", _FIRST_WORDS)
            return
        for key, name, value in shapes.pairs(root, report, "policy", _FIRST_WORDS, POLICY_KEYS):
            if name in BY_NAME:
                yield from self._section(key, name, value)
            else:
                self._settings[name] = _READ_SETTING[name](value, report, name)

    def _section(self, key: Scalar, name: str, node: Node) -> Generator[None, None, None]:
        outcome = BY_NAME[name]
        if outcome in self._sections:
            message = f"`{name}` is the section `{outcome}` again, first on line {self._sections[outcome].line}"
            self._report.on(key, "duplicate-key", message, "keep one section: `block` is another word for `deny`")
        self._sections.setdefault(outcome, self._report.span(key))
        if nothing(node):
            return
        if type(node) is not Sequence:
            cure = f"write `{name}:`, and under it `  - capability: ...`"
            shapes.expected(node, self._report, name, "a list of rules", cure)
            return
        rules = self._rules.setdefault(outcome, [])
        node.children.reverse()
        while node.children:  # what was read is dropped at once: a large tree takes milliseconds to free
            rule = self._rule(node.children.pop(), outcome)
            if rule is not None:
                rules.append(rule)
            if len(node.children) % _STEP == 0:
                yield

    def _rule(self, node: Node, outcome: Outcome) -> Rule | None:
        report = self._report
        if type(node) is not Mapping:
            shapes.expected(node, report, "rule", "a mapping", _rule_cure(node))
            return None
        named: str | None = None
        missing = True
        conditions: list[Condition] = []
        asked: dict[str, Any] = {}
        for key, value in node.pairs():
            name = str(key.value)
            if name == "capability":
                missing = False
                named = capability(value, report)
            elif name in CONDITIONS:
                condition = CONDITIONS[name](value, report, name)
                if condition is not None:
                    conditions.append(condition)
            elif name == "args":
                conditions += arguments(value, report) or ()
            elif name in ROUTE_READERS:
                asked[name] = ROUTE_READERS[name](value, report, name)
                if outcome is not Outcome.REQUIRE_APPROVAL:
                    tell_needless(key, report, name, f"a rule in `{outcome}`")
            else:
                shapes.unknown_key(key, report, "rule", RULE_KEYS)
                missing = missing and nearest(name, RULE_KEYS) != "capability"
        if missing:
            report.on(node, "missing-capability", "a rule must name a `capability`", "add `capability: ...`")
        if named is None:
            return None
        return Rule(
            outcome=outcome,
            capability=named,
            conditions=tuple(conditions),
            span=report.span(node),
            route=route_of(asked),
        )


def _rule_cure(node: Node) -> str:
    if type(node) is not Scalar or type(node.value) is not str:
        return "write `- capability: ...`"
    written = node.value.strip()
    if written.startswith("capability:"):
        return f"put a space after the colon: `- capability: {shortened(written[11:])}`"
    return f"write `- capability: {shortened(written)}`"


def _risk_levels(node: Node, report: Report, name: str) -> dict[RiskLevel, Outcome]:
    levels = tuple(str(level) for level in RiskLevel)
    found: dict[RiskLevel, Outcome] = {}
    if isinstance(node, Mapping):
        shapes.not_empty(node, report, name)
    for key, level, value in shapes.pairs(node, report, name, f"write `{name}: {{high: {{action: deny}}}}`"):
        if level not in levels:
            report.on(key, "unknown-level", f"`{shortened(level)}` is no risk level", shapes.choice(level, levels))
        action = _action(value, report, level)
        if action is not None and level in levels:
            found[RiskLevel(level)] = action
    return found


def _action(node: Node, report: Report, level: str) -> Outcome | None:
    found: Outcome | None = None
    if isinstance(node, Mapping):
        shapes.not_empty(node, report, level)
    example = f"write `{shortened(level)}: {{action: deny}}`"
    for _key, _name, value in shapes.pairs(node, report, shortened(level), example, ("action",)):
        found = shapes.word_of(value, report, "action", BY_NAME)
    return found


def _key_names(node: Node, report: Report, name: str) -> tuple[str, ...]:
    if type(node) is not Sequence:
        shapes.expected(node, report, name, "a list of texts", f"write `{name}: [...]`")
        return ()
    found: dict[str, None] = {}
    for word, child in zip(shapes.trimmed(node, report, name) or (), node.children, strict=False):
        if word.lower() in found:
            shapes.duplicate(child, report, name)
        found[word.lower()] = None
    return tuple(found)


_READ_SETTING: dict[str, Any] = {
    "risk_levels": _risk_levels,
    "amount_keys": _key_names,
    "path_keys": _key_names,
    **ASKING_READERS,
}
