"""Intent tokens as signed JSON Web Tokens: Ed25519 (`EdDSA`, RFC 8037) and nothing else, by joserfc.

`verify_token` is for the tool's side: it needs no service, only the published keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec
import orjson
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwk import OKPKey
from joserfc.jws import JWSRegistry, deserialize_compact
from joserfc.util import urlsafe_b64decode, urlsafe_b64encode
from msgspec import Struct

from onpurpose.core.call import Call
from onpurpose.core.canonical import exact_digest
from onpurpose.core.token import (
    LEEWAY_SECONDS,
    MAX_TOKEN,
    Claims,
    SigningKey,
    TokenError,
    check_claims,
    read_claims,
    write_claims,
)

ALGORITHM = "EdDSA"
_CURVE = "Ed25519"
_MAX_HEADER = 512


class JwtFormat:
    """Writes and reads tokens in the compact form of RFC 7515, with a `kid` always."""

    def new_key(self) -> tuple[bytes, bytes]:
        """A new private key and its public half, 32 bytes each."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  slow

        key = Ed25519PrivateKey.generate()
        return key.private_bytes_raw(), key.public_key().public_bytes_raw()

    def signer(self, kid: str, private: bytes) -> Callable[[Claims], str]:
        """What writes tokens signed with the key. It raises `TokenError` for one that would be too long."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  slow

        key = Ed25519PrivateKey.from_private_bytes(private)
        header = urlsafe_b64encode(orjson.dumps({"typ": "JWT", "alg": ALGORITHM, "kid": kid}))

        def sign(claims: Claims) -> str:  # written here: the library's checks of our own header cost half a signature
            signed = header + b"." + urlsafe_b64encode(write_claims(claims))
            token = signed + b"." + urlsafe_b64encode(key.sign(signed))
            if len(token) > MAX_TOKEN:
                raise TokenError(f"a token of purpose `{claims.purpose.id}` would be longer than {MAX_TOKEN:,} bytes")
            return token.decode()

        return sign

    def published(self, keys: Sequence[SigningKey]) -> dict[str, object]:
        """The public halves as a JSON Web Key Set (RFC 7517)."""
        return {"keys": [_published(key) for key in keys]}

    def read(self, token: object, jwks: Mapping[str, object]) -> Claims:
        """The claims of a token that one of the keys signed, else `TokenError`. Nothing else is checked."""
        return _read(token, jwks)


def verify_token(  # noqa: PLR0913  each is something that a token must agree with
    token: str,
    *,
    jwks: Mapping[str, object] | str | bytes,
    audience: str,
    call: Call | None = None,
    issuer: str | None = None,
    now: float | None = None,
    leeway: float = LEEWAY_SECONDS,
) -> Claims:
    """What a token says, once everything about it agrees; else `TokenError`. Nobody is asked.

    `jwks` is the service's key set (`/.well-known/jwks.json`), as JSON or parsed. `audience` is the tool's
    capability, or its data source. With `call`, the token must have been given for exactly that call.
    `now` is in seconds UTC, `leeway` in seconds. A revoked token passes until it expires: the service
    knows revocations.
    """
    claims = _read(token, _key_set(jwks))
    digest = None if call is None else _digest(call)
    at = time.time() if now is None else now
    check_claims(claims, audience=audience, now=at, leeway=leeway, issuer=issuer, digest=digest)
    return claims


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    """The only header that is read on: no `crit`, no `b64`, no key that the token brings along."""

    alg: Literal["EdDSA"]
    kid: str
    typ: Literal["JWT"] = "JWT"


class _OnlyEdDSA(JWSRegistry):
    """Knows one algorithm. The library's own look-up warns of this name, for which RFC 9864 has a new one."""

    max_header_length = _MAX_HEADER
    max_payload_length = MAX_TOKEN

    def get_alg(self, name: str) -> Any:
        """The algorithm, if it is the one."""
        if name != ALGORITHM:
            raise UnsupportedAlgorithmError(f"algorithm `{name}` is not accepted")
        return self.algorithms[ALGORITHM]


_REGISTRY = _OnlyEdDSA(algorithms=[ALGORITHM])


def _read(token: object, jwks: Mapping[str, object]) -> Claims:
    text = _bounded(token)
    key = _key(jwks, _header(text).kid)
    try:
        return read_claims(deserialize_compact(text, key, registry=_REGISTRY).payload or b"")
    except (JoseError, ValueError) as error:
        raise TokenError("the token's signature is not that of the key that it names") from error


def _bounded(token: object) -> bytes:
    if not isinstance(token, str) or not token.isascii() or not token:
        raise TokenError("the token is no text of a JSON Web Token")
    if len(token) > MAX_TOKEN:
        raise TokenError(f"the token is longer than {MAX_TOKEN:,} bytes")
    return token.encode()


def _header(token: bytes) -> _Header:
    segment, dot, _ = token.partition(b".")
    if not dot or len(segment) > _MAX_HEADER:
        raise TokenError("the token is no JSON Web Token")
    try:
        return msgspec.json.decode(urlsafe_b64decode(segment), type=_Header)
    except (ValueError, RecursionError) as error:  # binascii and msgspec raise kinds of it
        raise TokenError(f"the token's header is not accepted: only `{ALGORITHM}` with a `kid` is") from error


def _key(jwks: Mapping[str, object], kid: str) -> OKPKey:
    """The one Ed25519 key of that name in the set, its public half alone."""
    keys = jwks.get("keys")
    named = (
        [key for key in keys if isinstance(key, Mapping) and key.get("kid") == kid] if isinstance(keys, list) else []
    )
    if len(named) != 1:
        raise TokenError("the token names a key that is not among those published, or is there twice")
    key = named[0]
    if key.get("kty") != "OKP" or key.get("crv") != _CURVE or key.get("use", "sig") != "sig":
        raise TokenError(f"the token names a key that is no {_CURVE} key for signatures")
    try:
        return OKPKey.import_key({"kty": "OKP", "crv": _CURVE, "x": str(key.get("x"))})
    except (JoseError, ValueError) as error:
        raise TokenError("the token names a key that cannot be read") from error


def _key_set(jwks: Mapping[str, object] | str | bytes) -> Mapping[str, object]:
    if isinstance(jwks, str | bytes):
        try:
            jwks = orjson.loads(jwks)
        except orjson.JSONDecodeError as error:
            raise TokenError("the key set is no JSON") from error
    if not isinstance(jwks, Mapping):
        raise TokenError("the key set is no JSON Web Key Set")
    return jwks


def _digest(call: Call) -> str:
    try:
        return exact_digest(call)
    except Exception as error:  # whatever a hostile call does to who reads it
        raise TokenError(f"no token can be bound to the call: {error}") from error


def _published(key: SigningKey) -> dict[str, str]:
    x = urlsafe_b64encode(key.public).decode()
    return {"kty": "OKP", "crv": _CURVE, "x": x, "kid": key.kid, "use": "sig", "alg": ALGORITHM}
