"""A purpose policy as a form and as YAML: each is made of the other, and problems find their fields."""

from __future__ import annotations

from difflib import SequenceMatcher
from itertools import takewhile

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
from tests.documented import EXAMPLE

STAGES = """policy_id: p
purpose_id: q
decision: require_approval
approvers: {from: ["group:finance", "user:ann"], quorum: 2, escalate_after_minutes: 30, then: anyone}
approval_timeout_seconds: 600
step_up: true
match:
  hours: [{zone: Europe/Berlin, windows: ["mon-fri 08:00-18:00", "sat 09:00-12:00"]}, {zone: UTC, windows: daily 00:00-24:00}]
"""  # noqa: E501

NAME = "support_lookup_business_hours"
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


# -- a field is changed within a YAML that somebody wrote


REMARKS = ["", "# why", "   # aside", "  ", "# a: b", "#"]
GROUPS = st.lists(st.sampled_from(["a", "b-2", "sales team", "yes", "c:d"]), max_size=3, unique=True)
PLACES = {
    "user_groups": GROUPS, "agent_ids": GROUPS, "environments": GROUPS,
    "data_source_id": st.sampled_from([[], ["salesforce"], ["x", "y"]]),
    "capabilities": st.sampled_from([[], ["crm.read"], ["crm.*", "files.read"]]),
}  # fmt: skip
HOURS = ['{zone: UTC, windows: "mon 08:00-09:00"}', '[{zone: UTC, windows: ["mon 08:00-09:00"]}]']
CHANGES = st.one_of(
    st.tuples(st.sampled_from(sorted(PLACES)), st.sampled_from(["", "crm.read", "crm.read, crm.*", "n.o, b-2, p.q"])),
    st.tuples(
        st.just("hours"), st.sampled_from(["", "UTC: daily 08:00-18:00", "UTC: mon 08:00-09:00; tue 08:00-09:00"])
    ),
    st.tuples(st.just("token_ttl_minutes"), st.sampled_from(["1", "5", "90"])),
    st.tuples(st.sampled_from(["identity_required", "approval_required", "shadow_mode"]), st.booleans()),
    st.tuples(st.just("step_up"), st.booleans()),
    st.tuples(st.just("approvers"), st.sampled_from(["", "anyone", "user:ann, user:b", "2 of group:a\ngroup:b"])),
    st.tuples(st.just("approval_timeout_seconds"), st.sampled_from(["", "60", "90"])),
    st.tuples(st.just("policy_id"), st.sampled_from(["p", "new", "yes"])),
    st.tuples(st.just("purpose_id"), st.sampled_from(["q", "new"])),
)


@st.composite
def written(draw: st.DrawFn) -> dict[str, list[str]]:
    """A legal policy by hand: under each key its lines, with remarks above and behind; keys in any order."""
    inside = {
        "identity_required": draw(st.sampled_from([None, "true", "false"])),
        **{key: _list(draw, draw(names)) for key, names in PLACES.items()},
        "hours": draw(st.sampled_from([None, *HOURS])),
    }  # fmt: skip
    match = [line for key in draw(st.permutations(list(inside))) for line in _entry(draw, key, inside[key], "  ")]
    top = {
        "policy_id": draw(st.sampled_from([None, "p", '"p"', "'p'"])),
        "purpose_id": "q",
        "decision": "require_approval",
        "token_ttl_minutes": draw(st.sampled_from([None, "5", "7"])),
        "approval_required": draw(st.sampled_from([None, "true", "false"])),
        "shadow_mode": draw(st.sampled_from([None, "true", "false"])),
        "step_up": draw(st.sampled_from([None, "true"])),
        "approval_timeout_seconds": draw(st.sampled_from([None, "3600", "600"])),
        "approvers": draw(st.sampled_from([None, "anyone", '["user:ann"]', '{from: ["user:ann"], quorum: 1}',
                                           '\n  from: ["group:a"] # whom\n  # and how many\n  quorum: 3'])),
    }  # fmt: skip
    found = {key: _entry(draw, key, value, "") for key, value in top.items()}
    found["match"] = [*_entry(draw, "match", "", "", aside=True), *match] if any("  " in line for line in match) else []
    return {key: found[key] for key in draw(st.permutations(list(found)))}


