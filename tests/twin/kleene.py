"""Three-valued logic, spelled out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

Answer: TypeAlias = bool | None


def both(answers: Iterable[Answer]) -> Answer:
    """And: false if any is false, else unknown if any is unknown, else true."""
    seen = list(answers)
    if any(answer is False for answer in seen):
        return False
    if any(answer is None for answer in seen):
        return None
    return True


def either(answers: Iterable[Answer]) -> Answer:
    """Or: true if any is true, else unknown if any is unknown, else false."""
    seen = list(answers)
    if any(answer is True for answer in seen):
        return True
    if any(answer is None for answer in seen):
        return None
    return False


def opposite(answer: Answer) -> Answer:
    """Not: unknown stays."""
    return None if answer is None else not answer


def agreed(answers: Iterable[Answer]) -> Answer:
    """What all readings say when they agree; unknown when they differ or there is none."""
    seen = list(answers)
    if seen and all(answer is True for answer in seen):
        return True
    if seen and all(answer is False for answer in seen):
        return False
    return None
