"""Laws of reading purposes: a text is refused or read, never anything else, by either parser alike."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpurpose.core.purpose import Purpose, PurposePolicy
from onpurpose.core.revision import Kind
from onpurpose.core.span import PolicyError
from onpurpose.lang.purpose_lint import lint_purposes
from onpurpose.lang.purposes import parse_purposes, write_purpose, write_purpose_policy
from onpurpose.lang.recognise import kind_of
from onpurpose.lang.settings import parse_settings
from tests.documented import EXAMPLE
from tests.lang.test_laws import PIECES, refused_or_read
from tests.lang.test_purposes import PURPOSE

HOURS = """\
purpose_id: customer_support_lookup
policy_id: nights
match:
  identity_required: false
  capabilities: [crm.*, 'tickets.read']
  hours:
    - zone: Europe/Berlin
      windows: ["mon-fri 22:00-06:00", 'sat,sun 00:00-24:00']
    - {zone: UTC, windows: daily 12:00-13:00}
decision: require_approval
"""
FULL = f"{PURPOSE}---\n{EXAMPLE}---\n{HOURS}"
SETTINGS = "purpose_required: true\nunmatched: allow\n"
MORE = [*PIECES, "id:", "purpose_id: ", "a.b", "daily", "24:00", "\n---\n", "\n...\n", "{}", ""]


@st.composite
def mutated(draw: st.DrawFn, whole: str) -> str:
    text = whole
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 12)))
        text = text[:start] + draw(st.sampled_from(MORE)) + text[end:]
    return text


def read_and_look(text: bytes | str) -> object:
    return lint_purposes(parse_purposes(text), text if isinstance(text, str) else text.decode())


@settings(deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200) | st.lists(st.sampled_from(MORE), max_size=25).map("".join))
def test_anything_is_refused_or_read(text):
    refused_or_read(text, read_and_look)
    refused_or_read(text, parse_settings)
    assert kind_of(text) in Kind


@settings(deadline=None, max_examples=300)
@given(mutated(FULL))
def test_documents_that_someone_broke_are_refused_or_read(text):
    refused_or_read(text, read_and_look)


@settings(deadline=None)
@given(mutated(SETTINGS))
def test_settings_that_someone_broke_are_refused_or_read(text):
    refused_or_read(text, parse_settings)


@settings(deadline=None, max_examples=100)
@given(mutated(FULL))
def test_the_two_parsers_never_read_two_things(text):
    with pytest.MonkeyPatch.context() as patch:
        fast = read_or_none(text)
        patch.setitem(sys.modules, "yaml._yaml", None)  # as where PyYAML was built without libyaml
        slow = read_or_none(text)
    assert slow == fast or slow is None or fast is None


@settings(deadline=None, max_examples=200)
@given(mutated(FULL))
def test_what_is_read_can_be_written_and_read_again(text):
    for one in read_or_none(text) or ():
        written = write_purpose(one) if isinstance(one, Purpose) else write_purpose_policy(one)
        (back,) = parse_purposes(written)
        assert (write_purpose(back) if isinstance(back, Purpose) else write_purpose_policy(back)) == written


def read_or_none(text: str) -> tuple[Purpose | PurposePolicy, ...] | None:
    try:
        return parse_purposes(text)
    except PolicyError:
        return None
