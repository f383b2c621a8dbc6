"""A payload turned into a tree of nodes that say what each value can be read as."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from enum import Enum
from uuid import UUID


class Malformed(Exception):  # noqa: N818
    """The payload cannot be read at all."""


@dataclass
class Node:
    """One value: its kind and what it reads as.

    Kinds: mapping, list, text, number, boolean, none, bytes, opaque. A mapping is `riddled` when it
    has a key that is no string: its values are read, but the key could mean anything.
    """

    kind: str
    text: str | None = None
    number: Decimal | None = None
    boolean: bool | None = None
    riddled: bool = False
    items: list[Node] = field(default_factory=list)
    entries: list[tuple[str, Node]] = field(default_factory=list)

    def children(self) -> list[Node]:
        return self.items + [value for _, value in self.entries]

    def hides(self) -> bool:
        """Whether anything here could hold what cannot be seen."""
        return any(node.kind == "opaque" or node.riddled for node in self.everything())

    def everything(self) -> Iterator[Node]:
        """This node and all below it, in order."""
        yield self
        for child in self.children():
            yield from child.everything()


def readable(text: str) -> bool:
    """Valid Unicode, without an absurd run of combining marks."""
    run = 0
    for char in text:
        if 0xD800 <= ord(char) <= 0xDFFF:
            return False
        run = run + 1 if unicodedata.combining(char) else 0
        if run > 32:
            return False
    return True


class Builder:
    """Builds the tree and gives up on one that is too deep or too big."""

    def __init__(self) -> None:
        self.size = 0

    def spend(self, text: str) -> None:
        self.size += max(1, len(text.encode("utf-8", "surrogatepass")))
        if self.size > 1024 * 1024:
            raise Malformed

    def build(self, value: object, depth: int = 0) -> Node:
        while isinstance(value, Enum):
            value = value.value
        if isinstance(value, Mapping):
            return self.mapping(value, depth + 1)
        if isinstance(value, (list, tuple)):
            self.spend("")
            if depth + 1 > 64:
                raise Malformed
            return Node("list", items=[self.build(item, depth + 1) for item in value])
        node = leaf(value)
        self.spend(node.text or "")
        return node

    def mapping(self, value: Mapping[object, object], depth: int) -> Node:
        self.spend("")
        if depth > 64:
            raise Malformed
        node = Node("mapping")
        for key, inner in value.items():
            if isinstance(key, str):
                self.spend(key)
                node.entries.append((key, self.build(inner, depth)))
            else:
                self.spend("")
                node.riddled = True
                node.items.append(self.build(inner, depth))
        return node


def leaf(value: object) -> Node:
    """A value that holds no others."""
    if value is None:
        return Node("none")
    if isinstance(value, str):
        return Node("text", text=value)
    if isinstance(value, bool):
        return Node("boolean", boolean=value)
    if isinstance(value, int):
        return Node("number", number=Decimal(value))
    if isinstance(value, float):
        return Node("number", number=Decimal(float.__repr__(value)))
    if isinstance(value, Decimal):
        return Node("number", number=value, text=str(value))
    if isinstance(value, (date, time)):
        return Node("text", text=value.isoformat())
    if isinstance(value, UUID):
        return Node("text", text=str(value))
    if isinstance(value, (bytes, bytearray)):
        return Node("bytes")
    if hasattr(type(value), "__fspath__"):
        spelled = value.__fspath__()
        return Node("text", text=spelled) if isinstance(spelled, str) else Node("opaque")
    return Node("opaque")


def read(payload: object) -> Node | None:
    """The payload as a tree; `None` when there is no payload."""
    if payload is None:
        return None
    if not isinstance(payload, (str, Mapping)):
        raise Malformed
    return Builder().build(payload)
