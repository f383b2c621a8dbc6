"""The example agents, run as a newcomer runs them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.policies.project import ROOT


def run(example: str, folder: Path) -> str:
    """What the example prints, run in an empty folder so that it is told nothing by where it stands."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / example), str(folder / "log.db")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def verdicts(output: str) -> list[str]:
    """What became of each step, in order."""
    heads = ("ran:", "waits for a person", "refused")
    return [head for line in output.splitlines() for head in heads if line.startswith(f"  {head}")]


def test_the_shell_agent_is_refused_what_it_was_talked_into(tmp_path: Path) -> None:
    output = run("shell_agent.py", tmp_path)

    ran, waits, refused = "ran:", "waits for a person", "refused"
    assert verdicts(output) == [ran, ran, ran, refused, refused, waits, waits, ran, ran]
    assert "shell_agent.yaml:4" in output


def test_the_shell_agents_tools_are_not_entered_for_a_refused_call(tmp_path: Path) -> None:
    last = run("shell_agent.py", tmp_path).splitlines()[-1]

    assert last == (
        "5 of 9 calls reached a tool: ls -la, grep -c ERROR app.log, cat RUNBOOK.md, report.txt, wc -l report.txt"
    )


def test_the_payments_agent_sends_only_what_the_policy_allows(tmp_path: Path) -> None:
    output = run("payments_agent.py", tmp_path)

    ran, waits, refused = "ran:", "waits for a person", "refused"
    assert verdicts(output) == [ran, ran, ran, waits, ran, refused, refused, refused, refused]
    assert output.splitlines()[-1] == "sent: 412.30 EUR to DE12500105170648489890"


@pytest.mark.parametrize("example", ["shell_agent.py", "payments_agent.py"])
def test_an_example_leaves_its_log_where_it_was_told(example: str, tmp_path: Path) -> None:
    run(example, tmp_path)

    assert (tmp_path / "log.db").stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith("log.db")} == set()
