"""What every benchmark shares: how time is taken, how a table looks, and the policy and calls of them all."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from onpurpose.adapters.memory import Settled
from onpurpose.core.record import GENESIS, Receipt, Record, link

HERE = Path(__file__).parent


class Rule(NamedTuple):
    """A rule in no one's language: outcome, capability, a test (or none) and its value."""

    outcome: str
    capability: str
    test: str = ""
    value: Any = None


EIGHT = (
    Rule("deny", "shell.execute", "contains", "rm -rf"),
    Rule("deny", "shell.execute", "contains", "DROP TABLE"),
    Rule("deny", "payments.transfer", "amount_gt", 50000),
    Rule("require_approval", "payments.transfer", "amount_gt", 1000),
    Rule("require_approval", "filesystem.write", "path_prefix", "/etc"),
    Rule("allow", "shell.execute"),
    Rule("allow", "filesystem.write"),
    Rule("allow", "payments.transfer", "amount_lte", 1000),
)


def spread(count: int) -> list[Rule]:
    """The eight rules among others of other capabilities, so many in all."""
    kinds = (("deny", "contains"), ("require_approval", "amount_gt"), ("allow", ""))
    others = []
    for i in range(count - len(EIGHT)):
        outcome, test = kinds[i % 3]
        value = {"contains": f"phrase {i}", "amount_gt": i}.get(test)
        others.append(Rule(outcome, f"service{i // 8}.action{i % 8}", test, value))
    return [*others[: len(others) // 2], *EIGHT, *others[len(others) // 2 :]]


def crowded(count: int) -> list[Rule]:
    """The eight rules and others of one capability: each of them must be asked of a shell call."""
    others = [Rule("deny", "shell.execute", "contains", f"phrase {i}") for i in range(count - len(EIGHT))]
    return [*others, *EIGHT]


def policy_text(rules: Iterable[Rule]) -> str:
    """The rules as a policy file; CapFence reads the same."""
    sections: dict[str, list[str]] = {"deny": [], "require_approval": [], "allow": []}
    for rule in rules:
        lines = sections[rule.outcome]
        lines.append(f"  - capability: {rule.capability}")
        if rule.test:
            lines.append(f"    {rule.test}: {json.dumps(rule.value)}")
    return "\n".join(line for name, lines in sections.items() if lines for line in (f"{name}:", *lines)) + "\n"


class Case(NamedTuple):
    """A call and the outcome that the contract gives it."""

    capability: str
    payload: dict[str, Any]
    expected: str
    what: str


ASK, DENY, ALLOW = "require_approval", "deny", "allow"
CASES = (
    Case("shell.execute", {"command": "ls -la"}, ALLOW, "plain"),
    Case("shell.execute", {"command": "pytest -q", "timeout": 60, "env": "ci"}, ALLOW, "plain"),
    Case("shell.execute", {"command": "rm -rf /var/lib/postgresql"}, DENY, "plain"),
    Case("shell.execute", {"command": "rm  -rf /"}, DENY, "two spaces"),
    Case("shell.execute", {"command": "RM -RF /home"}, DENY, "upper case"),
    Case("shell.execute", {"command": "r''m -rf /"}, DENY, "quotes inside"),
    Case("shell.execute", {"argv": ["rm", "-rf", "/"]}, DENY, "split over a list"),
    Case("shell.execute", {"command": "psql -c 'drop table users'"}, DENY, "lower case"),
    Case("shell.execute", {"steps": [{"sql": "DROP TABLE users"}]}, DENY, "nested"),
    Case("payments.transfer", {"amount": 500, "currency": "EUR"}, ALLOW, "plain"),
    Case("payments.transfer", {"amount": 1000.5}, ASK, "plain"),
    Case("payments.transfer", {"amount": 60000}, DENY, "plain"),
    Case("payments.transfer", {"amount": "60,000.00"}, DENY, "amount as text"),
    Case("payments.transfer", {"amount": -60000}, DENY, "negative"),
    Case("payments.transfer", {"amount": 10, "order": {"total": 75000}}, DENY, "two amounts disagree"),
    Case("payments.transfer", {"memo": "rent"}, DENY, "no amount"),
    Case("filesystem.write", {"path": "/etc/hosts"}, ASK, "plain"),
    Case("filesystem.write", {"path": "/srv/../etc/shadow"}, ASK, "climbs"),
    Case("filesystem.write", {"path": "/etcetera/notes.txt"}, ALLOW, "a longer name"),
    Case("mail.send", {"to": "a@example.com"}, DENY, "no rule"),
)
CONTEXT = {"environment": "production", "user_role": "engineer", "tenant": "acme-corp"}


class HeadLedger:
    """A ledger that chains each record and keeps the last hash alone: all the work but the keeping."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._hash, self._seq = GENESIS, 0

    def append(self, record: Record) -> Future[Receipt]:
        with self._lock:
            self._seq += 1
            self._hash = link(self._hash, "benchmark", self._seq, record.body)
            return Settled(Receipt("benchmark", self._seq, self._hash))

    def gathering(self) -> AbstractContextManager[None]:
        return nullcontext()

    def status(self) -> dict[str, object]:
        return {"records": self._seq}

    def close(self) -> None:
        pass


# -- time


def nanoseconds(function: Callable[[Any], object], argument: object, budget: float = 0.02, batches: int = 9) -> float:
    """Nanoseconds that one call takes: the least of batches, which fill about `budget` seconds together.

    The least, as `timeit` advises: what is above it is other work of the machine, not of the function.
    """
    clock = time.perf_counter_ns
    function(argument)
    start = clock()
    function(argument)
    once = max(clock() - start, 50)
    loops = range(max(1, int(budget * 1e9 / batches / once)))
    took = []
    for _ in range(batches if len(loops) > 1 else 3):
        start = clock()
        for _ in loops:
            function(argument)
        took.append((clock() - start) / len(loops))
    return min(took)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which lies that share of the sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


# -- tables


@dataclass
class Table:
    """A table with a title, and what a reader must know to read it."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]

    def text(self) -> str:
        """For a terminal."""
        widths = [max(map(len, column)) for column in zip(self.columns, *self.rows, strict=True)]
        sides = ["<" if i == 0 or width > 30 else ">" for i, width in enumerate(widths)]  # prose to the left
        lines = [
            "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)).rstrip()
            for row in [self.columns, *self.rows]
        ]
        body = [lines[0], "-" * max(map(len, lines)), *lines[1:], *(f"  * {note}" for note in self.notes)]
        return "\n".join(["", self.title, "=" * len(self.title), *body])

    def markdown(self) -> str:
        """For the documentation."""
        rows = [self.columns, ["---", *["--:"] * (len(self.columns) - 1)], *self.rows]
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
        return "\n".join([f"## {self.title}", "", *lines, "", *(f"- {note}" for note in self.notes), ""])


def report(tables: Callable[[], list[Table]]) -> None:
    """Make the tables and print them; as JSON for `run.py`, which asks for it."""
    made = tables()
    if "--json" in sys.argv:
        print(json.dumps([asdict(table) for table in made]))
    else:
        print("\n".join(table.text() for table in made))


def target(value: float, limit: float, *, at_least: bool = False) -> str:
    """Whether the value keeps the target."""
    return "met" if (value >= limit if at_least else value <= limit) else "MISSED"
