"""Purposes and purpose policies written as YAML and read back are the same, whatever their texts hold."""

from __future__ import annotations

import string
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass, Match, Purpose, PurposePolicy, Status, Window
from onpurpose.core.span import Span
from onpurpose.lang.purposes import parse_purposes, write_purpose, write_purpose_policy

NOWHERE = Span("", 1, 1)
ODD = ["no", "1e3", "~", "a: b", "# x", '"', "\\", "\n", "---\nid: b", "\x00", "\u2028", "\U0001f600"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(ODD)
FACTS = TEXTS.map(str.strip).filter(bool)
IDS = st.text(string.ascii_letters + string.digits + "_-.", min_size=1, max_size=9).filter(lambda i: i.strip("."))
IDS |= st.sampled_from(["no", "null", "True", "12", "1e3", "0x1", "-", "--", "a-", "y", "1.5", "1_0", "b" * 128])
COLUMNS = st.lists(st.sampled_from(["a", "b_1", "Üx", "$c", "2"]), min_size=1, max_size=2).map(".".join)
ELEMENTS = st.builds("{}.{}".format, COLUMNS, st.sampled_from(["*", "c", "Name__c", "1"]))


def lists(of: st.SearchStrategy[str], least: int = 1) -> st.SearchStrategy[tuple[str, ...] | None]:
    return st.none() | st.lists(of, min_size=least, max_size=5, unique=True).map(tuple)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    days = draw(st.sets(st.integers(0, 6), min_size=1))
    start, end = sorted(draw(st.lists(st.integers(0, 1440), min_size=2, max_size=2, unique=True)))
    zone = draw(st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]))
    return Window(days=tuple(sorted(days)), start=start, end=end, zone=ZoneInfo(zone), zone_name=zone)


PURPOSES = st.builds(
    Purpose,
    id=IDS,
    name=TEXTS,
    description=TEXTS,
    intent_class=st.sampled_from(IntentClass),
    elements=lists(ELEMENTS, least=0),
    ttl_seconds=st.integers(1, 86400),
    owner=TEXTS,
    status=st.sampled_from(Status),
    span=st.just(NOWHERE),
)
MATCHES = st.builds(
    Match,
    identity_required=st.booleans(),
    user_groups=lists(FACTS),
    data_source_id=lists(FACTS),
    agent_ids=lists(FACTS),
    capabilities=lists(st.sampled_from(["a", "a.*", "*", "a-b.c_d", "no"])),
    environments=lists(FACTS),
    hours=st.none() | st.lists(windows(), min_size=1, max_size=4, unique=True).map(tuple),
)
POLICIES = st.builds(
    PurposePolicy,
    policy_id=IDS,
    purpose_id=IDS,
    match=MATCHES,
    decision=st.sampled_from([Outcome.ALLOW, Outcome.REQUIRE_APPROVAL, Outcome.DENY]),
    approval_required=st.booleans(),
    token_ttl_minutes=st.integers(1, 1440),
    shadow_mode=st.booleans(),
    span=st.just(NOWHERE),
)


@given(PURPOSES)
def test_a_purpose_comes_back_as_it_was(purpose: Purpose) -> None:
    (back,) = parse_purposes(write_purpose(purpose))
    assert replace(back, span=NOWHERE) == purpose


@given(POLICIES)
def test_a_policy_comes_back_as_it_was(policy: PurposePolicy) -> None:
    (back,) = parse_purposes(write_purpose_policy(policy))
    assert replace(back, span=NOWHERE) == policy


@given(PURPOSES, POLICIES)
def test_what_is_written_stands_in_one_file(purpose: Purpose, policy: PurposePolicy) -> None:
    text = write_purpose(purpose) + "---\n" + write_purpose_policy(policy)
    assert [replace(back, span=NOWHERE) for back in parse_purposes(text)] == [purpose, policy]


@given(POLICIES)
def test_what_was_read_is_written_as_it_was(policy: PurposePolicy) -> None:
    text = write_purpose_policy(policy)
    (back,) = parse_purposes(text)
    assert write_purpose_policy(back) == text


def test_a_purpose_is_written_in_one_form() -> None:
    (purpose,) = parse_purposes("owner: us\nelements: t.c\nname: A name\nid: p\n")
    assert write_purpose(purpose) == (
        'id: p\nname: "A name"\nintent_class: other\nelements: ["t.c"]\nttl_seconds: 3600\nowner: "us"\nstatus: draft\n'
    )


def test_a_policy_is_written_with_every_default_that_decides() -> None:
    (policy,) = parse_purposes("purpose_id: p\ndecision: block\n")
    assert write_purpose_policy(policy) == (
        "policy_id: p\npurpose_id: p\nmatch:\n  identity_required: true\n"
        "decision: deny\ntoken_ttl_minutes: 5\napproval_required: false\nshadow_mode: true\n"
    )


def test_hours_are_written_as_they_are_read() -> None:
    written = '["mon-fri 08:00-18:00", "mon,wed 22:00-24:00", "tue,thu 00:00-06:00", "daily 12:00-12:01"]'
    (policy,) = parse_purposes(
        f"purpose_id: p\nmatch:\n  hours:\n    zone: Europe/Berlin\n    windows: {written}\ndecision: allow\n"
    )
    assert f'  hours:\n    - zone: "Europe/Berlin"\n      windows: {written}\n' in write_purpose_policy(policy)


def test_a_long_list_stands_one_a_line() -> None:
    elements = tuple(f"customers.column_{n}" for n in range(9))
    purpose = Purpose(id="p", elements=elements, span=NOWHERE)
    assert 'elements:\n  - "customers.column_0"\n' in write_purpose(purpose)
    assert parse_purposes(write_purpose(purpose))[0].elements == elements  # type: ignore[union-attr]  # a purpose


def test_half_a_character_cannot_be_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        write_purpose(Purpose(id="p", name="\ud800", span=NOWHERE))
