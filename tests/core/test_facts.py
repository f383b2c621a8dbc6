"""Facts are told from the payload alone; what two of its strings only seem to say together is not said."""

from __future__ import annotations

import pytest

from onpurpose.core.call import MAX_DEPTH, MAX_TEXT, Call
from onpurpose.core.facts import Facts, Malformed, needle


def contains(text: str, payload: object) -> bool | None:
    return Facts(Call("a", "b", payload)).contains((needle(text),))


@pytest.mark.parametrize(
    ("text", "payload", "answer"),
    [
        ("rm -rf", {"x": "rm -rf /"}, True),
        ("rm -rf", {"x": ["rm", "-rf"]}, None),
        ("rm -rf", {"rm -rf": 1}, None),
        ("rm -rf", {"x": "rm", "y": "-r"}, False),
        ("xAy", {"x": 1, "y": 2}, False),
        ("x`y", {"x": 1, "y": 2}, False),
        ("xay", {"x": 1, "y": 2}, False),
        ("x y", {"x": 1, "y": 2}, False),
    ],
)
def test_a_text_is_found_in_a_string_or_perhaps_across_several_never_across_keys(
    text: str, payload: object, answer: bool | None
) -> None:
    assert contains(text, payload) is answer


def nested(depth: int) -> object:
    payload: object = {}
    for _ in range(depth - 1):
        payload = {"x": payload}
    return payload


def test_the_limits_of_a_payload_are_where_they_are_said_to_be() -> None:
    Facts(Call("a", "b", nested(MAX_DEPTH)))
    Facts(Call("a", "b", "x" * (MAX_TEXT - 1)))
    for beyond in (nested(MAX_DEPTH + 1), "x" * (MAX_TEXT + 1), {"x": "\u00fc" * (MAX_TEXT // 2)}, ["x"], 7):
        with pytest.raises(Malformed):
            Facts(Call("a", "b", beyond))
