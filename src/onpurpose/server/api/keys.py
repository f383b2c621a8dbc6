"""`/v1/keys`: the keys of a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Literal

from onpurpose.app.keys import Keyring
from onpurpose.core.access import ApiKey
from onpurpose.ports import Clock
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.serving import Answer, Asked, Use


def uses(keyring: Keyring, clock: Clock) -> Mapping[str, Use]:
    """What does the operations on keys, by their names."""
    return {
        "list_keys": partial(list_all, keyring, clock),
        "create_key": partial(create, keyring, clock),
        "get_key": partial(get, keyring, clock),
        "revoke_key": partial(revoke, keyring, clock),
    }


def list_all(keyring: Keyring, clock: Clock, asked: Asked) -> Answer:
    """Every key of the workspace."""
    now = clock.now()
    return wire.KeyList(items=[told(key, now) for key in keyring.keys(asked.workspace)])


def create(keyring: Keyring, clock: Clock, asked: Asked) -> Answer:
    """A new key, and its secret."""
    body = asked.told(wire.NewKey)
    made = keyring.create_key(
        asked.workspace,
        body.name,
        body.scopes,
        by=asked.by,
        expires_in_seconds=body.expires_in_seconds,
        per_minute=body.per_minute,
        user=body.user,
    )
    return wire.KeyMade(key=told(made.key, clock.now()), secret=made.secret)


def get(keyring: Keyring, clock: Clock, asked: Asked) -> Answer:
    """One key."""
    return told(keyring.key(asked.workspace, asked.path["id"]), clock.now())


def revoke(keyring: Keyring, clock: Clock, asked: Asked) -> Answer:
    """Revoke a key."""
    return told(keyring.revoke_key(asked.workspace, asked.path["id"], by=asked.by), clock.now())


def told(key: ApiKey, now: int) -> wire.KeyBody:
    """A key in the wire form: nothing of its secret, nor of its hash."""
    return wire.KeyBody(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scopes=sorted(key.scopes),
        created_by=key.created_by,
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        revoked_at=key.revoked_at,
        per_minute=key.per_minute,
        user=key.user,
        state=_state(key, now),
    )


def _state(key: ApiKey, now: int) -> Literal["active", "expired", "revoked"]:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"
