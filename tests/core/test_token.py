"""What a token says, and when it counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.call import Call
from onpurpose.core.outcome import Outcome
from onpurpose.core.token import (
    LONGEST_SECONDS,
    Claims,
    TokenError,
    TokenPurpose,
    check_claims,
    claims_for,
    is_revoked,
    lifetime,
    read_claims,
    write_claims,
)
from tests.app.keys import CALL, NOW, PURPOSE, SECOND, result

AT = NOW // SECOND


def claims(**changed: Any) -> Claims:
    made = claims_for(result(), issuer="https://gate.example", workspace="acme", at=NOW)
    assert made is not None
    return msgspec.structs.replace(made, **changed)


def check(one: Claims, audience: str = "crm.read", now: float = AT, **other: Any) -> None:
    check_claims(one, audience=audience, now=now, **other)


def test_the_claims_are_those_of_the_contract() -> None:
    written = orjson.loads(write_claims(claims()))
    assert written == {
        "iss": "https://gate.example",
        "aud": ["crm.read"],
        "sub": "agent-7",
        "iat": AT,
        "exp": AT + 300,
        "jti": "d" * 32,
        "purp": {"id": "look_up", "name": "Look up", "elements": ["crm.name"]},
        "cap": "crm.read",
        "call": result().digest,
        "wid": "acme",
    }


def test_a_data_source_is_an_audience_beside_the_capability() -> None:
    call = Call("a", "crm.read", {}, data_source_id="salesforce_prod")
    made = claims_for(result(call), issuer="i", workspace="w", at=NOW)
    assert made is not None
    assert made.audience == ("crm.read", "salesforce_prod")


@pytest.mark.parametrize(
    "denied",
    [
        result(outcome=Outcome.DENY),
        result(outcome=Outcome.REQUIRE_APPROVAL),
        result(purpose=None),
        result(ttl_seconds=0),
        result(ttl_seconds=-5),
        result(digest=None),
        result(purpose=msgspec.structs.replace(PURPOSE, ttl_seconds=0)),
    ],
    ids=["denied", "asked", "no purpose", "no live policy", "negative", "no digest", "a purpose without tokens"],
)
def test_no_token_is_given_where_one_thing_is_missing(denied: Any) -> None:
    assert lifetime(denied) == 0
    assert claims_for(denied, issuer="i", workspace="w", at=NOW) is None


@given(st.integers(-10, 10**9), st.integers(-10, 10**9), st.sampled_from(Outcome))
def test_no_token_outlives_its_purpose_or_its_policy(ttl: int, purpose_ttl: int, outcome: Outcome) -> None:
    given_result = result(
        CALL, outcome, ttl_seconds=ttl, purpose=msgspec.structs.replace(PURPOSE, ttl_seconds=purpose_ttl)
    )
    seconds = lifetime(given_result)
    assert 0 <= seconds <= max(0, min(ttl, purpose_ttl, LONGEST_SECONDS))
    assert (seconds > 0) == (outcome.permits and ttl > 0 and purpose_ttl > 0)


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(
    st.builds(
        Claims,
        issuer=texts,
        audience=st.lists(texts, max_size=3).map(tuple),
        agent_id=texts,
        issued_at=st.integers(0, 2**53),
        expires_at=st.integers(0, 2**53),
        id=texts,
        purpose=st.builds(TokenPurpose, id=texts, name=texts, elements=st.none() | st.lists(texts).map(tuple)),
        capability=texts,
        call=texts,
        workspace=texts,
    )
)
def test_what_is_written_is_read_back(one: Claims) -> None:
    assert read_claims(write_claims(one)) == one


@pytest.mark.parametrize("missing", [*orjson.loads(write_claims(claims()))])
def test_a_claim_that_is_missing_or_of_another_type_is_refused(missing: str) -> None:
    written = orjson.loads(write_claims(claims()))
    for broken in (
        {k: v for k, v in written.items() if k != missing},
        {**written, missing: None},
        {**written, missing: True},
    ):
        with pytest.raises(TokenError, match="cannot be read"):
            read_claims(orjson.dumps(broken))


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"[" * 9000], ids=repr)
def test_what_is_no_object_of_claims_is_refused(body: bytes) -> None:
    with pytest.raises(TokenError):
        read_claims(body)


NAN = float("nan")


@pytest.mark.parametrize(
    ("audience", "now", "why"),
    [
        ("crm", AT, "audience"),
        ("crm.read.x", AT, "audience"),
        ("", AT, "audience"),
        ("crm.read", AT - 31, "future"),
        ("crm.read", AT + 330, "expired"),
        ("crm.read", NAN, "future"),
        ("crm.read", float("inf"), "expired"),
    ],
)
def test_claims_count_for_their_audience_and_time_alone(audience: str, now: float, why: str) -> None:
    with pytest.raises(TokenError, match=why):
        check(claims(), audience, now)


@pytest.mark.parametrize("now", [AT - 30, AT, AT + 299, AT + 329.9])
def test_clocks_may_lie_half_a_minute_apart(now: float) -> None:
    check(claims(), now=now)


@pytest.mark.parametrize("lives", [0, -1, LONGEST_SECONDS + 1, 2**62])
def test_claims_that_live_too_long_or_not_at_all_do_not_count(lives: int) -> None:
    with pytest.raises(TokenError, match="lives longer"):
        check(claims(expires_at=AT + lives), now=AT)


def test_issuer_and_call_are_compared_where_they_are_given() -> None:
    check(claims(), issuer="https://gate.example", digest=result().digest)
    with pytest.raises(TokenError, match="another service"):
        check(claims(), issuer="https://gate.example/")
    with pytest.raises(TokenError, match="another call"):
        check(claims(), digest="0" * 64)


@pytest.mark.parametrize(
    ("kind", "value", "workspace", "at", "revoked"),
    [
        ("jti", "d" * 32, "acme", NOW, True),
        ("purpose", "look_up", "acme", NOW, True),
        ("agent", "agent-7", "acme", NOW + 1, True),
        ("agent", "agent-7", "acme", NOW - 1, True),
        ("agent", "agent-7", "acme", NOW - 30 * SECOND, True),
        ("agent", "agent-7", "acme", NOW - 30 * SECOND - 1, False),
        ("purpose", "look_up", "acme", NOW - 31 * SECOND, False),
        ("agent", "agent-7", "other", NOW, False),
        ("agent", "agent-8", "acme", NOW, False),
        ("jti", "agent-7", "acme", NOW, False),
    ],
)
def test_a_revocation_names_tokens_of_one_workspace_issued_up_to_its_time_by_any_clock_that_may_be(
    kind: str, value: str, workspace: str, at: int, revoked: bool
) -> None:
    assert is_revoked(claims(), {(kind, workspace, value): at}) is revoked


@dataclass
class Unlike:
    """Something that only looks like a result."""

    call: Call
    allowed: bool
    decision_id: str
    digest: str | None
    purpose: None
    ttl_seconds: int


def test_claims_are_made_of_whatever_has_the_parts_of_a_result() -> None:
    assert claims_for(Unlike(CALL, True, "d", "f", None, 300), issuer="i", workspace="w", at=NOW) is None
