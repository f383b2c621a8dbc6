"""JSON documents out of a stream of bytes: one a line, or spread over several; bounded, in linear time.

What cannot be read becomes a `Problem` with its place and costs no more than itself: the lines
after a broken one are read as if it were not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, NamedTuple

import orjson

from onpurpose.core.history import Doubt
from onpurpose.core.span import Problem, Span

MAX_LINE = 10 << 20
"""The longest line that is read, in bytes."""

MAX_DOCUMENT = 64 << 20
"""The most that one document spread over several lines may take, in bytes."""

_BOM = b"\xef\xbb\xbf"
# A string that does not end is one token too, or looking for its end would begin again at every quote in it.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_KEY_END = re.compile(rb'"\s*:')


class Line(NamedTuple):
    """A line: its number from 1, its bytes (`None` if too long to be read), and its length in bytes."""

    number: int
    data: bytes | None
    size: int


class Document(NamedTuple):
    """A parsed JSON value, the place where it begins, and the bytes it was parsed from."""

    value: object
    at: Span
    raw: bytes


def lines_of(stream: BinaryIO) -> Iterator[Line]:
    """The stream's lines. Never more than `MAX_LINE` bytes are held."""
    number = 0
    while data := stream.readline(MAX_LINE + 1):
        number += 1
        size = len(data)
        if size <= MAX_LINE or data.endswith(b"\n"):
            yield Line(number, data.removeprefix(_BOM) if number == 1 else data, size)
            continue
        while (rest := stream.readline(MAX_LINE)) and not rest.endswith(b"\n"):
            size += len(rest)
        yield Line(number, None, size + len(rest))


def documents_of(lines: Iterable[Line], source: str) -> Iterator[Document | Problem]:
    """The documents that the lines hold, in order, with a problem for each that cannot be read.

    A document over several lines must be indented, as programs that print JSON for people do: a
    line that begins with a bracket in its first column begins a new one, unless the document
    began with a line that holds `[` alone.
    """
    pending: _Pending | None = None
    for line in lines:
        if pending is not None and pending.goes_on_in(line.data):
            pending.add(line.data or b"")
        else:
            if pending is not None:
                yield pending.given_up()
            pending = None
            begun = _begin(line, Span(source, line.number, 1))
            if isinstance(begun, _Pending):
                pending = begun
            elif begun is not None:
                yield begun
        if pending is not None and pending.is_over:
            yield pending.finish()
            pending = None
    if pending is not None:
        yield pending.given_up()


def _begin(line: Line, at: Span) -> Document | Problem | _Pending | None:
    """What a line is that continues nothing; `None` for an empty one."""
    if line.data is None:
        return problem(at, "line-too-long", f"the line is longer than {MAX_LINE >> 20} MiB")
    stripped = line.data.strip()
    if not stripped:
        return None
    try:
        return Document(_parse(stripped), at, stripped)
    except ValueError as error:
        begun = _Pending(at, line.data)
        return problem(at, "broken-json", f"the line is no JSON: {error}") if begun.depth <= 0 else begun


def problem(at: Span, code: str, message: str) -> Problem:
    """What is wrong with a line, without quoting from it: transcripts hold secrets."""
    return Problem(span=at, code=code, message=message)


def names_a_key_twice(document: Document) -> bool:
    """Whether any mapping in the document has a key more than once.

    A count decides most documents: every key is a quote, white space and a colon in the bytes, so
    that as many of these as there are keys in the parsed value leave no room for another.
    """
    if len(_KEY_END.findall(document.raw)) == _count_keys(document.value):
        return False
    return text_names_a_key_twice(document.raw)


def text_names_a_key_twice(text: str | bytes) -> bool:
    """Whether any mapping in the JSON text has a key more than once; true where it cannot be told."""
    try:
        json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return True
    return False


def arguments_of(value: object) -> tuple[object, tuple[Doubt, ...]]:
    """The payload that recorded arguments mean, and the doubts about it.

    Models write arguments as JSON text: an object in it is the payload, any other text is itself.
    """
    if value is None:
        return None, (Doubt.NO_ARGUMENTS,)
    if not isinstance(value, str):
        return value, ()
    try:
        parsed = _parse(value.encode("utf-8", "surrogatepass"))
    except ValueError:
        return value, ()
    if not isinstance(parsed, dict):
        return value, ()
    return parsed, ((Doubt.DUPLICATE_KEYS,) if text_names_a_key_twice(value) else ())


def text_or_none(value: object) -> str | None:
    """The value where it is a text with something in it."""
    return value if isinstance(value, str) and value else None


def _parse(data: bytes) -> object:
    """The value of the JSON. What strict JSON forbids and programs write all the same is read too.

    A lone half of a surrogate pair, `NaN` or a huge integer must not hide a call from its reader.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(data.decode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            raise ValueError(str(error)) from None


class _Pending:
    """A document of which not every line was seen."""

    def __init__(self, at: Span, first: bytes) -> None:
        self.at = at
        self.is_list = first.strip() == b"["
        self.parts: list[bytes] = []
        self.size = 0
        self.depth = 0
        self.add(first)

    def goes_on_in(self, data: bytes | None) -> bool:
        return data is not None and (self.is_list or data[:1] not in (b"{", b"["))

    def add(self, data: bytes) -> None:
        self.parts.append(data)
        self.size += len(data)
        for match in _TOKEN.finditer(data):
            token = match[0]
            if token in (b"{", b"["):
                self.depth += 1
            elif token in (b"}", b"]"):
                self.depth -= 1

    @property
    def is_over(self) -> bool:
        return self.depth <= 0 or self.size > MAX_DOCUMENT

    def finish(self) -> Document | Problem:
        if self.size > MAX_DOCUMENT:
            return problem(self.at, "document-too-long", f"the document is longer than {MAX_DOCUMENT >> 20} MiB")
        raw = b"".join(self.parts).strip()
        try:
            return Document(_parse(raw), self.at, raw)
        except ValueError as error:
            return problem(self.at, "broken-json", f"the document that begins here is no JSON: {error}")

    def given_up(self) -> Problem:
        return problem(self.at, "broken-json", "the document that begins here does not end")


def _count_keys(value: object) -> int:
    count, stack = 0, [value]
    while stack:
        top = stack.pop()
        if type(top) is dict:
            count += len(top)
            stack.extend(top.values())
        elif type(top) is list:
            stack.extend(top)
    return count


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a key stands twice")
    return mapping
