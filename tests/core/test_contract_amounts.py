"""Which amounts are read, and how they compare: a row for each clause of the contract."""

from __future__ import annotations

import time
from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest

from tests.core.asking import FALSE, TRUE, UNKNOWN, Count, Fraction, Sealed, Word, answer, table


@pytest.mark.parametrize(
    ("value", "expected"),
    table(
        ("above", 1001, TRUE),
        ("at the limit", 1000, FALSE),
        ("below", 999, FALSE),
        ("a magnitude", -60000, TRUE),
        ("a float", 1000.5, TRUE),
        ("a float by its shortest decimal", 1000.0000000000001, TRUE),
        ("a float that spells itself otherwise", Fraction(5000), TRUE),
        ("a decimal", Decimal("1000.01"), TRUE),
        ("more digits than a float has", "1000.0000000000000000000000000000000000001", TRUE),
        ("a decimal of more digits than the usual context", Decimal("1000." + "0" * 40 + "1"), TRUE),
        ("an integer that no float can hold", 10**400, TRUE),
        ("a decimal string", "60000", TRUE),
        ("groups of three", "60,000.00", TRUE),
        ("a currency sign", "$60,000", TRUE),
        ("euros", "\u20ac60,000", TRUE),
        ("pounds", "\u00a360,000", TRUE),
        ("yen", "\u00a560,000", TRUE),
        ("a sign before the currency", "-$60,000", TRUE),
        ("a sign after the currency", "$-60,000", TRUE),
        ("an exponent", "6e4", TRUE),
        ("a signed exponent", "6E+4", TRUE),
        ("a small exponent", "60000e-3", FALSE),
        ("outer white space", " \t60000\n", TRUE),
        ("infinity", float("inf"), TRUE),
        ("negative infinity", float("-inf"), TRUE),
        ("a decimal infinity", Decimal("Infinity"), TRUE),
        ("a spelled infinity", "-Infinity", TRUE),
        ("a short infinity", "INF", TRUE),
        ("zero", 0, FALSE),
        ("negative zero", -0.0, FALSE),
        ("an integer enum", Count.FOUR, FALSE),
        ("an enum of a number", Word.TEN, FALSE),
        ("a list, all above", [2000, "3,000"], TRUE),
        ("a list of both", [2000, 1], UNKNOWN),
        ("a list in a list", [[2000]], TRUE),
        ("a tuple", (2000,), TRUE),
        ("an empty list", [], UNKNOWN),
        ("a boolean", True, UNKNOWN),
        ("none", None, UNKNOWN),
        ("NaN", float("nan"), UNKNOWN),
        ("a decimal NaN", Decimal("NaN"), UNKNOWN),
        ("a signalling NaN", Decimal("sNaN"), UNKNOWN),
        ("a spelled NaN", "nan", UNKNOWN),
        ("an empty string", "", UNKNOWN),
        ("white space", "  ", UNKNOWN),
        ("words", "sixty thousand", UNKNOWN),
        ("a number and words", "60000 USD", UNKNOWN),
        ("two numbers", "1 60000", UNKNOWN),
        ("bad groups", "60,00", UNKNOWN),
        ("a long first group", "6000,000", UNKNOWN),
        ("a comma for a point", "60000,5", UNKNOWN),
        ("two signs", "--60000", UNKNOWN),
        ("a sign on both sides of the currency", "-$-60000", UNKNOWN),
        ("two currencies", "$$60000", UNKNOWN),
        ("an underscore", "60_000", UNKNOWN),
        ("hexadecimal", "0xea60", UNKNOWN),
        ("full-width digits", "\uff16\uff10\uff10\uff10\uff10", UNKNOWN),
        ("Arabic digits", "\u0666\u0660\u0660\u0660\u0660", UNKNOWN),
        ("a minus sign of typography", "\u221260000", UNKNOWN),
        ("a superscript", "60\u00b2", UNKNOWN),
        ("a zero-width space within", "6\u200b0000", UNKNOWN),
        ("a lone exponent", "e5", UNKNOWN),
        ("an infinite currency", "$inf", UNKNOWN),
        ("bytes", b"60000", UNKNOWN),
        ("a date", date(2026, 1, 2), UNKNOWN),
        ("a UUID", UUID(int=60000), UNKNOWN),
        ("an object", Sealed(), UNKNOWN),
        ("a mapping without an amount", {"units": 60000}, UNKNOWN),
        ("a mapping with an amount", {"total": 60000, "currency": "EUR"}, TRUE),
        ("a mapping with an amount far inside", {"x": [{"Cost": 60000}]}, TRUE),
    ),
)
def test_amount(value: object, expected: str) -> None:
    assert answer("amount_gt: 1000", {"amount": value}) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    table(
        ("no payload", None, UNKNOWN),
        ("a bare string", "60000", UNKNOWN),
        ("no amount", {"note": "60000"}, UNKNOWN),
        ("an empty payload", {}, UNKNOWN),
        *((f"the key {key}", {key: 2000}, TRUE) for key in ("total", "value", "price", "cost", "sum", "quantity")),
        ("a key in another case", {"AMOUNT": 2000}, TRUE),
        ("a key that is longer", {"amount_due": 2000}, UNKNOWN),
        ("at any depth", {"order": {"lines": [{"price": 2000}]}}, TRUE),
        ("readings that disagree", {"amount": 1, "total": 90000}, UNKNOWN),
        ("readings that differ and agree", {"amount": 2000, "total": 90000}, TRUE),
        ("readings that are all below", {"lines": [{"cost": 5}, {"cost": 90}]}, FALSE),
        ("one that cannot be read", {"amount": 2000, "total": "lots"}, UNKNOWN),
        ("value without a digit is passed over", {"amount": 5, "value": "thanks"}, FALSE),
        ("value without a digit is no amount", {"value": "thanks"}, UNKNOWN),
        ("value with a digit is read", {"amount": 5, "value": "5 thanks"}, UNKNOWN),
        ("value with a digit of another script is read", {"amount": 5, "value": "\u0665"}, UNKNOWN),
        ("value with a fraction sign is read", {"amount": 5, "value": "\u00bd"}, UNKNOWN),
        ("value in capitals is value", {"amount": 5, "VALUE": "thanks"}, FALSE),
        ("words under another key are not passed over", {"amount": 5, "total": "thanks"}, UNKNOWN),
        ("an infinite value hides nowhere", {"amount": 5, "value": "Infinity"}, UNKNOWN),
        ("a boolean value", {"amount": 5, "value": True}, UNKNOWN),
        ("an object elsewhere", {"amount": 5, "x": Sealed()}, UNKNOWN),
        ("a key that is no string elsewhere", {"amount": 5, "x": {3: 4}}, UNKNOWN),
        ("bytes elsewhere", {"amount": 5, "x": b""}, FALSE),
        ("a key for a lookalike", {"\uff41mount": 2000}, UNKNOWN),
    ),
)
def test_amounts_in_a_payload(payload: object, expected: str) -> None:
    assert answer("amount_gt: 1000", payload) == expected


