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
from math import isfinite
from typing import Any

import orjson
import re2

from onpurpose.core.facts import Facts
from onpurpose.core.values import plain

MASK = "[masked]"

SECRET_KEYS = (
    "password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "accesskey", "privatekey", "signingkey",
    "authorization", "cookie", "credential", "cardnumber", "cvv", "cvc", "otp", "mfacode", "ssn",
)  # fmt: skip
"""Keys whose values are masked: those that, in lower case and without punctuation, hold one of these.

One of up to three characters counts at the start or end of a word alone (`class_name` holds no `ssn`).
"""

_SHORT = 3
_COUNTS = re.compile(r"tokens$|^tokencount|tokenlimit$")
_HUMP = re.compile(r"([a-z0-9])([A-Z])")
_WORD = re.compile(r"[^\W_]+")
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
# ISO/IEC 7812: 13 to 19 digits; payment networks begin with 2 to 6. A fraction's digits are none.
_CARD = re.compile(r"(?<![0-9])(?<![0-9]\.)[2-6](?:[ -]?[0-9]){12,18}(?![0-9])")
_CARD_HINT = r"[2-6](?:[ -]?[0-9]){12}"
_CARD_DIGITS = 13
_LEAST_CARD, _MOST_CARD = 10**12, 10**19
_SHORTEST = 8
"""Characters of the shortest text that can hold a secret: `pwd=1234`."""

_TEXTS = {str}
_MOST_KNOWN = 10_000
"""Keys and contexts that are remembered, so that they are looked at once."""

_GROUP = re.compile(r"[0-9]+")
_MOST_GROUPS = 6
_DOUBLED = str.maketrans("0123456789", "0246813579")  # the sum of the digits of the double
_PASSES = 4


@dataclass(frozen=True, slots=True)
class Pattern:
    """What a kind of secret looks like in a text (RE2 syntax)."""

    kind: str
    expression: str


class Masking:
    """Masks payloads. Configure with other key fragments, and further patterns.

    `keys` replace `SECRET_KEYS`; `patterns` are added to ours. Raises `ValueError` for an
    expression that RE2 does not take, or that finds its secret in an empty text.
    """

    def __init__(self, keys: Iterable[str] = SECRET_KEYS, patterns: Iterable[Pattern] = ()) -> None:
        bare = [_bare(key) for key in keys]
        if not all(bare):
            raise ValueError("a masked key needs a letter or digit")
        self._long = tuple(key for key in bare if len(key) > _SHORT)
        self._short = tuple(key for key in bare if len(key) <= _SHORT)
        own = tuple(patterns)
        self._apart = bool(own)  # theirs may be anchored: each text is looked at by itself
        kinds = [*(Pattern(kind, text) for kind, text in _PATTERNS.items()), *own]
        try:
            self._kinds = [(pattern.kind, re2.compile(pattern.expression)) for pattern in kinds]
            hints = re2.Set.SearchSet()
            for expression in [pattern.expression for pattern in kinds] + [_CARD_HINT]:
                hints.Add(expression)
            hints.Compile()
        except re2.error as error:
            raise ValueError(f"a masking pattern is no RE2 expression: {error}") from None
        if any(expression.search("") for _, expression in self._kinds):
            raise ValueError("a masking pattern matches an empty text")
        self._kinds_in: Callable[[str], object] = hints.Match
        self._secret: dict[str, bool] = {}
        self._clean: dict[tuple[tuple[str, object], ...], orjson.Fragment] = {}

    def payload(self, payload: object, facts: Facts) -> object:
        """The payload as JSON can hold it, secrets masked; itself, where there is nothing to mask."""
        if not facts.direct or facts.long or self._hint(facts.joined) or self._any_secret(facts.keys):
            return self.value(payload)
        if self._apart and any(map(self._hint, facts.texts)):
            return self.value(payload)
        return payload

    def _hint(self, text: str) -> object:
        """Something if the text may hold a secret: one pass for all kinds, and none for most texts."""
        if not self._apart and (len(text) < _SHORTEST or (text.isascii() and not _may_hide(text.lower()))):
            return None
        return self._kinds_in(text)

    def context(self, context: Mapping[str, object] | None) -> object:
        """The policy context as `orjson` can write it, secrets masked."""
        if not context:
            return context
        entries = tuple(context.items())
        try:
            # An application says the same of itself on every call; but an enum may equal its text.
            written = self._clean.get(entries)
            if written is not None and _TEXTS.issuperset(map(type, context)):
                return written
        except TypeError:  # a list or mapping in it, which cannot be looked up
            return self.value(context)
        if all(type(key) is str and (value is None or type(value) is str) for key, value in entries):
            text = " ".join([str(value) for _, value in entries])
            if not self._hint(text) and not self._any_secret(context):
                written = orjson.Fragment(orjson.dumps(dict(entries)))
                if len(self._clean) < _MOST_KNOWN:
                    self._clean[entries] = written
                return written
        return self.value(context)

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
            return dict(self._entry(_valid(str(plain(key))), item) for key, item in value.items())
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        if isinstance(value, bytes):
            return f"[{len(value)} bytes]"
        if isinstance(value, int | float | Decimal) and _is_card_number(value):
            return "[masked: card number]"
        shown = _json_number(value)
        return self.text(shown) if isinstance(shown, str) else shown

    def _entry(self, key: str, item: object) -> tuple[str, object]:
        return self.text(key), MASK if self.is_secret(key) and _hides(key, item) else self.value(item)

    def text(self, text: str) -> str:
        """The text with every secret in it replaced by `[masked: kind]`."""
        for _ in range(_PASSES):  # a mask may bare a secret that had no beginning of its own before
            if not self._hint(text):
                break
            masked = self._masked(text)
            if masked == text:
                break
            text = masked
        return text

    def _masked(self, text: str) -> str:
        for kind, expression in self._kinds:
            mask = f"[masked: {kind}]"
            text = expression.sub(lambda _, mask=mask: mask, text)
        return _CARD.sub(_masked_card, text)

    def is_secret(self, key: str) -> bool:
        """Whether values under the key are masked."""
        known = self._secret.get(key)
        if known is None:
            known = self._looks_secret(key)
            if len(self._secret) < _MOST_KNOWN:  # keys come from a model
                self._secret[key] = known
        return known

    def _looks_secret(self, key: str) -> bool:
        bare = _bare(key).replace("passwordless", "")
        if any(part in bare for part in self._long):
            return True
        words = _WORD.findall(_HUMP.sub(r"\1 \2", key).casefold())
        return any(w.startswith(self._short) or w.endswith(self._short) for w in words) or self.text(key) != key


