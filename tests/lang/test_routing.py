"""Who is asked is read exactly, in rules, policies, purpose policies and back, or refused with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import PurposePolicy
from onpurpose.core.routing import Route, Stage
from onpurpose.core.span import Span
from onpurpose.lang.purposes import parse_purposes, write_purpose_policy
from onpurpose.lang.read import parse
from onpurpose.lang.routing import MAX_STAGES
from tests.lang.reading import problems, told

FINANCE = Stage(approvers=("group:finance",))


def rule(lines: str) -> str:
    """A policy of one rule that asks, with these lines."""
    return "require_approval:\n  - capability: pay\n" + "".join(f"    {line}\n" for line in lines.splitlines())


@pytest.mark.parametrize(
    ("written", "route"),
    [
        ("approvers: group:finance", Route(stages=(FINANCE,))),
        ("approvers: [group:finance]", Route(stages=(FINANCE,))),
        ("approvers: {from: group:finance}", Route(stages=(FINANCE,))),
        ("approvers: [user:ann@x.org, anyone]", Route(stages=(Stage(approvers=("user:ann@x.org", "anyone")),))),
        ('approvers: ["group:on call"]', Route(stages=(Stage(approvers=("group:on call",)),))),
        ("step_up: true", Route(step_up=True)),
        ("step_up: false", Route()),
        (
            ("approvers: {from: [user:a, group:b], quorum: 2, escalate_after_minutes: 5, then: group:finance}\n"
            "step_up: true"),
            Route(
                stages=(Stage(approvers=("user:a", "group:b"), quorum=2, escalate_after_seconds=300), FINANCE),
                step_up=True,
            ),
        ),
        (
            "approvers: {from: user:a, then: {from: user:b, then: [user:c]}}",
            Route(stages=tuple(Stage(approvers=(f"user:{one}",)) for one in "abc")),
        ),
    ],
)  # fmt: skip
def test_a_rule_says_who_is_asked(written: str, route: Route) -> None:
    (found,) = parse(rule(written)).rules
    assert found.route == route
    whole = parse("allow:\n  - capability: pay\n" + written + "\n")
    assert whole.route == route
    assert whole.rules[0].route is None


def test_nothing_said_is_nothing_read() -> None:
    policy = parse(rule(""))
    assert policy.route is None
    assert policy.rules[0].route is None


@pytest.mark.parametrize(
    ("written", "places"),
    [
        ("approvers: finance", ["3:16 malformed-approver"]),
        ("approvers: ['group:', 'user: ']", ["3:17 malformed-approver", "3:27 malformed-approver"]),
        ("approvers: 'group:  x'", ["3:16 malformed-approver"]),
        ("approvers: Group:finance", ["3:16 malformed-approver"]),
        ("approvers: [group:a, group:a]", ["3:26 duplicate-value"]),
        ("approvers: []", ["3:16 empty"]),
        ("approvers: 5", ["3:16 wrong-type"]),
        ("approvers: {quorum: 2}", ["3:16 missing-key"]),
        ("approvers: {from: x}", ["3:23 malformed-approver"]),
        ("approvers: {from: user:a, quorum: 2}", ["3:39 never"]),
        ("approvers: {from: anyone, quorum: 0}", ["3:39 out-of-range"]),
        ("approvers: {from: anyone, quorum: 21}", ["3:39 out-of-range"]),
        ("approvers: {from: anyone, quorum: '2'}", ["3:39 wrong-type"]),
        ("approvers: {from: anyone, escalate_after_minutes: 5}", ["3:55 never"]),
        ("approvers: {from: [anyone, user:a], escalate_after_minutes: 10081}", ["3:65 out-of-range"]),
        ("approvers: {from: anyone, form: 1}", ["3:31 unknown-key"]),
        ("approvers: {from: x, then: y}", ["3:23 malformed-approver", "3:32 malformed-approver"]),
        ("approvers: {from: anyone, then: []}", ["3:37 empty"]),
        ("step_up: 'true'", ["3:14 wrong-type"]),
        ("approvers: [" + ", ".join(f"user:{n}" for n in range(51)) + "]", ["3:16 too-many"]),
        ("approvers: ['group:" + "x" * 251 + "']", ["3:17 malformed-approver"]),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_where_it_stands(written: str, places: list[str]) -> None:
    assert told(rule(written)) == places


def test_a_bare_name_is_shown_how_it_is_written() -> None:
    (problem,) = problems(rule("approvers: finance"))
    assert problem.help == "write `group:finance` for a group, `user:finance` for one person"


@pytest.mark.parametrize("last", ["{from: user:z}", "user:z"])
def test_there_are_only_so_many_stages(last: str) -> None:
    written = last
    for number in range(MAX_STAGES - 1):
        written = f"{{from: user:{number}, then: {written}}}"
    (found,) = parse(rule("approvers: " + written)).rules
    assert found.route is not None
    assert len(found.route.stages) == MAX_STAGES
    assert [one.split()[1] for one in told(rule(f"approvers: {{from: user:y, then: {written}}}"))] == ["too-many"]


@pytest.mark.parametrize("section", ["deny", "block", "warn", "allow"])
def test_a_rule_that_asks_nobody_says_not_who_is_asked(section: str) -> None:
    text = f"{section}:\n  - capability: pay\n    step_up: true\n    approvers: [user:a]\n"
    assert told(text) == ["3:5 needless", "4:5 needless"]


@pytest.mark.parametrize(
    ("decision", "places"),
    [
        ("decision: require_approval", []),
        ("decision: allow\napproval_required: true", []),
        ("decision: allow", ["3:12 needless", "4:27 needless"]),
        ("decision: deny", ["3:12 needless", "4:27 needless"]),
        ("decision: deny\napproval_required: true", ["4:12 needless", "5:27 needless"]),
    ],
)
def test_a_purpose_policy_says_who_is_asked_only_where_it_asks(decision: str, places: list[str]) -> None:
    text = f"purpose_id: p\n{decision}\napprovers: user:a\napproval_timeout_seconds: 60\n"
    if places:
        assert told(text, parse_purposes) == places
    else:
        (policy,) = parse_purposes(text)
        assert isinstance(policy, PurposePolicy)
        assert policy.route == Route(stages=(Stage(approvers=("user:a",)),), timeout_seconds=60)


def test_a_purpose_policy_may_say_only_how_long() -> None:
    (policy,) = parse_purposes("purpose_id: p\ndecision: require_approval\napproval_timeout_seconds: 60\n")
    assert isinstance(policy, PurposePolicy)
    assert policy.route == Route(timeout_seconds=60)


names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
people = st.lists(
    st.one_of(st.just("anyone"), names.map("user:{}".format), names.map("group:{}".format)),
    min_size=2, max_size=5, unique=True,
)  # fmt: skip
stages = st.builds(
    Stage,
    approvers=people.map(tuple),
    quorum=st.integers(1, 2),
    escalate_after_seconds=st.none() | st.integers(1, 100).map(lambda minutes: minutes * 60),
)


@given(
    st.builds(
        Route,
        stages=st.lists(stages, max_size=4).map(tuple),
        step_up=st.booleans(),
        timeout_seconds=st.integers(1, 9999),
    )
)
def test_what_is_written_of_a_purpose_policy_reads_back(route: Route) -> None:
    policy = PurposePolicy(
        policy_id="p", purpose_id="p", decision=Outcome.REQUIRE_APPROVAL, route=route, span=Span("<purposes>", 1, 1)
    )
    (back,) = parse_purposes(write_purpose_policy(policy))
    assert isinstance(back, PurposePolicy)
    assert back.route == route
