"""What a page says where something is in the way that no visitor is to blame for."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.responses import Response

from onpurpose.core.act import Via
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import MissingError, StoreError
from onpurpose.server.pages.deciding import Deciding, Visitor, answered
from onpurpose.server.pages.forms import Form
from onpurpose.server.pages.words import names, standing, time_left
from tests.app.deciding import Hurried, Office, route, user

MINUTE = 60_000_000


def told(response: Response) -> str:
    text = bytes(response.body).decode().partition("<main>")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", text).split())


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (StoreError("the disk of /var/lib/secret is full"), 503, "Nothing is known to have been changed"),
        (LedgerError("the disk of /var/lib/secret is full"), 503, "Nothing is known to have been changed"),
        (MissingError("there is no approval `x`"), 404, "There is no such request"),
    ],
)
def test_what_cannot_be_reached_is_told_without_internals(error: Exception, status: int, text: str) -> None:
    def fail() -> Response:
        raise error

    response = answered(fail)
    assert response.status_code == status
    assert text in told(response)
    assert "secret" not in told(response)


def test_an_error_of_ours_is_not_hidden() -> None:
    def fail() -> Response:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answered(fail)


def test_where_others_change_it_all_the_time_one_tries_again() -> None:
    office = Office()
    approval = office.ask(route("anyone"))
    busy = office.opened(Hurried(office.store, 1000))  # type: ignore[arg-type]
    deciding = Deciding(busy, lambda _: office.users, office.clock)
    visitor = Visitor(workspace="acme", approval_id=approval.id, user="ada", key="op_x")
    response = deciding.decide(visitor, Form(action="grant"))
    assert (response.status_code, "Try again." in told(response)) == (409, True)
    assert office.desk.get("acme", approval.id) == approval


def test_neither_a_form_nor_a_visitor_shows_a_key_where_it_is_logged() -> None:
    secrets: dict[str, Any] = {"key": "op_abcdefgh_secret"}
    shown = repr(Form(action="grant", **secrets)) + repr(Visitor(workspace="w", approval_id="a", user="u", **secrets))
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("left", "words"),
    [
        (-1, "less than a minute"), (59_999_999, "less than a minute"), (MINUTE, "1 min"), (61 * MINUTE, "1 h 1 min"),
        (24 * 60 * MINUTE, "1 d 0 h"), (50 * 60 * MINUTE, "2 d 2 h"),
    ],
)  # fmt: skip
def test_time_is_told_in_two_units(left: int, words: str) -> None:
    assert time_left(10**15 + left, 10**15) == words


def test_of_two_with_one_name_it_is_told_which() -> None:
    who = names([user("ada"), user("ada2", email="x@corp.example")], "key-1")
    assert [who(one) for one in ("ada", "ada2", "gone", "key-1")] == [
        "Ada (ada)", "Ada2 (ada2)", "gone", "the key that asked",
    ]  # fmt: skip


def test_all_who_granted_are_named() -> None:
    office = Office()
    approval = office.ask(route("group:approvers", quorum=2))
    office.desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    granted = office.desk.grant("acme", approval.id, "bob", via=Via.PAGE)
    text = standing(granted, office.clock.now(), names(office.users))
    assert text.startswith("Already granted by Ada (ada) at 20")
    assert " and by Bob (bob) at 20" in text


def test_a_link_that_somebody_uses_twice_in_the_same_moment_counts_once() -> None:
    office = Office()
    approval = office.ask(route("group:approvers", quorum=2))
    deciding = Deciding(office.desk, lambda _: office.users, office.clock)
    visitor = Visitor(workspace="acme", approval_id=approval.id, user="ada", link="link-1")
    assert deciding.decide(visitor, Form(action="grant")).status_code == 200
    response = deciding.decide(visitor, Form(action="deny", reason="no"))
    assert (response.status_code, "this link was used already" in told(response)) == (409, True)
    assert office.kinds()[-1] == "refused"
