"""The page behind a signed link: looking decides nothing; its form decides, once, for whom the link is for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from onpurpose.app.approvals import DENIAL_REASONS
from onpurpose.app.links import Links
from onpurpose.core.act import State, Via
from onpurpose.core.approval import Approval
from onpurpose.core.call import Call
from tests.app.deciding import route
from tests.server.api.house import House, Tenant, good
from tests.server.pages.reading import OURS, Visit, link


def now(office: Tenant, approval: Approval) -> Approval:
    return office.house.desk.get(office.workspace, approval.id)


def whys(office: Tenant) -> list[tuple[str, str, str]]:
    return [(one["why"], one["by"], one["approval"]) for one in office.refused()]


def forgeries(office: Tenant) -> int:
    """How many links that are none of ours the log was told of."""
    return sum(b"this is no link of ours" in one.body for one in office.house.refusals.records())


# -- looking


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_whatever_fetches_a_link_decides_nothing(office: Tenant, method: str) -> None:
    approval = office.opened()
    path = link(office, approval).path
    for _ in range(20):
        assert office.house.http.request(method, path).status_code == 200
    assert now(office, approval) == approval
    assert link(office, approval).send(action="grant").status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_no_other_method_does_anything(office: Tenant, method: str) -> None:
    approval = office.opened()
    assert office.house.http.request(method, link(office, approval).path, headers=OURS).status_code == 405
    assert now(office, approval) == approval


def test_the_page_shows_all_that_one_decides_by(office: Tenant) -> None:
    before = office.opened()
    office.post(f"/v1/approvals/{before.id}/grant", "bob")
    approval = office.opened(
        route("group:approvers"), call=Call("agent-7", "payments.transfer", {"amount": 61_000, "to": "DE02"})
    )
    page = link(office, approval).look()
    assert page.title == "An agent asks for your approval"
    for text in (
        "agent-7", "payments.transfer", "anonymous", '"amount": 61000', '- "amount": 60000', '+ "amount": 61000',
        "over 50,000", "1 of: group:approvers", "granted by Bob (bob)", "You are Ada (ada)", "bot key",
        "4 lines, in a box that scrolls",
    ):  # fmt: skip
        assert text in page.text, text
    assert "Time left: 59 min, until 20" in page.text
    assert " UTC." in page.text
    assert page.actions() == ["grant", "deny", "delegate"]
    assert page.form("deny").options["preset"][1:] == [""] * len(DENIAL_REASONS)
    assert all(reason in page.text for reason in DENIAL_REASONS)
    assert page.form("delegate").options["to"] == ["", "bob"]


def test_what_a_link_shows_is_kept_by_no_browser_and_told_to_nobody(office: Tenant) -> None:
    headers = office.house.http.get(link(office, office.opened()).path).headers
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


# -- deciding


def test_a_grant_counts_once_and_is_told(office: Tenant) -> None:
    approval = office.opened()
    visit = link(office, approval)
    page = visit.send(action="grant", text="fine by me")
    assert page.title == "Your grant is kept"
    assert "It was granted by Ada (ada) at" in page.text
    granted = now(office, approval)
    act = granted.acts[0]
    assert (granted.state, act.by, act.via, act.text, act.link) == (
        State.GRANTED, "ada", Via.EMAIL, "fine by me", "link-1",
    )  # fmt: skip
    again = visit.send(action="grant")
    assert (again.status, again.title) == (410, "This link was used already")
    assert "Already granted by Ada (ada) at" in again.text
    assert visit.look().status == 410
    assert now(office, approval) == granted
    assert whys(office) == [("this link was used already", "ada", approval.id)] * 2


def test_of_many_who_send_one_form_at_once_one_decides(office: Tenant) -> None:
    approval = office.opened()
    visit = link(office, approval)
    with ThreadPoolExecutor(10) as pool:
        pages = list(pool.map(lambda _: visit.send(action="grant"), range(40)))
    assert sorted({page.status for page in pages} - {200}) in ([409], [410], [409, 410])
    assert [page.status for page in pages].count(200) == 1
    assert len(now(office, approval).acts) == 1


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"preset": DENIAL_REASONS[0]}, DENIAL_REASONS[0]),
        ({"preset": "", "reason": "wrong account"}, "wrong account"),
        ({"preset": DENIAL_REASONS[1], "reason": "it is\r\nDE03"}, f"{DENIAL_REASONS[1]}\nit is\nDE03"),
    ],
)
def test_a_denial_has_a_reason_that_is_chosen_or_written(office: Tenant, fields: dict[str, str], told: str) -> None:
    approval = office.opened()
    page = link(office, approval).send(action="deny", **fields)
    assert page.title == "The request is denied"
    assert (now(office, approval).state, now(office, approval).acts[0].text) == (State.DENIED, told)


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"action": "deny"}, "reason"),
        ({"action": "deny", "reason": " \n"}, "reason"),
        ({"action": "deny", "reason": "x" * 2001}, "reason"),
        ({"action": "grant", "text": "x" * 2001}, "text"),
        ({"action": "delegate", "to": ""}, "to"),
        ({"action": "delegate", "to": "nobody"}, "to"),
        ({"action": "delegate", "to": "ada"}, "to"),
        ({"action": "delegate", "to": "dee"}, "to"),
    ],
)
def test_what_is_missing_is_said_at_the_top_and_in_its_place(
    office: Tenant, fields: dict[str, str], place: str
) -> None:
    office.person("dee")
    approval = office.opened(route("group:approvers"))
    visit = link(office, approval)
    page = visit.send(**fields)
    assert page.status == 422
    assert "There is a problem" in page.text
    assert ("a", "href", f"#{place}") in page.attributes
    assert page.ids.count(place) == page.ids.count(f"{place}-fault") == 1
    assert page.tags["button"] == 3
    assert now(office, approval) == approval
    assert visit.send(action="grant").status == 200


def test_what_was_written_is_kept_where_something_is_missing(office: Tenant) -> None:
    office.person("dee")
    page = link(office, office.opened(route("group:approvers"))).send(action="delegate", to="dee", text="as\nagreed")
    assert page.form("delegate").fields["text"].removeprefix("\n") == "as\nagreed"
    assert page.form("grant").fields["text"].removeprefix("\n") == ""


def test_a_request_is_passed_on_and_the_other_decides(office: Tenant) -> None:
    approval = office.opened(route("group:approvers"))
    page = link(office, approval).send(action="delegate", to="bob", text="you know them")
    assert "Bob (bob) is told" in page.text
    again = link(office, approval, link_id="link-2")
    assert "you have delegated this request" in again.look().text
    assert again.send(action="grant").status == 403
    assert link(office, approval, "bob", "link-3").send(action="grant").status == 200


def test_a_grant_of_several_says_that_others_must_follow(office: Tenant) -> None:
    approval = office.opened(route("group:approvers", quorum=2))
    assert "It needs more grants than yours." in link(office, approval).send(action="grant").text
    page = link(office, approval, "bob", "link-3").look()
    assert "granted so far by Ada (ada)" in page.text
    mine = link(office, approval, link_id="link-2").look()
    assert mine.actions() == ["deny"]
    assert "You have granted this request already; it waits for somebody else. You may still deny it." in mine.text


# -- links that do not count


def test_a_forged_link_shows_and_decides_nothing(office: Tenant) -> None:
    approval = office.opened()
    true = link(office, approval).path
    body, _, seal = true.partition(".")
    stolen = Links("another secret of thirty-two characters", "https://gate.example").url(approval, "ada", "l")
    forged = [
        f"{body}.{seal[:-1]}{'A' if seal[-1] != 'A' else 'B'}", body, f"{body}.", f"{body}A.{seal}",
        stolen.removeprefix("https://gate.example"), "/approve/%F0%9F%92%A9", f"/approve/{'x' * 5000}",
    ]  # fmt: skip
    told = forgeries(office)
    for path in forged:
        visit = Visit(office.house, path)
        assert (visit.look().status, visit.send(action="grant").status) == (404, 404)
        assert "agent-7" not in visit.look().text
    assert now(office, approval) == approval
    assert forgeries(office) - told == 3 * len(forged)


def test_an_expired_link_decides_nothing_and_says_so(house: House, office: Tenant) -> None:
    approval = office.opened(route("anyone", timeout_seconds=60))
    visit = link(office, approval)
    house.clock.by += 60_000_000
    for page in (visit.look(), visit.send(action="grant")):
        assert (page.status, page.title) == (410, "This link has expired")
        assert "It has expired: nobody decided it in time" in page.text
    assert now(office, approval).state is State.EXPIRED
    assert whys(office) == [("this link has expired", "ada", approval.id)] * 2


def test_a_link_into_another_workspace_leads_nowhere(office: Tenant, stranger: Tenant) -> None:
    approval = office.opened()
    visit = link(office, Approval(**{**fields(approval), "workspace": stranger.workspace}))
    assert (visit.look().status, visit.send(action="grant").status) == (404, 404)
    assert [one["approval"] for one in stranger.refused()] == [approval.id] * 2
    assert now(office, approval) == approval


def fields(approval: Approval) -> dict[str, Any]:
    return {name: getattr(approval, name) for name in approval.__struct_fields__}


def test_who_comes_second_is_told_who_was_first(office: Tenant) -> None:
    approval = office.opened()
    link(office, approval, "bob").send(action="deny", reason="wrong account")
    visit = link(office, approval, link_id="link-2")
    assert "Already denied by Bob (bob) at" in visit.look().text
    page = visit.send(action="grant")
    assert (page.status, page.title) == (409, "You come too late")
    assert "Already denied by Bob (bob) at" in page.text
    assert len(office.refused()) == 1


def test_a_request_that_was_taken_back_says_so(office: Tenant) -> None:
    approval = office.opened()
    office.post(f"/v1/approvals/{approval.id}/cancel", "agent")
    assert "It was cancelled by the key that asked at" in link(office, approval).look().text


def test_a_used_grant_says_so(office: Tenant) -> None:
    approval = office.opened()
    office.post(f"/v1/approvals/{approval.id}/grant", "bob")
    assert office.house.desk.consume(
        office.workspace, approval.id, approval.digest, approval.agent_id, approval.routes, "d2"
    ).granted
    text = link(office, approval).look().text
    assert "Already granted by Bob (bob) at" in text
    assert "The agent used the grant at" in text


def test_where_one_must_sign_in_a_link_only_leads_there(office: Tenant) -> None:
    approval = office.opened(route("anyone", step_up=True))
    visit = link(office, approval)
    page = visit.look()
    assert ("a", "href", f"https://gate.example/approvals/{approval.id}") in page.attributes
    assert page.forms == []
    assert "agent-7" not in page.text
    assert visit.send(action="grant").status == 403
    assert now(office, approval) == approval
    assert [one["by"] for one in office.refused()] == ["ada"]


def test_who_is_no_approver_any_more_sees_and_decides_nothing(office: Tenant) -> None:
    approval = office.opened(route("group:approvers"))
    visit = link(office, approval)
    body = {"name": "Ada", "email": "ada@corp.example", "groups": []}
    good(office.ask("admin", "PUT", "/v1/users/ada", json=body))
    page = visit.look()
    assert page.status == 403
    assert "not among the approvers" in page.text
    assert "agent-7" not in page.text
    good(office.ask("admin", "DELETE", "/v1/users/ada"))
    assert (visit.look().status, visit.send(action="grant").status) == (403, 403)
    assert now(office, approval) == approval
    assert len(office.refused()) == 3


# -- forms that are none of ours


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://gate.example.evil.example"},
    ],
)
def test_a_form_of_another_page_decides_nothing(office: Tenant, headers: dict[str, str]) -> None:
    approval = office.opened()
    page = link(office, approval).send(headers, action="grant")
    assert page.status == 403
    assert now(office, approval) == approval
    assert whys(office) == [("the form was not sent by one of our pages", "ada", approval.id)]


@pytest.mark.parametrize(
    "headers",
    [OURS, {"Sec-Fetch-Site": "same-origin"}, {"Origin": "null"}, {"Origin": "https://gate.example"}],
)
def test_a_form_of_ours_decides_in_whatever_browser(office: Tenant, headers: dict[str, str]) -> None:
    assert link(office, office.opened()).send(headers, action="grant").status == 200


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b'{"action":"grant"}', "application/json", 400),
        (b"action=grant", "multipart/form-data", 400),
        (b"action=grant&action=deny", "application/x-www-form-urlencoded", 400),
        (b"action=grant&admin=1", "application/x-www-form-urlencoded", 400),
        (b"action=use", "application/x-www-form-urlencoded", 400),
        (b"action=show", "application/x-www-form-urlencoded", 400),
        (b"", "application/x-www-form-urlencoded", 400),
        (b"action=grant&text=%ff", "application/x-www-form-urlencoded", 400),
        (b"action=grant\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"action=grant" for _ in range(50)), "application/x-www-form-urlencoded", 400),
        (b"action=grant&text=" + b"x" * 40_000, "application/x-www-form-urlencoded", 413),
    ],
)
def test_a_form_of_another_form_decides_nothing(office: Tenant, body: bytes, media: str, status: int) -> None:
    approval = office.opened()
    path = link(office, approval).path
    answer = office.house.http.post(path, content=body, headers=OURS | {"Content-Type": media})
    assert answer.status_code == status
    assert now(office, approval) == approval
