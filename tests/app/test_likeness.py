"""A purpose made from calls that are alike: what it covers, what it leaves out, and how it is created."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onpurpose.app.documents import NotPermittedError
from onpurpose.app.likeness import FEW, MOST_ELEMENTS, MOST_LOOKED_AT, Suggestion, create, suggest
from onpurpose.app.retelling import Told, retell
from onpurpose.core.call import Call, Identity
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass, Purpose, PurposePolicy, Status
from onpurpose.core.revision import ConflictError, Kind
from onpurpose.core.span import PolicyError
from onpurpose.lang.purposes import parse_purposes
from tests.app.past import Past, live, recorded

POLICY = "deny:\n  - capability: crm.delete\nrequire_approval:\n  - capability: pay.*\nallow:\n  - capability: '*'\n"


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    with recorded(tmp_path) as past:
        live(past, Kind.POLICY, "base", POLICY)
        yield past


def decided(past: Past, capability: str = "crm.read", user: str | None = "kim", **fields: Any) -> Told:
    """A call on contacts, as its record tells of it."""
    groups = fields.pop("groups", ("tier-1",))
    given = {
        "elements": ("crm.contacts.email",), "data_source_id": "salesforce",
        "identity": None if user is None else Identity(user, groups),
    } | fields  # fmt: skip
    result = past.decide(Call(given.pop("agent_id", "bot"), capability, {"id": 1}, **given))
    assert result.receipt is not None
    found = retell(past.follow.after(result.receipt.chain, result.receipt.seq - 1, 1)[0].body)
    assert found is not None
    return found


def suggested(past: Past, told: Told) -> tuple[Suggestion, Purpose, PurposePolicy]:
    """What is suggested, and what it says once it is read."""
    found = suggest(past.feed, past.follow, "default", told)
    (purpose,), (policy,) = parse_purposes(found.purpose), parse_purposes(found.policy)
    assert isinstance(purpose, Purpose)
    assert isinstance(policy, PurposePolicy)
    return found, purpose, policy


def test_it_is_a_draft_and_a_policy_in_shadow(past: Past) -> None:
    _, purpose, policy = suggested(past, decided(past, task_context="Look up: a customer?"))
    assert (purpose.id, purpose.name, purpose.status) == ("look_up_a_customer", "Look up a customer", Status.DRAFT)
    assert (policy.purpose_id, policy.shadow_mode, policy.decision) == (purpose.id, True, Outcome.ALLOW)


def test_it_covers_calls_of_the_same_tool_or_on_the_same_tables(past: Past) -> None:
    decided(past, "crm.search", "ann", elements=("crm.contacts.name",))
    decided(past, "crm.read", "sam", elements=("crm.notes.text",))
    decided(past, "hr.read", elements=("hr.salaries.amount",))
    decided(past, agent_id="other", elements=("crm.contacts.phone",))
    decided(past, data_source_id="elsewhere", elements=("crm.contacts.phone",))
    found, purpose, policy = suggested(past, decided(past))
    assert purpose.elements == ("crm.contacts.email", "crm.contacts.name", "crm.notes.text")
    assert policy.match.capabilities == ("crm.read", "crm.search")
    assert policy.match.agent_ids == ("bot",)
    assert policy.match.data_source_id == ("salesforce",)
    assert (found.calls, found.people, found.refused) == (3, 3, 0)


def test_nothing_is_learned_from_what_was_denied(past: Past) -> None:
    decided(past, "crm.delete", elements=("crm.contacts.everything",))
    found, purpose, policy = suggested(past, decided(past))
    assert (found.refused, purpose.elements) == (1, ("crm.contacts.email",))
    assert policy.match.capabilities == ("crm.read",)


def test_as_few_groups_as_cover_everybody_are_asked_for(past: Past) -> None:
    decided(past, user="ann", groups=("sales", "staff"))
    decided(past, user="sam", groups=("tier-1", "staff"))
    decided(past, user="eve", groups=("guests",))
    _, _, policy = suggested(past, decided(past, groups=("tier-1", "staff")))
    assert policy.match.user_groups == ("guests", "staff")


def test_anonymous_calls_are_spoken_of_and_never_matched(past: Past) -> None:
    decided(past, user=None)
    found, _, policy = suggested(past, decided(past))
    assert policy.match.identity_required
    assert any("anonymous" in note for note in found.notes)


def test_what_people_were_asked_about_they_are_asked_about(past: Past) -> None:
    _, _, policy = suggested(past, decided(past, "pay.send"))
    assert policy.decision is Outcome.REQUIRE_APPROVAL


@pytest.mark.parametrize(("apart", "minutes"), [(1, 1), (60, 10), (500, 60), (3600, 1)])
def test_a_token_lives_as_long_as_a_sitting(past: Past, apart: int, minutes: int) -> None:
    for _ in range(8):
        told = decided(past)
        past.world.clock.at += (apart - 1) * 1_000_000
    found, purpose, policy = suggested(past, told)
    assert (found.ttl_minutes, policy.token_ttl_minutes, purpose.ttl_seconds) == (minutes, minutes, minutes * 60)


def test_few_calls_do_not_tell_how_long_a_token_must_live(past: Past) -> None:
    for _ in range(FEW - 1):
        told = decided(past)
    assert suggested(past, told)[0].ttl_minutes == 5


def test_very_many_columns_become_whole_tables(past: Past) -> None:
    _, purpose, _ = suggested(past, decided(past, elements=tuple(f"crm.contacts.c{i}" for i in range(80))))
    assert purpose.elements == ("crm.contacts.*",)


def test_calls_that_do_not_say_what_they_touch_make_a_purpose_that_does_not_speak_of_data(past: Past) -> None:
    _, purpose, _ = suggested(past, decided(past, elements=None))
    assert purpose.elements is None


def test_the_kind_of_purpose_is_what_the_classifier_saw_or_what_the_words_say(past: Past) -> None:
    told = decided(past, "crm.export")
    assert suggested(past, told)[1].intent_class is IntentClass.LOOKUP  # as `Sure` says of everything
    unseen = Told(id="x", at=told.at, outcome="allow", agent_id="nobody", capability="crm.export")
    assert suggested(past, unseen)[1].intent_class is IntentClass.EXPORT
    unseen = Told(id="x", at=told.at, outcome="allow", agent_id="nobody", capability="zzz")
    assert suggested(past, unseen)[1].intent_class is IntentClass.OTHER


def test_what_cannot_stand_in_a_policy_is_left_out_and_said(past: Past) -> None:
    told = Told(
        id="x\n- y", at=1, outcome="allow", agent_id="bot\u202e", capability="not a name!",
        task_context="\u0000\u202e!",
        elements=("no element", "crm.contacts.email"), data_source_id=" ",
    )  # fmt: skip
    found, purpose, policy = suggested(past, told)
    assert purpose.elements == ("crm.contacts.email",)
    assert policy.match.capabilities is None
    assert "So the policy does not limit `capabilities`: write yourself what it is to match." in found.notes
    assert len(found.notes) >= 3


def test_of_very_many_names_not_all_are_looked_at_and_that_is_said(past: Past) -> None:
    told = decided(past, elements=tuple(f"crm.t{i:05}.x" for i in range(MOST_LOOKED_AT + 5)))
    found, purpose, _ = suggested(past, told)
    assert "5 of `elements` were not looked at: there are too many." in found.notes
    assert purpose.elements is not None
    assert len(purpose.elements) <= 10 * MOST_ELEMENTS


def test_no_more_is_read_than_an_agent_may_fill(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onpurpose.app.likeness.MOST_BYTES", 1)
    calls = [decided(past) for _ in range(4)]
    assert suggested(past, calls[0])[0].calls == 2


def make(past: Past, purpose: str, policy: str) -> tuple[str, str]:
    return create(past.world.control, "default", purpose, policy, by="ann", reason="-")


def test_both_are_created_as_new_documents(past: Past) -> None:
    found = suggest(past.feed, past.follow, "default", decided(past))
    assert make(past, found.purpose, found.policy) == (found.purpose_id, found.purpose_id)
    assert past.world.standing(Kind.PURPOSE_POLICY, found.purpose_id).shadow == 1
    with pytest.raises(ConflictError, match="already"):
        make(past, found.purpose, found.policy)


@pytest.mark.parametrize(
    ("purpose", "policy", "error"),
    [
        ("id: p\n", "policy_id: q\npurpose_id: other\ndecision: allow\n", ValueError),
        ("id: p\n", "id: q\n", ValueError),
        ("id: p\n---\nid: r\n", "policy_id: q\npurpose_id: p\ndecision: allow\n", ValueError),
        ("id: p\n", "policy_id: q\npurpose_id: p\ndecision: allow\nshadow_mode: false\n", NotPermittedError),
        ("id: p\n", "policy_id: q\npurpose_id: p\ndecision: maybe\n", PolicyError),
    ],
)
def test_neither_is_created_where_one_cannot_be(past: Past, purpose: str, policy: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        make(past, purpose, policy)
    assert past.world.control.shelf.find("default", Kind.PURPOSE, "p") is None
