"""`onpurpose approvals grant`, `deny`, `delegate`, `comment` and `cancel`: as the account that is signed in."""

from __future__ import annotations

from collections.abc import Callable

import click

from onpurpose.adapters.os_users import current_user
from onpurpose.app.approvals import DENIAL_REASONS, Desk
from onpurpose.app.gate import LOCAL
from onpurpose.cli.approvals.place import Place, desk_at, found, place_options
from onpurpose.cli.approvals.shown import as_json as json_of
from onpurpose.cli.output import Exit, fail, say, say_json, verb_options
from onpurpose.core.act import State, Via
from onpurpose.core.approval import Approval, open_seats, settled

_REASONS = "\n".join(f"  {number}  {text}" for number, text in enumerate(DENIAL_REASONS, 1))


def _decide(place: Place, approval_id: str, act: Callable[[Desk, str], Approval], as_json: bool) -> Exit:
    with desk_at(place) as desk:
        approval = act(desk, found(desk, approval_id).id)
    if as_json:
        say_json(json_of(approval))
    elif approval.state is State.PENDING:
        waits = "; ".join(f"{stage.quorum} of {', '.join(stage.approvers)}" for _, stage in open_seats(approval))
        say(f"{approval.id}: done, and it waits for {waits}")
    else:
        say(f"{approval.id}: {settled(approval).removesuffix(' already')}")
    return Exit.FINE


@click.command("grant")
@click.argument("approval_id", metavar="ID")
@place_options
@click.option("--comment", "text", metavar="TEXT", default="", help="A word to go with it.")
@verb_options
def grant(approval_id: str, place: Place, text: str, as_json: bool) -> Exit:
    """Grant a request: the call may run, once.

    Exactly the call that was asked about, with the same arguments.
    """

    def act(desk: Desk, one: str) -> Approval:
        return desk.grant(LOCAL, one, current_user(), via=Via.TERMINAL, text=text, signed_in=True)

    return _decide(place, approval_id, act, as_json)


@click.command("deny", epilog=f"\b\nReasons by number:\n{_REASONS}")
@click.argument("approval_id", metavar="ID")
@place_options
@click.option("--reason", "text", metavar="TEXT|N", required=True, help="Why: the agent is told it. Or one by number.")
@verb_options
def deny(approval_id: str, place: Place, text: str, as_json: bool) -> Exit:
    """Deny a request, for a reason.

    Asked again for the same call, the answer stays no until the request's time is over.
    """
    text = _reason(text)

    def act(desk: Desk, one: str) -> Approval:
        return desk.deny(LOCAL, one, current_user(), via=Via.TERMINAL, text=text, signed_in=True)

    return _decide(place, approval_id, act, as_json)


def _reason(text: str) -> str:
    """The text itself, or the offered one of that number."""
    if not (text.isascii() and text.isdigit()):
        return text
    if len(text) > 2 or not 1 <= int(text) <= len(DENIAL_REASONS):
        fail(
            f"there is no reason {text[:20]}", f"name one of 1 to {len(DENIAL_REASONS)}, or write a reason of your own"
        )
    return DENIAL_REASONS[int(text) - 1]


@click.command("delegate")
@click.argument("approval_id", metavar="ID")
@place_options
@click.option("--to", metavar="USER", required=True, help="Who decides instead of you: another eligible approver.")
@click.option("--comment", "text", metavar="TEXT", default="", help="A word to go with it.")
@verb_options
def delegate(approval_id: str, place: Place, to: str, text: str, as_json: bool) -> Exit:
    """Pass a request on to another approver.

    You then decide it no more.
    """

    def act(desk: Desk, one: str) -> Approval:
        return desk.delegate(LOCAL, one, current_user(), to=to, via=Via.TERMINAL, text=text, signed_in=True)

    return _decide(place, approval_id, act, as_json)


@click.command("comment")
@click.argument("approval_id", metavar="ID")
@click.argument("text", metavar="TEXT")
@place_options
@verb_options
def comment(approval_id: str, text: str, place: Place, as_json: bool) -> Exit:
    """Say something on a request.

    For the others who see it.
    """

    def act(desk: Desk, one: str) -> Approval:
        return desk.comment(LOCAL, one, current_user(), via=Via.TERMINAL, text=text)

    return _decide(place, approval_id, act, as_json)


@click.command("cancel")
@click.argument("approval_id", metavar="ID")
@place_options
@click.option("--comment", "text", metavar="TEXT", default="", help="Why.")
@verb_options
def cancel(approval_id: str, place: Place, text: str, as_json: bool) -> Exit:
    """Withdraw a request, or an unused grant.

    Nothing runs by it any more.
    """

    def act(desk: Desk, one: str) -> Approval:
        return desk.cancel(LOCAL, one, by=current_user(), via=Via.TERMINAL, text=text)

    return _decide(place, approval_id, act, as_json)
