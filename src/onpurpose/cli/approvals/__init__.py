"""`onpurpose approvals`: what agents ask people, and deciding it in the terminal."""

from __future__ import annotations

import click

from onpurpose.cli.approvals.deciding import cancel, comment, delegate, deny, grant
from onpurpose.cli.approvals.listing import list_, show, watch
from onpurpose.cli.approvals.suggesting import suggest
from onpurpose.cli.output import debug_option


@click.group("approvals", invoke_without_command=True)
@debug_option
@click.pass_context
def approvals(ctx: click.Context) -> None:
    """See what agents ask people, and decide it.

    For gates that run in a program on this machine: their approvals lie beside their log, and you decide
    as the account that you are signed in with. A service has its own ways: Slack, mail and its page.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _verb in (list_, show, grant, deny, delegate, comment, cancel, watch, suggest):
    approvals.add_command(_verb)
