"""`/v1/tokens/verify`, `.../revoke`, `.../keys/rotate`, `/.well-known/jwks.json`: intent tokens and their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import orjson

from onpurpose.app.keys import OPERATOR
from onpurpose.core.token import Claims, Revocation, RevocationKind, TokenError, write_claims
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.serving import Answer, Asked, Text, Use
from onpurpose.server.api.table import JSON
from onpurpose.server.problems import forbidden

CACHED_SECONDS = 300
"""How long the public keys may be cached: as long as a new one is published before it signs."""


class Tokens(Protocol):
    """Verifies, revokes, and rotates keys. Thread-safe.

    `verify` raises `TokenError`; it and all that changes raise `StoreError`.
    """

    def verify(self, token: object, audience: str, *, workspace: str | None = None) -> Claims:
        """What the token says, if it counts now; else `TokenError`."""
        ...

    def is_revoked(self, workspace: str, token_id: str, purpose_id: str, agent_id: str, issued_at: int) -> bool:
        """Whether a token, issued then (microseconds UTC), was revoked as far as this process knows."""
        ...

    def revoke(self, kind: RevocationKind, value: str, *, workspace: str, by: str, reason: str = "") -> Revocation:
        """Have every token of the workspace issued up to now that this names count no more."""
        ...

    def rotate(self, *, by: str, reason: str = "", at_once: bool = False) -> str:
        """Make a new key, and retire the others once their last token expired; the new key's id."""
        ...

    def status(self) -> Mapping[str, object]:
        """Which key signs (`signs`), and how many verify (`verify`)."""
        ...

    def jwks(self) -> dict[str, object]:
        """The public keys (RFC 7517)."""
        ...


def uses(tokens: Tokens, deliver: Callable[[], object]) -> Mapping[str, Use]:
    """What does the operations on tokens, by their names. `deliver` tells the log of a change, and waits for it."""
    return {
        "verify_token": partial(verify, tokens),
        "revoke_token": partial(revoke, tokens, deliver),
        "rotate_token_keys": partial(rotate, tokens, deliver),
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


def rotate(tokens: Tokens, deliver: Callable[[], object], asked: Asked) -> Answer:
    """Make a new key to sign with. The keys are those of all workspaces: the operator's admins rotate them."""
    if asked.workspace != OPERATOR:
        raise forbidden(f"the keys sign for every workspace: only admins of the workspace `{OPERATOR}` rotate them")
    body = asked.told(wire.KeyRotating)
    kid = tokens.rotate(by=asked.by, reason=body.reason, at_once=body.at_once)
    deliver()
    status = tokens.status()
    return wire.KeyRotated.model_validate({"kid": kid, "signs": status["signs"], "verify": status["verify"]})


def jwks(tokens: Tokens, asked: Asked) -> Answer:
    """The public keys, for anybody."""
    headers = {"Cache-Control": f"public, max-age={CACHED_SECONDS}"}
    return Text(text=orjson.dumps(tokens.jwks()), media=JSON, headers=headers)
