from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.cli.command import HOSTILE, is_tame, on_terminal, run, run_json

LOG = ("--log", "audit.db")


@pytest.fixture
def log(folder: Path) -> Path:
    """A log of three decisions: an allowed call, a denied one, one whose every word is hostile."""
    for capability, payload in (("shell.execute", "ls"), ("shell.execute", "rm -rf /"), (HOSTILE, HOSTILE)):
        call = {"agent_id": capability, "capability": capability, "payload": payload}
        run("eval", "--policy", "shell.yaml", "--audit", "audit.db", input=json.dumps(call))
    return folder / "audit.db"


def test_verify_says_what_it_found_and_what_to_note(log: Path) -> None:
    result = run("audit", "verify", *LOG)
    told = run_json("audit", "verify", *LOG)
    assert result.stdout == (
        "audit.db: 6 records, 3 chains, 6 checkpoints: nothing wrong\n"
        f"  signed with the key {told['key']}\n"
        "  the key was read beside the log, where whoever writes the log may replace it:\n"
        "  keep a copy elsewhere, and give that by --public-key\n"
        "  note this anchor elsewhere, and give it to the next check by --expect:\n"
        f"  {told['anchor']}\n"
    )
    assert re.fullmatch(r"[0-9a-f]{32}:6:[0-9a-f]{64}", told["anchor"])
    assert result.exit_code == 0
    assert "beside the log" not in run("audit", "verify", *LOG, "--public-key", "audit.db.pub").stdout


def test_a_changed_record_is_found(log: Path) -> None:
    with closing(sqlite3.connect(log)) as connection, connection:
        (body,) = connection.execute("SELECT body FROM records WHERE position = 4").fetchone()
        changed = body.replace(b'"outcome":"deny"', b'"outcome":"allow"')
        assert changed != body
        connection.execute("UPDATE records SET body = ? WHERE position = 4", (changed,))
    result = run("audit", "verify", *LOG)
    assert result.exit_code == 1
    assert re.search(r"^changed: .* \(chain [0-9a-f]{8}, record 2\)$", result.stdout, re.MULTILINE)
    assert "note this anchor" not in result.stdout
    assert run_json("audit", "verify", *LOG)["ok"] is False


def test_a_log_put_back_to_an_older_state_lacks_the_expected_anchor(log: Path) -> None:
    files = [log, *(log.with_name(log.name + end) for end in (".anchor", ".pub"))]
    older = [file.read_bytes() for file in files]
    run("eval", "--policy", "shell.yaml", "--capability", "a", "--audit", "audit.db")
    anchor = run_json("audit", "verify", *LOG)["anchor"]
    assert run("audit", "verify", *LOG, "--expect", anchor).exit_code == 0
    for file, content in zip(files, older, strict=True):
        file.write_bytes(content)
    assert run("audit", "verify", *LOG).exit_code == 0
    result = run("audit", "verify", *LOG, "--expect", anchor)
    assert result.exit_code == 1
    assert "cut_off: the expected anchor" in result.stdout


def test_a_log_that_was_taken_away_is_a_finding(log: Path) -> None:
    log.unlink()
    result = run("audit", "verify", *LOG)
    assert result.exit_code == 1
    assert "unreadable: " in result.stdout


@pytest.mark.parametrize("verb", ["verify", "export", "tail"])
def test_without_a_log_it_is_said_what_makes_one(folder: Path, verb: str) -> None:
    result = run("audit", verb)
    assert result.exit_code == 2
    assert "there is no log at `onpurpose.db` yet" in result.stderr
    assert "--audit onpurpose.db" in result.stderr
    assert not Path("onpurpose.db").exists()


@pytest.mark.parametrize("verb", ["export", "tail"])
def test_what_is_no_log_is_unreadable_input(folder: Path, verb: str) -> None:
    result = run("audit", verb, "--log", "shell.yaml")
    assert result.exit_code == 2
    assert "file is not a database" in result.stderr


@pytest.mark.parametrize(
    "options",
    [("--expect", "nonsense"), ("--expect", "a:1:ff"), ("--public-key", "gone.pub"), ("--public-key", "shell.yaml")],
)
def test_verify_refuses_what_is_no_anchor_or_key(log: Path, options: tuple[str, str]) -> None:
    result = run("audit", "verify", *LOG, *options)
    assert result.exit_code == 2
    assert result.stdout == ""


