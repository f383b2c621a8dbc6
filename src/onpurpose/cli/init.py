"""`onpurpose init`: a starter policy and its test file."""

from __future__ import annotations

from pathlib import Path

import click

from onpurpose.cli.output import Exit, fail, say, say_json, verb_options, write_new

_STARTER = Path(__file__).with_name("starter")
_FOLDER = "policies"
_NEXT = """
What to do next:
  1. read {policy}: its rules say what an agent may do
  2. onpurpose check {policy}
     onpurpose test {tests}
  3. try a call:
     onpurpose explain --policy {policy} --capability shell.execute --payload '{{"command": "ls -la"}}'
  4. ask before a tool runs, in Python:
     from onpurpose import Gate
     gate = Gate("{policy}")
     result = gate.evaluate(agent_id="my-agent", capability="shell.execute", payload={{"command": "ls -la"}})"""


@click.command("init")
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
@verb_options
def init(directory: Path, as_json: bool) -> Exit:
    """Write a starter policy and its test file.

    They are policies/starter.yaml and policies/starter.test.yaml in DIR, which is this folder unless
    named. Nothing is overwritten.
    """
    files = [directory / _FOLDER / name for name in ("starter.yaml", "starter.test.yaml")]
    for file in files:
        if file.exists():
            fail(f"`{file}` exists, and is not overwritten", "name another folder, or move the file away")
    try:
        files[0].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"`{files[0].parent}` cannot be made: {error.strerror}")
    for file in files:
        write_new(str(file), iter([(_STARTER / file.name).read_bytes()]))
    if as_json:
        say_json({"written": list(map(str, files))})
    else:
        for file in files:
            say(f"written: {file}")
        say(_NEXT.format(policy=files[0], tests=files[1]))
    return Exit.FINE
