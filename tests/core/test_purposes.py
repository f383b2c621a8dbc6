"""What a declared purpose makes of a call: when a policy matches, what follows, and what is said of it."""

from __future__ import annotations

import gc
import weakref
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from onpurpose.core.call import Call, Identity
from onpurpose.core.decide import judge, read_facts
from onpurpose.core.decision import Code, PolicyRef
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Match, Purpose, PurposePolicy, Status, Window
from onpurpose.core.purposes import PurposeBook, Rules, Verdict
from onpurpose.core.span import Span
from tests.core.asking import ALLOW, ASK, DENY, FALSE, TRUE, UNKNOWN, Label, Word, compiled, table

PLACE = Span("purposes.yaml", 1, 1)
ANN = Identity("ann", ("support",))
ANYONE = Match(identity_required=False)
OF_D = Match(identity_required=False, data_source_id=("d",))
NOON = 1_782_302_400_000_000  # Wednesday, 2026-06-24 12:00 UTC


def purpose(**fields: object) -> Purpose:
    return Purpose(**{"id": "p", "status": Status.ACTIVE, "span": PLACE, **fields})  # type: ignore[arg-type]


def policy(
    decision: Outcome = Outcome.ALLOW, match: Match = ANYONE, name: str = "one", minutes: int = 5
) -> PurposePolicy:
    return PurposePolicy(
        policy_id=name, purpose_id="p", decision=decision, match=match, token_ttl_minutes=minutes, span=PLACE
    )


def named(*policies: PurposePolicy) -> list[tuple[PolicyRef, PurposePolicy]]:
    return [(PolicyRef(kind="purpose_policy", name=one.policy_id, revision=1), one) for one in policies]


def rules(*live: PurposePolicy, of: Purpose | None = None, **fields: object) -> Rules:
    book = PurposeBook([purpose() if of is None else of], named(*live), ())
    return Rules(**{"policies": None, "purposes": book, **fields})  # type: ignore[arg-type]


def call(**fields: object) -> Call:
    return Call(**{"agent_id": "bot", "capability": "crm.read", "payload": {}, "purpose_id": "p", **fields})  # type: ignore[arg-type]


def verdict(by: Rules, asked: Call, at: int = NOON) -> Verdict:
    return judge(by, asked, read_facts(asked), at)


def said(by: Rules, asked: Call) -> list[str]:
    """The outcome, and the codes of its reasons."""
    decision = verdict(by, asked).decision
    return [str(decision.outcome), *(str(reason.code) for reason in decision.reasons)]


# -- when a policy matches

MATCHED = {(ALLOW, DENY): TRUE, (DENY, ALLOW): FALSE, (DENY, DENY): UNKNOWN}
"""What a match answered, told from a policy that allows, alone, and one that denies beside one that allows."""


def answer(match: Match, asked: Call, at: int = NOON) -> str:
    allowing = verdict(rules(policy(Outcome.ALLOW, match)), asked, at)
    denying = verdict(rules(policy(Outcome.DENY, match), policy(name="any")), asked, at)
    return MATCHED[str(allowing.decision.outcome), str(denying.decision.outcome)]


