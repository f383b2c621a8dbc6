"""What a node must be: text, texts, number, mapping. Each returns `None` after telling the problem."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Mapping as Mapping_
from decimal import Decimal
from typing import NamedTuple, TypeVar

from onpurpose.core.policy import Number
from onpurpose.lang.nodes import Broken, Mapping, Node, Scalar, Sequence
from onpurpose.lang.report import Report, nearest, quoted, shortened

T = TypeVar("T")

_NUMBER_IN_TEXT = re.compile(r"\s*[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\s*")


def kind_of(node: Node) -> str:
    """What the node is, for a message: `a text`, `a number`, `a list` ..."""
    if isinstance(node, Sequence):
        return "a list"
    if not isinstance(node, Scalar):
        return "a mapping"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return "a truth value"
    return "a text" if isinstance(node.value, str) else "a number"


def expected(node: Node, report: Report, name: str, what: str, cure: str) -> None:
    """Tell that `name` wants something else than the node, unless the node's problem has been told."""
    if not isinstance(node, Broken):
        report.on(node, "wrong-type", f"`{name}` must be {what}, not {kind_of(node)}", cure)


def text(node: Node, report: Report, name: str) -> str | None:
    """The node's text, which is not empty."""
    if type(node) is Scalar:
        value = node.value
        if type(value) is str:
            if value:
                return value
            report.on(node, "empty", f"`{name}` must not be empty", "write a text, or remove the line")
            return None
        if value is not None:
            written = report.written(node)
            cure = f"quote it if the text is meant: `{name}: {quoted(written)}`"
            expected(node, report, name, "a text", cure)
            return None
    expected(node, report, name, "a text", f'write `{name}: "..."`')
    return None


def texts(node: Node, report: Report, name: str) -> tuple[str, ...] | None:
    """The node's text, or the different texts of its list; neither empty."""
    if type(node) is Sequence:
        return distinct(node, report, name)
    if type(node) is Scalar and node.value is not None:
        one = text(node, report, name)
        return None if one is None else (one,)
    expected(node, report, name, "a text or a list of texts", f'write `{name}: "..."`')
    return None


def each(node: Node, report: Report, name: str, read: Callable[[Node, str], T | None]) -> tuple[T, ...] | None:
    """As `texts`, each made into something else by `read`, which tells what is wrong with one."""
    written = texts(node, report, name)
    if written is None:
        return None
    nodes = node.children if isinstance(node, Sequence) else [node]
    found = [one for child, text in zip(nodes, written, strict=True) if (one := read(child, text)) is not None]
    return tuple(found) if len(found) == len(written) else None


def distinct(node: Sequence, report: Report, name: str) -> tuple[str, ...] | None:
    """The texts of a list, which is not empty and names none of them twice."""
    found: dict[str, None] = {}
    whole = not_empty(node, report, name)
    for child in node.children:
        one = text(child, report, name)
        if one is None:
            whole = False
        elif one in found:
            duplicate(child, report, name)
            whole = False
        else:
            found[one] = None
    return tuple(found) if whole else None


def duplicate(node: Node, report: Report, name: str) -> None:
    """Tell that the node stands in its list a second time."""
    message = f"`{shortened(report.written(node))}` stands twice in `{name}`"
    report.on(node, "duplicate-value", message, "remove one of them")


def not_empty(node: Sequence | Mapping, report: Report, name: str) -> bool:
    """Whether the list or mapping holds something; told if not (and if it was not cut off)."""
    if not node.children and not report.cut_short:
        report.on(node, "empty", f"`{name}` must not be empty", "write what it names, or remove it")
    return bool(node.children)


def number(node: Node, report: Report, name: str) -> Number | None:
    """The node's number, exactly as written; infinity and not-a-number are none."""
    if type(node) is Scalar:
        value = node.value
        if type(value) is int or type(value) is Decimal:
            return value
        if isinstance(value, float):
            message = f"`{name}` must be a finite number"
            report.on(node, "wrong-type", message, f"write a number: `{name}: 1000`")
            return None
    expected(node, report, name, "a number", _number_cure(node, name))
    return None


def whole_number(node: Node, report: Report, name: str, least: int, most: int | None = None) -> int | None:
    """The node's integer, which is at least `least` and at most `most`."""
    value = number(node, report, name)
    if value is None:
        return None
    if type(value) is int and least <= value and (most is None or value <= most):
        return value
    bounds = f"{least} or more" if most is None else f"from {least} to {most}"
    report.on(node, "out-of-range", f"`{name}` must be a whole number, {bounds}", f"write `{name}: {max(least, 1)}`")
    return None


def truth(node: Node, report: Report, name: str) -> bool | None:
    """The node's truth value."""
    if type(node) is Scalar and isinstance(node.value, bool):
        return node.value
    expected(node, report, name, "a truth value", f"write `{name}: true` or `{name}: false`")
    return None


def pairs(
    node: Node, report: Report, name: str, cure: str, known: Iterable[str] | None = None
) -> Iterator[tuple[Scalar, str, Node]]:
    """Each key of a mapping: its node, its text, its value; none where the node is no mapping.

    Keys that are not `known` are told and left out.
    """
    if type(node) is not Mapping:
        expected(node, report, name, "a mapping", cure)
        return
    for key, value in node.pairs():
        word = str(key.value)
        if known is None or word in known:
            yield key, word, value
        else:
            unknown_key(key, report, name, known)


class Form(NamedTuple):
    """A mapping of a fixed form: its name, how to write one, the keys that it may and must have."""

    name: str
    cure: str
    known: tuple[str, ...]
    required: tuple[str, ...] = ()


def fields(node: Node, report: Report, form: Form) -> dict[str, Node]:
    """The known keys of a mapping with their nodes; keys that are missing or unknown are told."""
    found = {word: value for _, word, value in pairs(node, report, form.name, form.cure, form.known)}
    if isinstance(node, Mapping) and not report.cut_short:
        for key in form.required:
            if key not in found:
                report.on(node, "missing-key", f"`{form.name}` must have `{key}`", f"add `{key}: ...`")
    return found


def unknown_key(key: Scalar, report: Report, name: str, known: Iterable[str]) -> None:
    """Tell that `name` has no such key, with the nearest known one."""
    word = str(key.value)
    report.on(key, "unknown-key", f"`{name}` has no key `{shortened(word)}`", choice(word, known))


def choice(word: str, known: Iterable[str]) -> str:
    """The cure for a word that is none of the known ones: the nearest, and all of them."""
    names = tuple(known)
    near = nearest(word, names)
    listed = "known: " + ", ".join(f"`{name}`" for name in names)
    return listed if near is None else f"did you mean `{near}`? {listed}"


def word_of(node: Node, report: Report, name: str, known: Mapping_[str, T]) -> T | None:
    """What the node's word stands for among the known ones."""
    word = text(node, report, name)
    if word is None or word in known:
        return None if word is None else known[word]
    report.on(node, "unknown-word", f"`{shortened(word)}` is no `{name}`", choice(word, known))
    return None


def trimmed(node: Node, report: Report, name: str) -> tuple[str, ...] | None:
    """As `texts`, none with white space around it."""
    found = texts(node, report, name)
    if found is not None and any(one != one.strip() for one in found):
        report.on(node, "white-space", f"`{name}` has white space around a text", "remove the white space")
        return None
    return found


def _number_cure(node: Node, name: str) -> str:
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, str) and len(value) < 40 and _NUMBER_IN_TEXT.fullmatch(value):
        return f"write it without quotes: `{name}: {value.strip()}`"
    return f"write a number: `{name}: 1000`"
