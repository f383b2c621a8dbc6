"""Another service that says who people are, on loopback: real HTTP, and identity tokens that are really signed."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

CLIENT, CLIENT_SECRET = "onpurpose", "the client's secret"


class Provider:
    """Knows who asks at once: `claims` say who it is. `twist` changes the header, claims and key of its next token."""

    def __init__(self, clock: Any) -> None:
        self.clock = clock
        self.keys = [ECKey.generate_key("P-256", {"kid": "one", "alg": "ES256", "use": "sig"})]
        self.claims: dict[str, Any] = {}
        self.twist: Any = None
        self.answers: dict[str, Any] | None = None
        self.document: dict[str, Any] = {}
        self.given: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []
        self.issuer = ""

    def authorize(self, url: str) -> tuple[str, str]:
        """What a browser does that is sent to `url`: it comes back with this code and state."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query, strict_parsing=True).items()}
        assert asked["client_id"] == CLIENT
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert set(asked["scope"].split()) >= {"openid", "email"}
        code = secrets.token_urlsafe(8)
        self.given[code] = asked
        return code, asked["state"]

    def answer(self, path: str, body: str, authorization: str) -> tuple[int, dict[str, Any]]:
        self.asked.append(path)
        if path == "/.well-known/openid-configuration":
            known = {name: f"{self.issuer}/{name}" for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")}
            return 200, {"issuer": self.issuer} | known | self.document
        if path == "/jwks_uri":
            return 200, KeySet(self.keys).as_dict(private=False)
        return self._token({name: values[0] for name, values in parse_qs(body).items()}, authorization)

    def _token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        asked = self.given.pop(form.get("code", ""), None)
        known = base64.b64encode(f"{CLIENT}:{CLIENT_SECRET}".encode()).decode()
        if asked is None or authorization != f"Basic {known}" or form["redirect_uri"] != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        if self.answers is not None:
            return 200, self.answers
        now = self.clock.now() // 1_000_000
        header: dict[str, Any] = {"alg": "ES256", "kid": self.keys[-1].kid}
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": "s1", "iat": now, "exp": now + 60, "nonce": asked["nonce"],
            "email": "ann@corp.example", "email_verified": True,
        } | self.claims  # fmt: skip
        key: Any = self.keys[-1]
        if self.twist is not None:
            key = self.twist(header, claims, key) or key
        token = unsigned(claims) if key == "none" else jwt.encode(header, claims, key, algorithms=[header["alg"]])
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": token}


def unsigned(claims: dict[str, Any]) -> str:
    parts = (json.dumps(one).encode() for one in ({"alg": "none"}, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."


def own_secret() -> OctKey:
    return OctKey.import_key(CLIENT_SECRET * 2)


@contextmanager
def provided(clock: Any) -> Iterator[Provider]:
    """The provider, while it runs."""
    provider = Provider(clock)

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
            status, answer = provider.answer(self.path, body, self.headers.get("authorization", ""))
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    provider.issuer = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
