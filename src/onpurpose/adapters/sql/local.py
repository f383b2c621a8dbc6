"""The approvals of the embedded gate in a file beside its log, by the standard library's SQLite alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

from onpurpose.adapters.sql.approval_rows import approval_row, delivery_row, read_approval, read_delivery
from onpurpose.adapters.sql.local_file import LocalFile
from onpurpose.core.approval import Approval, Wanted
from onpurpose.core.delivery import Channel, Delivery, Progress
from onpurpose.core.revision import ConflictError

BUSY_SECONDS = 10.0
"""How long a transaction waits for those of other processes."""

_INSERT = (
    "INSERT INTO approvals (workspace, id, version, state, digest, agent_id, capability, opened_at, wake_at, body)"
    " VALUES (:workspace, :id, :version, :state, :digest, :agent_id, :capability, :opened_at, :wake_at, :body)"
)
_CHANGE = (
    "UPDATE approvals SET version = :version, state = :state, digest = :digest, agent_id = :agent_id,"
    " capability = :capability, opened_at = :opened_at, wake_at = :wake_at, body = :body"
    " WHERE workspace = :workspace AND id = :id AND version = :version - 1"
)
_PENDING = "SELECT * FROM approvals WHERE workspace = ? AND digest = ? AND state = 'pending'"
_HOW_MANY = "SELECT count(*) FROM approvals WHERE workspace = ? AND agent_id = ? AND state = 'pending'"
_VERSIONS = "SELECT id, version FROM approvals WHERE id IN (SELECT value FROM json_each(?))"

_OWE = (
    "INSERT INTO deliveries"
    " (id, workspace, approval_id, channel, event, recipient, created_at, due_at, attempts, progress, ref, error)"
    " VALUES (:id, :workspace, :approval_id, :channel, :event, :recipient, :created_at, :due_at, :attempts,"
    " :progress, :ref, :error)"
)
_FIRST_IN_LINE = (
    "SELECT * FROM deliveries"
    " WHERE channel = :channel AND progress = 'waiting' AND NOT EXISTS (SELECT 1 FROM deliveries older"
    " WHERE older.workspace = deliveries.workspace AND older.approval_id = deliveries.approval_id"
    " AND older.channel = deliveries.channel AND older.recipient = deliveries.recipient"
    " AND older.progress = 'waiting' AND older.n < deliveries.n)"
)
"""Those that wait, and of each approval and recipient the oldest that does."""

# The plus keeps SQLite from sorting all that are due: it walks them in their order as far as the limit.
_DUE = f"{_FIRST_IN_LINE} AND +due_at <= :now ORDER BY n LIMIT :limit"
_SOONEST = f"{_FIRST_IN_LINE} ORDER BY due_at LIMIT 1"
_SETTLE = (
    "UPDATE deliveries SET due_at = :due_at, attempts = :attempts, progress = :progress, ref = :ref, error = :error"
    " WHERE workspace = :workspace AND id = :id AND progress = 'waiting'"
)
_DEAD = (
    "SELECT * FROM deliveries WHERE workspace = :workspace AND progress = 'dead'"
    " AND (:channel IS NULL OR channel = :channel) ORDER BY n DESC LIMIT :limit"
)
_DEAD_OF = (
    "SELECT * FROM deliveries WHERE workspace = ? AND progress = 'dead'"
    " AND id IN (SELECT value FROM json_each(?)) ORDER BY n"
)
_AGAIN = (
    "UPDATE deliveries SET created_at = :now, due_at = :now, attempts = 0, progress = 'waiting', ref = '', error = ''"
    " WHERE n = :n"
)


class LocalApprovals:
    """`Approvals`, `Deliveries`, `GivenUp` and `Outbox` in a file of its own (mode 0600), made by the first approval.

    Thread-safe, and several processes may use the file at once. Raises `StoreError` where the file
    cannot be used: a symbolic link, a file of other content, one that another version wrote, a damaged one.
    """

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._file = LocalFile(path, busy_seconds=busy_seconds)

    def close(self) -> None:
        """Let go of the file. May be called twice."""
        self._file.close()

    # -- approvals

    def open(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> Approval | None:
        """Keep a new approval; where its workspace has a pending one of the same digest, only give that one.

        `ConflictError` where its id, or that of a delivery, is taken.
        """
        with self._file.writing(make=True) as connection:
            pending = connection.execute(_PENDING, (approval.workspace, approval.digest)).fetchone()
            if pending is not None:
                return read_approval(pending)
            connection.execute(_INSERT, approval_row(approval))
            _keep(connection, deliveries, notes)
        return None

    def get(self, workspace: str, approval_id: str) -> Approval | None:
        """One approval of the workspace, as it was last kept."""
        rows = self._rows("SELECT * FROM approvals WHERE workspace = ? AND id = ?", (workspace, approval_id))
        return read_approval(rows[0]) if rows else None

    def change(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> None:
        """Keep the approval's next version. `ConflictError` unless the one before it is what the store holds."""
        with self._file.writing() as connection:
            if connection.execute(_CHANGE, approval_row(approval)).rowcount == 0:
                raise ConflictError(f"the approval `{approval.id}` has changed in the meantime")
            _keep(connection, deliveries, notes)

    def find(self, wanted: Wanted) -> list[Approval]:
        """The approvals that are wanted, newest first (those that are due: by `wake_at`, soonest first)."""
        conditions, values = _asked(wanted)
        order = "id DESC" if wanted.due_at is None else "wake_at, id"
        query = f"SELECT * FROM approvals WHERE {conditions} ORDER BY {order} LIMIT :limit"  # noqa: S608  our own words
        return [read_approval(row) for row in self._rows(query, {**values, "limit": max(0, wanted.limit)})]

    def pending(self, workspace: str, agent_id: str) -> int:
        """How many approvals of the agent wait for a decision in the workspace."""
        rows = self._rows(_HOW_MANY, (workspace, agent_id))
        return int(rows[0][0]) if rows else 0  # no file: nothing was asked yet

    def versions(self, approval_ids: Sequence[str]) -> Mapping[str, int]:
        """The versions of these approvals. Unknown ids are left out."""
        rows = self._rows(_VERSIONS, (json.dumps(list(approval_ids)),))
        return {row["id"]: row["version"] for row in rows}

    # -- deliveries

    def take(self, channel: Channel, now: int, leased_until: int, limit: int) -> list[Delivery]:
        """Deliveries that are due, oldest first, as they are from now on: put off until `leased_until`.

        Of several to one recipient about one approval only the first that has not left.
        """
        asked = {"channel": channel.value, "now": now, "limit": max(0, limit)}
        with self._file.writing() as connection:
            rows = connection.execute(_DUE, asked).fetchall()
            lease = "UPDATE deliveries SET due_at = ? WHERE n = ?"
            connection.executemany(lease, [(leased_until, row["n"]) for row in rows])
            return [read_delivery({**dict(row), "due_at": leased_until}) for row in rows]

    def settle(self, *deliveries: Delivery) -> None:
        """Keep what became of those that were taken, all at once. One that has left, or was given up, stays so."""
        with self._file.writing() as connection:
            connection.executemany(_SETTLE, map(delivery_row, deliveries))

    def of(self, workspace: str, approval_id: str) -> list[Delivery]:
        """The deliveries of one approval, oldest first."""
        query = "SELECT * FROM deliveries WHERE workspace = ? AND approval_id = ? ORDER BY n"
        return [read_delivery(row) for row in self._rows(query, (workspace, approval_id))]

    def dead(self, workspace: str, limit: int, channel: Channel | None = None) -> list[Delivery]:
        """Those that were given up, newest first, of one channel or of all."""
        asked = {"workspace": workspace, "limit": max(0, limit), "channel": None if channel is None else channel.value}
        return [read_delivery(row) for row in self._rows(_DEAD, asked)]

    def again(self, workspace: str, delivery_ids: Sequence[str], now: int) -> list[Delivery]:
        """Have those of them that are given up wait to be sent as if made `now`; what they are from then on."""
        with self._file.writing() as connection:
            rows = connection.execute(_DEAD_OF, (workspace, json.dumps(list(delivery_ids)))).fetchall()
            connection.executemany(_AGAIN, [{"now": now, "n": row["n"]} for row in rows])
        fresh = {
            "created_at": now, "due_at": now, "attempts": 0, "progress": Progress.WAITING.value, "ref": "", "error": "",
        }  # fmt: skip
        return [read_delivery({**dict(row), **fresh}) for row in rows]

    def next_due(self, channel: Channel) -> int | None:
        """When the next delivery of the channel can be taken (microseconds UTC); `None` where none waits.

        One that was taken can be again at its lease's end; one that waits for an older one does not count.
        """
        rows = self._rows(_SOONEST, {"channel": channel.value})
        return rows[0]["due_at"] if rows else None

    # -- the outbox

    def unsent(self, limit: int) -> list[tuple[int, bytes]]:
        """Numbers and bodies, oldest first."""
        rows = self._rows("SELECT n, body FROM outbox ORDER BY n LIMIT ?", (max(0, limit),))
        return [(row["n"], row["body"]) for row in rows]

    def sent(self, numbers: Sequence[int]) -> None:
        """They are durable in the log: forget them."""
        with self._file.writing() as connection:
            connection.executemany("DELETE FROM outbox WHERE n = ?", [(number,) for number in numbers])

    def _rows(self, query: str, values: Sequence[object] | Mapping[str, object]) -> list[sqlite3.Row]:
        with self._file.reading() as connection:
            return connection.execute(query, values).fetchall()


def _keep(connection: sqlite3.Connection, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> None:
    connection.executemany(_OWE, map(delivery_row, deliveries))
    connection.executemany("INSERT INTO outbox (body) VALUES (?)", [(body,) for body in notes])


def _asked(wanted: Wanted) -> tuple[str, dict[str, object]]:
    """The condition of a search, and the values that it names."""
    # The states are written out: their index is used for a list of one only where the statement shows it.
    states = ", ".join(f"'{state.value}'" for state in sorted(wanted.states or ()))
    conditions = {
        "workspace": "workspace = :workspace",
        "digest": "digest = :digest",
        "agent_id": "agent_id = :agent_id",
        "capability": "capability = :capability",
        "due_at": "wake_at <= :due_at",
        "before": "id < :before",
    }
    values = {name: value for name in conditions if (value := getattr(wanted, name)) is not None}
    asked = ["TRUE" if wanted.states is None else f"state IN ({states})", *(conditions[name] for name in values)]
    return " AND ".join(asked), values
