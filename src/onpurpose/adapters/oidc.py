"""OpenID Connect by Authlib: the authorization code flow with PKCE, and identity tokens checked to the letter."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]  # it has no types
from authlib.integrations.httpx_client import OAuth2Client  # type: ignore[import-untyped]  # as above
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]  # as above
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from onpurpose.core.session import Departure, ProviderError

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
"""How an identity token may be signed: by a key of the provider's, never by a shared secret or not at all."""

SECONDS = 10.0
KEPT_SECONDS = 3600.0
"""How long what the provider publishes of itself is kept; unknown keys are asked for at most once a minute."""

LEEWAY_SECONDS = 60
MOST_BYTES = 1 << 20
_ANEW_SECONDS = 60.0
_ANEW = {"prompt": "login", "max_age": "0"}
"""`max_age` has the identity token tell when somebody proved who they are (`auth_time`)."""

_AGAIN_SECONDS = 5.0
"""A provider that could not be asked is not asked again for so long: whoever comes then need not wait for it, too."""


class OidcProvider:
    """`IdentityProvider` at an issuer (a URL, https unless it is on loopback). Thread-safe. Raises `ProviderError`."""

    def __init__(
        self,
        issuer: str,
        client_id: str,
        client_secret: str,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        _check_url(issuer)
        self._issuer = issuer
        self._client_id = client_id
        self._client_secret = client_secret
        self._now = now
        self._lock = threading.Lock()
        self._published: tuple[float, Mapping[str, Any], KeySet] | None = None
        self._failed: tuple[float, str] | None = None

    def __repr__(self) -> str:
        return f"OidcProvider({self._issuer!r})"

    def begin(self, back: str, *, anew: bool = False) -> Departure:
        """Where to send the browser, which comes back to the URL `back`, and what must be remembered until then.

        With `anew` it asks the service to have people prove who they are, whoever it knows already.
        """
        document, _ = self._about()
        nonce, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
        with self._client(back) as client:
            url, state = client.create_authorization_url(
                document["authorization_endpoint"], state=secrets.token_urlsafe(32), nonce=nonce,
                code_verifier=verifier, **(_ANEW if anew else {}),
            )  # fmt: skip
        return Departure(url=url, state=state, nonce=nonce, verifier=verifier)

    def finish(self, departure: Departure, back: str, code: str) -> Mapping[str, object]:
        """What the provider says of who came back with this code, checked: signature, issuer, audience, nonce, time."""
        document, keys = self._about()
        token = self._exchange(document["token_endpoint"], departure, back, code)
        text = token.get("id_token")
        if not isinstance(text, str) or len(text) > MOST_BYTES:
            raise ProviderError("the provider gave no identity token")
        try:
            return self._claims(text, keys, departure, token)
        except JoseError as error:
            if self._forget():  # it may have new keys
                return self._retry(text, departure, token)
            raise ProviderError(f"the provider's identity token does not count: {error}") from None

    def _retry(self, text: str, departure: Departure, token: Mapping[str, Any]) -> Mapping[str, object]:
        try:
            return self._claims(text, self._about()[1], departure, token)
        except JoseError as error:
            raise ProviderError(f"the provider's identity token does not count: {error}") from None

    def _claims(self, text: str, keys: KeySet, departure: Departure, token: Mapping[str, Any]) -> Mapping[str, object]:
        decoded = jwt.decode(text, keys, algorithms=ALGORITHMS)
        options = {
            "iss": {"essential": True, "value": self._issuer},
            "aud": {"essential": True, "value": self._client_id},
        }
        params = {"nonce": departure.nonce, "client_id": self._client_id, "access_token": token.get("access_token")}
        claims = CodeIDToken(decoded.claims, decoded.header, options, params)
        claims.validate(now=int(self._now()), leeway=LEEWAY_SECONDS)
        return dict(decoded.claims)

    def _exchange(self, endpoint: str, departure: Departure, back: str, code: str) -> Mapping[str, Any]:
        try:
            with self._client(back) as client:
                found: Mapping[str, Any] = client.fetch_token(
                    endpoint, grant_type="authorization_code", code=code, code_verifier=departure.verifier
                )
        except (AuthlibBaseError, httpx2.HTTPError, ValueError, KeyError) as error:
            raise ProviderError(f"the provider did not take the code ({type(error).__name__})") from None
        return found

    def _client(self, back: str) -> Any:
        return OAuth2Client(
            self._client_id, self._client_secret, scope="openid email profile", redirect_uri=back,
            code_challenge_method="S256", timeout=SECONDS, follow_redirects=False, trust_env=False,
        )  # fmt: skip

    def _about(self) -> tuple[Mapping[str, Any], KeySet]:
        """What the provider publishes of itself, and its keys."""
        with self._lock:
            kept = self._published
            if kept is None or self._now() - kept[0] > KEPT_SECONDS:
                kept = self._published = self._read_anew()
            return kept[1], kept[2]

    def _read_anew(self) -> tuple[float, Mapping[str, Any], KeySet]:
        if self._failed is not None and 0 <= self._now() - self._failed[0] < _AGAIN_SECONDS:
            raise ProviderError(self._failed[1])
        try:
            return self._now(), *self._read()
        except ProviderError as error:
            self._failed = (self._now(), str(error))
            raise

    def _forget(self) -> bool:
        """Whether what is kept was kept for a while: it is read anew then."""
        with self._lock:
            stale = self._published is not None and self._now() - self._published[0] > _ANEW_SECONDS
            self._published = None if stale else self._published
            return stale

    def _read(self) -> tuple[Mapping[str, Any], KeySet]:
        try:
            with httpx2.Client(timeout=SECONDS, follow_redirects=False, trust_env=False) as client:
                document = _object(client, self._issuer.rstrip("/") + "/.well-known/openid-configuration")
                if document.get("issuer") != self._issuer:
                    raise ProviderError("the provider calls itself by another issuer")
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                    _check_url(str(document.get(name)))
                return document, KeySet.import_key_set(_object(client, document["jwks_uri"]))  # type: ignore[arg-type]
        except (httpx2.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderError(f"the provider cannot be asked ({type(error).__name__})") from None


def _object(client: httpx2.Client, url: str) -> dict[str, Any]:
    answer = client.get(url)
    answer.raise_for_status()
    if len(answer.content) > MOST_BYTES:
        raise ValueError("too long")
    found = answer.json()
    if answer.status_code != httpx2.codes.OK or not isinstance(found, dict):
        raise ValueError("no object")
    return found


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    local = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not parts.hostname or parts.scheme not in ({"http", "https"} if local else {"https"}):
        raise ProviderError("the provider must be reached by an https:// URL")