def _list(draw: st.DrawFn, names: list[str]) -> str | None:
    if not names:
        return None
    if draw(st.booleans()):
        return "".join(f'\n    - "{one}"{draw(st.sampled_from(["", "  # of it"]))}' for one in names)
    return "[" + ", ".join(f'"{one}"' for one in names) + "]"


def _entry(draw: st.DrawFn, key: str, value: str | None, indent: str, *, aside: bool = True) -> list[str]:
    if value is None:
        return []
    first, *more = f"{indent}{key}: {value}".split("\n")
    remark = draw(st.sampled_from(["", "  # said"])) if aside and not more else ""
    return [*draw(st.lists(st.sampled_from(REMARKS), max_size=2)), first.rstrip(" ") + remark, *more]


@given(written(), CHANGES)
def test_a_changed_field_changes_its_lines_alone(lines: dict[str, list[str]], change: tuple[str, str | bool]) -> None:
    text = "".join(f"{line}\n" for of_key in lines.values() for line in of_key)
    draft = opened(text, "")
    assert draft.proof.problems == ()
    wanted = msgspec.structs.replace(draft.fields, **{change[0]: change[1]})
    after = settle(msgspec.structs.replace(draft, fields=wanted))
    if wanted == draft.fields:
        assert after.text == text
        return
    assert settle(msgspec.structs.replace(after, fields=draft.fields)).text == text
    was, now = text.split("\n"), after.text.split("\n")
    same = sum(block.size for block in SequenceMatcher(None, was, now, autojunk=False).get_matching_blocks())
    assert len(was) - same <= _lines_of(was, change[0])
    if not after.proof.problems:
        assert after.proof.document is not None
        assert fields_of(after.proof.document) == wanted  # type: ignore[arg-type]  # it is a policy


def _lines_of(lines: list[str], key: str) -> int:
    """How many lines state the value of that key."""
    deep = [len(line) - len(line.lstrip()) for line in lines]
    at = next((number for number, line in enumerate(lines) if line.strip().startswith(f"{key}:")), None)
    if at is None:
        return 0
    return 1 + len(list(takewhile(lambda one: deep[one] > deep[at] and lines[one].strip(), range(at + 1, len(lines)))))


@pytest.mark.parametrize(
    ("line", "change", "becomes"),
    [
        ('approvers: {from: ["group:a"], quorum: 2} # c', {"approvers": "group:b"},
         'approvers: {from: ["group:b"], quorum: 1} # c'),
        ("approvers: anyone", {"approvers": "user:ann"}, 'approvers: "user:ann"'),
        ("approvers: anyone", {"approvers": "2 of group:a"}, 'approvers: {from: ["group:a"], quorum: 2}'),
        ("match: {data_source_id: [a]}", {"data_source_id": "b"}, "match: {data_source_id: [b]}"),
        ("match: {data_source_id: a}", {"data_source_id": "a, b"}, 'match: {data_source_id: ["a", "b"]}'),
        ("match: {user_groups: a}", {"user_groups": "b"}, "match: {user_groups: b}"),
        ("match: {user_groups: a}", {"user_groups": ""}, "match: {identity_required: true, }"),
        ("match: {hours: {zone: UTC, windows: daily 08:00-18:00}}", {"hours": "UTC: mon 08:00-18:00"},
         'match: {hours: {zone: UTC, windows: "mon 08:00-18:00"}}'),
        ('match: {hours: {zone: UTC, windows: ["daily 08:00-18:00"]}}',
         {"hours": "UTC: mon 08:00-18:00\nCET: mon 00:00-24:00"},
         'match: {hours: [{zone: UTC, windows: ["mon 08:00-18:00"]}, {zone: CET, windows: ["mon 00:00-24:00"]}]}'),
        ("token_ttl_minutes: 7", {"token_ttl_minutes": ""}, None),
        ("step_up: true # asked", {"step_up": False}, None),
    ],
)  # fmt: skip
def test_a_field_is_written_in_the_manner_that_it_had(
    line: str, change: dict[str, str | bool], becomes: str | None
) -> None:
    text = f"purpose_id: q\ndecision: require_approval\n{line}\n# end\n"
    draft = opened(text, "")
    after = settle(msgspec.structs.replace(draft, fields=msgspec.structs.replace(draft.fields, **change)))
    assert after.text == text.replace(f"{line}\n", "" if becomes is None else f"{becomes}\n")
    assert after.proof.problems == ()


