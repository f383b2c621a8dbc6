"""The command `onpurpose`: finds the verb, and turns whatever goes wrong into a line and an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NoReturn

import click

from onpurpose.cli.output import Exit, debug_option, say
from onpurpose.core.errors import OnPurposeError

VERBS = {
    "init": ("init", "init", "Write a starter policy and its test file."),
    "check": ("check", "check", "Find every problem of policies, each with its place and a cure."),
    "eval": ("eval_", "eval_", "Decide one call."),
    "explain": ("explain", "explain", "Decide one call and tell the whole road to the outcome."),
    "test": ("test_", "test_", "Run policy test files."),
    "replay": ("replay", "replay", "Decide recorded calls again, and count the outcomes."),
    "suggest": ("suggest", "suggest", "Write a starter policy from recorded calls."),
    "audit": ("audit", "audit", "Verify, export and follow the audit log."),
    "approvals": ("approvals", "approvals", "See what agents ask people, and decide it."),
    "serve": ("serve", "serve", "Serve decisions over HTTP, with everything they need in one database."),
    "demo": ("demo", "demo", "Serve a workspace with sample data, in which agents go on asking."),
    "pull": ("workspace", "pull", "Write the documents of a service's workspace into a folder."),
    "push": ("workspace", "push", "Write a folder's documents into a service's workspace."),
    "diff": ("workspace", "diff", "Show what differs between a service's workspace and a folder."),
}
"""Each verb: its module, its command there, and its line of help. A module is imported when its verb is used."""

_EPILOG = """\b
Exit codes:
  0   fine; for eval and explain: allow or warn
  1   findings: problems, failing tests, unreadable lines, a broken log,
      a folder and a workspace that differ
  2   wrong use, or input that cannot be read
  3   the call needs approval (eval, explain)
  4   the call is denied (eval, explain)
  5   nothing wrong in a log, but archived days are not at hand
  70  a defect of onpurpose itself; 130 interrupted; 141 nobody reads the output
"""


class Root(click.Group):
    """The verbs, imported one at a time, and the last word on every error."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order in which they are met."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command, imported now."""
        if cmd_name not in VERBS:
            return None
        module, name, _ = VERBS[cmd_name]
        command: click.Command = getattr(import_module(f"onpurpose.cli.{module}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing any."""
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, line) for verb, (_, _, line) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a reader that went away ends it quietly."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _abandon_output()
            return Exit.BROKEN_PIPE

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> NoReturn:
        """Run the command line and exit; nothing but `SystemExit` is raised."""
        args = sys.argv[1:] if args is None else list(args)
        debug = "--debug" in args
        _print_anything()
        try:
            code = super().main(args, prog_name, complete_var, standalone_mode=False, obj=debug, **extra)
        except click.Abort:
            code = Exit.INTERRUPTED
        except click.ClickException as error:
            code = _refuse(error)
        except Exception as error:
            code = _failed(error, debug)
        sys.exit(int(code or Exit.FINE))


def _print_anything() -> None:
    """Have characters that the output's encoding lacks written as escapes, not refused."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _refuse(error: click.ClickException) -> Exit:
    usage = error.ctx.get_usage() if isinstance(error, click.UsageError) and error.ctx else ""
    if usage:
        say(usage, err=True)
    say(f"error: {error.format_message()}", err=True)
    return Exit.WRONG_USE


def _failed(error: Exception, debug: bool) -> Exit:
    """Say what stopped the verb: an error raised on purpose as it is, any other in one line."""
    if debug:
        import traceback  # noqa: PLC0415  only here

        say(traceback.format_exc(), err=True)
    if isinstance(error, OnPurposeError | OSError):
        say(f"error: {error}" if "\n" not in str(error) else str(error), err=True)
        return Exit.WRONG_USE
    what = str(error).partition("\n")[0][:200]
    say(f"internal error: {type(error).__name__}: {what}", err=True)
    if not debug:
        say("  help: run it again with --debug to see where, and report it", err=True)
    return Exit.DEFECT


def _abandon_output() -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush does not fail."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=Root,
    invoke_without_command=True,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="onpurpose", message="%(prog)s %(version)s")
@debug_option
@click.pass_context
def main(ctx: click.Context) -> None:
    """Decide from a policy whether an AI agent's tool call may run, and prove what was decided."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
