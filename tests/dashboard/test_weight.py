"""No page is larger than 300 KB with all that it loads, however much agents write wherever they write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest

from onpurpose.core.access import Role, Scope
from onpurpose.core.call import MAX_NAME
from onpurpose.core.revision import Kind
from onpurpose.service import Service
from tests.app.world import EVERYTHING, candidate
from tests.dashboard.whole import Whole, whole

MOST_BYTES = 300_000
"""As in `tests.browser.chromium`."""

TRIES = 100

CALLS = 53
"""More than a page of the feed has."""

WORST = {"quotes": "'", "wide": "\N{GRINNING FACE}", "hidden": "\u202e", "lines": "\n"}
"""What takes most bytes once it stands in a page: escaped, encoded in a link, made visible, numbered."""

BASE = "require_approval:\n  - capability: pay\nallow:\n  - capability: '*'\n"
PURPOSE = "id: p\nstatus: active\n"
POLICY = "policy_id: q\npurpose_id: p\nmatch:\n  identity_required: false\ndecision: deny\nshadow_mode: true\n"

_LOADED = re.compile(r'<(?:link|script)[^>]+(?:href|src)="(/static/[^"]+)"')


@dataclass(frozen=True)
class Flooded:
    """A service that agents wrote as much to as they could, and an admin who looks at it."""

    client: httpx2.Client
    decisions: list[str]
    approvals: list[str]
    record: str

    def weight(self, path: str) -> int:
        """How many bytes the page and all that it loads have."""
        answer = self.client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200, answer.text
        loaded = {one for one in _LOADED.findall(answer.text) if not one.startswith("/static/icon")}
        return len(answer.content) + sum(len(self.client.get(one).content) for one in loaded)


def in_force(service: Service) -> None:
    """A policy that asks a person, one that allows, and a purpose with a policy in shadow."""
    control = service.control
    for kind, name, text in (
        (Kind.POLICY, "base", BASE),
        (Kind.PURPOSE, "p", PURPOSE),
        (Kind.PURPOSE_POLICY, "q", POLICY),
    ):
        control.library.save("default", kind, name, text, author="tests", reason="-", expected_version=0)
    promoted = [candidate(Kind.POLICY, "base")]
    control.promotions.promote("default", promoted, reason="-", by="tests", overrides=EVERYTHING)


def flood(at: Whole, char: str) -> list[dict[str, Any]]:
    """What an agent is answered that fills every field; the last calls with more than a page can show."""
    key = at.service.control.keyring.create_key("default", "agent", [Scope.EVALUATE], by="tests").secret
    at.service.workspaces.refresh()
    full = char * MAX_NAME

    def many(count: int) -> list[str]:
        return [f"{one}{full}"[:MAX_NAME] for one in range(count)]

    def call(number: int) -> dict[str, Any]:
        much = number >= CALLS - 2
        seldom = (f"look.{number}", f"{number}{full}")[number % 2]
        return {
            "agent_id": f"{number}{full}"[:MAX_NAME], "capability": "pay" if much else seldom,
            "purpose_id": "p" if number % 2 else full, "task_context": full, "risk_category": full,
            "data_source_id": full, "elements": many(70 if much else 1),
            "identity": {"user_id": full, "groups": many(70 if much else 1)},
            "policy_context": {f"{one}{full}": full for one in range(20 if much else 1)},
            "payload": {"text": char * 24_000, "list": [char] * 3_000, char: [0] * 4_000} if much else {},
        }  # fmt: skip

    calls = [call(number) for number in range(CALLS)]
    with httpx2.Client(base_url=at.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as agent:
        some = [calls[at : at + 10] for at in range(0, CALLS, 10)]
        answers = [agent.post("/v1/evaluate/batch", content=orjson.dumps({"calls": one})) for one in some]
    return [one for answer in answers for one in answer.raise_for_status().json()["answers"]]


def record_of(client: httpx2.Client, decision: str) -> str:
    """The path of the page of its record, once the feed has come so far."""
    for _ in range(TRIES):
        found = re.search(r"/audit/\w+/\d+", client.get(f"/audit?q={decision}").text)
        if found:
            return found.group()
    raise AssertionError("the feed does not come so far")


@pytest.fixture(params=list(WORST.values()), ids=list(WORST))
def flooded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Flooded]:
    with whole(tmp_path) as at:
        in_force(at.service)
        answers = flood(at, request.param)
        token = at.token(at.person(Role.ADMIN, "approvers"))
        with httpx2.Client(base_url=at.url, cookies={"onpurpose": token}, timeout=60) as client:
            yield Flooded(
                client,
                [one["decision_id"] for one in answers[-2:]],
                [one["approval"]["id"] for one in answers if one.get("approval")],
                record_of(client, answers[-1]["decision_id"]),
            )


def test_no_page_is_larger_than_300_kb_whatever_agents_write(flooded: Flooded) -> None:
    paths = [
        "/", "/decisions", "/policies", "/policies/policy/base", "/policies/purpose_policy/q", "/purposes",
        "/purposes/p", "/purposes/new", "/policies/new", "/approvals", "/audit", "/audit?kind=decision",
        flooded.record,
        *(f"/decisions/{one}" for one in flooded.decisions),
        *(f"/decisions/{one}/purpose" for one in flooded.decisions),
        *(f"/approvals/{one}" for one in flooded.approvals[:1]),
    ]  # fmt: skip
    weights = {path: flooded.weight(path) for path in paths}
    assert flooded.approvals
    assert {path: weight for path, weight in weights.items() if weight > MOST_BYTES} == {}
