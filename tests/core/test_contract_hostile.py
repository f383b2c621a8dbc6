"""Calls that nobody should make: malformed, endless, enormous."""

from __future__ import annotations

import sys
import time
from collections import UserDict

import pytest

from onpurpose.core.call import Call
from onpurpose.core.decide import decide
from onpurpose.core.decision import Code
from onpurpose.core.outcome import Outcome
from tests.core.asking import ALLOW, COMBINING, Sealed, compiled, outcome, table

MEBI = 1024 * 1024
BOUND = 5
"""Seconds; what is linear takes one at the most, what is quadratic takes hours."""

ANYTHING = "allow:\n  - capability: '*'\n"


def nested(depth: int) -> dict[str, object]:
    payload: dict[str, object] = {}
    for _ in range(depth - 1):
        payload = {"x": payload}
    return payload


def listed(depth: int) -> dict[str, object]:
    payload: object = "x"
    for _ in range(depth - 1):
        payload = [payload]
    return {"x": payload}


def cycle() -> dict[str, object]:
    payload: dict[str, object] = {}
    payload["x"] = [payload]
    return payload


def bomb() -> dict[str, object]:
    shared: list[object] = ["x"] * 10
    for _ in range(60):
        shared = [shared] * 10
    return {"x": shared}


@pytest.mark.parametrize(
    "payload",
    table(
        ("a number", 3),
        ("a list", ["x"]),
        ("bytes", b"x"),
        ("an object", Sealed()),
        ("a boolean", False),
        ("mappings 65 deep", nested(65)),
        ("mappings very deep", nested(sys.getrecursionlimit() * 3)),
        ("lists 65 deep", listed(65)),
        ("a cycle", cycle()),
        ("a shared list, 10 to the 60 items", bomb()),
        ("text over the limit", "x" * (1024 * 1024 + 1)),
        ("text over the limit in a field", {"x": "x" * (1024 * 1024 + 1)}),
        ("text over the limit in UTF-8", "\u20ac" * 400_000),
        ("text over the limit together", {str(number): "x" * 1024 for number in range(1100)}),
        ("text over the limit in keys", {"x" * 1024 + str(number): 0 for number in range(1100)}),
        ("values over the limit", {"x": [0] * (1024 * 1024 + 1)}),
        ("empty strings over the limit", {"x": [""] * (1024 * 1024 + 1)}),
    ),
)
def test_a_payload_that_cannot_be_read_is_denied(payload: object) -> None:
    started = time.thread_time()
    decision = decide((compiled(ANYTHING),), Call("agent", "a.b", payload))
    assert decision.outcome is Outcome.DENY
    assert decision.reasons[0].code is Code.MALFORMED_CALL
    assert time.thread_time() - started < BOUND


@pytest.mark.parametrize(
    "payload",
    table(
        ("none", None),
        ("an empty mapping", {}),
        ("an empty string", ""),
        ("mappings 64 deep", nested(64)),
        ("lists 64 deep", listed(64)),
        ("text at the limit", "x" * (1024 * 1024)),
        ("an object inside", {"x": Sealed()}),
        ("a mapping that is no dict", UserDict({"x": 1})),
    ),
)
def test_a_payload_at_the_limit_is_read(payload: object) -> None:
    assert outcome(ANYTHING, "a.b", payload) == ALLOW


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "a b",
        "a.b\n",
        "\na",
        "a/b",
        "a.*",
        "*",
        "\u00e9",
        "\uff41.b",
        "a\0",
        "a" * 513,
        None,
        3,
        b"a.b",
    ],
)
def test_a_malformed_capability_is_denied(name: object) -> None:
    decision = decide((compiled(ANYTHING),), Call("agent", name, {}))  # type: ignore[arg-type]
    assert decision.outcome is Outcome.DENY
    assert decision.reasons[0].code is Code.MALFORMED_CALL


@pytest.mark.parametrize("agent", ["", "x" * 513, None, 3, b"agent"])
def test_a_malformed_agent_is_denied(agent: object) -> None:
    decision = decide((compiled(ANYTHING),), Call(agent, "a.b", {}))  # type: ignore[arg-type]
    assert decision.reasons[0].code is Code.MALFORMED_CALL


@pytest.mark.parametrize("context", ["production", 3, ["x"], {"x"}, Sealed(), False])
def test_a_malformed_context_is_denied(context: object) -> None:
    decision = decide((compiled(ANYTHING),), Call("agent", "a.b", {}, context))  # type: ignore[arg-type]
    assert decision.reasons[0].code is Code.MALFORMED_CALL


