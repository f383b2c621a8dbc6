"""Signatures: what the service signed is verified, everything else is refused."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.adapters.webhook.signing import (
    MAX_BODY,
    SKEW_SECONDS,
    WebhookError,
    signature,
    verify_webhook,
    webhook_secret,
)

INSTALL = "0123456789abcdef0123456789abcdef"
SECRET = webhook_secret(INSTALL, "acme")
BODY = b'{"type":"approval.granted"}'
NOW = 1_795_000_000


def signed(body: bytes = BODY, secret: str = SECRET, at: int = NOW, message_id: str = "m1") -> dict[str, str]:
    return {
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(at),
        "Webhook-Signature": signature(secret, message_id, at, body),
    }


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks specification's own libraries."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    made = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), min_size=1, max_size=40), st.integers(0, 300))
def test_what_was_signed_is_verified_within_five_minutes(message_id: str, apart: int) -> None:
    headers = signed(message_id=message_id)
    for now in (NOW - apart, NOW + apart):
        assert verify_webhook(headers, BODY, SECRET, now=now) == {"type": "approval.granted"}


def test_headers_are_found_in_any_letter_case_and_the_body_may_be_text() -> None:
    lower = {name.lower(): value for name, value in signed().items()}
    assert verify_webhook(lower, BODY.decode(), SECRET, now=NOW)


@pytest.mark.parametrize("now", [NOW - SKEW_SECONDS - 1, NOW + SKEW_SECONDS + 1, 0.0, None])
def test_a_message_from_another_time_is_refused(now: float | None) -> None:
    with pytest.raises(WebhookError, match="too long ago"):
        verify_webhook(signed(at=NOW if now is not None else 1), BODY, SECRET, now=now)


@pytest.mark.parametrize(
    "changed",
    [
        {"Webhook-Id": "m2"},
        {"Webhook-Timestamp": str(NOW + 1)},
        {"Webhook-Signature": ""},
        {"Webhook-Signature": "v1,"},
        {"Webhook-Signature": signature(SECRET, "m1", NOW, BODY).removeprefix("v1,")},
        {"Webhook-Signature": signature(SECRET, "m1", NOW, BODY).replace("v1,", "v2,")},
        {"Webhook-Signature": signature(SECRET, "m1", NOW, BODY + b" ")},
        {"Webhook-Signature": signature(webhook_secret(INSTALL, "other"), "m1", NOW, BODY)},
        {"Webhook-Signature": signature(webhook_secret(INSTALL[::-1], "acme"), "m1", NOW, BODY)},
        {"Webhook-Signature": "\ud800 é v1,\x00"},
        {"Webhook-Signature": f"{'v1,AAAA ' * 1000}{signature(SECRET, 'm1', NOW, BODY)}"},
    ],
)
def test_a_message_that_does_not_agree_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(WebhookError, match="signature"):
        verify_webhook(signed() | changed, BODY, SECRET, now=NOW)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_body_with_any_byte_changed_is_refused(place: int, by: int) -> None:
    changed = BODY[:place] + bytes([BODY[place] ^ by]) + BODY[place + 1 :]
    with pytest.raises(WebhookError):
        verify_webhook(signed(), changed, SECRET, now=NOW)


def test_one_signature_of_several_is_enough() -> None:
    headers = signed() | {"Webhook-Signature": f"v1a,xyz v1,AAAA {signature(SECRET, 'm1', NOW, BODY)}"}
    assert verify_webhook(headers, BODY, SECRET, now=NOW)


def test_a_receiver_may_have_several_secrets_while_one_is_changed() -> None:
    other = webhook_secret(INSTALL[::-1], "acme")
    assert verify_webhook(signed(), BODY, [other, SECRET], now=NOW)
    with pytest.raises(WebhookError):
        verify_webhook(signed(), BODY, [other], now=NOW)
    with pytest.raises(WebhookError):
        verify_webhook(signed(), BODY, [], now=NOW)


@pytest.mark.parametrize("name", ["Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"])
def test_every_header_is_needed(name: str) -> None:
    headers = {key: value for key, value in signed().items() if key != name}
    with pytest.raises(WebhookError):
        verify_webhook(headers, BODY, SECRET, now=NOW)


@pytest.mark.parametrize("time", ["", "-1", "1.5", "\N{ARABIC-INDIC DIGIT ONE}", "nan", "1e9", "9" * 16, " 1"])
def test_a_time_that_is_none_is_refused(time: str) -> None:
    with pytest.raises(WebhookError, match="timestamp"):
        verify_webhook(signed() | {"Webhook-Timestamp": time}, BODY, SECRET, now=NOW)


@pytest.mark.parametrize("body", [b"[]", b"", b"\xff", b"nonsense", b" " * (MAX_BODY + 1)], ids=len)
def test_a_signed_body_that_is_no_object_of_ours_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookError, match="body"):
        verify_webhook(signed(body), body, SECRET, now=NOW)


def test_an_id_that_is_much_too_long_is_refused() -> None:
    with pytest.raises(WebhookError, match="webhook-id"):
        verify_webhook(signed(message_id="x" * 5000), BODY, SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_***", "é"])
def test_a_secret_that_is_none_is_told_of(secret: str) -> None:
    with pytest.raises(ValueError, match="the secret of a webhook"):
        verify_webhook(signed(), BODY, secret, now=NOW)


def test_every_workspace_has_a_secret_of_its_own() -> None:
    secrets = {webhook_secret(INSTALL, name) for name in ("acme", "other", "")}
    assert len(secrets) == 3
    assert all(len(base64.b64decode(one.removeprefix("whsec_"))) == 32 for one in secrets)
    assert webhook_secret(INSTALL, "acme") == SECRET
