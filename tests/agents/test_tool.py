"""A safe tool gates its action, and runs on exactly what was judged."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from typing import Any

import pytest

from onpurpose import ActionDenied, ApprovalRequired, Gate, Identity, Outcome, SafeTool, parse_policy
from onpurpose.adapters.memory import MemoryLedger
from onpurpose.core.decision import Code
from onpurpose.core.record import Receipt, Record
from tests.app.logs import RECEIPT, Scripted, decisions

POLICY = parse_policy(
    """\
deny:
  - capability: shell.execute
    contains: "rm -rf"
require_approval:
  - capability: shell.execute
    contains: "systemctl"
  - capability: shell.execute
    environment: production
    contains: "deploy"
allow:
  - capability: shell.execute
""",
    "shell.yaml",
)


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger()


@pytest.fixture
def gate(ledger: MemoryLedger) -> Gate:
    return Gate(POLICY, ledger, reload_seconds=3600)


class Shell:
    """A shell that notes what it was told to run."""

    def __init__(self) -> None:
        self.ran: list[Any] = []

    def __call__(self, action: Any) -> str:
        self.ran.append(action)
        return f"ran {action}"


@pytest.mark.parametrize("action", [{"command": "ls"}, "ls -la"])
def test_a_permitted_action_runs(gate: Gate, action: Any) -> None:
    shell = Shell()
    assert gate.tool(shell, capability="shell.execute").run(action) == f"ran {action}"
    assert shell.ran == [action]


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ({"command": "rm -rf /"}, ActionDenied),
        ("rm -rf /", ActionDenied),
        ({"command": "systemctl stop x"}, ApprovalRequired),
        ("systemctl stop x", ApprovalRequired),
        (None, ActionDenied),
        (["ls"], ActionDenied),
        (7, ActionDenied),
    ],
)
def test_a_refused_action_does_not_run(gate: Gate, action: Any, error: type[Exception]) -> None:
    shell = Shell()
    with pytest.raises(error) as caught:
        gate.tool(shell, "shell.execute").run(action)
    assert type(caught.value) is error
    assert caught.value.result.call.payload == action  # type: ignore[attr-defined]
    assert shell.ran == []


def test_the_document_s_call_runs_as_it_stands(gate: Gate, ledger: MemoryLedger) -> None:
    safe_tool = gate.tool(Shell(), capability="shell.execute")
    action = {"command": "ls"}
    safe_tool.run(action, policy_context={"environment": "production", "user_role": "engineer", "tenant": "acme-corp"})
    assert decisions(ledger)[0]["policy_context"] == {
        "environment": "production",
        "user_role": "engineer",
        "tenant": "acme-corp",
    }


@pytest.mark.parametrize(
    ("own", "given", "merged"),
    [
        (None, None, None),
        ({"environment": "dev"}, None, {"environment": "dev"}),
        (None, {"environment": "production"}, {"environment": "production"}),
        ({"tenant": "a", "user_role": "x"}, {"user_role": "y"}, {"tenant": "a", "user_role": "y"}),
        (lambda: {"tenant": "a"}, {"user_role": "x"}, {"tenant": "a", "user_role": "x"}),
        (lambda: {"tenant": "a"}, None, {"tenant": "a"}),
        (lambda: None, {"user_role": "x"}, {"user_role": "x"}),
        ({"environment": "dev"}, {}, {"environment": "dev"}),
    ],
)  # fmt: skip
def test_the_context_of_a_run_is_laid_over_the_tool_s_own(
    gate: Gate, ledger: MemoryLedger, own: Any, given: Any, merged: Any
) -> None:
    gate.tool(Shell(), "shell.execute", policy_context=own).run({"command": "ls"}, given)
    assert decisions(ledger)[0]["policy_context"] == merged


def test_the_context_of_a_run_decides(gate: Gate) -> None:
    tool = gate.tool(Shell(), "shell.execute", policy_context={"environment": "dev"})
    assert tool.run({"command": "deploy"}).startswith("ran")
    with pytest.raises(ApprovalRequired):
        tool.run({"command": "deploy"}, policy_context={"environment": "production"})
    assert tool.run({"command": "deploy"}).startswith("ran")


def test_fields_of_a_run_replace_the_tool_s_own(gate: Gate, ledger: MemoryLedger) -> None:
    tool = gate.tool(Shell(), "shell.execute", agent_id="ops", task_context="shell", identity=Identity("ann"))
    tool.run("ls")
    tool.run("ls", agent_id="night", identity=Identity("bob"))
    seen = [(one["agent_id"], one["task_context"], one["identity"]["user_id"]) for one in decisions(ledger)]
    assert seen == [("ops", "shell", "ann"), ("night", "shell", "bob")]


def test_an_unknown_field_is_a_type_error_before_anything_is_recorded(gate: Gate, ledger: MemoryLedger) -> None:
    shell = Shell()
    with pytest.raises(TypeError):
        gate.tool(shell, "shell.execute").run("ls", polici_context={})
    assert (shell.ran, decisions(ledger)) == ([], [])


def test_check_asks_and_records_without_running(gate: Gate, ledger: MemoryLedger) -> None:
    shell = Shell()
    tool = gate.tool(shell, "shell.execute")
    assert [tool.check(action).outcome for action in ("ls", "rm -rf /")] == [Outcome.ALLOW, Outcome.DENY]
    assert (shell.ran, len(decisions(ledger))) == ([], 2)


def test_a_tool_may_name_its_policy(gate: Gate, tmp_path: Any) -> None:
    path = tmp_path / "closed.yaml"
    path.write_text("deny:\n  - capability: '*'\n", encoding="utf-8")
    with pytest.raises(ActionDenied):
        gate.tool(Shell(), "shell.execute", policy_path=path).run("ls")


# -- what is judged is what runs


def test_the_context_function_cannot_change_what_runs(gate: Gate) -> None:
    action = {"command": "ls"}
    shell = Shell()

    def context() -> dict[str, object]:
        action["command"] = "rm -rf /"
        return {}

    gate.tool(shell, "shell.execute", policy_context=context).run(action)
    assert shell.ran == [{"command": "ls"}]


def test_another_thread_cannot_change_what_runs_once_it_is_judged() -> None:
    action = {"argv": ["ls"]}
    judged, changed = threading.Event(), threading.Event()

    def written_when_changed(record: Record) -> Future[Receipt]:
        judged.set()
        assert changed.wait(10)
        future: Future[Receipt] = Future()
        future.set_result(RECEIPT)
        return future

    shell = Shell()
    ledger = Scripted(written_when_changed)
    tool = Gate(POLICY, ledger, reload_seconds=3600).tool(shell, "shell.execute")
    running = threading.Thread(target=tool.run, args=(action,))
    running.start()
    assert judged.wait(10)
    action["argv"][:] = ["rm -rf /"]
    changed.set()
    running.join(10)
    assert shell.ran == [{"argv": ["ls"]}]
    assert ledger.given[0]["payload"] == {"argv": ["ls"]}


def test_the_tool_cannot_change_the_caller_s_action(gate: Gate) -> None:
    action: dict[str, Any] = {"argv": ["ls"]}
    gate.tool(lambda given: given["argv"].append("-la"), "shell.execute").run(action)
    assert action == {"argv": ["ls"]}


def test_an_action_that_cannot_be_copied_is_denied_and_recorded(gate: Gate, ledger: MemoryLedger) -> None:
    deep: Any = "rm"
    for _ in range(100_000):
        deep = [deep]
    shell = Shell()
    for action in ({"x": deep}, {"lock": threading.Lock()}):
        with pytest.raises(ActionDenied) as caught:
            gate.tool(shell, "shell.execute").run(action)
        assert caught.value.result.reasons[0].code is Code.MALFORMED_CALL
    assert [record["outcome"] for record in decisions(ledger)] == ["deny", "deny"]
    assert shell.ran == []


# -- on an event loop


def test_a_coroutine_function_runs_behind_the_gate(gate: Gate) -> None:
    ran: list[Any] = []

    async def shell(action: Any) -> str:
        await asyncio.sleep(0)
        ran.append(action)
        return "done"

    tool: SafeTool[Any] = gate.tool(shell, "shell.execute")
    assert asyncio.run(tool.run_async({"command": "ls"}, {"environment": "dev"})) == "done"
    with pytest.raises(ActionDenied):
        asyncio.run(tool.run_async({"command": "rm -rf /"}))
    assert ran == [{"command": "ls"}]


def test_an_action_that_cannot_be_copied_is_denied_on_a_loop_too(gate: Gate) -> None:
    async def shell(action: Any) -> None:
        raise AssertionError("entered")

    with pytest.raises(ActionDenied):
        asyncio.run(gate.tool(shell, "shell.execute").run_async({"lock": threading.Lock()}))
