"""`onpurpose diff`: what differs between a service's workspace and a folder."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from onpurpose.app.folder import plan
from onpurpose.cli.output import Exit, say_json, say_lines, verb_options
from onpurpose.cli.workspace.options import diff_lines, existing_folder, named, place_options, say_problems, texts_of
from onpurpose.cli.workspace.remote import Remote


@click.command("diff")
@place_options
@verb_options
def diff(folder: Path, url: str | None, key: str | None, as_json: bool) -> Exit:
    """Show what differs between a service's workspace and a folder.

    Unified diffs of the workspace (-) and FOLDER (+), which is the current folder unless named. The
    newest revision of every document is compared, and what only one side has is shown too. Exits
    with 1 where anything differs.
    """
    read = existing_folder(folder)
    if read.problems:
        return say_problems(read.problems, as_json=as_json)
    with closing(Remote(url, key)) as remote:
        moves = plan(texts_of(remote.documents()), read.texts, prune=True)
    if as_json:
        found = [named(one.kind, one.name) | {"action": str(one.action), "diff": diff_lines(one)} for one in moves]
        say_json({"differences": found})
    else:
        say_lines(diff_lines(one).encode() for one in moves)
    return Exit.FINDINGS if moves else Exit.FINE