@pytest.mark.parametrize(
    ("match", "asked", "expected"),
    table(
        ("nothing asked, anonymous", ANYONE, call(), TRUE),
        ("identity required by default, anonymous", Match(), call(), FALSE),
        ("identity required, given", Match(), call(identity=ANN), TRUE),
        ("an identity that names nobody", Match(), call(identity=Identity(" ", ("support",))), UNKNOWN),
        ("in one of the groups", Match(user_groups=("x", "support")), call(identity=ANN), TRUE),
        ("in none of the groups", Match(user_groups=("x",)), call(identity=ANN), FALSE),
        ("a group in another case", Match(user_groups=("Support",)), call(identity=ANN), UNKNOWN),
        ("no groups at all", Match(user_groups=("x",)), call(identity=Identity("ann")), FALSE),
        ("groups as a list", Match(user_groups=("x",)), call(identity=Identity("ann", ["x"])), TRUE),  # type: ignore[arg-type]
        ("groups, anonymous", Match(identity_required=False, user_groups=("x",)), call(), UNKNOWN),
        ("groups and identity, anonymous", Match(user_groups=("x",)), call(), FALSE),
        ("the data source", OF_D, call(data_source_id="d"), TRUE),
        ("another", OF_D, call(data_source_id="e"), FALSE),
        ("none given", OF_D, call(), UNKNOWN),
        ("spaces round it", OF_D, call(data_source_id=" D"), UNKNOWN),
        ("the agent", Match(identity_required=False, agent_ids=("x", "bot")), call(), TRUE),
        ("another agent", Match(identity_required=False, agent_ids=("x",)), call(), FALSE),
        ("the agent in another case", Match(identity_required=False, agent_ids=("Bot",)), call(), UNKNOWN),
        ("the capability", Match(identity_required=False, capabilities=("crm.read",)), call(), TRUE),
        ("a pattern", Match(identity_required=False, capabilities=("x", "crm.*")), call(), TRUE),
        ("another capability", Match(identity_required=False, capabilities=("crm.write",)), call(), FALSE),
        ("a name above it", Match(identity_required=False, capabilities=("crm",)), call(), UNKNOWN),
        (
            "the environment",
            Match(identity_required=False, environments=("production",)),
            call(policy_context={"environment": Label.PRODUCTION}),
            TRUE,
        ),
        (
            "the environment as an enum",
            Match(identity_required=False, environments=("production",)),
            call(policy_context={"environment": Word.PRODUCTION}),
            TRUE,
        ),
        (
            "the environment in another case",
            Match(identity_required=False, environments=("production",)),
            call(policy_context={"environment": "PRODUCTION "}),
            UNKNOWN,
        ),
        ("no environment", Match(identity_required=False, environments=("production",)), call(), UNKNOWN),
        (
            "an environment that is no text",
            Match(identity_required=False, environments=("production",)),
            call(policy_context={"environment": ["production"]}),
            UNKNOWN,
        ),
        (
            "one field false, another unknown",
            Match(identity_required=False, agent_ids=("x",), data_source_id=("d",)),
            call(),
            FALSE,
        ),
        (
            "one field true, another unknown",
            Match(identity_required=False, agent_ids=("bot",), data_source_id=("d",)),
            call(),
            UNKNOWN,
        ),
    ),
)
def test_a_match_answers(match: Match, asked: Call, expected: str) -> None:
    assert answer(match, asked) == expected


def office(zone: str, days: tuple[int, ...] = (0, 1, 2, 3, 4), start: int = 540, end: int = 1020) -> Match:
    window = Window(days=days, start=start, end=end, zone=ZoneInfo(zone), zone_name=zone)
    return Match(identity_required=False, hours=(window,))


@pytest.mark.parametrize(
    ("match", "moment", "expected"),
    table(
        ("nine in Berlin in winter", office("Europe/Berlin"), "2026-01-07T08:00:00", TRUE),
        ("a second before", office("Europe/Berlin"), "2026-01-07T07:59:59", FALSE),
        ("nine in Berlin in summer", office("Europe/Berlin"), "2026-06-24T07:00:00", TRUE),
        ("eight in Berlin in summer", office("Europe/Berlin"), "2026-06-24T06:59:59", FALSE),
        ("the last second before five", office("Europe/Berlin"), "2026-06-24T14:59:59", TRUE),
        ("five", office("Europe/Berlin"), "2026-06-24T15:00:00", FALSE),
        ("a Saturday", office("Europe/Berlin"), "2026-06-27T10:00:00", FALSE),
        ("Sunday in UTC, Monday in Tokyo", office("Asia/Tokyo", (0,), 0), "2026-06-21T15:00:00", TRUE),
        ("Friday in UTC, Thursday in New York", office("America/New_York", (3,), 0, 1440), "2026-06-26T03:59:59", TRUE),
        ("the hour that comes twice, first", office("Europe/Berlin", (6,), 120, 180), "2026-10-25T00:30:00", TRUE),
        ("the hour that comes twice, again", office("Europe/Berlin", (6,), 120, 180), "2026-10-25T01:30:00", TRUE),
        ("past it", office("Europe/Berlin", (6,), 120, 180), "2026-10-25T02:00:00", FALSE),
        ("before the hour that is left out", office("Europe/Berlin", (6,), 120, 180), "2026-03-29T00:59:59", FALSE),
        ("after it", office("Europe/Berlin", (6,), 120, 180), "2026-03-29T01:00:00", FALSE),
        ("up to midnight", office("UTC", (2,), 0, 1440), "2026-06-24T23:59:59", TRUE),
        ("midnight", office("UTC", (2,), 0, 1440), "2026-06-25T00:00:00", FALSE),
    ),
)
def test_hours_are_those_on_the_clocks_of_the_zone(match: Match, moment: str, expected: str) -> None:
    at = int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * 1_000_000
    assert answer(match, call(), at) == expected


