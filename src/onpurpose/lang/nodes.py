"""Text -> nodes that know where they stand, by YAML's events; every problem of form is gathered.

No anchor, alias, tag, merge key, directive or duplicate key passes, a second document only where
several are asked for, and nothing that YAML 1.1 and 1.2 read differently. What was refused stands in
the tree as `Broken`, so that the rest of the text is still read.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, ClassVar, TypeAlias

from onpurpose.core.text import unreadable
from onpurpose.lang.decoding import MAX_BYTES, PLACEHOLDER, decode
from onpurpose.lang.report import TO_LINE_END, Report, quoted, shortened
from onpurpose.lang.scalars import Trap, Value, resolve

MAX_DEPTH = 64
"""How deep lists and mappings may nest."""

_MOST_KNOWN = 512
"""Scalars whose values are remembered."""

_STEP = 50
"""Events between two yields: about 0.08 ms."""

_TOLD = Trap("", "", "")
"""A scalar with a placeholder in it: its problem has been told."""


class Scalar:
    """A scalar and its value; `None` is null, a float is infinity or not-a-number."""

    __slots__ = ("column", "length", "line", "value")

    def __init__(self, value: Value, line: int, column: int, length: int) -> None:
        self.value = value
        self.line = line
        self.column = column
        self.length = length


class Sequence:
    """A list of nodes."""

    __slots__ = ("children", "column", "length", "line")

    def __init__(self, line: int, column: int) -> None:
        self.children: list[Node] = []
        self.line = line
        self.column = column
        self.length = 1


class Mapping:
    """A mapping; its keys are texts, each of which occurs once."""

    __slots__ = ("children", "column", "length", "line")

    def __init__(self, line: int, column: int) -> None:
        self.children: list[Any] = []
        self.line = line
        self.column = column
        self.length = 1

    def pairs(self) -> Iterator[tuple[Scalar, Node]]:
        """Each key with its value, in the text's order."""
        children = self.children
        return zip(children[::2], children[1::2], strict=True)


class Broken:
    """What stood here was refused, and the problem has been told."""

    __slots__ = ("column", "length", "line")

    def __init__(self, line: int, column: int, length: int) -> None:
        self.line = line
        self.column = column
        self.length = length


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
    from yaml import MarkedYAMLError  # noqa: PLC0415  takes 30 ms to import

    from onpurpose.lang.syntax import Mender  # noqa: PLC0415

    mender = Mender(clean, report)
    while True:
        found = report.fork()
        composer = _Composer(found, mended=mender.text is not report.text, several=several)
        try:
            yield from composer.follow(mender.text)
        except MarkedYAMLError as error:
            if mender.mend(error):
                continue
            composer.cut_short()
        report.absorb(found)
        roots = composer.roots
        yield
        del composer  # the parser and all that it read from goes with it
        yield
        return roots


