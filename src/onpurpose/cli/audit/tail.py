"""`onpurpose audit tail`: the newest records, and those that come."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import orjson

from onpurpose.app import audit as use
from onpurpose.cli.audit.log import Log, existing_log, log_options, open_log
from onpurpose.cli.output import Exit, say, say_json, verb_options, visible
from onpurpose.core.record import LogChangedError, Stored

_LOOK_EVERY_SECONDS = 0.5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEARS = 250 * 365 * 24 * 3600 * 1_000_000  # a time beyond is none that a clock has shown


@click.command("tail")
@log_options
@click.option("-n", "--lines", "number", metavar="N", type=click.IntRange(0, 100_000), default=10, show_default=True,
              help="How many records to begin with.")  # fmt: skip
@click.option("-f", "--follow", is_flag=True, help="Go on with those that come, until interrupted.")
@verb_options
def tail(log: str, folder: Path | None, number: int, follow: bool, as_json: bool) -> Exit:
    """Show the newest records, one a line: time (UTC), outcome, agent, capability, rule.

    A record that is no decision is shown by its kind. With --json each line is the record's place
    and body, as in an export. Of a log in PostgreSQL the records are shown that a checkpoint covers.
    """
    place = Log(log, folder)
    with closing(existing_log(place)) as archive:
        newest = use.tail(archive, max(number, 1))
    position = newest[-1].position if newest else 0
    for stored in newest[len(newest) - number :] if number < len(newest) else newest:
        _show(stored, as_json)
    if not newest and not follow:
        say(f"the log `{place}` holds no record yet", err=True)
    if follow:
        for stored in _coming(place, position):
            _show(stored, as_json)
    return Exit.FINE


def _coming(log: Log, position: int) -> Iterator[Stored]:
    """The records behind a position, for ever."""
    while True:
        try:
            for stored in use.follow(lambda: open_log(log), position, _pause):
                position = stored.position
                yield stored
        except LogChangedError:  # the log was opened for writing just then: look again
            _pause()


def _pause() -> bool:
    time.sleep(_LOOK_EVERY_SECONDS)
    return True


def _show(stored: Stored, as_json: bool) -> None:
    record = _record(stored)
    if as_json:
        body = {"damaged": stored.body.hex()} if record is None else {"record": record}
        say_json({**use.place(stored), **body}, indent=None)
    elif record is None:
        say(f"{'':<24}  damaged record at position {stored.position}")
    else:
        say(_line(record))


def _record(stored: Stored) -> dict[str, object] | None:
    try:
        record = orjson.loads(stored.body)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None


def _line(record: dict[str, object]) -> str:
    when = _time(record.get("at"))
    if record.get("kind") != "decision":
        return f"{when}  {visible(str(record.get('kind')))}"
    first = _first(record.get("reasons"))
    rule = first.get("rule")
    why = rule.get("at") if isinstance(rule, dict) else first.get("code", "")
    outcome = visible(str(record.get("outcome")))
    agent, capability = (visible(str(record.get(name))) for name in ("agent_id", "capability"))
    return f"{when}  {outcome:<16}  {agent}  {capability}  {why}"


def _first(reasons: object) -> dict[str, object]:
    first = reasons[0] if isinstance(reasons, list) and reasons else None
    return first if isinstance(first, dict) else {}


def _time(at: object) -> str:
    if type(at) is not int or not 0 <= at < _YEARS:
        return f"{'(no time)':<24}"
    return (_EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
