"""Tokens as JSON Web Tokens: what is signed verifies, and nothing else does."""

from __future__ import annotations

import base64
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose import Call, Claims, Identity, TokenError, verify_token
from onpurpose.adapters.tokens import JwtFormat
from onpurpose.core.token import MAX_TOKEN, SigningKey, claims_for
from tests.app.keys import CALL, NOW, SECOND, result

AT = NOW / SECOND
FORM = JwtFormat()
PRIVATE, PUBLIC = FORM.new_key()
KEY = SigningKey(kid="k1", public=PUBLIC, private_encrypted=b"", created_at=0)
JWKS = FORM.published([KEY])
SIGN = FORM.signer("k1", PRIVATE)


def claims(call: Call = CALL) -> Claims:
    made = claims_for(result(call), issuer="https://gate.example", workspace="acme", at=NOW)
    assert made is not None
    return made


TOKEN = SIGN(claims())
HEADER, BODY, SIGNATURE = TOKEN.split(".")


def verify(token: Any = TOKEN, **changed: Any) -> Claims:
    options: dict[str, Any] = {"jwks": JWKS, "audience": "crm.read", "now": AT} | changed
    return verify_token(token, **options)


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed(header: object, body: bytes | None = None) -> str:
    """A token with any header, signed by the true key over exactly what it holds."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    encoded = BODY if body is None else base64.urlsafe_b64encode(body).rstrip(b"=").decode()
    over = f"{part(header)}.{encoded}"
    signature = Ed25519PrivateKey.from_private_bytes(PRIVATE).sign(over.encode())
    return f"{over}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_a_token_says_what_was_signed() -> None:
    assert verify(call=CALL, issuer="https://gate.example") == claims()


@pytest.mark.parametrize("jwks", [JWKS, json.dumps(JWKS), orjson.dumps(JWKS)], ids=["parsed", "text", "bytes"])
def test_the_key_set_is_taken_as_it_comes(jwks: Any) -> None:
    assert verify(jwks=jwks).id == claims().id


def test_the_published_keys_hold_no_private_half() -> None:
    assert {
        "keys": [
            {"kty": "OKP", "crv": "Ed25519", "kid": "k1", "use": "sig", "alg": "EdDSA", "x": part_of(PUBLIC)},
        ]
    } == JWKS


def part_of(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@given(st.data())
def test_no_altered_token_verifies(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(TOKEN)))
    insert = data.draw(st.text(st.characters(max_codepoint=0x7F), max_size=3))
    gone = data.draw(st.integers(0, 4))
    altered = TOKEN[:place] + insert + TOKEN[place + gone :]
    if altered == TOKEN:
        assert verify(altered) == claims()
    else:
        with pytest.raises(TokenError):
            verify(altered)


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_no_other_last_character_of_any_part_verifies() -> None:
    for number in range(3):
        for character in ALPHABET:
            parts = TOKEN.split(".")
            parts[number] = parts[number][:-1] + character
            if ".".join(parts) != TOKEN:
                with pytest.raises(TokenError):
                    verify(".".join(parts))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "k1"},
        {"alg": "HS256", "kid": "k1"},
        {"alg": "RS256", "kid": "k1"},
        {"alg": "eddsa", "kid": "k1"},
        {"alg": "Ed25519", "kid": "k1"},
        {"alg": ["EdDSA"], "kid": "k1"},
        {"alg": "EdDSA"},
        {"alg": "EdDSA", "kid": None},
        {"alg": "EdDSA", "kid": 1},
        {"alg": "EdDSA", "kid": "k1", "typ": "JOSE"},
        {"alg": "EdDSA", "kid": "k1", "crit": ["exp"]},
        {"alg": "EdDSA", "kid": "k1", "b64": False, "crit": ["b64"]},
        {"alg": "EdDSA", "kid": "k1", "jwk": {"kty": "OKP"}},
        {"alg": "EdDSA", "kid": "k1", "jku": "https://evil.example/jwks"},
        {"alg": "EdDSA", "kid": "k1", "x5u": "https://evil.example/"},
        {"alg": "EdDSA", "kid": "../k1"},
        {"alg": "EdDSA", "kid": "k1" + "1" * 600},
        ["alg"],
        "alg",
        None,
    ],
    ids=lambda header: json.dumps(header)[:60],
)
def test_no_header_but_ours_is_accepted_even_signed(header: object) -> None:
    with pytest.raises(TokenError):
        verify(signed(header))


def test_our_header_signed_by_another_hand_is_accepted() -> None:
    assert verify(signed({"kid": "k1", "alg": "EdDSA"})) == claims()


def test_a_token_without_a_signature_or_signed_with_the_public_key_is_refused() -> None:
    import hashlib
    import hmac

    for algorithm, header in (("none", {"alg": "none", "kid": "k1"}), ("HS256", {"alg": "HS256", "kid": "k1"})):
        over = f"{part(header)}.{BODY}"
        mac = hmac.new(PUBLIC, over.encode(), hashlib.sha256).digest() if algorithm == "HS256" else b""
        for token in (f"{over}.{part_of(mac)}", f"{HEADER}.{BODY}.{part_of(mac)}", f"{HEADER}.{BODY}."):
            with pytest.raises(TokenError):
                verify(token)


@pytest.mark.parametrize(
    "token",
    [None, 7, b"", TOKEN.encode(), "", ".", "..", "...", "a.b.c", TOKEN + ".", f"{HEADER}.{BODY}", "é" + TOKEN,
     TOKEN + "\n", f"{HEADER}=.{BODY}.{SIGNATURE}", TOKEN + "A" * MAX_TOKEN, "." * MAX_TOKEN],
    ids=lambda token: repr(token)[:20],
)  # fmt: skip
def test_what_is_no_token_is_refused(token: Any) -> None:
    with pytest.raises(TokenError):
        verify(token)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff\xfe", b"[" * 9000, b'{"aud": ["crm.read"]}'], ids=lambda b: repr(b[:9])
)
def test_signed_claims_that_cannot_be_read_are_refused(body: bytes) -> None:
    with pytest.raises(TokenError):
        verify(signed({"alg": "EdDSA", "kid": "k1"}, body))


OTHER = FORM.new_key()[1]
ONE: dict[str, Any] = dict(JWKS["keys"][0])  # type: ignore[index]


@pytest.mark.parametrize(
    "jwks",
    [
        {},
        {"keys": None},
        {"keys": {}},
        {"keys": [None, 1, "k1"]},
        {"keys": []},
        {"keys": [{**ONE, "kid": "k2"}]},
        {"keys": [ONE, ONE]},
        {"keys": [{**ONE, "x": part_of(OTHER)}]},
        {"keys": [{**ONE, "x": ""}]},
        {"keys": [{**ONE, "x": None}]},
        {"keys": [{**ONE, "x": ONE["x"][:-4]}]},
        {"keys": [{**ONE, "crv": "Ed448"}]},
        {"keys": [{**ONE, "crv": "X25519"}]},
        {"keys": [{**ONE, "use": "enc"}]},
        {"keys": [{"kty": "oct", "kid": "k1", "k": ONE["x"]}]},
        [ONE],
        "",
        b"not json",
        "[]",
        None,
    ],
    ids=lambda jwks: repr(jwks)[:50],
)
def test_a_key_set_without_the_one_key_is_refused(jwks: Any) -> None:
    with pytest.raises(TokenError):
        verify(jwks=jwks)


def test_the_machines_clock_is_asked_where_no_time_is_given() -> None:
    with pytest.raises(TokenError, match=r"future|expired"):
        verify(now=None)


@pytest.mark.parametrize(
    "changed",
    [{"audience": "crm"}, {"issuer": "x"}, {"now": AT + 330}, {"now": AT - 31}, {"now": AT + 1 + 300, "leeway": 0}],
)
def test_audience_issuer_and_time_are_compared(changed: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        verify(**changed)


# -- bound to its call

FULL = Call(
    "agent-7",
    "crm.read",
    {"id": 7, "amount": Decimal("1.50"), "on": date(2026, 1, 2), "ref": UUID(int=7)},
    {"environment": "prod", "tenant": "acme", "user_role": "clerk"},
    identity=Identity("ada", ("b", "a")),
    purpose_id="look_up",
    data_source_id="crm",
)
SAME = Call(
    "agent-7",
    "crm.read",
    {"ref": str(UUID(int=7)), "on": "2026-01-02", "amount": 1.5, "id": 7.0},
    {"user_role": "clerk", "tenant": "acme", "environment": "prod", "cwd": "/"},
    task_context="another label",
    identity=Identity("ada", ("a", "b")),
    purpose_id="look_up",
    data_source_id="crm",
)


def test_an_equal_call_written_differently_is_the_same_call() -> None:
    assert verify(SIGN(claims(FULL)), call=SAME).capability == "crm.read"


@pytest.mark.parametrize(
    "changed",
    [
        {"agent_id": "agent-8"},
        {"capability": "crm.write"},
        {"payload": {"id": 8}},
        {"payload": None},
        {"policy_context": {"environment": "test"}},
        {"identity": Identity("eve")},
        {"identity": None},
        {"purpose_id": "export"},
        {"data_source_id": "other"},
    ],
    ids=lambda changed: next(iter(changed)) + repr(next(iter(changed.values())))[:12],
)
def test_a_token_counts_for_no_other_call(changed: dict[str, Any]) -> None:
    fields = {name: getattr(FULL, name) for name in FULL.__struct_fields__} | changed
    with pytest.raises(TokenError, match="another call"):
        verify(SIGN(claims(FULL)), call=Call(**fields))


class Thing:
    """An object that no digest tells from another."""


class Wild(dict[str, object]):
    """A mapping that fails whoever reads it."""

    def items(self) -> Any:
        raise RuntimeError("wild")


@pytest.mark.parametrize(
    "call",
    [
        Call("agent-7", "crm.read", {"thing": Thing()}),
        Call("agent-7", "crm.read", {"deep": [{"thing": Thing()}]}),
        Call("agent-7", "crm.read", {1: "a key that is no text"}),
        Call("agent-7", "crm.read", {}, {"tenant": [Thing()]}),
        Call("agent-7", "crm.read", Thing()),
        Call("agent-7", "crm.read", Wild(a=datetime.now(UTC))),
        Call("agent-7", "crm.read", {}, identity=7),  # type: ignore[arg-type]
    ],
    ids=["object", "deep", "key", "context", "payload", "wild", "identity"],
)
def test_a_call_that_stands_for_others_binds_no_token(call: Call) -> None:
    with pytest.raises(TokenError, match="no token can be bound"):
        verify(call=call)


def test_a_key_that_signs_never_writes_a_longer_token_than_is_read() -> None:
    import msgspec

    long = msgspec.structs.replace(claims(), issuer="i" * MAX_TOKEN)
    with pytest.raises(TokenError, match="longer than"):
        SIGN(long)
