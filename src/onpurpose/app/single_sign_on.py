"""Signing in by another service that says who people are: what it says becomes a user with groups and roles."""

from __future__ import annotations

import re
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from hmac import compare_digest
from typing import TypeGuard

import msgspec

from onpurpose.app.keys import OPERATOR, Keyring
from onpurpose.app.notes import Pen
from onpurpose.app.outbox import Post
from onpurpose.app.sign_in import is_same_address
from onpurpose.app.turned_away import TurnedAway
from onpurpose.core.access import Role, User
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.session import Departure, LinkedIdentity, ProviderError
from onpurpose.ports import Clock, Vault
from onpurpose.sign_in_ports import Identities, IdentityProvider

AWAY_SECONDS = 600
"""How long somebody may take to sign in elsewhere."""

MOST_GROUPS = 100
_LEEWAY_SECONDS = 60
_MOST_NAME = 200
_MOST_SUBJECT = 255
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_LABEL = "onpurpose.oidc.departure.1"
_SECOND = 1_000_000
_BY = "oidc"
_NOBODY = "nobody here has that e-mail address, or may sign in"
_UNLINK = (
    " The user of that address signs in by that other one. If it is you, and you have a new account there, ask an"
    " admin of the workspace to unlink the old one: under Settings, Users, your name. Then sign in again."
)


class Mapped(msgspec.Struct, frozen=True, kw_only=True):
    """How what a provider says is taken.

    `roles` maps groups to roles: with it, people have the roles of their groups and no others; without it they
    keep those that they have. `creates` makes users of people who have none yet.
    """

    workspace: str = OPERATOR
    groups_claim: str = "groups"
    roles: Mapping[str, frozenset[Role]] | None = None
    creates: bool = False


class _Away(msgspec.Struct, frozen=True, kw_only=True):
    departure: Departure
    to: str
    until: int


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """Who came back, and where they wanted to go; or in `fault` why they are not signed in, in sentences.

    `identity` is who they are at the provider; `anew`: it says that they proved that since they were sent.
    """

    user: User | None = None
    identity: LinkedIdentity | None = None
    to: str = "/"
    anew: bool = False
    fault: str = ""


class _NotInError(Exception):
    """Somebody came back who is not signed in: why, and what they can do."""

    def __init__(self, why: str, cure: str = "") -> None:
        super().__init__(why)
        self.cure = cure


class Linking:
    """Who users are to other services. A change returns once the log tells of it. Thread-safe and synchronous."""

    def __init__(self, identities: Identities, post: Post, *, clock: Clock, new_id: Callable[[int], str]) -> None:
        self._identities = identities
        self._post = post
        self._clock = clock
        self._new_id = new_id

    def find(self, workspace: str, issuer: str, subject: str) -> LinkedIdentity | None:
        """Whose that identity is."""
        return self._identities.find(workspace, issuer, subject)

    def of(self, user: User) -> list[LinkedIdentity]:
        """The user's, by issuer."""
        return self._identities.of(user.workspace, user.id)

    def stands(self, identity: LinkedIdentity) -> bool:
        """Whether it is linked as it was."""
        return self._identities.find(identity.workspace, identity.issuer, identity.subject) == identity

    def link(self, user: User, issuer: str, subject: str, email: str, *, by: str) -> LinkedIdentity:
        """From now on it is this user. Raises `ConflictError` and `MissingError` as `Identities.link` does."""
        pen = Pen(self._clock, self._new_id, user.workspace, by)
        identity = LinkedIdentity(
            workspace=user.workspace, issuer=issuer, subject=subject, user=user.id, email=email, linked_at=pen.at
        )
        self._identities.link(identity, notes=[pen.note("identity.linked", **_told(identity))])
        self._post.deliver()
        return identity

    def unlink(self, identity: LinkedIdentity, *, by: str) -> bool:
        """It is nobody's any more, and its user is signed out everywhere; false where it was not theirs."""
        pen = Pen(self._clock, self._new_id, identity.workspace, by)
        done = self._identities.unlink(identity, notes=[pen.note("identity.unlinked", **_told(identity))])
        if done:
            self._post.deliver()
        return done


