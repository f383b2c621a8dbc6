"""Purposes and purpose policies are read exactly, several to a file, or refused with every problem."""

from __future__ import annotations

import pytest

from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass, Match, Purpose, PurposePolicy, Status
from onpurpose.core.span import PolicyError, Span
from onpurpose.lang.purposes import parse_purposes
from tests.documented import EXAMPLE
from tests.lang.reading import problems, told

PURPOSE = """\
id: customer_support_lookup
name: Customer support look-up
description: Read what a customer wrote and bought, to answer them.
intent_class: lookup
elements: [customers.name, crm.tickets.*]
ttl_seconds: 600
owner: support-leads
status: active
"""


def test_a_policy_as_the_guide_composes_it_loads_as_it_stands():
    assert parse_purposes(EXAMPLE, "p.yaml") == (
        PurposePolicy(
            policy_id="support_lookup_business_hours",
            purpose_id="customer_support_lookup",
            match=Match(
                identity_required=True,
                user_groups=("support-tier-1", "support-tier-2"),
                data_source_id=("salesforce_prod",),
            ),
            decision=Outcome.ALLOW,
            token_ttl_minutes=5,
            approval_required=False,
            shadow_mode=True,
            span=Span("p.yaml", 1, 1, 40),
        ),
    )


def test_every_field_of_a_purpose_is_read():
    assert parse_purposes(PURPOSE) == (
        Purpose(
            id="customer_support_lookup",
            name="Customer support look-up",
            description="Read what a customer wrote and bought, to answer them.",
            intent_class=IntentClass.LOOKUP,
            elements=("customers.name", "crm.tickets.*"),
            ttl_seconds=600,
            owner="support-leads",
            status=Status.ACTIVE,
            span=Span("<purposes>", 1, 1, 27),
        ),
    )


def test_every_field_of_a_policy_but_its_purpose_and_decision_is_optional():
    (policy,) = parse_purposes("purpose_id: p\ndecision: allow\n")
    assert policy == PurposePolicy(
        policy_id="p", purpose_id="p", decision=Outcome.ALLOW, span=Span("<purposes>", 1, 1, 13)
    )
    assert (policy.match.identity_required, policy.shadow_mode, policy.token_ttl_minutes) == (True, True, 5)


def test_every_field_of_a_purpose_but_its_id_is_optional():
    (purpose,) = parse_purposes("id: p\n")
    assert purpose == Purpose(id="p", span=Span("<purposes>", 1, 1, 5))


def test_several_documents_stand_in_one_file_in_their_order():
    documents = parse_purposes(f"---\n{PURPOSE}---\n{EXAMPLE}...\n---\npurpose_id: other\ndecision: deny\n")
    assert [(type(one), one.span.line) for one in documents] == [(Purpose, 2), (PurposePolicy, 11), (PurposePolicy, 23)]


def test_a_purpose_and_a_policy_may_have_one_name():
    assert len(parse_purposes("id: a\n---\npurpose_id: a\ndecision: allow\n")) == 2


@pytest.mark.parametrize(
    ("word", "outcome"),
    [
        ("allow", Outcome.ALLOW),
        ("deny", Outcome.DENY),
        ("block", Outcome.DENY),
        ("require_approval", Outcome.REQUIRE_APPROVAL),
    ],
)
def test_a_decision_is_allow_deny_or_require_approval(word, outcome):
    (policy,) = parse_purposes(f"purpose_id: p\ndecision: {word}\n")
    assert policy.decision is outcome


@pytest.mark.parametrize("key", ["user_groups", "data_source_id", "agent_ids", "capabilities", "environments"])
def test_one_text_stands_for_a_list_of_it(key):
    alone, listed = (
        parse_purposes(f"purpose_id: p\nmatch: {{{key}: {value}}}\ndecision: deny\n")[0] for value in ("a.b", "[a.b]")
    )
    assert alone.match == listed.match
    assert getattr(alone.match, key) == ("a.b",)


def test_capabilities_are_patterns_as_in_a_rule():
    (policy,) = parse_purposes('purpose_id: p\nmatch: {capabilities: ["crm.*", crm.read, "*"]}\ndecision: deny\n')
    assert policy.match.capabilities == ("crm.*", "crm.read", "*")


def test_a_purpose_without_elements_may_touch_none():
    (purpose,) = parse_purposes("id: p\nelements: []\n")
    assert purpose.elements == ()


