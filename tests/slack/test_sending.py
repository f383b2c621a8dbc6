"""Messages leave once, are kept true for everybody, and survive a Slack that is slow, down, or forgets to answer."""

from __future__ import annotations

import logging
import socket

import pytest
from msgspec.structs import replace

from onpurpose.adapters.slack import SlackApi, SlackMessenger
from onpurpose.adapters.slack.blocks import EVENT_TYPE, GRANT
from onpurpose.core.approval import Approval, State, Via
from onpurpose.core.delivery import Channel, Delivery, Progress, RetryError, UndeliverableError, View
from onpurpose.core.purpose import Notify
from onpurpose.core.routing import Route
from tests.slack.fake import APP_TOKEN, TOKEN, Trouble, buttons, limited, seen
from tests.slack.world import CHANNEL, ROUTE, World, a_world

SECOND = 1_000_000
STEP_UP = Route(stages=ROUTE.stages, step_up=True)


def delivered(world: World, approval: Approval) -> list[str]:
    """Progress of its deliveries, oldest first."""
    return [f"{one.event}:{one.progress}" for one in world.sent(approval)]


def taken(world: World) -> tuple[Delivery, View]:
    """The next delivery that is due, and its view."""
    (delivery,) = world.store.take(Channel.SLACK, world.clock.now(), world.clock.now() + 60 * SECOND, 1)
    view = world.viewer.view(delivery)
    assert isinstance(view, View)
    return delivery, view


def send(world: World) -> str:
    return world.messenger.send(*taken(world))


# -- one message, kept true


def test_a_message_carries_the_identity_of_its_delivery_and_nothing_is_unfurled(world: World) -> None:
    approval = world.ask()
    world.deliver()
    message = world.slack.message()
    (delivery,) = world.sent(approval)
    assert message["metadata"] == {"event_type": EVENT_TYPE, "event_payload": {"delivery_id": delivery.id}}
    assert message["options"] == {"unfurl_links": False, "unfurl_media": False, "parse": "none", "mrkdwn": False}
    assert delivery.ref == f"{CHANNEL}/{message['ts']}"


@pytest.mark.parametrize("how", ["grant", "deny", "expire", "delegate"])
def test_whatever_becomes_of_it_everybodys_message_says_so(how: str) -> None:
    with a_world(None, "", Notify(slack=CHANNEL, slack_direct=True)) as world:
        world.users = [replace(one, slack=f"U0{one.id.upper()}") for one in world.users]
        approval = world.ask()
        world.deliver()
        if how == "grant":
            world.desk.grant("acme", approval.id, "anna", via=Via.PAGE)
        elif how == "deny":
            world.desk.deny("acme", approval.id, "anna", via=Via.PAGE, text="no")
        elif how == "delegate":
            world.desk.delegate("acme", approval.id, "anna", via=Via.PAGE, to="bob", text="")
        else:
            world.clock.pass_seconds(3600)
            world.desk.sweep()
        world.deliver()
        channels = [CHANNEL, "D0ANNA", "D0BOB", "D0CAROL"]
        messages = {name: world.slack.channels[name] for name in channels}
        assert all(len(one) == 1 for one in messages.values())
        pending = how == "delegate"
        wanted = {"grant": "Granted by: anna", "deny": "Denied by: anna: no", "expire": "Expired: undecided",
                  "delegate": "Delegated by: anna to bob"}[how]  # fmt: skip
        for (message,) in messages.values():
            assert message["edited"]
            assert ("Grant" in buttons(message)) is pending
            assert wanted in seen(message)
        assert "D0KIM" not in world.slack.channels


def test_a_person_is_written_to_in_person_with_the_conversation_opened_once(quiet: World) -> None:
    quiet.ask()
    quiet.ask()
    quiet.deliver()
    assert len(quiet.slack.channels["D0ANNA"]) == 2
    assert quiet.slack.methods().count("conversations.open") == 1


