"""`onpurpose audit export`: the log as JSON Lines."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import orjson

from onpurpose.app import audit as use
from onpurpose.cli.audit.log import Log, existing_log, log_options
from onpurpose.cli.output import Exit, fail, say_lines, verb_options, write_new
from onpurpose.core.outcome import Outcome

_OUTCOMES = [str(outcome) for outcome in Outcome]


@click.command("export")
@log_options
@click.option("-o", "--output", metavar="FILE", help="Write to this new file instead of stdout.")
@click.option("--since", metavar="TIME", help="Only records from then on: 2026-01-31 or 2026-01-31T09:30, UTC.")
@click.option("--outcome", type=click.Choice(_OUTCOMES), multiple=True, help="Only decisions of it. Repeatable.")
@verb_options
def export(  # noqa: PLR0913, PLR0917  these are its options
    log: str, folder: Path | None, output: str | None, since: str | None, outcome: tuple[str, ...], as_json: bool
) -> Exit:
    """Write the records as JSON Lines, each with its place in the log and its body as it stands there.

    The chain can be checked from a full export alone; not from one that was filtered. A record that
    was damaged passes every filter. The output is JSON, with or without --json.
    """
    after = None if since is None else _microseconds(since)
    wanted = frozenset(outcome)
    with closing(existing_log(Log(log, folder))) as archive:
        lines = use.export(archive)
        if after is not None or wanted:
            lines = (line for line in lines if _is_wanted(line, after, wanted))
        if output is not None:
            write_new(output, lines)
        else:
            say_lines(lines)
    return Exit.FINE


def _is_wanted(line: bytes, after: int | None, outcomes: frozenset[str]) -> bool:
    record = orjson.loads(line).get("record")
    if not isinstance(record, dict):
        return True
    at = record.get("at")
    if after is not None and isinstance(at, int) and at < after:
        return False
    return not outcomes or record.get("outcome") in outcomes


def _microseconds(text: str) -> int:
    """The time, of UTC unless it names a zone, in microseconds since 1970-01-01 UTC."""
    try:
        when = datetime.fromisoformat(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
    except ValueError:
        fail(f"--since `{text[:100]}` is no time", "write it as 2026-01-31 or 2026-01-31T09:30")
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
