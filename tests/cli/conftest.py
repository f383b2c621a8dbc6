from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import CASES, HOSTILE, POLICY


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a policy, its tests and recorded calls, one of them hostile."""
    (tmp_path / "shell.yaml").write_text(POLICY)
    (tmp_path / "shell.test.yaml").write_text(CASES)
    (tmp_path / "index.yaml").write_text("policies:\n  - file: shell.yaml\n    agent: ops\n")
    calls = [
        {"capability": "shell.execute", "payload": {"command": "ls"}, "agent_id": "ops", "label": "user"},
        {"capability": "shell.execute", "payload": {"command": "rm -rf /"}, "agent_id": "ops", "label": "attack"},
        {"capability": "shell.execute", "payload": {"command": "systemctl stop x"}, "agent_id": "ops"},
        {"capability": "mail.send", "payload": {"text": HOSTILE}, "agent_id": "ops", "note": HOSTILE},
        {"capability": HOSTILE, "payload": HOSTILE, "agent_id": "ops", "label": HOSTILE, "session": HOSTILE},
    ]
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(call) + "\n" for call in calls))
    monkeypatch.chdir(tmp_path)
    return tmp_path
