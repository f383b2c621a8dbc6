"""What the log is told of a change: bodies of records, kept with the change until they are durable there."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import orjson

from onpurpose.core.access import ApiKey, User, Workspace
from onpurpose.core.revision import Kind
from onpurpose.ports import Clock

VERSION = 1
"""The version of a note's form."""


class Pen:
    """Writes the notes of one change: they share its workspace, its author and its time (`at`, microseconds UTC)."""

    def __init__(self, clock: Clock, new_id: Callable[[int], str], workspace: str, by: str) -> None:
        self.at = clock.now()
        self.workspace = workspace
        self.by = by
        self._new_id = new_id

    def new_id(self) -> str:
        """A new name for something made by this change."""
        return self._new_id(self.at)

    def note(self, kind: str, **told: object) -> bytes:
        """The body of a record of that kind: who did what in which workspace, when, and what it tells of."""
        fields = {"v": VERSION, "kind": kind, "id": self._new_id(self.at), "at": self.at}
        return orjson.dumps(fields | {"workspace": self.workspace, "by": self.by} | told)


def document(kind: Kind, name: str, revision: int | None, text: str | None = None) -> dict[str, object]:
    """A document's revision as notes tell it; with its text, the SHA-256 (hex) of that."""
    told: dict[str, object] = {"kind": str(kind), "name": name, "revision": revision}
    return told if text is None else told | {"digest": digest(text)}


def digest(text: str) -> str:
    """The SHA-256 (hex) of the text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def told_key(key: ApiKey) -> dict[str, object]:
    """A key as notes tell it: nothing of its secret."""
    told: dict[str, object] = {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": sorted(key.scopes),
        "expires_at": key.expires_at,
    }
    return told if key.user is None else told | {"user": key.user}


def told_user(user: User) -> dict[str, object]:
    """A user as notes tell it."""
    told: dict[str, object] = {"id": user.id, "name": user.name, "email": user.email, "groups": user.groups}
    if user.slack is not None:
        told["slack"] = user.slack
    return told | {"roles": sorted(user.roles), "disabled": user.disabled_at is not None}


def told_workspace(workspace: Workspace) -> dict[str, object]:
    """A workspace as notes tell it."""
    return {"id": workspace.id, "name": workspace.name}
