"""Signing in by another service that says who people are: what it says becomes a user with groups and roles."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from hmac import compare_digest

import msgspec

from onpurpose.app.keys import OPERATOR, Keyring
from onpurpose.app.turned_away import TurnedAway
from onpurpose.core.access import Role, User
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.session import Departure, ProviderError
from onpurpose.ports import Clock, Vault
from onpurpose.sign_in_ports import IdentityProvider

AWAY_SECONDS = 600
"""How long somebody may take to sign in elsewhere."""

MOST_GROUPS = 100
_MOST_NAME = 200
_LABEL = "onpurpose.oidc.departure.1"
_SECOND = 1_000_000
_BY = "oidc"


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
    """Who came back, and where they wanted to go; or in `fault` why they are not signed in, as a sentence."""

    user: User | None = None
    to: str = "/"
    fault: str = ""


class SingleSignOn:
    """Sends people to the provider, and takes up who comes back. Thread-safe and synchronous."""

    def __init__(  # noqa: PLR0913  these are its parts
        self,
        provider: IdentityProvider,
        mapped: Mapped,
        keyring: Keyring,
        *,
        away: TurnedAway,
        vault: Vault,
        clock: Clock,
    ) -> None:
        self._provider = provider
        self._mapped = mapped
        self._keyring = keyring
        self._away = away
        self._vault = vault
        self._clock = clock

    def begin(self, back: str, to: str) -> tuple[str, str]:
        """Where to send the browser, and what it keeps (sealed) until it comes back. Raises `ProviderError`."""
        departure = self._provider.begin(back)
        away = _Away(departure=departure, to=to, until=self._clock.now() + AWAY_SECONDS * _SECOND)
        sealed = self._vault.seal(msgspec.json.encode(away), _LABEL)
        return departure.url, urlsafe_b64encode(sealed).decode()

    def finish(self, kept: str, back: str, state: str, code: str, address: str) -> Returned:
        """Who came back with this state and code, to the browser that kept this. Never raises for what these are."""
        away = self._read(kept)
        if away is None or not compare_digest(away.departure.state.encode(), state.encode("utf-8", "surrogatepass")):
            return self._refused("came back without having been sent", "", address)
        try:
            claims = self._provider.finish(away.departure, back, code)
        except ProviderError as error:
            return self._refused(str(error), "", address)
        email, verified = claims.get("email"), claims.get("email_verified")
        if not isinstance(email, str) or not email or len(email) > 254 or verified is not True:
            return self._refused("the provider does not vouch for an e-mail address", str(claims.get("sub")), address)
        user = self._user(email, claims)
        if user is None:
            return self._refused("nobody here has that e-mail address, or may sign in", email, address)
        return Returned(user=user, to=away.to)

    def _user(self, email: str, claims: Mapping[str, object]) -> User | None:
        """The one user of that address, who has a role and is not disabled, up to date with what the provider says."""
        workspace = self._mapped.workspace
        same = [one for one in self._keyring.users(workspace) if one.email.casefold() == email.casefold()]
        if len(same) > 1 or any(one.disabled_at is not None for one in same):
            return None
        groups = _groups(claims.get(self._mapped.groups_claim))
        if not same:
            return self._make(email, claims, groups)
        user = same[0]
        kept = user.groups if groups is None else groups
        roles = user.roles if self._mapped.roles is None else self._roles(groups or ())
        if (kept, roles) != (user.groups, user.roles):
            user = self._keyring.update_user(
                workspace, user.id, user.name, user.email, kept, by=_BY, slack=user.slack, roles=roles
            )
        return user if user.roles else None

    def _make(self, email: str, claims: Mapping[str, object], groups: tuple[str, ...] | None) -> User | None:
        roles = self._roles(groups or ())
        if not self._mapped.creates or not roles:
            return None
        name = claims.get("name")
        shown = name[:_MOST_NAME] if isinstance(name, str) and name.isprintable() and name else email
        return self._keyring.create_user(self._mapped.workspace, None, shown, email, groups or (), by=_BY, roles=roles)

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

    def _refused(self, why: str, who: str, address: str) -> Returned:
        self._away.record("session.refused", why, workspace=self._mapped.workspace, by=who, address=address, via=_BY)
        return Returned(fault=f"You are not signed in: {why}.")


def _groups(claim: object) -> tuple[str, ...] | None:
    """The groups that a claim names, without what is none; `None` where the claim names no groups at all."""
    if not isinstance(claim, list):
        return None
    found = dict.fromkeys(one for one in claim if isinstance(one, str) and 0 < len(one) <= 128 and one.isprintable())
    return tuple(found)[:MOST_GROUPS]
