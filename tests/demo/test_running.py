"""What a newcomer finds: a service that lives, with a fortnight behind it, and that leaves nothing when it ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import httpx2
import pytest

from onpurpose.adapters.sql.reader import SqliteArchive
from onpurpose.demo.cast import APPROVERS
from tests.demo.process import Shown, coming, every, stream

DAY = 86_400_000_000
TASKS = [
    ("banking", "user", "get_balance", {}),
    ("banking", "user", "read_file", {"file_path": "bill-of-the-test.txt"}),
    ("banking", "user", "send_money", {"recipient": "TEST-PAYEE", "amount": 12.5, "subject": "a recorded one"}),
    ("slack", "user", "get_channels", {}),
    ("slack", "injection", "post_webpage", {"url": "elsewhere.example", "content": "what was said"}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    (folder / "cases").mkdir()
    lines = [
        {"suite": suite, "task": f"t{n}", "kind": kind, "calls": [{"function": name, "args": args}]}
        for n, (suite, kind, name, args) in enumerate(TASKS)
    ]
    (folder / "cases" / "recorded.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture(scope="module")
def shown(folder: Path) -> Iterator[Shown]:
    """A demo of recorded calls that is stopped by Ctrl-C, and has ended in order then."""
    demo = Shown("--cases", "cases", "--decisions", "900", "--rate", "25", folder=folder)
    yield demo
    assert demo.interrupt() == 0, demo.output
    assert not any(folder.glob("onpurpose-demo-*")), "what was written is left"
    assert "Traceback" not in demo.output
    assert "WARNING" not in demo.output
    assert "ERROR" not in demo.output


@pytest.fixture(scope="module")
def admin(shown: Shown) -> Iterator[httpx2.Client]:
    with shown.client(shown.admin) as client:
        yield client


@pytest.fixture(scope="module")
def decisions(admin: httpx2.Client) -> list[dict[str, Any]]:
    return list(every(admin, "/v1/decisions"))


def test_it_is_ready(admin: httpx2.Client) -> None:
    assert admin.get("/readyz").status_code == 200


def test_the_feed_goes_back_a_fortnight_without_a_day_left_out(decisions: list[dict[str, Any]]) -> None:
    times = [one["at"] for one in decisions]
    assert times == sorted(times, reverse=True)
    assert {(times[0] - at) // DAY for at in times} >= set(range(14))
    assert len(decisions) >= 900


def test_every_outcome_occurs_and_most_calls_run(decisions: list[dict[str, Any]]) -> None:
    outcomes = [one["outcome"] for one in decisions]
    assert {*outcomes} == {"allow", "warn", "require_approval", "deny"}
    assert outcomes.count("allow") > len(outcomes) / 2


def test_recorded_calls_are_asked_word_for_word(admin: httpx2.Client, decisions: list[dict[str, Any]]) -> None:
    known = {f"{suite}.{name}": payload for suite, _, name, payload in TASKS}
    found = [one for one in decisions if one["agent_id"] in {"banking-agent", "slack-agent"}]
    assert {one["capability"] for one in found} <= known.keys()
    one = next(one for one in found if one["capability"] == "banking.read_file")
    told = admin.get(f"/v1/decisions/{one['id']}").raise_for_status().json()
    assert "bill-of-the-test.txt" in json.dumps(told)


@pytest.mark.parametrize(
    ("path", "ready", "missing"),
    [
        ("purpose-policies/support_lookup_business_hours", True, ""),
        ("purpose-policies/team_chat_by_staff", False, "3 days are needed"),
    ],
)
def test_one_policy_in_shadow_is_ready_and_another_is_not(
    admin: httpx2.Client, path: str, ready: bool, missing: str
) -> None:
    told = admin.get(f"/v1/{path}/shadow").raise_for_status().json()
    assert told["ready"] is ready
    assert missing in " ".join(told["missing"])
    assert told["numbers"]["match"]["count"] > 0
    assert told["numbers"]["uncertain"]["of"] > 0


def test_a_candidate_runs_in_shadow_beside_the_live_policy(admin: httpx2.Client) -> None:
    standing = admin.get("/v1/policies/payments_agent").raise_for_status().json()
    assert (standing["live"], standing["shadow"]) == (1, 2)
    assert admin.get("/v1/policies/payments_agent/shadow").json()["numbers"]["qualified"] > 0


@pytest.mark.parametrize("name", ["pii_export_by_stewards", "household_payments_by_customers"])
def test_two_purpose_policies_are_live(admin: httpx2.Client, name: str) -> None:
    assert admin.get(f"/v1/purpose-policies/{name}").raise_for_status().json()["live"] == 1


def test_approvals_stand_in_every_state_with_comments_and_delegations(admin: httpx2.Client) -> None:
    found = list(every(admin, "/v1/approvals"))
    assert {one["state"] for one in found} == {"pending", "granted", "denied", "expired", "cancelled", "used"}
    whole = [admin.get(f"/v1/approvals/{one['id']}").json() for one in found if one["state"] != "pending"]
    moves = {act["move"] for one in whole for act in one["history"]}
    assert moves >= {"grant", "deny", "comment", "delegate", "cancel", "expire", "use"}


def test_people_of_every_role_are_there(admin: httpx2.Client) -> None:
    users = {one["id"]: one for one in admin.get("/v1/users").raise_for_status().json()["items"]}
    assert {"you", "ada", "amara", "piet", "pablo", "grace", "ines", "vera"} == users.keys()
    assert "approvers" in users["you"]["groups"]


def test_the_log_is_whole(admin: httpx2.Client) -> None:
    report = admin.post("/v1/audit/verify").raise_for_status().json()
    assert report["ok"] is True, report


def test_agents_go_on_asking(admin: httpx2.Client) -> None:
    found = coming(admin, 30)
    assert len({one["id"] for one in found}) == 30
    assert len({one["agent_id"] for one in found}) > 2


def test_what_the_visitor_grants_runs_soon(shown: Shown, admin: httpx2.Client) -> None:
    waiting = [one for one in every(admin, "/v1/approvals") if one["state"] == "pending"]
    one = next(one["id"] for one in waiting if one["capability"] == "payments.transfer")
    with shown.client(shown.visitor) as visitor:
        visitor.post(f"/v1/approvals/{one}/grant", json={"text": "fine"}).raise_for_status()
    told = (admin.get(f"/v1/approvals/{one}").json()["state"] for _ in stream(admin))
    assert "used" in told


def test_the_sample_people_decide_some_of_it_and_leave_some(admin: httpx2.Client) -> None:
    def newest() -> Iterator[dict[str, Any]]:
        for one in islice(every(admin, "/v1/approvals"), 8):
            yield from admin.get(f"/v1/approvals/{one['id']}").json()["history"]

    decided = (any(act["via"] == "api" and act["by"] in APPROVERS for act in newest()) for _ in stream(admin))
    assert True in decided
    assert any(one["state"] == "pending" for one in every(admin, "/v1/approvals"))


def test_without_recorded_calls_made_up_ones_are_asked_and_a_named_file_is_kept(tmp_path: Path) -> None:
    demo = Shown("--decisions", "200", "--database", "kept.db", "--for", "0.2", folder=tmp_path)
    assert demo.wait() == 0, demo.output
    assert "made up" in demo.output
    assert "The demo has ended" in demo.output
    with contextlib.closing(SqliteArchive(tmp_path / "kept.db")) as log:
        calls = [json.loads(stored.body) for stored in log.records()]
    assert {one.get("agent_id") for one in calls} >= {"banking-agent", "slack-agent", "support-agent"}


def test_whoever_ends_it_while_it_writes_finds_nothing_left(tmp_path: Path) -> None:
    demo = Shown("--decisions", "100000", told="Writing", folder=tmp_path)
    assert demo.terminate() == 130
    assert "Traceback" not in demo.output
    assert not list(tmp_path.iterdir())
