"""The pages of the documentation, taken apart into what can be run and compared."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

ELSEWHERE = ("docs/benchmarks.md", "docs/reference/cli.md")
"""Pages that are no prose with examples: the output of the benchmarks, and the forms of the command."""

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>[a-z]*)(?P<rest>.*)")
_TITLE = re.compile(r'title="([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block: its language, its title (empty if none), its text, the line of its fence."""

    language: str
    title: str
    text: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table: its rows as mappings from the header's words to the cells, each with its line."""

    header: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, str]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A heading and its level."""

    level: int
    text: str
    line: int


Part: TypeAlias = Block | Table | Heading


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page: its name from the root of the project, its text, its parts in order."""

    name: str
    text: str
    parts: tuple[Part, ...]


def page(name: str) -> Page:
    text = (ROOT / name).read_text("utf-8")
    return Page(name=name, text=text, parts=tuple(_parts(text.splitlines())))


def names() -> list[str]:
    """Every page that people write."""
    found = [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    every = sorted(path.relative_to(ROOT).as_posix() for path in found)
    return [name for name in every if name not in ELSEWHERE]


def section(of: Page, title: str) -> tuple[Part, ...]:
    """What stands under the heading, down to the next of its level or above."""
    found: list[Part] = []
    level = 0
    for part in of.parts:
        if isinstance(part, Heading) and level and part.level <= level:
            return tuple(found)
        if level:
            found.append(part)
        elif isinstance(part, Heading) and part.text == title:
            level = part.level
    assert level, f"{of.name} has no heading {title!r}"
    return tuple(found)


def codes(text: str) -> list[str]:
    """What stands between back-quotes."""
    return re.findall(r"`([^`]+)`", text)


def column(of: Page, title: str, header: str) -> list[str]:
    """The cells under a header of the tables in a section."""
    tables = [part for part in section(of, title) if isinstance(part, Table) and header in part.header]
    assert tables, f"{of.name}, {title!r}: no table has a column {header!r}"
    return [row[header] for table in tables for _, row in table.rows]


def _parts(lines: list[str]) -> Iterator[Part]:
    at = 0
    while at < len(lines):
        fence = _FENCE.fullmatch(lines[at])
        if fence:
            end = next(n for n in range(at + 1, len(lines)) if lines[n] == fence["indent"] + "```")
            title = _TITLE.search(fence["rest"])
            text = textwrap.dedent("\n".join(lines[at + 1 : end])) + "\n"
            yield Block(language=fence["language"], title=title[1] if title else "", text=text, line=at + 1)
            at = end + 1
        elif lines[at].startswith("|"):
            end = next((n for n in range(at, len(lines)) if not lines[n].startswith("|")), len(lines))
            yield _table(lines[at:end], at + 1)
            at = end
        else:
            if lines[at].startswith("#"):
                marks, _, text = lines[at].partition(" ")
                yield Heading(level=len(marks), text=text, line=at + 1)
            at += 1


def _table(lines: list[str], first: int) -> Table:
    header, rule, *rows = [_cells(line) for line in lines]
    assert all(set(cell) <= set("-: ") for cell in rule), f"line {first}: a table without a rule"
    return Table(
        header=tuple(header),
        rows=tuple((first + 2 + n, dict(zip(header, row, strict=True))) for n, row in enumerate(rows)),
    )


def _cells(line: str) -> list[str]:
    """The cells of a row. A `|` in code is written `<code>&#124;</code>`: renderers read all else differently."""
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [unescape(re.sub("</?code>", "`", cell)).strip() for cell in inner.split("|")]
