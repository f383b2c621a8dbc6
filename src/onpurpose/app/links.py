"""Signed links: with one of them one person may decide one approval, once, while it waits.

A link is `{public URL}/approve/{token}`, the token `base64url(JSON).base64url(HMAC-SHA256)`, under a key
that is derived from the install's secret. Who is sent a link is no proof of anything by itself: that the
person may still decide is asked when they do, of `onpurpose.core.eligibility`.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from enum import StrEnum
from urllib.parse import quote, urlsplit

import msgspec

from onpurpose.core.approval import Approval

MAX_TOKEN = 4096
"""How long a token may be, in characters; a longer one is not looked at."""

_LABEL = b"onpurpose.approval.link.1"
_SECOND = 1_000_000


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What a signed link says: for whom and for which approval it is, and until when.

    `id` is what is spent when somebody acts by it (`Act.link`). `expires_at` is in microseconds UTC.
    """

    workspace: str = msgspec.field(name="w")
    approval_id: str = msgspec.field(name="a")
    user: str = msgspec.field(name="u")
    id: str = msgspec.field(name="n")
    expires_at: int = msgspec.field(name="x")


class Fault(StrEnum):
    """Why a link is refused, in one stable word."""

    FORGED = "forged"
    EXPIRED = "expired"
    OTHER_APPROVAL = "other_approval"
    OTHER_PERSON = "other_person"
    SPENT = "spent"


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A link that does not count: why, and in words for whoever followed it.

    `link` is what it said, where it was ours.
    """

    fault: Fault
    text: str
    link: Link | None = None


class Links:
    """Writes and reads signed links. `secret` is the install's; `public_url` is where people reach the service.

    Raises `ValueError` for a public URL that is none.
    """

    def __init__(self, secret: str, public_url: str) -> None:
        # The secret is chance, not a password: one HMAC is derivation enough (HKDF's expansion).
        self._key = hmac.digest(secret.encode("utf-8", "surrogatepass"), _LABEL, "sha256")
        self._root = _root(public_url)

    def __repr__(self) -> str:
        return f"Links({self._root!r})"

    def url(self, approval: Approval, user: str, link_id: str) -> str:
        """The link of one person to one approval, good until that expires; the same for the same four."""
        link = Link(
            workspace=approval.workspace, approval_id=approval.id, user=user, id=link_id, expires_at=approval.until
        )
        body = _text(msgspec.json.encode(link))
        return f"{self._root}/approve/{body}.{self._seal(body)}"

    def page(self, approval: Approval) -> str:
        """Where one signs in to see the approval and to decide it."""
        return f"{self._root}/approvals/{quote(approval.id, safe='')}"

    def read(self, token: str, now: int) -> Link | Refusal:
        """What the token of a link says, or why it does not count at that time (microseconds UTC). Never raises."""
        if len(token) > MAX_TOKEN or not token.isascii():
            return _FORGED
        body, _, seal = token.partition(".")
        if not hmac.compare_digest(self._seal(body).encode(), seal.encode()):
            return _FORGED
        link = msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Link)
        if now >= link.expires_at:
            return Refusal(fault=Fault.EXPIRED, text="this link has expired", link=link)
        return link

    def _seal(self, body: str) -> str:
        return _text(hmac.digest(self._key, body.encode(), hashlib.sha256))


def check(link: Link, approval: Approval, signed_in_as: str | None = None) -> Refusal | None:
    """Why a link does not count for the approval, or for whoever is signed in; `None` where it does."""
    if (link.workspace, link.approval_id) != (approval.workspace, approval.id):
        return Refusal(fault=Fault.OTHER_APPROVAL, text="this link is for another request", link=link)
    if signed_in_as is not None and signed_in_as != link.user:
        return Refusal(fault=Fault.OTHER_PERSON, text="this link is for somebody else", link=link)
    if any(act.link == link.id for act in approval.acts):
        return Refusal(fault=Fault.SPENT, text="this link was used already", link=link)
    return None


_FORGED = Refusal(fault=Fault.FORGED, text="this is no link of ours")


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _root(public_url: str) -> str:
    parts = urlsplit(public_url)
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain or not public_url.isprintable():
        raise ValueError(f"the public URL is one such as `https://gate.example`, not {public_url!r}")
    return public_url.rstrip("/")
