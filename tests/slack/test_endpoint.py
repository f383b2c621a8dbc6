"""The endpoint believes what Slack signed, just now, once; everything else is refused and recorded."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from onpurpose.adapters.slack.blocks import GRANT
from onpurpose.core.approval import State
from onpurpose.server import slack as endpoint
from tests.slack.fake import Answer
from tests.slack.world import World


def signed_press(world: World) -> bytes:
    """The body of a press that would grant."""
    world.ask()
    world.deliver()
    payload = world.slack.pressed(world.slack.message(), GRANT, "U0ANNA")
    return urlencode({"payload": json.dumps(payload)}).encode()


def states(world: World) -> set[State]:
    return {world.now(one).state for one in world.store._approvals.values()}


def is_refused(world: World, answer: Answer, why: str) -> bool:
    world.settle()
    assert answer.status == 401
    assert answer.json["type"] == "urn:onpurpose:problem:not_from_slack"
    assert states(world) == {State.PENDING}
    return world.refused_requests == [why]


def test_a_request_that_somebody_else_signed_is_refused(world: World) -> None:
    body = signed_press(world)
    answer = world.slack.post(body, world.slack.signed(body, secret="guessed"))
    assert is_refused(world, answer, "signed by somebody else")


def test_a_request_whose_body_was_changed_is_refused(world: World) -> None:
    body = signed_press(world)
    answer = world.slack.post(body.replace(b"U0ANNA", b"U0BOB1"), world.slack.signed(body))
    assert is_refused(world, answer, "signed by somebody else")


@pytest.mark.parametrize("seconds", [-301, 301, -86400 * 365])
def test_a_request_of_another_time_is_refused(world: World, seconds: int) -> None:
    body = signed_press(world)
    at = int(world.slack.now()) + seconds
    answer = world.slack.post(body, world.slack.signed(body, at=at))
    assert is_refused(world, answer, "signed too long ago, or by a clock that is wrong")


@pytest.mark.parametrize("seconds", [-299, 0, 299])
def test_a_request_within_five_minutes_is_believed(world: World, seconds: int) -> None:
    body = signed_press(world)
    assert world.slack.post(body, world.slack.signed(body, at=int(world.slack.now()) + seconds)).status == 200
    world.settle()
    assert states(world) == {State.GRANTED}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Slack-Signature", ""), ("X-Slack-Signature", "v0=zz"), ("X-Slack-Signature", "v0=" + "\u00e9" * 64),
        ("X-Slack-Signature", "v1=" + "0" * 64), ("X-Slack-Request-Timestamp", ""),
        ("X-Slack-Request-Timestamp", "now"), ("X-Slack-Request-Timestamp", "1e9"),
        ("X-Slack-Request-Timestamp", "-1"), ("X-Slack-Request-Timestamp", "9" * 5000),
    ],
)  # fmt: skip
def test_a_request_without_a_proper_signature_is_refused(world: World, name: str, value: str) -> None:
    body = signed_press(world)
    headers = {**world.slack.signed(body), name: value}
    assert is_refused(world, world.slack.post(body, headers), "not signed")


def test_a_body_that_is_no_text_is_refused_though_it_says_it_is_signed(world: World) -> None:
    body = b"\xff" + signed_press(world)
    assert is_refused(world, world.slack.post(body, world.slack.signed(body)), "signed by somebody else")


def test_a_request_that_is_sent_again_is_refused_for_as_long_as_it_could_be_believed(world: World) -> None:
    body = signed_press(world)
    headers = world.slack.signed(body, at=int(world.slack.now()) + 299)
    assert world.slack.post(body, headers).status == 200
    for _ in range(2):
        assert world.slack.post(body, headers).json["detail"] == "the request is not believed: sent before"
        world.clock.pass_seconds(290)
    world.clock.pass_seconds(40)
    assert "too long ago" in world.slack.post(body, headers).json["detail"]
    assert world.refused_requests[:2] == ["sent before", "sent before"]


def test_signatures_are_forgotten_when_their_time_is_over(world: World) -> None:
    proof = endpoint.Proof("secret", world.clock)
    for n in range(50):
        assert proof._first_time(f"v0={n}") == ""
        world.clock.pass_seconds(60)
    assert len(proof._seen) <= 12


def test_more_signatures_than_can_be_remembered_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "MOST_REMEMBERED", 2)
    proof = endpoint.Proof("secret", world.clock)
    assert [proof._first_time(name) for name in "abc"][:2] == ["", ""]
    assert "too many" in proof._first_time("c")
    world.clock.pass_seconds(601)
    assert proof._first_time("c") == ""


def test_a_body_that_is_too_long_is_refused_before_anything(world: World) -> None:
    headers = {**world.slack.signed(b"x"), "Content-Length": str(endpoint.BODY_BYTES + 1)}
    assert world.slack.post(b"x", headers).status == 413
    assert world.refused_requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"x", b"payload=", b"payload=1&payload=2", b"payload={", b"a=1&b=2&c=3&d=4&e=5", b"payload=%ff",
        b"payload=" + b"[" * 100_000, b'payload={"type":"block_actions"}',
        b'payload={"type":"block_actions","user":{"id":1},"actions":[]}',
        b'payload={"type":"view_submission","user":{"id":"U"},"view":{"callback_id":"onpurpose_deny"}}',
        b'payload={"type":"block_actions","user":{"id":"U"},"actions":[{"action_id":"onpurpose_grant","value":"{"}]}',
    ],
)  # fmt: skip
def test_a_request_that_is_signed_and_makes_no_sense_does_nothing(world: World, body: bytes) -> None:
    answer = world.slack.post(body, world.slack.signed(body))
    assert (answer.status, answer.json["title"]) == (400, "Not an interaction")
    assert world.refused_requests == ["signed, and of a form that is not known"]


@pytest.mark.parametrize("payload", ['{"type":"view_closed"}', '{"type":"shortcut"}', "[]", '"x"', "{}"])
def test_what_is_not_ours_to_answer_is_taken_note_of(world: World, payload: str) -> None:
    body = urlencode({"payload": payload}).encode()
    answer = world.slack.post(body, world.slack.signed(body))
    assert (answer.status, answer.body) == (200, b"")


def test_a_service_that_goes_down_says_that_it_did_not_work(world: World) -> None:
    body = signed_press(world)
    world.interactions.close()
    assert world.slack.post(body, world.slack.signed(body)).status == 503
    assert states(world) == {State.PENDING}


def test_more_than_can_wait_is_not_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    body = signed_press(world)
    while world.interactions._room.acquire(blocking=False):
        """Until there is none."""
    assert world.slack.post(body, world.slack.signed(body)).status == 503
    assert states(world) == {State.PENDING}
