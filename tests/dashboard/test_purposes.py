"""Purposes: composed of what was seen, their status, who uses them for what, and their tokens revoked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from onpurpose.core.access import Role
from onpurpose.core.call import Identity
from onpurpose.core.revision import Kind
from onpurpose.lang.write import quoted
from tests.dashboard.authors import HOSTILE, SUPPORT, Authors, Visitor, authors, form_in, seen

ID = "customer_support_lookup"
PAGE = f"/purposes/{ID}"
NEW = "/purposes/new"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Authors]:
    with authors(tmp_path) as made:
        yield made


@pytest.fixture
def author(house: Authors) -> Iterator[Visitor]:
    with house.visitor(Role.AUTHOR) as visitor:
        yield visitor


def text_of(house: Authors, name: str = ID) -> str:
    return house.world.control.shelf.newest("default", Kind.PURPOSE, name)[1].text


def told(house: Authors, kind: str) -> list[dict[str, object]]:
    follow = house.past.follow
    bodies = [orjson.loads(one.body) for chain in follow.chains() for one in follow.after(chain, 0, 1000)]
    return [one for one in bodies if one["kind"] == kind]


def test_they_are_listed_with_status_and_policies(house: Authors, author: Visitor) -> None:
    page = seen(author.get("/purposes"))
    assert ID in page
    assert "Support lookup" in page
    assert "active" in page
    house.world.control.library.remove("default", Kind.PURPOSE, ID, author="a", reason="")
    assert "No purpose yet" in author.get("/purposes")


def test_one_is_composed_of_elements_that_were_seen(house: Authors, author: Visitor) -> None:
    house.call(purpose_id=None, elements=("crm.orders.total", "crm.orders.id"))
    assert 'value="crm.orders.total"' in author.get(NEW)
    form = author.form(NEW, NEW)
    given = form | {"id": "orders", "elements": "crm.extra.*", "seen": ["crm.orders.total"], "status": "active"}
    assert author.post(NEW, **given).headers["location"] == "/purposes/orders?done=saved"
    text = text_of(house, "orders")
    assert '"crm.extra.*"' in text
    assert '"crm.orders.total"' in text
    assert "crm.orders.id" not in text


def test_what_is_wrong_stands_at_its_field(author: Visitor) -> None:
    given = author.form(NEW, NEW) | {"id": "no id", "elements": "users", "ttl_seconds": "long"}
    page = author.post(NEW, 422, **given).text
    for field, why in (("id", "no id"), ("elements", "no element"), ("ttl_seconds", "must be a number")):
        assert why in seen(page.partition(f'id="f-{field}-errors"')[2].partition("</ul>")[0])
    assert form_in(page, NEW)["elements"] == "users"
    assert "must have `id`" in seen(author.post(NEW, 422, **given | {"id": "", "elements": "", "ttl_seconds": ""}).text)


def test_it_is_edited_and_keeps_what_it_said(house: Authors, author: Visitor) -> None:
    form = author.form(f"{PAGE}/edit", f"{PAGE}/edit")
    assert form["elements"] == "crm.contacts.*"
    author.post(f"{PAGE}/edit", **form | {"owner": "Kim", "reason": "who to ask"})
    assert 'owner: "Kim"' in text_of(house)
    assert "crm.contacts.*" in text_of(house)


def test_somebody_who_saved_meanwhile_is_told_of(house: Authors, author: Visitor) -> None:
    form = author.form(f"{PAGE}/edit", f"{PAGE}/edit") | {"owner": "Kim"}
    house.save(Kind.PURPOSE, ID, SUPPORT + "owner: Ann\n")
    page = author.post(f"{PAGE}/edit", 409, **form).text
    assert "Somebody else saved meanwhile" in page
    assert "Ann" in page.partition("<del")[2]
    author.post(f"{PAGE}/edit", **form_in(page, f"{PAGE}/edit"))
    assert 'owner: "Kim"' in text_of(house)


def test_no_data_and_any_data_are_told_apart(house: Authors, author: Visitor) -> None:
    form = author.form(f"{PAGE}/edit", f"{PAGE}/edit")
    author.post(f"{PAGE}/edit", **form | {"elements": "none"})
    assert "elements: []" in text_of(house)
    assert "touches no data" in author.get(PAGE)
    form = author.form(f"{PAGE}/edit", f"{PAGE}/edit")
    assert form["elements"] == "none"
    author.post(f"{PAGE}/edit", **form | {"elements": ""})
    assert "elements" not in text_of(house)


def test_its_status_is_changed_and_all_else_stays_as_written(house: Authors, author: Visitor) -> None:
    house.save(Kind.PURPOSE, ID, "# ours\n" + SUPPORT)
    form = author.form(PAGE, f"{PAGE}/status")
    author.post(f"{PAGE}/status", **form | {"status": "archived", "reason": "over"})
    assert text_of(house) == "# ours\n" + SUPPORT.replace("active", "archived")
    assert house.call().outcome.permits is False
    assert "meanwhile" in author.post(f"{PAGE}/status", 409, **form | {"status": "draft"}).text
    author.post(f"{PAGE}/status", 422, status="gone")


def test_it_tells_who_uses_it_for_what(house: Authors, author: Visitor) -> None:
    house.call("helper")
    house.call("helper")
    house.call("other", purpose_id=None)
    page = seen(author.get(PAGE))
    assert "helper kim crm.read 2 2" in page
    assert "other" not in page.partition("Who uses it")[2].partition("Tokens")[0]


def test_long_names_are_cut_in_rows_and_whole_in_links(house: Authors, author: Visitor) -> None:
    house.call("a" * 150, identity=Identity("u" * 200, ("support-tier-1",)))
    page = author.get(PAGE)
    assert f"agent={'a' * 150}" in page
    assert f"<bdi>{'a' * 95}…</bdi>" in page
    assert f"<bdi>{'u' * 95}…</bdi>" in page
    assert "u" * 96 not in page


def test_tokens_that_may_be_alive_are_told_until_they_expire(house: Authors, author: Visitor) -> None:
    result = house.call()
    assert result.decision_id in author.get(PAGE).partition("s-tokens")[2]
    house.world.clock.at += 3600 * 1_000_000
    assert result.decision_id not in author.get(PAGE).partition("s-tokens")[2]


@pytest.mark.parametrize(("kind", "value"), [("purpose", ID), ("agent", "bot"), ("jti", "some-token")])
def test_tokens_are_revoked_once_somebody_is_sure(house: Authors, author: Visitor, kind: str, value: str) -> None:
    asked = {"kind": kind, "value": "" if kind == "purpose" else value, "reason": "leaked"}
    page = author.post(f"{PAGE}/revoke", 200, **asked).text
    assert "This cannot be taken back" in page
    assert house.parts.tokens.status()["revocations"] == 0
    author.post(f"{PAGE}/revoke", **form_in(page, f"{PAGE}/revoke"))
    assert house.parts.tokens.status()["revocations"] == 1


def test_one_token_is_revoked_from_its_row_and_then_told_no_more(house: Authors, author: Visitor) -> None:
    first, second = house.call(), house.call()
    row = f"{PAGE}?revoke={first.decision_id}"
    assert f'href="{row}#revoke"' in author.get(PAGE)
    chosen = author.get(row)
    assert f'value="{first.decision_id}"' in chosen
    fields = form_in(chosen, f"{PAGE}/revoke") | {"reason": "leaked"}
    asked = author.post(f"{PAGE}/revoke", 200, **fields).text
    author.post(f"{PAGE}/revoke", **form_in(asked, f"{PAGE}/revoke"))
    told = author.get(PAGE).partition("s-tokens")[2]
    assert first.decision_id not in told
    assert second.decision_id in told


def test_a_revocation_says_whose_and_why(author: Visitor) -> None:
    page = author.post(f"{PAGE}/revoke", 422, kind="agent", value="", reason="").text
    assert "Say which" in page
    assert "Say why" in page
    assert "Choose whose" in author.post(f"{PAGE}/revoke", 422, kind="all", reason="x").text


def test_viewers_look_and_change_nothing(house: Authors) -> None:
    with house.visitor(Role.VIEWER) as viewer:
        page = viewer.get(PAGE)
        assert f"{PAGE}/revoke" not in page
        assert f"{PAGE}/edit" not in page
        for path in (NEW, f"{PAGE}/edit", f"{PAGE}/status", f"{PAGE}/revoke"):
            viewer.post(path, 403, status="draft")
        viewer.get(NEW, 403)


@pytest.mark.parametrize("path", ["/purposes/none", "/purposes/%2e%2e", "/purposes/none/edit"])
def test_what_is_not_there_is_not_there(author: Visitor, path: str) -> None:
    author.get(path, 404)


def test_hostile_texts_stay_texts(house: Authors, author: Visitor) -> None:
    house.save(Kind.PURPOSE, ID, SUPPORT + f"description: {quoted(HOSTILE)}\nowner: '<b>x'\n")
    house.call(HOSTILE, capability="crm.read", identity=Identity(HOSTILE, ()), elements=(HOSTILE, "x" * 9000))
    for path in (PAGE, "/purposes", f"{PAGE}/edit", NEW + "?id=<script>alert(1)</script>"):
        page = author.get(path)
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "<b>x" not in page
    assert "\u202e" not in author.get(PAGE)
    page = author.post(f"{PAGE}/revoke", 200, kind="agent", value=HOSTILE, reason=HOSTILE).text
    assert "<script>alert" not in page
