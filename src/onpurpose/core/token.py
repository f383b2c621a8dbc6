"""The intent token's claims: what a token says, and when it counts. Pure; signing is an adapter's.

A token is a JSON Web Token (RFC 7519). Its claims are named there: `iss`, `aud`, `sub`, `iat`, `exp`,
`jti`; `purp`, `cap`, `call` and `wid` are ours. Times are whole seconds UTC, as in the RFC.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol, TypeAlias

import msgspec
from msgspec import Struct

from onpurpose.core.call import Call
from onpurpose.core.errors import OnPurposeError

MAX_TOKEN = 16 << 10
"""How long a token may be, in bytes."""

LONGEST_SECONDS = 24 * 3600
"""The most that any token lives, whatever its purpose says: what bounds how long a retired key must verify."""

LEEWAY_SECONDS = 30
"""How far the clocks of who signs and who verifies may lie apart."""


class TokenError(OnPurposeError):
    """A token that does not count: the message says why. Whoever presented it is refused."""


class RevocationKind(StrEnum):
    """What a revocation names."""

    JTI = "jti"
    PURPOSE = "purpose"
    AGENT = "agent"


class SigningKey(Struct, frozen=True, kw_only=True):
    """A key that signs tokens, as it is stored: the private half is sealed, and shown nowhere.

    `public` is the raw Ed25519 key (32 bytes). Times are microseconds UTC. From `retires_at` on the key
    verifies nothing more; it stops signing early enough for its last token to expire before.
    """

    kid: str
    public: bytes
    private_encrypted: bytes
    created_at: int
    retires_at: int | None = None

    def __repr__(self) -> str:
        return f"SigningKey({self.kid!r})"


class Revocation(Struct, frozen=True, kw_only=True):
    """Tokens of a workspace that no longer count: those that it names and that were issued up to `at`.

    Those issued up to `LEEWAY_SECONDS` after `at` count no more either: the clock of who issued them may have
    been so far ahead. After `until` the last of them has expired, and the revocation can be forgotten.
    Microseconds UTC.
    """

    kind: RevocationKind
    workspace: str
    value: str
    at: int
    until: int


Revoked: TypeAlias = Mapping[tuple[str, str, str], int]
"""Revocations: (kind, workspace, value) to `at`, in microseconds UTC."""


class TokenPurpose(Struct, frozen=True, kw_only=True):
    """The purpose that a token was given for, and the data it may touch (`None`: it does not speak of data)."""

    id: str
    name: str
    elements: tuple[str, ...] | None


class Claims(
    Struct,
    frozen=True,
    kw_only=True,
    rename={
        "issuer": "iss",
        "audience": "aud",
        "agent_id": "sub",
        "issued_at": "iat",
        "expires_at": "exp",
        "id": "jti",
        "purpose": "purp",
        "capability": "cap",
        "workspace": "wid",
    },
):
    """What a token says. `audience` is the capability and, where the call names one, the data source.

    `id` is that of the decision, `call` the digest of the one call that was permitted.
    """

    issuer: str
    audience: tuple[str, ...]
    agent_id: str
    issued_at: int
    expires_at: int
    id: str
    purpose: TokenPurpose
    capability: str
    call: str
    workspace: str


class PurposeLike(Protocol):
    """What a token says of a purpose."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def elements(self) -> tuple[str, ...] | None: ...
    @property
    def ttl_seconds(self) -> int: ...


class Permitted(Protocol):
    """What a token says of a result."""

    @property
    def call(self) -> Call: ...
    @property
    def allowed(self) -> bool: ...
    @property
    def decision_id(self) -> str: ...
    @property
    def digest(self) -> str | None: ...
    @property
    def purpose(self) -> PurposeLike | None: ...
    @property
    def ttl_seconds(self) -> int: ...


def lifetime(result: Permitted) -> int:
    """How many seconds a token for this result lives; 0 where it is given none.

    None is given without a purpose, without a live policy of it that matched, without a digest to
    bind it to, and for a call that may not run.
    """
    if not result.allowed or result.purpose is None or result.digest is None:
        return 0
    return max(0, min(result.ttl_seconds, result.purpose.ttl_seconds, LONGEST_SECONDS))


def claims_for(result: Permitted, *, issuer: str, workspace: str, at: int) -> Claims | None:
    """The claims of the token that a result at that time (microseconds UTC) is given; `None` where it is given none."""
    seconds = lifetime(result)
    if not seconds or result.purpose is None or result.digest is None:
        return None
    call, purpose, issued_at = result.call, result.purpose, at // 1_000_000
    return Claims(
        issuer=issuer,
        audience=(call.capability,) if call.data_source_id is None else (call.capability, call.data_source_id),
        agent_id=call.agent_id,
        issued_at=issued_at,
        expires_at=issued_at + seconds,
        id=result.decision_id,
        purpose=TokenPurpose(id=purpose.id, name=purpose.name, elements=purpose.elements),
        capability=call.capability,
        call=result.digest,
        workspace=workspace,
    )


def write_claims(claims: Claims) -> bytes:
    """The claims as the JSON that is signed."""
    return msgspec.json.encode(claims)


def read_claims(body: bytes) -> Claims:
    """The claims in a JSON body. Raises `TokenError` where one is missing or has another type."""
    try:
        return msgspec.json.decode(body, type=Claims)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TokenError(f"the token's claims cannot be read: {error}") from error


def check_claims(  # noqa: PLR0913  each is something that a token must agree with
    claims: Claims,
    *,
    audience: str,
    now: float,
    leeway: float = LEEWAY_SECONDS,
    issuer: str | None = None,
    digest: str | None = None,
) -> None:
    """Return if the claims count for that audience at that time (seconds UTC); else raise `TokenError`.

    `issuer` and `digest` (of a call) are compared where they are given.
    """
    if not audience or audience not in claims.audience:
        raise TokenError("the token is for another audience")
    if issuer is not None and claims.issuer != issuer:
        raise TokenError("the token was issued by another service")
    if not 0 < claims.expires_at - claims.issued_at <= LONGEST_SECONDS:
        raise TokenError("the token lives longer than any token may, or not at all")
    if not claims.issued_at <= now + leeway:  # written so that a time which is no number refuses
        raise TokenError("the token was issued in the future")
    if not now < claims.expires_at + leeway:
        raise TokenError("the token has expired")
    if digest is not None and claims.call != digest:
        raise TokenError("the token was given for another call")


def is_revoked(claims: Claims, revoked: Revoked) -> bool:
    """Whether one of the revocations names a token of these claims. See `names`."""
    names_it = (claims.workspace, claims.id, claims.purpose.id, claims.agent_id)
    return names(revoked, *names_it, issued_at=claims.issued_at)


def names(  # noqa: PLR0913  what tokens are revoked by
    revoked: Revoked, workspace: str, token_id: str, purpose_id: str, agent_id: str, *, issued_at: int
) -> bool:
    """Whether a revocation names the token, which was issued then (seconds UTC).

    By purpose and by agent it names those that were issued, by a clock that may have been ahead, up to its `at`.
    """
    if (str(RevocationKind.JTI), workspace, token_id) in revoked:
        return True  # whatever the clocks said: this one was meant
    surely_later = (issued_at - LEEWAY_SECONDS) * 1_000_000
    return any(
        (at := revoked.get((str(kind), workspace, value))) is not None and surely_later <= at
        for kind, value in ((RevocationKind.PURPOSE, purpose_id), (RevocationKind.AGENT, agent_id))
    )
