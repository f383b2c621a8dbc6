"""`onpurpose audit`: verify, export and follow the log, and keep its old days elsewhere."""

from __future__ import annotations

import click

from onpurpose.cli.audit.archive import archive, retain
from onpurpose.cli.audit.export import export
from onpurpose.cli.audit.tail import tail
from onpurpose.cli.audit.verify import verify
from onpurpose.cli.output import debug_option


@click.group("audit", invoke_without_command=True)
@debug_option
@click.pass_context
def audit(ctx: click.Context) -> None:
    """Verify, export and follow the audit log.

    Old days of one in PostgreSQL are archived, and let go of by an order on record. But for these
    two, nothing here writes to a log, or beside it.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _verb in (verify, export, tail, archive, retain):
    audit.add_command(_verb)