def test_the_last_microsecond_of_a_window_is_in_it() -> None:
    end = int(datetime(2026, 6, 24, 15, tzinfo=UTC).timestamp()) * 1_000_000
    assert [answer(office("Europe/Berlin"), call(), at) for at in (end - 1, end)] == [TRUE, FALSE]


@pytest.mark.parametrize("at", [10**30, -(10**30), 253_402_300_799_000_000, -62_135_596_800_000_000])
def test_hours_of_a_time_outside_the_calendar_are_unknown(at: int) -> None:
    zone = "Pacific/Kiritimati" if at > 0 else "America/New_York"
    assert answer(office(zone), call(), at) == UNKNOWN


def test_one_of_several_windows_is_enough() -> None:
    windows = tuple(window for zone in ("Asia/Tokyo", "UTC") for window in office(zone).hours or ())
    assert answer(Match(identity_required=False, hours=windows), call()) == TRUE


# -- what follows


@pytest.mark.parametrize(
    ("by", "asked", "expected"),
    table(
        ("no such purpose", rules(policy()), call(purpose_id="q"), [DENY, "unknown_purpose"]),
        ("a draft", rules(policy(), of=purpose(status=Status.DRAFT)), call(), [DENY, "unknown_purpose"]),
        ("archived", rules(policy(), of=purpose(status=Status.ARCHIVED)), call(), [DENY, "unknown_purpose"]),
        (
            "no such purpose, observed",
            rules(policy(), unmatched=Outcome.ALLOW),
            call(purpose_id="q"),
            [ALLOW, "observed", "unknown_purpose"],
        ),
        ("no live policy", rules(), call(), [DENY, "no_policy"]),
        ("no live policy, observed", rules(unmatched=Outcome.ALLOW), call(), [ALLOW, "observed"]),
        ("none matches", rules(policy(match=Match())), call(), [DENY, "no_purpose_policy_matched"]),
        (
            "none matches, observed",
            rules(policy(match=Match()), unmatched=Outcome.ALLOW),
            call(),
            [DENY, "no_purpose_policy_matched"],
        ),
        ("one allows", rules(policy()), call(), [ALLOW, "purpose_policy_matched"]),
        (
            "the strictest of those that match",
            rules(policy(), policy(Outcome.REQUIRE_APPROVAL, name="two"), policy(Outcome.DENY, Match(), "three")),
            call(),
            [ASK, "purpose_policy_matched", "purpose_policy_matched"],
        ),
        (
            "a doubtful denial beside one that allows",
            rules(policy(), policy(Outcome.DENY, OF_D, "two")),
            call(),
            [DENY, "purpose_policy_unknown", "purpose_policy_matched"],
        ),
        ("a doubtful denial alone", rules(policy(Outcome.DENY, OF_D)), call(), [DENY, "purpose_policy_unknown"]),
        (
            "a doubtful question beside one that allows",
            rules(policy(), policy(Outcome.REQUIRE_APPROVAL, OF_D, "two")),
            call(),
            [ASK, "purpose_policy_unknown", "purpose_policy_matched"],
        ),
        (
            "a doubtful question alone",
            rules(policy(Outcome.REQUIRE_APPROVAL, OF_D)),
            call(),
            [DENY, "no_purpose_policy_matched", "purpose_policy_unknown"],
        ),
        (
            "a doubtful permission beside one that asks",
            rules(
                policy(Outcome.REQUIRE_APPROVAL),
                policy(match=OF_D, name="x"),
            ),
            call(),
            [ASK, "purpose_policy_matched"],
        ),
        ("none declared", rules(policy()), call(purpose_id=None), [DENY, "no_policy"]),
        (
            "none declared, one required",
            rules(policy(), purpose_required=True, unmatched=Outcome.ALLOW),
            call(purpose_id=None),
            [DENY, "purpose_required"],
        ),
        ("nothing known of purposes", rules(purposes=None, unmatched=Outcome.ALLOW), call(), [ALLOW, "observed"]),
        ("nothing known, one required", rules(purposes=None, purpose_required=True), call(), [DENY, "unknown_purpose"]),
        ("an unmatched outcome of no kind", rules(unmatched=Outcome.WARN), call(), [DENY, "no_policy"]),
    ),
)
def test_the_purpose_layer_decides(by: Rules, asked: Call, expected: list[str]) -> None:
    assert said(by, asked) == expected


