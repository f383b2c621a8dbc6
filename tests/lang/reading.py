"""Reading a text that is refused, for the tables."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from onpurpose.core.span import PolicyError, Problem
from onpurpose.lang.read import parse


def problems(text: bytes | str, read: Callable[[bytes | str], object] = parse) -> tuple[Problem, ...]:
    """Every problem for which the text is refused."""
    with pytest.raises(PolicyError) as caught:
        read(text)
    return caught.value.problems


def told(text: bytes | str, read: Callable[[bytes | str], object] = parse) -> list[str]:
    """The problems as `line:column code`."""
    return [f"{problem.span.line}:{problem.span.column} {problem.code}" for problem in problems(text, read)]


def rule(conditions: str) -> str:
    """A policy with one rule of these conditions, which stand on line 3 from column 5."""
    return f"deny:\n  - capability: a.b\n    {conditions}\n"
