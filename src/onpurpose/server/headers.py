"""Headers that every answer carries: nothing is guessed, framed, cached or loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

SECURITY: Headers = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
"""For whatever a route does not say itself."""

BARE: Headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store")]
"""For JSON that only programs read: the others speak to browsers."""


def secure(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers, and of `SECURITY` those that are not among them."""
    given = [(name.lower(), value) for name, value in headers]
    names = {name for name, _ in given}
    return given + [pair for pair in SECURITY if pair[0] not in names]