def test_an_allow_that_needs_approval_asks() -> None:
    asking = PurposePolicy(
        policy_id="one", purpose_id="p", decision=Outcome.ALLOW, approval_required=True, match=ANYONE, span=PLACE
    )
    assert said(rules(asking), call())[0] == ASK


@pytest.mark.parametrize(
    ("text", "decision", "expected"),
    table(
        ("both allow", "allow: [{capability: '*'}]", Outcome.ALLOW, [ALLOW, "rule_matched", "purpose_policy_matched"]),
        ("one warns", "warn: [{capability: '*'}]", Outcome.ALLOW, ["warn", "rule_matched", "purpose_policy_matched"]),
        (
            "the purpose asks",
            "warn: [{capability: '*'}]",
            Outcome.REQUIRE_APPROVAL,
            [ASK, "purpose_policy_matched", "rule_matched"],
        ),
        ("no rule", "allow: []", Outcome.ALLOW, [DENY, "no_rule_matched", "purpose_policy_matched"]),
        (
            "the purpose denies",
            "allow: [{capability: '*'}]",
            Outcome.DENY,
            [DENY, "purpose_policy_matched", "rule_matched"],
        ),
    ),
)
def test_the_stricter_of_both_layers_stands(text: str, decision: Outcome, expected: list[str]) -> None:
    assert said(rules(policy(decision), policies=(compiled(text),)), call()) == expected


def test_a_layer_that_is_alone_gives_its_own_decision() -> None:
    by = rules(policies=(compiled("allow: [{capability: '*'}]"),))
    one, other = (verdict(by, call(purpose_id=None)).decision for _ in range(2))
    assert one is other


def test_no_capability_policy_chosen_is_a_denial() -> None:
    assert said(rules(policy(), policies=()), call()) == [DENY, "no_policy", "purpose_policy_matched"]


@pytest.mark.parametrize("capability", ["a..b", "a b", "", "a.b\n", "a" * 513])
@pytest.mark.parametrize("policies", [None, (), (compiled("allow: [{capability: '*'}]"),)])
def test_a_malformed_capability_is_denied_and_declares_nothing(capability: str, policies: object) -> None:
    found = verdict(rules(policy(), policies=policies, unmatched=Outcome.ALLOW), call(capability=capability))
    assert [reason.code for reason in found.decision.reasons] == [Code.MALFORMED_CALL]
    assert (found.shadows, found.purpose, found.ttl_seconds, found.matched) == ((), None, 0, ())


# -- elements

BOUND = purpose(elements=("users.email", "orders.*", "crm.leads.*"))


