"""Whatever an agent writes in whatever field, and whatever stands in an address, runs on no page of the service."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from onpurpose.core.access import Role, Scope
from tests.browser.chromium import Browsing, Window
from tests.dashboard.test_weight import in_force, record_of
from tests.dashboard.whole import Whole, whole

RUNS = {
    "element": "<script>hit=1</script><img src=x onerror=hit=1><svg onload=hit=1><iframe srcdoc=x><hit-me>",
    "end": "</textarea></title></script></pre></option></dialog><svg onload=hit=1><hit-me>",
    "attribute": '"\'><hit-me onclick=hit=1> x=" autofocus onfocus=\'hit=1\' hx-get="/" hx-trigger=load',
    "address": "javascript:hit=1//https://evil.example/\\evil",
    "event": "x\n\ndata: <hit-me>\nevent: message\n\n",
    "template": "{{ 7 * 7 }}{% raw %}${7*7}<hit-me>",
}
"""What would run, or become a part of the page, where a page took it for more than text."""


@dataclass(frozen=True)
class Attacked:
    """A service after the attack, a window of its admin, and what the pages of what was decided are called."""

    at: Whole
    window: Window
    paths: list[str]


def calls(text: str) -> list[dict[str, Any]]:
    """Calls with the text in every field: one that is asked about, one of a name that is none, one of no purpose."""
    full: dict[str, Any] = {
        "agent_id": text, "capability": "look", "purpose_id": "p", "data_source_id": text, "elements": [text, "t.c"],
        "task_context": text, "risk_category": text, "conversation": text,
        "identity": {"user_id": text, "groups": [text]},
        "policy_context": {"environment": text, "tenant": text, text: text}, "payload": {"amount": text, text: [text]},
    }  # fmt: skip
    return [
        full,
        full | {"capability": "pay"},
        full | {"capability": text, "purpose_id": text},
        full | {"payload": text},
    ]


@pytest.fixture(scope="module")
def paths_and_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Whole, str, list[str]]]:
    with whole(tmp_path_factory.mktemp("whole")) as at:
        in_force(at.service)
        key = at.service.control.keyring.create_key("default", "agent", [Scope.EVALUATE], by="tests").secret
        at.service.workspaces.refresh()
        with httpx2.Client(base_url=at.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as agent:
            sent = [call for text in RUNS.values() for call in calls(text)]
            answer = agent.post("/v1/evaluate/batch", json={"calls": sent}).raise_for_status()
        answers = answer.json()["answers"]
        token = at.token(at.person(Role.ADMIN, "approvers"))
        with httpx2.Client(base_url=at.url, cookies={"onpurpose": token}, timeout=60) as admin:
            last = record_of(admin, answers[-1]["decision_id"])
        decided = [one["decision_id"] for one in answers]
        asked = [one["approval"]["id"] for one in answers if one.get("approval")]
        yield at, token, [
            *(f"/decisions/{one}" for one in decided),
            *(f"/decisions/{one}/purpose" for one in decided[:: len(calls(""))]),
            *(f"/approvals/{one}" for one in asked),
            last,
        ]  # fmt: skip


@pytest.fixture
def attacked(browsing: Browsing, paths_and_service: tuple[Whole, str, list[str]]) -> Iterator[Attacked]:
    at, token, paths = paths_and_service
    window = browsing.open(at.url + "/account", cookies={"onpurpose": token})
    yield Attacked(at, window, paths)
    window.page.close()


def ran(window: Window) -> list[str]:
    """What of `RUNS` became more than text on the page."""
    found: list[str] = window.page.evaluate(
        """[...document.querySelectorAll("hit-me, main script:not([type='application/json']), main img, iframe,"
        + " svg[onload], [onclick], [onfocus], [onerror], [hx-trigger=load]")].map((one) => one.outerHTML)
        .concat([...document.querySelectorAll("[href], [src], [action], [formaction]")]
          .map((one) => one.href || one.src || one.action || one.formAction)
          .filter((to) => typeof to === "string" && to && new URL(to, location).origin !== location.origin))
        .concat("hit" in window ? ["it ran"] : [])"""
    )
    return found


def visit(attacked: Attacked, path: str) -> list[str]:
    """What ran on the page, with everything on it unfolded."""
    page = attacked.window.page
    page.goto(attacked.at.url + path)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    return [f"{path}: {one}" for one in [*ran(attacked.window), *page.evaluate("__seen.refused")]]


def test_nothing_that_an_agent_writes_runs_on_any_page(attacked: Attacked) -> None:
    lists = [
        "/", "/?over=30d", "/decisions", "/decisions?blocked=yes", "/policies", "/policies/policy/base",
        "/policies/purpose_policy/q", "/policies/new", "/purposes", "/purposes/p", "/purposes/new", "/approvals",
        "/approvals?mine=1", "/audit", "/audit?kind=decision", "/settings/keys",
    ]  # fmt: skip
    assert [one for path in [*lists, *attacked.paths] for one in visit(attacked, path)] == []
    attacked.window.check()


@pytest.mark.parametrize("text", RUNS.values(), ids=RUNS.keys())
def test_nothing_that_stands_in_an_address_runs_on_any_page(attacked: Attacked, text: str) -> None:
    given = quote(text, safe="")
    asked = {
        "/": ["over"], "/decisions": ["agent", "user", "capability", "purpose", "outcome", "policy", "since", "before"],
        "/policies": ["after"], "/policies/policy/base": ["revision", "slice", "saved", "done"],
        "/policies/policy/base/history": ["a", "b", "before"], "/policies/new": ["purpose"], "/purposes": ["after"],
        "/purposes/p": ["done"], "/approvals": ["state", "agent", "capability", "before", "mine"],
        "/audit": ["q", "kind", "by", "since", "until", "of", "before"], "/audit/verify": ["busy"],
    }  # fmt: skip
    paths = [
        *(f"{path}?{'&'.join(f'{name}={given}' for name in names)}" for path, names in asked.items()),
        *(f"/decisions?{name}={given}" for name in ("agent", "policy")),
        f"/approvals?agent={given}", f"/audit?q={given}",
        *(f"{path}/{given}" for path in ("", "/decisions", "/policies/policy", "/purposes", "/approvals", "/audit/x")),
    ]  # fmt: skip
    assert [one for path in paths for one in visit(attacked, path)] == []
    attacked.window.expected += ["404", "422"]
    attacked.window.check()


def test_nothing_in_an_address_runs_where_people_sign_in(browsing: Browsing, attacked: Attacked) -> None:
    visitor = Attacked(attacked.at, browsing.open(attacked.at.url + "/sign-in"), [])
    texts = [quote(text, safe="") for text in RUNS.values()]
    assert [one for text in texts for one in visit(visitor, f"/sign-in?next={text}")] == []
    visitor.window.check()


def test_what_would_run_is_found(attacked: Attacked) -> None:
    attacked.window.page.evaluate(
        "document.querySelector('main').innerHTML = '<hit-me></hit-me><a href=javascript:0>x</a>'"
    )
    assert len(ran(attacked.window)) == 2
