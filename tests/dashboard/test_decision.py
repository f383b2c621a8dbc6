"""One decision, over HTTP: why, by which rule, where it stands, and what is made of it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from onpurpose.core.access import Role
from onpurpose.core.call import Call, Identity
from onpurpose.core.outcome import Outcome
from onpurpose.core.revision import Kind
from onpurpose.lang.cases import parse_cases
from tests.app.deciding import question, route
from tests.dashboard.watchers import HOSTILE, POLICY, Watchers, is_harmless, seen, watchers


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Watchers]:
    with watchers(tmp_path) as house:
        house.guarded()
        yield house


def lookup(house: Watchers, **fields: object) -> str:
    """A call under a purpose; the id of its decision."""
    given: dict[str, Any] = {
        "purpose_id": "support",
        "elements": ("crm.contacts.email",),
        "task_context": "Look up a customer",
    }
    return house.call(**(given | fields)).decision_id


def test_every_layer_says_what_it_asks_for_and_why(house: Watchers) -> None:
    house.live(Kind.PURPOSE_POLICY, "day", "policy_id: day\npurpose_id: support\ndecision: require_approval\n")
    text = seen(house.get(f"/decisions/{lookup(house)}"))
    assert "1 purpose ask" in text
    assert "day revision 1 2 capability policy allow the allow rule `crm.read` matches" in text


def test_a_layer_without_an_opinion_is_said_to_have_none(house: Watchers) -> None:
    text = seen(house.get(f"/decisions/{house.call().decision_id}"))
    assert "purpose \N{EN DASH} no opinion: no purpose was declared" in text


def test_what_is_not_known_is_told_with_what_would_settle_it(house: Watchers) -> None:
    one = house.call("payments.transfer", payload={"amount": "a lot"}).decision_id
    text = seen(house.get(f"/decisions/{one}"))
    assert "Not known: amount_gt" in text
    assert "To settle it: " in text


def test_the_rule_stands_in_the_text_that_was_in_force_then(house: Watchers) -> None:
    one = house.call("payments.transfer", payload={"amount": 5000}).decision_id
    house.live(Kind.POLICY, "base", "allow:\n  - capability: payments.transfer\n")
    text = house.get(f"/decisions/{one}")
    assert re.search(r'class="line is-hit" id="s1-5".*?- capability: payments.transfer', text)
    assert 'base</bdi></a> <span class="quiet">revision 1' in text


def test_what_would_have_been_stands_beside_what_was(house: Watchers) -> None:
    text = seen(house.get(f"/decisions/{lookup(house)}"))
    assert "It was decided allow It would have been deny newly blocked" in text
    assert "shadowed revision 1 yes allow deny yes" in text


def test_purpose_elements_task_and_classifier_are_told(house: Watchers) -> None:
    text = seen(house.get(f"/decisions/{lookup(house, data_source_id='salesforce')}"))
    assert "declared support data source salesforce elements crm.contacts.email" in text
    assert "task Look up a customer" in text
    assert "It saw look (lookup) with a confidence of 30.0 %." in text


def test_a_token_is_named_where_one_is_given(house: Watchers) -> None:
    assert "token id" not in house.get(f"/decisions/{lookup(house)}")
    house.live(Kind.PURPOSE_POLICY, "day", "policy_id: day\npurpose_id: support\ndecision: allow\n")
    one = lookup(house)
    text = seen(house.get(f"/decisions/{one}"))
    assert f"token id {one} a token for it bears this as jti" in text
    assert "policies that matched day revision 1" in text


def test_the_approval_that_was_opened_is_linked(house: Watchers) -> None:
    call = Call("bot", "payments.transfer", {"amount": 5000}, identity=Identity("kim"))
    one = house.past.decide(call).decision_id
    asked = question(call, route("anyone"), workspace="default", asked_with="", decision_id=one)
    approval = house.parts.desk.ask(asked)
    text = house.get(f"/decisions/{one}")
    assert f'<a href="/approvals/{approval.id}">The approval</a>' in text
    house.record("d9", approval={"id": approval.id, "code": "approval_granted"})
    assert f'href="/approvals/{approval.id}"' in house.get("/decisions/d9")


def test_an_approval_that_is_none_is_told_as_the_call_named_it(house: Watchers) -> None:
    house.record("d9", approval={"id": HOSTILE, "code": "approval_unknown"})
    text = house.get("/decisions/d9")
    assert "approval unknown" in text
    assert is_harmless(text)


def test_the_place_in_the_log_is_checked_against_its_neighbours(house: Watchers) -> None:
    with house.visitor() as visitor:  # signing in is told of in the log as well
        one = house.call().decision_id
        assert "It is the newest of its chain." in visitor.get(f"/decisions/{one}?verify=1")
    house.call()
    text = seen(house.get(f"/decisions/{one}?verify=1"))
    assert "It holds: the hash was worked out anew" in text
    assert "and the record that follows is linked to it" in text
    assert "It holds" not in house.get(f"/decisions/{one}")


def test_the_record_comes_byte_for_byte(house: Watchers) -> None:
    one = house.call().decision_id
    with house.visitor() as visitor:
        answer = visitor.client.get(f"/decisions/{one}/record.json")
    entry = house.past.feed.decision("default", one)
    assert entry is not None
    assert answer.content == house.past.follow.after(entry.chain, entry.seq - 1, 1)[0].body
    assert answer.headers["content-disposition"] == f'attachment; filename="{one}.json"'
    assert orjson.loads(answer.content)["id"] == one


def test_the_case_reads_back_as_the_call_and_passes(house: Watchers) -> None:
    one = house.call("payments.transfer", payload={"amount": 5000, "note": HOSTILE}).decision_id
    with house.visitor() as visitor:
        answer = visitor.client.get(f"/decisions/{one}/case.yaml")
    (case,) = parse_cases(answer.content).cases
    assert (case.call.payload, case.outcome, case.rule) == (
        {"amount": 5000, "note": HOSTILE}, Outcome.REQUIRE_APPROVAL, 5
    )  # fmt: skip
    assert "passes Tried with the policy as it was then." in seen(house.get(f"/decisions/{one}"))


def test_a_decision_without_a_policy_has_no_case_and_says_why(house: Watchers) -> None:
    house.record("d9", reasons=[{"code": "unknown_purpose", "outcome": "deny", "message": "no"}])
    assert "no capability policy had an opinion on this call" in house.get("/decisions/d9")
    house.get("/decisions/d9/case.yaml", status=404)


def test_a_decision_that_is_none_or_of_others_is_not_found(house: Watchers) -> None:
    house.record("d9", workspace="other")
    for path in ("nothing", "d9", "%00", "d9/record.json", "x/case.yaml", "%2e%2e"):
        assert "Nothing is here" in house.get(f"/decisions/{path}", status=404)


def test_a_record_that_cannot_be_read_is_shown_as_it_is(house: Watchers) -> None:
    house.record("d9", elements="not a list", capability=HOSTILE)
    text = house.get("/decisions/d9")
    assert "cannot be read" in text
    assert "not a list" in text
    assert is_harmless(text)


FIELDS = {
    "agent_id": HOSTILE,
    "capability": HOSTILE,
    "task_context": HOSTILE,
    "risk_category": HOSTILE,
    "policy": HOSTILE,
    "key": HOSTILE,
    "digest": HOSTILE,
    "purpose_id": HOSTILE,
    "data_source_id": HOSTILE,
    "elements": [HOSTILE],
    "identity": {"user_id": HOSTILE, "groups": [HOSTILE]},
    "payload": {HOSTILE: [HOSTILE]},
    "policy_context": {HOSTILE: HOSTILE},
    "purpose_policies": [{"name": HOSTILE, "revision": 1}],
    "intent": {"label": HOSTILE, "class": HOSTILE, "confidence": 0.5},
    "shadow": [{"kind": HOSTILE, "name": HOSTILE, "revision": 1, "would": "deny"}],
    "reasons": [
        {
            "code": HOSTILE, "outcome": "deny", "message": HOSTILE, "rule": {"at": HOSTILE, "capability": HOSTILE},
            "unknown": [{"condition": HOSTILE, "why": HOSTILE, "settle": HOSTILE}],
            "signals": [{"name": HOSTILE, "weight": 1, "certain": False}],
        },
        {"code": "rule_matched", "outcome": "deny", "message": HOSTILE, "rule": {"at": f"{HOSTILE}@1:1"}},
        {"code": "x", "outcome": HOSTILE, "message": "", "policy": {"kind": HOSTILE, "name": HOSTILE, "revision": 1}},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", list(FIELDS))
def test_whatever_an_agent_wrote_is_text(house: Watchers, name: str) -> None:
    house.record("d9", **{name: FIELDS[name]})
    text = house.get("/decisions/d9")
    assert "alert(1)" in text
    assert is_harmless(text)


@pytest.mark.parametrize(
    "told",
    [
        {"payload": {"text": "x" * 1_000_000}, "task_context": "y" * 1_000_000},
        {"payload": [[i] for i in range(50_000)]},
        {"elements": [f"crm.contacts.c{i}" for i in range(20_000)], "purpose_id": "support"},
        {"identity": {"user_id": "kim", "groups": ["g" * 500] * 2000}},
        {"reasons": [{"code": "rule_unknown", "outcome": "deny", "message": "m" * 5000}] * 500},
        {"shadow": [{"kind": "policy", "name": f"p{i}", "revision": 1, "would": "deny"} for i in range(1000)]},
    ],
)
def test_huge_values_make_no_huge_page(house: Watchers, told: dict[str, object]) -> None:
    house.record("d9", **told)
    assert len(house.get("/decisions/d9").encode()) < 150_000


# -- a purpose made of it


def draft(house: Watchers, one: str) -> dict[str, str]:
    """The texts that are suggested, as the form holds them."""
    text = house.get(f"/decisions/{one}/purpose", role=Role.AUTHOR)
    found = re.findall(r'<textarea[^>]*name="(\w+)"[^>]*>\n?(.*?)</textarea>', text, re.DOTALL)
    return {name: html.unescape(inside) for name, inside in found}


def test_a_purpose_is_suggested_from_calls_like_this_one(house: Watchers) -> None:
    for column in ("email", "name"):
        one = lookup(house, elements=(f"crm.contacts.{column}",), data_source_id="salesforce")
    lookup(house, elements=("hr.salaries.amount",), data_source_id="hr")
    texts = draft(house, one)
    assert 'elements: ["crm.contacts.email", "crm.contacts.name"]' in texts["purpose"]
    assert "status: draft" in texts["purpose"]
    assert 'data_source_id: ["salesforce"]' in texts["policy"]
    assert "shadow_mode: true" in texts["policy"]


def test_what_is_confirmed_is_created_as_a_draft_and_in_shadow(house: Watchers) -> None:
    one = lookup(house)
    with house.visitor(Role.AUTHOR) as author:
        answer = author.post(f"/decisions/{one}/purpose", **draft(house, one), reason="calls like this come often")
    assert answer.headers["location"] == "/policies/purpose_policy/look_up_a_customer"
    shelf = house.world.control.shelf
    standing, revision = shelf.newest("default", Kind.PURPOSE_POLICY, "look_up_a_customer")
    assert (standing.live, standing.shadow) == (None, 1)
    assert (revision.author, revision.reason) == ("author", "calls like this come often")
    assert "status: draft" in shelf.newest("default", Kind.PURPOSE, "look_up_a_customer")[1].text


def test_nothing_is_created_twice_or_without_a_reason_and_what_was_written_stays(house: Watchers) -> None:
    one = lookup(house)
    texts = draft(house, one)
    with house.visitor(Role.AUTHOR) as author:
        answer = author.post(f"/decisions/{one}/purpose", 422, **texts, reason=" ")
        assert "Say why" in answer.text
        author.post(f"/decisions/{one}/purpose", **texts, reason="once")
        answer = author.post(f"/decisions/{one}/purpose", 422, **texts, reason="twice & more")
    assert "That cannot be saved yet" in answer.text
    assert 'value="twice &amp; more"' in answer.text


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"policy": "nonsense: ["}, "error"),
        ({"policy": "policy_id: p\npurpose_id: other\ndecision: allow\n"}, "the policy is of the purpose `other`"),
        ({"policy": "id: x\n"}, "the first text is a purpose, the second a policy of it"),
        ({"purpose": "id: x\n---\nid: y\n"}, "is one document"),
        (
            {"policy": "policy_id: p\npurpose_id: look_up_a_customer\ndecision: allow\nshadow_mode: false\n"},
            "would decide at once",
        ),
    ],
)
def test_what_cannot_be_created_is_said_and_nothing_is_half_done(
    house: Watchers, change: dict[str, str], problem: str
) -> None:
    one = lookup(house)
    with house.visitor(Role.AUTHOR) as author:
        answer = author.post(f"/decisions/{one}/purpose", 422, **(draft(house, one) | change), reason="-")
    assert problem in html.unescape(answer.text)
    names = [standing.name for standing in house.world.control.shelf.contents("default").standings]
    assert sorted(names) == ["base", "shadowed", "support"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.APPROVER, Role.PROMOTER])
def test_only_who_writes_policies_makes_purposes(house: Watchers, role: Role) -> None:
    one = lookup(house)
    assert "Make a purpose" not in house.get(f"/decisions/{one}", role=role)
    house.get(f"/decisions/{one}/purpose", 403, role=role)
    with house.visitor(role) as visitor:
        visitor.post(f"/decisions/{one}/purpose", 403, purpose="", policy="", reason="")


def test_a_form_of_another_page_creates_nothing(house: Watchers) -> None:
    one = lookup(house)
    with house.visitor(Role.AUTHOR) as author:
        answer = author.client.post(
            f"/decisions/{one}/purpose",
            data=draft(house, one) | {"reason": "-"},
            headers={"Origin": "https://evil.example"},
        )
    assert answer.status_code == 403


def test_a_suggestion_from_hostile_calls_is_text_and_can_be_created(house: Watchers) -> None:
    house.record(
        "d9", capability=HOSTILE, agent_id=HOSTILE, task_context=HOSTILE, data_source_id=HOSTILE,
        elements=[HOSTILE, "crm.contacts.email"], identity={"user_id": HOSTILE, "groups": [HOSTILE]},
    )  # fmt: skip
    text = house.get("/decisions/d9/purpose", role=Role.AUTHOR)
    assert is_harmless(re.sub(r"<textarea.*?</textarea>", "", text, flags=re.DOTALL))
    assert "<script>alert" not in text
    with house.visitor(Role.AUTHOR) as author:
        author.post("/decisions/d9/purpose", **draft(house, "d9"), reason="-")


def test_the_policy_of_these_tests_is_what_it_seems() -> None:
    assert POLICY.split("\n")[4] == "  - capability: payments.transfer"