@pytest.mark.parametrize(
    ("elements", "expected"),
    table(
        ("an element", ("users.email",), ALLOW),
        ("a column of a table", ("orders.id", "users.email"), ALLOW),
        ("all columns of a table", ("orders.*",), ALLOW),
        ("a column of a table in a schema", ["crm.leads.name"], ALLOW),
        ("none", (), ALLOW),
        ("another column", ("users.password",), DENY),
        ("all columns where one is allowed", ("users.*",), DENY),
        ("one outside among others", ("orders.id", "users.id"), DENY),
        ("another letter case", ("Users.email",), DENY),
        ("white space", ("users.email ",), DENY),
        ("a schema that is not named", ("public.users.email",), DENY),
        ("a star is one segment", ("orders.a.b",), DENY),
        ("a table in the schema is no column", ("crm.leads",), DENY),
        ("no column", ("orders.",), DENY),
        ("the table alone", ("orders",), DENY),
        ("everything", ("*",), DENY),
        ("an empty text", ("",), DENY),
        ("no text", (3,), DENY),
        ("untold", None, DENY),
        ("a bare text is no list", "users.email", DENY),
        ("a mapping is no list", {"users.email": 1}, DENY),
    ),
)
def test_a_call_touches_what_its_purpose_may(elements: object, expected: str) -> None:
    assert said(rules(policy(), of=BOUND), call(elements=elements))[0] == expected


@pytest.mark.parametrize("elements", [None, (), ("users.password",)])
def test_a_purpose_that_does_not_speak_of_data_bounds_none(elements: object) -> None:
    assert said(rules(policy()), call(elements=elements)) == [ALLOW, "purpose_policy_matched"]


@pytest.mark.parametrize("elements", [None, ("users.email",)])
def test_a_purpose_that_may_touch_no_data_denies_any(elements: object) -> None:
    by = rules(policy(), of=purpose(elements=()))
    assert said(by, call(elements=elements)) == [DENY, "element_outside_purpose", "purpose_policy_matched"]
    assert said(by, call(elements=()))[0] == ALLOW


def test_nobody_is_asked_to_grant_what_the_purpose_forbids() -> None:
    by = rules(policy(Outcome.REQUIRE_APPROVAL), of=BOUND)
    assert said(by, call(elements=("x.y",))) == [DENY, "element_outside_purpose", "purpose_policy_matched"]


def test_elements_are_not_spoken_of_where_a_policy_denies() -> None:
    by = rules(policy(Outcome.DENY), of=BOUND)
    assert said(by, call(elements=("x.y",))) == [DENY, "purpose_policy_matched"]


def test_elements_do_not_count_where_no_policy_is_live() -> None:
    assert said(rules(of=BOUND, unmatched=Outcome.ALLOW), call(elements=("x.y",))) == [ALLOW, "observed"]


def message(elements: object) -> str:
    return verdict(rules(policy(), of=BOUND), call(elements=elements)).decision.reasons[0].message


def test_elements_outside_are_named() -> None:
    assert message(("orders.id", "users.id", "users.ssn")) == (
        "the call touches what is outside its purpose: `users.id`, `users.ssn`"
    )
    assert message(None) == "what data the call touches cannot be told"


def test_what_is_named_is_bounded_and_printable() -> None:
    shown = message(("\x1b[31m" + "x" * 10_000,) * 1000)
    assert shown.isprintable()
    assert len(shown) < 600
    assert shown.endswith("and 995 more")


def test_a_call_is_told_that_only_letter_case_differs() -> None:
    reason = verdict(rules(policy(), of=BOUND), call(elements=("Orders.ID",))).decision.reasons[0]
    assert [unknown.condition for unknown in reason.unknown] == ["elements"]
    assert not verdict(rules(policy(), of=BOUND), call(elements=("x.y",))).decision.reasons[0].unknown


def test_elements_are_judged_in_linear_time() -> None:
    many = tuple(f"table{number}.column" for number in range(20_000))
    by = rules(policy(), of=purpose(elements=many))
    assert said(by, call(elements=many)) == [ALLOW, "purpose_policy_matched"]


# -- what is said


def test_what_would_settle_an_unknown_match_is_said_field_by_field() -> None:
    match = Match(
        user_groups=("Support",), data_source_id=("d",), agent_ids=("BOT",), capabilities=("crm",), environments=("x",)
    )
    reasons = verdict(rules(policy(match=match)), call(identity=Identity(" ", ("support",)))).decision.reasons
    assert reasons[1].policy == PolicyRef(kind="purpose_policy", name="one", revision=1)
    assert [unknown.condition for unknown in reasons[1].unknown] == [
        "match.identity_required",
        "match.user_groups",
        "match.data_source_id",
        "match.agent_ids",
        "match.capabilities",
        "match.environments",
    ]


