"""Approvals in a database: what of them is looked for in columns, the whole of each in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from sqlalchemy import ColumnElement, Integer, Select, bindparam, func, insert, literal_column, select, update

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
        decided = approval.state is not State.PENDING  # which the index of those that are pending does not refuse
        pending = self._pending(approval) if decided else None
        if pending is None:
            try:
                self._keep(approval, deliveries, notes)
            except ConflictError:
                pending = self._pending(approval)
                if pending is None:  # it was decided just now, or an id is taken
                    self._keep(approval, deliveries, notes)
        return pending

    def get(self, workspace: str, approval_id: str) -> Approval | None:
        """One approval of the workspace, as it was last kept."""
        found = self._read(_ONE, {"of": workspace, "named": approval_id})
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
        given = {name: value for name in _WANTED if (value := getattr(wanted, name)) is not None}
        if wanted.states is not None:
            given["states"] = sorted(state.value for state in wanted.states)
        return self._read(_wanted(tuple(given)), {**given, "most": max(0, wanted.limit)})

    def pending(self, workspace: str, agent_id: str) -> int:
        """How many approvals of the agent wait for a decision in the workspace."""
        with self._store.reading() as connection:
            return connection.execute(_HOW_MANY, {"of": workspace, "agent": agent_id}).scalar_one()

    def versions(self, approval_ids: Sequence[str]) -> Mapping[str, int]:
        """The versions of these approvals. Unknown ids are left out."""
        found: dict[str, int] = {}
        with self._store.reading() as connection:
            for start in range(0, len(approval_ids), _BATCH):
                named = _COLUMNS.id.in_(approval_ids[start : start + _BATCH])
                rows = connection.execute(select(_COLUMNS.id, _COLUMNS.version).where(named))
                found.update((row.id, row.version) for row in rows)
        return found

    def _keep(self, approval: Approval, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> None:
        with self._store.writing() as connection:
            connection.execute(insert(_TABLE).values(approval_row(approval)))
            messages.keep(connection, deliveries)
            keep_notes(connection, notes)

    def _pending(self, like: Approval) -> Approval | None:
        """The approval of the same call in the same workspace that waits for a decision."""
        found = self._read(_PENDING, {"of": like.workspace, "digest": like.digest})
        return found[0] if found else None

    def _read(self, query: Select[tuple[object, ...]], values: Mapping[str, object]) -> list[Approval]:
        with self._store.reading() as connection:
            rows = connection.execute(query, values).mappings().all()
        return [read_approval(row) for row in rows]


_WANTED = ("workspace", "digest", "agent_id", "capability", "states", "due_at", "before")
"""What an approval may be looked for by, as `Wanted` calls it."""


@lru_cache
def _wanted(given: tuple[str, ...]) -> Select[tuple[object, ...]]:
    """The statement that looks for approvals by these. Made once: that takes as long as running it."""
    asked = [_asked(name) for name in given]
    order = [_COLUMNS.wake_at, _COLUMNS.id] if "due_at" in given else [_COLUMNS.id.desc()]
    return select(_TABLE).where(*asked).order_by(*order).limit(bindparam("most", type_=Integer))


def _asked(name: str) -> ColumnElement[bool]:
    if name == "states":
        return _COLUMNS.state.in_(bindparam(name, expanding=True))
    if name == "due_at":
        return _COLUMNS.wake_at <= bindparam(name)
    if name == "before":
        return _COLUMNS.id < bindparam(name)
    return _COLUMNS[name] == bindparam(name)


def _same(workspace: str, approval_id: str) -> ColumnElement[bool]:
    return (_COLUMNS.workspace == workspace) & (_COLUMNS.id == approval_id)


_ONE = select(_TABLE).where(_COLUMNS.workspace == bindparam("of"), _COLUMNS.id == bindparam("named"))
# The state is written out, so that the index of those that are pending is used.
_WAITING = (_COLUMNS.state == literal_column(f"'{State.PENDING.value}'")) & (_COLUMNS.workspace == bindparam("of"))
_PENDING = select(_TABLE).where(_WAITING, _COLUMNS.digest == bindparam("digest"))
_HOW_MANY = select(func.count()).select_from(_TABLE).where(_WAITING, _COLUMNS.agent_id == bindparam("agent"))
