"""Reading numbers exactly, and nothing that only looks like one."""

from __future__ import annotations

import re
from decimal import Decimal
from math import isnan
from typing import TypeAlias

Real: TypeAlias = int | float | Decimal

_MAX_DIGITS = 1000
_MAX_BITS = 1 << 12
"""Numbers beyond these are no numbers that anybody means, and cost too much to compare: unreadable."""

_AMOUNT = re.compile(
    r"\s*([-+]?)[$€£¥]?([-+]?)((?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([-+]?[0-9]{1,6}))?\s*"
)
_INFINITY = re.compile(r"\s*[-+]?inf(?:inity)?\s*", re.IGNORECASE)


def as_number(value: object) -> Real | None:
    """The value where it is a number (no boolean, no NaN, no string), else `None`.

    An integer of more than 4096 bits is none either.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return int(value) if value.bit_length() <= _MAX_BITS else None
    if isinstance(value, float):
        return None if isnan(value) else float(value)
    if isinstance(value, Decimal):
        return None if value.is_nan() else value
    return None


def exact(number: Real) -> int | Decimal:
    """The number as people write it: a float by its shortest decimal form, not its binary expansion."""
    return Decimal(repr(number)) if isinstance(number, float) else number


def magnitude(value: object) -> int | Decimal | None:
    """The size of an amount, sign dropped; `None` for what cannot be read as one.

    Strings may carry white space around, a sign, one of `$ € £ ¥`, groups of three digits parted by
    commas, a fraction and an exponent: `60000`, `"60,000.00"`, `"$60,000"`, `"6e4"`.
    """
    if isinstance(value, str):
        return _from_text(value)
    number = as_number(value)
    if number is None:
        return None
    size = exact(number)
    return size if size >= 0 else -size


def _from_text(text: str) -> Decimal | None:
    if len(text) > _MAX_DIGITS:
        return None
    match = _AMOUNT.fullmatch(text)
    if match is None:
        return Decimal("Infinity") if _INFINITY.fullmatch(text) else None
    outer, inner, digits, exponent = match.groups()
    if outer and inner:
        return None
    return Decimal(f"{digits.replace(',', '')}e{exponent or 0}")  # so few digits are within Decimal's limits
