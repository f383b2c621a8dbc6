"""A suggested policy covers what it says it covers, and nothing that differs from it."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpurpose.adapters.transcripts import read
from onpurpose.app.history import decider
from onpurpose.app.suggest import ALARMING, Suggestion, suggest
from onpurpose.core.call import Call
from onpurpose.core.compile import compile_policy
from onpurpose.core.history import Doubt, RecordedCall
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Argument, DomainIn, Equals, In, Under
from onpurpose.core.span import Span
from onpurpose.lang.read import parse

SHARED = Path(__file__).parents[2].parent / "shared" / "cases" / "agentdojo"


def call(capability: str, payload: object, line: int = 1, **known: object) -> RecordedCall:
    context = known.pop("context", None)
    made = Call("a", capability, payload, context if isinstance(context, dict) else None)
    return RecordedCall(call=made, at=Span("log", line, 1), **known)  # type: ignore[arg-type]


def calls(capability: str, *payloads: object, **known: object) -> list[RecordedCall]:
    return [call(capability, payload, line, **known) for line, payload in enumerate(payloads, 1)]


def outcome(suggestion: Suggestion, capability: str, payload: object, cwd: str | None = None) -> Outcome:
    context = None if cwd is None else {"cwd": cwd}
    return decider(compile_policy(parse(suggestion.text)))(Call("a", capability, payload, context)).outcome


def allows(suggestion: Suggestion, payload: object, cwd: str | None = None) -> bool:
    return outcome(suggestion, "tool", payload, cwd).permits


def hold(history: list[RecordedCall]) -> Suggestion:
    """The laws that every suggestion obeys, checked on this one."""
    suggestion = suggest(history)
    decide_one = decider(compile_policy(parse(suggestion.text)))
    decided = [(one, decide_one(one.call).outcome) for one in history]
    assert [(one.recorded, one.outcome) for one in suggestion.left] == [pair for pair in decided if not pair[1].permits]
    assert all(one.why for one in suggestion.left)
    assert suggestion.allowed + len(suggestion.left) == suggestion.total == len(history)
    assert suggest(history).text == suggestion.text
    return suggestion


# -- laws

WORDS = ["ada", "bob", "eve@a.example", "x@b.example", "/srv/a/b/c.txt", "/srv/a/d", "/etc/passwd", "rm -rf /", "", "~"]
WORDS += [
    "https://a.example/x",
    "a: b",
    "- x",
    '"',
    "'",
    "\\",
    "#",
    "é",
    "\u202e",
    "\x00",
    "\ud800",
    "x\ny: z",
    "{{",
    "*",
]
SCALARS = st.sampled_from(WORDS) | st.integers(-5, 5) | st.sampled_from([0.5, 1e300, 10**40, True, False, None, 1000])
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.lists(st.dictionaries(st.sampled_from("ab"), SCALARS), max_size=2)
KEYS = st.sampled_from(["to", "amount", "path", "text", "n", "password", "command", "a.b", "*", "", "x y", "é"])
PAYLOADS = st.dictionaries(KEYS, VALUES, max_size=4) | st.none() | st.sampled_from(WORDS)
NAMES = st.sampled_from(["a", "a.b", "A", "b.c", "no", "x\n  y: z", "*", "", "a b", "c"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, PAYLOADS, st.integers(1, 4)), max_size=8))
def test_what_is_claimed_is_allowed_and_all_else_is_left(drawn: list[tuple[str, object, int]]) -> None:
    hold([call(name, payload, line) for line, (name, payload, times) in enumerate(drawn) for _ in range(times)])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["to", "amount", "path", "n"]), VALUES, min_size=1), st.text(max_size=12))
def test_a_history_of_one_call_repeated_is_covered_or_refused_as_a_whole(payload: object, text: str) -> None:
    suggestion = hold(calls("tool", *[{"note": text, **payload}] * 5))  # type: ignore[dict-item]
    assert suggestion.allowed in (0, 5)


@pytest.mark.parametrize(
    ("key", "seen", "changed"),
    [
        ("to", ["ada"] * 4, "bob"),
        ("mode", ["fast", "slow"] * 4, "other"),
        ("to", ["a@x.example", "b@x.example", "c@y.example", "d@y.example"], "a@evil.example"),
        ("to", [["a@x.example"], ["b@x.example", "c@x.example"]] * 2, ["a@x.example", "e@evil.example"]),
        ("to", [["a@x.example"], ["b@x.example", "c@x.example"]] * 2, ["a@x.example"] * 3),
        ("url", ["https://docs.example/a", "https://docs.example/b"] * 2, "https://docs.example.evil.example/a"),
        ("path", ["/srv/app/a", "/srv/app/b/c", "/srv/app/d"], "/srv/other"),
        ("path", ["/srv/app/a", "/srv/app/b/c", "/srv/app/d"], "/srv/app/../../etc/passwd"),
        ("amount", [5, 12, 40, 7], 51),
        ("amount", ["5.00", "$12", "40", "7"], "1,000"),
        ("id", [7] * 4, 8),
        ("limit", [1, 17, 23, 88, 3, 42, 5], 89),
        ("limit", [1, 17, 23, 88, 3, 42, 5], 0),
        ("dry_run", [True] * 4, False),
        ("dry_run", [True] * 4, "true"),
        ("command", ["git status"] * 4 + ["ls -la"], "git status; id"),
        ("tags", [[]] * 4, ["x"]),
        ("labels", [["a", "b"], ["c"], ["a", "d"], ["f"]], ["g"] * 3),
    ],
)
def test_a_call_with_a_changed_value_is_not_allowed(key: str, seen: list[object], changed: object) -> None:
    suggestion = hold(calls("tool", *[{key: value, "why": f"text {n}"} for n, value in enumerate(seen)]))
    assert suggestion.allowed >= len(seen) - 1
    assert not allows(suggestion, {key: changed, "why": "text"})


@pytest.mark.parametrize(
    ("key", "usual", "unusual"),
    [
        ("amount", [10, 12, 9, 11, 14, 10, 13, 12, 9, 10], 5000),
        ("amount", [10, 12, 9, 11, 14, 10, 13, 12, 9, 15], 46),
        ("to", [f"p{n}@x.example" for n in range(12)], "p@evil.example"),
        ("path", [f"/home/ada/src/f{n}" for n in range(12)], "/etc/shadow.bak"),
        ("path", [f"/home/ada/src/f{n}" for n in range(12)], "/home/eve/x"),
        ("channel", ["general", "random"] * 6, "external"),
        ("command", ["make test"] * 6, "curl evil.example"),
        ("note", ["ok", "fine", "good", "well"], "please run rm  -RF / now"),
        ("count", [3, 4, 9, 17, 5, 6, 8, 7, 1, 2], 900),
    ],
)
def test_an_outlier_is_left_for_a_person(key: str, usual: list[object], unusual: object) -> None:
    history = calls("tool", *[{key: value} for value in [*usual, unusual]])
    suggestion = hold(history)
    assert [one.recorded.at.line for one in suggestion.left] == [len(history)]
    assert f"log:{len(history)}: tool: " in suggestion.text


def test_a_far_outlier_never_lies_within_the_limit() -> None:
    suggestion = hold(calls("tool", *[{"amount": value} for value in [101] * 9 + [305]]))
    assert not allows(suggestion, {"amount": 305})


@pytest.mark.parametrize("payload", [{"x": f"say {text} now"} for text in ALARMING])
def test_an_alarming_text_is_never_allowed(payload: Mapping[str, Any]) -> None:
    suggestion = hold(calls("tool", *[payload] * 5))
    assert suggestion.allowed == 0
    assert outcome(suggestion, "tool", payload) is Outcome.REQUIRE_APPROVAL


# -- what is learned


def learned_of(suggestion: Suggestion, key: str) -> list[tuple[object, ...]]:
    rules = [rule for rule in parse(suggestion.text).rules if rule.outcome is Outcome.ALLOW]
    return [c.tests for rule in rules for c in rule.conditions if isinstance(c, Argument) and c.path == (key,)]


@pytest.mark.parametrize(
    ("key", "values", "learned"),
    [
        ("to", ["ada"] * 3, Equals("ada")),
        ("mode", ["fast", "slow", "fast", "slow"], In(("fast", "slow"))),
        ("to", ["a@x.example", "b@X.EXAMPLE", "c@x.example"], DomainIn(("x.example",))),
        ("to", ["a@x.example", "b@m.x.example", "c@x.example", "d@m.x.example"], DomainIn(("x.example",))),
        ("path", ["/srv/app/a/b", "/srv/app/a/c", "/srv/app/a/../d"], Under(("/srv/app",))),
        ("path", ["/a/b/1", "/a/b/2", "/c/d/1", "/c/d/2"], Under(("/a/b", "/c/d"))),
        ("rate", [0.5, 0.5, 0.25, 0.25], In((Decimal("0.25"), Decimal("0.5")))),
        ("on", [False] * 3, Equals(False)),
    ],
)
def test_values_are_learned_as_the_narrowest_test(key: str, values: list[object], learned: object) -> None:
    assert learned_of(hold(calls("tool", *[{key: value} for value in values])), key) == [(learned,)]


def test_free_text_is_left_open_and_said_to_be() -> None:
    suggestion = hold(calls("tool", *[{"body": f"text {n}"} for n in range(4)]))
    assert "# left open: body (any text)" in suggestion.text
    assert allows(suggestion, {"body": "another"})


def test_relative_paths_are_learned_where_the_call_says_from_where() -> None:
    history = calls("tool", *[{"path": name} for name in ["a", "b/c", "./d"]], context={"cwd": "/srv/app"})
    suggestion = hold(history)
    assert learned_of(suggestion, "path") == [(Under(("/srv/app",)),)]
    assert not allows(suggestion, {"path": "../x"}, cwd="/srv/app")


@pytest.mark.parametrize(
    "payloads",
    [
        [{"path": "/etc/passwd"}, {"path": "/usr/x"}, {"path": "/boot"}, {"path": "/a"}],
        [{"command": f"do {n}"} for n in range(5)],
        [{"to": f"person {n}"} for n in range(5)],
        [{"query": f"SELECT {n}"} for n in range(5)],
        [{"x": 1}, {"x": "a"}, {"x": True}, {"x": 2}],
        [{"to": f"a@{n}.example"} for n in range(5)],
        ["ls"] * 5,
        [None] * 5,
        [{"x": 1}] * 2,
        [{"id": 10**40}] * 5,
        [{"x": float("inf")}] * 5,
        [{"x": "y" * (2 << 20)}] * 5,
        [{"mode": "a"}, {"mode": "a"}, {"mode": "a", "size": 1}, {"size": 1}, {"size": 1}, {"mode": "a", "size": 1}],
    ],
)
def test_what_cannot_be_told_narrowly_is_asked(payloads: list[object]) -> None:
    suggestion = hold(calls("tool", *payloads))
    assert suggestion.allowed == 0
    assert not allows(suggestion, payloads[0])
    assert outcome(suggestion, "tool", {}) is Outcome.REQUIRE_APPROVAL


def test_an_optional_argument_does_not_open_a_way_around_its_rule() -> None:
    payloads = [{"text": f"t{n}"} for n in range(4)] + [{"text": f"u{n}", "cc": "a@x.example"} for n in range(4)]
    suggestion = hold(calls("tool", *payloads))
    assert suggestion.allowed == 8
    assert not allows(suggestion, {"text": "t", "cc": "a@evil.example"})


def test_a_rare_argument_is_left_for_a_person() -> None:
    suggestion = hold(calls("tool", *[{"text": f"t{n}"} for n in range(6)], {"text": "t", "force": True}))
    assert [one.why for one in suggestion.left] == ["not as usual: force"]


def test_an_empty_list_among_full_ones_is_covered_by_a_rule_of_its_own() -> None:
    payloads = [{"cc": ["a@x.example"]}] * 3 + [{"cc": []}] * 3
    suggestion = hold(calls("tool", *payloads))
    assert suggestion.allowed == 6
    assert not allows(suggestion, {"cc": ["a@evil.example"]})


def test_arguments_in_a_list_of_mappings_are_learned() -> None:
    suggestion = hold(calls("tool", *[{"items": [{"sku": "a"}, {"sku": "b"}]}] * 3))
    assert suggestion.allowed == 3
    assert not allows(suggestion, {"items": [{"sku": "a"}, {"sku": "z"}]})


@pytest.mark.parametrize("key", ["password", "api_key", "authorization"])
def test_secrets_are_not_written_into_a_policy(key: str) -> None:
    suggestion = hold(calls("tool", *[{key: "hunter2hunter2", "user": "ada"}] * 4))
    assert "hunter2" not in suggestion.text


def test_a_masked_value_is_no_value_to_learn() -> None:
    history = calls("tool", *[{"card": "[masked: card number]"}] * 4, doubts=(Doubt.MASKED,))
    assert "equals" not in hold(history).text


@pytest.mark.parametrize("doubt", [Doubt.DUPLICATE_KEYS, Doubt.NO_ARGUMENTS])
def test_nothing_is_learned_from_a_doubtful_call(doubt: Doubt) -> None:
    assert hold(calls("tool", *[{"to": "ada"}] * 4, doubts=(doubt,))).allowed == 0


def test_asking_for_one_capability_does_not_close_another_that_is_allowed() -> None:
    history = calls("shell", {"x": 1}) + calls("Shell.run", *[{"n": 1}] * 4) + calls("shell.RUN", {"n": 1})
    suggestion = hold(history)
    assert outcome(suggestion, "Shell.run", {"n": 1}) is Outcome.ALLOW
    assert outcome(suggestion, "shell", {"x": 1}) is Outcome.DENY


# -- the text

HOSTILE = [
    'x"\nallow:\n  - capability: "*"', "*", "a\n- capability: b", "x: y", "x\u2028y", "é\ud800", "a#b", "[x]", "no",
    "~", "'; --", "\x00", "\x1b]0;x\x07", "a" * 600, "&a", "!!python/object", "%TAG", "\ufeff", "\u202e", "a\\", '"',
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_no_name_key_or_value_can_write_into_the_policy(text: str) -> None:
    history = calls(text, *[{"to": "ada"}] * 4) + calls("tool", *[{text: "v", "to": text, "why": text}] * 4)
    history += calls("keep", *[{"to": "ada"}] * 4, session=text, label=text)
    suggestion = hold(history)
    policy = parse(suggestion.text)
    assert {rule.capability for rule in policy.rules} <= {"*", "tool", "keep", "no"}
    assert all(rule.conditions for rule in policy.rules if rule.capability in ("*", "keep"))
    assert outcome(suggestion, "keep", {"to": "ada"}) is Outcome.ALLOW
    assert outcome(suggestion, "other", {"to": "ada"}) is Outcome.DENY
    assert all(line.isprintable() for line in suggestion.text.split("\n"))


def test_the_file_of_a_call_cannot_write_into_the_policy() -> None:
    made = Call("a", "tool", {"x": 1})
    suggestion = suggest([RecordedCall(call=made, at=Span("x\nallow:\n  - capability: tool", 1, 1))])
    assert not outcome(suggestion, "tool", {"x": 1}).permits


def test_the_order_of_the_history_does_not_change_the_rules() -> None:
    history = calls("b", *[{"to": f"p{n % 2}", "amount": n} for n in range(9)]) + calls("a", *[{}] * 4)
    assert suggest(history).text == suggest(history[::-1]).text


def test_a_suggestion_stays_within_bounds_however_long_the_history() -> None:
    wide = [call(f"tool.n{n}", {f"k{k}": "v" * 100 for k in range(3)}, n) for n in range(700) for _ in range(3)]
    suggestion = hold(wide)
    assert len(suggestion.text) < 500_000
    assert len(parse(suggestion.text).rules) < 500


def test_a_policy_that_would_be_too_long_keeps_the_capabilities_that_are_used_most() -> None:
    names = [f"tool.n{n:03}.{'x' * 400}" for n in range(100)]
    payload = {f"{'k' * 50}{k}": "v" * 110 for k in range(30)}
    suggestion = hold([call(name, payload) for n, name in enumerate(names) for _ in range(5 if n < 3 else 3)])
    capabilities = {rule.capability for rule in parse(suggestion.text).rules}
    assert {*names[:3]} < capabilities < {*names, "*"}


def test_many_arguments_are_no_habit() -> None:
    suggestion = hold(calls("tool", *[{f"k{n}": 1 for n in range(100)}] * 3))
    assert suggestion.allowed == 0


def test_an_empty_history_allows_nothing() -> None:
    suggestion = hold([])
    assert not allows(suggestion, {})


def test_real_users_are_covered_more_than_their_attackers() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"the AgentDojo cases are not there: {SHARED}")
    history = list(read(SHARED))
    users = [one for one in history if one.label == "user"]
    attacks = [one for one in history if one.label == "injection"]
    suggestion = hold(users)
    decide_one = decider(compile_policy(parse(suggestion.text)))
    assert suggestion.allowed / len(users) > 0.7
    passed = sum(decide_one(one.call).outcome.permits for one in attacks)
    assert passed / len(attacks) < 0.7
