from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.command import POLICY, run, run_json


def test_check_shows_the_place_the_line_and_the_cure(folder: Path) -> None:
    Path("bad.yaml").write_text('deny:\n  - capability: shell.execute\n    amount_gt: "5"\n')
    result = run("check", "bad.yaml")
    assert result.stdout == (
        "bad.yaml:3:16: error: `amount_gt` must be a number, not a text [wrong-type]\n"
        '    3 |     amount_gt: "5"\n'
        "      |                ^^^\n"
        "      = help: write it without quotes: `amount_gt: 5`\n"
        "\n"
        "1 file checked: 1 error, 0 warnings\n"
    )
    assert result.exit_code == 1


def test_check_takes_a_folder_with_all_that_its_index_names(folder: Path) -> None:
    Path("team").mkdir()
    Path("team/extra.yaml").write_text("allow: []\n")
    Path("index.yaml").write_text("policies:\n  - file: team/extra.yaml\n    agent: a\n  - file: gone.yaml\n")
    told = run_json("check", ".")
    assert told["files"] == ["index.yaml", "shell.test.yaml", "shell.yaml", "team/extra.yaml"]
    assert [(one["source"], one["line"], one["code"]) for one in told["problems"]] == [
        ("index.yaml", 4, "unreadable-file"),
        ("team/extra.yaml", 1, "empty-section"),
    ]
    assert (told["errors"], told["warnings"]) == (1, 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [("index.yaml", "policies: 3\n"), ("x.test.yaml", "policy: a.yaml\ncases: []\n"), ("x.yaml", "\x00")],
)
def test_check_reads_each_file_as_what_it_is(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    for path in (tmp_path / name, tmp_path):
        told = run_json("check", path)
        assert told["errors"] == 1
        assert told["problems"][0]["source"] == str(tmp_path / name)


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--strict",), 1)])
def test_warnings_fail_only_a_strict_check(folder: Path, options: tuple[str, ...], code: int) -> None:
    Path("wide.yaml").write_text('allow:\n  - capability: "*"\n')
    result = run("check", "wide.yaml", *options)
    assert result.exit_code == code
    assert "wide.yaml:2:5: warning: " in result.stdout


def test_what_is_no_policy_at_all_is_wrong_use(tmp_path: Path) -> None:
    assert run("check").exit_code == 2
    assert run("check", tmp_path / "nowhere.yaml").exit_code == 2
    empty = run("check", tmp_path)
    assert empty.exit_code == 2
    assert "`onpurpose init`" in empty.stderr


def test_a_test_run_shows_failures_and_coverage(folder: Path) -> None:
    result = run("test", "shell.test.yaml")
    assert result.stdout == (
        "shell.test.yaml:7:5: failed: a restart is allowed\n"
        "    expected allow, and it is require_approval: "
        'the require_approval rule `shell.execute` where contains "systemctl" matches\n'
        "    | require_approval: shell.execute by test-agent\n"
        "    |   require_approval: shell.yaml:5: "
        'the require_approval rule `shell.execute` where contains "systemctl" matches\n'
        "\n"
        "3 cases in 1 file: 2 passed, 1 failed\n"
        "3 of 6 rules fired and did not fire (50 %)\n"
        "  never fired:\n"
        "    shell.yaml:2: deny shell.execute\n"
        "    shell.yaml:7: require_approval payments.transfer\n"
        "    shell.yaml:13: allow payments.transfer\n"
    )
    assert result.exit_code == 1


def test_a_rule_that_always_fired_is_named(folder: Path) -> None:
    Path("shell.test.yaml").write_text(
        "policy: shell.yaml\ncases:\n  - {name: a, capability: shell.execute, payload: rm -rf, outcome: deny}\n"
    )
    assert "  always fired:\n    shell.yaml:2: deny shell.execute\n" in run("test", ".").stdout


@pytest.mark.parametrize(("least", "code"), [("50", 0), ("50.1", 1)])
def test_coverage_is_counted_over_all_files_of_a_policy(folder: Path, least: str, code: int) -> None:
    Path("shell.test.yaml").write_text(
        "policy: shell.yaml\ncases:\n  - {name: a, capability: shell.execute, payload: ls, outcome: allow}\n"
    )
    Path("deeper").mkdir()
    Path("deeper/more.test.yaml").write_text(
        "policy: ../deeper/../shell.yaml\ncases:\n"
        "  - {name: a, capability: shell.execute, payload: rm -rf, outcome: deny}\n"
        "  - {name: b, capability: shell.execute, payload: systemctl, outcome: require_approval}\n"
    )
    Path(".hidden").mkdir()
    Path(".hidden/not.test.yaml").write_text("nonsense")
    told = run_json("test", ".")
    assert (told["files"], told["cases"], told["failed"]) == (2, 3, [])
    assert run("test", ".", "--min-coverage", least).exit_code == code


def test_no_tests_are_no_success(tmp_path: Path) -> None:
    result = run("test", tmp_path)
    assert result.exit_code == 1
    assert "there are no tests" in result.stderr
    assert run_json("test", tmp_path)["cases"] == 0


def test_tests_that_cannot_be_read_are_all_told(folder: Path) -> None:
    Path("a.test.yaml").write_text("policy: gone.yaml\ncases:\n  - {name: a, capability: a, outcome: deny}\n")
    Path("b.test.yaml").write_text("nonsense\n")
    result = run("test", ".")
    assert result.exit_code == 2
    assert "gone.yaml:1:1: error: the file cannot be read" in result.stderr
    assert "b.test.yaml:1:1: error: " in result.stderr


def test_init_writes_a_policy_that_passes_its_own_tests(tmp_path: Path) -> None:
    result = run("init", tmp_path / "new")
    policies = tmp_path / "new" / "policies"
    assert result.exit_code == 0
    assert "What to do next:" in result.stdout
    assert run("check", policies, "--strict").exit_code == 0
    tested = run("test", policies, "--min-coverage", "100")
    assert tested.exit_code == 0, tested.output


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    theirs = tmp_path / "policies" / "starter.test.yaml"
    theirs.parent.mkdir()
    theirs.write_text(POLICY)
    result = run("init", tmp_path)
    assert result.exit_code == 2
    assert "is not overwritten" in result.stderr
    assert [path.name for path in theirs.parent.iterdir()] == ["starter.test.yaml"]
    assert theirs.read_text() == POLICY


def test_init_in_a_place_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "policies").write_text("a file")
    result = run("init", tmp_path)
    assert result.exit_code == 2
    assert "cannot be made" in result.stderr
