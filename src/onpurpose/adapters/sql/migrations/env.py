"""What Alembic runs to bring a database up: with the connection, and in the transaction, of whoever asked."""

from __future__ import annotations

from alembic import context

from onpurpose.adapters.sql.tables import metadata

# One transaction for all versions, with the lock: it is left as it was, or is up to date.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=context.config.attributes["version_table"],
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