def test_what_is_taken_back_leaves_no_trace() -> None:
    text = "# why\n\n" + EXAMPLE.replace("token_ttl_minutes: 5", "token_ttl_minutes:   5   # five is enough")
    before = opened(text, NAME)
    emptied = settle(
        msgspec.structs.replace(before, fields=msgspec.structs.replace(before.fields, token_ttl_minutes=""))
    )
    assert "five" not in emptied.text
    broken = settle(
        msgspec.structs.replace(emptied, fields=msgspec.structs.replace(before.fields, token_ttl_minutes="x"))
    )
    assert broken.proof.problems
    assert broken.text == text.replace("   5   #", "   x   #")
    assert settle(msgspec.structs.replace(broken, fields=before.fields)).text == text


def test_what_was_written_by_hand_is_the_ground_of_later_changes() -> None:
    draft = settle(msgspec.structs.replace(begun(Fields(purpose_id="q")), text="# mine\n" + EXAMPLE))
    changed = settle(msgspec.structs.replace(draft, fields=msgspec.structs.replace(draft.fields, decision="deny")))
    assert changed.text == "# mine\n" + EXAMPLE.replace("decision: allow", "decision: deny")
    assert changed.base == draft.base == "# mine\n" + EXAMPLE


def test_a_yaml_without_its_purpose_keeps_in_step_with_the_form() -> None:
    text = "# mine\nmatch: {environments: [production]} # there\ndecision: deny\n"
    draft = settle(msgspec.structs.replace(begun(Fields()), text=text))
    assert (draft.fields.decision, draft.fields.environments) == ("deny", "production")
    assert (draft.fields.policy_id, draft.fields.purpose_id, draft.errors) == ("", "", {})
    after = settle(msgspec.structs.replace(draft, fields=msgspec.structs.replace(draft.fields, purpose_id="q")))
    assert after.text == text.replace("match", "purpose_id: q\nmatch")
    assert not after.torn
    assert after.proof.problems == ()


def test_a_policy_is_not_renamed_with_its_purpose() -> None:
    draft = opened("purpose_id: q # it\ndecision: deny\n", "")
    after = settle(msgspec.structs.replace(draft, fields=msgspec.structs.replace(draft.fields, purpose_id="r")))
    assert after.text == "policy_id: q\npurpose_id: r # it\ndecision: deny\n"


# -- what is told when


def test_a_new_policy_is_not_blamed_before_anything_is_filled() -> None:
    draft = begun(Fields())
    assert (draft.errors, draft.told, draft.awaited) == ({}, (), ["purpose_id"])
    assert draft.proof.problems
    filled = settle(msgspec.structs.replace(draft, fields=Fields(token_ttl_minutes="soon")))
    assert sorted(filled.errors) == ["token_ttl_minutes"]
    assert filled.awaited == ["purpose_id"]
    asked = settle(msgspec.structs.replace(filled, asked=True))
    assert sorted(asked.errors) == ["purpose_id", "token_ttl_minutes"]
    assert asked.awaited == []


def test_a_yaml_that_is_written_by_hand_is_told_of_at_once() -> None:
    draft = begun(Fields())
    assert settle(msgspec.structs.replace(draft, text=draft.text + "decision: deny\n")).errors
    assert opened("decision: deny\n", "p").errors


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
