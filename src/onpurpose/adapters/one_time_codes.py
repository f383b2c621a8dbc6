"""Codes of a second factor by pyotp: six digits that change every 30 seconds (TOTP, RFC 6238)."""

from __future__ import annotations

import hmac

import pyotp

STEP_SECONDS = 30
WINDOW = 1
"""How many steps before and behind the time's own count: clocks differ, and people are slow."""

_DIGITS = 6
_SECOND = 1_000_000


class TotpCodes:
    """`OneTimeCodes` as authenticator apps make them: SHA-1, six digits, 30 seconds."""

    def new_secret(self) -> str:
        """A secret of its own (160 bits), in base 32."""
        return pyotp.random_base32()

    def uri(self, secret: str, account: str, issuer: str) -> str:
        """The secret as an `otpauth:` URI, which authenticator apps read."""
        return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)

    def step(self, secret: str, code: str, at: int, after: int) -> int | None:
        """The time step whose code it is: that of the time (microseconds UTC) or one beside it, and later than `after`.

        `None` where it is of none of them.
        """
        if len(code) != _DIGITS or not (code.isascii() and code.isdigit()):
            return None
        now = at // _SECOND // STEP_SECONDS
        totp, found = pyotp.TOTP(secret), None
        for step in range(now - WINDOW, now + WINDOW + 1):  # all of them, so that the time tells nothing
            if hmac.compare_digest(totp.generate_otp(step), code) and step > after:
                found = step
        return found
