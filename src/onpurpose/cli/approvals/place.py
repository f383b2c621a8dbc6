"""The approvals of an embedded gate from the command line: what the verbs share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from msgspec import Struct

from onpurpose.app.approvals import Desk
from onpurpose.app.gate import LOCAL
from onpurpose.cli.output import fail, say
from onpurpose.core.approval import Approval, ApprovalError, Wanted
from onpurpose.core.revision import MissingError, StoreError

if TYPE_CHECKING:
    from onpurpose.local import LocalDesk
    from onpurpose.ports import Approvals

F = TypeVar("F", bound=Callable[..., Any])

WHOLE_ID = 32
"""Characters of an approval's id; fewer name it where they name no other."""

_LOOKED_AT = 1000


class Place(Struct, frozen=True, kw_only=True):
    """Where a gate's approvals are: its log, the log's key, and the file of the approvals (`None`: beside the log)."""

    log: Path
    key: Path | None
    file: Path | None


def place_options(function: F) -> F:
    """The options that say where the approvals are, passed as one `place`."""
    log = click.option(
        "--log", metavar="PATH", type=click.Path(dir_okay=False, path_type=Path), default=Path("onpurpose.db"),
        show_default=True, help="The gate's audit log: its approvals lie beside it, and what you do is recorded there.",
    )  # fmt: skip
    key = click.option(
        "--audit-key", "key", metavar="PATH", type=click.Path(dir_okay=False, path_type=Path),
        help="The key that signs the log, where it is not PATH.key of the log.",
    )  # fmt: skip
    file = click.option(
        "--approvals", "file", metavar="PATH", type=click.Path(dir_okay=False, path_type=Path),
        help="The file of the approvals, where it is not PATH.approvals of the log.",
    )  # fmt: skip
    return log(key(file(_placed(function))))


def _placed(function: F) -> F:
    @wraps(function)
    def with_place(*args: Any, log: Path, key: Path | None, file: Path | None, **kwargs: Any) -> Any:
        return function(*args, place=Place(log=log, key=key, file=file), **kwargs)

    return cast(F, with_place)


@contextmanager
def desk_at(at: Place) -> Iterator[Desk]:
    """The desk of the approvals beside the log; what cannot be done ends the verb with exit code 2.

    Where there is a log and no approval was opened yet, there are simply none.
    """
    with _opened(at) as local:
        yield local.desk


@contextmanager
def approvals_at(at: Place) -> Iterator[Approvals]:
    """The same approvals as they are kept."""
    with _opened(at) as local:
        yield local.approvals


@contextmanager
def _opened(at: Place) -> Iterator[LocalDesk]:
    from onpurpose.app.masking import Masking  # noqa: PLC0415  not for `--help`
    from onpurpose.local import LocalDesk, approvals_beside  # noqa: PLC0415
    from onpurpose.wiring import ledger_at  # noqa: PLC0415

    place = approvals_beside(at.log) if at.file is None else at.file
    if not at.log.exists():
        fail(f"there is no log at `{at.log}` yet", "a gate makes it with its first decision; --log names another")
    if at.file is not None and not at.file.exists():
        fail(f"there are no approvals at `{at.file}` yet", "a gate makes the file when a call first needs a person")
    with (
        _plainly(),
        closing(ledger_at(at.log, at.key)) as ledger,
        closing(LocalDesk(place, ledger, Masking())) as local,
    ):
        try:
            yield local
        except (ApprovalError, MissingError) as error:
            fail(str(error))
        except StoreError as error:
            fail(f"the approvals at `{place}` cannot be used: {error}")


class _Said(logging.Handler):
    """Says what goes wrong beside the verb in one line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        error = record.exc_info[1] if record.exc_info else None
        say(f"warning: {record.getMessage()}" + (f": {error}" if error else ""), err=True)


@contextmanager
def _plainly() -> Iterator[None]:
    log, said = logging.getLogger("onpurpose"), _Said(logging.WARNING)
    log.addHandler(said)
    try:
        yield
    finally:
        log.removeHandler(said)


def found(desk: Desk, named: str) -> Approval:
    """The approval of that id, or of an id that begins so. Raises `MissingError`."""
    if len(named) >= WHOLE_ID:
        return desk.get(LOCAL, named)
    alike = [one for one in desk.find(Wanted(workspace=LOCAL, limit=_LOOKED_AT)) if one.id.startswith(named)]
    if not alike or not named:
        raise MissingError(f"there is no approval `{named[:WHOLE_ID]}`")
    if len(alike) > 1:
        cure = "write more of the id: `onpurpose approvals list` shows it"
        fail(f"{len(alike):,} approvals begin with `{named}`", cure)
    return alike[0]
