"""Which capability patterns cover which others."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class _Branch(Generic[T]):
    """The patterns that begin with the same segments: what ends here, and what goes on."""

    __slots__ = ("end", "open_end", "rest")

    def __init__(self) -> None:
        self.rest: dict[str, _Branch[T]] = {}
        self.end: T | None = None
        self.open_end: T | None = None


class Patterns(Generic[T]):
    """Capability patterns with what they stand for, searched by the calls that they cover."""

    def __init__(self) -> None:
        self._root = _Branch[T]()

    def add(self, pattern: str, value: T) -> None:
        """Add a pattern that none of those added covers."""
        *begin, last = pattern.split(".")
        branch = self._root
        for segment in begin:
            branch = branch.rest.setdefault(segment, _Branch())
        if last == "*":
            branch.open_end = value
        else:
            branch.rest.setdefault(last, _Branch()).end = value

    def covering(self, pattern: str) -> T | None:
        """What a pattern stands for that covers each call this one covers; `None` if none does."""
        branches = [self._root]
        for segment in pattern.split("."):
            onward: list[_Branch[T]] = []
            for branch in branches:
                if branch.open_end is not None:
                    return branch.open_end
                onward += [branch.rest[name] for name in dict.fromkeys((segment, "*")) if name in branch.rest]
            branches = onward
        # A last `*` stands for more than one segment, so that only an open end covers it.
        ends = [branch.end for branch in branches if branch.end is not None]
        return ends[0] if ends and not pattern.endswith("*") else None
