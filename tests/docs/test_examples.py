"""Every example of the documentation runs and shows what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, names, page
from tests.docs.running import Runner, same

WITH_EXAMPLES = {
    "README.md",
    "docs/tutorial.md",
    "docs/policies.md",
    "docs/semantics.md",
    "docs/embedding.md",
    "docs/audit.md",
    "docs/replay.md",
    "docs/risk.md",
    "docs/limits.md",
    "docs/purposes.md",
    "docs/shadow.md",
    "docs/tokens.md",
    "docs/client.md",
    "docs/elements.md",
    "docs/approvals.md",
    "docs/notifications.md",
    "docs/slack.md",
}


@pytest.mark.parametrize("name", names())
def test_every_example_of_a_page_does_what_it_shows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = Runner(page(name))
    runner.run()
    assert bool(runner.ran) == (name in WITH_EXAMPLES)


@pytest.mark.parametrize("name", names())
def test_every_block_says_what_it_is(name: str) -> None:
    blocks = [part for part in page(name).parts if isinstance(part, Block)]
    known = {"yaml", "json", "jsonl", "python", "console", "sh", "text"}
    assert {block.language for block in blocks} <= known


@pytest.mark.parametrize("name", names())
def test_every_target_of_make_that_is_shown_is_there(name: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert {*re.findall(r"(?:`|^)make ([a-z]+)", page(name).text, re.MULTILINE)} <= {*targets}


def test_what_differs_from_run_to_run_is_all_that_is_overlooked() -> None:
    assert same("record 1b2c3d4e:2, decision 0648f0") == same("record 99999999:2, decision 0648f0")
    assert same("record 1b2c3d4e:2") != same("record 1b2c3d4e:3")
    assert same("2026-11-22 04:16:03.123  deny") == same("2026-11-23 14:16:03.000  deny")
    assert same("amount 60000000") != same("amount 70000000")
    assert same("allow: a") != same("deny: a")
