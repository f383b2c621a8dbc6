"""Intent tokens: given to permitted calls under a purpose, verified and revoked; the keys that sign them.

Keys rotate by overlap. A new key is published at once and signs only after `LEAD_SECONDS`, when whoever
holds the published keys had time to learn of it; the former ones verify until their last token expired.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

import orjson

from onpurpose.core.call import Call
from onpurpose.core.canonical import exact_digest
from onpurpose.core.facts import Malformed
from onpurpose.core.result import Result
from onpurpose.core.revision import StoreError
from onpurpose.core.token import (
    LEEWAY_SECONDS,
    LONGEST_SECONDS,
    Claims,
    Revocation,
    RevocationKind,
    SigningKey,
    TokenError,
    check_claims,
    claims_for,
    is_revoked,
    names,
)
from onpurpose.ports import Clock, SigningKeys, TokenFormat, Vault

log = logging.getLogger("onpurpose")

LEAD_SECONDS = 300
"""How long a key is published before it signs; the published keys may be cached for as long."""

FRESH_SECONDS = 1
"""Revocations older than this are read again before a token is verified."""

STALE_SECONDS = 30
"""Revocations older than this are not relied on: tokens are refused until the store answers."""

_SECOND = 1_000_000
_TAIL = (LONGEST_SECONDS + 2 * LEEWAY_SECONDS) * _SECOND
"""How long a key must verify after it signed."""


class _Held(NamedTuple):
    """What was last read from the store; replaced as a whole."""

    keys: tuple[SigningKey, ...]
    revoked: Mapping[tuple[str, str, str], int]
    at: int


class Tokens:
    """Mints, verifies and revokes the tokens of one service. Thread-safe; the store is not asked to mint.

    `issuer` is the service's name in its tokens, best its URL. `refresh` is to be called every second
    or so, so that keys and revocations of other processes arrive.
    """

    def __init__(  # noqa: PLR0913  these are its parts
        self,
        issuer: str,
        store: SigningKeys,
        vault: Vault,
        form: TokenFormat,
        *,
        clock: Clock,
        new_id: Callable[[int], str],
        lead_seconds: int = LEAD_SECONDS,
    ) -> None:
        self.issuer = issuer
        self._store = store
        self._vault = vault
        self._form = form
        self._clock = clock
        self._new_id = new_id
        self._lead = lead_seconds * _SECOND
        self._held = _Held((), {}, 0)
        self._signers: dict[str, Callable[[Claims], str]] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        """Read the keys, make the first one, open the one that signs.

        Raises `StoreError` where the store cannot be read, and what the vault raises where a key
        cannot be opened.
        """
        self._read()
        now = self._clock.now()
        if self._signing(now) is None:
            self.rotate(by="", reason="no key to sign with")
        self._signer(now)

    def refresh(self) -> None:
        """Take up what other processes changed; what is held stays where the store cannot be read."""
        try:
            self._read()
        except StoreError as error:
            log.error("signing keys and revocations could not be refreshed: %s", error)

    def mint(self, result: Result, workspace: str, at: int | None = None) -> tuple[str, int] | None:
        """The token for a result and when it expires (microseconds UTC); `None` where it is given none.

        `at` is when the decision was taken (microseconds UTC; now, unless given). Raises `TokenError` where one
        is due and cannot be made: for a call that holds an object, which no digest binds, for a purpose of
        more elements than a token holds, without a key; and what the vault raises.
        """
        claims = claims_for(result, issuer=self.issuer, workspace=workspace, at=self._clock.now() if at is None else at)
        if claims is None or is_revoked(claims, self._held.revoked):
            return None
        if _bound(result.call) != claims.call:
            raise TokenError("the call is not as it was decided")
        return self._signer(claims.issued_at * _SECOND)(claims), claims.expires_at * _SECOND

    def jwks(self) -> dict[str, object]:
        """The published keys: those that sign, will sign or may have signed a token that still lives."""
        now = self._clock.now()
        return self._form.published([key for key in self._held.keys if _verifies(key, now)])

    def verify(self, token: object, audience: str, *, workspace: str | None = None, call: Call | None = None) -> Claims:
        """What a token of this service says, if it counts now and is not revoked; else `TokenError`.

        `workspace` is where it must come from, `call` what it must have been given for.
        """
        claims = self._form.read(token, self.jwks())
        digest = None if call is None else _bound(call)
        check_claims(claims, audience=audience, now=self._clock.now() / _SECOND, issuer=self.issuer, digest=digest)
        if workspace is not None and claims.workspace != workspace:
            raise TokenError("the token belongs to another workspace")
        if is_revoked(claims, self._revoked_now()):
            raise TokenError("the token is revoked")
        return claims

    def revoke(self, kind: RevocationKind, value: str, *, workspace: str, by: str, reason: str = "") -> Revocation:
        """Have every token issued up to now that this names count no more, here at once, elsewhere once refreshed.

        By purpose and by agent, tokens issued in the next `LEEWAY_SECONDS` do not count either, and none is given
        meanwhile: of those it cannot be told whether a clock that is ahead issued them before. Later ones
        count: who is to get none is denied by policy. Raises `StoreError`.
        """
        now = self._clock.now()
        revocation = Revocation(kind=kind, workspace=workspace, value=value, at=now, until=now + _TAIL)
        told = {"workspace": workspace, "by": by, "reason": reason, "revokes": str(kind), "value": value}
        self._store.revoke(revocation, notes=[self._note("token.revoked", now, told)])
        self._read()
        return revocation

    def is_revoked(self, workspace: str, token_id: str, purpose_id: str, agent_id: str, issued_at: int) -> bool:
        """Whether a token, issued then (microseconds UTC), was revoked as far as this process knows."""
        return names(self._held.revoked, workspace, token_id, purpose_id, agent_id, issued_at=issued_at // _SECOND)

    def rotate(self, *, by: str, reason: str = "", at_once: bool = False) -> str:
        """Make a new key, and retire the others once their last token expired; the new key's id.

        `at_once`, for keys that leaked: the others verify nothing from now on, and the new one signs now.
        Raises `StoreError`, and what the vault raises.
        """
        now = self._clock.now()
        private, public = self._form.new_key()
        kid = self._new_id(now)
        key = SigningKey(
            kid=kid, public=public, private_encrypted=self._vault.seal(private, _label(kid)), created_at=now
        )
        told = {"workspace": None, "by": by, "reason": reason, "kid": kid, "at_once": at_once}
        others_at = now if at_once else now + self._lead + _TAIL
        self._store.add(key, retire_others_at=others_at, notes=[self._note("signing_key.rotated", now, told)])
        self._read()
        return kid

    def status(self) -> dict[str, object]:
        """What an operator asks first: which key signs, how many verify, how old the view of revocations is."""
        now = self._clock.now()
        signing = self._signing(now)
        return {
            "signs": None if signing is None else signing.kid,
            "verify": sum(_verifies(key, now) for key in self._held.keys),
            "revocations": len(self._held.revoked),
            "refreshed_seconds_ago": (now - self._held.at) / _SECOND,
        }

    def _read(self) -> None:
        with self._lock:  # so that an older view never replaces a newer one
            now = self._clock.now()
            keys = tuple(self._store.keys())
            revoked = {(str(one.kind), one.workspace, one.value): one.at for one in self._store.revocations(now)}
            self._held = _Held(keys, revoked, now)

    def _revoked_now(self) -> Mapping[tuple[str, str, str], int]:
        if self._age() > FRESH_SECONDS * _SECOND:
            self.refresh()
        if self._age() > STALE_SECONDS * _SECOND:
            raise TokenError("it cannot be told whether the token is revoked: the store does not answer")
        return self._held.revoked

    def _age(self) -> int:
        return abs(self._clock.now() - self._held.at)  # a clock that steps back makes a view old, not new

    def _signing(self, now: int) -> SigningKey | None:
        """The newest key that was published long enough, else the oldest, of those whose tokens it outlives."""
        able = [key for key in self._held.keys if key.retires_at is None or key.retires_at >= now + _TAIL]
        published = [key for key in able if key.created_at + self._lead <= now]
        return published[-1] if published else able[0] if able else None

    def _signer(self, now: int) -> Callable[[Claims], str]:
        key = self._signing(now)
        if key is None:
            raise TokenError("there is no key to sign with")
        signer = self._signers.get(key.kid)
        if signer is None:
            private = self._vault.open(key.private_encrypted, _label(key.kid))
            signer = self._signers[key.kid] = self._form.signer(key.kid, private)
        return signer

    def _note(self, kind: str, now: int, told: Mapping[str, object]) -> bytes:
        return orjson.dumps({"v": 1, "kind": kind, "id": self._new_id(now), "at": now, **told})


def _label(kid: str) -> str:
    return f"signing key {kid}"


def _verifies(key: SigningKey, now: int) -> bool:
    return key.retires_at is None or now < key.retires_at


def _bound(call: Call) -> str:
    try:
        return exact_digest(call)
    except Malformed as error:
        raise TokenError(f"no token can be bound to the call: {error}") from error
