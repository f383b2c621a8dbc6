"""Channels: who is told is a form over the workspace's settings, and what was given up can be sent again."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from onpurpose.adapters.clock import Ids
from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.app.channels import Channels, Configured
from onpurpose.app.viewing import Viewer
from onpurpose.core.act import State
from onpurpose.core.approval import Approval
from onpurpose.core.delivery import Channel, Delivery, Event, Progress
from onpurpose.core.purpose import Settings
from onpurpose.core.revision import Kind, MissingError
from onpurpose.server.dashboard import settings
from tests.dashboard.desks import Browser, Desks, Place, opened
from tests.ports.approval_stores import approval
from tests.server.api.house import House

PATH = "/settings/channels"
HOOK = "https://hooks.example/services/T0/very-secret-path"
OTHER = "https://b.example/in"
STORE = MemoryApprovals()
WOKEN: list[Channel] = []


def channels(house: House) -> Channels:
    viewer = Viewer(STORE, STORE, people=house.access.users, links=None, clock=house.clock)
    configured = [
        Configured(channel=Channel.SLACK, ready=True, variables=(("ONPURPOSE_SLACK_BOT_TOKEN", True),)),
        Configured(channel=Channel.EMAIL, ready=False, variables=(("ONPURPOSE_SMTP_URL", False),)),
    ]
    return Channels(
        configured, {}, STORE, view=viewer.view, wake=WOKEN.append, settings=lambda _: Settings(),
        secret_of=lambda _: "", ledger=house.ledger, clock=house.clock, new_id=Ids().new,
    )  # fmt: skip


@pytest.fixture(scope="module")
def desks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desks]:
    with opened(tmp_path_factory.mktemp("desks"), [settings.routes], channels) as found:
        yield found


def fields(text: str) -> dict[str, Any]:
    """What the form that says who is told holds as it is shown."""
    found = re.search(rf'<form method="post" action="{PATH}">(.*?)</form>', text, re.DOTALL)
    assert found is not None
    told: dict[str, Any] = {}
    for tag in re.findall(r"<input[^>]*>", found[1]):
        name, value = (re.findall(rf' {what}="([^"]*)"', tag) for what in ("name", "value"))
        if name[0] == "_csrf" or ('type="checkbox"' in tag and " checked" not in tag):
            continue
        told.setdefault(name[0], []).append(html.unescape(value[0]))
    return told


def written(place: Place) -> str:
    """The workspace's settings."""
    try:
        return place.desks.house.control.shelf.newest(place.name, Kind.SETTINGS, "settings")[1].text
    except MissingError:
        return ""


def save(place: Place, text: str) -> None:
    """Settings that somebody else wrote."""
    place.desks.house.control.library.save(
        place.name, Kind.SETTINGS, "settings", text, author="pia", reason="", may_promote=True
    )


# -- who is told


def test_the_first_who_are_told_make_the_first_settings(place: Place, admin: Browser) -> None:
    given = {**fields(admin.get(PATH).text), "email": "on", "slack": " C0123456789 ", "reason": "so that they know"}
    assert admin.post(PATH, given).headers["location"] == f"{PATH}?done=1"
    assert written(place) == "notify:\n  slack: C0123456789\n  email: true\n"
    _, revision = place.desks.house.control.shelf.newest(place.name, Kind.SETTINGS, "settings")
    assert (revision.author, revision.reason) == ("ann", "so that they know")
    text = admin.get(f"{PATH}?done=1").text
    assert "It is kept" in text
    assert fields(text)["slack"] == ["C0123456789"]


def test_what_else_the_settings_say_stays_with_its_comments(place: Place, admin: Browser) -> None:
    save(place, f"# ours\nunmatched: deny\nnotify:\n  webhooks:\n    - {HOOK}  # theirs\n# the end\n")
    given = fields(admin.get(PATH).text) | {"added": f"\n {OTHER} \n{HOOK}\n", "slack_direct": "on"}
    assert admin.post(PATH, given).status_code == 303
    told = "  slack:\n    direct: true\n"
    hooks = f'  webhooks:\n    - {HOOK}  # theirs\n    - "{OTHER}"\n'
    assert written(place) == f"# ours\nunmatched: deny\nnotify:\n{told}{hooks}# the end\n"


def test_a_webhook_is_shown_by_its_host_and_removed_by_its_box(place: Place, admin: Browser) -> None:
    save(place, f"notify:\n  email: true\n  webhooks: [{HOOK}, {OTHER}]\n")
    text = admin.get(PATH).text
    assert "hooks.example" in text
    assert "very-secret-path" not in text
    given = fields(text)
    assert len(given["keep"]) == 2
    admin.post(PATH, given | {"keep": given["keep"][1:]})
    assert written(place) == f"notify:\n  email: true\n  webhooks: [{OTHER}]\n"


def test_what_is_wrong_stands_at_its_field_and_nothing_is_lost(place: Place, admin: Browser) -> None:
    given = {"expected": "0", "slack": "#general", "added": "http://x.example/\n<b>", "email": "on", "reason": "why"}
    response = admin.act(PATH, given)
    assert response.status_code == 422
    for wanted in ('id="f-slack-errors"', 'id="f-added-errors"', "is no id of a Slack channel", "&lt;b&gt;"):
        assert wanted in response.text
    again = fields(response.text)
    assert (again["slack"], again["email"], again["reason"]) == (["#general"], ["on"], ["why"])
    assert written(place) == ""
    assert admin.post(PATH, given | {"slack": "", "added": "", "reason": "x" * 2001}).status_code == 422


