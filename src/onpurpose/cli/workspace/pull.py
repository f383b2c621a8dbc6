"""`onpurpose pull`: the documents of a service's workspace into a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from onpurpose.app.folder import Action, Move, Texts, path_of, plan, write_files
from onpurpose.cli.output import Exit, count, say, say_json, verb_options
from onpurpose.cli.workspace.files import read_folder, refuse_links, remove_file, write_file
from onpurpose.cli.workspace.options import named, place_options, say_problems, texts_of
from onpurpose.cli.workspace.remote import Remote
from onpurpose.core.revision import Kind

_DONE = {Action.ADD: "created", Action.CHANGE: "changed", Action.REMOVE: "removed"}


@click.command("pull")
@place_options
@click.option("--prune", is_flag=True, help="Remove files of documents that the service does not have.")
@click.option("--force", is_flag=True, help="Replace files whose text the service never had, too.")
@verb_options
def pull(folder: Path, url: str | None, key: str | None, prune: bool, force: bool, as_json: bool) -> Exit:  # noqa: PLR0913, PLR0917  its options
    """Write the documents of a service's workspace into a folder.

    The newest revision of each becomes a file in FOLDER, which is the current folder unless named.
    A file whose text the service never had holds work that was not pushed: then nothing is written,
    and the command exits with 1, unless --force is given. A file of a document that the service
    does not have stays, unless --prune is given.
    """
    read = read_folder(folder)
    if read.problems:
        return say_problems(read.problems, as_json=as_json)
    with closing(Remote(url, key)) as remote:
        theirs = texts_of(remote.documents())
        files = write_files(theirs)
        moves = plan(read.texts, theirs, prune=prune)
        unpushed = [] if force else [one for one in moves if _is_unpushed(remote, one)]
    results = _results(read.texts, theirs, moves)
    if unpushed:
        results = {(one.kind, one.name): "not pushed" for one in unpushed}
    else:
        folder.mkdir(parents=True, exist_ok=True)
        for one in moves:
            refuse_links(folder, one.path)
        for one in moves:
            _take(folder, one, files)
    _tell(results, stopped=bool(unpushed), as_json=as_json)
    return Exit.FINDINGS if unpushed else Exit.FINE


def _is_unpushed(remote: Remote, move: Move) -> bool:
    """Whether the step would lose a text that no revision holds."""
    if move.before is None:
        return False
    return hashlib.sha256(move.before.encode()).hexdigest() not in remote.digests(move.kind, move.name)


def _results(mine: Texts, theirs: Texts, moves: Sequence[Move]) -> dict[tuple[Kind, str], str]:
    """What becomes of each document's file."""
    results = {key: "unchanged" if key in theirs else "kept" for key in mine.keys() | theirs.keys()}
    return dict(sorted((results | {(one.kind, one.name): _DONE[one.action] for one in moves}).items()))


def _take(folder: Path, move: Move, files: dict[str, str]) -> None:
    if move.action is Action.REMOVE:
        remove_file(folder, move.path)
    else:
        write_file(folder, move.path, files[move.path])


def _tell(results: dict[tuple[Kind, str], str], *, stopped: bool, as_json: bool) -> None:
    if as_json:
        say_json({"documents": [named(*key) | {"result": result} for key, result in results.items()]})
        return
    for key, result in results.items():
        say(f"{result:<10}  {path_of(*key)}")
    if stopped:
        say(
            f"error: {count(len(results), 'file')} would be lost: the service never had this text. Nothing was written",
            err=True,
        )
        say("  help: push first, or give --force where the work may go", err=True)
