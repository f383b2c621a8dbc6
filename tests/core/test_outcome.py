from __future__ import annotations

from itertools import permutations, product

import pytest

from onpurpose.core.outcome import BY_NAME, Outcome, stricter

ALL = list(Outcome)


def test_outcomes_are_ordered_from_allow_to_deny() -> None:
    assert Outcome.ALLOW < Outcome.WARN < Outcome.REQUIRE_APPROVAL < Outcome.DENY
    assert len(ALL) == 4


@pytest.mark.parametrize(("one", "two", "three"), list(product(ALL, repeat=3)))
def test_stricter_is_associative(one: Outcome, two: Outcome, three: Outcome) -> None:
    assert stricter(stricter(one, two), three) == stricter(one, stricter(two, three)) == stricter(one, two, three)


@pytest.mark.parametrize(("one", "two"), list(product(ALL, repeat=2)))
def test_stricter_commutes_and_gives_the_one_further_right(one: Outcome, two: Outcome) -> None:
    assert stricter(one, two) == stricter(two, one) == max(one, two)


@pytest.mark.parametrize("outcome", ALL)
def test_stricter_is_idempotent_with_allow_neutral_and_deny_final(outcome: Outcome) -> None:
    assert stricter(outcome, outcome) == outcome
    assert stricter(outcome, Outcome.ALLOW) == stricter(outcome) == outcome
    assert stricter(outcome, Outcome.DENY) == Outcome.DENY


def test_stricter_of_none_is_neutral() -> None:
    assert stricter() is Outcome.ALLOW


def test_stricter_does_not_depend_on_the_order() -> None:
    assert {stricter(*order) for order in permutations(ALL)} == {Outcome.DENY}


@pytest.mark.parametrize(
    ("outcome", "name", "permits"),
    [
        (Outcome.ALLOW, "allow", True),
        (Outcome.WARN, "warn", True),
        (Outcome.REQUIRE_APPROVAL, "require_approval", False),
        (Outcome.DENY, "deny", False),
    ],
)
def test_an_outcome_has_its_name_and_says_whether_the_call_runs(outcome: Outcome, name: str, permits: bool) -> None:
    assert str(outcome) == f"{outcome}" == name
    assert outcome.permits is permits
    assert BY_NAME[name] is outcome


def test_block_is_another_spelling_of_deny_and_there_is_no_other() -> None:
    assert BY_NAME["block"] is Outcome.DENY
    assert set(BY_NAME) == {"allow", "warn", "require_approval", "deny", "block"}
