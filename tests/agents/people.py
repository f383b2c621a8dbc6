"""People who decide an embedded gate's approvals, as the command does: by the file beside the log."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson

from onpurpose import Gate, parse_policy
from onpurpose.adapters.os_users import current_user
from onpurpose.adapters.sql.reader import SqliteArchive
from onpurpose.app.gate import LOCAL
from onpurpose.app.masking import Masking
from onpurpose.core.act import State, Via
from onpurpose.core.approval import Approval, Wanted
from onpurpose.core.policy import Policy
from onpurpose.local import LocalDesk, approvals_beside
from onpurpose.wiring import ledger_at

ROOT = Path(__file__).resolve().parents[2]

ASKING = """\
deny:
  - capability: payments.transfer
    args: {to: {equals: thief}}
require_approval:
  - capability: payments.transfer
    amount_gt: 1000
allow:
  - capability: payments.transfer
"""


def policy(text: str = ASKING) -> Policy:
    return parse_policy(text, "payments.yaml")


class People:
    """Everybody who may write the file of the approvals beside a log."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.file = approvals_beside(log)

    def grant(self, approval_id: str) -> Approval:
        with closing(ledger_at(self.log)) as ledger, closing(LocalDesk(self.file, ledger, Masking())) as local:
            return local.desk.grant(LOCAL, approval_id, current_user(), via=Via.TERMINAL, signed_in=True)

    def deny(self, approval_id: str, why: str = "not today") -> Approval:
        with closing(ledger_at(self.log)) as ledger, closing(LocalDesk(self.file, ledger, Masking())) as local:
            return local.desk.deny(LOCAL, approval_id, current_user(), via=Via.TERMINAL, text=why, signed_in=True)

    def cancel(self, approval_id: str) -> Approval:
        with closing(ledger_at(self.log)) as ledger, closing(LocalDesk(self.file, ledger, Masking())) as local:
            return local.desk.cancel(LOCAL, approval_id, by=current_user(), via=Via.TERMINAL)

    def all(self) -> list[Approval]:
        with closing(ledger_at(self.log)) as ledger, closing(LocalDesk(self.file, ledger, Masking())) as local:
            return local.desk.find(Wanted(workspace=LOCAL))

    def pending(self) -> list[Approval]:
        return [one for one in self.all() if one.state is State.PENDING]


def open_gate(log: Path, text: str = ASKING, **settings: Any) -> Gate:
    return Gate(policy(text), log, reload_seconds=3600, **settings)


def records(log: Path, prefix: str = "") -> list[dict[str, Any]]:
    """What the log holds of that kind, oldest first; of what was told twice, the first."""
    with closing(SqliteArchive(log)) as archive:
        found = [orjson.loads(stored.body) for stored in archive.records()]
    told: dict[object, dict[str, Any]] = {}
    for one in found:
        told.setdefault(one.get("id") or len(told), one)
    return [one for one in told.values() if one["kind"].startswith(prefix)]


def kinds(log: Path) -> list[str]:
    """What happened to approvals, as the log tells it."""
    return [one["kind"].removeprefix("approval.") for one in records(log, "approval.")]


class Process:
    """A program with a gate, in a process of its own: it runs the code and tells what it printed, as JSON."""

    def __init__(self, code: str, *args: object) -> None:
        command = [sys.executable, "-c", PREAMBLE + code, *map(str, args)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    def line(self) -> Any:
        """The next line that it prints."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, f"the process ended with {self.process.wait(60)}"
        return json.loads(line)

    def go(self) -> None:
        """Have it go on, where it waits for a line."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)

    def end(self) -> int:
        self.process.communicate(timeout=60)
        return self.process.returncode


PREAMBLE = """
import json, os, sys
from pathlib import Path
from onpurpose import Call, Refused
from tests.agents.people import open_gate
def say(value):
    print(json.dumps(value), flush=True)
def hold():
    sys.stdin.readline()
log = Path(sys.argv[1])
gate = open_gate(log)
CALL = Call("pay", "payments.transfer", {"amount": 5000, "to": "shop"})
"""
