"""Workspaces, keys and users: who may do what with the service.

A key is `op_PREFIX_SECRET`: 8 letters and digits that are shown, and 43 characters (32 random bytes)
that are shown once. The store keeps the SHA-256 of the whole text: a text with so much chance in it
needs no slower hash.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from onpurpose.app.notes import Pen, told_key, told_user, told_workspace
from onpurpose.app.outbox import Post
from onpurpose.app.shelf import is_name
from onpurpose.core.access import ApiKey, Role, Scope, User, Workspace
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.ports import Access, Clock

OPERATOR = "default"
"""The workspace of who runs the service: its admins may make further workspaces."""

PERSONAL = frozenset({Scope.APPROVE, Scope.READ})
"""What a personal key may do: decide in its user's name, and look at what there is to decide."""

_LETTERS = string.ascii_lowercase + string.digits
_SECOND = 1_000_000


class NewKey(Struct, frozen=True, kw_only=True):
    """A key that was made, and its whole text (`secret`): the only time that it is known."""

    key: ApiKey
    secret: str

    def __repr__(self) -> str:
        return f"NewKey({self.key.prefix!r})"


def is_usable(key: ApiKey, now: int) -> bool:
    """Whether the key counts at that time (microseconds UTC)."""
    return key.revoked_at is None and (key.expires_at is None or now < key.expires_at)


