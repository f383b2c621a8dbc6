"""A document's text is changed only where its values change: comments, order and layout of all else stay."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import islice, takewhile
from typing import Any, TypeAlias

from msgspec import Struct
from yaml import MarkedYAMLError
from yaml.events import DocumentStartEvent, MappingEndEvent, MappingStartEvent, ScalarEvent, SequenceEndEvent

from onpurpose.lang.scalars import resolve
from onpurpose.lang.syntax import open_parser
from onpurpose.lang.write import tree_lines, tree_text

Tree: TypeAlias = Any
"""What a text says, as dictionaries, lists, texts, whole numbers and truth values."""

_MOST_COMPARED = 10_000
"""Pairs of items that are compared to find out which of a list's were changed: comparing takes the square."""

_BREAK = re.compile(r"\r\n|\n|\r|\Z")
_COMMA = re.compile(r"\s*,[ \t]*")
_REMARK = re.compile(r"(?:\r\n|\n|\r)(?P<indent> *)#[^\r\n]*")


class _Part(Struct, gc=False, kw_only=True):
    """A stretch of the text and the value that it states. `flow`: in brackets, or a scalar; `items` stand in it."""

    start: int
    end: int
    column: int
    value: Tree
    items: list[_Item]
    flow: bool = True
    in_quotes: bool = False


class _Item(Struct, gc=False, kw_only=True):
    """One of a list, or a key with its value."""

    start: int
    key: str
    part: _Part


def tree_of(text: str) -> Tree:
    """What the one document of a text says. The text is one that was read without a problem."""
    return _read(text).value


def amended(text: str, wanted: Tree) -> str:
    """The text, changed so that it says `wanted`, line for line as little as can be.

    Comments, blank lines, quotes, the order of keys and the layout of whatever is not changed stay byte for byte.
    The text is one that was read without a problem; a new key stands after the one before it in `wanted`. Written
    anew as a whole where it is laid out too strangely to be changed in parts.
    """
    root = _read(text)
    changes = _Changes(text)
    changes.amend(root, wanted, indent=0)
    changed = changes.applied()
    try:
        faithful = tree_of(changed) == wanted
    except MarkedYAMLError:
        faithful = False
    return changed if faithful else "".join(f"{line}\n" for line in tree_lines(wanted))


# -- where everything stands


def _read(text: str) -> _Part:
    get_event: Callable[[], Any] = open_parser(text).get_event
    while type(get_event()) is not DocumentStartEvent:
        pass
    first: Any = get_event()
    root = _part(text, first, get_event)
    get_event()  # the document's end, so that nothing unreadable follows
    return root


def _part(text: str, event: Any, get_event: Callable[[], Any]) -> _Part:
    start, column = event.start_mark.index, event.start_mark.column
    if type(event) is ScalarEvent:
        value = resolve(event.value) if event.implicit[0] else event.value
        past: Any = event.end_mark  # of a block of lines, where the next key begins
        end = start + len(text[start : past.index].rstrip())
        quotes = text[start : start + 1] in {'"', "'"}
        return _Part(start=start, end=end, column=column, value=value, items=[], in_quotes=quotes)
    in_pairs = type(event) is MappingStartEvent
    items, last = _items(text, get_event, in_pairs=in_pairs)
    said: Tree = {one.key: one.part.value for one in items} if in_pairs else [one.part.value for one in items]
    end = last.end_mark.index if event.flow_style else items[-1].part.end
    return _Part(start=start, end=end, column=column, value=said, items=items, flow=event.flow_style)


def _items(text: str, get_event: Callable[[], Any], *, in_pairs: bool) -> tuple[list[_Item], Any]:
    items: list[_Item] = []
    while True:
        event = get_event()
        if type(event) in {MappingEndEvent, SequenceEndEvent}:
            return items, event
        key = event.value if in_pairs else ""
        part = _part(text, get_event() if in_pairs else event, get_event)
        items.append(_Item(start=event.start_mark.index, key=key, part=part))


