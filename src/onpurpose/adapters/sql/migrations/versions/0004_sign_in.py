"""Roles of users, who is signed in, and what they prove themselves with."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0004_sign_in"
down_revision: str | None = "0003_approvals"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables, and add the column: nobody who is there has a role yet."""
    op.add_column("users", sa.Column("roles", sa.Text, nullable=False, server_default="[]"))
    op.create_table(
        "sessions",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("created_at", _NUMBER, nullable=False),
        sa.Column("seen_at", _NUMBER, nullable=False),
        sa.Column("expires_at", _NUMBER, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.ForeignKeyConstraint(["workspace", "user"], ["users.workspace", "users.id"], name="sessions_user"),
        sa.CheckConstraint("length(hash) = 32", name="sessions_hash_length"),
        sqlite_strict=True,
    )
    op.create_index("sessions_of", "sessions", ["workspace", "user"])
    op.create_table(
        "credentials",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("user", sa.Text, primary_key=True),
        sa.Column("version", _NUMBER, nullable=False),
        sa.Column("password", sa.Text),
        sa.Column("totp", sa.LargeBinary),
        sa.Column("totp_step", _NUMBER, nullable=False),
        sa.Column("proposed", sa.LargeBinary),
        sa.Column("recovery", sa.Text, nullable=False),
        sa.Column("failures", _NUMBER, nullable=False),
        sa.Column("locked_until", _NUMBER, nullable=False),
        sa.Column("changed_at", _NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["workspace", "user"], ["users.workspace", "users.id"], name="credentials_user"),
        sqlite_strict=True,
    )
