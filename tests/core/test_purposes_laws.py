"""The laws of the purpose layer and of shadows, and both against a naive twin.

The twin takes the rule of not knowing by its word: it tries every way of filling in what is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import NamedTuple
from zoneinfo import ZoneInfo

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onpurpose.core.call import Call, Identity
from onpurpose.core.compile import CompiledPolicy
from onpurpose.core.decide import decide, judge, judge_set, read_facts
from onpurpose.core.decision import PolicyRef
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Match, Purpose, PurposePolicy, Status, Window
from onpurpose.core.purposes import PurposeBook, Rules, Verdict
from onpurpose.core.span import Span
from tests.core.asking import compiled
from tests.core.test_theorem import EXAMPLES
from tests.twin.kleene import Answer, both, either

laws = settings(max_examples=EXAMPLES // 3, deadline=None, suppress_health_check=[HealthCheck.too_slow])

PLACE = Span("purposes.yaml", 1, 1)
HOUR = 3_600_000_000
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata"]


class World(NamedTuple):
    """All that a call is judged by, as written."""

    capability: tuple[CompiledPolicy, ...] | None
    candidates: tuple[tuple[PolicyRef, CompiledPolicy | None, CompiledPolicy], ...]
    purposes: tuple[Purpose, ...]
    live: tuple[tuple[PolicyRef, PurposePolicy], ...]
    shadow: tuple[tuple[PolicyRef, PurposePolicy], ...]
    required: bool
    unmatched: Outcome

    def rules(self) -> Rules:
        return Rules(
            policies=self.capability,
            candidates=self.candidates,
            purposes=PurposeBook(self.purposes, self.live, self.shadow),
            purpose_required=self.required,
            unmatched=self.unmatched,
        )


def judged(world: World, call: Call, at: int) -> Verdict:
    return judge(world.rules(), call, read_facts(call), at)


# -- worlds and calls that meet often


def few(items: Sequence[str]) -> st.SearchStrategy[tuple[str, ...] | None]:
    return st.one_of(st.none(), st.none(), st.lists(st.sampled_from(items), min_size=1, max_size=2).map(tuple))


windows = st.builds(
    lambda days, start, length, zone: Window(
        days=tuple(days), start=start, end=min(1440, start + length), zone=ZoneInfo(zone), zone_name=zone
    ),
    st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True),
    st.sampled_from([0, 60, 120, 150, 540, 1380]),
    st.sampled_from([1, 30, 60, 540, 1440]),
    st.sampled_from(ZONES),
)
matches = st.builds(
    Match,
    identity_required=st.booleans(),
    user_groups=few(["g", "h", "G"]),
    data_source_id=few(["d", "e"]),
    agent_ids=few(["agent", "other", "Agent"]),
    capabilities=few(["a.b", "a.*", "*", "x.y", "A.b"]),
    environments=few(["production", "staging"]),
    hours=st.one_of(st.none(), st.none(), st.lists(windows, min_size=1, max_size=2).map(tuple)),
)
NAMES = ["one", "two", "three", "four"]


def ref(name: str, revision: int) -> PolicyRef:
    return PolicyRef(kind="purpose_policy", name=name, revision=revision)


def placed(revision: int) -> st.SearchStrategy[tuple[PolicyRef, PurposePolicy]]:
    return st.builds(
        lambda name, purpose, match, decision, asks, minutes: (
            ref(name, revision),
            PurposePolicy(
                policy_id=name,
                purpose_id=purpose,
                match=match,
                decision=decision,
                approval_required=asks,
                token_ttl_minutes=minutes,
                span=PLACE,
            ),
        ),
        st.sampled_from(NAMES),
        st.sampled_from(["p", "p", "p", "q", "draft", "nowhere"]),
        st.one_of(st.just(Match()), st.just(Match(identity_required=False)), matches, matches),
        st.sampled_from([Outcome.ALLOW, Outcome.ALLOW, Outcome.REQUIRE_APPROVAL, Outcome.DENY]),
        st.booleans(),
        st.sampled_from([1, 5, 90]),
    )


def sets_of(revision: int) -> st.SearchStrategy[tuple[tuple[PolicyRef, PurposePolicy], ...]]:
    return st.lists(placed(revision), max_size=3, unique_by=lambda one: one[0].name).map(tuple)


elements = st.one_of(
    st.none(), st.none(), st.lists(st.sampled_from(["users.id", "users.*", "s.users.*", "s.users.id"]), max_size=2)
).map(lambda some: None if some is None else tuple(some))
purposes = st.builds(
    lambda of_p, of_q: (
        Purpose(id="p", elements=of_p, status=Status.ACTIVE, ttl_seconds=600, span=PLACE),
        Purpose(id="q", elements=of_q, status=Status.ACTIVE, span=PLACE),
        Purpose(id="draft", span=PLACE),
    ),
    elements,
    elements,
)

CAPABILITY = [
    compiled(text)
    for text in (
        "allow: [{capability: '*'}]",
        "warn: [{capability: a.*}]\nallow: [{capability: x.y}]",
        "require_approval: [{capability: a.b, environment: production}]\nallow: [{capability: '*'}]",
        "deny: [{capability: a.b.c}]\nallow: [{capability: a.b, environment: staging}]",
        "deny: [{capability: '*', environment: production}]",
    )
]
policies = st.sampled_from(CAPABILITY)
chosen = st.one_of(st.none(), st.lists(policies, max_size=2, unique_by=id).map(tuple))


def with_candidates(
    live: tuple[CompiledPolicy, ...] | None,
) -> st.SearchStrategy[tuple[tuple[PolicyRef, CompiledPolicy | None, CompiledPolicy], ...]]:
    replaced = st.sampled_from([None, *(live or ())])
    refs = st.builds(PolicyRef, kind=st.just("policy"), name=st.sampled_from(NAMES), revision=st.just(2))
    each = st.tuples(refs, replaced, policies)
    return st.lists(each, max_size=2, unique_by=(lambda one: one[0], lambda one: id(one[1]))).map(tuple)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    live = draw(chosen)
    return World(
        live, draw(with_candidates(live)), draw(purposes), draw(sets_of(1)), draw(sets_of(2)),
        draw(st.sampled_from([False, False, True])), draw(st.sampled_from([Outcome.DENY, Outcome.ALLOW])),
    )  # fmt: skip


identities = st.one_of(
    st.none(),
    st.builds(
        Identity,
        st.sampled_from(["ann", "ann", " "]),
        st.lists(st.sampled_from(["g", "G", " h", "h", "x"]), max_size=2).map(tuple),
    ),
)
touched = st.one_of(
    st.none(),
    st.lists(
        st.sampled_from(["users.id", "users.id", "Users.id", "users.*", "s.users.id", "users.", "users", "", ".id"]),
        max_size=2,
    ).map(tuple),
)
contexts = st.sampled_from(
    [None, {}, *({"environment": value} for value in ("production", "production", "staging", "STAGING", 3))]
)
calls = st.builds(
    Call,
    st.sampled_from(["agent", "agent", "Agent", "other", " agent"]),
    st.sampled_from(["a.b", "a.b", "x.y", "a.B", "a.b.c", "z"]),
    st.just({}),
    contexts,
    identity=identities,
    purpose_id=st.sampled_from(["p", "p", "p", "q", "draft", "nowhere", None]),
    data_source_id=st.sampled_from([None, "d", "d", "D", "e", " d "]),
    elements=touched,
)
MOMENTS = [
    0,
    1_774_749_600_000_000,  # 2026-03-29 02:00 UTC: an hour after the clocks of Berlin went forward
    1_774_746_000_000_000,
    1_792_890_000_000_000,  # 2026-10-25 01:00 UTC: they went back
    1_793_512_800_000_000,  # 2026-11-01 06:00 UTC: those of New York did
]
moments = st.builds(
    lambda moment, hours, off: moment + hours * HOUR + off,
    st.sampled_from(MOMENTS),
    st.integers(-30, 180),
    st.sampled_from([0, -1, HOUR // 2]),
)


# -- the twin


def one_of(value: object, wanted: tuple[str, ...] | None) -> Answer:
    if wanted is None:
        return True
    if not isinstance(value, str):
        return None
    if value in wanted:
        return True
    return None if any(value.strip().lower() == name.strip().lower() for name in wanted) else False


def covering(pattern: str, name: str) -> Answer:
    """By hand, for the names of this module."""
    if pattern == "*" or (pattern == "a.*" and name.startswith("a.")) or pattern == name:
        return True
    near = pattern.lower() in {name.lower(), ".".join(name.lower().split(".")[:2])}
    return None if near or (pattern == "x.y" and name.startswith("x.y.")) else False


def in_window(window: Window, at: int) -> bool:
    there = datetime.fromtimestamp(at // 1_000_000, ZoneInfo(window.zone_name))
    return there.isoweekday() - 1 in window.days and window.start * 60 <= seconds_of(there) < window.end * 60


def seconds_of(moment: datetime) -> int:
    return moment.hour * 3600 + moment.minute * 60 + moment.second


def matching(match: Match, call: Call, at: int) -> Answer:
    who = call.identity
    answers: list[Answer] = []
    if match.identity_required:
        answers.append(False if who is None else True if who.user_id.strip() else None)
    if match.user_groups is not None:
        answers.append(None if who is None else either([one_of(group, match.user_groups) for group in who.groups]))
    answers.append(one_of(call.data_source_id, match.data_source_id))
    answers.append(one_of(call.agent_id, match.agent_ids))
    answers.append(one_of((call.policy_context or {}).get("environment"), match.environments))
    if match.capabilities is not None:
        answers.append(either([covering(pattern, call.capability) for pattern in match.capabilities]))
    if match.hours is not None:
        answers.append(any(in_window(window, at) for window in match.hours))
    return both(answers)


def inside(element: str, allowed: tuple[str, ...]) -> bool:
    for one in allowed:
        have, want = element.split("."), one.split(".")
        if have == want or (want[-1] == "*" and len(have) == len(want) and have[:-1] == want[:-1] and have[-1] != ""):
            return True
    return False


def layer(world: World, live: Sequence[PurposePolicy], call: Call, at: int) -> Outcome | None:
    """The opinion of the purpose layer, were these policies live: over every way of filling in, the strictest."""
    if call.purpose_id is None:
        return Outcome.DENY if world.required else None
    purpose = next((one for one in world.purposes if one.id == call.purpose_id), None)
    if purpose is None or purpose.status is not Status.ACTIVE:
        return None if world.unmatched is Outcome.ALLOW else Outcome.DENY
    of_purpose = [policy for policy in live if policy.purpose_id == call.purpose_id]
    if not of_purpose:
        return None
    answers = [matching(policy.match, call, at) for policy in of_purpose]
    ways = product(*((True, False) if answer is None else (answer,) for answer in answers))
    counting = ([policy for policy, yes in zip(of_purpose, way, strict=True) if yes] for way in ways)
    return max(filled(matched, purpose, call) for matched in counting)


def filled(matched: list[PurposePolicy], purpose: Purpose, call: Call) -> Outcome:
    strictest = max((policy.outcome for policy in matched), default=Outcome.DENY)
    if strictest is Outcome.DENY or purpose.elements is None:
        return strictest
    if call.elements is None:
        return Outcome.DENY
    return strictest if all(inside(element, purpose.elements) for element in call.elements) else Outcome.DENY


def together(
    world: World, capability: tuple[CompiledPolicy, ...] | None, live: Sequence[PurposePolicy], call: Call, at: int
) -> Outcome:
    opinions = [layer(world, live, call, at)]
    if capability is not None:
        opinions.append(decide(capability, call).outcome if capability else Outcome.DENY)
    return max((opinion for opinion in opinions if opinion is not None), default=world.unmatched)


def promoted(world: World, names: set[PolicyRef], call: Call, at: int) -> Outcome:
    live = {one.name: policy for one, policy in world.live}
    live |= {one.name: policy for one, policy in world.shadow if one in names}
    capability = world.capability
    for one, replaced, candidate in world.candidates:
        if one in names:
            capability = (*(policy for policy in capability or () if policy is not replaced), candidate)
    return together(world, capability, list(live.values()), call, at)


# -- the laws


@laws
@given(worlds(), calls, moments)
def test_the_outcome_is_that_of_the_twin(world: World, call: Call, at: int) -> None:
    assert judged(world, call, at).decision.outcome == promoted(world, set(), call, at)


@laws
@given(worlds(), calls, moments)
def test_every_shadow_verdict_is_that_of_the_twin(world: World, call: Call, at: int) -> None:
    actual = promoted(world, set(), call, at)
    qualified = [(one, policy) for one, policy in world.shadow if policy.purpose_id == call.purpose_id]
    shadows = judged(world, call, at).shadows
    assert [shadow.policy for shadow in shadows] == [
        *(one for one, _ in qualified),
        *(one for one, _, _ in world.candidates),
    ]
    for shadow in shadows:
        would = promoted(world, {shadow.policy}, call, at)
        assert shadow.would == would
        assert shadow.newly_blocked is (actual.permits and not would.permits)
    for shadow, (_, policy) in zip(shadows, qualified, strict=False):
        assert shadow.matched is matching(policy.match, call, at)


@laws
@given(worlds(), st.lists(calls, min_size=2, max_size=4), moments)
def test_what_was_asked_before_changes_no_verdict(world: World, some: list[Call], at: int) -> None:
    rules = world.rules()
    assert [judge(rules, call, read_facts(call), at).shadows for call in some] == [
        judged(world, call, at).shadows for call in some
    ]


@laws
@given(worlds(), calls, moments)
def test_a_call_is_unmatched_where_it_stops_and_no_policy_may_match(world: World, call: Call, at: int) -> None:
    shadows = {shadow.policy: shadow for shadow in judged(world, call, at).shadows}
    for one, policy in world.shadow:
        if one in shadows:
            live = [other for of, other in world.live if of.name != one.name and other.purpose_id == call.purpose_id]
            answers = [(other.outcome, matching(other.match, call, at)) for other in (*live, policy)]
            counts = [answer or (answer is None and outcome is Outcome.DENY) for outcome, answer in answers]
            assert shadows[one].unmatched is (shadows[one].newly_blocked and not any(counts))


@laws
@given(worlds(), calls, moments)
def test_live_decisions_never_depend_on_a_shadow(world: World, call: Call, at: int) -> None:
    with_shadows = judged(world, call, at)
    without = judged(world._replace(shadow=(), candidates=()), call, at)
    assert with_shadows.decision.outcome == without.decision.outcome
    assert with_shadows.decision.reasons == without.decision.reasons
    assert (with_shadows.purpose, with_shadows.matched) == (without.purpose, without.matched)
    assert with_shadows.ttl_seconds == without.ttl_seconds
    assert not without.shadows


@laws
@given(worlds(), calls, moments, st.data())
def test_a_set_is_judged_as_if_all_of_it_were_live(world: World, call: Call, at: int, data: st.DataObject) -> None:
    refs = [one for one, _ in world.shadow] + [one for one, _, _ in world.candidates]
    names = set(data.draw(st.lists(st.sampled_from(refs), unique=True))) if refs else set()
    verdict = judge_set(world.rules(), frozenset(names), call, read_facts(call), at)
    assert verdict.decision.outcome == promoted(world, names, call, at)
    assert not verdict.shadows


@laws
@given(worlds(), calls, moments)
def test_a_set_of_one_says_what_its_shadow_said(world: World, call: Call, at: int) -> None:
    for shadow in judged(world, call, at).shadows:
        alone = judge_set(world.rules(), frozenset((shadow.policy,)), call, read_facts(call), at)
        assert alone.decision.outcome == shadow.would


def less_known(call: Call, *, anonymity_is_a_fact: bool) -> Iterator[Call]:
    """The call with one more fact unknown. That a call is anonymous is known: see the contract."""
    yield altered(call, data_source_id=None)
    yield altered(call, policy_context=None)
    yield altered(call, elements=None)
    if call.identity is not None:
        yield altered(call, identity=Identity("", call.identity.groups))
        if not anonymity_is_a_fact:
            yield altered(call, identity=None)


def altered(call: Call, **changed: object) -> Call:
    fields = {name: getattr(call, name) for name in Call.__struct_fields__}
    return Call(**{**fields, **changed})


@laws
@given(worlds(), calls, moments)
def test_not_knowing_a_fact_never_loosens(world: World, call: Call, at: int) -> None:
    known = judged(world, call, at)
    asks_who = any(policy.match.identity_required for _, policy in (*world.live, *world.shadow))
    for hidden in less_known(call, anonymity_is_a_fact=asks_who):
        less = judged(world, hidden, at)
        assert less.decision.outcome >= known.decision.outcome
        would = [shadow.would for shadow in known.shadows]
        assert all(shadow.would >= of_known for shadow, of_known in zip(less.shadows, would, strict=True))


@laws
@given(worlds(), st.lists(st.tuples(calls, moments), max_size=6))
def test_what_is_remembered_of_other_calls_changes_nothing(world: World, asked: list[tuple[Call, int]]) -> None:
    rules = world.rules()
    for call, at in asked * 2:
        again, fresh = judge(rules, call, read_facts(call), at), judged(world, call, at)
        assert again.decision.outcome == fresh.decision.outcome
        assert again.decision.reasons == fresh.decision.reasons
        assert (again.shadows, again.matched, again.ttl_seconds) == (fresh.shadows, fresh.matched, fresh.ttl_seconds)


@laws
@given(worlds(), calls, moments)
def test_the_first_reason_is_a_decisive_one(world: World, call: Call, at: int) -> None:
    decision = judged(world, call, at).decision
    assert decision.reasons[0].outcome == decision.outcome
    assert decision.outcome == max(reason.outcome for reason in decision.reasons)


@laws
@given(worlds(), calls, moments)
def test_a_token_lives_no_longer_than_anything_that_lets_it(world: World, call: Call, at: int) -> None:
    verdict = judged(world, call, at)
    matched = [policy for one, policy in world.live if one in verdict.matched]
    allowing = [policy for policy in matched if policy.outcome < Outcome.DENY]
    purpose = verdict.purpose
    if verdict.decision.outcome is Outcome.DENY or purpose is None or not allowing:
        assert verdict.ttl_seconds == 0
    else:
        assert verdict.ttl_seconds == min(purpose.ttl_seconds, *(policy.token_ttl_minutes * 60 for policy in allowing))
