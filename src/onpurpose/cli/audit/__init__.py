"""`onpurpose audit`: verify, export and follow the log."""

from __future__ import annotations

import click

from onpurpose.cli.audit.export import export
from onpurpose.cli.audit.tail import tail
from onpurpose.cli.audit.verify import verify
from onpurpose.cli.output import debug_option


@click.group("audit", invoke_without_command=True)
@debug_option
@click.pass_context
def audit(ctx: click.Context) -> None:
    """Verify, export and follow the audit log.

    Nothing here writes to a log, or beside it.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _verb in (verify, export, tail):
    audit.add_command(_verb)
