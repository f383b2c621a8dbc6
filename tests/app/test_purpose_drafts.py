"""A purpose as a form and as YAML; its status changed with all else as it was written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.app.proofreading import proofread
from onpurpose.app.purpose_drafts import (
    PurposeFields,
    compose_purpose,
    field_at,
    fields_of,
    with_seen,
    with_status,
)
from onpurpose.core.purpose import Purpose, Status
from onpurpose.core.revision import Kind
from onpurpose.lang.purposes import parse_purposes

texts = st.text(st.characters(codec="utf-8"), max_size=30)
anything = st.builds(PurposeFields, **dict.fromkeys(PurposeFields.__struct_fields__, texts))


def read(text: str) -> dict[str, object]:
    one = parse_purposes(text)[0]
    assert isinstance(one, Purpose)
    return {name: getattr(one, name) for name in Purpose.__struct_fields__ if name != "span"}


@pytest.mark.parametrize(
    "text",
    [
        "id: a\n",
        "id: a\nelements: []\nstatus: active\nowner: Kim\n",
        "id: a\nname: 'x: y'\ndescription: \"two\\nlines\"\nelements: [t.c, s.t.*]\nttl_seconds: 60\n",
    ],
)
def test_what_a_purpose_says_comes_through_the_form(text: str) -> None:
    purpose = parse_purposes(text)[0]
    assert isinstance(purpose, Purpose)
    assert read(compose_purpose(fields_of(purpose))) == read(text)


@given(anything)
def test_whatever_is_typed_is_read_or_told(fields: PurposeFields) -> None:
    text = compose_purpose(fields)
    proof = proofread(Kind.PURPOSE, "", text)
    assert proof.problems or isinstance(proof.document, Purpose)
    assert {field_at(one, text) for one in proof.problems} <= {*PurposeFields.__struct_fields__, ""}


def test_what_was_picked_stands_beside_what_was_typed() -> None:
    fields = PurposeFields(elements="a.b, c.d")
    assert with_seen(fields, ["c.d", "e.f", "e.f"]).elements == "a.b\nc.d\ne.f"
    assert with_seen(fields, []) is fields
    assert with_seen(PurposeFields(elements="none"), ["a.b"]).elements == "a.b"


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize(
    "text",
    [
        "# ours\nid: a\nstatus: draft # for now\nowner: Kim\n",
        "id: a",
        "{id: a, status: active}",
        "id: a\ndescription: |\n  status: draft\n  status: active\nstatus: archived\n",
        "id: a\n'status': active\n",
    ],
)
def test_the_status_changes_and_nothing_else(text: str, status: Status) -> None:
    changed = with_status(text, status)
    assert read(changed) == read(text) | {"status": status}


def test_comments_and_order_stay() -> None:
    text = "# ours\nstatus: draft # for now\nid: a\n"
    assert with_status(text, Status.ACTIVE) == "# ours\nstatus: active # for now\nid: a\n"


def test_what_is_no_purpose_stays() -> None:
    text = "purpose_id: a\ndecision: deny\n"
    assert with_status(text, Status.ACTIVE) == text
