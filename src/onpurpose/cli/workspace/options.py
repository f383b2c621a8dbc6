"""What the three verbs share: where the service and the folder are, and what is printed of a document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from onpurpose.app.folder import Move, Texts, path_of
from onpurpose.cli.output import Exit, count, fail, problem_json, say, say_json
from onpurpose.cli.workspace.files import Folder, check_texts, read_folder
from onpurpose.cli.workspace.remote import Found
from onpurpose.core.revision import Kind
from onpurpose.core.span import Problem

F = TypeVar("F", bound=Callable[..., Any])


def place_options(function: F) -> F:
    """The folder (passed as `folder`) and the service (`url`, `key`)."""
    folder = click.argument("folder", metavar="[FOLDER]", default=".", type=click.Path(path_type=Path, file_okay=False))
    url = click.option("--url", metavar="URL", envvar="ONPURPOSE_URL", help="The service. Default: ONPURPOSE_URL.")
    key = click.option(
        "--key", metavar="KEY", envvar="ONPURPOSE_KEY",
        help="A key of the workspace. Default, and seen by nobody else: ONPURPOSE_KEY.",
    )  # fmt: skip
    return folder(url(key(function)))


def texts_of(found: Mapping[tuple[Kind, str], Found]) -> Texts:
    """The texts alone."""
    return {key: one.text for key, one in found.items()}


def existing_folder(folder: Path) -> Folder:
    """What is in the folder; where there is none, the verb ends and says what makes one."""
    if not folder.is_dir():
        fail(f"there is no folder `{folder}`", "`onpurpose pull` makes it")
    return read_folder(folder)


def problems_of(folder: Path, read: Folder) -> list[Problem]:
    """Everything that is wrong with the folder's files."""
    return [*read.problems, *check_texts(folder, dict(read.texts))]


def say_problems(problems: Iterable[Problem], *, as_json: bool) -> Exit:
    """Tell why nothing was done."""
    found = list(problems)
    if as_json:
        say_json({"problems": [problem_json(one) for one in found]})
    else:
        for one in found:
            say(one.render() + "\n")
        say(f"{count(len(found), 'problem')}: nothing was done")
    return Exit.FINDINGS


def named(kind: Kind, name: str) -> dict[str, object]:
    """Which document, for programs."""
    return {"path": path_of(kind, name), "kind": str(kind), "name": name}


def diff_lines(move: Move) -> str:
    """What the step changes; where only the ends of lines do, a line that says so."""
    return move.diff() or f"{move.path}: only the ends of lines differ\n"