@pytest.mark.parametrize("element", ["t.c", "s.t.c", "t.*", "s.t.*", "Account.Name__c", "größe.länge", "t-1.$c"])
def test_an_element_is_a_column_or_all_of_a_table(element):
    (purpose,) = parse_purposes(f'id: p\nelements: ["{element}"]\n')
    assert purpose.elements == (element,)


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "7up", "_", "a" * 128])
def test_an_id_is_letters_digits_and_three_signs(name):
    (purpose,) = parse_purposes(f"id: {name}\n")
    assert purpose.id == name


def purpose(written: str) -> str:
    return f"id: p\n{written}\n"


def policy(written: str) -> str:
    return f"purpose_id: p\ndecision: allow\n{written}\n"


def match(written: str) -> str:
    return policy(f"match: {{{written}}}")


DEFECTS = [
    # text, place and code, what the cure mentions
    ("", "1:1 empty", "`id: ...`"),
    ("# nothing\n", "1:1 empty", "`purpose_id: ...`"),
    ("---\n", "1:4 empty", "`---`"),
    ("null\n", "1:1 empty", "`id: ...`"),
    ("id: a\n---\n# nothing\n", "3:10 empty", "remove the `---`"),
    ("id: a\n---\n---\nid: b\n", "3:1 empty", "remove the `---`"),
    (b"\xff", "1:1 not-utf-8", "UTF-8"),
    ("- id: a\n", "1:1 wrong-type", "`id: ...`"),
    ("{}\n", "1:1 ambiguous-document", "`purpose_id: ...`"),
    ("deny: []\n", "1:1 ambiguous-document", "`purpose_id: ...`"),
    ("id: a\npurpose_id: a\ndecision: allow\n", "1:1 ambiguous-document", "`policy_id`"),
    ("name: A purpose\nowner: us\n", "1:1 missing-key", "`id"),
    ("policy_id: a\ndecision: allow\n", "1:1 missing-key", "`purpose_id"),
    ("purpose_id: a\n", "1:1 missing-key", "`decision"),
    ("id: a\nid: b\n", "2:1 duplicate-key", "keep one"),
    ("%YAML 1.2\n---\nid: a\n", "1:1 directive", "remove"),
    ("id: a\n---\nid: *b\n", "3:5 alias", '"*b"'),
    (purpose("owners: us"), "2:1 unknown-key", "`owner`"),
    (policy("token_ttl: 5"), "3:1 unknown-key", "did you mean `token_ttl_minutes`"),
    (policy("user_groups: a"), "3:1 unknown-key", "known: `policy_id`"),
    ("id:\n", "1:4 wrong-type", "id"),
    ("id: 7\n", "1:5 wrong-type", '`id: "7"`'),
    ("id: a b\n", "1:5 malformed-id", "`id: a_b`"),
    ("id: a/b\n", "1:5 malformed-id", "`id: a_b`"),
    ("id: ä\n", "1:5 malformed-id", "`id: _`"),
    ('id: "a\\n"\n', "1:5 malformed-id", "`id: a`"),
    ("id: ..\n", "1:5 malformed-id", "a name"),
    (f"id: {'a' * 129}\n", "1:5 malformed-id", "shorten"),
    ("purpose_id: a b\ndecision: allow\n", "1:13 malformed-id", "`purpose_id: a_b`"),
    (policy("policy_id: a:b"), "3:12 malformed-id", "`policy_id: a_b`"),
    (purpose('name: ""'), "2:7 empty", "remove the line"),
    (purpose(f"name: {'a' * 257}"), "2:7 too-long", "shorten"),
    (purpose(f"owner: {'a' * 257}"), "2:8 too-long", "shorten"),
    (purpose(f"description: {'a' * 4097}"), "2:14 too-long", "shorten"),
    (purpose("intent_class: reports"), "2:15 unknown-word", "`reporting`"),
    (purpose("status: live"), "2:9 unknown-word", "`active`"),
    (purpose("elements: customers"), "2:11 malformed-element", "`customers.*`"),
    (purpose('elements: ["*"]'), "2:12 malformed-element", "stands last"),
    (purpose('elements: ["*.name"]'), "2:12 malformed-element", "stands last"),
    (purpose("elements: [a.b.c.d]"), "2:12 malformed-element", "one dot or two"),
    (purpose("elements: [a..c]"), "2:12 malformed-element", "one dot or two"),
    (purpose('elements: ["a.b c"]'), "2:12 malformed-element", "letters"),
    (purpose('elements: ["a.b\\n"]'), "2:12 malformed-element", "letters"),
    (purpose(f"elements: [a.{'b' * 511}]"), "2:12 malformed-element", "shorten"),
    (purpose("elements: [a.b, a.b]"), "2:17 duplicate-value", "remove one"),
    (purpose("elements:"), "2:10 wrong-type", "elements"),
    (purpose("ttl_seconds: 0"), "2:14 out-of-range", "ttl_seconds"),
    (purpose("ttl_seconds: 86401"), "2:14 out-of-range", "ttl_seconds"),
    (purpose('ttl_seconds: "60"'), "2:14 wrong-type", "`ttl_seconds: 60`"),
    (policy("token_ttl_minutes: 0"), "3:20 out-of-range", "token_ttl_minutes"),
    (policy("token_ttl_minutes: 1441"), "3:20 out-of-range", "token_ttl_minutes"),
    (policy("token_ttl_minutes: 2.5"), "3:20 out-of-range", "token_ttl_minutes"),
    (policy("shadow_mode: no"), "3:14 ambiguous-scalar", "`false`"),
    (policy('approval_required: "true"'), "3:20 wrong-type", "approval_required: true"),
    ("purpose_id: p\ndecision: warn\n", "2:11 unknown-word", "known: `allow`"),
    ("purpose_id: p\ndecision: approve\n", "2:11 unknown-word", "`require_approval`"),
    (policy("match:"), "3:7 wrong-type", "user_groups"),
    (policy("match: {}"), "3:8 empty", "remove it"),
    (policy("match: anyone"), "3:8 wrong-type", "user_groups"),
    (match("groups: a"), "3:9 unknown-key", "`user_groups`"),
    (match("identity_required: 1"), "3:28 wrong-type", "identity_required: true"),
    (match("user_groups: []"), "3:22 empty", "remove it"),
    (match("user_groups: [a, 5]"), "3:26 wrong-type", '"5"'),
    (match("environments: ' production'"), "3:23 white-space", "remove the white space"),
    (match("capabilities: [a.b, a b]"), "3:29 malformed-capability", "`a_b`"),
    ("id: a\n---\nid: a\n", "3:1 duplicate-name", "`id` of its own"),
    (f"{policy('')}---\n{policy('')}", "5:1 duplicate-name", "`policy_id` of its own"),
]


