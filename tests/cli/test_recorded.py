from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.command import HOSTILE, ROOT, is_tame, on_terminal, run, run_json


def test_replay_counts_by_capability_and_label_and_lists_what_did_not_pass(folder: Path) -> None:
    Path("calls.jsonl").write_text("".join(line + "\n" for line in Path("calls.jsonl").read_text().split("\n")[:3]))
    result = run("replay", "calls.jsonl", "--policy", "shell.yaml")
    assert result.stdout == (
        "capability     allow  warn  ask  deny  calls\n"
        "shell.execute      1     -    1     1      3\n"
        "all                1     -    1     1      3\n"
        "\n"
        "label   allow  warn  ask  deny  calls\n"
        "attack      -     -    -     1      1\n"
        "user        1     -    -     -      1\n"
        "\n"
        "denied: 1\n"
        '  calls.jsonl:2: shell.execute {"command": "rm -rf /"}\n'
        '      shell.yaml:2: the deny rule `shell.execute` where contains "rm -rf" matches\n'
        "\n"
        "asked: 1\n"
        '  calls.jsonl:3: shell.execute {"command": "systemctl stop x"}\n'
        '      shell.yaml:5: the require_approval rule `shell.execute` where contains "systemctl" matches\n'
        "\n"
        "3 calls: 1 allowed, 1 asked, 1 denied\n"
    )
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("show", "outcomes"),
    [
        ("denied", {"deny"}),
        ("asked", {"require_approval"}),
        ("all", {"deny", "require_approval", "warn"}),
        ("none", set()),
    ],
)
def test_show_chooses_what_is_listed(folder: Path, show: str, outcomes: set[str]) -> None:
    told = run_json("replay", "calls.jsonl", "--policy", ".", "--show", show)
    assert {one["outcome"] for one in told["listed"]} == outcomes
    assert told["outcomes"] == {"allow": 1, "warn": 1, "require_approval": 1, "deny": 2}


def test_a_replay_is_recorded_where_a_log_is_named_and_told_apart_in_it(folder: Path) -> None:
    replayed = run_json("replay", "calls.jsonl", "--policy", "shell.yaml", "--audit", "replayed.db")
    records = [
        json.loads(line)["record"] for line in run("audit", "export", "--log", "replayed.db").stdout.splitlines()
    ]
    decisions = [record for record in records if record["kind"] == "decision"]
    assert len(decisions) == replayed["calls"]
    readable = [record for record in decisions if record["digest"] is not None]
    assert readable
    assert all(record["task_context"].startswith("replay") for record in readable)
    assert run("audit", "verify", "--log", "replayed.db").exit_code == 0


def test_limit_takes_the_first_calls(folder: Path) -> None:
    assert run_json("replay", "calls.jsonl", "--policy", "shell.yaml", "--limit", 2)["calls"] == 2


def test_lines_that_cannot_be_read_are_counted_and_fail(folder: Path) -> None:
    with Path("calls.jsonl").open("a") as file:
        file.write('nonsense\n{"capability": 3}\n')
    result = run("replay", "calls.jsonl", "--policy", "shell.yaml")
    assert result.exit_code == 1
    assert "calls.jsonl:6: not read: " in result.stderr
    assert "2 lines or calls could not be read" in result.stderr
    told = run_json("replay", "calls.jsonl", "--policy", "shell.yaml")
    assert (told["calls"], told["unread"], len(told["problems"])) == (5, 2, 2)
    assert run("suggest", "calls.jsonl").exit_code == 1


@pytest.mark.parametrize("verb", [("replay", "--policy", "shell.yaml"), ("suggest",)])
def test_no_calls_are_wrong_use(folder: Path, verb: tuple[str, ...]) -> None:
    Path("empty.jsonl").touch()
    Path("nothing").mkdir()
    for calls in ("empty.jsonl", "nothing", "nowhere.jsonl"):
        result = run(verb[0], calls, *verb[1:])
        assert result.exit_code == 2
        assert result.stdout == ""
    unnamed = run(verb[0], "-", *verb[1:], input="{}")
    assert unnamed.exit_code == 2
    assert "--format" in unnamed.stderr


