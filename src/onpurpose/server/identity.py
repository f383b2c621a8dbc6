"""Who asks: API keys held in memory, looked up by hash, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final

from starlette.requests import HTTPConnection

from onpurpose.core.access import ApiKey, Scope
from onpurpose.server.problems import forbidden, unauthenticated

STATE: Final = "onpurpose.key"
"""Under which an authenticated request's scope holds its `ApiKey`."""

MOST_CHARACTERS = 256
"""How long a key may be; a longer text is none."""


class Refusal(StrEnum):
    """Why a text is no key that counts."""

    MISSING = "the request carries no API key: send `Authorization: Bearer op_...`"
    UNKNOWN = "the API key is not known"
    EXPIRED = "the API key has expired"
    REVOKED = "the API key is revoked"


class Authority:
    """The keys of all workspaces, in memory. Thread-safe: `replace` swaps them all at once."""

    def __init__(self, keys: Iterable[ApiKey] = ()) -> None:
        self._used: dict[str, int] = {}
        self._keys: Mapping[bytes, ApiKey] = {}
        self.replace(keys)

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """Hold these keys from now on, expired and revoked ones too: they are told apart from unknown ones."""
        self._keys = {key.hash: key for key in keys}

    def find(self, secret: str, now: int) -> ApiKey | Refusal:
        """The key with that whole text (`op_...`) if it counts at `now` (microseconds UTC), and note its use."""
        if not secret or len(secret) > MOST_CHARACTERS:
            return Refusal.UNKNOWN if secret else Refusal.MISSING
        given = hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
        key = self._keys.get(given)
        if key is None or not hmac.compare_digest(key.hash, given):
            return Refusal.UNKNOWN
        refusal = _refusal(key, now)
        if refusal is not None:
            return refusal
        self._used[key.id] = now
        return key

    def stands(self, key: ApiKey, now: int) -> bool:
        """Whether a key that was found before still counts: what a long answer asks now and then."""
        held = self._keys.get(key.hash)
        return held is not None and held.id == key.id and _refusal(held, now) is None

    def drain_used(self) -> dict[str, int]:
        """When keys (by id) were last used since this was last asked, in microseconds UTC."""
        used, self._used = self._used, {}
        return dict(used)


def _refusal(key: ApiKey, now: int) -> Refusal | None:
    if key.revoked_at is not None:
        return Refusal.REVOKED
    if key.expires_at is not None and key.expires_at <= now:
        return Refusal.EXPIRED
    return None


def bearer(header: bytes | None) -> str:
    """The token of an `Authorization` header; empty where there is none."""
    if header is None or header[:7].lower() != b"bearer ":
        return ""
    return header[7:].strip().decode("latin-1")


def authenticate(authority: Authority, header: bytes | None, now: int) -> ApiKey:
    """The key that an `Authorization` header carries. Raises the 401 problem."""
    found = authority.find(bearer(header), now)
    if isinstance(found, Refusal):
        raise unauthenticated(str(found))
    return found


def permit(key: ApiKey, scope: Scope) -> None:
    """Raise the 403 problem unless the key has the scope."""
    if not key.may(scope):
        raise forbidden(f"this needs a key with the scope `{scope}`")


def require(request: HTTPConnection, scope: Scope) -> ApiKey:
    """The key of an authenticated request, for a route that needs this scope. Raises 401 and 403 problems."""
    key = request.scope.get(STATE)
    if not isinstance(key, ApiKey):
        raise unauthenticated(str(Refusal.MISSING))
    permit(key, scope)
    return key
