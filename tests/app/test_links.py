"""Signed links: what we wrote is read, whatever else is refused, with the reason."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpurpose.app.links import MAX_TOKEN, Fault, Link, Links, Refusal, check
from onpurpose.core.approval import Act, Approval, Move, Via, advance, open_approval
from onpurpose.core.routing import DEFAULT

NOW = 1_800_000_000_000_000
SECOND = 1_000_000
SECRET = "0123456789abcdef0123456789abcdef"
LINKS = Links(SECRET, "https://gate.example/")
APPROVAL = open_approval(
    Approval(
        id="a1",
        workspace="acme",
        digest="d",
        agent_id="agent-7",
        capability="payments.transfer",
        routes=(DEFAULT,),
        context=b"{}",
        opened_at=NOW,
        until=0,
        wake_at=None,
    )
)
TOKEN = LINKS.url(APPROVAL, "anna", "n1").rpartition("/")[2]


def fault(found: Link | Refusal | None) -> Fault | None:
    return found.fault if isinstance(found, Refusal) else None


def test_a_link_leads_to_the_page_below_the_public_url() -> None:
    assert LINKS.url(APPROVAL, "anna", "n1") == f"https://gate.example/approve/{TOKEN}"
    assert LINKS.page(APPROVAL) == "https://gate.example/approvals/a1"


@given(st.text(max_size=100), st.text(max_size=60), st.integers(0, 3599))
def test_what_was_written_is_read(user: str, link_id: str, seconds: int) -> None:
    token = LINKS.url(APPROVAL, user, link_id).rpartition("/")[2]
    assert LINKS.read(token, NOW + seconds * SECOND) == Link(
        workspace="acme", approval_id="a1", user=user, id=link_id, expires_at=APPROVAL.until
    )


def test_a_link_sent_again_is_the_same_link() -> None:
    assert LINKS.url(APPROVAL, "anna", "n1") == LINKS.url(APPROVAL, "anna", "n1")


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_a_token_with_any_character_changed_is_forged(place: int, other: str) -> None:
    changed = TOKEN[:place] + other + TOKEN[place + 1 :]
    assert changed == TOKEN or fault(LINKS.read(changed, NOW)) is Fault.FORGED


@given(st.text(max_size=200))
def test_whatever_text_is_no_link(text: str) -> None:
    assert fault(LINKS.read(text, NOW)) is Fault.FORGED


@pytest.mark.parametrize(
    "token",
    ["", ".", f"{TOKEN}.", f"{TOKEN}=", f" {TOKEN}", f"{TOKEN}\n", TOKEN.partition(".")[0], TOKEN + "A" * MAX_TOKEN],
)
def test_what_is_nearly_a_token_is_forged(token: str) -> None:
    assert fault(LINKS.read(token, NOW)) is Fault.FORGED


def test_a_link_signed_under_another_secret_is_forged() -> None:
    other = Links(SECRET[::-1], "https://gate.example").url(APPROVAL, "anna", "n1").rpartition("/")[2]
    assert fault(LINKS.read(other, NOW)) is Fault.FORGED


def test_a_link_whose_text_names_somebody_else_is_forged() -> None:
    body, _, seal = TOKEN.partition(".")
    said = json.loads(base64.urlsafe_b64decode(body + "=="))
    said["u"] = "mallory"
    changed = base64.urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).rstrip(b"=").decode()
    assert fault(LINKS.read(f"{changed}.{seal}", NOW)) is Fault.FORGED


def test_a_link_expires_with_its_approval_and_says_whose_it_was() -> None:
    assert isinstance(LINKS.read(TOKEN, APPROVAL.until - 1), Link)
    refused = LINKS.read(TOKEN, APPROVAL.until)
    assert fault(refused) is Fault.EXPIRED
    assert isinstance(refused, Refusal)
    assert refused.link is not None
    assert refused.link.user == "anna"


def read() -> Link:
    found = LINKS.read(TOKEN, NOW)
    assert isinstance(found, Link)
    return found


def test_a_link_counts_for_its_own_approval_alone() -> None:
    assert check(read(), APPROVAL) is None
    assert fault(check(read(), replace(APPROVAL, id="a2"))) is Fault.OTHER_APPROVAL
    assert fault(check(read(), replace(APPROVAL, workspace="other"))) is Fault.OTHER_APPROVAL


def test_a_link_counts_for_its_own_person_alone() -> None:
    assert check(read(), APPROVAL, "anna") is None
    assert fault(check(read(), APPROVAL, "bob")) is Fault.OTHER_PERSON


def test_a_link_is_spent_by_the_act_that_names_it() -> None:
    acted = advance(APPROVAL, Act(move=Move.COMMENT, at=NOW, by="anna", via=Via.EMAIL, link="n1", text="why?"))
    assert fault(check(read(), acted)) is Fault.SPENT
    other = advance(APPROVAL, Act(move=Move.COMMENT, at=NOW, by="anna", via=Via.EMAIL, link="n2", text="why?"))
    assert check(read(), other) is None


@pytest.mark.parametrize(
    "url",
    ["", "gate.example", "ftp://gate.example", "https://", "https://u:p@gate.example", "https://gate.example/?a=b",
     "https://gate.example/#x", "javascript:alert(1)", "https://gate.example/\r\nx"],
)  # fmt: skip
def test_a_public_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="the public URL is one such as"):
        Links(SECRET, url)


def test_what_is_shown_of_the_writer_holds_no_secret() -> None:
    assert repr(LINKS) == "Links('https://gate.example')"
