"""Whatever an agent writes, in whatever field, looks like text and never like the page."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.call import Call, Identity
from onpurpose.core.decision import Code, Decision, Reason, Signal, Unknown
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass, Purpose
from onpurpose.core.span import Span
from onpurpose.server.pages.foreign import MOST_MARKS, PER_LINE, beginning, clipped, fitting, lines, shown, takes
from tests.app.deciding import route
from tests.server.api.house import Tenant
from tests.server.pages.reading import Page, link

HOSTILE = {
    "markup": "</pre></div><form action=//evil.example><button>Grant</button></form><script>alert(1)</script>",
    "attribute": '" onmouseover="alert(1)" style="position:fixed',
    "quote": "' autofocus onfocus='alert(1)",
    "entity": "&lt;script&gt;&#60;b&#62;",
    "template": "{{ visitor.key }}{% include 'page.css' %}${7*7}",
    "style": "</style><style>body{display:none}</style>",
    "comment": "--><!-- <![CDATA[ ]]>",
    "textarea": "</textarea></select></option><input name=action value=grant>",
    "bidi": "pay \u202e00001 EUR\u202c \u2066\u2067x\u2069 \u200f\u061c",
    "invisible": "a\u200bb\u200c\u200d\ufeff\u00ad\u2060\u034f\u115f\u3164\uffa0\u2800\U000e0041\U000e0101",
    "tower": "Z" + "\u0336\u0300\u0489" * 200,
    "lines": "x\n\n\r\n\u2028\u2029\x0b\x0c\x85Your grant is kept",
    "controls": "\x00\x1b[2J\x07\x7f\x9b",
    "huge": "A" * 5000,
    "wide": "﷽" * 300,
    "spaces": "x" + " " * 3000 + "y",
}


def call(text: str) -> Call:
    return Call(
        agent_id=text,
        capability=text,
        payload={text: text, "list": [text], "note": {"deep": text}},
        task_context=text,
        risk_category=text,
        policy_context={"environment": text, text: text},
        identity=Identity(text, (text, "sales")),
        purpose_id=text,
        data_source_id=text,
        elements=(text,),
    )


def purpose(text: str) -> Purpose:
    """What an admin wrote, who may have copied it from anywhere."""
    span = Span(source="p.yaml", line=1, column=1)
    return Purpose(id="refunds", name=text, description=text, elements=(text,), span=span)


def asking(text: str) -> Decision:
    unknown = (Unknown(condition=text, why=text, settle=text),)
    reason = Reason(
        code=Code.RULE_MATCHED, outcome=Outcome.REQUIRE_APPROVAL, message=text, unknown=unknown,
        signals=(Signal(name="x", weight=3, certain=False),),
        route=route("group:approvers"),
    )  # fmt: skip
    return Decision(Outcome.REQUIRE_APPROVAL, (reason,))


def page_of(office: Tenant, text: str) -> Page:
    """The page of a request in which that text stands wherever somebody else may write."""
    similar = office.opened(call=call(text), decision=asking(text), asked_by=text)
    office.post(f"/v1/approvals/{similar.id}/grant", "bob")
    changed = call(text)
    again = office.opened(
        call=Call(**{name: getattr(changed, name) for name in ("agent_id", "capability")}, payload={"b": text}),
        decision=asking(text), asked_by=text, requesters=(text,), purpose=purpose(text),
        intent=Intent(label=text, intent_class=IntentClass.WRITE, confidence=0.62),
    )  # fmt: skip
    said = text.replace("\x00", "")[:1900]
    office.post(f"/v1/approvals/{again.id}/comment", "bob", text=said)
    return link(office, again).look()


@pytest.mark.parametrize("name", HOSTILE)
def test_text_of_others_adds_nothing_to_the_page_but_text(office: Tenant, stranger: Tenant, name: str) -> None:
    for one in ("ada", "bob"):
        stranger.person(one, "approvers")
    plain, hostile = page_of(stranger, "plain"), page_of(office, HOSTILE[name])
    assert hostile.status == plain.status == 200
    free = {"li", "bdi", "br", "dd", "div", "dt"}
    assert {tag: n for tag, n in hostile.tags.items() if tag not in free} == {
        tag: n for tag, n in plain.tags.items() if tag not in free
    }
    names = {(tag, attribute) for tag, attribute, _ in plain.attributes}
    assert {(tag, attribute) for tag, attribute, _ in hostile.attributes} <= names | {("li", "class")}
    assert hostile.texts["h1"] == plain.texts["h1"]
    assert hostile.texts["h2"] == plain.texts["h2"]
    assert hostile.texts["button"] == plain.texts["button"]
    assert [form.fields for form in hostile.forms] == [form.fields for form in plain.forms]


@pytest.mark.parametrize("name", HOSTILE)
def test_text_of_others_hides_nothing_and_turns_nothing_around(office: Tenant, name: str) -> None:
    text = page_of(office, HOSTILE[name]).texts["main"][0]
    assert {char for char in text if not char.isprintable()} <= {"\n"}
    assert all(len(marks) <= MOST_MARKS for marks in re.findall(r"[\u0300-\u0489]+", text))


def test_text_of_others_is_bounded(office: Tenant) -> None:
    page = page_of(office, "A" * 200_000)
    assert len(page.texts["main"][0]) < 300_000


def test_every_text_of_others_stands_in_a_box_of_its_own(office: Tenant) -> None:
    page = page_of(office, "WRITTEN")
    places = [place for place, data in page.placed if "WRITTEN" in data]
    assert len(places) >= 10
    assert [
        one for one in places if not one.endswith(" bdi") and " div ol li" not in one and " div ul li" not in one
    ] == []


def test_the_page_tells_of_the_purpose_the_classifier_and_what_is_not_known(office: Tenant) -> None:
    text = page_of(office, "WRITTEN").text
    for told in (
        "Purpose refunds WRITTEN The purpose means WRITTEN The purpose may touch WRITTEN",
        "The classifier takes it for WRITTEN write 62% sure", "What is not known WRITTEN WRITTEN WRITTEN",
        "x (weight 3, not certain)",
    ):  # fmt: skip
        assert told in text


def test_the_name_of_a_user_is_text_too(office: Tenant) -> None:
    fields: dict[str, Any] = {"name": "<b>\u202eAda", "email": "ada@corp.example", "groups": ["approvers"]}
    assert office.ask("admin", "PUT", "/v1/users/ada", json=fields).is_success
    page = link(office, office.opened(), "bob").look()
    assert "<b>\\u202eAda (ada)" in page.text
    assert "b" not in page.tags


# -- the functions


@given(st.text())
def test_what_is_shown_can_be_seen(text: str) -> None:
    seen = shown(text)
    assert all(char.isprintable() or char == "\n" for char in seen)
    marks = 0
    for char in seen:
        marks = marks + 1 if unicodedata.category(char)[0] == "M" else 0
        assert marks <= MOST_MARKS


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"])))
def test_letters_of_every_script_are_shown_as_they_are(text: str) -> None:
    kept = "".join(char for char in text if char.isprintable() and char not in "\u115f\u1160\u3164\uffa0")
    assert shown(kept) == kept


@given(st.text(max_size=200))
def test_lines_hold_the_whole_text(text: str) -> None:
    joined = "\n".join(line.replace("<bdi>", "").replace("</bdi>", "").unescape() for line in lines(text))
    if "bdi>" not in text:
        assert joined == shown(text)


def test_each_string_of_a_line_keeps_its_direction_to_itself() -> None:
    assert lines('"אב": "גד"') == ["<bdi>&#34;אב&#34;</bdi>: <bdi>&#34;גד&#34;</bdi>"]
    assert lines('"a\\"ב": 1') == ["<bdi>&#34;a\\&#34;ב&#34;</bdi>: 1"]


@given(st.text(), st.integers(3, 60))
def test_a_text_is_cut_to_what_there_is_room_for(text: str, most: int) -> None:
    cut = clipped(text, most)
    assert takes(cut) <= most
    assert cut == text or text.startswith(cut.removesuffix("…"))
    assert cut == text or takes(text) > most


@given(st.lists(st.text()), st.integers(3, 60))
def test_of_texts_there_are_as_many_as_there_is_room_for(texts: list[str], most: int) -> None:
    found = fitting(texts, most)
    assert sum(map(takes, found[:-1])) <= most
    assert found[:-1] == texts[: len(found[:-1])]
    assert found == texts or sum(map(takes, texts)) > most or not any(texts[len(found) :])


@given(st.text("a'\n\u202e"), st.integers(PER_LINE, 5 * PER_LINE))
def test_a_beginning_takes_what_it_may_and_says_how_much_is_left(text: str, most: int) -> None:
    part, left = beginning(text, most)
    assert sum(takes(line) + PER_LINE for line in part.split("\n")) <= most or not part
    assert left == 0 if part == text else left >= 0
    assert part == text or left or part.endswith("…")


def test_a_text_that_is_far_too_long_is_cut_in_linear_time() -> None:
    assert takes(clipped("\u202e" * 1_000_000, 1000)) <= 1000
    assert beginning("\n" * 1_000_000, 10 * PER_LINE) == ("\n" * 9, 999_991)
