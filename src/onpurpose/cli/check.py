"""`onpurpose check`: every problem of policies and purposes, each with its place and a cure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from onpurpose.cli.output import Exit, count, fail, problem_json, say, say_json, verb_options
from onpurpose.core.revision import Kind
from onpurpose.core.span import PolicyError, Problem, Severity
from onpurpose.lang.cases import parse_cases
from onpurpose.lang.index import Entry, parse_index
from onpurpose.lang.lint import lint
from onpurpose.lang.purpose_lint import lint_purposes
from onpurpose.lang.purposes import parse_purposes
from onpurpose.lang.read import parse, read_bytes
from onpurpose.lang.recognise import kind_of
from onpurpose.lang.settings import parse_settings
from onpurpose.wiring import INDEX

TEST_SUFFIX = ".test.yaml"


@click.command("check")
@click.argument("policies", metavar="POLICY...", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@verb_options
def check(policies: tuple[Path, ...], strict: bool, as_json: bool) -> Exit:
    """Find every problem of policies, each with its place and a cure.

    POLICY is a policy file, a file of purposes and purpose policies, a test file (*.test.yaml), an
    index (index.yaml), settings, or a folder, of which all *.yaml are checked and whatever its index
    names. Errors exit with 1, warnings alone with 0.
    """
    files = list(dict.fromkeys(file for policy in policies for file in _files(policy)))
    problems = [problem for file in files for problem in _check(file)]
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    warnings = len(problems) - errors
    if as_json:
        found = [problem_json(problem) for problem in problems]
        say_json({"files": list(map(str, files)), "errors": errors, "warnings": warnings, "problems": found})
    else:
        for problem in problems:
            say(problem.render() + "\n")
        told = "no problems" if not problems else f"{count(errors, 'error')}, {count(warnings, 'warning')}"
        say(f"{count(len(files), 'file')} checked: {told}")
    return Exit.FINDINGS if errors or (strict and warnings) else Exit.FINE


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    found = sorted(path.glob("*.yaml"))
    if not found:
        fail(f"there is no policy in `{path}`", "a policy is a file *.yaml; `onpurpose init` writes a first one")
    yield from found
    if path / INDEX in found:
        try:
            yield from (path / entry.file for entry in _index(path / INDEX) if (path / entry.file).exists())
        except PolicyError:
            return  # told of when the index itself is checked


def _check(file: Path) -> Iterable[Problem]:
    """Whatever is wrong with one file, by what its name, or else its content, says that it is."""
    try:
        if file.name == INDEX:
            return [_absent(file, entry) for entry in _index(file) if not (file.parent / entry.file).exists()]
        text, source = read_bytes(file), str(file)
        if file.name.endswith(TEST_SUFFIX):
            parse_cases(text, source)
            return ()
        return _read(text, source)
    except PolicyError as error:
        return error.problems


def _read(text: bytes, source: str) -> Iterable[Problem]:
    """What is unwise in a text that is read as what its content says that it is."""
    kind = kind_of(text)
    if kind is Kind.SETTINGS:
        parse_settings(text, source)
        return ()
    if kind in (Kind.PURPOSE, Kind.PURPOSE_POLICY):
        return lint_purposes(parse_purposes(text, source), text.decode("utf-8-sig"))
    return lint(parse(text, source), text.decode("utf-8-sig"))


def _index(file: Path) -> tuple[Entry, ...]:
    return parse_index(read_bytes(file), str(file)).entries


def _absent(index: Path, entry: Entry) -> Problem:
    lines = re.split(r"\r\n|\r|\n", index.read_text("utf-8-sig"))
    return Problem(
        span=entry.span,
        code="unreadable-file",
        message=f"there is no file `{entry.file}` in the folder of the index",
        help="correct the name, or remove the entry: a call that it is for is denied",
        excerpt=lines[entry.span.line - 1],
    )
