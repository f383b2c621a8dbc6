"""Approvals, the messages they owe, and whose keys and Slack accounts are whose."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0003_approvals"
down_revision: str | None = "0002_log_postgres"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    """Make the tables, and add the columns; of no key or account that is there is anything known."""
    op.add_column("api_keys", sa.Column("user", sa.Text))
    op.add_column("users", sa.Column("slack", sa.Text))
    _create_approvals()
    _create_deliveries()


def _create_approvals() -> None:
    op.create_table(
        "approvals",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("id", _ID, primary_key=True),
        sa.Column("version", _NUMBER, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("agent_id", sa.Text, nullable=False),
        sa.Column("capability", sa.Text, nullable=False),
        sa.Column("opened_at", _NUMBER, nullable=False),
        sa.Column("wake_at", _NUMBER),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("id", name="approvals_id"),
        sqlite_strict=True,
    )
    _create_index("approvals_pending", "workspace", "digest", where="state = 'pending'", unique=True)
    _create_index("approvals_digest", "workspace", "digest", "id")
    _create_index("approvals_state", "workspace", "state", "id")
    _create_index("approvals_kind", "workspace", "agent_id", "capability", "id")
    _create_index("approvals_due", "wake_at", "id", where="wake_at IS NOT NULL")


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("n", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("approval_id", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("created_at", _NUMBER, nullable=False),
        sa.Column("due_at", _NUMBER, nullable=False),
        sa.Column("attempts", _NUMBER, nullable=False),
        sa.Column("progress", sa.Text, nullable=False),
        sa.Column("ref", sa.Text, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.UniqueConstraint("workspace", "id", name="deliveries_id"),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )
    _create_index("deliveries_approval", "workspace", "approval_id", "n")
    _create_index("deliveries_due", "channel", "due_at", where="progress = 'waiting'")
    line = ("workspace", "approval_id", "channel", "recipient", "n")
    _create_index("deliveries_line", *line, where="progress = 'waiting'")
    _create_index("deliveries_order", "channel", "n", "due_at", where="progress = 'waiting'")
    _create_index("deliveries_dead", "workspace", "n", where="progress = 'dead'")


def _create_index(name: str, *columns: str, where: str | None = None, unique: bool = False) -> None:
    only = None if where is None else sa.text(where)
    op.create_index(
        name, name.partition("_")[0], list(columns), unique=unique, sqlite_where=only, postgresql_where=only
    )