@pytest.mark.parametrize(("text", "place", "cure"), DEFECTS)
def test_a_defect_is_refused_at_its_place_with_its_cure(text, place, cure):
    assert told(text, parse_purposes) == [place]
    (problem,) = problems(text, parse_purposes)
    assert cure in problem.help


def test_all_problems_of_all_documents_are_told_at_once():
    text = (
        "id: a b\nstatus: on\n---\n- x\n---\npurpose_id: p\nmatch: {hours: 9, user_groups: []}\ntoken_ttl_minutes: 0\n"
    )
    assert told(text, parse_purposes) == [
        "1:5 malformed-id",
        "2:9 ambiguous-scalar",
        "4:1 wrong-type",
        "6:1 missing-key",
        "7:16 wrong-type",
        "7:32 empty",
        "8:20 out-of-range",
    ]


def test_documents_before_an_error_of_syntax_are_still_checked():
    assert told("id: a b\n---\nid: b\n---\nname: 'x\n", parse_purposes) == ["1:5 malformed-id", "5:7 syntax"]
    assert told("id: a\n---\n'x\n", parse_purposes) == ["3:1 syntax"]
    assert told("id: a\n---\nx: y\nz: [\n", parse_purposes) == ["4:5 syntax"]


def test_a_text_that_is_too_large_is_refused():
    with pytest.raises(PolicyError, match="larger than 10 bytes"):
        parse_purposes("id: aaaaaaaaaa\n", limit=10)


def test_an_error_names_its_source_and_shows_its_line():
    (problem,) = problems("id: a\n---\nid: b\nstatus: open\n", lambda text: parse_purposes(text, "purposes.yaml"))
    assert problem.render() == (
        "purposes.yaml:4:9: error: `open` is no `status` [unknown-word]\n"
        "    4 | status: open\n"
        "      |         ^^^^\n"
        "      = help: known: `draft`, `active`, `archived`"
    )