@pytest.mark.parametrize("label", [3, b"x", ["x"], True])
def test_malformed_labels_are_denied(label: object) -> None:
    for call in (
        Call("agent", "a.b", {}, task_context=label),  # type: ignore[arg-type]
        Call("agent", "a.b", {}, risk_category=label),  # type: ignore[arg-type]
    ):
        assert decide((compiled(ANYTHING),), call).reasons[0].code is Code.MALFORMED_CALL


@pytest.mark.parametrize("name", ["a", "a" * 512, "A-1_.b-", "0"])
def test_names_at_the_limit_are_read(name: str) -> None:
    assert outcome(ANYTHING, name, {}) == ALLOW
    assert str(decide((compiled(ANYTHING),), Call("x" * 512, name, {})).outcome) == ALLOW


@pytest.mark.parametrize(
    "text",
    table(
        ("open comments", "/*" * (MEBI // 2)),
        ("open comments with stars", "/" + "*" * (MEBI - 1)),
        ("comments", "/**/" * (MEBI // 4)),
        ("half-open comments", "/*/" * (MEBI // 3)),
        ("combining marks", "a" + COMBINING * (MEBI // 2 - 1)),
        ("marks of two classes in turn", "a" + "\u0301\u0323" * (MEBI // 4 - 1)),
        ("letters that grow", "\ufdfa" * (MEBI // 3)),
        ("white space", " " * MEBI),
        ("white space of all kinds", "\t \n" * (MEBI // 3)),
        ("variables", "$IFS" * (MEBI // 4)),
        ("open variables", "${IF" * (MEBI // 4)),
        ("quotes", "'" * MEBI),
        ("zero-width characters", "\u200b" * (MEBI // 3)),
        ("slashes", "/" * MEBI),
        ("dot dots", "../" * (MEBI // 3)),
        ("steps", "/a" * (MEBI // 2)),
        ("steps and back", "/a/.." * (MEBI // 5)),
        ("percent signs", "/" + "%25" * (MEBI // 3 - 1)),
        ("percents of percents", "/%" + "25" * (MEBI // 2 - 1)),
        ("digits", "9" * MEBI),
        ("groups", "1" + ",000" * (MEBI // 4 - 1)),
        ("a long exponent", "1e" + "9" * (MEBI - 2)),
        ("at signs", "a@" * (MEBI // 2)),
        ("labels", "a." * (MEBI // 2)),
        ("dots", "." * MEBI),
    ),
)
@pytest.mark.parametrize("shape", ["bare", "amount", "path", "x"])
def test_a_mebibyte_of_anything_is_answered_in_linear_time(text: str, shape: str) -> None:
    conditions = {
        "bare": "contains: [rm -rf, drop table]",
        "amount": "amount_gt: 5",
        "path": "path_prefix: [/etc, /srv]",
        "x": "args: {x: {domain_in: corp.example, matches: '(a|aa)+', contains: rm}}",
    }
    policy = compiled(f"deny:\n  - capability: a.b\n    {conditions[shape]}\nallow:\n  - capability: '*'\n")
    payload: object = text if shape == "bare" else {shape: text[:-8]}
    started = time.thread_time()
    decision = decide((policy,), Call("agent", "a.b", payload))
    assert decision.outcome in (Outcome.ALLOW, Outcome.DENY)
    assert time.thread_time() - started < BOUND


@pytest.mark.parametrize(
    "payload",
    table(
        ("many values", {"x": ["rm"] * 60_000}),
        ("many keys", {f"k{number}": "x" for number in range(60_000)}),
        ("many amounts", {"x": [{"amount": 1}] * 60_000}),
        ("many paths", {"paths": ["/a/b"] * 60_000}),
        ("an amount key in an amount key, deep", {"amount": nested(62)}),
        ("wide and deep amounts", {"amount": [{"x": {"x": [{"total": 1}] * 100}}] * 300}),
    ),
)
def test_many_values_are_answered_in_linear_time(payload: object) -> None:
    policy = compiled(
        "deny:\n  - {capability: a.b, contains: 'drop table', amount_gt: 5}\n"
        "require_approval:\n  - {capability: a.b, path_prefix: /etc, args: {x.*.amount: {gt: 5}}}\n"
    )
    started = time.thread_time()
    assert decide((policy,), Call("agent", "a.b", payload)).reasons
    assert time.thread_time() - started < BOUND