def test_export_gives_every_record_and_filters_by_time_and_outcome(log: Path) -> None:
    lines = [json.loads(line) for line in run("audit", "export", *LOG).stdout.splitlines()]
    assert [line["position"] for line in lines] == [1, 2, 3, 4, 5, 6]
    denied = [json.loads(line) for line in run("audit", "export", *LOG, "--outcome", "deny").stdout.splitlines()]
    assert denied == [line for line in lines if line["record"].get("outcome") == "deny"]
    assert len(denied) == 2
    assert run("audit", "export", *LOG, "--since", "2100-01-01").stdout == ""
    assert len(run("audit", "export", *LOG, "--since", "2020-01-01T00:00+02:00").stdout.splitlines()) == 6
    wrong = run("audit", "export", *LOG, "--since", "yesterday")
    assert (wrong.exit_code, wrong.stdout) == (2, "")


def test_a_damaged_record_passes_every_filter(log: Path) -> None:
    with closing(sqlite3.connect(log)) as connection, connection:
        connection.execute("UPDATE records SET body = ? WHERE position = 2", (b"no json",))
    result = run("audit", "export", *LOG, "--since", "2100-01-01", "--outcome", "warn")
    assert json.loads(result.stdout)["damaged"] == b"no json".hex()
    shown = run("audit", "tail", *LOG).stdout
    assert "damaged record at position 2" in shown
    assert [json.loads(line) for line in run("audit", "tail", *LOG, "--json").stdout.splitlines()][1]["damaged"]


def test_an_export_to_a_file_is_the_same_and_overwrites_nothing(log: Path) -> None:
    assert run("audit", "export", *LOG, "-o", "out.jsonl").stdout == ""
    written = Path("out.jsonl").read_bytes()
    assert written == run("audit", "export", *LOG).stdout_bytes
    again = run("audit", "export", *LOG, "-o", "audit.db")
    assert again.exit_code == 2
    assert "is not overwritten" in again.stderr
    assert run("audit", "verify", *LOG).exit_code == 0


def test_tail_shows_one_record_a_line(log: Path) -> None:
    lines = run("audit", "tail", *LOG, "-n", "5").stdout.splitlines()
    assert len(lines) == 5
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf"{time}  allow             shell\.execute  shell\.execute  shell\.yaml:12", lines[0])
    assert re.fullmatch(rf"{time}  log\.opened", lines[1])
    assert re.fullmatch(rf"{time}  deny              shell\.execute  shell\.execute  shell\.yaml:2", lines[2])
    assert re.fullmatch(rf'{time}  deny              "ls .+…  "ls .+…  malformed_call', lines[4])
    assert run("audit", "tail", *LOG, "-n", "0").stdout == ""


def test_tail_and_export_in_json_are_the_same_records(log: Path) -> None:
    tailed = [json.loads(line) for line in run("audit", "tail", *LOG, "--json").stdout.splitlines()]
    exported = [json.loads(line) for line in run("audit", "export", *LOG, "--json").stdout.splitlines()]
    assert tailed == exported


def test_no_record_reaches_a_terminal_as_a_command(log: Path) -> None:
    assert is_tame(run("audit", "tail", *LOG).stdout)
    assert is_tame(run("audit", "tail", *LOG, "--json").stdout)
    shown = on_terminal("audit", "export", *LOG, cwd=log.parent)
    assert '"position":6' in shown
    assert is_tame(shown.replace("\r\n", "\n"))


def test_the_group_alone_tells_its_verbs(folder: Path) -> None:
    result = run("audit")
    assert result.exit_code == 0
    assert all(f"\n  {verb} " in result.stdout for verb in ("verify", "export", "tail"))


def test_records_behind_the_newest_checkpoint_are_told(log: Path) -> None:
    with closing(sqlite3.connect(log)) as connection, connection:
        connection.execute("DELETE FROM checkpoints WHERE n > 4")
    log.with_name("audit.db.anchor").unlink()
    result = run("audit", "verify", *LOG)
    assert result.exit_code == 1
    assert "anchor: the anchor is gone" in result.stdout
    assert "  not covered yet: the 2 newest records could be cut off without a trace" in result.stdout
    assert run_json("audit", "verify", *LOG)["uncovered"] == 2


def test_a_record_with_fields_of_any_type_is_shown(log: Path) -> None:
    body = b'{"kind":"decision","at":"never","outcome":7,"agent_id":null,"capability":[],"reasons":{}}'
    with closing(sqlite3.connect(log)) as connection, connection:
        connection.execute("UPDATE records SET body = ? WHERE position = 6", (body,))
        connection.execute("UPDATE records SET body = ? WHERE position = 5", (b"[]",))
        connection.execute("UPDATE records SET body = ? WHERE position = 4", (b'{"at":-1}',))
    lines = run("audit", "tail", *LOG, "-n", "3").stdout.splitlines()
    assert lines[0].split() == ["(no", "time)", "None"]
    assert lines[1].strip() == "damaged record at position 5"
    assert lines[2].split() == ["(no", "time)", "7", "None", "[]"]