def _may_hide(text: str) -> bool:
    """Whether an ASCII text in lower case has in it what a secret of our kinds cannot be without.

    RE2 lets go of the interpreter, and to get it back takes far longer than the search: a thread that
    writes the log has it by then. Look-ups keep it, and they suffice for most texts.
    """
    if "key" in text or "pass" in text or "pwd" in text or "secret" in text or "token" in text:
        return True
    if "://" in text and "@" in text:
        return True
    return len(text) >= _CARD_DIGITS and (  # the shortest of the others is a card number
        "bearer" in text
        or "basic" in text
        or "eyj" in text
        or "akia" in text
        or "asia" in text
        or "aiza" in text
        or "k-" in text
        or "k_" in text
        or ("_" in text and ("gh" in text or "pat_" in text or "npm_" in text or "hf_" in text))
        or "glpat-" in text
        or "xox" in text
        or "pypi-" in text
        or "sg." in text
        or len(text) - len(text.encode().translate(None, b"0123456789")) >= _CARD_DIGITS
    )


def _bare(key: str) -> str:
    return "".join(char for char in key.casefold() if char.isalnum())


def _hides(key: str, value: object) -> bool:
    """Whether there is anything to hide: not for nothing, a yes or a no, a count of tokens."""
    if isinstance(value, int | float | Decimal) and _COUNTS.search(_bare(key)):
        return False
    return not (value is None or isinstance(value, bool) or (isinstance(value, str) and not value))


def _valid(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _json_number(value: Any) -> object:
    """The scalar if JSON holds it exactly, else its text; what is no scalar, by its type."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else f"[integer of {value.bit_length()} bits]"
    if isinstance(value, float):
        return float(value) if isfinite(value) else str(float(value))
    return str(value) if isinstance(value, Decimal) else "[unreadable]"


def _is_card_number(value: int | float | Decimal) -> bool:
    """Whether the number's digits are those of a card, were they a text."""
    if isinstance(value, Decimal) and not value.is_finite():
        return False
    size: Any = abs(value)
    return _LEAST_CARD <= size < _MOST_CARD and size == int(size) and _is_card(str(int(size)))


def _masked_card(match: re.Match[str]) -> str:
    """The digits with the card number among them masked: all of them, or some of their groups."""
    text = match[0]
    groups = list(_GROUP.finditer(text))
    firsts, lasts = (groups, groups[::-1]) if len(groups) <= _MOST_GROUPS else (groups[:1], groups[-1:])
    for first in firsts:
        for last in lasts:
            if _is_card(text[first.start() : last.end()]):
                return f"{text[: first.start()]}[masked: card number]{text[last.end() :]}"
    return text


def _is_card(text: str) -> bool:
    digits = text.replace(" ", "").replace("-", "")
    if not 13 <= len(digits) <= 19 or digits[0] not in "23456":
        return False
    summed = digits[-1::-2] + digits[-2::-2].translate(_DOUBLED)
    return sum(map(int, summed)) % 10 == 0  # ISO/IEC 7812-1, annex B
