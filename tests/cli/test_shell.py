from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

from onpurpose import cli
from onpurpose.cli.main import VERBS, main
from tests.cli.command import process, run


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--help",), 0),
        (("--version",), 0),
        ((), 0),
        (("nonsense",), 2),
        (("check", "shell.yaml"), 0),
        (("test", "shell.test.yaml"), 1),
        (("check", "--nonsense"), 2),
        (("eval", "--policy", "shell.yaml", "--capability", "mail.send"), 0),
        (("explain", "--policy", "shell.yaml", "--capability", "shell.execute", "--payload", '"systemctl"'), 3),
        (("eval", "--policy", "shell.yaml", "--capability", "nobody.knows"), 4),
        (("audit", "verify"), 2),
    ],
)
def test_a_process_exits_with_the_documented_code(folder: Path, args: tuple[str, ...], code: int) -> None:
    result = process(*args, cwd=folder)
    assert result.returncode == code
    assert "Traceback" not in result.stderr


def test_the_installed_command_is_the_module(folder: Path) -> None:
    installed = Path(sys.executable).with_name("onpurpose")
    if not installed.exists():
        pytest.skip("onpurpose is not installed beside this Python")
    command = subprocess.run([installed, "check", "--help"], check=True, text=True, capture_output=True)
    assert command.stdout == process("check", "--help", cwd=folder).stdout


def test_help_imports_no_verb_and_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from onpurpose.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "print(*sorted(name for name in sys.modules), file=sys.stderr)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, text=True, capture_output=True)
    imported = set(told.stderr.split())
    ours = {name for name in imported if name.startswith("onpurpose.")}
    assert ours <= {
        "onpurpose.cli", "onpurpose.cli.main", "onpurpose.cli.output",
        "onpurpose.core", "onpurpose.core.errors", "onpurpose.core.span",
    }  # fmt: skip
    assert imported.isdisjoint({"rich", "yaml", "re2", "sqlite3", "cryptography", "asyncio", "orjson"})


def test_the_list_of_verbs_says_what_each_verb_says() -> None:
    context = click.Context(main)
    for verb, (_, _, line) in VERBS.items():
        command = main.get_command(context, verb)
        assert command is not None
        assert (command.help or "").splitlines()[0] == line


def test_a_reader_that_goes_away_ends_it_quietly(folder: Path) -> None:
    line = json.dumps({"capability": "nobody.knows", "payload": {"text": "x" * 190}}) + "\n"
    Path("many.jsonl").write_text(line * 3000)
    command = [sys.executable, "-m", "onpurpose", "suggest", "many.jsonl", "--json"]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.close()
    assert running.stderr is not None
    told = running.stderr.read()
    running.stderr.close()
    assert running.wait(60) == 141
    assert told == b""


def test_a_full_disk_under_the_output_is_one_line(folder: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "onpurpose", "check", "shell.yaml"]
        told = subprocess.run(command, cwd=folder, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert told.returncode == 2
    assert told.stderr == "error: [Errno 28] No space left on device\n"


def test_an_interrupt_exits_with_130(folder: Path) -> None:
    run("eval", "--policy", "shell.yaml", "--capability", "mail.send", "--audit", "audit.db")
    # Whoever runs the tests in the background may have Ctrl-C ignored, and children inherit that.
    code = (
        "import signal\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from onpurpose.cli.main import main\n"
        "main(['audit', 'tail', '-f', '--log', 'audit.db'])\n"
    )
    command = [sys.executable, "-c", code]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    assert "mail.send" in running.stdout.readline() + running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert told.strip() == ""


def test_tail_follows_what_another_process_records(folder: Path) -> None:
    record = ("eval", "--policy", "shell.yaml", "--audit", "audit.db", "--capability")
    run(*record, "mail.send")
    command = [sys.executable, "-m", "onpurpose", "audit", "tail", "-f", "-n", "1", "--log", "audit.db"]
    running = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    watchdog = threading.Timer(60, running.kill)  # lines that never come end the test, not the suite
    watchdog.start()
    try:
        first = running.stdout.readline()
        process(*record, "nobody.knows", cwd=folder)
        come = [running.stdout.readline() for _ in range(2)]
        assert "mail.send" in first
        assert [line.split()[2] for line in come] == ["log.opened", "deny"]
    finally:
        watchdog.cancel()
        running.kill()
        running.communicate(timeout=60)


def test_closed_streams_are_no_defect(folder: Path) -> None:
    script = f"{sys.executable} -m onpurpose replay calls.jsonl --policy shell.yaml <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", script], cwd=folder, check=False).returncode == 0
    script = f"{sys.executable} -m onpurpose eval --policy shell.yaml <&-"
    told = subprocess.run(["sh", "-c", script], cwd=folder, check=False, capture_output=True, text=True)
    assert (told.returncode, "Traceback" in told.stderr) == (2, False)


def test_an_encoding_without_a_character_gets_its_escape(folder: Path) -> None:
    Path("shell.yaml").write_text('deny: 3\n"Ж": 1\n')
    told = process("check", "shell.yaml", cwd=folder, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert told.returncode == 1
    assert "has no key `\\u0416`" in told.stdout


def test_a_defect_is_one_line_and_debug_shows_the_trace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("broken")
    @cli.output.verb_options
    def broken(as_json: bool) -> None:
        raise RuntimeError("first\x1b[31m line\nsecond line")

    monkeypatch.setattr(cli.output, "broken", broken, raising=False)
    monkeypatch.setitem(VERBS, "broken", ("output", "broken", "Fail."))
    result = run("broken")
    assert result.exit_code == 70
    assert result.stderr == (
        "internal error: RuntimeError: first\ufffd[31m line\n"
        "  help: run it again with --debug to see where, and report it\n"
    )
    for args in (("broken", "--debug"), ("--debug", "broken")):
        traced = run(*args)
        assert traced.exit_code == 70
        assert "Traceback" in traced.stderr
        assert "\x1b" not in traced.stderr
