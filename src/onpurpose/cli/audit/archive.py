"""`onpurpose audit archive` and `audit retain`: old days of a log in PostgreSQL, as files; and letting go of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from onpurpose.cli.audit.log import is_postgres
from onpurpose.cli.output import Exit, count, fail, say, say_json, verb_options, visible
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.record import LedgerError, Receipt, archive_of

if TYPE_CHECKING:
    from onpurpose.adapters.sql.postgres.days import PostgresDays
    from onpurpose.app.notes import Pen
    from onpurpose.app.retention import Retention

F = TypeVar("F", bound=Callable[..., Any])

LONGEST_REASON = 1000
"""How long the reason of an order may be, in characters."""

_CLOSED = "a day is closed a day after its end (UTC); without --day every closed day is archived"
_LET_GO = "days are let go oldest first, each once `onpurpose audit archive` has archived it into this --folder"
_AGAIN = "mend that, and run it again: what is done stays done"


class _Log(NamedTuple):
    """A log whose days can be archived."""

    days: PostgresDays
    retention: Retention
    pen: Callable[[], Pen]


def _place_options(function: F) -> F:
    """The options that name the log, the files and the key, passed as `database`, `folder` and `directory`."""
    for option in (
        click.option("--directory", metavar="DIR", default=".", show_default=True, type=click.Path(path_type=Path),
                     help="Where the service's files lie: its secret, from which the log's key comes, and its anchor."),
        click.option("--folder", metavar="DIR", required=True, type=click.Path(path_type=Path),
                     help="Where the Parquet files of days lie."),
        click.option("--database", metavar="URL", required=True, envvar="ONPURPOSE_DATABASE",
                     help="The log: postgresql://USER:PASSWORD@HOST/NAME, or the variable ONPURPOSE_DATABASE."),
    ):  # fmt: skip
        function = option(function)
    return function


@click.command("archive")
@_place_options
@click.option("--day", metavar="DAY", help="This day (2026-01-31) alone, even if it was archived before.")
@verb_options
def archive(database: str, folder: Path, directory: Path, day: str | None, as_json: bool) -> Exit:
    """Write closed days of a log in PostgreSQL into Parquet files, and their digests into the log.

    Without --day: every closed day that is not archived yet. Nothing is removed from the database.
    """
    wanted = None if day is None else _day(day)
    done = []
    with _opened(database, folder, directory) as log, _refusing(_CLOSED):
        days = _waiting(log.days) if wanted is None else [wanted]
        for number, one in enumerate(days, 1):
            if wanted is None:
                say(f"archiving {one} ({number} of {len(days)})", err=True)
            told = _archived(log, one)
            done.append(told)
            if not as_json:
                say(f"{one}: {count(told['records'], 'record')} in {told['file']}, SHA-256 {told['digest']}")
        unfinished = [one.isoformat() for one in log.retention.unfinished()]
    for late in unfinished:
        say(f"{late} was to be let go and is still there: run `onpurpose audit retain --day {late}` again", err=True)
    if as_json:
        say_json({"archived": done, "unfinished": unfinished})
    elif not done:
        say("nothing to archive: every closed day that holds a record is archived")
    return Exit.FINE


@click.command("retain")
@_place_options
@click.option("--day", metavar="DAY", required=True, help="The day (2026-01-31): the oldest that is still there.")
@click.option("--reason", metavar="TEXT", required=True, help="Why it is let go; it stands in the log for good.")
@verb_options
def retain(  # noqa: PLR0913, PLR0917  these are its options
    database: str, folder: Path, directory: Path, day: str, reason: str, as_json: bool
) -> Exit:
    """Let go of an archived day: record the order, then remove the day from the database.

    The day must be the oldest closed one, and its file in the folder be the one that was recorded.
    An order that was recorded before and not carried out is carried out now, instead of another.
    """
    wanted, why = _day(day), _reason(reason)
    with _opened(database, folder, directory) as log, _refusing(_LET_GO):
        done = log.retention.let_go(wanted, log.pen(), reason=why)
    if as_json:
        told = {"day": wanted.isoformat(), "reason": done.reason, "receipt": _place(done.receipt)}
        say_json({**told, "ordered_before": done.before})
    else:
        ordered = "ordered before and not carried out until now," if done.before else "ordered"
        say(f"{wanted}: let go; its archive in {folder} is now the only copy")
        say(f"  {ordered} by record {done.receipt.chain[:8]}:{done.receipt.seq}: {visible(done.reason)}")
    return Exit.FINE


@contextmanager
def _opened(database: str, folder: Path, directory: Path) -> Iterator[_Log]:
    """The log, to archive its days into the folder; it is written with the service's key."""
    if not is_postgres(database):
        cure = "name it by --database postgresql://USER@HOST/NAME; a SQLite log is one file, which can be moved whole"
        fail("days are archived of a log in PostgreSQL alone, and --database names none", cure)
    try:
        from onpurpose.adapters.clock import Ids, SystemClock  # noqa: PLC0415  not for `--help`
        from onpurpose.adapters.parquet import DayFiles  # noqa: PLC0415  an extra, and slow to import
        from onpurpose.adapters.signing import SecretKey  # noqa: PLC0415  the same
        from onpurpose.adapters.sql.postgres import (  # noqa: PLC0415  the same
            PostgresArchive,
            PostgresDays,
            PostgresLedger,
        )
        from onpurpose.app.keys import OPERATOR  # noqa: PLC0415  the same
        from onpurpose.app.notes import Pen  # noqa: PLC0415  the same
        from onpurpose.app.retention import Retention  # noqa: PLC0415  the same
    except ModuleNotFoundError as error:
        fail(f"`{error.name}` is not installed", "pip install 'onpurpose[postgres]'")
    anchor, clock, ids = directory / "onpurpose.anchor", SystemClock(), Ids()
    signer = SecretKey(_secret(directory))
    with _refusing():
        try:
            PostgresArchive(database).close()  # before anything is made: with no log there, nothing is
            days = PostgresDays(database)
            ledger = PostgresLedger(database, signer=signer, anchor=anchor)
        except ValueError as error:
            fail(*_parted(str(error), "write it as postgresql://USER@HOST/NAME"))
        with closing(ledger):
            retention = Retention(days, DayFiles(folder), ledger)
            yield _Log(days, retention, lambda: Pen(clock, ids.new, OPERATOR, _account()))


