"""The log from the command line: what the verbs of `audit` share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from msgspec import Struct

from onpurpose.cli.output import fail
from onpurpose.ports import Archive

F = TypeVar("F", bound=Callable[..., Any])


class Log(Struct, frozen=True):
    """Where a log is: `place` is a path or the URL of a PostgreSQL database, `folder` where archived days lie."""

    place: str
    folder: Path | None

    @property
    def path(self) -> Path | None:
        """The log's file; `None` for one in PostgreSQL."""
        return None if is_postgres(self.place) else Path(self.place)

    def __str__(self) -> str:
        """The log's name, without the password that a URL may hold."""
        return self.place if self.path is not None else _address(self.place)

    __repr__ = __str__


def is_postgres(place: str) -> bool:
    """Whether it names a database in PostgreSQL, rather than a file."""
    return place.startswith(("postgresql:", "postgres:"))


def log_options(function: F) -> F:
    """The options that name the log, passed as `log` and `folder`: what a `Log` is made of."""
    log = click.option(
        "--log", metavar="PATH|URL", default="onpurpose.db", show_default=True,
        help="The audit log: a file, or postgresql://USER:PASSWORD@HOST/NAME.",
    )  # fmt: skip
    folder = click.option(
        "--folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Where days of a log in PostgreSQL lie that were archived and let go.",
    )  # fmt: skip
    return log(folder(function))


def open_log(log: Log) -> Archive:
    """A view of the log as it is now. Raises `LedgerError`."""
    if log.path is None:
        return _open_postgres(log)
    from onpurpose.adapters.sql.reader import SqliteArchive  # noqa: PLC0415  not for `--help`

    return SqliteArchive(log.path)


def existing_log(log: Log) -> Archive:
    """The same; where there is no log, the verb ends and says what makes one."""
    if log.path is not None and not log.path.exists():
        refuse_missing(log)
    return open_log(log)


def refuse_missing(log: Log) -> NoReturn:
    """End the verb: there is no log yet."""
    cure = f"a gate makes it with its first decision, as does `onpurpose eval --audit {log} ...`; --log names another"
    fail(f"there is no log at `{log}` yet", cure)


def _open_postgres(log: Log) -> Archive:
    _address(log.place)  # refuses what is no URL, before anything is asked
    from onpurpose.adapters.sql.postgres.archive import PostgresArchive  # noqa: PLC0415  an extra

    if log.folder is None:
        return PostgresArchive(log.place)
    from onpurpose.adapters.parquet import DayFiles  # noqa: PLC0415  an extra, and slow to import

    return PostgresArchive(log.place, archived=DayFiles(log.folder))


def _address(url: str) -> str:
    try:
        from onpurpose.adapters.sql.postgres.connection import Address  # noqa: PLC0415  an extra

        return Address(url).name
    except ModuleNotFoundError as error:
        fail(f"`{error.name}` is not installed", "pip install 'onpurpose[postgres]'")
    except ValueError:
        fail("the URL of the log cannot be read", "write it as postgresql://USER@HOST/NAME")
