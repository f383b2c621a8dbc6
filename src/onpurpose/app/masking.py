"""Secrets out of records: keys and values that look like passwords, tokens or card numbers.

The digest of a call is over its true payload; what is stored and shown is the masked one. Masking
goes by looks and will miss a secret that looks like nothing: keep what must never be stored out of
payloads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import re2

from onpurpose.core.facts import Facts
from onpurpose.core.values import plain

MASK = "[masked]"

SECRET_KEYS = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "accesskey", "privatekey", "signingkey",
    "authorization", "cookie", "credential", "cardnumber", "cvv", "cvc", "otp", "mfacode", "ssn",
)  # fmt: skip
"""Keys whose values are masked: those that, in lower case and without punctuation, hold one of these."""

_HARMLESS = re.compile(r"tokens$|^tokencount|tokenlimit$|passwordless")
_WORDS = "password|passwd|passphrase|pwd|secret|api[_-]?key|access[_-]?key|token"
_PATTERNS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
    "jwt": r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    "token": (
        r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}"
        r"|\bglpat-[A-Za-z0-9_-]{16,}|\bxox[abeoprs]-[A-Za-z0-9-]{8,}|\bAIza[A-Za-z0-9_-]{30,}"
        r"|\b(?:sk|rk|pk)[-_](?:[a-z]+[-_])*[A-Za-z0-9_-]{16,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{16,}"
        r"|\bhf_[A-Za-z0-9]{20,}|\bSG\.[A-Za-z0-9_-]{16,}"
    ),
    "authorization": r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9+/._~=-]{8,}",
    "password": (
        rf"(?i)(?:--[a-z0-9_-]*(?:{_WORDS})(?:\s+|=)|\b[a-z0-9_-]*(?:{_WORDS})[\"']?\s*[=:]\s*)"
        r"[\"']?[^\s\"',;&]{4,}"
    ),
    "url password": r"(?i)\b[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/@]+@",
}
_CARD = re.compile(r"(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])")
_CARD_HINT = r"[0-9](?:[ -]?[0-9]){12}"


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a kind of secret looks like in a text (RE2 syntax)."""

    kind: str
    expression: str


class Masking:
    """Masks payloads. Configure with further key fragments and patterns, or none of ours at all.

    `keys` replace `SECRET_KEYS`; `patterns` are added to ours. Raises `ValueError` for an
    expression that RE2 does not take.
    """

    def __init__(self, keys: Iterable[str] = SECRET_KEYS, patterns: Iterable[Pattern] = ()) -> None:
        self._keys = tuple(_bare(key) for key in keys)
        if not all(self._keys):
            raise ValueError("a masked key needs a letter or digit")
        kinds = [Pattern(kind, text) for kind, text in _PATTERNS.items()]
        kinds.extend(patterns)
        try:
            self._kinds = [(pattern.kind, re2.compile(pattern.expression)) for pattern in kinds]
            hints = re2.Set.SearchSet()
            for expression in [pattern.expression for pattern in kinds] + [_CARD_HINT]:
                hints.Add(expression)
            hints.Compile()
        except re2.error as error:
            raise ValueError(f"a masking pattern is no RE2 expression: {error}") from None
        # One pass for all kinds: most texts hold no secret, and this is asked of every one of them.
        self._hint: Callable[[str], object] = hints.Match
        self._secret: dict[str, bool] = {}

    def payload(self, payload: object, facts: Facts) -> object:
        """The payload as JSON can hold it, secrets masked; itself, where there is nothing to mask."""
        if facts.direct and not self._hint(facts.joined) and not self._any_secret(facts.keys):
            return payload
        return self.value(payload)

    def context(self, context: Mapping[str, object] | None) -> object:
        """The policy context as JSON can hold it, what stands under secret keys masked."""
        if not context:
            return context
        for key, value in context.items():
            if type(key) is not str or (type(value) is not str and value is not None):
                return self.value(context)
        return self.value(context) if self._any_secret(context) else context

    def _any_secret(self, keys: Iterable[str]) -> bool:
        known = self._secret
        for key in keys:  # noqa: SIM110  a generator costs twice as much, on every call
            if known.get(key, True) and self.is_secret(key):
                return True
        return False

    def value(self, value: object) -> object:
        """The value as JSON can hold it, secrets masked. The value's depth is bounded by the caller."""
        value = plain(value)
        if isinstance(value, str):
            return self.text(_valid(value))
        if isinstance(value, Mapping):
            return {
                (name := _valid(str(plain(key)))): MASK if self.is_secret(name) and _hides(item) else self.value(item)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, bytes):
            return f"[{len(value)} bytes]"
        return _json_number(value)

    def text(self, text: str) -> str:
        """The text with every secret in it replaced by `[masked: kind]`."""
        if not self._hint(text):
            return text
        for kind, expression in self._kinds:
            text = expression.sub(f"[masked: {kind}]", text)
        return _CARD.sub(_masked_card, text)

    def is_secret(self, key: str) -> bool:
        """Whether values under the key are masked."""
        known = self._secret.get(key)
        if known is None:
            bare = _bare(key)
            known = any(part in bare for part in self._keys) and not _HARMLESS.search(bare)
            if len(self._secret) < 10_000:  # keys come from a model: remember only so many
                self._secret[key] = known
        return known


def _bare(key: str) -> str:
    return "".join(char for char in key.casefold() if char.isalnum())


def _hides(value: object) -> bool:
    """Whether there is anything to hide: not for nothing, a yes or a no."""
    return value is not None and value != "" and not isinstance(value, bool)


def _valid(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _json_number(value: Any) -> object:
    """The scalar if JSON holds it exactly, else its text; what is no scalar, by its type."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else f"[integer of {value.bit_length()} bits]"
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    return str(value) if isinstance(value, Decimal) else "[unreadable]"


def _masked_card(match: re.Match[str]) -> str:
    digits = [int(char) for char in match[0] if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    luhn = (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0  # ISO/IEC 7812-1, annex B
    return "[masked: card number]" if luhn else match[0]
