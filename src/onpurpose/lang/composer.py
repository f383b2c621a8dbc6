"""YAML's events -> trees of nodes, in passes: what can be mended is mended for the next one."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, ClassVar

from yaml import MarkedYAMLError
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from onpurpose.core.text import unreadable
from onpurpose.lang.decoding import PLACEHOLDER
from onpurpose.lang.nodes import MAX_DEPTH, Broken, Mapping, Node, Scalar, Sequence
from onpurpose.lang.report import TO_LINE_END, Report, quoted, shortened
from onpurpose.lang.scalars import Trap, Value, resolve
from onpurpose.lang.syntax import Mender, open_parser

_MOST_KNOWN = 512
"""Scalars whose values are remembered."""

_STEP = 25
"""Events between two yields: about 0.04 ms."""

_TOLD = Trap("", "", "")
"""A scalar with a placeholder in it: its problem has been told."""


def follow(text: str, report: Report, *, several: bool) -> Generator[None, None, list[Node]]:
    """The root of each document of a text that was decoded. See `nodes.compose_all`."""
    mender = Mender(text, report)
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

    __slots__ = (
        "_children", "_documents", "_mended", "_open", "_plain", "_quoted", "_report", "_several", "_top",
    )  # fmt: skip

    def __init__(self, report: Report, *, mended: bool, several: bool) -> None:
        self._report = report
        self._mended = mended
        self._several = several
        self._plain: dict[str, Any] = {}
        self._quoted: dict[str, Any] = {}
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
        get_event, take, scalar = open_parser(text).get_event, self._TAKE, self._scalar
        steps = range(_STEP)
        while True:
            for _ in steps:
                event = get_event()
                kind = type(event)
                if kind is ScalarEvent:
                    self._children.append(scalar(event))
                elif not take[kind](self, event):
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
        kind = Mapping if type(event) is MappingStartEvent else Sequence
        node = kind(mark.line + 1, mark.column + 1, [])
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
        StreamStartEvent: _stream_start,
        StreamEndEvent: _stream_end,
        DocumentStartEvent: _document_start,
        DocumentEndEvent: _document_end,
        AliasEvent: _alias,
        MappingStartEvent: _start,
        SequenceStartEvent: _start,
        MappingEndEvent: _end,
        SequenceEndEvent: _end,
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
        value = known.get(text, known)  # `None` is a value too
        if value is known:
            value = self._read(text, plain=plain)
            if len(known) < _MOST_KNOWN:  # to grow and to free a large one would hold up every other thread
                known[text] = value
        if type(value) is Trap:
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
        texts = {key.value for key in children[::2] if type(key) is Scalar and type(key.value) is str}
        if 2 * len(texts) != len(children):
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
