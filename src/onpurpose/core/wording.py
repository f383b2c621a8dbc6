"""A rule's conditions in words: the keys of a policy file, each with its value."""

from __future__ import annotations

from decimal import Decimal

from onpurpose.core.policy import (
    Amount,
    CallerDepth,
    Compare,
    Condition,
    Contains,
    ContainsText,
    ContextIs,
    DomainIn,
    Equals,
    Exists,
    In,
    Matches,
    MaxItems,
    PathPrefix,
    Prefix,
    Rule,
    Suffix,
    Test,
    Under,
)

_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_MOST = 200


def describe(rule: Rule) -> str:
    """The rule on one line: its capability and its conditions, cut where they go on for long."""
    conditions = ", ".join(f"{key} {flow(value)}" for key, value in map(entry, rule.conditions))
    if not conditions:
        return f"`{rule.capability}`"
    shown = conditions if len(conditions) <= _MOST else conditions[: _MOST - 1] + "…"
    return f"`{rule.capability}` where {shown}"


def entry(condition: Condition) -> tuple[str, object]:
    """The condition's key in a policy file (of an argument: `args.` and its path), and the value under it."""
    match condition:
        case Contains(texts):
            return "contains", _one_or_more(texts)
        case Amount(operator, limit):
            return f"amount_{operator}", limit
        case PathPrefix(prefixes):
            return "path_prefix", _one_or_more(prefixes)
        case ContextIs(key, values):
            return key.value, _one_or_more(values)
        case CallerDepth(operator, limit):
            return f"caller_depth_{operator}", limit
    return f"args.{'.'.join(condition.path)}", dict(map(_test, condition.tests))


def quoted(text: str) -> str:
    """The text in double quotes, what is not printable as an escape."""
    return '"' + "".join(_ESCAPES.get(char) or (char if char.isprintable() else _escape(char)) for char in text) + '"'


def flow(value: object) -> str:
    """The value on one line: mappings, lists, texts in double quotes, numbers in full, booleans."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    return str(value)


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _test(test: Test) -> tuple[str, object]:
    match test:
        case Equals(value):
            return "equals", value
        case In(values):
            return "in", values
        case Prefix(texts):
            return "prefix", _one_or_more(texts)
        case Suffix(texts):
            return "suffix", _one_or_more(texts)
        case Matches(pattern):
            return "matches", pattern.pattern
        case ContainsText(texts):
            return "contains", _one_or_more(texts)
        case Compare(operator, limit):
            return str(operator), limit
        case DomainIn(domains):
            return "domain_in", domains
        case Under(prefixes):
            return "under", _one_or_more(prefixes)
        case MaxItems(limit):
            return "max_items", limit
        case Exists(wanted):
            return "exists", wanted
        case _:
            return "not", dict(map(_test, test.tests))


def _one_or_more(texts: tuple[str, ...]) -> object:
    return texts[0] if len(texts) == 1 else texts
