"""What a mail says: all that one must know to decide, the same in text and HTML, and nothing that is not seen."""

from __future__ import annotations

import email
import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from onpurpose.adapters.email.foreign import one_line, seen, words
from onpurpose.adapters.email.sheet import time_left
from onpurpose.adapters.email.written import about, gathered, sender
from onpurpose.core.approval import Act, Approval, Move, Seat, State, Via, advance, as_of
from onpurpose.core.delivery import Delivery, Event, View
from tests.mail.examples import CONTEXT, FROM, LINKS, NOW, SECOND, approval, message, view

BY = sender(FROM)
HOSTILE = (
    'Pay </pre><img src="https://evil.example/x.png"><a href="https://evil.example">here</a>'
    "\u202egnp.exe\r\nBcc: x@y.z\x00"
)


def written(delivery: Delivery, seen_as: View) -> EmailMessage:
    return read(about(delivery, seen_as, BY))


def read(mail: EmailMessage) -> EmailMessage:
    found = email.message_from_bytes(mail.as_bytes(), policy=default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found


def parts(mail: EmailMessage) -> tuple[str, str]:
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    return text.get_content(), html.get_content()


class Page(HTMLParser):
    """The tags, links and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def ended(move: Move, by: str = "bob", text: str = "") -> Approval:
    act = Act(
        move=move, at=NOW + SECOND, by=by, via=Via.API, text=text, seats=(Seat(0, 0),) if move is Move.GRANT else ()
    )
    return advance(approval(), act)


def test_a_request_carries_the_whole_intent_context_in_text_and_in_html() -> None:
    text, html = parts(written(message(), view()))
    shown = Page(html).text
    for expected in (
        "agent-7", "crm.export", "kim (support, tier-2)", "crm key", "quarterly (Quarterly report)", "Numbers",
        "crm.name, crm.email", "salesforce_prod", "environment=production, tenant=acme",
        "crm.yaml:12 - crm.* - require_approval - exports", "amount_gt - no amount - give an amount",
        "many_rows (weight 3, not certain)", "bulk_export (export, 87% sure)", "2 of group:approvers",
        "denied - bob - 2026-11-17 - too many rows - a0",
        "50 min (until 2026-11-18 12:06 UTC)", '"table": "customers",', "- limit: 50", "+ limit: 500",
    ):  # fmt: skip
        assert expected in text, expected
        assert expected in shown, expected


def test_a_request_has_one_link_which_is_the_person_s_own() -> None:
    seen_as = view()
    text, html = parts(written(message(), seen_as))
    assert Page(html).links == [seen_as.link]
    assert text.count("https://") == 1
    assert seen_as.link in text.splitlines()
    assert "for you alone" in text


def test_who_must_sign_in_is_led_to_the_page_alone() -> None:
    seen_as = view(approval=approval(step_up=True))
    text, html = parts(written(message(), seen_as))
    assert Page(html).links == ["https://gate.example/approvals/a1"]
    assert "/approve/" not in text + html
    assert "signed in" in text


def test_without_a_public_url_there_is_no_link_at_all() -> None:
    text, html = parts(written(message(), view(link="", page="")))
    assert Page(html).links == []
    assert "http" not in text


def test_nothing_is_fetched_run_or_sent_by_a_mail() -> None:
    _, html = parts(written(message(), view()))
    page = Page(html)
    assert page.tags & {"img", "script", "form", "iframe", "link", "object", "video", "svg", "button", "input"} == set()
    assert not re.search(r"url\(|@import|@font-face", html)
    assert not {name for name in page.attributes if name.startswith("on")}


def test_a_mail_is_made_for_a_phone_and_for_the_dark() -> None:
    _, html = parts(written(message(), view()))
    assert 'name="viewport" content="width=device-width' in html
    assert 'name="color-scheme" content="light dark"' in html
    assert "prefers-color-scheme: dark" in html
    assert "max-width:640px" in html


def test_every_header_is_ours() -> None:
    mail = written(message(), view())
    assert {name.lower() for name in mail} == {
        "from", "to", "date", "message-id", "auto-submitted", "subject", "mime-version", "content-type",
    }  # fmt: skip
    assert mail["Subject"] == "Approval needed: crm.export by agent-7"
    assert mail["To"].addresses[0].display_name == "Anna Åberg"
    assert mail["To"].addresses[0].addr_spec == "anna@example.com"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == "<0123456789abcdef0123456789abcdef@gate.example>"
    assert mail["Date"].datetime.timestamp() == (NOW + 600 * SECOND) // SECOND


def test_nothing_foreign_writes_headers_links_or_tags() -> None:
    context = {key: HOSTILE if isinstance(value, str) else value for key, value in CONTEXT.items()}
    context |= {"rules": [{"message": HOSTILE}], "changed": {"lines": [HOSTILE]}, "signals": [HOSTILE], "unknown": 7}
    one = approval(agent_id=HOSTILE, capability=HOSTILE)
    mail = written(message(), view(approval=one, context=context, name=HOSTILE))
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("Approval needed: Pay </pre><img")
    text, html = parts(mail)
    page = Page(html)
    assert page.links == [LINKS.url(one, "anna", "n1")]
    assert "img" not in page.tags
    for hidden in ("\u202e", "\x00"):
        assert hidden not in mail["Subject"] + text + html
    assert "\\u202e" in text
    assert "\\u202e" in html


TEXT = st.text(st.characters(), max_size=40)


@given(TEXT, TEXT, TEXT)
def test_whatever_names_are_a_mail_stays_a_mail(agent: str, capability: str, name: str) -> None:
    one = approval(agent_id=agent, capability=capability)
    mail = written(message(), view(approval=one, name=name, link="https://gate.example/approve/t"))
    assert len(list(mail)) == 8
    assert len(mail["Subject"]) <= 200
    assert mail["Subject"].isprintable()
    assert Page(parts(mail)[1]).links == ["https://gate.example/approve/t"]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(sorted(CONTEXT)), JSON))
def test_whatever_a_context_holds_a_mail_is_written(context: dict[str, object]) -> None:
    text, _ = parts(written(message(), view(context=context)))
    assert "agent-7" in text


def test_each_way_of_asking_says_why_it_asks() -> None:
    ways = (Event.REQUESTED, Event.ESCALATED, Event.REMINDED, Event.DELEGATED)
    assert len({parts(written(message(event), view()))[0].splitlines()[3] for event in ways}) == 4


def test_what_people_did_and_said_is_told() -> None:
    one = advance(approval(), Act(move=Move.COMMENT, at=NOW, by="bob", via=Via.API, text="why now?"))
    one = advance(one, Act(move=Move.JOIN, at=NOW, via=Via.AGENT, decision_id="d2"))
    text, _ = parts(written(message(), view(approval=one)))
    assert "Comment by: bob: why now?" in text
    assert "Asked again: 1 times" in text


def test_a_payload_that_was_cut_says_so() -> None:
    text, _ = parts(written(message(), view(context=CONTEXT | {"payload_cut": 1234})))
    assert "and 1234 bytes more" in text


# -- what became of it


EARLIER = message(ref="<first@gate.example>"), message(ref="<second@gate.example>")


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (replace(ended(Move.GRANT), state=State.GRANTED), "The request was granted by bob."),
        (ended(Move.DENY, text="not today"), "The request was denied by bob."),
        (ended(Move.CANCEL, by=""), "The request was cancelled."),
        (as_of(approval(), NOW + 9999 * SECOND), "Nobody decided it in time."),
    ],
)
def test_a_settled_request_is_told_shortly_in_the_thread_of_the_first_mail(one: Approval, says: str) -> None:
    mail = written(message(Event.GRANTED), view(approval=one, link="", sent=EARLIER))
    text, html = parts(mail)
    assert says in text
    assert says in Page(html).text
    assert "customers" not in text
    assert Page(html).links == ["https://gate.example/approvals/a1"]
    assert (mail["In-Reply-To"], mail["References"]) == ("<first@gate.example>", "<first@gate.example>")
    assert mail["Subject"] == "Re: Approval needed: crm.export by agent-7"


def test_a_refusal_tells_the_reason() -> None:
    text, _ = parts(written(message(Event.DENIED), view(approval=ended(Move.DENY, text="not today"), link="")))
    assert "Reason: not today" in text


def test_a_reminder_stands_in_the_thread_of_the_first_mail() -> None:
    mail = written(message(Event.REMINDED), view(sent=EARLIER))
    assert mail["In-Reply-To"] == "<first@gate.example>"


@pytest.mark.parametrize("ref", ["", "C1/123.4", "<a\r\nBcc: x@y.z>", "<\u202e@b>", f"<{'x' * 600}@b>"])
def test_what_is_no_name_of_a_mail_is_not_referred_to(ref: str) -> None:
    mail = written(message(Event.REMINDED), view(sent=(message(ref=ref),)))
    assert mail["References"] is None


def test_a_name_stays_in_one_piece_however_long_the_host_is() -> None:
    host = f"{'x' * 60}.{'y' * 60}.example"
    first = about(message(), view(), sender(f"a@{host}"))
    again = about(message(Event.REMINDED), view(sent=(message(ref=str(first["Message-ID"])),)), sender(f"a@{host}"))
    assert f"References: <0123456789abcdef0123456789abcdef@{host}>\r\n".encode() in again.as_bytes()
    assert all(len(line) <= 998 for line in again.as_bytes().splitlines())


def test_a_host_of_another_script_names_mails_in_ascii() -> None:
    mail = about(message(), view(), sender("a@bücher.example"))
    assert mail["Message-ID"] == "<0123456789abcdef0123456789abcdef@xn--bcher-kva.example>"


# -- digests


def several(count: int) -> Iterator[tuple[Delivery, View]]:
    for number in range(count):
        one = approval(id=f"a{number}", capability=f"crm.export{number}")
        yield message(id=f"{number:032}"), view(approval=one, link=LINKS.url(one, "anna", f"n{number}"))


def test_a_digest_lists_every_request_with_its_own_link() -> None:
    items = list(several(7))
    mail = read(gathered("f" * 32, items, BY))
    text, html = parts(mail)
    assert Page(html).links == [shown.link for _, shown in items]
    assert [line for line in text.splitlines() if line.startswith("https://")] == [shown.link for _, shown in items]
    assert mail["Subject"] == "7 requests wait for your approval"
    assert mail["Message-ID"] == f"<{'f' * 32}.digest@gate.example>"
    for number in range(7):
        assert f"crm.export{number}" in text


def test_a_digest_says_how_to_have_no_more_of_them_and_nothing_else_does() -> None:
    digest = read(gathered("f" * 32, list(several(2)), BY))
    assert digest["List-Unsubscribe"] == "<mailto:approvals@gate.example?subject=unsubscribe>"
    assert written(message(), view())["List-Unsubscribe"] is None
    assert digest["References"] is None


# -- foreign text


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a\u202eb", "a\\u202eb"), ("a\r\nb\tc", "a\nb\tc"), ("\x1b[31m", "\\u001b[31m"), ("\ud800", "\\ud800"),
     ("abcdef", "abcd…"), ("\u200bx", "\\u200bx"), ("åß漢", "åß漢")],
)  # fmt: skip
def test_what_cannot_be_seen_is_written_out(text: str, expected: str) -> None:
    assert seen(text, 5 if text == "abcdef" else 20) == expected


@given(st.text(st.characters(), max_size=200), st.integers(1, 50))
def test_a_line_is_one_line_and_bounded(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert "\n" not in line
    assert line.isprintable()


def test_values_are_told_in_words() -> None:
    assert words(["a", 1, None, {"b": True}]) == "a, 1, , b=true"
    assert words(list(range(60))).endswith("49, and 10 more")


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(59, "0 min"), (61, "1 min"), (3600, "1 h 0 min"), (90_000, "1 d 1 h 0 min"), (-5, "0 min")],
)
def test_time_left_is_told_to_the_minute(seconds: int, expected: str) -> None:
    one = replace(approval(), until=NOW + seconds * SECOND)
    assert time_left(one, NOW).startswith(f"{expected} (until 20")
