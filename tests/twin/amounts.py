"""The amounts of a payload, and how they compare."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from onpurpose.core.policy import Operator
from tests.twin.kleene import Answer, agreed
from tests.twin.tree import Node

SPELLING = re.compile(
    r"(?P<sign>[+-]?)(?P<currency>[$€£¥]?)(?P<late>[+-]?)"
    r"(?P<number>(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE](?P<exponent>[+-]?[0-9]+))?"
)

BOUNDLESS = {sign + word for sign in ("", "+", "-") for word in ("inf", "infinity")}


def compare(number: Decimal, operator: Operator, limit: Decimal | int) -> Answer:
    """The comparison; unknown for what is not a number."""
    if number.is_nan():
        return None
    if operator == Operator.GT:
        return number > limit
    if operator == Operator.GTE:
        return number >= limit
    if operator == Operator.LT:
        return number < limit
    return number <= limit


def spelled(text: str) -> Decimal | None:
    """The magnitude a text spells, or `None`."""
    text = text.strip()
    if text.lower() in BOUNDLESS:
        return Decimal("Infinity")
    found = SPELLING.fullmatch(text)
    if found is None or (found["sign"] and found["late"]):
        return None
    digits = found["number"].replace(",", "")
    exponent = found["exponent"] or "0"
    try:
        return Decimal(digits + "e" + exponent)
    except InvalidOperation:  # further out than Decimal goes
        if not digits.strip("0."):
            return Decimal(0)
        return Decimal("1e-999999999999999999") if exponent.startswith("-") else Decimal("Infinity")


def holds_key(node: Node, keys: set[str]) -> bool:
    """Whether one of the keys occurs anywhere in it."""
    return any(key.lower() in keys for inner in node.everything() for key, _ in inner.entries)


def readings(node: Node, keys: set[str]) -> list[Decimal | None]:
    """Every amount below the node; `None` for one that cannot be read."""
    found: list[Decimal | None] = []
    for item in node.items:
        found += readings(item, keys)
    for key, value in node.entries:
        found += under_key(value, key.lower(), keys) if key.lower() in keys else readings(value, keys)
    return found


def under_key(value: Node, key: str, keys: set[str]) -> list[Decimal | None]:
    """What stands under an amount key."""
    if value.kind == "list":
        return [reading for item in value.items for reading in under_key(item, key, keys)]
    if value.kind == "mapping" and holds_key(value, keys):
        return readings(value, keys)
    if value.kind == "number" and value.number is not None:
        return [None if value.number.is_nan() else value.number.copy_abs()]
    if value.text is None or value.kind == "number":
        return [None]
    number = spelled(value.text)
    wordy = not any(char.isnumeric() or char.isdigit() for char in value.text)
    if number is None and key == "value" and wordy:
        return []
    return [number]


def amount(tree: Node | None, keys: tuple[str, ...], operator: Operator, limit: Decimal | int) -> Answer:
    """Whether every amount in the payload compares."""
    if tree is None or tree.kind != "mapping":
        return None
    if tree.hides():
        return None
    found = readings(tree, {key.lower() for key in keys})
    return agreed(None if number is None else compare(number, operator, limit) for number in found)
