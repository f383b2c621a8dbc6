"""The tables of the control plane as they were first released."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0001_control"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make them, in a database that has none of them."""
    _create_workspaces()
    _create_documents()
    _create_access()
    _create_tokens()


def _create_workspaces() -> None:
    op.create_table(
        "workspaces",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", _NUMBER, nullable=False),
        sa.Column("version", _NUMBER, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "outbox",
        sa.Column("n", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sqlite_autoincrement=True,
        sqlite_strict=True,
    )


def _create_documents() -> None:
    op.create_table(
        "revisions",
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.id"), primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("at", _NUMBER, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sqlite_strict=True,
    )
    op.create_table(
        "standings",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("version", _NUMBER, nullable=False),
        sa.Column("newest", _NUMBER, nullable=False),
        sa.Column("live", _NUMBER),
        sa.Column("shadow", _NUMBER),
        sa.Column("former", sa.Text),
        sa.Column("promoted_at", _NUMBER),
        *map(_revision_named_by, ("newest", "live", "shadow")),
        sqlite_strict=True,
    )


def _revision_named_by(column: str) -> sa.ForeignKeyConstraint:
    named = ["revisions.workspace", "revisions.kind", "revisions.name", "revisions.number"]
    return sa.ForeignKeyConstraint(["workspace", "kind", "name", column], named, name=f"standings_{column}")


def _create_access() -> None:
    op.create_table(
        "api_keys",
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.id"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("scopes", sa.Text, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("created_at", _NUMBER, nullable=False),
        sa.Column("expires_at", _NUMBER),
        sa.Column("last_used_at", _NUMBER),
        sa.Column("revoked_at", _NUMBER),
        sa.Column("per_minute", _NUMBER),
        sa.UniqueConstraint("id", name="api_keys_id"),
        sa.UniqueConstraint("hash", name="api_keys_hash"),
        sa.CheckConstraint("length(hash) = 32", name="api_keys_hash_length"),
        sqlite_strict=True,
    )
    op.create_table(
        "users",
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.id"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("created_at", _NUMBER, nullable=False),
        sa.Column("disabled_at", _NUMBER),
        sqlite_strict=True,
    )


def _create_tokens() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.Text, primary_key=True),
        sa.Column("public", sa.LargeBinary, nullable=False),
        sa.Column("private_encrypted", sa.LargeBinary, nullable=False),
        sa.Column("created_at", _NUMBER, nullable=False),
        sa.Column("retires_at", _NUMBER),
        sqlite_strict=True,
    )
    op.create_table(
        "revocations",
        sa.Column("workspace", sa.Text, sa.ForeignKey("workspaces.id"), primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("value", sa.Text, primary_key=True),
        sa.Column("at", _NUMBER, nullable=False),
        sa.Column("until", _NUMBER, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("ix_revocations_until", "revocations", ["until"])
    op.create_table(
        "idempotency",
        sa.Column("workspace", sa.Text, primary_key=True),
        sa.Column("key_hash", sa.LargeBinary, primary_key=True),
        sa.Column("call_digest", sa.LargeBinary, nullable=False),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("at", _NUMBER, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("ix_idempotency_at", "idempotency", ["at"])
