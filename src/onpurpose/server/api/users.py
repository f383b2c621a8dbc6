"""`/v1/users`: the people of a workspace."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from onpurpose.app.keys import Keyring
from onpurpose.core.access import User
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.serving import Answer, Asked, Use


def uses(keyring: Keyring) -> Mapping[str, Use]:
    """What does the operations on users, by their names."""
    return {
        "list_users": partial(list_all, keyring),
        "create_user": partial(create, keyring),
        "get_user": partial(get, keyring),
        "update_user": partial(update, keyring),
        "disable_user": partial(disable, keyring),
    }


def list_all(keyring: Keyring, asked: Asked) -> Answer:
    """The users of the workspace, by id."""
    query = asked.asked(wire.ListQuery)
    behind = [user for user in keyring.users(asked.workspace) if query.after is None or user.id > query.after]
    page = behind[: query.limit]
    return wire.UserPage(items=[told(user) for user in page], next=page[-1].id if len(behind) > len(page) else None)


def create(keyring: Keyring, asked: Asked) -> Answer:
    """A new user."""
    body = asked.told(wire.NewUser)
    made = keyring.create_user(
        asked.workspace,
        body.id,
        body.name,
        body.email,
        body.groups,
        by=asked.by,
        slack=body.slack,
        roles=body.roles or (),
    )
    return told(made)


def get(keyring: Keyring, asked: Asked) -> Answer:
    """One user."""
    return told(keyring.user(asked.workspace, asked.path["id"]))


def update(keyring: Keyring, asked: Asked) -> Answer:
    """Write what a user is."""
    body = asked.told(wire.UserFields)
    user_id = asked.path["id"]
    changed = keyring.update_user(
        asked.workspace, user_id, body.name, body.email, body.groups, by=asked.by, slack=body.slack, roles=body.roles
    )
    return told(changed)


def disable(keyring: Keyring, asked: Asked) -> Answer:
    """Disable a user, and revoke their personal keys."""
    return told(keyring.disable_user(asked.workspace, asked.path["id"], by=asked.by))


def told(user: User) -> wire.UserBody:
    """A user in the wire form."""
    return wire.UserBody(
        id=user.id,
        name=user.name,
        email=user.email,
        groups=list(user.groups),
        slack=user.slack,
        roles=sorted(user.roles),
        created_at=user.created_at,
        disabled_at=user.disabled_at,
    )
