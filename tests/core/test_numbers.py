"""Numbers are read exactly, and nothing that only looks like one."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.numbers import as_number, exact, magnitude

INF = Decimal("Infinity")


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (60000, 60000),
        (-60000, 60000),
        (0, 0),
        (6e4, 60000),
        (0.1, Decimal("0.1")),
        (-0.0, 0),
        (Decimal("1.50"), Decimal("1.5")),
        ("60000", 60000),
        ("60,000.00", 60000),
        ("$60,000", 60000),
        ("-$5", 5),
        ("$-5", 5),
        ("+5", 5),
        ("\u20ac5", 5),
        (" 5 ", 5),
        ("5.", 5),
        (".5", Decimal("0.5")),
        ("6e4", 60000),
        ("6E+4", 60000),
        ("1,234,567", 1234567),
        ("007", 7),
        ("1e-3", Decimal("0.001")),
        (float("inf"), INF),
        (float("-inf"), INF),
        (Decimal("-Infinity"), INF),
        ("inf", INF),
        ("-Infinity", INF),
        ("1e999999", Decimal("1e999999")),
    ],
)
def test_an_amount_is_read_by_its_size(value: object, read: object) -> None:
    assert magnitude(value) == read


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        None,
        float("nan"),
        Decimal("NaN"),
        Decimal("sNaN"),
        "",
        " ",
        "abc",
        "5 apples",
        "1,23",
        "1,2345",
        "12,34,567",
        "1.2.3",
        "--5",
        "-$-5",
        "$",
        "0x10",
        "1_000",
        "1e",
        "e5",
        "1e9999999",
        "\u0665",
        "\uff15",
        "5%",
        "5$",
        "1 000",
        "nan",
        "1" * 10_000,
        10**5000,
        [5],
        {},
        b"5",
        "1\n2",
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_only_looks_like_an_amount_is_none(value: object) -> None:
    assert magnitude(value) is None


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1, 1),
        (1.5, 1.5),
        (Decimal("1.5"), Decimal("1.5")),
        (True, None),
        ("1", None),
        (float("nan"), None),
        (None, None),
    ],
)
def test_a_number_is_no_text_and_no_truth(value: object, read: object) -> None:
    assert as_number(value) == read


def test_an_integer_that_nobody_means_is_no_number() -> None:
    assert as_number(1 << 4095) == 1 << 4095
    assert as_number(1 << 4096) is None


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_and_its_text_are_one_amount(number: float) -> None:
    assert magnitude(number) == magnitude(repr(number)) == abs(exact(number))


@given(st.integers(0, 10**30))
def test_groups_of_three_are_read_as_the_number(number: int) -> None:
    assert magnitude(f"{number:,}") == number
