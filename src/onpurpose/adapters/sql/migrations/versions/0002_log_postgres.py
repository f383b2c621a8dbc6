"""The tables of the log, in PostgreSQL; in SQLite the log makes its own."""

from __future__ import annotations

from collections.abc import Sequence

from alembic import op

revision = "0002_log_postgres"
down_revision: str | None = "0001_control"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    """Make those that no ledger has made yet."""
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        from onpurpose.adapters.sql.postgres import schema  # noqa: PLC0415  needs psycopg

        for statement in schema.STATEMENTS:
            connection.exec_driver_sql(statement)