class _Composer:
    """Builds the trees of one pass over the events. `mended`: the text holds placeholders."""

    def __init__(self, report: Report, *, mended: bool, several: bool) -> None:
        self._report = report
        self._mended = mended
        self._several = several
        self._plain: dict[str, Value | Trap] = {}
        self._quoted: dict[str, Value | Trap] = {}
        self._top: list[Node] = []
        self._open: list[Sequence | Mapping] = []
        self._children = self._top  # of the innermost open list or mapping
        self._documents = 0

    @property
    def roots(self) -> list[Node]:
        """The root of each document that has begun."""
        return self._top

    def follow(self, text: str) -> Generator[None, None, None]:
        """Build the tree, until the end of the text or what makes the rest unreadable."""
        from yaml.events import ScalarEvent  # noqa: PLC0415  see `compose`

        from onpurpose.lang.syntax import open_parser  # noqa: PLC0415

        get_event = open_parser(text).get_event
        while True:
            for _ in range(_STEP):
                event = get_event()
                if type(event) is ScalarEvent:
                    self._children.append(self._scalar(event))
                elif not self._TAKE[type(event).__name__](self, event):
                    return
            yield

    def cut_short(self) -> None:
        """Drop what was begun and not finished, but for the root and the list or mapping in it."""
        self._report.cut_short = True
        if len(self._open) > 2:
            self._open[1].children.pop()
        for container in self._open[:2]:
            if type(container) is Mapping:
                if len(container.children) % 2:
                    container.children.pop()
                self._close(container)

    # -- events

    def _stream_start(self, _event: Any) -> bool:
        return True

    def _stream_end(self, _event: Any) -> bool:
        return False

    def _document_start(self, event: Any) -> bool:
        if event.version or event.tags:
            place, _ = self._report.token(event.start_mark)
            self._report.on(place, "directive", "directives are not allowed", "remove the line")
        self._documents += 1
        if self._several or self._documents == 1:
            return True
        place, _ = self._report.token(event.start_mark)
        cure = "keep one document to a file"
        self._report.on(place, "several-documents", "a second document begins here", cure)
        self._report.cut_short = True
        return False

    def _document_end(self, _event: Any) -> bool:
        return True

    def _alias(self, event: Any) -> bool:
        place, token = self._report.token(event.start_mark)
        cure = f"write the value out, or quote a text that begins with `*`: `{quoted(token)}`"
        message = f"`{shortened(token)}` is an alias, and aliases are not allowed"
        self._report.on(place, "alias", message, cure)
        self._children.append(Broken(*place))
        return True

    def _start(self, event: Any) -> bool:
        mark = event.start_mark
        kind = Mapping if type(event).__name__ == "MappingStartEvent" else Sequence
        node = kind(mark.line + 1, mark.column + 1)
        if event.anchor is not None or event.tag is not None:
            self._properties(event)
        if len(self._open) == MAX_DEPTH:
            message = f"lists and mappings are nested deeper than {MAX_DEPTH}"
            self._report.on(node, "too-deep", message, "flatten it")
            self.cut_short()
            return False
        self._children.append(node)
        self._open.append(node)
        self._children = node.children
        return True

    def _end(self, _event: Any) -> bool:
        node = self._open.pop()
        self._children = self._open[-1].children if self._open else self._top
        if type(node) is Mapping:
            self._close(node)
        return True

    _TAKE: ClassVar = {
        "StreamStartEvent": _stream_start,
        "StreamEndEvent": _stream_end,
        "DocumentStartEvent": _document_start,
        "DocumentEndEvent": _document_end,
        "AliasEvent": _alias,
        "MappingStartEvent": _start,
        "SequenceStartEvent": _start,
        "MappingEndEvent": _end,
        "SequenceEndEvent": _end,
    }

    # -- scalars

    def _scalar(self, event: Any) -> Node:
        start, end, text = event.start_mark, event.end_mark, event.value
        line, column = start.line, start.column
        length = end.column - column if end.line == line else TO_LINE_END
        if event.anchor is not None or event.tag is not None:
            self._properties(event)
        plain = event.implicit[0]
        known = self._plain if plain else self._quoted
        if text in known:
            value = known[text]
        else:
            value = self._read(text, plain=plain)
            if len(known) < _MOST_KNOWN:  # to grow and to free a large one would hold up every other thread
                known[text] = value
        if isinstance(value, Trap):
            return self._trapped(value, Broken(line + 1, column + 1, length))
        return Scalar(value, line + 1, column + 1, length)

    def _trapped(self, trap: Trap, node: Broken) -> Broken:
        if trap is not _TOLD:
            self._report.on(node, trap.code, trap.message, trap.help)
        return node

    def _read(self, text: str, *, plain: bool) -> Value | Trap:
        if self._mended and PLACEHOLDER in text:
            return _TOLD
        if not text.isascii() and unreadable(text):
            return Trap("unreadable-text", "more than 32 combining marks in a row", "write fewer")
        return resolve(text) if plain else text

    def _properties(self, event: Any) -> None:
        """Tell of an anchor or a tag before a node."""
        place, _ = self._report.token(event.start_mark)
        if event.anchor is not None:
            message = f"anchor `&{shortened(event.anchor)}`: anchors and aliases are not allowed"
            self._report.on(place, "anchor", message, "write the value out where it is used")
        if event.tag is not None:
            cure = "remove it; quotes make a text, their absence a number or a truth value"
            self._report.on(place, "tag", "tags are not allowed", cure)

    # -- mappings

    def _close(self, mapping: Mapping) -> None:
        """Check a finished mapping's keys; its length is that of its first line, up to the first value."""
        children = mapping.children
        keys = children[::2]
        texts = {key.value for key in keys if type(key) is Scalar and type(key.value) is str}
        if len(texts) != len(keys):
            self._mend_keys(mapping)
            children = mapping.children
        if children:
            last = children[1] if children[1].line == mapping.line else children[0]
            if last.line == mapping.line:
                mapping.length = max(1, last.column + last.length - mapping.column)

    def _mend_keys(self, mapping: Mapping) -> None:
        first: dict[str, Scalar] = {}
        kept: list[Node] = []
        for key, value in mapping.pairs():
            if not isinstance(key, Scalar):
                if not isinstance(key, Broken):
                    self._report.on(key, "key-not-text", "a key must be a text", "write `key: value`")
            elif not isinstance(key.value, str):
                written = self._report.written(key)
                self._report.on(key, "key-not-text", "a key must be a text", f'quote it: `"{written}"`')
            elif key.value in first:
                message = f"duplicate key `{shortened(key.value)}`, first on line {first[key.value].line}"
                self._report.on(key, "duplicate-key", message, "keep one of them")
            else:
                first[key.value] = key
                kept += [key, value]
        mapping.children = kept