class SingleSignOn:
    """Sends people to the provider, and takes up who comes back. Thread-safe and synchronous.

    A person is who the provider's issuer and subject were linked to, whatever address they have by now. The first
    time, a user is linked by the address that the provider vouches for, where nobody else of that issuer is yet.
    """

    def __init__(  # noqa: PLR0913  these are its parts
        self,
        provider: IdentityProvider,
        mapped: Mapped,
        keyring: Keyring,
        linking: Linking,
        *,
        away: TurnedAway,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._provider = provider
        self._mapped = mapped
        self._keyring = keyring
        self._linking = linking
        self._away = away
        self._vault = vault
        self._clock = clock
        self._first_time = threading.Lock()

    def begin(self, back: str, to: str, anew: bool = False) -> tuple[str, str]:
        """Where to send the browser, and what it keeps (sealed) until it comes back. Raises `ProviderError`.

        With `anew` the provider is asked to have people prove who they are, whoever it knows already.
        """
        departure = self._provider.begin(back, anew=anew)
        away = _Away(departure=departure, to=to, until=self._clock.now() + AWAY_SECONDS * _SECOND)
        sealed = self._vault.seal(msgspec.json.encode(away), _LABEL)
        return departure.url, urlsafe_b64encode(sealed).decode()

    def finish(self, kept: str, back: str, state: str, code: str, address: str) -> Returned:
        """Who came back with this state and code, to the browser that kept this. Never raises for what these are."""
        away = self._read(kept)
        if away is None or not compare_digest(away.departure.state.encode(), state.encode("utf-8", "surrogatepass")):
            return self._refused("came back without having been sent", "", address)
        if not code:
            return self._refused("the provider sent no code, as where somebody cancels there", "", address)
        try:
            claims = self._provider.finish(away.departure, back, code)
        except ProviderError as error:
            return self._refused(str(error), "", address)
        try:
            user, identity = self._user(claims)
        except _NotInError as error:
            return self._refused(str(error), str(claims.get("sub"))[:_MOST_SUBJECT], address, error.cure)
        anew = _is_anew(claims.get("auth_time"), away)
        return Returned(user=user, identity=identity, to=away.to, anew=anew)

    def _user(self, claims: Mapping[str, object]) -> tuple[User, LinkedIdentity]:
        """Who that is here, up to date with what the provider says, and there. Raises `_NotInError`."""
        issuer, subject = claims.get("iss"), claims.get("sub")
        if not isinstance(issuer, str) or not _is_subject(subject):
            raise _NotInError("the provider does not say who it is")
        identity = self._linking.find(self._mapped.workspace, issuer, subject)
        if identity is None:
            with self._first_time:  # whoever comes twice at once is made once
                identity = self._linking.find(self._mapped.workspace, issuer, subject)
                identity = identity or self._linked(issuer, subject, claims)
        user = self._keyring.user(identity.workspace, identity.user)
        if user.disabled_at is not None:
            raise _NotInError(_NOBODY)
        user = self._up_to_date(user, claims)
        if not user.roles:
            raise _NotInError(_NOBODY)
        return user, identity

    def _linked(self, issuer: str, subject: str, claims: Mapping[str, object]) -> LinkedIdentity:
        """The one user of the address that the provider vouches for, or a new one: linked from now on."""
        email = claims.get("email")
        if not _is_address(email) or claims.get("email_verified") is not True:
            raise _NotInError("the provider does not vouch for an e-mail address")
        users = self._keyring.users(self._mapped.workspace)
        same = [one for one in users if is_same_address(one.email, email)]
        if len(same) > 1 or any(one.disabled_at is not None for one in same):
            raise _NotInError(_NOBODY)
        if same and not same[0].roles and self._mapped.roles is None:
            raise _NotInError(_NOBODY)
        user = same[0] if same else self._make(email, claims)
        try:
            return self._linking.link(user, issuer, subject, email, by=_BY)
        except ConflictError:
            raise _NotInError("that e-mail address is of another account of the provider", _UNLINK) from None
        except MissingError:  # disabled in this moment
            raise _NotInError(_NOBODY) from None

    def _up_to_date(self, user: User, claims: Mapping[str, object]) -> User:
        groups = _groups(claims.get(self._mapped.groups_claim))
        kept = user.groups if groups is None else groups
        roles = user.roles if self._mapped.roles is None else self._roles(groups or ())
        if (kept, roles) == (user.groups, user.roles):
            return user
        return self._keyring.follow_user(user.workspace, user.id, kept, roles, by=_BY)

    def _make(self, email: str, claims: Mapping[str, object]) -> User:
        groups = _groups(claims.get(self._mapped.groups_claim)) or ()
        roles = self._roles(groups)
        if not self._mapped.creates or not roles:
            raise _NotInError(_NOBODY)
        name = claims.get("name")
        shown = name[:_MOST_NAME] if isinstance(name, str) and name.isprintable() and name else email
        return self._keyring.create_user(self._mapped.workspace, None, shown, email, groups, by=_BY, roles=roles)

    def _roles(self, groups: Iterable[str]) -> frozenset[Role]:
        known = self._mapped.roles or {}
        return frozenset(role for group in groups for role in known.get(group, ()))

    def _read(self, kept: str) -> _Away | None:
        try:
            sealed = urlsafe_b64decode(kept[:8192].encode("ascii"))
            away = msgspec.json.decode(self._vault.open(sealed, _LABEL), type=_Away)
        except (OnPurposeError, ValueError):
            return None
        return away if self._clock.now() < away.until else None

    def _refused(self, why: str, who: str, address: str, cure: str = "") -> Returned:
        self._away.record("session.refused", why, workspace=self._mapped.workspace, by=who, address=address, via=_BY)
        return Returned(fault=f"You are not signed in: {why}.{cure}")


def _is_anew(claim: object, away: _Away) -> bool:
    """Whether it is a time (seconds UTC) since they were sent away; clocks differ."""
    sent = away.until // _SECOND - AWAY_SECONDS
    return isinstance(claim, int) and not isinstance(claim, bool) and claim >= sent - _LEEWAY_SECONDS


def _is_subject(claim: object) -> TypeGuard[str]:
    """Whether it is what OpenID Connect lets a subject be: at most 255 characters of ASCII."""
    return isinstance(claim, str) and 0 < len(claim) <= _MOST_SUBJECT and claim.isascii() and claim.isprintable()


def _is_address(claim: object) -> TypeGuard[str]:
    return isinstance(claim, str) and _EMAIL.fullmatch(claim) is not None and claim.isprintable()


def _told(identity: LinkedIdentity) -> dict[str, str]:
    return {
        "user": identity.user, "issuer": identity.issuer, "subject": identity.subject, "email": identity.email,
    }  # fmt: skip


def _groups(claim: object) -> tuple[str, ...] | None:
    """The groups that a claim names, without what is none; `None` where the claim names no groups at all."""
    if not isinstance(claim, list):
        return None
    found = dict.fromkeys(one for one in claim if isinstance(one, str) and 0 < len(one) <= 128 and one.isprintable())
    return tuple(found)[:MOST_GROUPS]
