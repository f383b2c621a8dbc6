"""Socket Mode: the same buttons decide where nothing comes in from outside, however often the line is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from onpurpose.adapters.slack import SlackApi
from onpurpose.adapters.slack.blocks import DENY, GRANT
from onpurpose.core.approval import State
from onpurpose.server.slack import SlackSocket
from tests.slack.fake import APP_TOKEN, Trouble, limited
from tests.slack.world import World


@contextmanager
def listening(world: World, token: str = APP_TOKEN) -> Iterator[SlackSocket]:
    api = SlackApi(token, base_url=world.slack.url)
    socket = SlackSocket(
        api.socket_url, world.interactions, refused=world.refused_requests.append, chance=lambda: 0.0, ping_seconds=0.1
    )
    socket.start()
    try:
        yield socket
    finally:
        socket.close()


def connected(world: World, times: int = 1) -> None:
    world.slack.wait_for(lambda: world.slack.sockets.connections >= times and world.slack.sockets.is_open())


def test_a_press_grants_and_a_form_denies_over_the_socket(quiet: World) -> None:
    with listening(quiet) as socket:
        connected(quiet)
        first, second = quiet.ask(), quiet.ask()
        quiet.deliver()
        quiet.slack.press(quiet.slack.message("D0ANNA", 0), GRANT, "U0ANNA")
        quiet.slack.press(quiet.slack.message("D0ANNA", 1), DENY, "U0ANNA")
        quiet.slack.wait_for(lambda: quiet.slack.views)
        errors = quiet.slack.submit(quiet.slack.views[-1], {}, "U0ANNA").json
        assert errors["response_action"] == "errors"
        assert quiet.slack.submit(quiet.slack.views[-1], {"reason": "not now"}, "U0ANNA").json == {}
        quiet.settle()
        assert (quiet.now(first).state, quiet.now(second).state) == (State.GRANTED, State.DENIED)
        assert socket.error() == ""


def test_a_message_of_any_length_is_read_whole(quiet: World) -> None:
    approval = quiet.ask()
    quiet.deliver()
    with listening(quiet):
        connected(quiet)
        pressed = quiet.slack.pressed(quiet.slack.message("D0ANNA"), GRANT, "U0ANNA")
        quiet.slack.deliver(pressed | {"padding": "x" * 3_000_000})
        quiet.settle()
        assert quiet.now(approval).state is State.GRANTED


def test_a_line_that_is_cut_is_opened_again(quiet: World) -> None:
    approval = quiet.ask()
    quiet.deliver()
    with listening(quiet):
        connected(quiet)
        quiet.slack.sockets.drop()
        connected(quiet, 2)
        quiet.slack.press(quiet.slack.message("D0ANNA"), GRANT, "U0ANNA")
        quiet.settle()
        assert quiet.now(approval).state is State.GRANTED


def test_a_line_that_slack_wants_renewed_is_renewed(quiet: World) -> None:
    approval = quiet.ask()
    quiet.deliver()
    with listening(quiet):
        connected(quiet)
        quiet.slack.sockets.refresh()
        connected(quiet, 2)
        quiet.slack.press(quiet.slack.message("D0ANNA"), GRANT, "U0ANNA")
        quiet.settle()
        assert quiet.now(approval).state is State.GRANTED


def test_a_slack_that_is_down_at_the_start_is_asked_until_it_answers(quiet: World) -> None:
    quiet.slack.fail("apps.connections.open", Trouble(status=500), limited(0), Trouble(closes=True))
    with listening(quiet) as socket:
        connected(quiet)
        quiet.slack.sockets.ask("events_api", {})
        assert socket.is_connected()
    assert quiet.slack.methods().count("apps.connections.open") == 4


def test_a_token_that_is_wrong_is_told_and_not_shown(quiet: World) -> None:
    with listening(quiet, "xapp-wrong") as socket:
        quiet.slack.wait_for(lambda: "apps.connections.open" in quiet.slack.methods())
        quiet.slack.wait_for(lambda: len(quiet.slack.methods()) >= 2)
        assert socket.error() == "slack refuses apps.connections.open: invalid_auth"
        assert not socket.is_connected()


def test_an_envelope_that_makes_no_sense_is_recorded_and_answered(quiet: World) -> None:
    with listening(quiet):
        connected(quiet)
        assert quiet.slack.sockets.ask("interactive", {"type": "block_actions"}) is None
        assert quiet.slack.sockets.ask("events_api", {"type": "event_callback"}) is None
    assert quiet.refused_requests == ["of a form that is not known"]


def test_a_press_in_another_slack_counts_for_nothing_over_the_socket_too(quiet: World) -> None:
    approval = quiet.ask()
    quiet.deliver()
    with listening(quiet):
        connected(quiet)
        quiet.slack.press(quiet.slack.message("D0ANNA"), GRANT, "U0ANNA", team="T0OTHER")
        quiet.settle()
    assert quiet.now(approval).state is State.PENDING
    assert [one["why"] for one in quiet.refused] == ["pressed in another Slack workspace"]


def test_hanging_up_takes_no_time(quiet: World) -> None:
    with listening(quiet) as socket:
        connected(quiet)
    socket.close()
    assert not socket.is_connected()


def test_a_press_that_cannot_be_taken_is_not_acknowledged_so_that_slack_says_so(quiet: World) -> None:
    approval = quiet.ask()
    quiet.deliver()
    message = quiet.slack.message("D0ANNA")
    with listening(quiet):
        connected(quiet)
        quiet.interactions.close()
        quiet.slack.sockets.tell("interactive", quiet.slack.pressed(message, GRANT, "U0ANNA"))
        assert quiet.slack.sockets.ask("events_api", {}) is None
    assert quiet.slack.sockets.unanswered == 1
    assert quiet.now(approval).state is State.PENDING


def test_an_address_that_leads_nowhere_is_tried_again_and_not_shown(quiet: World) -> None:
    quiet.slack.fail(
        "apps.connections.open",
        *[Trouble(body=b'{"ok": true, "url": "ws://127.0.0.1:1/?ticket=secret"}')] * 2, Trouble(body=b'{"ok": true}'),
    )  # fmt: skip
    with listening(quiet) as socket:
        quiet.slack.wait_for(lambda: len(quiet.slack.methods()) >= 3)
        assert socket.error() == "slack took no connection"
        connected(quiet)
