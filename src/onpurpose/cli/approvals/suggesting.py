"""`onpurpose approvals suggest`: rules that would have allowed what people grant again and again."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click
from msgspec import to_builtins

from onpurpose.app.gate import LOCAL
from onpurpose.cli.approvals.place import Place, approvals_at, place_options
from onpurpose.cli.output import Exit, count, say, say_json, verb_options

if TYPE_CHECKING:
    from onpurpose.app.granting import Proposals


@click.command("suggest")
@place_options
@verb_options
def suggest(place: Place, as_json: bool) -> Exit:
    """Propose rules for what people often grant.

    With what else each would have let through. A rule is the narrowest that allows what was granted three
    times or more to one agent for one capability. It is tried on every call of the log that nobody granted;
    one that would have let through what a person denied is not proposed. Nothing is changed: the rules are
    for you to read.
    """
    from onpurpose.adapters.sql.reader import SqliteArchive  # noqa: PLC0415  not for `--help`
    from onpurpose.app.granting import propose, written  # noqa: PLC0415

    with approvals_at(place) as approvals, closing(SqliteArchive(place.log)) as archive:
        found = propose(approvals, LOCAL, lambda: (one.body for one in archive.records()))
    if as_json:
        say_json(_json(found))
        return Exit.FINE
    if not found.proposals and not found.declined:
        say(f"nothing to propose: people granted {count(found.granted, 'request')}", err=True)
        say("a rule takes three that were granted to one agent for one capability: go on deciding", err=True)
        return Exit.FINE
    say(written(found).removesuffix("\n"))
    return Exit.FINE


def _json(found: Proposals) -> dict[str, object]:
    """The proposals for programs: times are microseconds UTC."""
    return {
        "granted": found.granted,
        "tried": found.tried,
        "proposals": [
            {
                "agent_id": one.agent_id,
                "capability": one.capability,
                "policy": one.text,
                "granted": one.of,
                "allows": one.granted,
                "asked_by": one.asked_by,
                "also_lets_through": one.also,
                "cannot_be_told": one.untold,
                "spared_by": one.sparing,
                "examples": [to_builtins(example) for example in one.examples],
            }
            for one in found.proposals
        ],
        "declined": [to_builtins(one) for one in found.declined],
    }
