"""The keys that sign tokens, sealed, and the tokens that are revoked, in a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, insert, or_, select, update

from onpurpose.adapters.sql import tables
from onpurpose.adapters.sql.changes import keep_notes, next_version, tell
from onpurpose.adapters.sql.engine import Store
from onpurpose.core.token import Revocation, RevocationKind, SigningKey

_KEYS = tables.signing_keys.c
_REVOKED = tables.revocations.c


class SqlSigningKeys:
    """`SigningKeys` on a store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keys(self) -> list[SigningKey]:
        """Every key, oldest first (by `created_at`, then `kid`), retired ones too."""
        query = select(tables.signing_keys).order_by(_KEYS.created_at, _KEYS.kid)
        with self._store.reading() as connection:
            rows = connection.execute(query).all()
        return [
            SigningKey(
                kid=row.kid,
                public=bytes(row.public),
                private_encrypted=bytes(row.private_encrypted),
                created_at=row.created_at,
                retires_at=row.retires_at,
            )
            for row in rows
        ]

    def add(self, key: SigningKey, *, retire_others_at: int | None, notes: Sequence[bytes]) -> None:
        """Add a key. With `retire_others_at`, every other key retires then, or earlier where it does already."""
        row = {
            "kid": key.kid,
            "public": key.public,
            "private_encrypted": key.private_encrypted,
            "created_at": key.created_at,
            "retires_at": key.retires_at,
        }
        with self._store.writing() as connection:
            connection.execute(insert(tables.signing_keys).values(row))
            if retire_others_at is not None:
                others = _KEYS.kid != key.kid, or_(_KEYS.retires_at.is_(None), _KEYS.retires_at > retire_others_at)
                connection.execute(update(tables.signing_keys).where(*others).values(retires_at=retire_others_at))
            tell(connection)
            keep_notes(connection, notes)

    def revocations(self, now: int) -> list[Revocation]:
        """The revocations of all workspaces whose `until` is not before `now`."""
        query = select(tables.revocations).where(_REVOKED.until >= now)
        with self._store.reading() as connection:
            rows = connection.execute(query.order_by(_REVOKED.workspace, _REVOKED.kind, _REVOKED.value)).all()
        return [
            Revocation(
                kind=RevocationKind(row.kind), workspace=row.workspace, value=row.value, at=row.at, until=row.until
            )
            for row in rows
        ]

    def revoke(self, revocation: Revocation, *, notes: Sequence[bytes]) -> None:
        """Add the revocation; of two of the same kind, workspace and value the later `at` and `until` stand.

        Counts the workspace's version up. `MissingError` where there is no such workspace.
        """
        key = {"workspace": revocation.workspace, "kind": revocation.kind.value, "value": revocation.value}
        times = {"at": revocation.at, "until": revocation.until}
        same = (
            (_REVOKED.workspace == key["workspace"]) & (_REVOKED.kind == key["kind"]) & (_REVOKED.value == key["value"])
        )
        later = {name: _later(_REVOKED[name], time) for name, time in times.items()}
        with self._store.writing() as connection:
            next_version(connection, revocation.workspace)  # which also has two of the same wait for each other
            if connection.execute(update(tables.revocations).where(same).values(later)).rowcount == 0:
                connection.execute(insert(tables.revocations).values({**key, **times}))
            keep_notes(connection, notes)


def _later(column: ColumnElement[Any], time: int) -> ColumnElement[Any]:
    return case((column > time, column), else_=time)