def _secret(directory: Path) -> str:
    """The service's secret. None is made: the log is signed with the key that comes of the service's own."""
    from onpurpose.adapters.vault import VARIABLE, AesVault, find_secret  # noqa: PLC0415  not for `--help`

    file = directory / "onpurpose.secret"
    if not directory.is_dir():
        fail(f"there is no folder `{directory}`", "name by --directory where the service's files lie")
    if VARIABLE not in os.environ and not file.exists():
        fail(f"there is no secret `{file}`", f"name the service's own --directory, or set {VARIABLE}")
    with _refusing():
        secret = find_secret(os.environ, file)
        AesVault(secret)  # one that the service refuses is not the service's
    return secret


def _waiting(days: PostgresDays) -> list[date]:
    """The closed days that hold a record and are not archived yet, oldest first."""
    return [day for day in days.closed() if days.noted(day) is None]


def _archived(log: _Log, day: date) -> dict[str, Any]:
    """Archive the day, and tell what the log now says of it."""
    receipt = log.retention.archive(day, log.pen())
    noted = log.days.noted(day)
    told = None if noted is None else archive_of(noted.body)
    if told is None:
        raise LedgerError(f"the record of the archive of {day} is not in the log any more")
    return {
        "day": told.day, "file": told.file, "digest": told.digest, "records": told.records,
        "chains": len(told.chains), "receipt": _place(receipt),
    }  # fmt: skip


def _place(receipt: Receipt) -> dict[str, object]:
    return {"chain": receipt.chain, "seq": receipt.seq, "hash": receipt.hash.hex()}


@contextmanager
def _refusing(rule: str = _AGAIN) -> Iterator[None]:
    """End the verb where the block cannot go on; the cure is the error's own, or else (of a refusal) the rule."""
    from onpurpose.app.retention import RetentionError  # noqa: PLC0415  not for `--help`

    try:
        yield
    except OnPurposeError as error:
        fail(*_parted(str(error), rule if isinstance(error, RetentionError) else _AGAIN))
    except TimeoutError:
        fail("the log did not take the record in time", _AGAIN)
    except OSError as error:
        fail(f"`{error.filename}` cannot be used: {error.strerror}", _AGAIN)


def _parted(text: str, cure: str) -> tuple[str, str]:
    """An error's text and its cure: the one that it brings, or else the one that is given."""
    message, _, own = text.partition("\nhelp: ")
    return message, own or cure


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"--day `{text[:100]}` is no day", "write it as 2026-01-31")


def _reason(text: str) -> str:
    """The reason, which becomes part of a record."""
    why = text.strip()
    if not why or len(why) > LONGEST_REASON or any("\ud800" <= char <= "\udfff" for char in why):
        fail("--reason must be some text that says why", f"write it in UTF-8, in at most {LONGEST_REASON:,} characters")
    return why


def _account() -> str:
    """Who runs this: on POSIX the account of the process, whatever the environment says."""
    if os.name != "posix":
        import getpass  # noqa: PLC0415  not for `--help`

        return getpass.getuser()
    import pwd  # noqa: PLC0415  not everywhere

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a user without a name, as containers have them
        return str(os.getuid())
