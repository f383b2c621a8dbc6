"""Who is among those who are asked, and whose name is whose."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.routing import DEFAULT, folded
from tests.core.asked import person


@pytest.mark.parametrize(
    ("approvers", "expected"),
    [
        (("user:ada",), True),
        (("user:Ada",), False),
        (("user:bob", "group:ops"), True),
        (("group:op",), False),
        (("ops",), False),
        (("ada",), False),
        (("anyone",), True),
        (("group:anyone",), False),
        ((), False),
    ],
)
def test_who_is_among_the_approvers_of_a_stage(approvers: tuple[str, ...], expected: bool) -> None:
    assert person("ada", "ops").among(approvers) is expected


def test_without_a_word_the_group_of_approvers_is_asked() -> None:
    assert person("ada", "approvers").among(DEFAULT.stages[0].approvers)


@pytest.mark.parametrize(
    "name",
    [
        "ada",
        "ADA",
        " ada\t",
        "\uff41\uff44\uff41",
        "a\u200bda",
        "a\u202eda",
        "ada@corp.example",
        "Ada@Corp.Example",
        "U7",
    ],
)
def test_a_name_means_somebody_however_it_is_spelled(name: str) -> None:
    assert person("Ada", email="ADA@corp.example", also=("u7",)).is_same_as(name)


@pytest.mark.parametrize("name", ["", " ", "adam", "ada@corp.example.org", "\u200b"])
def test_other_names_mean_others(name: str) -> None:
    assert not person("ada", email="").is_same_as(name)


def test_accounts_that_share_an_address_are_of_one_person() -> None:
    first, second = person("ada", email="ada@corp.example"), person("ada-admin", email="Ada@corp.example")
    assert first.is_one_with(second)
    assert not first.is_one_with(person("bob", email=""))
    assert not person("cyd", email="").is_one_with(person("bob", email=""))


@given(st.text(max_size=20))
def test_folding_a_name_again_changes_nothing(name: str) -> None:
    once = folded(name)
    assert folded(once) == once
    assert folded(f" {name}\u200b") == once


@given(st.text(st.characters(codec="ascii"), max_size=20))
def test_plain_names_are_folded_by_the_short_way_as_by_the_long(name: str) -> None:
    assert folded(name) == folded(name + "\u200b")
