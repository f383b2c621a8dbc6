"""Workspaces, keys and users in a database. Of a key only its hash is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Row, Table, bindparam, delete, func, insert, select, update

from onpurpose.adapters.sql import tables
from onpurpose.adapters.sql.changes import keep_notes, next_version, tell
from onpurpose.adapters.sql.engine import Store
from onpurpose.core.access import ApiKey, Role, Scope, User, Workspace
from onpurpose.core.revision import MissingError

_WORKSPACES = tables.workspaces.c
_KEYS = tables.api_keys.c
_USERS = tables.users.c


class SqlAccess:
    """`Access` on a store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def workspaces(self) -> list[Workspace]:
        """All of them, by id."""
        with self._store.reading() as connection:
            rows = connection.execute(select(tables.workspaces).order_by(_WORKSPACES.id)).all()
        return [Workspace(id=row.id, name=row.name, created_at=row.created_at) for row in rows]

    def keys(self) -> list[ApiKey]:
        """Every key of every workspace, by workspace and id, expired and revoked ones too."""
        with self._store.reading() as connection:
            rows = connection.execute(select(tables.api_keys).order_by(_KEYS.workspace, _KEYS.id)).all()
        return [_key(row) for row in rows]

    def users(self, workspace: str) -> list[User]:
        """The workspace's users, by id."""
        query = select(tables.users).where(_USERS.workspace == workspace).order_by(_USERS.id)
        with self._store.reading() as connection:
            return [_user(row) for row in connection.execute(query)]

    def put(self, item: Workspace | ApiKey | User, *, notes: Sequence[bytes]) -> None:
        """Add it, or replace the one of the same id (and workspace). A key that was revoked stays so."""
        with self._store.writing() as connection:
            if isinstance(item, Workspace):
                _put_workspace(connection, item)
            else:
                next_version(connection, item.workspace)
                if isinstance(item, ApiKey):
                    _put(connection, tables.api_keys, _key_row(item), kept=_KEPT)
                else:
                    _put_user(connection, item)
            keep_notes(connection, notes)

    def used(self, times: Mapping[str, int]) -> None:
        """When keys (by id) were last used; an earlier time than the one that is known changes nothing."""
        later = (_KEYS.id == bindparam("key")) & (func.coalesce(_KEYS.last_used_at, -1) < bindparam("time"))
        note = update(tables.api_keys).where(later).values(last_used_at=bindparam("time"))
        if times:
            with self._store.writing() as connection:
                # In one order everywhere, so that two processes never wait for each other.
                connection.execute(note, [{"key": key, "time": times[key]} for key in sorted(times)])


# Whoever replaces a key may have read it before it was revoked, or used.
_KEPT = {
    "revoked_at": func.coalesce(_KEYS.revoked_at, bindparam("revoked_at")),
    "last_used_at": func.coalesce(_KEYS.last_used_at, bindparam("last_used_at")),
}


def _put_workspace(connection: Connection, item: Workspace) -> None:
    row = {"name": item.name, "created_at": item.created_at}
    try:
        next_version(connection, item.id)
    except MissingError:
        connection.execute(insert(tables.workspaces).values(id=item.id, version=1, **row))
        tell(connection)
    else:
        connection.execute(update(tables.workspaces).where(_WORKSPACES.id == item.id).values(row))


def _put_user(connection: Connection, item: User) -> None:
    same = (_USERS.workspace == item.workspace) & (_USERS.id == item.id)
    held = connection.execute(select(tables.users).where(same)).one_or_none()
    _put(connection, tables.users, _user_row(item), kept={})
    if held is not None and item.has_lost(_user(held)):
        sign_out(connection, item.workspace, item.id)


def sign_out(connection: Connection, workspace: str, user: str) -> None:
    """End every session of the user."""
    theirs = (tables.sessions.c.workspace == workspace) & (tables.sessions.c.user == user)
    connection.execute(delete(tables.sessions).where(theirs))


def _put(connection: Connection, table: Table, row: dict[str, object], *, kept: Mapping[str, Any]) -> None:
    """Replace the row of the same workspace and id, or add it. The workspace's row is locked: nobody else can."""
    same = (table.c.workspace == row["workspace"]) & (table.c.id == row["id"])
    if connection.execute(update(table).where(same).values({**row, **kept}), row).rowcount == 0:
        connection.execute(insert(table).values(row))


def _key_row(key: ApiKey) -> dict[str, object]:
    return {
        "workspace": key.workspace,
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "hash": key.hash,
        "scopes": orjson.dumps(sorted(key.scopes)).decode(),
        "created_by": key.created_by,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "revoked_at": key.revoked_at,
        "per_minute": key.per_minute,
        "user": key.user,
    }


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        workspace=row.workspace,
        name=row.name,
        prefix=row.prefix,
        hash=bytes(row.hash),
        scopes=frozenset(map(Scope, orjson.loads(row.scopes))),
        created_by=row.created_by,
        created_at=row.created_at,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
        per_minute=row.per_minute,
        user=row.user,
    )


def _user_row(user: User) -> dict[str, object]:
    return {
        "workspace": user.workspace,
        "id": user.id,
        "name": user.name,
        "email": user.email,
        "groups": orjson.dumps(user.groups).decode(),
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
        "slack": user.slack,
        "roles": orjson.dumps(sorted(user.roles)).decode(),
    }


def _user(row: Row[Any]) -> User:
    return User(
        id=row.id,
        workspace=row.workspace,
        name=row.name,
        email=row.email,
        groups=tuple(orjson.loads(row.groups)),
        created_at=row.created_at,
        disabled_at=row.disabled_at,
        slack=row.slack,
        roles=frozenset(map(Role, orjson.loads(row.roles))),
    )
