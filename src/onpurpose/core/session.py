"""Who is signed in to the dashboard, and what they may do there: values only, no secrets but their hashes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from onpurpose.core.access import Role, Scope, User
from onpurpose.core.errors import OnPurposeError

__all__ = [
    "ABSOLUTE_SECONDS",
    "ELSEWHERE",
    "ELSEWHERE_ANEW",
    "IDLE_SECONDS",
    "SCOPES",
    "Credential",
    "Departure",
    "LinkedIdentity",
    "Principal",
    "ProviderError",
    "Role",
    "Session",
]

IDLE_SECONDS = 8 * 3600
"""After so long without a request, a session has ended."""

ABSOLUTE_SECONDS = 7 * 24 * 3600
"""So long a session lasts at most."""

ELSEWHERE = "oidc"
"""By another service, which may know them since long."""

ELSEWHERE_ANEW = "oidc-anew"
"""By another service, which says that it asked them just then."""

_SECOND = 1_000_000

SCOPES: Final[Mapping[Role, frozenset[Scope]]] = MappingProxyType(
    {
        Role.VIEWER: frozenset({Scope.READ}),
        Role.APPROVER: frozenset({Scope.READ, Scope.APPROVE}),
        Role.AUTHOR: frozenset({Scope.READ, Scope.POLICY_WRITE}),
        Role.PROMOTER: frozenset({Scope.READ, Scope.POLICY_PROMOTE}),
        Role.ADMIN: frozenset(Scope) - {Scope.EVALUATE},
    }
)
"""What each role may do. Nobody is an agent: no role asks for decisions in an agent's name."""


class Session(Struct, frozen=True, kw_only=True):
    """Somebody is signed in. `hash` is the SHA-256 (32 bytes) of the cookie's text; times are microseconds UTC.

    `expires_at` is when it ends whatever happens. `method` says how they signed in: `password`, `ELSEWHERE`
    or `ELSEWHERE_ANEW`.
    """

    hash: bytes
    workspace: str
    user: str
    created_at: int
    seen_at: int
    expires_at: int
    method: str = "password"

    def __repr__(self) -> str:
        return f"Session({self.user!r} of {self.workspace!r})"

    @property
    def was_asked(self) -> bool:
        """Whether somebody proved then who they are: elsewhere they may have done so days before."""
        return self.method != ELSEWHERE

    def stands(self, now: int) -> bool:
        """Whether it counts at that time (microseconds UTC)."""
        return now < self.expires_at and now < self.seen_at + IDLE_SECONDS * _SECOND


class Principal(Struct, frozen=True, kw_only=True):
    """Who asks for a page: a person as they are now, by which session, and the token (`csrf`) of their forms."""

    person: User
    session: Session
    csrf: str

    def __repr__(self) -> str:
        return f"Principal({self.user!r} of {self.workspace!r})"

    @property
    def user(self) -> str:
        """The id of the user: whose name stands under what they do."""
        return self.person.id

    @property
    def workspace(self) -> str:
        """The workspace that they are signed in to."""
        return self.person.workspace

    @property
    def roles(self) -> frozenset[Role]:
        """The roles that they have now."""
        return self.person.roles

    def may(self, scope: Scope) -> bool:
        """Whether one of their roles has the scope."""
        return any(scope in SCOPES[role] for role in self.roles)


class Credential(Struct, frozen=True, kw_only=True):
    """What a user proves with that it is they: of a password its hash, of the second factor what the vault sealed.

    `password` is the encoded Argon2 hash. `totp` is the sealed secret of the second factor, in force from its
    `totp_step` on: the last time step (30 s) whose code was used, so that none is used twice. `proposed` is one
    that was shown, but not confirmed yet. `recovery` are SHA-256 (32 bytes) of the codes that are left.
    `failures` in a row lock it until `locked_until`; `changed_at` is when the password was set. Times are
    microseconds UTC. `version` grows by one with every change.
    """

    workspace: str
    user: str
    version: int
    password: str | None = None
    totp: bytes | None = None
    totp_step: int = 0
    proposed: bytes | None = None
    recovery: tuple[bytes, ...] = ()
    failures: int = 0
    locked_until: int = 0
    changed_at: int = 0

    def __repr__(self) -> str:
        return f"Credential({self.user!r} of {self.workspace!r}, version {self.version})"


class LinkedIdentity(Struct, frozen=True, kw_only=True):
    """Who a user is to another service: what it calls itself (`issuer`) and them (`subject`), neither ever reused.

    `email` is the address that the service vouched for when they were linked, for people to know it by;
    nobody is found by it. `linked_at` is in microseconds UTC.
    """

    workspace: str
    issuer: str
    subject: str
    user: str
    email: str
    linked_at: int


class ProviderError(OnPurposeError):
    """The service that says who people are could not be asked, or what it said does not count."""


class Departure(Struct, frozen=True, kw_only=True):
    """A browser that was sent to sign in elsewhere: to `url`, with what must be the same when it comes back."""

    url: str
    state: str
    nonce: str
    verifier: str

    def __repr__(self) -> str:
        return "Departure()"
