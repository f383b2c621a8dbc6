"""`onpurpose push`: a folder's documents into a service's workspace."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import click
from msgspec import Struct

from onpurpose.app.folder import Action, Move, Texts, path_of, plan
from onpurpose.cli.output import Exit, Unusable, fail, say, say_json, verb_options
from onpurpose.cli.workspace.options import (
    diff_lines,
    existing_folder,
    named,
    place_options,
    problems_of,
    say_problems,
    texts_of,
)
from onpurpose.cli.workspace.remote import Found, RefusedError, Remote
from onpurpose.core.revision import Kind

_DONE = {Action.ADD: "created", Action.CHANGE: "changed", Action.REMOVE: "removed"}
_CHANGED_MEANWHILE = "somebody else changed it just now: `onpurpose diff` shows what, then push again"


class Result(Struct, frozen=True, kw_only=True):
    """What became of a document: `revision` and `standing` of a written one, `message` and `help` of a refused one."""

    kind: Kind
    name: str
    result: str
    revision: int | None = None
    standing: str | None = None
    message: str = ""
    help: str = ""

    @property
    def good(self) -> bool:
        """Whether the document is now as the folder has it, or was left alone on purpose."""
        return not self.message


@click.command("push")
@place_options
@click.option("--reason", metavar="TEXT", help="Why: stands in every revision that is written. Required.")
@click.option("--prune", is_flag=True, help="Remove documents that the folder has no file of.")
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
@verb_options
def push(  # noqa: PLR0913, PLR0917  its options
    folder: Path, url: str | None, key: str | None, reason: str | None, prune: bool, dry_run: bool, as_json: bool
) -> Exit:
    """Write a folder's documents into a service's workspace.

    FOLDER is the current folder unless named. Every file is checked first; with any problem nothing
    is sent. What changed becomes a new revision of its document: a policy's waits in shadow for its
    promotion. A document without a file stays, unless --prune is given. Exits with 1 where a file
    has a problem or the service did not take it.
    """
    if not dry_run and not (reason or "").strip():
        fail("a push needs a reason", "say why in `--reason`: it stands in the history and in the log")
    read = existing_folder(folder)
    problems = problems_of(folder, read)
    if problems:
        return say_problems(problems, as_json=as_json)
    with closing(Remote(url, key)) as remote:
        found = remote.documents()
        theirs = texts_of(found)
        moves = plan(theirs, read.texts, prune=prune)
        results = _untouched(read.texts, theirs, moves)
        if dry_run:
            return _show(results, moves, as_json=as_json)
        try:
            for move in moves:
                results.append(_take(remote, move, found, reason or ""))
        except Unusable:  # what was done before is told too
            _tell(results, as_json=as_json)
            raise
    _tell(results, as_json=as_json)
    return Exit.FINE if all(one.good for one in results) else Exit.FINDINGS


def _untouched(mine: Texts, theirs: Texts, moves: tuple[Move, ...]) -> list[Result]:
    moved = {(one.kind, one.name) for one in moves}
    return [
        Result(kind=key[0], name=key[1], result="unchanged" if key in mine else "kept")
        for key in sorted((mine.keys() | theirs.keys()) - moved)
    ]


def _take(remote: Remote, move: Move, found: Mapping[tuple[Kind, str], Found], reason: str) -> Result:
    """Take one step; a document that the service does not take is no reason to stop."""
    kind, name = move.kind, move.name
    version = found[kind, name].version if (kind, name) in found else 0
    try:
        if move.after is None:
            saved = remote.remove(kind, name, reason=reason, version=version)
        else:
            saved = remote.save(kind, name, move.after, reason=reason, version=version)
    except RefusedError as error:
        result = "conflict" if error.conflict else "refused"
        cure = error.cure or (_CHANGED_MEANWHILE if error.conflict else "")
        return Result(kind=kind, name=name, result=result, message=str(error), help=cure)
    return Result(kind=kind, name=name, result=_DONE[move.action], revision=saved.revision, standing=saved.standing)


def _show(results: list[Result], moves: tuple[Move, ...], *, as_json: bool) -> Exit:
    """The plan."""
    planned = [Result(kind=one.kind, name=one.name, result=f"would be {_DONE[one.action]}") for one in moves]
    _tell([*results, *planned], as_json=as_json)
    if not as_json:
        for move in moves:
            say(f"\n{diff_lines(move)}".removesuffix("\n"))
    return Exit.FINE


def _tell(results: list[Result], *, as_json: bool) -> None:
    if as_json:
        say_json({"documents": [_json(one) for one in results]})
        return
    for one in results:
        told = (
            "" if one.revision is None else f"  (revision {one.revision}{f', {one.standing}' if one.standing else ''})"
        )
        say(f"{one.result:<10}  {path_of(one.kind, one.name)}{told}")
        if one.message:
            say(f"  {one.message}" + (f"\n  help: {one.help}" if one.help else ""))


def _json(one: Result) -> dict[str, object]:
    told = {"result": one.result, "revision": one.revision, "standing": one.standing}
    return named(one.kind, one.name) | told | {"message": one.message, "help": one.help}
