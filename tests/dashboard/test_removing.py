"""A policy or a purpose is removed after it is told what that comes to, and comes back from its history."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onpurpose.core.access import Role
from onpurpose.core.revision import Kind
from tests.dashboard.authors import EXAMPLE, HOSTILE, NAME, PAGE, Authors, Visitor, authors, seen

BASE, PURPOSE = "/policies/policy/base", "/purposes/customer_support_lookup"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Authors]:
    with authors(tmp_path) as found:
        yield found


@pytest.fixture
def admin(house: Authors) -> Iterator[Visitor]:
    with house.visitor(Role.ADMIN) as found:
        yield found


def remove(visitor: Visitor, path: str, status: int = 303, **fields: str) -> str:
    given = visitor.form(f"{path}/remove", f"{path}/remove") | {"reason": "no longer needed"} | fields
    response = visitor.post(f"{path}/remove", status, **given)
    return response.headers.get("location", "") or response.text


def test_the_last_days_calls_tell_what_it_comes_to(house: Authors, admin: Visitor) -> None:
    ran = house.call(purpose_id=None, elements=None)
    text = admin.get(f"{BASE}/remove")
    assert "1 call that run today would not run any more" in seen(text)
    assert f'href="/decisions/{ran.decision_id}"' in text
    assert "Revision 1 is live." in seen(text)


def test_a_policy_is_removed_with_a_reason_and_comes_back_in_shadow(house: Authors, admin: Visitor) -> None:
    assert f'href="{BASE}/remove"' in admin.get(BASE)
    assert remove(admin, BASE) == "/policies?removed=base"
    text = admin.get("/policies?removed=base")
    assert "base was removed." in seen(text)
    assert f'<a href="{BASE}/history">base</a>' in text
    assert not house.call(purpose_id=None, elements=None).outcome.permits
    response = admin.client.get(BASE, headers={"Accept": "text/html"})
    assert (response.status_code, response.headers["location"]) == (303, f"{BASE}/history")
    history = admin.get(f"{BASE}/history")
    assert "It was removed, and counts no more." in seen(history)
    assert "no longer needed" in history
    assert f'href="{BASE}"' not in history
    admin.post(f"{BASE}/restore", revision="1", expected=admin.form(f"{BASE}/history", f"{BASE}/restore")["expected"])
    standing = house.world.control.shelf.standing("default", Kind.POLICY, "base")
    assert (standing.live, standing.shadow) == (None, 3)


def test_a_purpose_tells_its_tokens_and_policies_and_comes_back_at_once(house: Authors, admin: Visitor) -> None:
    house.save(Kind.PURPOSE_POLICY, NAME, EXAMPLE)
    house.promote(Kind.PURPOSE_POLICY, NAME)
    assert house.call().outcome.permits
    text = seen(admin.get(f"{PURPOSE}/remove"))
    assert "At least 1 token of customer_support_lookup may be alive." in text
    assert f"1 policy is for it, and will concern no call: {NAME} ." in text
    assert "1 call that run today would not run any more" in text
    assert "At least 1 token" in seen(admin.get(f"{PAGE}/remove"))
    assert remove(admin, PURPOSE) == "/purposes?removed=customer_support_lookup"
    assert f'<a href="{PURPOSE}/history">customer_support_lookup</a>' in admin.get("/purposes")
    assert not house.call().outcome.permits
    assert admin.client.get(PURPOSE, headers={"Accept": "text/html"}).headers["location"] == f"{PURPOSE}/history"
    expected = admin.form(f"{PURPOSE}/history", f"{PURPOSE}/restore")["expected"]
    done = admin.post(f"{PURPOSE}/restore", revision="1", expected=expected)
    assert done.headers["location"] == f"{PURPOSE}?done=saved"
    assert house.call().outcome.permits


def test_what_is_only_in_shadow_decides_nothing(house: Authors, admin: Visitor) -> None:
    house.save(Kind.PURPOSE_POLICY, NAME, EXAMPLE)
    text = seen(admin.get(f"{PAGE}/remove"))
    assert "It decides nothing today" in text
    assert "Revision 1 is watched in shadow. That ends" in text
    with house.visitor(Role.AUTHOR) as author:
        assert remove(author, PAGE) == f"/policies?removed={NAME}"


def test_who_was_slower_removes_nothing(house: Authors, admin: Visitor) -> None:
    given = admin.form(f"{BASE}/remove", f"{BASE}/remove") | {"reason": HOSTILE}
    house.save(Kind.POLICY, "base", "allow:\n  - capability: crm.*\n")
    for fields in (given, {"reason": "no version"}):
        refused = admin.post(f"{BASE}/remove", 409, **fields).text
        assert "Nothing was changed" in refused
        assert "<script>alert" not in refused
    assert house.world.control.shelf.standing("default", Kind.POLICY, "base").live == 1


def test_a_reason_is_needed_and_a_policy_that_decides_needs_who_promotes(house: Authors, admin: Visitor) -> None:
    assert "Say why" in remove(admin, BASE, 422, reason=" ")
    with house.visitor(Role.AUTHOR) as author:
        text = author.get(f"{BASE}/remove")
        assert "only who may promote can remove it" in seen(text)
        assert f'action="{BASE}/remove"' not in text
        author.post(f"{BASE}/remove", 403, reason="x", expected="2")
    assert house.world.control.shelf.standing("default", Kind.POLICY, "base").live == 1


def test_what_the_index_names_stays(house: Authors, admin: Visitor) -> None:
    house.save(Kind.INDEX, "index", "policies:\n  - file: base.yaml\n")
    text = admin.get(f"{BASE}/remove")
    assert "the index names it" in seen(text)
    assert f'action="{BASE}/remove"' not in text
    assert "the index names the policy `base`" in admin.post(f"{BASE}/remove", 409, reason="x", expected="2").text


def test_what_is_not_there_cannot_be_removed(admin: Visitor) -> None:
    for path in ("/policies/policy/nowhere", "/policies/pigeon/base", "/purposes/nowhere", "/purposes/a%20b"):
        admin.get(f"{path}/remove", 404)
        admin.post(f"{path}/remove", 404, reason="x", expected="1")
    remove(admin, BASE)
    admin.get(f"{BASE}/remove", 404)
    assert "<script>alert" not in admin.get(f"/policies?removed={HOSTILE}")
    assert "was removed." not in seen(admin.get("/policies?removed=a%20b"))
