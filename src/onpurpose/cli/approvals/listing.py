"""`onpurpose approvals list`, `show` and `watch`: what is asked."""

from __future__ import annotations

import time
from collections.abc import Mapping

import click

from onpurpose.app.approvals import Desk
from onpurpose.app.gate import LOCAL
from onpurpose.cli.approvals.place import Place, desk_at, found, place_options
from onpurpose.cli.approvals.shown import as_json as json_of
from onpurpose.cli.approvals.shown import brief, span, whole
from onpurpose.cli.output import Exit, say, say_json, say_table, verb_options, visible
from onpurpose.core.act import State
from onpurpose.core.approval import Approval, Wanted, settled

_LOOK_EVERY_SECONDS = 0.5
_WATCHED = 200
_STATES = (*map(str, State), "all")


@click.command("list")
@place_options
@click.option("--state", type=click.Choice(_STATES), default="pending", show_default=True, help="Which ones.")
@click.option("-n", "--lines", "number", metavar="N", type=click.IntRange(1, 10_000), default=50, show_default=True,
              help="How many, the newest first.")  # fmt: skip
@verb_options
def list_(place: Place, state: str, number: int, as_json: bool) -> Exit:
    """List what agents ask people, the newest first.

    Those that wait, unless --state says otherwise.
    """
    with desk_at(place) as desk:
        shown = desk.find(Wanted(workspace=LOCAL, states=_wanted(state), limit=number))
    now = time.time_ns() // 1000
    if as_json:
        say_json([json_of(one) for one in shown])
    elif not shown:
        say("there are no approvals yet" if state == "all" else f"no approval is {state}")
        say(
            "one opens when a call needs a person; `onpurpose approvals list --state all` shows all there were",
            err=True,
        )
    else:
        headers = ("approval", "state", "capability", "agent", "age", "left")
        say_table(headers, [_row(one, now) for one in shown], texts=4)
    if len(shown) == number and not as_json:
        say(f"the newest {number:,}; -n shows more", err=True)
    return Exit.FINE


@click.command("show")
@click.argument("approval_id", metavar="ID")
@place_options
@verb_options
def show(approval_id: str, place: Place, as_json: bool) -> Exit:
    """Show all that somebody needs to decide one request.

    Who asks for what, by which rule, with which payload, and what came of it and of others of its kind.
    ID may be its beginning, where no other begins so.
    """
    with desk_at(place) as desk:
        approval = found(desk, approval_id)
        similar = desk.similar(approval)
    if as_json:
        say_json({**json_of(approval), "asked_before": [brief(one) for one in similar]})
        return Exit.FINE
    say("\n".join(whole(approval, similar, time.time_ns() // 1000)))
    if approval.state is State.PENDING:
        say(f"\nnext: `onpurpose approvals grant {approval.id}`, or `deny {approval.id} --reason ...`")
    return Exit.FINE


@click.command("watch")
@place_options
@verb_options
def watch(place: Place, as_json: bool) -> Exit:
    """Show requests as they open and are decided.

    One a line, until interrupted, beginning with those that wait.
    """
    seen: dict[str, State] | None = None
    with desk_at(place) as desk:
        if not as_json:
            say("waiting for approvals; Ctrl-C ends it", err=True)
        while True:
            new, seen = _newly(desk, seen)
            for approval in new:
                _tell(approval, as_json=as_json)
            time.sleep(_LOOK_EVERY_SECONDS)


def _newly(desk: Desk, seen: Mapping[str, State] | None) -> tuple[list[Approval], dict[str, State]]:
    """Those that opened or were decided since the last look, oldest first; at the first look, those that wait.

    And how the newest stand now, for the next look.
    """
    newest = desk.find(Wanted(workspace=LOCAL, limit=_WATCHED))
    known = {one.id: one.state for one in newest if one.state is not State.PENDING} if seen is None else seen
    new = [one for one in reversed(newest) if known.get(one.id) is not one.state]
    return new, {one.id: one.state for one in newest}


def _tell(approval: Approval, *, as_json: bool) -> None:
    if as_json:
        say_json(json_of(approval), indent=None)
        return
    what = f"{visible(approval.capability)} by {visible(approval.agent_id)}"
    say(f"{approval.id}  {approval.state:<9}  {what}: {settled(approval)}")


def _wanted(state: str) -> frozenset[State] | None:
    return None if state == "all" else frozenset({State(state)})


def _row(one: Approval, now: int) -> tuple[str, ...]:
    left = span(one.until - now) if one.state in (State.PENDING, State.GRANTED) else ""
    return one.id, one.state, one.capability, one.agent_id, span(now - one.opened_at), left
