"""Who is told, put into a workspace's settings: what else they say stays, and so do their comments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpurpose.app.notify_drafts import NotifyFields, name_of, notify_of, read_notify, with_notify
from onpurpose.core.purpose import Notify, Settings
from onpurpose.core.span import PolicyError
from onpurpose.lang.settings import parse_settings

A, B, C = "https://a.example/x", "https://b.example/y#", "https://c.example/?q=1"
URLS = [A, "https://b.example/y", C]

TEXT = f"""\
# head
purpose_required: true
notify:   # who
  # the room
  slack: {{channel: C0123, direct: true}}  # é
  email: true   # all
  webhooks:  # hooks
    # first
    - {A}  # one
    # second
    - "{URLS[1]}"
# about unmatched
unmatched: deny
"""

NOTIFIES = st.builds(
    Notify,
    slack=st.sampled_from([None, "C0123", "G99"]),
    slack_direct=st.booleans(),
    email=st.booleans(),
    webhooks=st.lists(st.sampled_from(URLS), unique=True).map(tuple),
)

LAYOUTS = st.sampled_from([
    "", "{purpose_required: true}", "{unmatched: deny, notify: {email: true}}\n",
    "unmatched: deny\n", "unmatched: deny", "# only a word before\nunmatched: allow\n\n\n", TEXT,
    TEXT.replace("\n", "\n\n"), "notify: {email: true} # x\nunmatched: deny\n",
    "notify:\n  {slack: C0123,\n   email: true}\nunmatched: deny\n", "notify:\n  email: true",
    f"notify:\n  webhooks:\n  - {A}\n  -   {URLS[1]}\n  # last\napprovers: [group:finance]\n",
    f"notify:\n    webhooks: [{A}, {C}]\n    slack: C0123\n# end\n",
    "notify:\n  slack:\n    direct: true\n    channel: G99\n",
])  # fmt: skip


@given(text=LAYOUTS, wanted=NOTIFIES)
def test_it_says_what_is_wanted_and_all_else_as_before(text: str, wanted: Notify) -> None:
    changed = with_notify(text, wanted)
    before = replace(parse_settings(text) if text else Settings(), notify=wanted)
    assert parse_settings(changed) == before
    assert notify_of(changed) == wanted


@given(first=NOTIFIES, second=NOTIFIES)
def test_comments_around_it_stay_and_so_do_those_of_what_stays(first: Notify, second: Notify) -> None:
    changed = with_notify(with_notify(TEXT, first), second)
    for kept in ("# head\n", "# about unmatched\n", "notify:   # who\n"):
        assert kept in changed
    through = with_notify(TEXT, replace(second, slack="C0123", slack_direct=True, webhooks=(A,)))
    for kept in ("  # the room\n  slack: {channel: C0123, direct: true}  # é\n", f"    # first\n    - {A}  # one\n"):
        assert kept in through


@given(wanted=NOTIFIES)
def test_what_is_said_already_is_left_alone(wanted: Notify) -> None:
    text = with_notify(TEXT, wanted)
    assert with_notify(text, wanted) == text


def test_settings_that_cannot_be_read_are_not_changed() -> None:
    with pytest.raises(PolicyError):
        with_notify("unmatched: perhaps\n", Notify())


@given(wanted=NOTIFIES)
def test_a_form_says_what_its_fields_say(wanted: Notify) -> None:
    given = NotifyFields(
        slack=wanted.slack or "", slack_direct=wanted.slack_direct, email=wanted.email, webhooks=wanted.webhooks
    )
    assert read_notify(given) == (wanted, {})


@given(st.builds(NotifyFields, slack=st.text(), webhooks=st.lists(st.text(), max_size=13).map(tuple)))
def test_whatever_is_typed_is_read_or_told_at_its_field(fields: NotifyFields) -> None:
    wanted, faults = read_notify(fields)
    assert (wanted is None) == bool(faults)
    assert set(faults) <= {"slack", "webhooks"}
    if wanted is not None:
        assert wanted.webhooks == fields.webhooks


def test_what_is_wrong_is_a_sentence_with_its_cure() -> None:
    _, faults = read_notify(NotifyFields(slack="general", webhooks=tuple(f"{A}{n}" for n in range(11))))
    assert faults["slack"] == [
        "`general` is no id of a Slack channel: copy the id from the channel's details in Slack: `C0123456789`."
    ]
    assert faults["webhooks"] == ["`webhooks` names at most 10: have one of them pass it on."]


def test_webhooks_are_told_apart_without_being_shown() -> None:
    names = [name_of(one) for one in (A, B, C)]
    assert len(set(names)) == 3
    assert not any("example" in one for one in names)
