"""A press in Slack decides, once, for whoever may; everybody else is told politely why not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from msgspec.structs import replace

from onpurpose.adapters.slack.blocks import DELEGATE, DENY, GRANT, PAGE
from onpurpose.adapters.slack.forms import delegate_form
from onpurpose.adapters.slack.pressed import Place
from onpurpose.core.approval import Approval, Move, State, Via
from onpurpose.core.delivery import Channel, Event
from onpurpose.core.routing import Route
from tests.slack.fake import Json, buttons, limited, seen
from tests.slack.limits import MOST_OF_A_VIEW, fault_of
from tests.slack.world import CHANNEL, ROUTE, TWO, World, user

STEP_UP = Route(stages=ROUTE.stages, step_up=True)


def test_a_press_on_grant_grants(world: World) -> None:
    approval = world.ask()
    world.deliver()
    answer = world.slack.press(world.slack.message(), GRANT, "U0ANNA")
    assert (answer.status, answer.body) == (200, b"")
    world.settle()
    act = world.now(approval).last(Move.GRANT)
    assert act is not None
    assert (world.now(approval).state, act.by, act.via) == (State.GRANTED, "anna", Via.SLACK)
    assert world.told() == "You granted this request."
    assert buttons(world.slack.message()) == ["Open the page"]
    assert "Granted by: anna" in seen(world.slack.message())


def test_a_member_is_found_by_a_confirmed_address(world: World) -> None:
    world.slack.members["U0BOB"]["profile"]["email"] = "Bob@Example.com"
    approval = world.ask()
    world.deliver()
    world.slack.press(world.slack.message(), GRANT, "U0BOB")
    world.settle()
    assert world.now(approval).last(Move.GRANT).by == "bob"  # type: ignore[union-attr]


def test_a_denial_needs_a_reason_and_is_told_with_it(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.slack.press(world.slack.message(), DENY, "U0ANNA")
    world.slack.wait_for(lambda: world.slack.views)
    view = world.slack.views[-1]
    refused = world.slack.submit(view, {}, "U0ANNA").json
    assert refused["response_action"] == "errors"
    assert set(refused["errors"]) <= {block.get("block_id") for block in view["blocks"]}
    assert world.now(approval).state is State.PENDING
    assert world.slack.submit(view, {"preset": "0", "reason": " 900 is *a lot* "}, "U0ANNA").body == b""
    world.settle()
    denied = world.now(approval)
    assert (denied.state, denied.last(Move.DENY).text) == (State.DENIED, "Too much. 900 is *a lot*")  # type: ignore[union-attr]
    assert "Denied by: anna: Too much. 900 is *a lot*" in seen(world.slack.message())


def test_a_delegation_offers_those_who_may_decide_and_nobody_else(world: World) -> None:
    world.users.append(user("gone", disabled_at=1))
    approval = world.ask()
    world.deliver()
    world.slack.press(world.slack.message(), DELEGATE, "U0ANNA")
    world.slack.wait_for(lambda: world.slack.views)
    view = world.slack.views[-1]
    offered = [one["value"] for block in view["blocks"] if block.get("block_id") == "person"
               for one in block["element"]["options"]]  # fmt: skip
    assert {"bob", "carol"} <= set(offered)
    assert not {"anna", "kim", "dave"} & set(offered)
    world.slack.submit(view, {"person": "bob", "reason": "you know them"}, "U0ANNA")
    world.settle()
    act = world.now(approval).last(Move.DELEGATE)
    assert act is not None
    assert (act.by, act.to, act.text) == ("anna", "bob", "you know them")
    assert "passed this request on to bob" in world.told()
    assert "Delegated by: anna to bob: you know them" in seen(world.slack.message())


def test_a_form_with_more_people_than_it_has_room_for_is_one_that_slack_takes() -> None:
    people = [replace(user(f"person{n}"), name="x" * 200) for n in range(1500)] + [user("x" * 151)]
    approval = Approval(
        id="a", workspace="acme", digest="d", agent_id="agent-7", capability="c", routes=(ROUTE,), context=b"",
        opened_at=0, until=1, wake_at=None,
    )  # fmt: skip
    form = delegate_form(approval, Place(workspace="acme", approval_id="a"), people)
    assert fault_of(form["blocks"], MOST_OF_A_VIEW) == ""  # type: ignore[arg-type]  # as it travels
    groups = form["blocks"][1]["element"]["option_groups"]  # type: ignore[index]
    assert [len(group["options"]) for group in groups] == [100] * 10


def test_of_many_who_press_at_once_one_decides(world: World) -> None:
    world.users += [user(f"p{n}", slack=f"U0P{n}") for n in range(200)]
    approval = world.ask()
    world.deliver()
    message = world.slack.message()
    for n in range(200):
        world.slack.add_member(f"U0P{n}")
    presses = [world.slack.pressed(message, GRANT, f"U0P{n}") for n in range(200)]
    with ThreadPoolExecutor(20) as people:
        answers = list(people.map(world.slack.deliver, presses))
    world.settle()
    assert {answer.status for answer in answers} == {200}
    grants = [act for act in world.now(approval).acts if act.move is Move.GRANT]
    assert len(grants) == 1
    texts = [shown["blocks"][0]["text"]["text"] for shown in world.slack.ephemeral]
    assert texts.count("You granted this request.") == 1
    late = f"Nothing was changed: cannot grant it: it was granted by `{grants[0].by}` already."
    assert texts.count(late) == 199


def test_whoever_is_late_is_told_who_decided(world: World) -> None:
    approval = world.ask()
    world.deliver()
    old = world.slack.message()
    world.desk.deny("acme", approval.id, "carol", via=Via.PAGE, text="no")
    world.slack.press(old, DENY, "U0ANNA")
    world.settle()
    assert world.told() == "Nothing was changed: cannot deny it: it was denied by `carol` already."
    assert world.slack.views == []


def test_an_expired_request_is_not_granted_though_its_button_is_still_there(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.clock.pass_seconds(3600)
    world.slack.press(world.slack.message(), GRANT, "U0ANNA")
    world.settle()
    assert world.now(approval).state is State.EXPIRED
    assert "it has expired undecided" in world.told()


def test_a_grant_of_two_waits_for_the_other(world: World) -> None:
    approval = world.ask(TWO)
    world.deliver()
    world.slack.press(world.slack.message(), GRANT, "U0ANNA")
    world.slack.wait_for(lambda: world.slack.ephemeral)
    assert world.told() == "Your grant counts. The request still waits for others."
    world.deliver()
    world.slack.press(world.slack.message(), GRANT, "U0ANNA")
    world.slack.wait_for(lambda: len(world.slack.ephemeral) == 2)
    assert "you have granted this request already" in world.told()
    world.slack.press(world.slack.message(), GRANT, "U0BOB")
    world.settle()
    assert world.now(approval).state is State.GRANTED


@pytest.mark.parametrize("action", [GRANT, DENY, DELEGATE])
def test_nobody_decides_their_own_request(world: World, action: str) -> None:
    approval = world.ask(requesters=("Anna@example.com",))
    world.deliver()
    world.slack.press(world.slack.message(), action, "U0ANNA")
    world.settle()
    assert world.now(approval).acts == ()
    assert world.told() == "You cannot decide this request: nobody approves their own request."
    assert world.slack.views == []


def test_somebody_outside_the_group_is_told_so(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.slack.press(world.slack.message(), GRANT, "U0DAVE")
    world.settle()
    assert world.now(approval).state is State.PENDING
    assert "not among the approvers" in world.told()


def valued(message: Json, old: str, new: str) -> Json:
    """The message with something else in its buttons, as only we could have written it."""
    for block in message["blocks"]:
        for element in block["elements"] if block["type"] == "actions" else ():
            element["value"] = element.get("value", "").replace(old, new)
    return message


def test_where_one_must_sign_in_there_is_a_link_and_no_button_decides(world: World) -> None:
    plain, strict = world.ask(), world.ask(STEP_UP)
    world.deliver()
    with_buttons, with_link = world.slack.message(at=0), world.slack.message(at=1)
    assert buttons(with_link) == ["Open the page"]
    pressed = {**with_link, "blocks": valued(with_buttons, plain.id, strict.id)["blocks"]}
    for action in (GRANT, DENY, DELEGATE):
        world.slack.press(pressed, action, "U0ANNA")
    world.settle()
    assert world.now(strict).acts == ()
    told = [shown["blocks"][0]["text"]["text"] for shown in world.slack.ephemeral]
    assert len(told) == 3
    assert all(text.startswith("You cannot decide this request: ") and "sign" in text for text in told)


def test_a_press_on_the_link_needs_no_answer(world: World) -> None:
    world.ask()
    world.deliver()
    assert world.slack.press(world.slack.message(), PAGE, "U0STRANGER").status == 200
    world.settle()
    assert (world.slack.ephemeral, world.refused) == ([], [])


# -- who presses


def turned_away(world: World, member: str, **pressed: str) -> str:
    """What somebody is told who presses grant; nothing is granted, and it is recorded."""
    approval = world.ask()
    world.deliver()
    world.slack.press(world.slack.message(), GRANT, member, **pressed)
    world.settle()
    assert world.now(approval).state is State.PENDING
    (refused,) = world.refused
    assert (refused["workspace"], refused["approval"], refused["via"]) == ("acme", approval.id, "slack")
    assert member in refused["by"]
    return world.told() if world.slack.ephemeral else ""


def test_a_member_who_is_no_user_is_refused_politely(world: World) -> None:
    world.slack.add_member("U0NOBODY", "nobody@example.com")
    assert "Ask an administrator" in turned_away(world, "U0NOBODY")


def test_an_address_that_is_not_confirmed_proves_nothing(world: World) -> None:
    world.slack.add_member("U0EVE", "bob@example.com", confirmed=False)
    assert "not confirmed" in turned_away(world, "U0EVE")


@pytest.mark.parametrize("fields", [{"deleted": True}, {"is_bot": True}, {"is_stranger": True}, {"profile": {}}])
def test_an_account_that_is_no_persons_here_is_refused(world: World, fields: dict[str, object]) -> None:
    world.slack.add_member("U0EVE", "bob@example.com", **fields)
    assert "which address is yours" in turned_away(world, "U0EVE")


def test_an_address_that_only_looks_alike_is_another(world: World) -> None:
    world.users.append(user("kelvin"))
    world.slack.add_member("U0EVE", "\u212aelvin@example.com")  # the Kelvin sign, which lower() makes a k
    assert "Ask an administrator" in turned_away(world, "U0EVE")


def test_a_user_who_is_linked_to_one_account_is_not_found_by_another(world: World) -> None:
    world.slack.add_member("U0EVE", "anna@example.com")
    assert "Ask an administrator" in turned_away(world, "U0EVE")


def test_an_address_of_two_users_is_nobodys(world: World) -> None:
    world.users.append(user("bob2", email="bob@example.com"))
    assert "Ask an administrator" in turned_away(world, "U0BOB")


def test_a_user_who_is_disabled_is_nobody(world: World) -> None:
    world.users[0] = replace(world.users[0], disabled_at=1)
    assert "Ask an administrator" in turned_away(world, "U0ANNA")


def test_a_member_whom_slack_does_not_know_is_refused(world: World) -> None:
    assert turned_away(world, "U0GHOST") == ""


def test_a_press_in_another_slack_workspace_counts_for_nothing(world: World) -> None:
    turned_away(world, "U0ANNA", team="T0OTHER")
    assert world.refused[0]["why"] == "pressed in another Slack workspace"


def test_a_guest_from_another_slack_in_a_shared_channel_counts_for_nothing(world: World) -> None:
    turned_away(world, "U0ANNA", home="T0OTHER")
    assert world.refused[0]["why"] == "pressed in another Slack workspace"


def test_a_button_decides_in_its_own_message_alone(world: World) -> None:
    approval = world.ask()
    world.deliver()
    message = world.slack.message()
    elsewhere = {**message, "ts": "1.000001", "blocks": [
        {**block, "block_id": "onpurpose:m9999"} if block["type"] == "actions" else block for block in message["blocks"]
    ]}  # fmt: skip
    world.slack.press(elsewhere, GRANT, "U0ANNA")
    world.settle()
    assert world.now(approval).state is State.PENDING
    assert world.refused[0]["why"] == "pressed in no message of that approval"


def test_a_button_of_one_workspaces_message_decides_nothing_in_another(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.slack.press(valued(world.slack.message(), "acme", "other"), GRANT, "U0ANNA")
    world.settle()
    assert world.now(approval).state is State.PENDING
    assert world.refused[0]["workspace"] == "other"


def test_a_button_counts_before_it_is_known_that_its_message_has_left(world: World) -> None:
    approval = world.ask()
    (delivery,) = world.store.take(Channel.SLACK, world.clock.now(), world.clock.now() + 1, 1)
    world.messenger.send(delivery, world.viewer.view(delivery))  # type: ignore[arg-type]  # and then it crashed
    world.slack.press(world.slack.message(), GRANT, "U0ANNA")
    world.settle()
    assert world.now(approval).state is State.GRANTED


def test_what_slack_cannot_say_now_is_told_and_changes_nothing(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.slack.fail("users.info", limited(30))
    world.slack.press(world.slack.message(), GRANT, "U0BOB")
    world.settle()
    assert world.now(approval).state is State.PENDING
    assert "Slack did not answer" in world.told()
    assert world.refused == []


def test_a_form_opens_only_while_slack_lets_it(world: World) -> None:
    world.ask()
    world.deliver()
    pressed = world.slack.pressed(world.slack.message(), DENY, "U0ANNA")
    world.clock.pass_seconds(10)
    world.slack.deliver(pressed)
    world.settle()
    assert "Please try again" in world.told()


def test_people_are_told_in_person_where_the_workspace_wants_it(world: World) -> None:
    approval = world.ask()
    assert world.sent(approval)[0].recipient == CHANNEL
    assert world.sent(approval)[0].event is Event.REQUESTED
