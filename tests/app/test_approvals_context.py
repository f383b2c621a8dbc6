"""What people are shown: complete, masked, bounded, and nothing that looks like what it is not."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpurpose.app.intent_context import (
    MAX_CHANGES,
    MAX_PAYLOAD,
    Question,
    changed_since,
    differences,
    intent_context,
    pretty_payload,
    visible,
)
from onpurpose.app.masking import Masking
from onpurpose.core.act import Via
from onpurpose.core.call import Call, Identity
from onpurpose.core.decision import Code, Decision, PolicyRef, Reason, RuleRef, Signal, Unknown
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass, Purpose, Status
from onpurpose.core.span import Span
from tests.app.deciding import CALL, Office, question

MASKING = Masking()
SECRETS = {
    "password": "correct horse battery",
    "note": "use AKIAABCDEFGHIJKLMNOP and Bearer abcdefghijklmnop1234",
    "url": "postgres://root:s3cretpw@db/prod",
    "card": "4111 1111 1111 1111",
}
HIDDEN = ["correct horse", "AKIAABCDEFGHIJKLMNOP", "abcdefghijklmnop1234", "s3cretpw", "4111 1111"]
RULE = RuleRef(
    outcome=Outcome.REQUIRE_APPROVAL, capability="payments.*", span=Span(source="policy.yaml", line=12, column=3)
)
FULL = Question(
    workspace="acme",
    call=Call(
        "agent-7", "payments.transfer", {"amount": 7, "to": "DE02"}, {"environment": "production", "depth": 3},
        "paying bills", "money", Identity("eve", ("sales", "audit")), "pay", "ledger", ("bills.amount", "bills.iban"),
    ),
    decision=Decision(
        Outcome.REQUIRE_APPROVAL,
        (
            Reason(
                code=Code.RULE_MATCHED, outcome=Outcome.REQUIRE_APPROVAL, message="over 5", rule=RULE,
                unknown=(Unknown(condition="amount_gt: 5", why="two amounts", settle="send one"),),
                signals=(Signal(name="new recipient", weight=3, certain=False),),
            ),
            Reason(
                code=Code.PURPOSE_POLICY_MATCHED, outcome=Outcome.REQUIRE_APPROVAL, message="asks",
                policy=PolicyRef(kind="purpose_policy", name="pay_eu", revision=4),
            ),
            Reason(code=Code.RULE_MATCHED, outcome=Outcome.ALLOW, message="not shown"),
        ),
    ),
    decision_id="d1",
    asked_by="bot key",
    purpose=Purpose(
        id="pay", name="Pay bills", description="Bills of the month", elements=("bills.*",), status=Status.ACTIVE,
        span=Span(source="p.yaml", line=1, column=1),
    ),
    intent=Intent(label="transfer", intent_class=IntentClass.WRITE, confidence=0.91),
)  # fmt: skip


def shown(asked: Question) -> dict[str, Any]:
    found = orjson.loads(intent_context(asked, MASKING))
    assert isinstance(found, dict)
    return found


def test_the_context_is_complete() -> None:
    assert shown(FULL) == {
        "agent_id": "agent-7",
        "user": {"id": "eve", "groups": ["audit", "sales"]},
        "capability": "payments.transfer",
        "purpose": {"id": "pay", "name": "Pay bills", "description": "Bills of the month", "elements": ["bills.*"]},
        "elements": ["bills.amount", "bills.iban"],
        "data_source_id": "ledger",
        "task_context": "paying bills",
        "risk_category": "money",
        "policy_context": {"environment": "production", "depth": 3},
        "payload": '{\n  "amount": 7,\n  "to": "DE02"\n}',
        "payload_cut": 0,
        "changed": None,
        "rules": [
            {
                "code": "rule_matched", "outcome": "require_approval", "message": "over 5", "at": "policy.yaml:12",
                "capability": "payments.*",
            },
            {
                "code": "purpose_policy_matched", "outcome": "require_approval", "message": "asks", "at": None,
                "capability": None, "policy": "pay_eu@4",
            },
        ],
        "unknown": [{"condition": "amount_gt: 5", "why": "two amounts", "settle": "send one"}],
        "signals": [{"name": "new recipient", "weight": 3, "certain": False}],
        "intent": {"label": "transfer", "class": "write", "confidence": 0.91},
        "similar": [],
        "asked_by": "bot key",
        "decision_id": "d1",
    }  # fmt: skip


def test_what_is_not_known_is_said_to_be_nothing() -> None:
    bare = shown(question(Call("a", "b.c"), asked_by=""))
    assert bare["user"] is bare["purpose"] is bare["intent"] is bare["elements"] is None
    assert bare["payload"] == "null"
    assert shown(question(Call("a", "b.c", purpose_id="made up")))["purpose"] == {"id": "made up"}


def test_no_secret_of_the_payload_is_in_the_context_a_note_or_a_message() -> None:
    office = Office()
    call = replace(
        CALL, payload={"deep": [SECRETS]}, policy_context={"api_key": "abcd1234efgh", "list": [SECRETS]},
        purpose_id=SECRETS["note"], data_source_id=SECRETS["url"], task_context=SECRETS["note"],
    )  # fmt: skip
    approval = office.ask(call=call, decision=Decision(Outcome.REQUIRE_APPROVAL, (_reason(SECRETS["note"]),)))
    office.desk.grant("acme", approval.id, "ada", via=Via.PAGE, text=SECRETS["note"])
    again = office.ask(call=replace(call, payload={"deep": [SECRETS], "password": "another one"}))
    told = [approval.context, again.context, str(office.notes()).encode()]
    told.append(str([office.store.of("acme", one.id) for one in (approval, again)]).encode())
    told.append(office.desk.changed_since(approval, call).encode())
    told.append(str(office.desk.get("acme", approval.id).acts).encode())
    for text in (*HIDDEN, "abcd1234efgh", "another one"):
        assert not [one for one in told if text.encode() in one]
    assert b"[masked" in approval.context


def _reason(text: str) -> Reason:
    unknown = Unknown(condition=text, why=text, settle=text)
    return Reason(code=Code.RULE_UNKNOWN, outcome=Outcome.REQUIRE_APPROVAL, message=text, unknown=(unknown,))


HOSTILE: dict[str, object] = {
    "huge": {"x": "a" * 1_000_000},
    "huge in a million pieces": {"x": [0] * 99_000},
    "wide": {f"k{number}": number for number in range(50_000)},
    "escapes": {"x": "\u202e\x00\x1b[2J\u200b" * 20_000},
    "astral": {"x": "\U000e0041" * 50_000},
    "quotes": {"x": '"\\' * 100_000},
    "text": "y" * 900_000,
}


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = {"k": [value]}
    return value


DEEP = nested(30)


@pytest.mark.parametrize("payload", [*HOSTILE.values(), DEEP], ids=[*HOSTILE, "deep"])
def test_a_hostile_payload_is_bounded_and_shows_no_control_characters(payload: object) -> None:
    call = replace(CALL, payload=payload)
    begun = time.thread_time()
    context = intent_context(question(call), MASKING)
    found = orjson.loads(context)
    assert time.thread_time() - begun < 5
    assert len(found["payload"].encode()) <= MAX_PAYLOAD
    assert len(context) < 3 * MAX_PAYLOAD
    assert found["payload"].replace("\n", "").isprintable()
    assert (found["payload_cut"] > 0) == (payload != DEEP)


def test_hostile_names_and_lists_are_bounded_too() -> None:
    long = "\u202e" + "n" * 10_000
    call = Call(
        "agent-7", "a.b", {}, {f"{long}{number}": {"x": long} for number in range(1000)}, long, long,
        Identity(long, tuple(f"g{number}" for number in range(10_000))), long, long,
        tuple(f"t.c{number}" for number in range(10_000)),
    )  # fmt: skip
    reasons = tuple(_reason(f"{number} {long}") for number in range(500))
    intent = Intent(label=long, intent_class=IntentClass.OTHER, confidence=0.5)
    asked = question(call, decision=Decision(Outcome.REQUIRE_APPROVAL, reasons), asked_by=long, intent=intent)
    context = intent_context(asked, MASKING)
    assert len(context) < 400_000
    found = orjson.loads(context)
    assert "\u202e" not in context.decode()
    assert found["elements"][-1] == "and 9800 more"
    assert len(found["policy_context"]) < 60
    assert found["policy_context"]["…"].endswith(" more")


@given(st.text())
def test_what_is_shown_can_be_seen(text: str) -> None:
    seen = visible(text)
    assert seen.replace("\n", "").isprintable()
    assert visible(seen) == seen
    if text.isprintable():
        assert seen == text


# -- what differs

LINES = st.lists(st.sampled_from(["a", "b", "c", "{", "}"]), max_size=12)


@given(LINES, LINES)
def test_differences_turn_the_one_text_into_the_other(old: list[str], new: list[str]) -> None:
    found = differences("\n".join(old), "\n".join(new))
    gone = [line[2:] for line in found if line.startswith("- ")]
    come = [line[2:] for line in found if line.startswith("+ ")]
    old, new = "\n".join(old).split("\n"), "\n".join(new).split("\n")
    assert (found == []) == (old == new)
    assert sorted([*old, *come]) == sorted([*new, *gone])


def test_a_long_line_is_shown_where_it_differs() -> None:
    found = differences("x" * 5000 + "OLD", "x" * 5000 + "NEW" + "y" * 500)
    assert [len(line) <= 202 for line in found] == [True, True]
    assert "OLD" in found[0]
    assert "NEW" in found[1]


def test_many_differences_are_counted_and_cost_linear_time() -> None:
    old, new = ("\n".join(f"{side} {number % 7}" for number in range(30_000)) for side in ("old", "new"))
    begun = time.thread_time()
    found = differences(old, new)
    assert time.thread_time() - begun < 2
    assert len(found) == MAX_CHANGES + 1
    assert found[-1] == f"and {60_000 - MAX_CHANGES} lines more"
    assert differences(None, "x") == ["- ", "+ x"]


def test_a_question_shows_what_differs_from_the_last_one_that_was_granted() -> None:
    office = Office()
    first = office.ask()
    assert orjson.loads(first.context)["changed"] is None
    office.desk.grant("acme", first.id, "ada", via=Via.PAGE)
    second = office.ask(call=replace(CALL, payload={"amount": 60_001, "to": "DE02"}))
    assert orjson.loads(second.context)["changed"] == {
        "since": first.id, "lines": ['-   "amount": 60000,', '+   "amount": 60001,'],
    }  # fmt: skip


def test_a_question_shows_what_people_said_to_the_agent_before() -> None:
    office = Office()
    calls = [replace(CALL, payload={"n": number}) for number in range(8)]
    first, second, *others = [office.ask(call=call) for call in calls[:7]]
    assert orjson.loads(others[-1].context)["similar"][0] == {
        "id": others[-2].id, "state": "pending", "by": "", "when": "2027-01-15 08:00:00+00:00", "text": "",
    }  # fmt: skip
    office.desk.grant("acme", first.id, "ada", via=Via.PAGE)
    office.desk.deny("acme", others[-1].id, "bob", via=Via.PAGE, text="too\nmuch")
    last = orjson.loads(office.ask(call=calls[7]).context)
    assert (last["similar"][0]["by"], last["similar"][0]["text"]) == ("bob", "too\\nmuch")
    assert len(last["similar"]) == 5
    assert last["changed"]["since"] == first.id  # though it is not among the five
    assert second.state == "pending"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"payload": {"amount": 61_000, "to": "DE02"}}, ['-   "amount": 60000,', '+   "amount": 61000,']),
        ({"identity": None}, ["another user"]),
        ({"identity": Identity("eve", ("audit",))}, ["another user"]),
        ({"purpose_id": "x", "data_source_id": "y"}, ["another purpose", "another data source"]),
        ({"policy_context": {"tenant": "b"}}, ["another policy context"]),
        ({"agent_id": "z", "capability": "a.b"}, ["another agent", "another capability"]),
        ({}, ["nothing that is shown: a value that is masked or cut, or written in another way"]),
    ],
)
def test_an_agent_is_told_what_it_changed(other: dict[str, Any], told: list[str]) -> None:
    approval = Office().ask()
    assert changed_since(approval, replace(CALL, **other), MASKING).splitlines() == told


@pytest.mark.parametrize("context", [b"", b"[]", b"{", b'{"purpose": 3}'])
def test_a_context_that_cannot_be_read_differs_in_everything(context: bytes) -> None:
    told = changed_since(replace(Office().ask(), context=context), CALL, MASKING)
    assert {"another agent", "another capability", "another user"} <= set(told.splitlines())


def test_what_is_cut_is_counted_in_bytes() -> None:
    text, cut = pretty_payload(replace(CALL, payload={"x": "é" * MAX_PAYLOAD}), MASKING)
    assert len(text.encode()) + cut == len('{\n  "x": ""\n}') + 2 * MAX_PAYLOAD
