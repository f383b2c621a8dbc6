"""The command as its users meet it: in this process for tables of options, as a process for the rest."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from onpurpose.cli.main import main

ROOT = Path(__file__).resolve().parents[2]

POLICY = """\
deny:
  - capability: shell.execute
    contains: "rm -rf"
require_approval:
  - capability: shell.execute
    contains: "systemctl"
  - capability: payments.transfer
    amount_gt: 1000
warn:
  - capability: mail.send
allow:
  - capability: shell.execute
  - capability: payments.transfer
    amount_lte: 1000
"""

CASES = """\
policy: shell.yaml
cases:
  - name: a listing is allowed
    capability: shell.execute
    payload: {command: ls}
    outcome: allow
  - name: a restart is allowed
    capability: shell.execute
    payload: {command: systemctl restart nginx}
    outcome: allow
  - name: mail is marked
    capability: mail.send
    payload: {to: ann@example.com}
    outcome: warn
"""

HOSTILE = "ls \x1b[31m\x1b]0;owned\x07 \x9b2J \u202egnp.exe \x7f"
"""Text that a terminal would obey: colours, its title, an 8-bit control, text turned around."""


def run(*args: object, input: str | bytes | None = None) -> Result:  # noqa: A002  click's own word
    return CliRunner().invoke(main, [str(arg) for arg in args], input=input)


def run_json(*args: object, input: str | None = None) -> Any:  # noqa: A002  click's own word
    return json.loads(run(*args, "--json", input=input).stdout)


def process(*args: object, cwd: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "onpurpose", *map(str, args)]
    return subprocess.run(command, cwd=cwd, check=False, text=True, capture_output=True, timeout=60, **options)


def on_terminal(*args: object, cwd: Path) -> str:
    """What the command writes to a terminal, on stdout and stderr."""
    mine, its = pty.openpty()
    command = [sys.executable, "-m", "onpurpose", *map(str, args)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    running = subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=its, stderr=its, env=environment)
    os.close(its)
    written = b""
    while chunk := _read(mine):
        written += chunk
    os.close(mine)
    running.wait(60)
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux tells so that the other side was closed
        return b""


def is_tame(text: str) -> bool:
    """Whether a terminal would obey nothing in the text but line feeds."""
    return all(char.isprintable() for char in text.replace("\n", ""))
