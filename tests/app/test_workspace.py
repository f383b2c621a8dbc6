"""What is in force in a workspace, and the same road that judges by it."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import orjson
import pytest

from onpurpose.adapters.clock import Ids, SystemClock
from onpurpose.adapters.elements import quick_elements
from onpurpose.adapters.files import FileSource
from onpurpose.adapters.memory import MemoryLedger
from onpurpose.adapters.memory_store import MemoryAccess, MemoryDocuments
from onpurpose.app.gate import Gate
from onpurpose.app.masking import Masking
from onpurpose.app.policies import Policies
from onpurpose.app.workspace import STALE_SECONDS, Workspaces
from onpurpose.core.access import Workspace
from onpurpose.core.call import Call, Identity
from onpurpose.core.decision import Code
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass
from onpurpose.core.result import Result
from onpurpose.core.revision import Change, Kind, MissingError, StoreError

SHELL = "deny:\n  - capability: shell.execute\n    contains: rm -rf\nallow:\n  - capability: shell.execute\n"
STRICT = "deny:\n  - capability: shell.execute\n"
LOOKUP = "id: lookup\nstatus: active\nelements: [users.name]\n"
INDEX = "policies:\n  - {file: strict.yaml, environment: production}\n  - file: shell.yaml\n"
POLICY = "purpose_id: lookup\nmatch: {user_groups: [support]}\ndecision: allow\n"
ANN = Identity("ann", ("support",))


class Bench:
    """A store, a log and a gate over them."""

    def __init__(self, documents: MemoryDocuments | None = None, **parts: Any) -> None:
        self.documents = documents or MemoryDocuments()
        self.access = MemoryAccess(self.documents)
        self.access.put(Workspace(id="acme", name="Acme", created_at=0), notes=())
        self.now = 100.0
        self.workspaces = Workspaces(self.documents, readers=quick_elements, elapsed=lambda: self.now)
        self.ledger = MemoryLedger()
        self.gate = Gate(
            Policies(FileSource), self.ledger, clock=SystemClock(), new_id=Ids().new, masking=Masking(), **parts
        )
        self.versions: dict[tuple[Kind, str], int] = {}

    def put(self, kind: Kind, name: str, text: str, *, live: bool = True) -> None:
        standing = next(
            (s for s in self.documents.contents("acme").standings if (s.kind, s.name) == (kind, name)), None
        )
        number = (standing.newest if standing else 0) + 1
        change = Change(
            kind=kind, name=name, expected=standing.version if standing else 0, text=text,
            live=number if live else (standing.live if standing else None), shadow=None if live else number,
        )  # fmt: skip
        self.documents.change("acme", [change], author="ann", at=1, reason="test", notes=())
        self.workspaces.refresh()

    def ask(self, command: str = "ls", policy: str | None = None, **fields: Any) -> Result:
        call = Call(agent_id="ops", capability="shell.execute", payload={"command": command}, **fields)
        held = self.workspaces["acme"]
        return self.gate.begin_in(held, call, policy, key="k1", stale=self.workspaces.stale()).finish()

    def last(self) -> dict[str, Any]:
        body: dict[str, Any] = orjson.loads(self.ledger.records()[-1].body)
        return body


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.workspaces.refresh()
    return made


def test_an_empty_workspace_denies(bench: Bench) -> None:
    assert bench.ask().outcome is Outcome.DENY


def test_a_live_policy_decides_and_its_revision_stands_in_the_record(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    assert bench.ask().outcome is Outcome.ALLOW
    assert bench.ask("rm -rf /").outcome is Outcome.DENY
    digest = hashlib.sha256(SHELL.encode()).hexdigest()
    assert bench.last()["policies"] == [{"source": "shell@1", "digest": digest}]
    assert (bench.last()["workspace"], bench.last()["key"]) == ("acme", "k1")


def test_of_several_policies_the_strictest_decides(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    bench.put(Kind.POLICY, "strict", STRICT)
    assert bench.ask().outcome is Outcome.DENY
    assert bench.ask(policy="shell").outcome is Outcome.ALLOW
    assert bench.ask(policy="gone").outcome is Outcome.DENY


def test_an_index_chooses(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    bench.put(Kind.POLICY, "strict", STRICT)
    bench.put(Kind.INDEX, "index", INDEX)
    assert bench.ask(policy_context={"environment": "production"}).outcome is Outcome.DENY
    assert bench.ask(policy_context={"environment": "staging"}).outcome is Outcome.ALLOW
    assert bench.ask().outcome is Outcome.DENY


def test_a_purpose_that_is_unknown_is_denied_and_a_known_one_is_judged(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    bench.put(Kind.PURPOSE, "lookup", LOOKUP)
    bench.put(Kind.PURPOSE_POLICY, "lookup", POLICY)
    asked: dict[str, Any] = {"identity": ANN, "elements": ("users.name",)}
    assert bench.ask(purpose_id="other", **asked).reasons[0].code == "unknown_purpose"
    allowed = bench.ask(purpose_id="lookup", **asked)
    assert (allowed.outcome, allowed.ttl_seconds) == (Outcome.ALLOW, 300)
    assert allowed.purpose is not None
    assert allowed.purpose.id == "lookup"
    assert bench.last()["purpose_policies"] == [{"name": "lookup", "revision": 1}]
    assert bench.ask(purpose_id="lookup", identity=ANN, elements=("users.ssn",)).outcome is Outcome.DENY


def test_a_workspace_without_purposes_denies_whatever_purpose_is_declared(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    result = bench.ask(purpose_id="lookup")
    assert (result.outcome, result.reasons[0].code) == (Outcome.DENY, "unknown_purpose")


def test_what_is_in_shadow_is_judged_and_recorded_and_decides_nothing(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    bench.put(Kind.POLICY, "shell", STRICT, live=False)
    result = bench.ask()
    assert result.outcome is Outcome.ALLOW
    (shadow,) = result.shadows
    assert (shadow.policy.name, shadow.policy.revision, shadow.would, shadow.newly_blocked) == (
        "shell", 2, Outcome.DENY, True,
    )  # fmt: skip
    assert bench.last()["shadow"][0]["would"] == "deny"


def test_the_settings_of_a_workspace_count(bench: Bench) -> None:
    bench.put(Kind.SETTINGS, "settings", "unmatched: allow\n")
    assert bench.ask().outcome is Outcome.ALLOW
    bench.put(Kind.SETTINGS, "settings", "purpose_required: true\n")
    assert bench.ask().reasons[0].code == "purpose_required"


SQL = """
sql:
  - {capability: shell.execute, path: command, dialect: postgres, schema: {users: [id, name, ssn]}}
