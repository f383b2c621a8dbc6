"""Who may do what with the service: workspaces, keys, users. Values only, no secrets but their hashes."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Scope(StrEnum):
    """What a key may do."""

    EVALUATE = "evaluate"
    READ = "read"
    POLICY_WRITE = "policy:write"
    POLICY_PROMOTE = "policy:promote"
    APPROVE = "approve"
    ADMIN = "admin"
    """Everything in its workspace, keys and users included."""


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key of the service, without its secret: `hash` is the SHA-256 (32 bytes) of the whole key text.

    `prefix` is the part that is shown. Times are microseconds UTC. `per_minute` is its rate limit,
    `None` for the service's own. `user` is whose personal key it is: with the scope `approve` it decides
    in that user's name, and what is asked with it is that user's own request.
    """

    id: str
    workspace: str
    name: str
    prefix: str
    hash: bytes
    scopes: frozenset[Scope]
    created_by: str
    created_at: int
    expires_at: int | None = None
    last_used_at: int | None = None
    revoked_at: int | None = None
    per_minute: int | None = None
    user: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether the key has the scope, by itself or as `admin`."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Role(StrEnum):
    """What a person may do on the dashboard, as `onpurpose.core.session.SCOPES` says; one may have several."""

    VIEWER = "viewer"
    APPROVER = "approver"
    AUTHOR = "author"
    PROMOTER = "promoter"
    ADMIN = "admin"


class User(Struct, frozen=True, kw_only=True):
    """A person of a workspace: who approves, and whose name stands under a change.

    `slack` is the member id of their Slack account (`U...`), where it was linked by hand. Without `roles`
    nobody signs in to the dashboard.
    """

    id: str
    workspace: str
    name: str
    email: str
    groups: tuple[str, ...] = ()
    created_at: int
    disabled_at: int | None = None
    slack: str | None = None
    roles: frozenset[Role] = frozenset()

    def has_lost(self, before: User) -> bool:
        """Whether this, which was `before`, is disabled since or has fewer roles: it is signed out everywhere then."""
        return (self.disabled_at is not None and before.disabled_at is None) or not before.roles <= self.roles


class Workspace(Struct, frozen=True, kw_only=True):
    """A tenant: whatever belongs to one is never seen from another."""

    id: str
    name: str
    created_at: int
