"""Calls that were recorded before, read from the formats that people have.

`read` gives a `Transcript`: iterate it for the calls, then ask it what could not be read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from onpurpose.adapters.transcripts import agentdojo, claude_code, export, native, openai_chat, otel
from onpurpose.adapters.transcripts.documents import Document, Line, documents_of, lines_of, names_a_key_twice, problem
from onpurpose.core.history import Doubt, RecordedCall
from onpurpose.core.span import Problem, Span

MAX_PROBLEMS = 100
"""How many problems a transcript keeps; the rest is counted."""

_DOCUMENTS_TO_DETECT = 20

Reader: TypeAlias = Callable[[object, Span], Iterator[RecordedCall | Problem]]
"""The calls of one parsed document, and problems where it tells of one that cannot be read."""

Progress: TypeAlias = Callable[[int], object]
"""Told how many bytes were consumed since it was told last."""


class Format(NamedTuple):
    """A format: how its documents are read, and whether a document looks like one of it."""

    calls: Reader
    recognises: Callable[[object], bool]


FORMATS: dict[str, Format] = {
    "export": Format(export.calls, export.recognises),
    "agentdojo": Format(agentdojo.calls, agentdojo.recognises),
    "otel": Format(otel.calls, otel.recognises),
    "claude-code": Format(claude_code.calls, claude_code.recognises),
    "calls": Format(native.calls, native.recognises),
    "openai-chat": Format(openai_chat.calls, openai_chat.recognises),
}
"""Every format by name, the most particular first, which is the order in which `detect` asks."""


class Transcript:
    """The recorded calls of a file, a folder or a stream, read as they are asked for.

    Iterate once. Beside the calls, and complete once they are through: `unread`, how many
    documents or calls could not be read; `problems`, the first `MAX_PROBLEMS` of these, each with
    its place; `documents`, how many were read; `doubts`, how many calls each is about.
    """

    def __init__(self, parts: Iterable[RecordedCall | Problem | None]) -> None:
        self.unread = 0
        self.documents = 0
        self.problems: list[Problem] = []
        self.doubts: Counter[Doubt] = Counter()
        self._parts = parts

    def __iter__(self) -> Iterator[RecordedCall]:
        for part in self._parts:
            if part is None:
                self.documents += 1
            elif isinstance(part, Problem):
                self.unread += 1
                if len(self.problems) < MAX_PROBLEMS:
                    self.problems.append(part)
            else:
                self.doubts.update(part.doubts)
                yield part


def detect(lines: Iterable[bytes]) -> str | None:
    """The name of the format that the first of the lines are written in; `None` if of none.

    Only as many lines are taken as are needed.
    """
    numbered = (Line(number, data, len(data)) for number, data in enumerate(lines, 1))
    for document in islice(documents_of(numbered, ""), _DOCUMENTS_TO_DETECT):
        if isinstance(document, Document):
            for name, kind in FORMATS.items():
                if kind.recognises(document.value):
                    return name
    return None


def files_of(path: Path) -> list[Path]:
    """The file itself, or every `*.jsonl` in the folder and the folders in it, sorted."""
    return sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]


def size_of(path: Path) -> int:
    """How many bytes `read` will consume: what a progress bar counts up to."""
    return sum(file.stat().st_size for file in files_of(path))


def read(path: Path, form: str | None = None, progress: Progress | None = None) -> Transcript:
    """The recorded calls of a file, or of all `*.jsonl` in a folder, in the format `form`.

    Without `form` each file's own is found out. A file that cannot be opened, or whose format
    cannot be told, is a problem like any other. Raises `KeyError` for a `form` not in `FORMATS`.
    """
    known = None if form is None else FORMATS[form]
    return Transcript(part for file in files_of(path) for part in _of_file(file, known, progress))


def read_stream(stream: BinaryIO, source: str, form: str, progress: Progress | None = None) -> Transcript:
    """The recorded calls of a stream, which problems call `source`. Raises `KeyError` as `read` does."""
    return Transcript(_of_stream(stream, source, FORMATS[form], progress))


def _of_file(file: Path, known: Format | None, progress: Progress | None) -> Iterator[RecordedCall | Problem | None]:
    at = Span(str(file), 1, 1)
    try:
        found = known or _format_of(file)
        if found is None:
            yield problem(at, "unknown-format", "the file is in no format known here, or is empty")
            return
        with file.open("rb") as stream:
            yield from _of_stream(stream, str(file), found, progress)
    except OSError as error:
        yield problem(at, "unreadable-file", f"the file cannot be read: {error.strerror}")


def _format_of(file: Path) -> Format | None:
    with file.open("rb") as stream:
        name = detect(line.data for line in lines_of(stream) if line.data is not None)
    return None if name is None else FORMATS[name]


def _of_stream(
    stream: BinaryIO, source: str, known: Format, progress: Progress | None
) -> Iterator[RecordedCall | Problem | None]:
    """The parts of a stream; `None` marks that a document was read."""
    for document in documents_of(_counted(lines_of(stream), progress), source):
        if isinstance(document, Problem):
            yield document
            continue
        yield None
        ambiguous: bool | None = None
        for part in known.calls(document.value, document.at):
            if isinstance(part, RecordedCall):
                ambiguous = names_a_key_twice(document) if ambiguous is None else ambiguous
                yield _doubted(part) if ambiguous else part
            else:
                yield part


def _doubted(recorded: RecordedCall) -> RecordedCall:
    if Doubt.DUPLICATE_KEYS in recorded.doubts:
        return recorded
    return replace(recorded, doubts=(*recorded.doubts, Doubt.DUPLICATE_KEYS))


def _counted(lines: Iterator[Line], progress: Progress | None) -> Iterator[Line]:
    for line in lines:
        if progress is not None:
            progress(line.size)
        yield line
