"""`/v1/tokens/verify`, `/v1/tokens/revoke`, `/.well-known/jwks.json`: intent tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import orjson

from onpurpose.core.token import Claims, Revocation, RevocationKind, TokenError, write_claims
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.serving import Answer, Asked, Text, Use
from onpurpose.server.api.table import JSON

CACHED_SECONDS = 300
"""How long the public keys may be cached: as long as a new one is published before it signs."""


class Tokens(Protocol):
    """Verifies and revokes. Thread-safe. `verify` raises `TokenError`, `revoke` and `verify` `StoreError`."""

    def verify(self, token: object, audience: str, *, workspace: str | None = None) -> Claims:
        """What the token says, if it counts now; else `TokenError`."""
        ...

    def revoke(self, kind: RevocationKind, value: str, *, workspace: str, by: str, reason: str = "") -> Revocation:
        """Have every token of the workspace issued up to now that this names count no more."""
        ...

    def jwks(self) -> dict[str, object]:
        """The public keys (RFC 7517)."""
        ...


def uses(tokens: Tokens, deliver: Callable[[], object]) -> Mapping[str, Use]:
    """What does the operations on tokens, by their names. `deliver` tells the log of a change, and waits for it."""
    return {
        "verify_token": partial(verify, tokens),
        "revoke_token": partial(revoke, tokens, deliver),
        "get_jwks": partial(jwks, tokens),
    }


def verify(tokens: Tokens, asked: Asked) -> Answer:
    """Whether a token of the caller's workspace is good now."""
    body = asked.told(wire.TokenQuestion)
    try:
        claims = tokens.verify(body.token, body.audience, workspace=asked.workspace)
    except TokenError as error:
        return wire.TokenAnswer(valid=False, reason=str(error))
    return wire.TokenAnswer(valid=True, claims=orjson.loads(write_claims(claims)))


def revoke(tokens: Tokens, deliver: Callable[[], object], asked: Asked) -> Answer:
    """Revoke one token, or all that a purpose or an agent was given up to now."""
    body = asked.told(wire.TokenRevoking)
    kind = RevocationKind(body.kind)
    tokens.revoke(kind, body.value, workspace=asked.workspace, by=asked.by, reason=body.reason)
    deliver()
    return None


def jwks(tokens: Tokens, asked: Asked) -> Answer:
    """The public keys, for anybody."""
    headers = {"Cache-Control": f"public, max-age={CACHED_SECONDS}"}
    return Text(text=orjson.dumps(tokens.jwks()), media=JSON, headers=headers)