def test_who_was_slower_is_told_who_was_first_and_saves_over_nothing_else(place: Place, admin: Browser) -> None:
    given = fields(admin.get(PATH).text) | {"email": "on"}
    save(place, f"purpose_required: true\nnotify: {{webhooks: [{OTHER}]}}\n")
    late = admin.post(PATH, given)
    assert late.status_code == 409
    assert "Somebody changed the settings meanwhile" in late.text
    assert "pia did" in late.text
    assert "email" not in written(place)
    again = fields(late.text)
    assert again["email"] == ["on"]
    assert len(again["keep"]) == 1  # what the first form did not show stays
    assert admin.post(PATH, again).status_code == 303
    assert written(place) == f"purpose_required: true\nnotify: {{email: true, webhooks: [{OTHER}]}}\n"


def test_settings_in_one_line_stay_in_one_line(place: Place, admin: Browser) -> None:
    save(place, "{purpose_required: true}\n")
    assert admin.act(PATH, {"expected": "1", "email": "on"}).status_code == 303
    assert written(place) == "{purpose_required: true, notify: {email: true}}\n"


def test_variables_are_named_and_only_said_to_be_set(admin: Browser) -> None:
    text = admin.get(PATH).text
    assert "<code>ONPURPOSE_SLACK_BOT_TOKEN</code>: set" in text
    assert "<code>ONPURPOSE_SMTP_URL</code>: not set" in text


# -- once more


def given_up(place: Place, about: Approval, *recipients: str, **rest: Any) -> list[str]:
    """Messages that were given up, about an approval; their ids."""
    common = Delivery(
        id="", workspace=place.name, approval_id=about.id, channel=Channel.WEBHOOK, event=Event.REQUESTED,
        recipient="", created_at=1, due_at=1,
    )  # fmt: skip
    made = [
        replace(common, **{"id": f"{about.id}-{number}", "recipient": one, **rest})
        for number, one in enumerate(recipients)
    ]
    STORE.open(about, deliveries=made, notes=[])
    STORE.settle(*[replace(one, progress=Progress.DEAD, attempts=9, error="down") for one in made])
    return [one.id for one in made]


def asked(place: Place, number: int, **rest: Any) -> Approval:
    """An approval that waits for a long time still, unless told otherwise."""
    return approval(number, place.name, id=f"{place.name}-{number}", until=2**60, **rest)


def progress(place: Place, about: Approval) -> list[Progress]:
    return [one.progress for one in STORE.of(place.name, about.id)]


def sent_again(place: Place) -> list[dict[str, Any]]:
    """What the log tells of it, newest first."""
    place.desks.follow()
    found = place.desks.house.feed.events(place.name, kinds=["channel.sent_again"])
    past = place.desks.parts.past
    return [orjson.loads(past.log.after(one.chain, one.seq - 1, 1)[0].body) for one in found]


def test_one_message_or_all_of_a_channel_wait_to_leave_again(place: Place, admin: Browser) -> None:
    about = asked(place, 1)
    first, second, third = given_up(place, about, HOOK, OTHER, "https://c.example/")
    WOKEN.clear()
    response = admin.act(f"{PATH}/webhook/again", {"delivery": second}, at=PATH)
    assert "1 message will be sent again" in response.text
    assert progress(place, about) == [Progress.DEAD, Progress.WAITING, Progress.DEAD]
    assert WOKEN == [Channel.WEBHOOK]
    assert "2 messages will be sent again" in admin.post(f"{PATH}/webhook/again", {}).text
    assert progress(place, about) == [Progress.WAITING] * 3
    newest, oldest = sent_again(place)
    assert (newest["by"], sorted(newest["deliveries"]), newest["dropped"]) == ("ann", [first, third], [])
    assert (oldest["channel"], oldest["deliveries"]) == ("webhook", [second])
    assert "There was nothing to send" in admin.post(f"{PATH}/webhook/again", {"delivery": second}).text
    assert len(sent_again(place)) == 2


def test_what_asks_about_a_settled_request_is_dropped_with_words(place: Place, admin: Browser) -> None:
    about = asked(place, 2, state=State.GRANTED, decided_at=5)
    given_up(place, about, HOOK)
    response = admin.act(f"{PATH}/webhook/again", {}, at=PATH)
    assert "Not sent to hooks.example, and dropped: the request is granted meanwhile." in response.text
    (kept,) = STORE.of(place.name, about.id)
    assert (kept.progress, kept.ref, kept.error) == (Progress.SENT, "", "the request is granted meanwhile")
    assert STORE.dead(place.name, 10) == []
    (told,) = sent_again(place)
    assert told["dropped"] == told["deliveries"] == [kept.id]


def test_the_outcome_of_a_settled_request_is_still_told(place: Place, admin: Browser) -> None:
    about = asked(place, 3, state=State.GRANTED, decided_at=5)
    given_up(place, about, HOOK, event=Event.GRANTED)
    assert "1 message will be sent again" in admin.act(f"{PATH}/webhook/again", {}, at=PATH).text


def test_another_channels_and_another_workspaces_messages_stay(place: Place, admin: Browser, desks: Desks) -> None:
    other = desks.workspace()
    about = asked(other, 4)
    (theirs,) = given_up(other, about, HOOK)
    mine = asked(place, 5)
    given_up(place, mine, "C1", channel=Channel.SLACK)
    assert "There was nothing" in admin.act(f"{PATH}/webhook/again", {"delivery": theirs}, at=PATH).text
    assert progress(other, about) == progress(place, mine) == [Progress.DEAD]
    assert admin.post(f"{PATH}/pigeon/again", {}).status_code == 404
