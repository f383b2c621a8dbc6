"""`onpurpose demo`: a service on sample data, with agents that go on asking."""

from __future__ import annotations

import logging
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final

import click

from onpurpose.cli.output import LONG, Exit, count, debug_option, fail, progress, say

if TYPE_CHECKING:
    from onpurpose.demo.repertoire import Repertoire
    from onpurpose.demo.serving import Demo
    from onpurpose.demo.workspace import Keys

CASES: Final = Path("../shared/cases")
"""Where recorded calls are looked for unless they are named."""

HOST: Final = "127.0.0.1"
"""Nobody but this machine can reach it."""


@click.command("demo")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 is any free one.")
@click.option("--cases", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="Recorded calls to take. Default: ../shared/cases if it is there, else made-up ones.")  # fmt: skip
@click.option("--database", metavar="PATH", help="A new file, which is kept. Default: one that is removed in the end.")
@click.option("--rate", default=3.0, show_default=True, type=click.FloatRange(0.01, 200), metavar="N",
              help="About how many calls a second the agents ask.")  # fmt: skip
@click.option("--for", "seconds", type=click.FloatRange(0, 1e6), metavar="SECONDS", help="End by itself after so long.")
@click.option("--decisions", default=4000, show_default=True, type=click.IntRange(200, 100_000), metavar="N",
              help="How many there are of the fortnight before.")  # fmt: skip
@click.option("--seed", default=1, show_default=True, type=int, metavar="N", help="Another one makes another history.")
@debug_option
def demo(  # noqa: PLR0913, PLR0917  these are its settings
    port: int,
    cases: Path | None,
    database: str | None,
    rate: float,
    seconds: float | None,
    decisions: int,
    seed: int,
) -> Exit:
    """Serve a workspace with sample data, in which agents go on asking.

    It has people of every role, policies live and in shadow, and a fortnight of decisions and approvals, which are
    made in some seconds. Nothing leaves this machine, and nobody else can reach it. Ctrl-C ends it.
    """
    try:
        import httpx2  # noqa: F401, PLC0415  of the extra `client`, which the agents need

        from onpurpose.demo.history import Story  # noqa: PLC0415  an extra, and slow to import
        from onpurpose.demo.serving import Demo, prepare, serve  # noqa: PLC0415  as above
    except ModuleNotFoundError as error:
        fail(f"`{error.name}` is not installed", "pip install 'onpurpose[server,client]'")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with ExitStack() as stack:
        stack.enter_context(_terminated_as_interrupted())
        file = _new_file(database, stack)
        sockets = _sockets(port, stack)
        story = Story(decisions=decisions, seed=seed, now=time.time_ns() // 1000)
        shown = Demo(file=file, sockets=sockets, repertoire=_repertoire(cases), story=story, rate=rate)
        say(f"Writing {count(story.decisions, 'decision')} of the last fortnight ...")
        with progress("a fortnight of decisions", LONG, story.decisions) as advance:
            keys = prepare(shown, advance)
        serve(shown, keys, ready=lambda: _welcome(shown, keys, kept=database is not None), seconds=seconds)
        say("\nThe demo has ended." if database is None else f"\nThe demo has ended. What it wrote is in `{file}`.")
    return Exit.FINE


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Within, SIGTERM ends what is done as Ctrl-C does, so that what is to be removed is."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _new_file(database: str | None, stack: ExitStack) -> Path:
    """Where the database will be; without a name, in a folder that is removed in the end."""
    if database is None:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="onpurpose-demo-"))) / "demo.db"
    if "://" in database:
        fail("the demo keeps what it has in a file", "name a path by `--database`, or leave it out")
    file = Path(database).absolute()
    for one in (file, file.with_name(f"{file.name}.feed")):
        if one.exists():
            fail(f"`{one}` exists, and is not overwritten", "name another file: the demo only takes a new one")
    if not file.parent.is_dir():
        fail(f"there is no folder `{file.parent}`", "make it, or name another one")
    return file


def _sockets(port: int, stack: ExitStack) -> list[socket.socket]:
    from onpurpose.server.listening import bind  # noqa: PLC0415  an extra, and slow to import

    try:
        sockets = bind(HOST, port)
    except OSError as error:
        fail(f"`{HOST}:{port}` cannot be listened on: {error.strerror}", "name another by `--port`")
    for one in sockets:
        stack.callback(one.close)
    return sockets


def _repertoire(cases: Path | None) -> Repertoire:
    from onpurpose.demo.repertoire import Repertoire, recorded  # noqa: PLC0415  as above

    folder = cases or (CASES if CASES.is_dir() else None)
    if folder is None:
        say("The agents' calls are made up: no folder of recorded ones was named by `--cases`.")
        return Repertoire()
    calls = recorded(folder)
    say(f"The agents' calls are {len(calls):,} recorded ones of `{folder}`, and made-up ones beside them.")
    return Repertoire(calls)


def _welcome(shown: Demo, keys: Keys, *, kept: bool) -> None:
    """Say where to look, and what opens it: the only time that this is shown."""
    from onpurpose.demo.cast import MEMBERS, VISITOR  # noqa: PLC0415  as above

    others = ", ".join(f"{one.id} ({', '.join(sorted(one.roles))})" for one in MEMBERS if one.id != VISITOR)
    say(f"""
The demo is at  {shown.url}

  sign in as       {VISITOR}
  the password is  {keys.password}

With the same password: {others}.
By HTTP ({shown.url}/docs):
  the admin key    {keys.admin}
  your own key     {keys.visitor}

About {shown.rate:g} calls a second are asked. {"" if kept else "All of it is removed in the end. "}Ctrl-C ends it.""")
