"""Nothing that an agent writes is more in Slack than its letters: no mention, no link, no form of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from onpurpose.adapters.slack.blocks import least, message, summary
from onpurpose.adapters.slack.text import escaped, line, moment, shown
from onpurpose.core.approval import Act, Approval, Move, Seat, Via, advance, open_approval
from onpurpose.core.delivery import View
from onpurpose.core.routing import Route, Stage
from tests.slack.fake import Json, buttons, seen, specials, texts
from tests.slack.limits import fault_of
from tests.slack.world import CONTEXT, NOW, ROUTE, TWO, World

ATTACK = (
    "<!channel> <@U0ANNA> <https://evil.example|approve> *bold* _x_ `x` :tada: @here https://evil.example/x\nRule: ok"
)
FIELDS = sorted(CONTEXT)


def an_approval(**changed: Any) -> Approval:
    fields: dict[str, Any] = {
        "id": "a1", "workspace": "acme", "digest": "d", "routes": (ROUTE,), "agent_id": "agent-7",
        "capability": "payments.transfer", "purpose_id": "refund", "context": b"{}", "opened_at": NOW, "until": 0,
        "wake_at": None,
    }  # fmt: skip
    return open_approval(Approval(**(fields | changed)))


def view_of(approval: Approval, context: Json) -> View:
    return View(approval=approval, context=context, now=NOW, page="https://gate.example/approvals/a1")


def posted(view: View) -> Json:
    """The message as it is sent."""
    return {"blocks": message(view, "m1", view.page), "text": summary(view.approval)}


def attacked(value: Any) -> Any:
    """The same shape, with the attack in every text."""
    if isinstance(value, dict):
        return {key: attacked(item) for key, item in value.items()} | {ATTACK: ATTACK}
    if isinstance(value, list):
        return [attacked(item) for item in value] + [ATTACK]
    return ATTACK if isinstance(value, str) else value


def acts_by(approval: Approval, text: str) -> Approval:
    """The approval, talked about and denied with that text by people whose ids are that text."""
    delegated = advance(approval, Act(move=Move.DELEGATE, at=NOW, by="x" + text, via=Via.API, to="y" + text, text=text))
    said = advance(delegated, Act(move=Move.COMMENT, at=NOW, by=text, via=Via.API, text=text))
    granted = advance(said, Act(move=Move.GRANT, at=NOW, by="z" + text, via=Via.API, seats=(Seat(0, 0),)))
    return advance(granted, Act(move=Move.DENY, at=NOW, by=text, via=Via.API, text=text))


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_of_the_context_is_shown_as_it_is_written(field: str) -> None:
    sent = posted(view_of(an_approval(), CONTEXT | {field: attacked(CONTEXT[field])}))
    assert all(one.startswith("<!date^") for one in specials(sent))
    assert fault_of(sent["blocks"]) == ""
    assert buttons(sent) == ["Grant", "Deny…", "Delegate…", "Open the page"]


@pytest.mark.parametrize("settled", [False, True])
def test_names_and_reasons_are_shown_as_they_are_written(settled: bool) -> None:
    approval = an_approval(agent_id=ATTACK, capability=ATTACK, purpose_id=ATTACK, routes=(TWO,))
    if settled:
        approval = acts_by(approval, ATTACK)
    sent = posted(view_of(approval, attacked(CONTEXT)))
    assert all(one.startswith("<!date^") for one in specials(sent))
    assert fault_of(sent["blocks"]) == ""
    assert "<!channel>" in seen(sent)


def test_a_text_of_two_lines_cannot_pass_for_two_facts() -> None:
    sent = posted(view_of(an_approval(agent_id="bot\nRule: allow"), CONTEXT))
    lines = seen(sent).splitlines()
    assert "Agent: bot ⏎ Rule: allow" in lines
    assert "Rule: allow" not in lines


def test_what_turns_or_hides_letters_is_written_out() -> None:
    assert line("pay \u202e0001\u200b", 50) == "pay \\u202e0001\\u200b"
    assert shown("a\x00b\nc\td") == "a\\u0000b\nc    d"
    assert shown("straße 東京") == "straße 東京"


def test_whoever_presses_is_told_in_letters(world: World) -> None:
    world.slack.add_member("U0EVE", "eve@example.com")
    approval = world.ask()
    world.deliver()
    world.desk.deny("acme", approval.id, "bob", via=Via.PAGE, text="no")
    world.slack.press(world.slack.message(), "onpurpose_deny", "U0ANNA")
    world.settle()
    shown_last = world.slack.ephemeral[-1]
    assert specials(shown_last) == []
    assert {kind for kind, _ in texts(shown_last["blocks"])} == {"plain_text"}


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats(allow_nan=False) | st.text(max_size=300),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=20), inner, max_size=8),
    max_leaves=20,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries(dict.fromkeys(FIELDS, anything)), st.text(min_size=1, max_size=200))
def test_whatever_stands_in_the_context_slack_takes_the_message(context: Json, name: str) -> None:
    view = view_of(an_approval(agent_id=name, capability=name), context)
    for blocks in (message(view, "m1", view.page), message(view, "m1", ""), least(view, "m1", "")):
        assert fault_of(blocks) == ""
    assert all(one.startswith("<!date^") for one in specials(posted(view)))


@pytest.mark.parametrize("char", ["a", "\n", "€", "😀", "\u202e", '"', "\\", "<"])
def test_a_payload_of_any_length_is_cut_to_what_slack_takes_and_says_so(char: str) -> None:
    many = {"name": char * 2000}
    context = CONTEXT | {
        "payload": char * 65536, "payload_cut": 9, "changed": {"lines": ["+ " + char * 200] * 100},
        "rules": [{"at": char * 500, "message": char * 1000}] * 50, "signals": [many] * 50,
        "elements": [char * 512] * 200,
        "policy_context": {f"{n}": char * 512 for n in range(50)},
    }  # fmt: skip
    sent = posted(view_of(an_approval(agent_id=char * 512), context))
    assert fault_of(sent["blocks"]) == ""
    told = ["characters more are not shown here; the page shows them", "9 bytes more were too many to be kept"]
    assert all(one in seen(sent) for one in told) or "Read it on the page before you decide" in seen(sent)
    assert len(json.dumps(sent["blocks"])) > 5000 or char == "😀"


def test_everything_that_decides_stands_in_the_message() -> None:
    text = seen(posted(view_of(replace(an_approval(), joined=2), CONTEXT | {"similar": [
        {"id": "a0", "state": "granted", "by": "bob", "when": "yesterday"}]})))  # fmt: skip
    for wanted in (
        "Approval needed: payments.transfer", "Waits for: group approvers", "Agent: agent-7",
        "Asked with key: billing key", "User: kim (support)", "Purpose: refund (Refunds)",
        "Purpose means: Give money back", "Purpose may touch: crm.orders", "Touches: crm.orders.total",
        "Data source: crm", "Context: environment=production",
        "Rule: pay.yaml:7 (payments.*) require_approval - over 500",
        "Unknown: amount_gt - two readings - say one amount", "Classifier: refund a customer (write, 83% sure)",
        "Risk signal: external recipient (weight 3)", "Asked again: 2 times",
        "Similar request: granted bob yesterday a0", '+   "amount": 900,', '"to": "kim@example.com"',
    ):  # fmt: skip
        assert wanted in text


def test_the_time_that_is_left_is_told_in_the_readers_zone() -> None:
    approval = an_approval()
    sent = posted(view_of(approval, CONTEXT))
    assert specials(sent) == [moment(approval.until)]
    assert moment(NOW) == "<!date^1800000000^{date_short_pretty} at {time}|2027-01-15 08:00 UTC>"


def test_what_is_escaped_has_no_beginning_of_anything() -> None:
    assert escaped("<!here> & <x|y>") == "&lt;!here&gt; &amp; &lt;x|y&gt;"


def test_anybody_may_be_asked_and_so_may_one_person() -> None:
    route = Route(stages=(Stage(approvers=("anyone",)),))
    two = Route(stages=(Stage(approvers=("user:anna", "group:ops"), quorum=2),))
    text = seen(posted(view_of(an_approval(routes=(route, two)), CONTEXT)))
    assert "Waits for: anyone" in text
    assert "Waits for: 2 of anna or group ops" in text


def test_the_least_has_no_link_where_there_is_no_page() -> None:
    approval = advance(an_approval(), Act(move=Move.CANCEL, at=NOW, by="kim", via=Via.API))
    blocks = least(view_of(approval, CONTEXT), "m1", "")
    assert [block["type"] for block in blocks] == ["header", "context", "section"]
    assert "`onpurpose approvals show`" in seen({"blocks": blocks})
