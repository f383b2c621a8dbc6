"""Recorded calls from the command line: what `replay` and `suggest` share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from onpurpose.adapters.transcripts import FORMATS, Transcript, files_of, read, read_stream, size_of
from onpurpose.cli.output import count, fail, problem_json, progress, say

F = TypeVar("F", bound=Callable[..., Any])

_SHOWN_PROBLEMS = 10


def recorded_options(function: F) -> F:
    """The argument and the option that name recorded calls."""
    argument = click.argument("calls", metavar="CALLS", type=click.Path(exists=True, allow_dash=True, path_type=Path))
    form = click.option(
        "--format", "form", type=click.Choice(list(FORMATS)), help="How CALLS is written. Default: found out."
    )
    return argument(form(function))


@contextmanager
def reading(calls: Path, form: str | None, what: str) -> Iterator[Transcript]:
    """The recorded calls of a file, a folder or (`-`) stdin, with a progress bar where it is long."""
    if str(calls) == "-":
        if form is None:
            fail("the format of stdin is not found out", f"name it by --format: {', '.join(FORMATS)}")
        yield read_stream(sys.stdin.buffer, "<stdin>", form)
        return
    if not files_of(calls):
        fail(f"there are no recorded calls in `{calls}`", "a folder is searched for *.jsonl")
    size = size_of(calls)
    with progress(what, size, size) as bar:
        yield read(calls, form, bar)


def refuse_empty(transcript: Transcript, total: int, calls: Path) -> None:
    """End the verb where there was no call to work on, telling first what could not be read."""
    if total:
        return
    tell_unread(transcript)
    cure = "name the format by --format; one call a line, with a `capability` and a `payload`, is a start"
    fail(f"there are no recorded calls in `{calls}`", cure)


def tell_unread(transcript: Transcript) -> None:
    """Say on stderr what could not be read, and of which calls there is doubt."""
    for problem in transcript.problems[:_SHOWN_PROBLEMS]:
        say(f"{problem.span.source}:{problem.span.line}: not read: {problem.message}", err=True)
    if transcript.unread > _SHOWN_PROBLEMS:
        say(f"... and {transcript.unread - _SHOWN_PROBLEMS:,} more that could not be read", err=True)
    if transcript.unread:
        say(f"{count(transcript.unread, 'line or call', 'lines or calls')} could not be read", err=True)


def unread_json(transcript: Transcript) -> dict[str, object]:
    """What could not be read, and what is doubtful, as JSON."""
    return {
        "unread": transcript.unread,
        "problems": [problem_json(problem) for problem in transcript.problems],
        "doubts": {str(doubt): number for doubt, number in sorted(transcript.doubts.items())},
    }
