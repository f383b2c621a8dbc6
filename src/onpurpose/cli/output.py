"""What the verbs share: exit codes, the options that all have, and printing that no terminal obeys."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from typing import IO, Any, NoReturn, TypeVar

import click

from onpurpose.core.span import Problem, printable

F = TypeVar("F", bound=Callable[..., Any])

LONG = 4 << 20
"""From how many bytes of input a progress bar is worth its line."""


_WIDTH = 60


class Exit(IntEnum):
    """What the command's exit code says."""

    FINE = 0
    FINDINGS = 1
    WRONG_USE = 2
    APPROVAL_REQUIRED = 3
    DENIED = 4
    INCOMPLETE = 5
    DEFECT = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


debug_option = click.option(
    "--debug", is_flag=True, expose_value=False, help="Show the trace of an error that stops the command."
)


def verb_options(function: F) -> F:
    """The options of every verb: `--json` (passed as `as_json`) and `--debug`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(debug_option(function))


class Unusable(click.ClickException):
    """Input or use that cannot be gone on with: one line that says so, and the cure on a `help:` line."""

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(f"{message}\n  help: {cure}" if cure else message)


def fail(message: str, cure: str = "") -> NoReturn:
    """End the verb with exit code 2, saying why and what to do."""
    raise Unusable(message, cure)


def is_terminal(stream: IO[Any] | None) -> bool:
    """Whether somebody looks at the stream; one that was closed before we began is `None`."""
    return stream is not None and stream.isatty()


def say(text: str = "", *, err: bool = False) -> None:
    """Print the lines of a text; whatever else a terminal could obey in them is replaced."""
    click.echo("\n".join(printable(line) for line in text.split("\n")), err=err)


def say_json(value: object, *, indent: int | None = 2) -> None:
    """Print a value as JSON, in ASCII, so that no text in it reaches a terminal as anything but text."""
    click.echo(json.dumps(value, indent=indent))


def say_lines(lines: Iterator[bytes]) -> None:
    """Write lines to stdout byte for byte; to a terminal, as `say` would."""
    if is_terminal(sys.stdout):
        for line in lines:
            say(line.decode("utf-8", "replace").removesuffix("\n"))
        return
    for line in lines:
        sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def write_new(path: str, content: Iterator[bytes]) -> None:
    """Write a file that does not exist yet, whole or not at all. Nothing is ever overwritten."""
    try:
        file = open(path, "xb")  # noqa: PTH123, SIM115  `Path` costs its import; closed below
    except FileExistsError:
        fail(f"`{path}` exists, and is not overwritten", "name another file, or move that one away")
    except OSError as error:
        fail(f"`{path}` cannot be written: {error.strerror}")
    try:
        with file:
            file.writelines(content)
    except BaseException:
        os.unlink(path)  # noqa: PTH108  the same
        raise


def say_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> None:
    """Print a table: the first columns, so many of which are texts, to the left, the others to the right."""
    shown = [[printable(cell) for cell in row] for row in rows]
    if is_terminal(sys.stdout):
        _draw_table(headers, shown, texts)
        return
    widths = [max(map(len, column)) for column in zip(headers, *shown, strict=True)]
    for row in (headers, *shown):
        cells = list(zip(row, widths, strict=True))
        left = [cell.ljust(width) for cell, width in cells[:texts]]
        click.echo("  ".join([*left, *(cell.rjust(width) for cell, width in cells[texts:])]))


def _draw_table(headers: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> None:
    from rich.box import SIMPLE_HEAD  # noqa: PLC0415  only where a table is drawn on a terminal
    from rich.console import Console  # noqa: PLC0415  the same
    from rich.table import Table  # noqa: PLC0415  the same
    from rich.text import Text  # noqa: PLC0415  the same

    table = Table(box=SIMPLE_HEAD)
    for index, header in enumerate(headers):
        table.add_column(header, justify="left" if index < texts else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # a `Text` is shown as it is: no markup is read from it
    Console().print(table)


@contextmanager
def progress(what: str, size: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """A function that is told how much more was done; for long input on a terminal it draws a bar.

    `size` is that of the input in bytes, `total` the whole in the units that are told, if it is known.
    """
    if size < LONG or not is_terminal(sys.stderr):
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415  only where a bar is drawn on a terminal
    from rich.progress import Progress  # noqa: PLC0415  the same

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)


def visible(name: str) -> str:
    """A name that somebody else chose, on one line: in quotes where it holds what misleads the eye."""
    plain = name.isprintable() and not any(char.isspace() or char == '"' for char in name) and name
    shown = name if plain else json.dumps(name)
    return shown if len(shown) <= _WIDTH else shown[: _WIDTH - 1] + "…"


def count(number: int, one: str, many: str = "") -> str:
    """The number with its noun: `1 call`, `2 calls`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def problem_json(problem: Problem) -> dict[str, object]:
    """The JSON form of a problem."""
    return {
        "source": problem.span.source,
        "line": problem.span.line,
        "column": problem.span.column,
        "length": problem.span.length,
        "severity": str(problem.severity),
        "code": problem.code,
        "message": problem.message,
        "help": problem.help,
        "excerpt": problem.excerpt,
    }