def test_a_reminder_is_a_reply_and_is_closed_with_the_rest(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.remind()
    world.deliver()
    root, reply = world.slack.channels[CHANNEL]
    assert (reply["thread_ts"], reply["broadcast"]) == (root["ts"], True)
    assert "Still waiting" in reply["text"]
    assert buttons(root)
    world.desk.deny("acme", approval.id, "anna", via=Via.PAGE, text="no")
    world.deliver()
    assert len(world.slack.channels[CHANNEL]) == 2
    assert reply["text"] == "Nothing to decide any more: it was denied by `anna` already"
    assert "Denied by" in seen(root)
    assert {one.ref for one in world.sent(approval)} == {f"{CHANNEL}/{root['ts']}", f"{CHANNEL}/{reply['ts']}"}


def test_a_reminder_of_something_that_was_decided_meanwhile_says_nothing_more(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.remind()
    world.desk.grant("acme", approval.id, "anna", via=Via.PAGE)
    world.deliver()
    (message,) = world.slack.channels[CHANNEL]
    assert buttons(message) == ["Open the page"]


def test_a_message_that_somebody_deleted_is_posted_again_only_while_it_asks(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.slack.channels[CHANNEL].clear()
    world.remind()
    world.deliver()
    (again,) = world.slack.channels[CHANNEL]
    assert "Grant" in buttons(again)
    world.slack.channels[CHANNEL].clear()
    world.desk.grant("acme", approval.id, "anna", via=Via.PAGE)
    world.deliver()
    assert world.slack.channels[CHANNEL] == []
    assert set(delivered(world, approval)) == {"requested:sent", "reminded:sent", "granted:sent"}


def test_a_personal_link_is_shown_to_that_person_alone_and_never_where_one_signs_in(world: World) -> None:
    world.ask(), world.ask(STEP_UP)
    personal, page = "https://gate.example/approve/secret", "https://gate.example/approvals/a"
    urls = []
    for _ in range(2):
        delivery, view = taken(world)
        for recipient in (CHANNEL, "U0ANNA"):
            sent = replace(delivery, id=f"{delivery.id}{recipient}", recipient=recipient)
            ref = world.messenger.send(sent, replace(view, link=personal, page=page))
            message = world.slack.message(ref.split("/")[0])
            urls += [one["url"] for block in message["blocks"] for one in block.get("elements", ()) if one.get("url")]
    assert urls == [page, personal, page, page]


def test_without_a_page_the_message_stands_alone(world: World) -> None:
    world.ask()
    delivery, view = taken(world)
    world.messenger.send(delivery, replace(view, page=""))
    assert buttons(world.slack.message()) == ["Grant", "Deny…", "Delegate…"]


# -- when Slack does not do what it should


def test_slack_is_left_alone_for_as_long_as_it_asks(world: World) -> None:
    world.ask()
    world.slack.fail("chat.postMessage", limited(30))
    with pytest.raises(RetryError, match="pause") as raised:
        send(world)
    assert raised.value.after == 30


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble(status=500), Trouble(status=503, body=b"<html>sorry"), Trouble(closes=True), Trouble(body=b"not json"),
        Trouble(body=b"[1]"), Trouble(body=b'"text"'), Trouble(body=b"\xff\xfe"), Trouble(body=b'{"ok": true}'),
        Trouble(error="fatal_error"), Trouble(error="token_revoked"), Trouble(error="not_in_channel"),
        Trouble(error="a word that is new"), Trouble(status=302, headers=(("Location", "http://127.0.0.1:9/"),)),
        Trouble(status=429, error="ratelimited", headers=(("Retry-After", "soon"),)), Trouble(error="ratelimited"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_may_be_mended_is_tried_again_and_is_not_lost(world: World, trouble: Trouble) -> None:
    approval = world.ask()
    world.slack.fail("chat.postMessage", trouble)
    world.deliver()
    assert delivered(world, approval) == ["requested:waiting"]
    world.clock.pass_seconds(60)
    world.deliver()
    assert delivered(world, approval) == ["requested:sent"]
    assert len(world.slack.channels[CHANNEL]) == 1


def test_a_slack_that_hangs_is_given_up_in_time(world: World) -> None:
    world.ask()
    world.slack.fail("chat.postMessage", Trouble(hangs=True))
    world.messenger = SlackMessenger(SlackApi(TOKEN, base_url=world.slack.url, timeout=1))
    with pytest.raises(RetryError, match=r"could not be asked for chat\.postMessage: TimeoutError"):
        send(world)


def test_no_slack_at_all_is_a_reason_to_try_again(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    world.messenger = SlackMessenger(SlackApi(TOKEN, base_url=f"http://127.0.0.1:{port}/api/"))
    world.ask()
    with pytest.raises(RetryError, match="URLError"):
        send(world)


@pytest.mark.parametrize("error", ["channel_not_found", "is_archived"])
def test_a_channel_that_is_not_there_is_never_reached(world: World, error: str) -> None:
    approval = world.ask()
    if error == "is_archived":
        world.slack.archived.add(CHANNEL)
    else:
        del world.slack.channels[CHANNEL]
    world.deliver()
    assert [one.progress for one in world.sent(approval)] == [Progress.DEAD]
    assert world.dead[0].error == f"slack refuses chat.postMessage: {error}"


@pytest.mark.parametrize("fields", [None, {"deleted": True}])
def test_a_person_who_is_not_there_is_never_reached(quiet: World, fields: dict[str, bool] | None) -> None:
    if fields is None:
        del quiet.slack.members["U0ANNA"]
    else:
        quiet.slack.members["U0ANNA"] |= fields
    quiet.ask()
    with pytest.raises(UndeliverableError):
        send(quiet)


def test_after_an_hour_of_silence_everything_arrives_once_and_true(world: World) -> None:
    waits, decided = world.ask(), world.ask()
    world.slack.down = True
    for _ in range(8):
        world.deliver()
        world.clock.pass_seconds(400)
    world.desk.grant("acme", decided.id, "anna", via=Via.PAGE)
    world.slack.down = False
    for _ in range(3):
        world.clock.pass_seconds(130)
        world.deliver()
    assert delivered(world, waits) == ["requested:sent"]
    assert delivered(world, decided) == ["requested:sent", "granted:sent"]
    first, second = sorted(world.slack.channels[CHANNEL], key=lambda one: "Grant" not in buttons(one))
    assert (buttons(first)[:1], buttons(second)) == (["Grant"], ["Open the page"])


def test_a_message_whose_answer_was_lost_is_found_and_not_said_twice(world: World) -> None:
    approval = world.ask()
    world.slack.fail("chat.postMessage", Trouble(closes=True, acts=True))
    world.deliver()
    assert delivered(world, approval) == ["requested:waiting"]
    world.clock.pass_seconds(60)
    world.deliver()
    assert delivered(world, approval) == ["requested:sent"]
    (message,) = world.slack.channels[CHANNEL]
    assert message["edited"]
    assert world.sent(approval)[0].ref == f"{CHANNEL}/{message['ts']}"


def test_after_a_pause_nothing_is_looked_for_unless_another_try_was_made_meanwhile(world: World) -> None:
    approval = world.ask()
    world.slack.fail("chat.postMessage", limited(30), limited(30), Trouble(closes=True, acts=True))
    for _ in range(3):
        world.deliver()
        world.clock.pass_seconds(60)
    assert "conversations.history" not in world.slack.methods()
    world.deliver()
    assert "conversations.history" in world.slack.methods()
    assert delivered(world, approval) == ["requested:sent"]
    assert len(world.slack.channels[CHANNEL]) == 1


def test_a_message_that_another_process_sent_after_our_pause_is_found(world: World) -> None:
    approval = world.ask()
    world.slack.fail("chat.postMessage", limited(30), Trouble(closes=True, acts=True))
    world.deliver()
    world.clock.pass_seconds(60)
    ours, world.messenger = world.messenger, SlackMessenger(world.api)
    world.new_courier().step(Channel.SLACK)
    world.clock.pass_seconds(60)
    world.messenger = ours
    world.deliver()
    assert delivered(world, approval) == ["requested:sent"]
    assert len(world.slack.channels[CHANNEL]) == 1


def test_a_message_that_left_before_a_crash_is_found_by_the_next_process(world: World) -> None:
    approval = world.ask()
    send(world)  # and nothing is kept of it
    world.clock.pass_seconds(61)
    for n in range(250):
        world.slack.channels[CHANNEL].append(
            {"type": "message", "ts": f"{1_800_000_001 + n}.000001", "bot_id": "B0OTHER", "text": "talk", "blocks": []}
        )
    world.new_courier().step(Channel.SLACK)
    ours = [one for one in world.slack.channels[CHANNEL] if one["bot_id"] == "B0BOT"]
    assert len(ours) == 1
    assert world.sent(approval)[0].ref == f"{CHANNEL}/{ours[0]['ts']}"
    world.slack.press(ours[0], GRANT, "U0ANNA")
    world.settle()
    assert world.now(approval).state is State.GRANTED
    assert len([one for one in world.slack.channels[CHANNEL] if one["bot_id"] == "B0BOT"]) == 1


def test_a_reminder_that_left_before_a_crash_is_not_said_twice(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.remind()
    send(world)
    world.clock.pass_seconds(61)
    world.deliver()
    assert len(world.slack.channels[CHANNEL]) == 2
    assert delivered(world, approval) == ["requested:sent", "reminded:sent"]


def test_where_the_app_may_not_read_back_it_says_it_rather_twice_than_never(world: World) -> None:
    approval = world.ask()
    world.slack.scopes_missing.add("conversations.history")
    world.slack.fail("chat.postMessage", Trouble(closes=True, acts=True))
    world.deliver()
    world.clock.pass_seconds(60)
    world.deliver()
    assert delivered(world, approval) == ["requested:sent"]
    assert len(world.slack.channels[CHANNEL]) == 2


def test_a_message_of_somebody_else_that_says_it_is_ours_is_left_alone(world: World) -> None:
    approval = world.ask()
    (delivery,) = world.sent(approval)
    metadata = {"event_type": EVENT_TYPE, "event_payload": {"delivery_id": delivery.id}}
    world.slack.channels[CHANNEL].append(
        {"type": "message", "ts": "1800000000.000001", "bot_id": "B0OTHER", "text": "x", "metadata": metadata}
    )
    world.clock.pass_seconds(60)
    world.deliver()
    assert [one["bot_id"] for one in world.slack.channels[CHANNEL]] == ["B0OTHER", "B0BOT"]


def test_where_slack_refuses_the_blocks_the_least_is_said_with_the_buttons(world: World) -> None:
    world.ask()
    world.slack.fail("chat.postMessage", Trouble(error="invalid_blocks"))
    world.deliver()
    assert buttons(world.slack.message())[:2] == ["Grant", "Deny…"]
    assert "900" not in seen(world.slack.message())


def test_a_message_that_cannot_be_updated_now_is_updated_later(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.desk.grant("acme", approval.id, "anna", via=Via.PAGE)
    world.slack.fail("chat.update", Trouble(error="token_revoked"), Trouble(error="msg_blocks_too_long"))
    world.deliver()
    assert "Grant" in buttons(world.slack.message())
    world.clock.pass_seconds(60)
    world.deliver()
    assert buttons(world.slack.message()) == ["Open the page"]
    assert delivered(world, approval) == ["requested:sent", "granted:sent"]


@pytest.mark.parametrize("error", ["message_not_found", "token_revoked"])
def test_a_reminder_that_somebody_deleted_is_let_go(world: World, error: str) -> None:
    approval = world.ask()
    world.deliver()
    world.remind()
    world.deliver()
    world.slack.fail("chat.update", *[Trouble(acts=True), Trouble(error=error)])
    world.desk.grant("acme", approval.id, "anna", via=Via.PAGE)
    world.deliver()
    gone = error == "message_not_found"
    assert delivered(world, approval)[-1] == ("granted:sent" if gone else "granted:waiting")


def test_a_person_whose_conversation_cannot_be_opened_now_is_written_to_later(quiet: World) -> None:
    approval = quiet.ask()
    quiet.slack.fail("conversations.open", Trouble(body=b'{"ok": true, "channel": {}}'), Trouble(status=500))
    for _ in range(3):
        quiet.deliver()
        quiet.clock.pass_seconds(60)
    assert delivered(quiet, approval) == ["requested:sent"]


def test_a_reminder_whose_name_slack_does_not_tell_is_looked_for(world: World) -> None:
    approval = world.ask()
    world.deliver()
    world.remind()
    world.slack.fail("chat.postMessage", Trouble(acts=True, body=b'{"ok": true}'))
    world.deliver()
    assert delivered(world, approval)[-1] == "reminded:waiting"
    world.clock.pass_seconds(60)
    world.deliver()
    assert delivered(world, approval)[-1] == "reminded:sent"
    assert len(world.slack.channels[CHANNEL]) == 2


# -- tokens


@pytest.mark.parametrize(
    "trouble", [Trouble(status=500), Trouble(closes=True), Trouble(error="invalid_auth"), limited(1)]
)
def test_no_token_stands_in_a_log_or_an_error(
    world: World, trouble: Trouble, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    world.ask()
    world.slack.fail("chat.postMessage", trouble)
    with pytest.raises(RetryError) as raised:
        send(world)
    world.slack.fail("apps.connections.open", trouble)
    api = SlackApi(APP_TOKEN, base_url=world.slack.url)
    with pytest.raises(Exception) as other:  # noqa: PT011  whichever it is
        api.socket_url()
    printed = capsys.readouterr()
    said = f"{caplog.text}{raised.getrepr(showlocals=False)}{other.value!r}{api!r}{printed.out}{printed.err}"
    assert TOKEN not in said
    assert APP_TOKEN not in said
    assert "900" not in caplog.text


def test_a_token_that_is_wrong_opens_nothing(world: World) -> None:
    world.ask()
    for token in ("xoxb-wrong", APP_TOKEN):
        world.messenger = SlackMessenger(SlackApi(token, base_url=world.slack.url))
        with pytest.raises(RetryError, match=r"invalid_auth|not_allowed_token_type"):
            send(world)
        world.clock.pass_seconds(61)
