"""From the call to the grant and back: the real desk asks, Slack tells, somebody presses, the call runs once."""

from __future__ import annotations

import threading

import pytest

from onpurpose.adapters.slack import Interactions
from onpurpose.adapters.slack.blocks import DELEGATE, GRANT
from onpurpose.core.approval import ApprovalError, State
from onpurpose.core.call import Call, Identity
from onpurpose.core.canonical import exact_digest
from onpurpose.core.delivery import Event
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import MissingError, StoreError
from tests.app.deciding import question
from tests.slack.fake import buttons, seen
from tests.slack.world import REASONS, ROUTE, World

CALL = Call(
    "agent-7", "payments.transfer", {"amount": 60_000, "api_key": "sk-live-0123456789abcdef", "note": "<!channel>"},
    identity=Identity("kim", ("sales",)),
)  # fmt: skip


def test_a_call_that_needs_a_person_runs_once_after_a_press(world: World) -> None:
    approval = world.desk.ask(question(CALL, ROUTE))
    world.deliver()
    message = world.slack.message()
    for wanted in ("Agent: agent-7", "User: kim (sales)", "over 50,000", '"amount": 60000', "<!channel>", "[masked"):
        assert wanted in seen(message)
    assert "0123456789abcdef" not in seen(message)
    world.slack.press(message, GRANT, "U0ANNA")
    world.settle()
    consumed = [
        world.desk.consume("acme", approval.id, exact_digest(CALL), "agent-7", approval.routes, f"d{n}").granted
        for n in range(2)
    ]
    assert consumed == [True, False]
    assert world.now(approval).state is State.USED


def test_the_difference_to_the_last_one_that_was_granted_is_shown(world: World) -> None:
    first = world.desk.ask(question(CALL, ROUTE))
    world.deliver()
    world.slack.press(world.slack.message(), GRANT, "U0ANNA")
    world.slack.wait_for(lambda: world.slack.ephemeral)
    assert world.now(first).state is State.GRANTED
    world.clock.pass_seconds(1)
    world.desk.ask(question(Call("agent-7", "payments.transfer", {"amount": 90_000}), ROUTE, decision_id="d9"))
    world.deliver()
    text = seen(world.slack.message())
    assert "Changed since the last one that was granted" in text
    assert '+   "amount": 90000' in text


def test_slack_has_its_answer_before_anything_is_decided(world: World) -> None:
    approval = world.ask()
    world.deliver()
    message = world.slack.message()
    busy = threading.Event()
    decide = world.desk.grant
    world.desk.grant = lambda *a, **k: busy.wait(10) and decide(*a, **k)  # type: ignore[assignment, method-assign]  # slow
    assert world.slack.press(message, GRANT, "U0ANNA").status == 200
    assert world.now(approval).state is State.PENDING
    busy.set()
    world.settle()
    assert world.now(approval).state is State.GRANTED


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreError("disk"), "could not be confirmed"), (LedgerError("log"), "could not be confirmed"),
        (MissingError("gone"), "not known any more"), (ApprovalError("a text is too long"), "a text is too long"),
        (ZeroDivisionError("secret detail"), "failed inside onpurpose"),
    ],
    ids=repr,
)  # fmt: skip
def test_whatever_goes_wrong_is_told_without_its_insides(world: World, error: Exception, told: str) -> None:
    def fails(*args: object, **named: object) -> None:
        raise error

    world.ask()
    world.deliver()
    world.desk.grant = fails  # type: ignore[assignment, method-assign]  # a desk in trouble
    world.slack.press(world.slack.message(), GRANT, "U0ANNA")
    world.settle()
    assert told in world.told()
    assert "secret" not in world.told()


def test_somebody_who_cannot_be_told_has_decided_all_the_same(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.slack.outsiders.add("U0ANNA")
    world.slack.press(world.slack.message(), GRANT, "U0ANNA")
    world.settle()
    assert world.slack.ephemeral == []
    assert world.now(approval).state is State.GRANTED


def test_where_nobody_else_may_decide_it_is_not_passed_on(world: World) -> None:
    world.users = [one for one in world.users if one.id in {"anna", "kim", "dave"}]
    world.ask()
    world.deliver()
    world.slack.press(world.slack.message(), DELEGATE, "U0ANNA")
    world.settle()
    assert world.slack.views == []
    assert "nobody whom it could be passed on to" in world.told()


def test_without_reasons_to_choose_from_one_is_written(world: World) -> None:
    world.ask()
    world.deliver()
    bare = Interactions(
        api=world.api, desk=world.desk, people=world.people, sent=world.store.of, refused=world.desk.refused
    )
    bare.take(world.slack.pressed(world.slack.message(), "onpurpose_deny", "U0ANNA"))
    bare.close()
    assert [block.get("block_id") for block in world.slack.views[-1]["blocks"]] == [None, "reason"]
    assert REASONS


def test_a_request_that_was_used_or_cancelled_says_so(world: World) -> None:
    used, cancelled = world.desk.ask(question(CALL, ROUTE)), world.ask()
    world.deliver()
    world.slack.press(world.slack.message(at=0), GRANT, "U0ANNA")
    world.settle()
    world.desk.cancel("acme", cancelled.id, by="kim", via="api", text="not needed")  # type: ignore[arg-type]  # a name of it
    world.deliver()
    assert "Cancelled by: kim: not needed" in seen(world.slack.message(at=1))
    assert buttons(world.slack.message(at=1)) == ["Open the page"]
    assert "Granted by: anna" in seen(world.slack.message(at=0))
    world.desk.consume("acme", used.id, exact_digest(CALL), "agent-7", used.routes, "d2")
    world.deliver()
    events = [one.event for one in world.sent(used)]
    assert events[:2] == [Event.REQUESTED, Event.GRANTED]
