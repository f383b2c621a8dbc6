"""Who people are to other services that sign them in: by issuer and subject, never by an address."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0005_identities"
down_revision: str | None = "0004_sign_in"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table: of nobody who is there it is known yet who they are elsewhere."""
    op.create_table(
        "identities",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("issuer", sa.Text, primary_key=True),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("linked_at", _NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["workspace", "user"], ["users.workspace", "users.id"], name="identities_user"),
        sa.UniqueConstraint("workspace", "user", "issuer", name="identities_one"),
        sqlite_strict=True,
    )