class Keyring:
    """Makes and revokes keys, users and workspaces. A method returns once its note is durable in the log.

    It raises `MissingError` for what the workspace has not, `ConflictError` for what is there already, and
    `UntoldError` where the change was made, but is not told of in the log yet.
    """

    def __init__(self, access: Access, post: Post, *, clock: Clock, new_id: Callable[[int], str]) -> None:
        self._access = access
        self._post = post
        self._clock = clock
        self._new_id = new_id

    def keys(self, workspace: str) -> list[ApiKey]:
        """Every key of the workspace, revoked and expired ones too, newest first."""
        everywhere = self._access.keys()
        found = [key for key in everywhere if key.workspace == workspace]
        return sorted(found, key=lambda key: (key.created_at, key.id), reverse=True)

    def key(self, workspace: str, key_id: str) -> ApiKey:
        """One key of the workspace, by its id."""
        return _find(self.keys(workspace), key_id, "key")

    def create_key(  # noqa: PLR0913  what a key is made of
        self,
        workspace: str,
        name: str,
        scopes: Iterable[Scope],
        *,
        by: str,
        expires_in_seconds: int | None = None,
        per_minute: int | None = None,
        user: str | None = None,
    ) -> NewKey:
        """A new key with these scopes. With `user` it is that user's own, and has no scopes but those of `PERSONAL`.

        `ConflictError` for a user who is disabled, and for a personal key that could do more.
        """
        self._workspace(workspace)
        wanted = frozenset(scopes)
        if user is not None:
            self._check_personal(workspace, user, wanted)
        pen = self._pen(workspace, by)
        made = _make(pen, name, wanted, expires_in_seconds, per_minute, user)
        self._put(made.key, pen.note("key.created", key=told_key(made.key)))
        return made

    def revoke_key(self, workspace: str, key_id: str, *, by: str) -> ApiKey:
        """Revoke a key for good; one that is revoked already stays as it is.

        `ConflictError` for the last admin key of the workspace that counts: nobody could make another.
        """
        key = self.key(workspace, key_id)
        if key.revoked_at is not None:
            return key
        pen = self._pen(workspace, by)
        if Scope.ADMIN in key.scopes and is_usable(key, pen.at):
            admins = [one for one in self.keys(workspace) if Scope.ADMIN in one.scopes and is_usable(one, pen.at)]
            if len(admins) == 1:
                raise ConflictError("this is the workspace's last admin key: make another one first")
        revoked = replace(key, revoked_at=pen.at)
        self._put(revoked, pen.note("key.revoked", key=told_key(revoked)))
        return revoked

    def users(self, workspace: str) -> list[User]:
        """The workspace's users by id, disabled ones too."""
        return sorted(self._access.users(workspace), key=lambda user: user.id)

    def user(self, workspace: str, user_id: str) -> User:
        """One user of the workspace."""
        return _find(self.users(workspace), user_id, "user")

    def create_user(  # noqa: PLR0913  what a user is made of
        self,
        workspace: str,
        user_id: str | None,
        name: str,
        email: str,
        groups: Sequence[str],
        *,
        by: str,
        slack: str | None = None,
        roles: Iterable[Role] = (),
    ) -> User:
        """A new user; the id is made up where it is `None`. `ConflictError` where the id is taken."""
        self._workspace(workspace)
        pen = self._pen(workspace, by)
        made = User(
            id=pen.new_id() if user_id is None else user_id,
            workspace=workspace, name=name, email=email, groups=tuple(groups), created_at=pen.at,
            slack=slack, roles=frozenset(roles),
        )  # fmt: skip
        if any(user.id == made.id for user in self._access.users(workspace)):
            raise ConflictError(f"there is a user `{made.id}` already")
        return self._save(pen, made)

    def update_user(  # noqa: PLR0913  what a user is made of
        self,
        workspace: str,
        user_id: str,
        name: str,
        email: str,
        groups: Sequence[str],
        *,
        by: str,
        slack: str | None = None,
        roles: Iterable[Role] | None = None,
    ) -> User:
        """Write what a user is; a disabled one is enabled again, and needs new personal keys.

        Without `roles` they stay. Who loses one is signed out everywhere.
        """
        user = self.user(workspace, user_id)
        held = user.roles if roles is None else frozenset(roles)
        changed = replace(user, name=name, email=email, groups=tuple(groups), slack=slack, roles=held, disabled_at=None)
        return user if changed == user else self._save(self._pen(workspace, by), changed)

    def follow_user(
        self, workspace: str, user_id: str, groups: Sequence[str], roles: frozenset[Role], *, by: str
    ) -> User:
        """Write which groups and roles a user has elsewhere. Nobody is enabled by it, and all else stays as it is."""
        user = self.user(workspace, user_id)
        return self._save(self._pen(workspace, by), replace(user, groups=tuple(groups), roles=roles))

    def disable_user(self, workspace: str, user_id: str, *, by: str) -> User:
        """Disable a user, and revoke their personal keys; what the user did keeps its name."""
        user = self.user(workspace, user_id)
        for key in self.keys(workspace):  # first: a user that is disabled already may have some since
            if key.user == user_id:
                self.revoke_key(workspace, key.id, by=by)
        pen = self._pen(workspace, by)
        return user if user.disabled_at is not None else self._save(pen, replace(user, disabled_at=pen.at))

    def workspaces(self, seen_from: str) -> list[Workspace]:
        """The workspaces that may be seen from one: itself, and from the operator's all of them; by id."""
        found = [one for one in self._access.workspaces() if seen_from in (OPERATOR, one.id)]
        return sorted(found, key=lambda one: one.id)

    def create_workspace(self, workspace_id: str, name: str, *, by: str) -> tuple[Workspace, NewKey]:
        """A new workspace and its first admin key. `ConflictError` where the id is taken."""
        if not is_name(workspace_id):
            raise ConflictError("no workspace may be called that: letters, digits, `_`, `-` and `.`, at most 128")
        if any(one.id == workspace_id for one in self._access.workspaces()):
            raise ConflictError(f"there is a workspace `{workspace_id}` already")
        pen = self._pen(workspace_id, by)
        workspace = Workspace(id=workspace_id, name=name, created_at=pen.at)
        self._access.put(workspace, notes=[pen.note("workspace.created", made=told_workspace(workspace))])
        return workspace, self.create_key(workspace_id, "admin", [Scope.ADMIN], by=by)

    def first_key(self) -> NewKey | None:
        """An admin key of the operator's workspace, where the store has no key at all; it is to be shown once.

        Two processes that start on one empty store at once may both make one: call it under the lock of
        the migrations.
        """
        if self._access.keys():
            return None
        if not any(one.id == OPERATOR for one in self._access.workspaces()):
            return self.create_workspace(OPERATOR, "", by="")[1]
        return self.create_key(OPERATOR, "admin", [Scope.ADMIN], by="")

    def _check_personal(self, workspace: str, user: str, scopes: frozenset[Scope]) -> None:
        if self.user(workspace, user).disabled_at is not None:
            raise ConflictError(f"the user `{user}` is disabled")
        if not scopes <= PERSONAL:
            raise ConflictError("a personal key has the scopes `approve` and `read` at most: it is no agent's")

    def _workspace(self, workspace: str) -> None:
        if not any(one.id == workspace for one in self._access.workspaces()):
            raise MissingError("there is no such workspace")

    def _pen(self, workspace: str, by: str) -> Pen:
        return Pen(self._clock, self._new_id, workspace, by)

    def _save(self, pen: Pen, user: User) -> User:
        self._put(user, pen.note("user.saved", user=told_user(user)))
        return user

    def _put(self, item: ApiKey | User | Workspace, note: bytes) -> None:
        self._access.put(item, notes=[note])
        self._post.deliver()


def _make(  # noqa: PLR0913, PLR0917  what a key is made of
    pen: Pen,
    name: str,
    scopes: frozenset[Scope],
    expires_in_seconds: int | None,
    per_minute: int | None,
    user: str | None,
) -> NewKey:
    prefix = "op_" + "".join(secrets.choice(_LETTERS) for _ in range(8))
    secret = f"{prefix}_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        id=pen.new_id(),
        workspace=pen.workspace,
        name=name,
        prefix=prefix,
        hash=hashlib.sha256(secret.encode()).digest(),
        scopes=scopes,
        created_by=pen.by,
        created_at=pen.at,
        expires_at=None if expires_in_seconds is None else pen.at + expires_in_seconds * _SECOND,
        per_minute=per_minute,
        user=user,
    )
    return NewKey(key=key, secret=secret)


class _Named(Protocol):
    @property
    def id(self) -> str: ...


_Item = TypeVar("_Item", bound=_Named)


def _find(items: Iterable[_Item], item_id: str, what: str) -> _Item:
    found = next((item for item in items if item.id == item_id), None)
    if found is None:
        raise MissingError(f"there is no {what} of that id")
    return found
