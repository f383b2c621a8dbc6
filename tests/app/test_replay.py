"""The past decided again: what a replay counts, keeps and lets pass; and test files with what they cover."""

import sys
import tracemalloc
from collections.abc import Iterator

import pytest

from onpurpose.app.history import (
    MAX_NOTABLE,
    MAX_ROWS,
    OTHER,
    Replayed,
    Summary,
    decider,
    replay,
    run_cases,
    shown,
    summarise,
)
from onpurpose.core.call import Call
from onpurpose.core.compile import CompiledPolicy, compile_policy
from onpurpose.core.decision import Code
from onpurpose.core.history import Doubt, RecordedCall
from onpurpose.core.outcome import Outcome
from onpurpose.core.span import Span
from onpurpose.lang.cases import parse_cases
from onpurpose.lang.read import parse

POLICY = """\
deny:
  - capability: pay.send
    amount_gt: 100
require_approval:
  - capability: pay.send
    args: {to: {not: {in: [ada, bob]}}}
allow:
  - capability: pay.send
  - capability: pay.read
"""
DENY, ASK, SEND, READ = "p.yaml:2", "p.yaml:5", "p.yaml:8", "p.yaml:9"


def compiled(text: str = POLICY) -> CompiledPolicy:
    return compile_policy(parse(text, "p.yaml"))


def call(capability: str, payload: object = None, **known: object) -> RecordedCall:
    return RecordedCall(call=Call("a", capability, payload), at=Span("log", 1, 1), **known)  # type: ignore[arg-type]


def send(to: str, amount: object, **known: object) -> RecordedCall:
    return call("pay.send", {"to": to, "amount": amount}, **known)


HISTORY = [
    send("ada", 5, label="user", decided=Outcome.ALLOW),
    send("bob", 500, label="attack", decided=Outcome.ALLOW),
    send("eve", 5, label="attack"),
    send("ada", "many", label="user", note="a number in words"),
    call("pay.read", {}, label="user", doubts=(Doubt.MASKED,)),
    call("pay.wipe", {}),
    call("pay wipe", {}),
]


def test_a_replay_gives_every_call_its_decision_in_order() -> None:
    replayed = list(replay(HISTORY, decider(compiled())))
    allow, ask, deny = Outcome.ALLOW, Outcome.REQUIRE_APPROVAL, Outcome.DENY
    assert [one.recorded for one in replayed] == HISTORY
    assert [one.decision.outcome for one in replayed] == [allow, deny, ask, deny, allow, deny, deny]
    assert [one.changed for one in replayed] == [False, True, *[False] * 5]


def test_a_summary_counts_in_every_direction() -> None:
    summary = summarise(replay(HISTORY, decider(compiled())))
    allow, ask, deny = Outcome.ALLOW, Outcome.REQUIRE_APPROVAL, Outcome.DENY
    assert (summary.total, summary.changed, summary.unknown) == (7, 1, 1)
    assert summary.by_outcome == {allow: 2, ask: 1, deny: 4}
    assert summary.by_capability == {
        "pay.send": {allow: 1, ask: 1, deny: 2},
        "pay.read": {allow: 1},
        "pay.wipe": {deny: 1},
        "pay wipe": {deny: 1},
    }
    assert summary.by_label == {"user": {allow: 2, deny: 1}, "attack": {ask: 1, deny: 1}}
    assert summary.by_rule == {SEND: {allow: 1}, DENY: {deny: 2}, ASK: {ask: 1}, READ: {allow: 1}}
    assert summary.by_code[Code.MALFORMED_CALL] == 1
    assert summary.doubts == {Doubt.MASKED: 1}


def test_the_notable_calls_are_those_that_were_not_plainly_allowed() -> None:
    summary = summarise(replay(HISTORY, decider(compiled())))
    assert [(one.capability, one.rule) for one in summary.notable] == [
        ("pay.send", DENY), ("pay.send", ASK), ("pay.send", DENY), ("pay.wipe", ""), ("pay wipe", ""),
    ]  # fmt: skip
    assert summary.notable[0].shown == '{"to": "bob", "amount": 500}'
    assert summary.notable[0].decided is Outcome.ALLOW
    assert summary.notable[2].note == "a number in words"


def test_without_a_policy_everything_is_denied() -> None:
    summary = summarise(replay(HISTORY, decider()))
    assert summary.by_outcome == {Outcome.DENY: len(HISTORY)}


