"""Signatures of webhooks, as in the Standard Webhooks specification: made by the service, verified by receivers.

Source: https://www.standardwebhooks.com (symmetric signatures, `v1`). Needs the standard library and orjson.
"""

from __future__ import annotations

import binascii
import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256

import orjson

from onpurpose.core.errors import OnPurposeError

ID = "webhook-id"
TIMESTAMP = "webhook-timestamp"
SIGNATURE = "webhook-signature"

PREFIX = "whsec_"
"""How the text of a secret begins; what follows is its bytes in base64."""

SKEW_SECONDS = 300
"""How far the sender's clock and the receiver's may lie apart, and how long a message may be under way."""

MAX_BODY = 1 << 20
"""How long a body may be, in bytes."""

_MAX_HEADER = 4096
_LABEL = b"onpurpose.webhook.secret.1\0"


class WebhookError(OnPurposeError):
    """A request that is no webhook of ours, or an old one; the text says why, and repeats nothing of it."""


def webhook_secret(secret: str, workspace: str) -> str:
    """The secret (`whsec_...`) that a workspace's webhooks are signed with, derived from the install's."""
    key = hmac.digest(secret.encode("utf-8", "surrogatepass"), _LABEL + workspace.encode(), sha256)
    return PREFIX + b64encode(key).decode()


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,` and the HMAC-SHA256 over `id.timestamp.body` in base64. Raises `ValueError` for a secret that is none."""
    signed = b".".join((message_id.encode(), b"%d" % timestamp, body))
    return "v1," + b64encode(hmac.digest(_key(secret), signed, sha256)).decode()


def verify_webhook(
    headers: Mapping[str, str], body: bytes | str, secret: str | Sequence[str], *, now: float | None = None
) -> dict[str, object]:
    """What a webhook says (its JSON object), once it is proved that the service sent it. Else `WebhookError`.

    `headers` by name, in any letter case; `body` exactly as it came. `secret` is the workspace's (`whsec_...`),
    or several while it is changed. `now` is the time in seconds UTC, unless given the machine's. The header may
    hold several signatures: one that agrees is enough. A message that comes twice is verified twice: keep the
    `webhook-id` of those you have dealt with for `SKEW_SECONDS` at least, and pass by what you know.
    """
    named = {name.lower(): value for name, value in headers.items()}
    message_id, sent_at = named.get(ID, ""), _time(named.get(TIMESTAMP, ""))
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    if not message_id or len(message_id) > _MAX_HEADER:
        raise WebhookError(f"the header `{ID}` is missing")
    if len(raw) > MAX_BODY:
        raise WebhookError(f"the body is longer than {MAX_BODY:,} bytes")
    if abs((time.time() if now is None else now) - sent_at) > SKEW_SECONDS:
        raise WebhookError("it was sent too long ago, or one of the clocks is wrong")
    if not _is_signed(named.get(SIGNATURE, ""), [secret] if isinstance(secret, str) else secret,
                      message_id, sent_at, raw):  # fmt: skip
        raise WebhookError("the signature is not that of the secret")
    return _read(raw)


def _is_signed(header: str, secrets: Sequence[str], message_id: str, sent_at: int, body: bytes) -> bool:
    """Whether one of the signatures agrees. All are compared, each in a time that tells nothing of it."""
    given = [one.encode("utf-8", "surrogatepass") for one in header[:_MAX_HEADER].split(" ")]
    agrees = False
    for secret in secrets:
        expected = signature(secret, message_id.encode("utf-8", "replace").decode(), sent_at, body).encode()
        for one in given:
            agrees |= hmac.compare_digest(expected, one)
    return agrees


def _time(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise WebhookError(f"the header `{TIMESTAMP}` is missing, or no number of seconds")
    return int(text)


def _key(secret: str) -> bytes:
    try:
        key = b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError(f"the secret of a webhook is text such as `{PREFIX}...`")
    return key


def _read(body: bytes) -> dict[str, object]:
    try:
        read = orjson.loads(body)
    except orjson.JSONDecodeError:
        read = None
    if not isinstance(read, dict):
        raise WebhookError("the body is no JSON object")
    return read
