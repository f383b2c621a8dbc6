"""The tables of the control plane, one schema for SQLite and PostgreSQL; `migrations` make them.

What belongs to a tenant has its workspace first in the primary key. Times are microseconds UTC.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# Ids sort by time where they are compared by the codes of their characters, as SQLite does.
ID = Text().with_variant(Text(collation="C"), "postgresql")

# SQLite's strict tables know no other integer, and it counts up (without using a number twice) in this one only.
NUMBER = BigInteger().with_variant(Integer(), "sqlite")

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("created_at", NUMBER, nullable=False),
    Column("version", NUMBER, nullable=False),
    sqlite_strict=True,
)
"""`version` grows with every change of anything in the workspace."""

revisions = Table(
    "revisions",
    metadata,
    Column("workspace", Text, ForeignKey("workspaces.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("number", NUMBER, primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("author", Text, nullable=False),
    Column("at", NUMBER, nullable=False),
    Column("reason", Text, nullable=False),
    sqlite_strict=True,
)
"""Written once, never changed."""

standings = Table(
    "standings",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("version", NUMBER, nullable=False),
    Column("newest", NUMBER, nullable=False),
    Column("live", NUMBER),
    Column("shadow", NUMBER),
    Column("former", Text),
    Column("promoted_at", NUMBER),
    *(
        ForeignKeyConstraint(
            ["workspace", "kind", "name", number],
            ["revisions.workspace", "revisions.kind", "revisions.name", "revisions.number"],
            name=f"standings_{number}",
        )
        for number in ("newest", "live", "shadow")
    ),
    sqlite_strict=True,
)
"""`former` is `[live, shadow]` in JSON."""

api_keys = Table(
    "api_keys",
    metadata,
    Column("workspace", Text, ForeignKey("workspaces.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("created_at", NUMBER, nullable=False),
    Column("expires_at", NUMBER),
    Column("last_used_at", NUMBER),
    Column("revoked_at", NUMBER),
    Column("per_minute", NUMBER),
    Column("user", Text),
    UniqueConstraint("id", name="api_keys_id"),
    UniqueConstraint("hash", name="api_keys_hash"),
    CheckConstraint("length(hash) = 32", name="api_keys_hash_length"),
    sqlite_strict=True,
)
"""`scopes` is a list in JSON."""

users = Table(
    "users",
    metadata,
    Column("workspace", Text, ForeignKey("workspaces.id"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("created_at", NUMBER, nullable=False),
    Column("disabled_at", NUMBER),
    Column("slack", Text),
    Column("roles", Text, nullable=False, server_default="[]"),
    sqlite_strict=True,
)
"""`groups` and `roles` are lists in JSON."""

sessions = Table(
    "sessions",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("workspace", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("created_at", NUMBER, nullable=False),
    Column("seen_at", NUMBER, nullable=False),
    Column("expires_at", NUMBER, nullable=False),
    Column("method", Text, nullable=False),
    ForeignKeyConstraint(["workspace", "user"], ["users.workspace", "users.id"], name="sessions_user"),
    CheckConstraint("length(hash) = 32", name="sessions_hash_length"),
    Index("sessions_of", "workspace", "user"),
    sqlite_strict=True,
)

credentials = Table(
    "credentials",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("user", Text, primary_key=True),
    Column("version", NUMBER, nullable=False),
    Column("password", Text),
    Column("totp", LargeBinary),
    Column("totp_step", NUMBER, nullable=False),
    Column("proposed", LargeBinary),
    Column("recovery", Text, nullable=False),
    Column("failures", NUMBER, nullable=False),
    Column("locked_until", NUMBER, nullable=False),
    Column("changed_at", NUMBER, nullable=False),
    ForeignKeyConstraint(["workspace", "user"], ["users.workspace", "users.id"], name="credentials_user"),
    sqlite_strict=True,
)
"""`password` is an encoded Argon2 hash, `totp` and `proposed` are sealed, `recovery` is a list of hex in JSON."""

identities = Table(
    "identities",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("linked_at", NUMBER, nullable=False),
    ForeignKeyConstraint(["workspace", "user"], ["users.workspace", "users.id"], name="identities_user"),
    UniqueConstraint("workspace", "user", "issuer", name="identities_one"),
    sqlite_strict=True,
)
"""Who users are to other services that sign them in. `email` is what the service vouched for at the link."""

processes = Table(
    "processes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("started_at", NUMBER, nullable=False),
    Column("seen_at", NUMBER, nullable=False),
    Column("wrong", Text, nullable=False),
    sqlite_strict=True,
)
"""What each process told of itself last. `wrong` is a JSON list of texts."""

outbox = Table(
    "outbox",
    metadata,
    Column("n", NUMBER, primary_key=True, autoincrement=True),
    Column("body", LargeBinary, nullable=False),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)
"""No number is used twice: who forgets a body that was sent must not forget another that came later."""

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("public", LargeBinary, nullable=False),
    Column("private_encrypted", LargeBinary, nullable=False),
    Column("created_at", NUMBER, nullable=False),
    Column("retires_at", NUMBER),
    sqlite_strict=True,
)

revocations = Table(
    "revocations",
    metadata,
    Column("workspace", Text, ForeignKey("workspaces.id"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("at", NUMBER, nullable=False),
    Column("until", NUMBER, nullable=False, index=True),
    sqlite_strict=True,
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("key_hash", LargeBinary, primary_key=True),
    Column("call_digest", LargeBinary, nullable=False),
    Column("answer", LargeBinary),
    Column("at", NUMBER, nullable=False, index=True),
    sqlite_strict=True,
)
"""What was answered to a call that named a key; no answer yet while it is being decided."""


def _where(condition: str) -> dict[str, Any]:
    """Of a partial index, the rows that are in it."""
    return {f"{dialect}_where": text(condition) for dialect in ("sqlite", "postgresql")}


approvals = Table(
    "approvals",
    metadata,
    Column("workspace", Text, primary_key=True),
    Column("id", ID, primary_key=True),
    Column("version", NUMBER, nullable=False),
    Column("state", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("agent_id", Text, nullable=False),
    Column("capability", Text, nullable=False),
    Column("opened_at", NUMBER, nullable=False),
    Column("wake_at", NUMBER),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("id", name="approvals_id"),
    Index("approvals_pending", "workspace", "digest", unique=True, **_where("state = 'pending'")),
    Index("approvals_digest", "workspace", "digest", "id"),
    Index("approvals_state", "workspace", "state", "id"),
    Index("approvals_kind", "workspace", "agent_id", "capability", "id"),
    Index("approvals_due", "wake_at", "id", **_where("wake_at IS NOT NULL")),
    sqlite_strict=True,
)
"""`body` is the whole approval in MessagePack; the other columns repeat of it what is looked for."""

deliveries = Table(
    "deliveries",
    metadata,
    Column("n", NUMBER, primary_key=True, autoincrement=True),
    Column("workspace", Text, nullable=False),
    Column("id", Text, nullable=False),
    Column("approval_id", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("created_at", NUMBER, nullable=False),
    Column("due_at", NUMBER, nullable=False),
    Column("attempts", NUMBER, nullable=False),
    Column("progress", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("error", Text, nullable=False),
    UniqueConstraint("workspace", "id", name="deliveries_id"),
    Index("deliveries_approval", "workspace", "approval_id", "n"),
    Index("deliveries_due", "channel", "due_at", **_where("progress = 'waiting'")),
    Index("deliveries_line", "workspace", "approval_id", "channel", "recipient", "n", **_where("progress = 'waiting'")),
    Index("deliveries_order", "channel", "n", "due_at", **_where("progress = 'waiting'")),
    Index("deliveries_dead", "workspace", "n", **_where("progress = 'dead'")),
    sqlite_autoincrement=True,
    sqlite_strict=True,
)
"""`n` is their order: those of one approval are written one change after another."""