def test_calls_are_read_from_stdin_in_a_named_format(folder: Path) -> None:
    calls = Path("calls.jsonl").read_text()
    told = run_json("replay", "-", "--format", "calls", "--policy", "shell.yaml", input=calls)
    assert told["calls"] == 5
    assert told["listed"][0]["at"] == "<stdin>:2"


def test_what_changed_since_it_was_recorded_is_told(folder: Path) -> None:
    run("eval", "--policy", "shell.yaml", "--capability", "shell.execute", "--payload", '"ls"', "--audit", "a.db")
    run("audit", "export", "--log", "a.db", "-o", "export.jsonl")
    Path("shell.yaml").write_text("deny:\n  - capability: shell.execute\n")
    result = run("replay", "export.jsonl", "--policy", "shell.yaml")
    assert "recorded as allow" in result.stdout
    assert "1 call had another outcome when recorded" in result.stdout


def test_a_suggestion_passes_check_and_allows_what_it_says(folder: Path) -> None:
    sessions = ROOT / "examples" / "sessions" / "payments.jsonl"
    result = run("suggest", sessions, "-o", "learned.yaml")
    told = run_json("suggest", sessions)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert Path("learned.yaml").read_text() == told["policy"]
    assert run("check", "learned.yaml").exit_code == 0
    outcomes = run_json("replay", sessions, "--policy", "learned.yaml")["outcomes"]
    assert outcomes["allow"] + outcomes["warn"] == told["allowed"] == told["calls"] - len(told["left"])
    assert run("suggest", sessions, "-o", "learned.yaml").exit_code == 2
    assert run("suggest", sessions).stdout == told["policy"]


def test_the_note_and_the_payload_of_a_recorded_call_are_tame(folder: Path) -> None:
    for args in (("replay", "calls.jsonl", "--policy", "shell.yaml"), ("suggest", "calls.jsonl")):
        for more in ((), ("--json",)):
            assert is_tame(run(*args, *more).output)


def test_a_terminal_gets_a_table_and_obeys_nothing_in_it(folder: Path) -> None:
    shown = on_terminal("replay", "calls.jsonl", "--policy", "shell.yaml", cwd=folder)
    assert "─────" in shown
    for obeyed in ("\x1b[31m", "\x1b]0;", "\x07", "\x9b", "\u202e"):
        assert obeyed in HOSTILE
        assert obeyed not in shown


def test_a_progress_bar_is_drawn_for_long_files_on_a_terminal_alone(folder: Path) -> None:
    line = json.dumps({"capability": "mail.send", "payload": {"text": "x" * 900_000}}) + "\n"
    Path("long.jsonl").write_text(line * 6)
    long = ("replay", "long.jsonl", "--policy", "shell.yaml")
    assert "replaying" in on_terminal(*long, cwd=folder)
    assert "replaying" not in on_terminal("replay", "calls.jsonl", "--policy", "shell.yaml", cwd=folder)
    assert run(*long).stderr == ""


def test_what_masking_hid_is_told(folder: Path) -> None:
    call = {"capability": "shell.execute", "payload": {"password": "correct horse battery"}}
    run("eval", "--policy", "shell.yaml", "--audit", "a.db", input=json.dumps(call))
    run("audit", "export", "--log", "a.db", "-o", "export.jsonl")
    result = run("replay", "export.jsonl", "--policy", "shell.yaml")
    assert "1 call with secrets that were masked before they were written down" in result.stdout


def test_more_calls_than_are_listed_are_counted(folder: Path) -> None:
    Path("many.jsonl").write_text('{"capability": "mail.send", "payload": {}}\n' * 60)
    assert "  ... and 10 more\n" in run("replay", "many.jsonl", "--policy", "shell.yaml").stdout


def test_more_problems_than_are_shown_are_counted(folder: Path) -> None:
    with Path("calls.jsonl").open("a") as file:
        file.write("nonsense\n" * 15)
    assert "... and 5 more that could not be read" in run("suggest", "calls.jsonl").stderr
