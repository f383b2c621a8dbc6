"""Rules written as YAML that `read` takes back exactly, whatever their texts hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import (
    Amount,
    Argument,
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
from onpurpose.core.span import printable

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(?:\.\*)*(?:\.[A-Za-z0-9_.*-]*[A-Za-z0-9_*])?")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
_WIDTH = 100


def write_section(outcome: Outcome, rules: Iterable[tuple[Rule, tuple[str, ...]]]) -> str:
    """A section of a policy: its name and its rules, each below its comments. Empty without rules."""
    lines = [line for rule, comments in rules for line in (*map(comment, comments), *rule_lines(rule))]
    return "\n".join([f"{outcome}:", *(f"  {line}" for line in lines), ""]) if lines else ""


def comment(text: str) -> str:
    """The text as a comment of one line, whatever it holds."""
    return f"# {printable(text)}".rstrip()


def rule_lines(rule: Rule) -> list[str]:
    """The rule as an item of its section, without indentation. It has no condition twice, as none that was read."""
    lines = [f"- capability: {_name(rule.capability)}"]
    lines.extend(f"  {line}" for condition in rule.conditions for line in _condition(condition))
    arguments = [condition for condition in rule.conditions if isinstance(condition, Argument)]
    if arguments:
        lines.append("  args:")
        lines.extend(f"    {_name('.'.join(a.path))}: {flow(dict(map(_test, a.tests)))}" for a in arguments)
    return lines


def quoted(text: str) -> str:
    """The text in double quotes; what is not printable as an escape.

    Raises `ValueError` for half of a surrogate pair, which no YAML text can hold.
    """
    text.encode()
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


def _name(text: str) -> str:
    """A capability or a path, in quotes where YAML might take it for something else."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else quoted(text)


def _condition(condition: Condition) -> list[str]:
    match condition:
        case Amount():
            return [f"amount_{condition.operator}: {flow(condition.limit)}"]
        case CallerDepth():
            return [f"caller_depth_{condition.operator}: {condition.limit}"]
        case Contains():
            return _any_of("contains", condition.texts)
        case PathPrefix():
            return _any_of("path_prefix", condition.prefixes)
        case ContextIs():
            return _any_of(str(condition.key), condition.values)
        case _:
            return []  # arguments are gathered under one key


def _any_of(key: str, texts: tuple[str, ...]) -> list[str]:
    """One text, or a list of them: on one line where it is short."""
    line = f"{key}: {flow(texts[0] if len(texts) == 1 else texts)}"
    return [line] if len(line) <= _WIDTH or len(texts) == 1 else [f"{key}:", *(f"  - {quoted(t)}" for t in texts)]


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