"""


@pytest.mark.parametrize(
    ("statement", "given", "touched", "permitted"),
    [
        ("SELECT name FROM users", None, ["users.name"], True),
        ("SELECT name FROM users", ("users.name",), ["users.name"], True),
        ("SELECT ssn FROM users", None, ["users.ssn"], False),
        ("SELECT ssn FROM users", ("users.name",), ["users.name", "users.ssn"], False),
        ("SELECT name FROM users", ("users.ssn",), ["users.ssn", "users.name"], False),
        ("SELECT * FROM elsewhere", ("users.name",), None, False),
        ("", (), None, False),
    ],
)
def test_what_sql_touches_must_lie_within_the_purpose_beside_what_the_application_says(
    bench: Bench, statement: str, given: tuple[str, ...] | None, touched: list[str] | None, permitted: bool
) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    bench.put(Kind.PURPOSE, "lookup", LOOKUP)
    bench.put(Kind.PURPOSE_POLICY, "lookup", POLICY)
    bench.put(Kind.SETTINGS, "settings", SQL)
    result = bench.ask(statement, identity=ANN, purpose_id="lookup", elements=given)
    assert result.allowed is permitted
    assert (permitted, result.reasons[0].code) in {(False, "element_outside_purpose"), (True, "rule_matched")}
    assert bench.last().get("elements") == touched
    assert result.call.elements == (None if touched is None else tuple(touched))
    assert bench.last().get("elements_given") == (None if given is None else list(given))
    assert ("elements_untold" in bench.last()) is (touched is None)


def test_settings_that_did_not_change_are_not_read_again(bench: Bench) -> None:
    bench.put(Kind.SETTINGS, "settings", SQL)
    before = bench.workspaces["acme"].touching
    bench.put(Kind.POLICY, "shell", SHELL)
    assert bench.workspaces["acme"].touching is before


def test_what_can_no_longer_be_read_denies_everything(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", "allow: 7\n")
    result = bench.ask()
    assert (result.outcome, result.reasons[0].code) == (Outcome.DENY, "policy_unreadable")


@pytest.mark.parametrize("kind", [Kind.POLICY, Kind.PURPOSE_POLICY])
def test_what_can_not_be_read_in_shadow_changes_nothing(bench: Bench, kind: Kind) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    bench.put(kind, "other", "nonsense: 7\n", live=False)
    assert bench.ask().outcome is Outcome.ALLOW


def test_a_policy_that_is_not_there_is_recorded_by_the_name_that_was_asked_for_and_not_remembered(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    held = bench.workspaces["acme"]
    asked = [f"strange{number}" for number in range(5)]
    told = []
    for name in asked:
        assert bench.ask(policy=name).reasons[0].code is Code.POLICY_UNREADABLE
        told += [policy["source"] for policy in bench.last()["policies"]]
    assert told == asked
    assert held.select("strange0", "ops", None) is not held.select("strange0", "ops", None)
    assert held.select("shell", "ops", None) is held.select("shell", "ops", None)
    assert held.select(None, "ops", None) is held.select(None, "ops", None)


def test_what_did_not_change_is_not_compiled_again(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    before = bench.workspaces["acme"].select("shell", "ops", None).states
    bench.put(Kind.POLICY, "strict", STRICT)
    after = bench.workspaces["acme"].select("shell", "ops", None).states
    assert after[0] is before[0]


def test_a_process_that_can_not_ask_the_store_says_so(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    bench.ask()
    assert "stale_seconds" not in bench.last()
    bench.now += STALE_SECONDS + 1
    assert bench.ask().outcome is Outcome.ALLOW
    assert bench.last()["stale_seconds"] == STALE_SECONDS + 1
    bench.workspaces.refresh()
    assert bench.workspaces.stale() == 0


def test_there_is_nothing_in_force_where_there_is_no_workspace(bench: Bench) -> None:
    with pytest.raises(MissingError):
        bench.workspaces["other"]


class Away(MemoryDocuments):
    """A store that goes away."""

    away = False

    def versions(self) -> Any:
        if self.away:
            raise StoreError("away")
        return super().versions()


def test_a_failing_store_changes_nothing_in_force() -> None:
    bench = Bench(documents=(documents := Away()))
    bench.workspaces.refresh()
    bench.put(Kind.POLICY, "shell", SHELL)
    documents.away = True
    with pytest.raises(StoreError):
        bench.workspaces.refresh()
    assert bench.ask().outcome is Outcome.ALLOW


def test_what_a_look_found_is_told_before_another_look_returns() -> None:
    """Keys are taken up by such a call: whoever made one finds it when the look after it returns."""
    bench = Bench()
    bench.workspaces.refresh()
    began, go_on, told = threading.Event(), threading.Event(), list[str]()

    def tell() -> None:
        began.set()
        go_on.wait(10)
        told.append("all")

    bench.workspaces.changed.append(tell)
    bench.access.put(Workspace(id="other", name="Other", created_at=0), notes=())
    first = threading.Thread(target=bench.workspaces.refresh)
    first.start()
    assert began.wait(10)
    found: list[list[str]] = []

    def look() -> None:
        bench.workspaces.refresh()
        found.append([*told])

    second = threading.Thread(target=look)
    second.start()
    second.join(0.05)  # it has nothing new to take up, and waits all the same
    go_on.set()
    first.join()
    second.join()
    assert found == [["all"]]


def test_what_could_not_be_told_is_told_by_the_next_look_and_until_then_nothing_is_confirmed() -> None:
    bench = Bench()
    bench.workspaces.refresh()
    fails = [StoreError("away"), None]

    def tell() -> None:
        if (error := fails.pop(0)) is not None:
            raise error

    bench.workspaces.changed.append(tell)
    bench.access.put(Workspace(id="other", name="Other", created_at=0), notes=())
    bench.now += STALE_SECONDS + 1
    with pytest.raises(StoreError):
        bench.workspaces.refresh()
    assert bench.workspaces.stale() > 0
    bench.workspaces.refresh()
    assert (fails, bench.workspaces.stale()) == ([], 0)


class Sure:
    """A classifier that is always of one mind, or breaks."""

    def __init__(self, *, broken: bool = False) -> None:
        self._broken = broken

    def classify(self, call: Call) -> Intent:
        if self._broken:
            raise RuntimeError("no view")
        return Intent(label="lookup", intent_class=IntentClass.LOOKUP, confidence=0.5)


def test_the_view_of_a_classifier_is_recorded_and_a_broken_one_changes_nothing() -> None:
    for broken in (False, True):
        bench = Bench(classifier=Sure(broken=broken))
        bench.workspaces.refresh()
        bench.put(Kind.POLICY, "shell", SHELL)
        result = bench.ask()
        assert result.outcome is Outcome.ALLOW
        assert (result.intent is None) is broken
        seen = bench.last().get("intent")
        assert seen == (None if broken else {"label": "lookup", "class": "lookup", "confidence": 0.5})


def test_a_call_is_decided_alike_wherever_it_is_asked(bench: Bench, tmp_path: Any) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    file = tmp_path / "shell.yaml"
    file.write_text(SHELL)
    for command in ("ls", "rm -rf /", "rm  -rf /", "RM -RF"):
        here = bench.gate.evaluate("ops", "shell.execute", {"command": command}, policy_path=file)
        there = bench.ask(command)
        assert (here.outcome, here.digest) == (there.outcome, there.digest)
        assert [reason.code for reason in here.reasons] == [reason.code for reason in there.reasons]


def test_a_call_that_no_policy_covers_is_told_so(bench: Bench) -> None:
    bench.put(Kind.POLICY, "shell", SHELL)
    bench.put(Kind.INDEX, "index", "policies:\n  - file: shell.yaml\n    agent: somebody-else\n")
    result = bench.ask()
    assert (result.outcome, result.reasons[0].code) == (Outcome.DENY, "no_policy")
    assert result.reasons[0].message == "no policy is in force for this call"
