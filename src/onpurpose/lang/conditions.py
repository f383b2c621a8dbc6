"""A rule's conditions: key and node -> value, or every problem that keeps it from being one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from onpurpose.core.call import MAX_NAME
from onpurpose.core.paths import normal
from onpurpose.core.policy import (
    Amount,
    CallerDepth,
    Condition,
    Contains,
    ContextIs,
    ContextKey,
    Operator,
    PathPrefix,
)
from onpurpose.lang import shapes
from onpurpose.lang.nodes import Node, Sequence
from onpurpose.lang.report import Report, shortened

ConditionReader: TypeAlias = Callable[[Node, Report, str], Condition | None]

_CAPABILITY = re.compile(r"(?:[A-Za-z0-9_-]+|\*)(?:\.(?:[A-Za-z0-9_-]+|\*))*")
_NOT_IN_SEGMENT = re.compile(r"[^A-Za-z0-9_-]+")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


def capability(node: Node, report: Report) -> str | None:
    """The capability that a rule names: dotted segments, each a name or a lone `*`."""
    name = shapes.text(node, report, "capability")
    if name is None:
        return None
    if len(name) > MAX_NAME:
        message = f"a capability has at most {MAX_NAME} characters"
        report.on(node, "malformed-capability", message, "shorten it")
        return None
    if _CAPABILITY.fullmatch(name):
        return name
    message = f"`{shortened(name)}` is no capability: segments of letters, digits, `_` and `-`, parted by dots"
    report.on(node, "malformed-capability", message, _capability_cure(name))
    return None


def _capability_cure(name: str) -> str:
    if name != name.strip():
        return f"remove the white space around it: `{shortened(name.strip())}`"
    if not name.isascii():
        odd = next(char for char in name if not char.isascii())
        return f"write ASCII letters; U+{ord(odd):04X} is none"
    if "*" in name:
        return "a `*` stands for a whole segment: `payments.*`"
    if "" in name.split("."):
        return "remove the empty segment"
    return f"write `{shortened('.'.join(_NOT_IN_SEGMENT.sub('_', segment) for segment in name.split('.')))}`"


def path_prefixes(node: Node, report: Report, name: str) -> tuple[str, ...] | None:
    """The absolute paths that the node names, in normal form, none twice."""
    written = shapes.texts(node, report, name)
    if written is None:
        return None
    nodes = node.children if isinstance(node, Sequence) else [node]
    found: dict[str, None] = {}
    for child, path in zip(nodes, written, strict=True):
        prefix = _path_prefix(child, path, report, name)
        if prefix is not None and prefix in found:
            shapes.duplicate(child, report, name)
        elif prefix is not None:
            found[prefix] = None
    return tuple(found) if len(found) == len(written) else None


def _path_prefix(node: Node, path: str, report: Report, name: str) -> str | None:
    trouble = _path_trouble(path)
    if trouble is not None:
        message, cure = trouble
        report.on(node, "malformed-path", f"`{name}` {message}", cure)
        return None
    prefix = normal(path)
    if prefix is None:
        message = f"`{name}` leads through `/proc` or `/dev/fd`, from where a path leads anywhere"
        report.on(node, "malformed-path", message, "name the directory itself, or a shorter prefix")
    return prefix


def _path_trouble(path: str) -> tuple[str, str] | None:
    if path[:5].lower() == "file:":
        return "takes a path, not a URL", "write the path alone: `/etc`"
    if path[0] == "~" or "$" in path or "`" in path:
        return "is not expanded by a shell", "write the directory out: `/home/ops`"
    if "\\" in path:
        return "holds a backslash", "part the components by `/`"
    if path[0] != "/":
        return "must be absolute", f"begin with `/`: `{shortened('/' + path.strip())}`"
    if any(char < " " or char == "\x7f" for char in path):
        return "holds a control character", "remove it"
    if "*" in path:
        return "is no pattern", "a prefix covers all that lies under it: write `/etc` for `/etc/*`"
    if _ESCAPE.search(path):
        return "holds a percent-escape", "write the character itself"
    return None


def _contains(node: Node, report: Report, name: str) -> Condition | None:
    found = shapes.texts(node, report, name)
    return None if found is None else Contains(found)


def _path_prefix_condition(node: Node, report: Report, name: str) -> Condition | None:
    found = path_prefixes(node, report, name)
    return None if found is None else PathPrefix(found)


def _amount(operator: Operator) -> ConditionReader:
    def read(node: Node, report: Report, name: str) -> Condition | None:
        limit = shapes.number(node, report, name)
        if limit is None:
            return None
        if limit < 0:
            cure = f"magnitudes are compared, so write `{name}: {report.written(node).lstrip('-')}`"
            report.on(node, "out-of-range", f"`{name}` must not be negative", cure)
            return None
        return Amount(operator, limit)

    return read


def _caller_depth(operator: Operator) -> ConditionReader:
    def read(node: Node, report: Report, name: str) -> Condition | None:
        limit = shapes.whole_number(node, report, name, 0)
        return None if limit is None else CallerDepth(operator, limit)

    return read


def _context(key: ContextKey) -> ConditionReader:
    def read(node: Node, report: Report, name: str) -> Condition | None:
        found = shapes.trimmed(node, report, name)
        return None if found is None else ContextIs(key, found)

    return read


CONDITIONS: dict[str, ConditionReader] = {
    "contains": _contains,
    **{f"amount_{operator}": _amount(operator) for operator in Operator},
    "path_prefix": _path_prefix_condition,
    **{str(key): _context(key) for key in ContextKey},
    **{f"caller_depth_{operator}": _caller_depth(operator) for operator in Operator},
}
"""What reads each condition, by its key; `args` is not among them, since it makes several."""
