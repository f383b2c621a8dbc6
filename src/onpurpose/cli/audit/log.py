"""The log from the command line: what the verbs of `audit` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from onpurpose.cli.output import fail
from onpurpose.ports import Archive

F = TypeVar("F", bound=Callable[..., Any])


def log_option(function: F) -> F:
    """The option that names the log, passed as `log`."""
    return click.option(
        "--log", metavar="PATH", default="onpurpose.db", show_default=True, type=click.Path(path_type=Path),
        help="The audit log.",
    )(function)  # fmt: skip


def open_log(log: Path) -> Archive:
    """A view of the log as it is now. Raises `LedgerError`."""
    from onpurpose.adapters.sql.reader import SqliteArchive  # noqa: PLC0415  not for `--help`

    return SqliteArchive(log)


def existing_log(log: Path) -> Archive:
    """The same; where there is no log, the verb ends and says what makes one."""
    if not log.exists():
        refuse_missing(log)
    return open_log(log)


def refuse_missing(log: Path) -> NoReturn:
    """End the verb: there is no log yet."""
    cure = f"a gate makes it with its first decision, as does `onpurpose eval --audit {log} ...`; --log names another"
    fail(f"there is no log at `{log}` yet", cure)
