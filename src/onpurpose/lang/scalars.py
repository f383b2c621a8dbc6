"""Plain scalars by the core schema of YAML 1.2; refused where YAML 1.1 would read something else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

Value: TypeAlias = str | int | Decimal | float | bool | None
"""What a scalar means. The only floats are infinity and not-a-number; `None` is null."""

MAX_DIGITS = 400
"""The longest number that is read, in characters; nobody means more, and comparing costs time."""


@dataclass(frozen=True, slots=True)
class Trap:
    """A plain scalar that cannot be read exactly: stable code, message and cure."""

    code: str
    message: str
    help: str


_WORDS: dict[str, Value] = {
    "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# `y` and `n` are not among them: YAML 1.1 lists them, but the parsers that people have never took them so.
_TRUTHS = {"yes": "true", "on": "true", "no": "false", "off": "false"}
_SUSPECT = frozenset("0123456789+-.~=<nNyYoOtTfF")
"""What a plain scalar begins with that is not surely a text."""

_NUMBER_LIKE = re.compile(r"[-+]?\.?[0-9]")
_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_DECIMAL = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*)\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]{1,3})?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_TWO_READINGS = re.compile(
    r"""[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?   # 010, 1_000, 1e3, 1.5e3
    |   [-+]?\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?               # .5e3
    |   [-+]?0[bB][01_]+ | [-+]?0[oO][0-7_]+ | [-+]?0[xX][0-9a-fA-F_]+
    |   [-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?      # 1:30, which is 90
    |   [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9]{1,2}:[0-9]{2}:[0-9]{2}.*)?
    """,
    re.VERBOSE,
)
_TOO_LONG = Trap("number-too-long", f"a number of more than {MAX_DIGITS} digits", "quote it if it is a text")


def resolve(text: str) -> Value | Trap:
    """What an unquoted scalar means, numbers exactly; a `Trap` where YAML 1.1 and 1.2 disagree."""
    if not text:
        return None
    if text[0] not in _SUSPECT:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER_LIKE.match(text):
        return _number(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    return _word(text)


def _number(text: str) -> Value | Trap:
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= MAX_DIGITS else _TOO_LONG
    if _DECIMAL.fullmatch(text):
        return Decimal(text) if len(text) <= MAX_DIGITS else _TOO_LONG
    if _HEXADECIMAL.fullmatch(text):
        return int(text, 16) if len(text) <= MAX_DIGITS else _TOO_LONG
    if _TWO_READINGS.fullmatch(text):
        cure = f'write `"{_short(text)}"` for the text, or a number in plain decimal digits'
        return Trap("ambiguous-scalar", f"`{_short(text)}` is read differently by YAML 1.1 and 1.2", cure)
    return text


def _word(text: str) -> Value | Trap:
    meant = _TRUTHS.get(text.lower()) if len(text) <= 3 else None
    if meant is not None:
        cure = f'write `"{text}"` for the text, `{meant}` for the truth value'
        return Trap("ambiguous-scalar", f"`{text}` is a truth value in YAML 1.1 and a text in YAML 1.2", cure)
    if text == "<<":
        return Trap("merge-key", "`<<` merges mappings, which is not allowed here", "write the keys out")
    if text == "=":
        return Trap("ambiguous-scalar", "`=` is read differently by YAML 1.1 and 1.2", 'write `"="`')
    return text


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40] + "..."
