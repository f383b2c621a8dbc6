"""Rules written as YAML that `read` takes back exactly, whatever their texts hold."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Argument, Condition, Rule
from onpurpose.core.span import printable
from onpurpose.core.wording import entry, flow
from onpurpose.core.wording import quoted as in_quotes

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*(?:\.\*)*(?:\.[A-Za-z0-9_.*-]*[A-Za-z0-9_*])?")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
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
    lines = [f"- capability: {name(rule.capability)}"]
    arguments = [condition for condition in rule.conditions if isinstance(condition, Argument)]
    others = [condition for condition in rule.conditions if not isinstance(condition, Argument)]
    lines.extend(f"  {line}" for condition in others for line in _condition(condition))
    if arguments:
        lines.append("  args:")
        lines.extend(f"    {name('.'.join(a.path))}: {flow(entry(a)[1])}" for a in arguments)
    return lines


def quoted(text: str) -> str:
    """The text in double quotes; what is not printable as an escape.

    Raises `ValueError` for half of a surrogate pair, which no YAML text can hold.
    """
    text.encode()
    return in_quotes(text)


def name(text: str) -> str:
    """A capability, a path or an id, in quotes where YAML might take it for something else."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else quoted(text)


def tree_lines(value: Any) -> list[str]:
    """Dictionaries, lists, texts, whole numbers and truth values as lines: a key a line, a list of texts on it."""
    if isinstance(value, dict):
        return [line for key, inside in value.items() for line in _pair(name(key), inside)]
    if _holds_pairs(value):
        return [f"{'  ' if number else '- '}{line}" for one in value for number, line in enumerate(tree_lines(one))]
    return [tree_text(value)]


def tree_text(value: Any, *, in_quotes: bool = False) -> str:
    """The same on one line. A text stands in quotes where that is wanted or needed, those of a list always."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name(key)}: {tree_text(inside)}" for key, inside in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(tree_text(one, in_quotes=True) for one in value) + "]"
    if isinstance(value, str):
        return quoted(value) if in_quotes else name(value)
    return flow(value)


def _pair(key: str, value: Any) -> list[str]:
    lines = tree_lines(value)
    if isinstance(value, dict) or _holds_pairs(value):
        return [f"{key}:", *(f"  {line}" for line in lines)]
    line = f"{key}: {lines[0]}"
    if len(line) <= _WIDTH or not isinstance(value, list):
        return [line]
    return [f"{key}:", *(f"  - {tree_text(one, in_quotes=True)}" for one in value)]


def _holds_pairs(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _condition(condition: Condition) -> list[str]:
    """The lines of a condition; of a long list, one for each text."""
    key, value = entry(condition)
    line = f"{key}: {flow(value)}"
    if len(line) <= _WIDTH or not isinstance(value, tuple):
        return [line]
    return [f"{key}:", *(f"  - {quoted(text)}" for text in value)]
