"""`onpurpose check` on purposes, purpose policies and settings, told apart from policies by their content."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import POLICY, run, run_json

PURPOSES = """\
id: support_lookup
status: active
---
purpose_id: support_lookup
match:
  user_groups: [support]
decision: allow
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_file_of_purposes_and_their_policies_is_checked() -> None:
    Path("support.yaml").write_text(PURPOSES)
    result = run("check", "support.yaml", "--strict")
    assert (result.exit_code, result.stdout) == (0, "1 file checked: no problems\n")


def test_a_defect_of_a_purpose_policy_is_shown_at_its_place() -> None:
    Path("support.yaml").write_text(PURPOSES.replace("allow", "alow"))
    result = run("check", "support.yaml")
    assert result.exit_code == 1
    assert result.stdout == (
        "support.yaml:7:11: error: `alow` is no `decision` [unknown-word]\n"
        "    7 | decision: alow\n"
        "      |           ^^^^\n"
        "      = help: did you mean `allow`? known: `allow`, `require_approval`, `deny`, `block`\n"
        "\n"
        "1 file checked: 1 error, 0 warnings\n"
    )


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
def test_warnings_on_purposes_fail_only_a_strict_check(options: tuple[str, ...], code: int) -> None:
    Path("support.yaml").write_text(PURPOSES.replace("active", "draft"))
    result = run("check", "support.yaml", *options)
    assert result.exit_code == code
    assert "support.yaml:1:1: warning: the purpose `support_lookup` is draft" in result.stdout
    assert result.stdout.endswith("1 file checked: 0 errors, 1 warning\n")


def test_a_folder_may_hold_all_kinds_of_files() -> None:
    Path("shell.yaml").write_text(POLICY)
    Path("support.yaml").write_text(PURPOSES + "token_ttl_minute: 5\n")
    Path("settings.yaml").write_text("purpose_required: maybe\n")
    told = run_json("check", ".")
    assert told["files"] == ["settings.yaml", "shell.yaml", "support.yaml"]
    assert [(one["source"], one["line"], one["code"], one["severity"]) for one in told["problems"]] == [
        ("settings.yaml", 1, "wrong-type", "error"),
        ("support.yaml", 8, "unknown-key", "error"),
    ]
    assert (told["errors"], told["warnings"]) == (2, 0)


def test_settings_without_a_problem_pass() -> None:
    Path("settings.yaml").write_text("purpose_required: true\n")
    assert run("check", "settings.yaml", "--strict").exit_code == 0


def test_a_second_document_is_refused_in_a_policy_alone() -> None:
    Path("shell.yaml").write_text(f"{POLICY}---\n{PURPOSES}")
    assert [one["code"] for one in run_json("check", "shell.yaml")["problems"]] == ["several-documents"]