def _differences(old: list[str], new: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Stretches of the old and what each becomes. Where much was changed in a long list, one for all of it."""
    first = sum(1 for _ in takewhile(_same, zip(old, new, strict=False)))
    most = min(len(old), len(new)) - first
    last = sum(1 for _ in takewhile(_same, islice(zip(reversed(old), reversed(new), strict=False), most)))
    was, now = old[first : len(old) - last], new[first : len(new) - last]
    if len(was) * len(now) > _MOST_COMPARED:
        yield first, first + len(was), first, first + len(now)
        return
    matcher = SequenceMatcher(None, was, now, autojunk=False)
    for what, start, end, to_start, to_end in matcher.get_opcodes():
        if what != "equal":
            yield first + start, first + end, first + to_start, first + to_end


def _same(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]


# -- what is changed


class _Changes:
    """Stretches of a text and what they become."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._break = "\r\n" if "\r\n" in text else "\n"
        self._found: list[tuple[int, int, str]] = []

    def applied(self) -> str:
        """The text with every change."""
        pieces, at = [], 0
        for start, end, new in sorted(self._found, key=lambda one: one[:2]):
            pieces += [self._text[at:start], new]
            at = max(at, end)
        return "".join([*pieces, self._text[at:]])

    def amend(self, part: _Part, wanted: Tree, *, indent: int) -> None:
        """Have the part say what is wanted; lines of its own that it needs stand at least `indent` deep."""
        if repr(part.value) == repr(wanted):
            return
        if isinstance(part.value, dict) and isinstance(wanted, dict) and part.items and wanted:
            self._amend_pairs(part, wanted)
        elif isinstance(part.value, list) and isinstance(wanted, list) and part.items and wanted:
            self._amend_list(part, wanted)
        elif part.flow:
            self._change(part.start, part.end, tree_text(wanted, in_quotes=part.in_quotes))
        else:
            lines = [" " * indent + line for line in tree_lines(wanted)]
            self._change(self._line_start(part.start), part.end, self._break.join(lines))

    def _amend_pairs(self, part: _Part, wanted: dict[str, Tree]) -> None:
        place = {one.key: number for number, one in enumerate(part.items)}
        for number, one in enumerate(part.items):
            if one.key in wanted:
                self.amend(one.part, wanted[one.key], indent=part.column + 2)
            else:
                self._drop(part, number)
        before = -1
        for key, value in wanted.items():
            before = place.get(key, before)
            if key not in place:
                self._insert(part, before, tree_lines({key: value}), f"{tree_text(key)}: {tree_text(value)}")

    def _amend_list(self, part: _Part, wanted: list[Tree]) -> None:
        in_quotes = any(one.part.in_quotes for one in part.items) or not part.flow
        were = [repr(one.part.value) for one in part.items]
        for start, end, to_start, to_end in _differences(were, [repr(one) for one in wanted]):
            both = min(end - start, to_end - to_start)
            for number in range(both):
                self.amend(part.items[start + number].part, wanted[to_start + number], indent=part.column + 2)
            for number in range(start + both, end):
                self._drop(part, number)
            for value in wanted[to_start + both : to_end]:
                written = tree_text(value, in_quotes=in_quotes)
                self._insert(part, start + both - 1, [f"- {written}"], written)

    def _insert(self, part: _Part, after: int, lines: Sequence[str], written: str) -> None:
        """A new item after the one of that number: in lines of its own, or as it is written in brackets."""
        items = part.items
        if part.flow:
            at = items[after].part.end if after >= 0 else items[0].start
            self._change(at, at, f", {written}" if after >= 0 else f"{written}, ")
            return
        new = self._break.join(" " * part.column + line for line in lines)
        if after < 0:
            at = self._line_start(items[0].start)
            self._change(at, at, new + self._break)
            return
        at = self._below(items[after].part.end, part.column)
        self._change(at, at, self._break + new)

    def _drop(self, part: _Part, number: int) -> None:
        start, end = part.items[number].start, part.items[number].part.end
        if not part.flow:
            end = self._line_end(end)
            self._change(self._line_start(start), end + len(self._break_at(end)), "")
            return
        comma = _COMMA.match(self._text, end)
        before = part.items[number - 1].part.end
        if comma is not None:
            end = comma.end()
        elif number and not self._text[before:start].strip(", "):
            start = before
        self._change(start, end, "")

    def _change(self, start: int, end: int, new: str) -> None:
        self._found.append((start, end, new))

    # -- lines

    def _line_start(self, at: int) -> int:
        return max(self._text.rfind("\n", 0, at), self._text.rfind("\r", 0, at)) + 1

    def _line_end(self, at: int) -> int:
        return _BREAK.search(self._text, at).start()  # type: ignore[union-attr]  # the end of the text is one

    def _break_at(self, at: int) -> str:
        return _BREAK.match(self._text, at)[0]  # type: ignore[index]  # as above

    def _below(self, at: int, column: int) -> int:
        """The end of the line, and of the comments below it that stand deeper than the column."""
        at = self._line_end(at)
        while (remark := _REMARK.match(self._text, at)) and len(remark["indent"]) > column:
            at = remark.end()
        return at