def test_an_unknown_purpose_is_named_printably() -> None:
    decision = verdict(rules(), call(purpose_id="\x1b]0;" + "q" * 500)).decision
    assert decision.reasons[0].message.isprintable()
    assert len(decision.reasons[0].message) < 200


@pytest.mark.parametrize(
    ("status", "words"), [(Status.DRAFT, "is draft, not active"), (Status.ARCHIVED, "is archived, not active")]
)
def test_it_is_said_why_a_purpose_does_not_count(status: Status, words: str) -> None:
    found = verdict(rules(policy(), of=purpose(status=status)), call())
    assert words in found.decision.reasons[0].message
    assert found.purpose is None


def test_a_verdict_names_the_purpose_its_policies_and_the_life_of_a_token() -> None:
    of = purpose(ttl_seconds=400)
    found = verdict(
        rules(policy(minutes=10), policy(minutes=5, name="two"), policy(match=Match(), name="x"), of=of), call()
    )
    assert found.purpose is of
    assert [ref.name for ref in found.matched] == ["one", "two"]
    assert found.ttl_seconds == 300


def test_a_token_lives_no_longer_than_its_purpose_allows() -> None:
    assert verdict(rules(policy(minutes=10), of=purpose(ttl_seconds=60)), call()).ttl_seconds == 60


@pytest.mark.parametrize("by", [rules(), rules(policy(match=Match())), rules(policy(), policies=())])
def test_without_a_permission_no_token_lives(by: Rules) -> None:
    assert verdict(by, call()).ttl_seconds == 0


# -- what is remembered


def test_an_agent_that_declares_anything_fills_no_memory() -> None:
    by = rules(policy())
    book = by.purposes
    assert book is not None
    kept = book.declared("p")
    for number in range(100):
        verdict(by, call(purpose_id=f"x{number}"))
    assert book.declared("p") is kept
    assert book.declared("x1") is not book.declared("x1")


class Payload(dict[str, object]):
    """A payload that can be seen to go."""


@pytest.mark.parametrize("source", [None, "d", "e"])
@pytest.mark.parametrize("elements", [None, ("orders.id",), ("x.y",)])
def test_no_call_is_kept_once_it_is_answered(source: str | None, elements: object) -> None:
    by = rules(policy(match=OF_D), policy(Outcome.DENY, Match(), "two"), of=BOUND, policies=(compiled("allow: []"),))
    payload = Payload(secret="x")
    seen = weakref.ref(payload)
    asked = call(payload=payload, data_source_id=source, elements=elements)
    verdict(by, asked)
    del asked, payload
    gc.collect()
    assert seen() is None


def test_calls_alike_share_one_decision() -> None:
    by = rules(policy(), policies=(compiled("allow: [{capability: '*'}]"),))
    one, other = (verdict(by, call(payload={"n": number})).decision for number in range(2))
    assert one is other


def test_what_is_remembered_of_names_is_bounded() -> None:
    by = rules(policy(match=OF_D))
    for number in range(5000):
        verdict(by, call(data_source_id=f"d{number}"))
    assert verdict(by, call(data_source_id="d")).decision.outcome is Outcome.ALLOW
    assert by.purposes is not None
    assert all(len(field.known) <= 1024 for field in by.purposes.declared("p").fields)


def test_a_person_of_very_many_groups_is_matched_and_not_remembered() -> None:
    by = rules(policy(match=Match(user_groups=("g999",))))
    asked = call(identity=Identity("ann", tuple(f"g{number}" for number in range(1000))))
    assert [verdict(by, asked).decision.outcome for _ in range(2)] == [Outcome.ALLOW] * 2
    assert by.purposes is not None
    assert not any(isinstance(fact, tuple) for field in by.purposes.declared("p").fields for fact in field.known)