@pytest.mark.parametrize(
    ("condition", "below", "at", "above"),
    table(
        ("gt", "amount_gt: 10.5", FALSE, FALSE, TRUE),
        ("gte", "amount_gte: 10.5", FALSE, TRUE, TRUE),
        ("lt", "amount_lt: 10.5", TRUE, FALSE, FALSE),
        ("lte", "amount_lte: 10.5", TRUE, TRUE, FALSE),
    ),
)
def test_amounts_compare_exactly(condition: str, below: str, at: str, above: str) -> None:
    for number, expected in (("10.4999999999999999999999", below), ("10.50", at), ("10.5000000000000000000001", above)):
        assert answer(condition, {"amount": number}) == expected
        assert answer(condition, {"amount": "-" + number}) == expected
        assert answer(condition, {"amount": Decimal(number)}) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    table(
        ("its own key", {"salary": 2000}, TRUE),
        ("its own key in another case", {"SALARY": 2000}, TRUE),
        ("written in capitals", {"bonus": 2000}, TRUE),
        ("the usual keys no longer", {"salary": 5, "amount": 2000}, FALSE),
    ),
)
def test_a_policy_may_name_its_amount_keys(payload: object, expected: str) -> None:
    assert answer("amount_gt: 1000", payload, keys="amount_keys: [salary, Bonus]") == expected


@pytest.mark.parametrize(
    "number",
    table(
        ("a great exponent", "1e999999999"),
        ("an exponent beyond any decimal", "1e99999999999999999999"),
        ("many digits", "9" * 5000),
        ("many groups", "1" + ",000" * 999),
        ("a great integer", 10**5000),
    ),
)
def test_an_enormous_amount_is_never_below_a_limit(number: object) -> None:
    started = time.thread_time()
    assert answer("amount_lte: 1000", {"amount": number}) != TRUE
    assert answer("amount_gt: 1000", {"amount": number}) != FALSE
    assert time.thread_time() - started < 5
