"""A purpose policy as a form and as YAML: each is made of the other, and problems find their fields."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.app.composing import LISTS, NAMES, Fields, compose, field_at, fields_from, fields_of, parted
from onpurpose.app.drafting import Draft, Side, begun, opened, settle
from onpurpose.app.proofreading import own_name, proofread
from onpurpose.core.purpose import PurposePolicy
from onpurpose.core.revision import Kind
from onpurpose.core.span import PolicyError, Span
from onpurpose.lang.purposes import parse_purposes

EXAMPLE = """policy_id: support_lookup_business_hours
purpose_id: customer_support_lookup
match:
  identity_required: true
  user_groups: ["support-tier-1", "support-tier-2"]
  data_source_id: salesforce_prod
decision: allow
token_ttl_minutes: 5
approval_required: false
shadow_mode: true
"""
STAGES = """policy_id: p
purpose_id: q
decision: require_approval
approvers: {from: ["group:finance", "user:ann"], quorum: 2, escalate_after_minutes: 30, then: anyone}
approval_timeout_seconds: 600
step_up: true
match:
  hours: [{zone: Europe/Berlin, windows: ["mon-fri 08:00-18:00", "sat 09:00-12:00"]}, {zone: UTC, windows: daily 00:00-24:00}]
"""  # noqa: E501

texts = st.text(st.characters(codec="utf-8"), max_size=30)
anything = st.builds(
    Fields,
    **{
        field.name: st.booleans() if field.type is bool else texts | st.sampled_from(["", "5", "a, b", "allow", "p.q"])
        for field in msgspec.structs.fields(Fields)
    },
)


def read(text: str) -> PurposePolicy:
    one = parse_purposes(text)[0]
    assert isinstance(one, PurposePolicy)
    return msgspec.structs.replace(one, span=Span("", 1, 1))


@pytest.mark.parametrize(
    "text", [EXAMPLE, STAGES, "purpose_id: a\ndecision: deny\nmatch: {identity_required: false}\n"]
)
def test_what_a_policy_says_comes_through_the_form(text: str) -> None:
    fields = fields_of(read(text))
    assert fields is not None
    assert read(compose(fields)) == read(text)


def test_the_form_shows_the_example_as_one_would_fill_it() -> None:
    fields = fields_of(read(EXAMPLE))
    assert fields is not None
    assert fields.user_groups == "support-tier-1, support-tier-2"
    assert (fields.decision, fields.token_ttl_minutes, fields.shadow_mode) == ("allow", "5", True)


def test_stages_and_hours_are_lines() -> None:
    fields = fields_of(read(STAGES))
    assert fields is not None
    assert fields.approvers == "2 of group:finance, user:ann; next after 30 min\nanyone"
    assert fields.hours == "Europe/Berlin: mon-fri 08:00-18:00; sat 09:00-12:00\nUTC: daily 00:00-24:00"


@given(anything)
def test_whatever_is_typed_is_read_as_said_or_told(fields: Fields) -> None:
    text = compose(fields)
    proof = proofread(Kind.PURPOSE_POLICY, "", text)
    if proof.problems:
        assert all(field_at(one, text) in (*NAMES, "") for one in proof.problems)
        return
    assert isinstance(proof.document, PurposePolicy)
    again = fields_of(proof.document)
    assert again is None or read(compose(again)) == read(text)


@given(st.lists(texts.map(str.strip).filter(lambda one: one and not {"\n", "\r", "\0"} & set(one)), max_size=5))
def test_names_may_hold_commas_and_quotes(names: list[str]) -> None:
    written = ", ".join('"' + one.replace('"', '""') + '"' for one in names)
    assert parted(written) == tuple(names)


def test_what_the_form_cannot_show_it_does_not_show() -> None:
    assert fields_of(read(EXAMPLE.replace('"support-tier-2"', '"two\\nlines"'))) is None


@pytest.mark.parametrize(
    ("fields", "at"),
    [
        (Fields(purpose_id="a b"), "purpose_id"),
        (Fields(), "purpose_id"),
        (Fields(purpose_id="p", decision=""), "decision"),
        (Fields(purpose_id="p", decision="maybe"), "decision"),
        (Fields(purpose_id="p", token_ttl_minutes="soon"), "token_ttl_minutes"),
        (Fields(purpose_id="p", hours="always"), "hours"),
        (Fields(purpose_id="p", hours="Mars: daily 00:00-24:00"), "hours"),
        (Fields(purpose_id="p", decision="require_approval", approvers="two of group:a"), "approvers"),
        (Fields(purpose_id="p", decision="require_approval", approvers="somebody"), "approvers"),
        (Fields(purpose_id="p", approval_timeout_seconds="60"), "approval_timeout_seconds"),
        *[(msgspec.structs.replace(Fields(purpose_id="p"), **{key: "a, a"}), key) for key in LISTS],
    ],
)
def test_problems_find_the_field_that_they_come_from(fields: Fields, at: str) -> None:
    text = compose(fields)
    found = {field_at(one, text) for one in proofread(Kind.PURPOSE_POLICY, "", text).problems}
    assert at in found


def test_a_problem_of_a_key_that_is_no_field_is_of_the_whole() -> None:
    text = EXAMPLE + "shadow: true\n"
    assert [field_at(one, text) for one in proofread(Kind.PURPOSE_POLICY, "", text).problems] == [""]


def test_a_box_that_is_not_ticked_is_not_sent() -> None:
    fields = fields_from({"policy_id": " p ", "step_up": "on"})
    assert (fields.policy_id, fields.step_up, fields.shadow_mode, fields.decision) == ("p", True, False, "")


# -- both sides


def test_a_draft_is_in_step_from_the_start() -> None:
    draft = begun(Fields(policy_id="p", purpose_id="q"))
    assert read(draft.text).policy_id == "p"
    assert settle(draft) == draft
    assert opened(EXAMPLE, "support_lookup_business_hours").text == EXAMPLE


@given(anything)
def test_what_is_typed_in_the_form_is_never_changed_there(fields: Fields) -> None:
    before = begun(Fields(purpose_id="q"))
    after = settle(msgspec.structs.replace(before, fields=fields))
    assert after.fields == fields
    assert after.text == (compose(fields) if fields != before.fields else before.text)


@given(texts)
def test_a_yaml_is_never_changed_by_what_it_says(text: str) -> None:
    before = begun(Fields(purpose_id="q"))
    assert settle(msgspec.structs.replace(before, text=text), Side.YAML).text == text
    assert settle(msgspec.structs.replace(before, text=text)).text == text


def test_where_both_were_changed_neither_is() -> None:
    before = begun(Fields(purpose_id="q"))
    changed = msgspec.structs.replace(before, fields=Fields(purpose_id="r"), text=EXAMPLE)
    torn = settle(changed)
    assert torn.torn
    assert (torn.fields, torn.text) == (changed.fields, changed.text)
    assert not settle(torn, Side.FORM).torn
    assert settle(torn, Side.YAML).fields.policy_id == "support_lookup_business_hours"


def test_a_form_that_shows_less_than_the_yaml_says_is_not_used() -> None:
    draft = opened(EXAMPLE.replace('"support-tier-2"', '"two\\nlines"'), "support_lookup_business_hours")
    assert not draft.shown
    assert settle(draft, Side.FORM).text == draft.text
    assert settle(msgspec.structs.replace(draft, text=EXAMPLE)).shown


def test_the_errors_of_a_draft_are_sentences_at_their_fields() -> None:
    errors = begun(Fields(purpose_id="a b")).errors
    assert errors["purpose_id"] == ["`a b` is no id: letters, digits, `_`, `-` and `.`: write `purpose_id: a_b`"]
    assert Draft(fields=Fields(), text="").errors == {}


# -- proofreading


def test_a_text_is_proofread_as_it_would_be_saved() -> None:
    assert proofread(Kind.POLICY, "p", "allow: [{capability: '*'}]\n").warnings[0].code == "allows-everything"
    assert proofread(Kind.POLICY, "", "nonsense").problems
    assert [one.code for one in proofread(Kind.PURPOSE_POLICY, "other", EXAMPLE).problems] == ["other-name"]
    assert [one.code for one in proofread(Kind.PURPOSE, "p", EXAMPLE).problems] == ["wrong-kind"]
    assert own_name(Kind.PURPOSE, "id: lookup\n") == "lookup"
    assert own_name(Kind.PURPOSE_POLICY, EXAMPLE) == "support_lookup_business_hours"
    with pytest.raises(PolicyError):
        own_name(Kind.PURPOSE, "")
