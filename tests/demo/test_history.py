"""The history is drawn: the same seed and moment give the same, and every part of it is what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.adapters.passwords import Argon2Passwords
from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.engine import open_store
from onpurpose.adapters.sql.reader import SqliteArchive
from onpurpose.adapters.sql.sign_ins import SqlCredentials
from onpurpose.app.drafts import asks_to_be_live
from onpurpose.core.access import Role
from onpurpose.core.call import Call
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import Kind
from onpurpose.core.session import SCOPES
from onpurpose.demo import workspace
from onpurpose.demo.cast import APPROVERS, MEMBERS
from onpurpose.demo.classifier import Drawn
from onpurpose.demo.history import Story, last_calls, write_history
from onpurpose.demo.moved_clock import DAY, DAYS, MovedClock, moments
from onpurpose.demo.parts import Parts
from onpurpose.demo.repertoire import BANKING, CHAT, Repertoire, Weighed, recorded
from onpurpose.place import Options

NOW = 1_795_000_000_000_000
ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "src" / "onpurpose" / "demo" / "documents"
RECORDED = ROOT.parent / "shared" / "cases" / "agentdojo"


def write(folder: Path, seed: int) -> workspace.Keys:
    folder.mkdir(exist_ok=True)
    options = Options(database=str(folder / "demo.db"), environment={})
    return write_history(options, Story(decisions=200, seed=seed, now=NOW), Repertoire())


def told(folder: Path) -> list[tuple[Any, ...]]:
    """What a history's log says, but for when it was opened and for names that are drawn anew each time."""
    with closing(SqliteArchive(folder / "demo.db")) as log:
        bodies = [json.loads(stored.body) for stored in log.records()]
    fields = ("kind", "at", "agent_id", "capability", "outcome", "payload", "by", "state", "text", "to", "via")
    return [tuple(json.dumps(body.get(field)) for field in fields) for body in bodies if body["kind"] != "log.opened"]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, workspace.Keys]:
    """A small one of seed 5, and its keys."""
    folder = tmp_path_factory.mktemp("history")
    return folder, write(folder, 5)


@pytest.mark.parametrize("seed", [5, 6])
def test_the_same_seed_tells_the_same_history_and_another_one_does_not(
    history: tuple[Path, workspace.Keys], seed: int, tmp_path: Path
) -> None:
    write(tmp_path, seed)
    assert (told(tmp_path) == told(history[0])) is (seed == 5)


def test_the_printed_password_is_everybodys(history: tuple[Path, workspace.Keys]) -> None:
    folder, keys = history
    with closing(open_store(str(folder / "demo.db"))) as store:
        users = {user.id: user for user in SqlAccess(store).users(workspace.WORKSPACE)}
        assert {member.id: member.roles for member in MEMBERS} == {name: user.roles for name, user in users.items()}
        for name in users:
            kept = SqlCredentials(store).get(workspace.WORKSPACE, name)
            assert kept is not None
            assert kept.password is not None
            assert Argon2Passwords().matches(kept.password, keys.password)


def test_another_demo_has_another_password(history: tuple[Path, workspace.Keys], tmp_path: Path) -> None:
    assert open_workspace(tmp_path).password != history[1].password


def test_a_database_that_has_keys_is_not_taken(history: tuple[Path, workspace.Keys]) -> None:
    with pytest.raises(OnPurposeError, match="takes a new one"):
        open_workspace(history[0])


def open_workspace(folder: Path) -> workspace.Keys:
    options = Options(database=str(folder / "demo.db"), environment={})
    with Parts(options, MovedClock(NOW)) as parts:
        return workspace.open_workspace(parts)


@given(seed=st.integers(), count=st.integers(1, 300), now=st.integers(DAYS * DAY, 1 << 53))
def test_moments_come_in_order_and_none_lies_outside_the_fortnight(seed: int, count: int, now: int) -> None:
    found = moments(Random(seed), count, now)
    assert len(found) == count
    assert found == sorted(found)
    assert now - DAYS * DAY <= found[0]
    assert found[-1] < now


