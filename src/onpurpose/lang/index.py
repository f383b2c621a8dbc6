"""The index of a folder of policies: which file counts for which agent, environment and tenant."""

from __future__ import annotations

from dataclasses import dataclass

from onpurpose.core.span import Span
from onpurpose.lang import shapes
from onpurpose.lang.decoding import MAX_BYTES
from onpurpose.lang.nodes import Mapping, Node, Sequence, compose, nothing
from onpurpose.lang.read import drained
from onpurpose.lang.report import Place, Report, shortened

_CONDITIONS = ("agent", "environment", "tenant")
_FIRST_WORDS = "write `policies:`, and under it `  - file: base.yaml`"
_INDEX = shapes.Form("index", _FIRST_WORDS, ("policies",), ("policies",))
_ENTRY = shapes.Form("entry", "write `- file: base.yaml`", ("file", *_CONDITIONS), ("file",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A policy file (relative to the index) and whom it is for; an empty tuple means everyone."""

    file: str
    agents: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    span: Span


@dataclass(frozen=True, slots=True)
class Index:
    """The entries of an index, of which the first that suits a call counts."""

    entries: tuple[Entry, ...]


def parse_index(text: bytes | str, source: str = "<index>", *, limit: int = MAX_BYTES) -> Index:
    """The index that the text states. Raises `PolicyError` with every problem, in the text's order."""
    report = Report(source)
    root = drained(compose(text, report, limit))
    entries: tuple[Entry, ...] = ()
    if root is None or nothing(root):
        if not report.problems:
            report.on(Place(1, 1), "empty", "the index is empty", _FIRST_WORDS)
    else:
        entries = _policies(root, report)
    report.raise_if_any()
    return Index(entries)


def _policies(root: Node, report: Report) -> tuple[Entry, ...]:
    found: list[Entry] = []
    node = shapes.fields(root, report, _INDEX).get("policies")
    if isinstance(node, Sequence) and shapes.not_empty(node, report, "policies"):
        last: Entry | None = None
        for child in node.children:
            entry = _entry(child, report)
            if last is not None:
                message = f"the entry on line {last.span.line} suits every call, so this one never counts"
                report.on(child, "unreachable-entry", message, "move the entry without conditions to the end")
            elif entry is not None:
                last = None if entry.agents or entry.environments or entry.tenants else entry
                found.append(entry)
    elif node is not None and not isinstance(node, Sequence):
        shapes.expected(node, report, "policies", "a list of entries", _FIRST_WORDS)
    return tuple(found)


def _entry(node: Node, report: Report) -> Entry | None:
    fields = shapes.fields(node, report, _ENTRY)
    file = _file(fields["file"], report) if "file" in fields else None
    suits: dict[str, tuple[str, ...]] = {}
    for name in _CONDITIONS:
        if name in fields:
            found = shapes.trimmed(fields[name], report, name)
            if found is None:
                file = None
            suits[f"{name}s"] = found or ()
    if file is None or not isinstance(node, Mapping):
        return None
    return Entry(file=file, **suits, span=report.span(node))


def _file(node: Node, report: Report) -> str | None:
    file = shapes.text(node, report, "file")
    if file is None:
        return None
    parts = file.split("/")
    if not file.isprintable() or "\\" in file or ":" in file or not {"", ".", ".."}.isdisjoint(parts):
        message = f"`{shortened(file)}` is no plain name of a file in the folder of the index"
        report.on(node, "malformed-path", message, "write a relative name without `.` and `..`: `base.yaml`")
        return None
    return file
