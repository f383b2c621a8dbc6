"""Approvals in a database: what of them is looked for in columns, the whole of each in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, Select, insert, literal_column, select, update

from onpurpose.adapters.sql import deliveries as messages
from onpurpose.adapters.sql import tables
from onpurpose.adapters.sql.approval_rows import approval_row, read_approval
from onpurpose.adapters.sql.changes import keep_notes
from onpurpose.adapters.sql.engine import Store
from onpurpose.core.approval import Approval, State, Wanted
from onpurpose.core.delivery import Delivery
from onpurpose.core.revision import ConflictError

_TABLE = tables.approvals
_COLUMNS = _TABLE.c
_BATCH = 500


class SqlApprovals:
    """`Approvals` on a store; the notes are in the same outbox as those of `SqlDocuments`. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> Approval | None:
        """Keep a new approval; where its workspace has a pending one of the same digest, only give that one.

        `ConflictError` where its id, or that of a delivery, is taken.
        """
        try:
            return self._open(approval, deliveries, notes)
        except ConflictError:  # two asked at the same moment, and the other was sooner
            return self._open(approval, deliveries, notes)

    def get(self, workspace: str, approval_id: str) -> Approval | None:
        """One approval of the workspace, as it was last kept."""
        found = self._read(select(_TABLE).where(_same(workspace, approval_id)))
        return found[0] if found else None

    def change(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> None:
        """Keep the approval's next version. `ConflictError` unless the one before it is what the store holds."""
        before = _same(approval.workspace, approval.id) & (_COLUMNS.version == approval.version - 1)
        with self._store.writing() as connection:
            # Of two at once the second waits here, and then finds another version.
            if connection.execute(update(_TABLE).where(before).values(approval_row(approval))).rowcount == 0:
                raise ConflictError(f"the approval `{approval.id}` has changed in the meantime")
            messages.keep(connection, deliveries)
            keep_notes(connection, notes)

    def find(self, wanted: Wanted) -> list[Approval]:
        """The approvals that are wanted, newest first (those that are due: by `wake_at`, soonest first)."""
        order = [_COLUMNS.id.desc()] if wanted.due_at is None else [_COLUMNS.wake_at, _COLUMNS.id]
        return self._read(select(_TABLE).where(*_asked(wanted)).order_by(*order).limit(max(0, wanted.limit)))

    def versions(self, approval_ids: Sequence[str]) -> Mapping[str, int]:
        """The versions of these approvals. Unknown ids are left out."""
        found: dict[str, int] = {}
        with self._store.reading() as connection:
            for start in range(0, len(approval_ids), _BATCH):
                named = _COLUMNS.id.in_(approval_ids[start : start + _BATCH])
                rows = connection.execute(select(_COLUMNS.id, _COLUMNS.version).where(named))
                found.update((row.id, row.version) for row in rows)
        return found

    def _open(self, approval: Approval, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> Approval | None:
        with self._store.writing() as connection:
            pending = _pending(connection, approval)
            if pending is None:
                connection.execute(insert(_TABLE).values(approval_row(approval)))
                messages.keep(connection, deliveries)
                keep_notes(connection, notes)
        return pending

    def _read(self, query: Select[tuple[object, ...]]) -> list[Approval]:
        with self._store.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [read_approval(row) for row in rows]


def _pending(connection: Connection, like: Approval) -> Approval | None:
    """The approval of the same call in the same workspace that waits for a decision."""
    # The state is written out, so that the index of those that are pending is used.
    is_pending = _COLUMNS.state == literal_column(f"'{State.PENDING.value}'")
    query = select(_TABLE).where(is_pending, _COLUMNS.workspace == like.workspace, _COLUMNS.digest == like.digest)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else read_approval(row)


def _asked(wanted: Wanted) -> list[ColumnElement[bool]]:
    equal = {
        _COLUMNS.workspace: wanted.workspace,
        _COLUMNS.digest: wanted.digest,
        _COLUMNS.agent_id: wanted.agent_id,
        _COLUMNS.capability: wanted.capability,
    }
    asked = [column == value for column, value in equal.items() if value is not None]
    if wanted.states is not None:
        asked.append(_COLUMNS.state.in_(sorted(state.value for state in wanted.states)))
    if wanted.due_at is not None:
        asked.append(_COLUMNS.wake_at <= wanted.due_at)
    if wanted.before is not None:
        asked.append(_COLUMNS.id < wanted.before)
    return asked


def _same(workspace: str, approval_id: str) -> ColumnElement[bool]:
    return (_COLUMNS.workspace == workspace) & (_COLUMNS.id == approval_id)
