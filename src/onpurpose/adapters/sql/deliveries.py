"""The messages that approvals owe, in a database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, insert, literal_column, select, update

from onpurpose.adapters.sql import tables
from onpurpose.adapters.sql.approval_rows import delivery_row, read_delivery
from onpurpose.adapters.sql.engine import Store
from onpurpose.core.delivery import Channel, Delivery, Progress

_TABLE = tables.deliveries
_COLUMNS = _TABLE.c
_OLDER = _TABLE.alias("older")


class SqlDeliveries:
    """`Deliveries` and `GivenUp` on a store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(self, channel: Channel, now: int, leased_until: int, limit: int) -> list[Delivery]:
        """Deliveries that are due, oldest first, as they are from now on: put off until `leased_until`.

        Of several to one recipient about one approval only the first that has not left.
        """
        # The plus keeps SQLite from sorting all that are due: it walks them in their order as far as the limit.
        is_due = literal_column("+deliveries.due_at", BigInteger) <= now
        due = select(_TABLE).where(_first_in_line(channel), is_due).order_by(_COLUMNS.n)
        # Who takes at the same moment passes by what is locked here, and finds it put off afterwards.
        free = due.limit(max(0, limit)).with_for_update(skip_locked=True, of=_TABLE)
        with self._store.writing() as connection:
            rows = connection.execute(free).mappings().all()
            if rows:
                taken = _COLUMNS.n.in_([row["n"] for row in rows])
                connection.execute(update(_TABLE).where(taken).values(due_at=leased_until))
            return [read_delivery({**row, "due_at": leased_until}) for row in rows]

    def settle(self, *deliveries: Delivery) -> None:
        """Keep what became of those that were taken, all at once. One that has left, or was given up, stays so."""
        with self._store.writing() as connection:
            for delivery in sorted(deliveries, key=lambda one: (one.workspace, one.id)):  # one order: no deadlock
                same = (_COLUMNS.workspace == delivery.workspace) & (_COLUMNS.id == delivery.id)
                became = {
                    "due_at": delivery.due_at,
                    "attempts": delivery.attempts,
                    "progress": delivery.progress.value,
                    "ref": delivery.ref,
                    "error": delivery.error,
                }
                connection.execute(update(_TABLE).where(same, _is(Progress.WAITING)).values(became))

    def of(self, workspace: str, approval_id: str) -> list[Delivery]:
        """The deliveries of one approval, oldest first."""
        of_it = (_COLUMNS.workspace == workspace) & (_COLUMNS.approval_id == approval_id)
        return self._read(select(_TABLE).where(of_it).order_by(_COLUMNS.n))

    def dead(self, workspace: str, limit: int, channel: Channel | None = None) -> list[Delivery]:
        """Those that were given up, newest first, of one channel or of all."""
        given_up = select(_TABLE).where(_COLUMNS.workspace == workspace, _is(Progress.DEAD))
        if channel is not None:
            given_up = given_up.where(_COLUMNS.channel == channel.value)
        return self._read(given_up.order_by(_COLUMNS.n.desc()).limit(max(0, limit)))

    def again(self, workspace: str, delivery_ids: Sequence[str], now: int) -> list[Delivery]:
        """Have those of them that are given up wait to be sent as if made `now`; what they are from then on."""
        fresh = {
            "created_at": now, "due_at": now, "attempts": 0, "progress": Progress.WAITING.value, "ref": "", "error": "",
        }  # fmt: skip
        theirs = (_COLUMNS.workspace == workspace) & _COLUMNS.id.in_(sorted(set(delivery_ids))) & _is(Progress.DEAD)
        with self._store.writing() as connection:
            rows = connection.execute(select(_TABLE).where(theirs).order_by(_COLUMNS.n).with_for_update()).mappings()
            found = rows.all()
            if found:
                numbers = [row["n"] for row in found]
                connection.execute(update(_TABLE).where(_COLUMNS.n.in_(numbers)).values(fresh))
            return [read_delivery({**row, **fresh}) for row in found]

    def next_due(self, channel: Channel) -> int | None:
        """When the next delivery of the channel can be taken (microseconds UTC); `None` where none waits.

        One that was taken can be again at its lease's end; one that waits for an older one does not count.
        """
        soonest = select(_COLUMNS.due_at).where(_first_in_line(channel)).order_by(_COLUMNS.due_at).limit(1)
        with self._store.reading() as connection:
            found: int | None = connection.scalar(soonest)
        return found

    def _read(self, query: Select[Any]) -> list[Delivery]:
        with self._store.reading() as connection:
            rows = connection.execute(query).mappings().all()
        return [read_delivery(row) for row in rows]


def keep(connection: Connection, deliveries: Sequence[Delivery]) -> None:
    """Keep the deliveries until they are settled."""
    if deliveries:
        connection.execute(insert(_TABLE), [delivery_row(one) for one in deliveries])


def _is(progress: Progress, column: ColumnElement[str] = _COLUMNS.progress) -> ColumnElement[bool]:
    # Written out: an index of these rows alone is used only where the statement itself says that it may be.
    return column == literal_column(f"'{progress.value}'")


def _first_in_line(channel: Channel) -> ColumnElement[bool]:
    """Those that wait, and of each approval and recipient the oldest that does."""
    same = ("workspace", "approval_id", "channel", "recipient")
    waits_before = (
        select(_OLDER.c.n)
        .where(*(_OLDER.c[name] == _COLUMNS[name] for name in same))
        .where(_is(Progress.WAITING, _OLDER.c.progress), _OLDER.c.n < _COLUMNS.n)
    )
    return (_COLUMNS.channel == channel.value) & _is(Progress.WAITING) & ~waits_before.exists()