def test_more_is_asked_in_office_hours_than_at_night() -> None:
    hours = [at // 3_600_000_000 % 24 for at in moments(Random(1), 2000, NOW)]
    assert sum(8 <= hour < 18 for hour in hours) > 5 * sum(hour < 6 for hour in hours)


def test_a_clock_is_never_moved_back() -> None:
    clock = MovedClock(10)
    clock.move(12)
    clock.move(11)
    assert clock.now() == 12


# -- calls


@pytest.fixture
def cases(tmp_path: Path) -> Iterator[Path]:
    if not RECORDED.is_dir():
        pytest.skip(f"the recorded calls of AgentDojo are not there: {RECORDED}")
    return RECORDED


def test_real_calls_are_drawn_each_as_it_was_recorded(cases: Path) -> None:
    known = recorded(cases)
    assert {one.agent_id for one in known} == {BANKING, CHAT}
    repertoire, random = Repertoire(known), Random(2)
    drawn = [call for call in (repertoire.draw(random) for _ in range(500)) if call.agent_id in {BANKING, CHAT}]
    written = [(one.agent_id, one.capability, one.payload) for one in known]
    assert all((call.agent_id, call.capability, call.payload) in written for call in drawn)


def test_what_an_attacker_asked_for_is_rarer_than_what_a_user_did(tmp_path: Path) -> None:
    task = {"suite": "banking", "task": "t", "calls": [{"function": "get_iban", "args": {}}]}
    kinds = [{**task, "kind": "user"}, {**task, "kind": "injection"}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(one) + "\n" for one in kinds))
    user, attacker = recorded(tmp_path)
    assert attacker.weight < user.weight / 10


def test_of_an_agent_without_recorded_calls_made_up_ones_are_drawn() -> None:
    repertoire, random = Repertoire([Weighed(BANKING, "banking.get_iban", {}, 1.0)]), Random(3)
    drawn = [repertoire.draw(random) for _ in range(400)]
    assert {one.capability for one in drawn if one.agent_id == BANKING} == {"banking.get_iban"}
    assert len({one.capability for one in drawn if one.agent_id == CHAT}) > 3


def test_a_folder_without_a_call_that_can_be_asked_is_refused(tmp_path: Path) -> None:
    (tmp_path / "calls.jsonl").write_text('{"capability": "a.b", "payload": {}, "agent_id": "another"}\n')
    with pytest.raises(OnPurposeError, match="holds no recorded calls"):
        recorded(tmp_path)


def test_the_last_calls_are_of_different_kinds() -> None:
    assert len({call.capability for call in last_calls()}) == len(last_calls())


# -- people and documents


def test_every_role_is_somebodys() -> None:
    assert {role for member in MEMBERS for role in member.roles} == set(Role) == set(SCOPES)


def test_two_at_least_may_decide_whatever_asks_without_the_visitor() -> None:
    for group in ("approvers", "data-stewards"):
        assert sum(group in member.groups for member in MEMBERS if member.id in APPROVERS) >= 2


@pytest.mark.parametrize("name", ["banking", "payments_agent", "shell_agent", "slack", "support_agent"])
def test_the_policies_are_those_of_the_project(name: str) -> None:
    assert (DOCUMENTS / "policies" / f"{name}.yaml").read_bytes() == (ROOT / "policies" / f"{name}.yaml").read_bytes()


def test_the_index_is_that_of_the_project() -> None:
    assert (DOCUMENTS / "index.yaml").read_bytes() == (ROOT / "policies" / "index.yaml").read_bytes()


@pytest.mark.parametrize("file", sorted((DOCUMENTS / "purpose-policies").iterdir()), ids=lambda file: file.stem)
def test_every_purpose_policy_begins_in_shadow(file: Path) -> None:
    assert asks_to_be_live(Kind.PURPOSE_POLICY, file.stem, file.read_text("utf-8")) is False


def test_keys_are_in_no_trace() -> None:
    keys = workspace.Keys(
        password="op_en", admin="op_secret", visitor="op_mine", agents="op_theirs", agents_key=None, approvers={}
    )  # type: ignore[arg-type]  # not looked at
    assert "op_" not in repr(keys)


# -- the stand-in for a classifier


def views(at: int, purpose: str) -> list[float]:
    clock = MovedClock(at)
    classifier = Drawn(clock, drifts_at=NOW)
    found = []
    for second in range(400):
        clock.move(at + second * 1_000_000)
        found.append(classifier.classify(Call("a", "customers.lookup", {}, purpose_id=purpose)).confidence)
    return found


def test_it_is_less_sure_of_one_purpose_once_it_drifts() -> None:
    before, after = views(NOW - DAY, "customer_support_lookup"), views(NOW, "customer_support_lookup")
    assert all(0 <= one <= 1 for one in before + after)
    assert sum(before) / len(before) > sum(after) / len(after) + 0.03
    assert min(views(NOW, "team_chat")) >= min(before)


@pytest.mark.parametrize(
    ("capability", "found"),
    [("customers.export", "export"), ("customers.lookup", "lookup"), ("shell.execute", "admin"),
     ("refunds.issue", "write"), ("a.b", "other")],
)  # fmt: skip
def test_its_word_is_what_the_tools_name_says(capability: str, found: str) -> None:
    intent = Drawn(MovedClock(0), drifts_at=1).classify(Call("a", capability))
    assert (intent.label, intent.intent_class) == (found, found)