def test_of_two_policies_the_stricter_decides() -> None:
    other = compiled("allow:\n  - capability: '*'\n")
    both = summarise(replay(HISTORY, decider(other, compiled())))
    assert both.by_outcome == summarise(replay(HISTORY, decider(compiled()))).by_outcome


def test_a_watched_replay_is_the_same_replay() -> None:
    summary = Summary()
    watched = list(summary.watch(replay(HISTORY, decider(compiled()))))
    assert [one.recorded for one in watched] == HISTORY
    assert summary.total == len(HISTORY)


def test_a_replay_reads_no_further_than_it_is_asked() -> None:
    read = 0

    def endless() -> Iterator[RecordedCall]:
        nonlocal read
        while True:
            read += 1
            yield send("ada", 1)

    replayed = replay(endless(), decider(compiled()))
    assert isinstance(next(replayed), Replayed)
    assert read == 1


def test_hostile_names_do_not_make_a_summary_grow() -> None:
    calls = (call(f"tool.n{n}", {"x": "y" * 50_000}, label=f"l{n}") for n in range(MAX_ROWS + 500))
    summary = summarise(replay(calls, decider(compiled())))
    assert len(summary.by_capability) == len(summary.by_label) == MAX_ROWS + 1
    assert summary.by_capability[OTHER].total() == 500
    assert len(summary.notable) == MAX_NOTABLE
    assert max(len(one.shown) for one in summary.notable) <= 200


def test_memory_stays_flat_over_a_long_replay() -> None:
    decide_one, one = decider(compiled()), send("bob", 500, label="attack")
    summary = Summary()

    def run(times: int) -> None:
        for replayed in replay((one for _ in range(times)), decide_one):
            summary.add(replayed)

    run(500)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    run(5_000)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("ls", "ls"),
        (None, "null"),
        ({"a": "é"}, '{"a": "é"}'),
        ("a\x1b[31m\nb", "a\ufffd[31m\ufffdb"),
        ({"password": "hunter22"}, '{"password": "[masked]"}'),
        ("\ud800", "?"),
    ],
)
def test_a_payload_is_shown_so_that_a_terminal_can_print_it(payload: object, expected: str) -> None:
    assert shown(payload) == expected


def test_a_payload_too_deep_to_show_says_so() -> None:
    deep: object = "x"
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    assert "too deep" in shown(deep)


# -- test files

CASES = """\
policy: p.yaml
cases:
  - {name: small, capability: pay.send, payload: {to: ada, amount: 5}, outcome: allow, rule: 8}
  - {name: large, capability: pay.send, payload: {to: ada, amount: 500}, outcome: deny, reason: rule_matched}
  - {name: stranger, capability: pay.send, payload: {to: eve, amount: 5}, outcome: require_approval}
"""


def test_cases_that_hold_pass_and_cover_what_they_saw() -> None:
    run = run_cases(parse_cases(CASES), compiled())
    assert run.passed
    assert [result.case.name for result in run.results] == ["small", "large", "stranger"]
    assert [(c.rule.span.line, c.fired, c.spared) for c in run.coverage] == [(2, 1, 2), (5, 1, 2), (8, 3, 0), (9, 0, 0)]
    assert [c.both_ways for c in run.coverage] == [True, True, True, False]
    assert run.covered == 3


def test_an_unknown_answer_covers_neither_way() -> None:
    cases = parse_cases("policy: p\ncases:\n  - {name: n, capability: pay.send, payload: {to: ada}, outcome: deny}\n")
    coverage = run_cases(cases, compiled()).coverage
    assert (coverage[0].fired, coverage[0].spared) == (0, 0)


@pytest.mark.parametrize(
    ("expected", "failure"),
    [
        ("outcome: allow", "expected allow, and it is deny"),
        ("outcome: deny, rule: 5", "expected the rule of line 5 to decide, and the rule of line 2 does"),
        ("outcome: deny, reason: no_rule_matched", "expected the reason no_rule_matched, and it is rule_matched"),
    ],
)
def test_a_case_that_does_not_hold_says_what_differs(expected: str, failure: str) -> None:
    text = f"policy: p\ncases:\n  - {{name: n, capability: pay.send, payload: {{to: ada, amount: 500}}, {expected}}}\n"
    run = run_cases(parse_cases(text), compiled())
    assert not run.passed
    assert run.results[0].failure.startswith(failure)


def test_a_case_that_expects_a_rule_where_none_decides_fails() -> None:
    text = "policy: p\ncases:\n  - {name: n, capability: other, payload: {}, outcome: deny, rule: 2}\n"
    assert "no rule does" in run_cases(parse_cases(text), compiled()).results[0].failure
