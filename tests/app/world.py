"""A store in memory with a log, a clock that is set by hand, and all that one can do with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import count
from typing import Any

import orjson

from onpurpose.adapters.memory import MemoryLedger
from onpurpose.adapters.memory_store import MemoryAccess, MemoryDocuments
from onpurpose.app.control import control
from onpurpose.app.promotion import Candidate
from onpurpose.core.access import Workspace
from onpurpose.core.feed import Bucket, Cell, Judged
from onpurpose.core.revision import Kind, Standing
from onpurpose.core.statistics import Counts
from onpurpose.ports import Ledger

DAY = 86_400_000_000
START = 1_795_000_000_000_000

POLICY = "allow:\n  - capability: files.read\n"
PURPOSE = "id: lookup\nstatus: active\n"
PURPOSE_POLICY = "policy_id: hours\npurpose_id: lookup\ndecision: allow\n"


EVERYTHING = {"min_matched": 0.0, "min_days": 0.0, "would_deny": 1.0}
"""Every limit set aside."""


def candidate(kind: Kind, name: str, revision: int | None = None) -> Candidate:
    return Candidate(kind=kind, name=name, revision=revision)


def purpose_policy(name: str, *, purpose: str = "lookup", more: str = "") -> str:
    return f"policy_id: {name}\npurpose_id: {purpose}\ndecision: allow\n{more}"


class Rolled:
    """Counts of shadow as a test states them: a second `Rollups`."""

    def __init__(self) -> None:
        self.cells: dict[Judged, list[Cell]] = defaultdict(list)

    def watch(self, judged: Judged, counts: Counts, *, days: int = 4, dimension: str = "all") -> None:
        """The counts came in that many days, all of the calls on the first."""
        for bucket, start, seen in [(Bucket.TOTAL, 0, counts)] + [
            (Bucket.DAY, day * DAY, Counts() if day else counts) for day in range(days)
        ]:
            cell = Cell(
                judged=judged, bucket=bucket, start=start, dimension=dimension,
                counts=seen, first_at=start, last_at=start + DAY - 1,
            )  # fmt: skip
            self.cells[judged].append(cell)

    def series(
        self, judged: Judged, bucket: Bucket, dimension: str, since: int | None = None, until: int | None = None
    ) -> list[Cell]:
        return [
            cell
            for cell in self.cells[judged]
            if (cell.bucket, cell.dimension) == (bucket, dimension)
            and (since is None or cell.start >= since)
            and (until is None or cell.start < until)
        ]

    def totals(self, judged: Judged) -> list[Cell]:
        return [cell for cell in self.cells[judged] if cell.bucket is Bucket.TOTAL]


class Hand:
    """A clock that stands where it was set."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> int:
        return self.at


def ids() -> Callable[[int], str]:
    numbers = count(1)
    return lambda at: f"{at:x}-{next(numbers):06x}"


class World:
    """Two workspaces, `default` and `other`, and all that one can do."""

    def __init__(
        self,
        ledger: Ledger | None = None,
        *,
        workspaces: tuple[str, ...] = ("default", "other"),
        documents: Any = None,
        access: Any = None,
    ) -> None:
        self.clock = Hand()
        self.documents = documents or MemoryDocuments()
        self.access = access or MemoryAccess(self.documents)
        self.memory = MemoryLedger()
        self.rolled = Rolled()
        self.delivered = 0
        for name in workspaces:
            self.access.put(Workspace(id=name, name="", created_at=START), notes=[])
        self.control = control(
            self.documents, self.documents, self.access, self.rolled, ledger or self.memory,
            clock=self.clock, new_id=ids(), delivered=self._deliver,
        )  # fmt: skip

    def _deliver(self) -> None:
        self.delivered += 1

    def save(self, kind: Kind, name: str, text: str, *, promote: bool = True, **given: Any) -> Standing:
        """Write a revision and tell where the document then stands."""
        told = {"author": "ann", "reason": "", "may_promote": promote} | given
        self.control.library.save("default", kind, name, text, **told)
        return self.control.shelf.standing("default", kind, name)

    def standing(self, kind: Kind, name: str) -> Standing:
        return self.control.shelf.standing("default", kind, name)

    def watch(self, kind: Kind, name: str, revision: int = 1, *, workspace: str = "default", **given: Any) -> Judged:
        """Let the revision have been seen on many calls, without a denial unless given."""
        judged = Judged(workspace=workspace, kind=str(kind), name=name, revision=revision)
        days = given.pop("days", 4)
        self.rolled.watch(judged, Counts(**({"qualified": 1000, "matched": 1000} | given)), days=days)
        return judged

    def notes(self, kind: str = "") -> list[dict[str, Any]]:
        """What the log was told, oldest first."""
        told = [orjson.loads(stored.body) for stored in self.memory.records()]
        return [one for one in told if one["kind"] != "log.opened" and one["kind"].startswith(kind)]
