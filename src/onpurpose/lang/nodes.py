"""Text -> nodes that know where they stand; every problem of form is gathered.

No anchor, alias, tag, merge key, directive or duplicate key passes, a second document only where
several are asked for, and nothing that YAML 1.1 and 1.2 read differently. What was refused stands in
the tree as `Broken`, so that the rest of the text is still read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, TypeAlias

from msgspec import Struct

from onpurpose.lang.decoding import MAX_BYTES, decode
from onpurpose.lang.report import Report
from onpurpose.lang.scalars import Value

MAX_DEPTH = 64
"""How deep lists and mappings may nest."""

# Nodes form trees: the collector need not look at them.


class Scalar(Struct, eq=False, gc=False):
    """A scalar and its value; `None` is null, a float is infinity or not-a-number."""

    value: Value
    line: int
    column: int
    length: int


class Sequence(Struct, eq=False, gc=False):
    """A list of nodes."""

    line: int
    column: int
    children: list[Node]
    length: int = 1


class Mapping(Struct, eq=False, gc=False):
    """A mapping; its keys are texts, each of which occurs once."""

    line: int
    column: int
    children: list[Any]
    length: int = 1

    def pairs(self) -> Iterator[tuple[Scalar, Node]]:
        """Each key with its value, in the text's order."""
        children = iter(self.children)
        return zip(children, children, strict=True)


class Broken(Struct, eq=False, gc=False):
    """What stood here was refused, and the problem has been told."""

    line: int
    column: int
    length: int


Node: TypeAlias = Scalar | Sequence | Mapping | Broken


def nothing(node: Node) -> bool:
    """Whether nothing, or `null`, stands there."""
    return type(node) is Scalar and node.value is None


def compose(text: bytes | str, report: Report, limit: int = MAX_BYTES) -> Generator[None, None, Node | None]:
    """The root of the text's one document; `None` where there is none, or nothing can be read.

    Problems go to the report; after an error that ends the reading, `report.cut_short` is set and
    the tree holds what was whole before it. Yields about every 0.08 ms.
    """
    roots = yield from compose_all(text, report, limit, several=False)
    return roots[0] if roots else None


def compose_all(
    text: bytes | str, report: Report, limit: int = MAX_BYTES, *, several: bool = True
) -> Generator[None, None, list[Node]]:
    """As `compose`, the root of each of the text's documents; where not `several`, a second one is told."""
    clean = yield from decode(text, report, limit)
    if clean is None:
        return []
    from onpurpose.lang.composer import follow  # noqa: PLC0415  what reads YAML takes 30 ms to import

    return (yield from follow(clean, report, several=several))
