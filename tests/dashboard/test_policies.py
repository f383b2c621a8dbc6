"""The list of policies: where each stands, its numbers, how ready it is; and the editor of capability policies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from onpurpose.core.access import Role
from onpurpose.core.revision import Kind
from tests.dashboard.authors import EXAMPLE, HOSTILE, NAME, SUPPORT, Authors, Visitor, authors, form_in, seen

NEW = "/policies/new/capability"
TEXT = "deny:\n  - capability: shell.*\n    contains: rm -rf\nallow:\n  - capability: files.read\n"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Authors]:
    with authors(tmp_path) as made:
        yield made


@pytest.fixture
def author(house: Authors) -> Iterator[Visitor]:
    with house.visitor(Role.AUTHOR) as visitor:
        yield visitor


def row(page: str, name: str) -> str:
    """What the row of a policy says."""
    return seen(page.partition(f">{name}</a></th>")[2].partition("</tr>")[0])


def test_without_a_policy_it_leads_to_the_first_one(house: Authors, author: Visitor) -> None:
    house.world.control.library.remove("default", Kind.POLICY, "base", author="a", reason="", may_promote=True)
    page = author.get("/policies")
    assert "No policy yet" in page
    assert 'href="/policies/new"' in page
    with house.visitor(Role.VIEWER) as viewer:
        assert 'href="/policies/new"' not in viewer.get("/policies")


def test_each_stands_with_state_numbers_and_readiness(house: Authors, author: Visitor) -> None:
    house.save(Kind.PURPOSE_POLICY, NAME, EXAMPLE)
    house.call()
    house.call("bot", "sales")
    page = author.get("/policies")
    told = row(page, NAME)
    assert "customer_support_lookup" in told
    assert "shadow" in told
    assert "50.0" in told
    assert "2 calls" in told
    assert "Not ready: 1 calls matched; at least 50 must have" in told
    assert "Live; no newer revision" in row(page, "base")


def test_one_that_is_live_with_a_newer_revision_is_both(house: Authors, author: Visitor) -> None:
    house.save(Kind.POLICY, "base", TEXT)
    assert "live shadow" in row(author.get("/policies"), "base")


def test_a_policy_of_a_purpose_that_is_no_more_active_is_a_draft(house: Authors, author: Visitor) -> None:
    house.save(Kind.PURPOSE_POLICY, NAME, EXAMPLE)
    house.save(Kind.PURPOSE, "customer_support_lookup", SUPPORT.replace("active", "archived"))
    told = row(author.get("/policies"), NAME)
    assert "draft" in told
    assert "Its purpose is archived" in told


def test_nothing_of_another_workspace_is_told(house: Authors, author: Visitor) -> None:
    house.world.control.library.save("other", Kind.POLICY, "theirs", TEXT, author="x", reason="", may_promote=True)
    assert "theirs" not in author.get("/policies")
    author.get("/policies/policy/theirs", 404)
    author.get("/policies/policy/theirs/edit", 404)
    author.get("/policies/policy/theirs/history", 404)


def test_many_policies_are_told_page_by_page(house: Authors, author: Visitor) -> None:
    for number in range(103):
        house.save(Kind.POLICY, f"p{number:03}", TEXT)
    page = author.get("/policies")
    assert "p098" in page
    assert "p099" not in page
    assert "p102" in author.get("/policies?after=p098")


# -- the editor


def test_a_capability_policy_is_written_and_goes_into_shadow(house: Authors, author: Visitor) -> None:
    form = author.form(NEW, NEW)
    done = author.post(NEW, do="save", **form | {"name": "files", "text": TEXT, "reason": "to begin"})
    assert done.headers["location"] == "/policies/policy/files?saved=1"
    assert house.world.standing(Kind.POLICY, "files").shadow == 1


def test_a_bad_name_and_a_bad_text_are_told_and_kept(house: Authors, author: Visitor) -> None:
    form = author.form(NEW, NEW) | {"text": TEXT}
    assert "The name has letters" in author.post(NEW, 422, do="save", **form | {"name": "no name"}).text
    page = author.post(NEW, 422, do="save", **form | {"name": "files", "text": TEXT + "alow: []\n"}).text
    assert "did you mean `allow`" in seen(page)
    assert form_in(page, NEW)["text"].endswith("alow: []\n")


def test_problems_and_warnings_stand_at_their_lines(author: Visitor) -> None:
    part = author.post(f"{NEW}/proof", 200, text="allow:\n  - capability: '*'\n  - capability: a b\n").text
    assert "problem:" in part.partition('id="Y3"')[2]
    part = author.post(f"{NEW}/proof", 200, text="allow:\n  - capability: '*'\n").text
    assert "warning: this rule allows every call" in seen(part.partition('id="Y2"')[2])


def test_a_call_is_tried_and_nothing_is_recorded(house: Authors, author: Visitor) -> None:
    chains = dict(house.past.follow.chains())
    call = json.dumps({"agent_id": "bot", "capability": "shell.run", "payload": {"cmd": "rm -rf /"}})
    part = seen(author.post(f"{NEW}/call", 200, text=TEXT, call=call).text)
    assert "It comes to deny" in part
    assert "line 2" in part
    page = seen(author.post(NEW, 200, do="call", text=TEXT, call=call, name="x").text)
    assert "Nothing was recorded" in page
    assert dict(house.past.follow.chains()) == chains


@pytest.mark.parametrize(
    ("call", "why"),
    [("{", "not JSON"), ("{}", "agent_id"), ('{"agent_id": "b", "capability": "x", "a": 1}', "a"),
     ('{"agent_id": "b", "agent_id": "c"}', "twice"), ("[" * 100_000, "")],
)  # fmt: skip
def test_what_is_no_call_is_told(author: Visitor, call: str, why: str) -> None:
    part = author.post(f"{NEW}/call", 200, text=TEXT, call=call).text
    assert "The call cannot be tried" in part
    assert why in part


def test_a_call_is_not_tried_on_what_cannot_be_read(author: Visitor) -> None:
    call = '{"agent_id": "b", "capability": "x"}'
    assert "line 1" in author.post(f"{NEW}/call", 200, text="nonsense", call=call).text


def test_a_capability_policy_is_tried_on_recorded_calls(house: Authors, author: Visitor) -> None:
    house.call()
    part = seen(author.post(f"{NEW}/backtest", 200, name="base", text=TEXT).text)
    assert "Tried on 1 recorded call" in part.replace("\u00a0", " ")
    assert "ran, and would not have run" in part
    assert "Tried on" in seen(author.post(NEW, 200, do="try", name="base", text=TEXT, call="").text)


def test_one_that_was_saved_meanwhile_clashes_and_keeps_the_text(house: Authors, author: Visitor) -> None:
    edit = "/policies/policy/base/edit"
    form = author.form(edit, edit)
    house.save(Kind.POLICY, "base", TEXT)
    page = author.post(edit, 409, do="save", **form | {"text": "# mine\n" + TEXT}).text
    assert "Somebody else saved meanwhile" in page
    assert author.post(edit, do="save", **form_in(page, edit)).headers["location"].endswith("?saved=3")


def test_hostile_texts_stay_texts(author: Visitor) -> None:
    page = author.post(NEW, 200, do="call", name=HOSTILE, text=HOSTILE, call=HOSTILE).text
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "\u202e" not in re_without_fields(page)
    assert form_in(page, NEW)["call"] == HOSTILE


def re_without_fields(page: str) -> str:
    """The page without what stands in its fields, which comes back as it was."""
    before, _, rest = page.partition('<form method="post" action="/policies')
    return before + rest.partition('<div id="told">')[2].partition("<textarea")[0]
