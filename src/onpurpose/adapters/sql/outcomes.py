"""What decisions came to, hour by hour, in SQLite and PostgreSQL: counted as they come, so that reading costs little.

The state of the feed says which decisions are counted. Each is counted once, in the transaction that moves that on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, func, literal_column, select, text

from onpurpose.adapters.sql.feed_tables import HOUR, decisions, outcomes, state
from onpurpose.adapters.sql.rollups import reading, upsert
from onpurpose.core.feed import WIDTHS, Batch, Bucket, Called, Counted, OutcomeCount
from onpurpose.core.outcome import Outcome

_KEY = tuple[str, int, int]
_UNCOUNTED = state.c.decisions - state.c.counted_to + state.c.counted_above

# Each name is found by its index from the one before: as many steps as there are names, however many calls.
_CALLED = text("""
WITH RECURSIVE names (capability) AS (
    SELECT min(capability) FROM decisions WHERE workspace = :workspace
    UNION ALL
    SELECT (
        SELECT min(d.capability) FROM decisions d WHERE d.workspace = :workspace AND d.capability > names.capability
    ) FROM names WHERE names.capability IS NOT NULL
)
SELECT capability, (
    SELECT d.at FROM decisions d WHERE d.workspace = :workspace AND d.capability = names.capability
    ORDER BY d.n DESC LIMIT 1
) FROM names WHERE capability IS NOT NULL LIMIT :most
""")


class SqlOutcomes:
    """Reads what decisions came to. Raises `StoreError` where the database cannot be reached."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def outcomes(self, workspace: str, width: Bucket, since: int, until: int) -> Counted:
        """What a workspace's decisions came to in each hour or day that begins at `since` or later, before `until`.

        Times are in microseconds UTC; an hour or day in which nothing was decided is left out.
        """
        start = _floor(outcomes.c.start, WIDTHS[width]).label("stretch")
        sums = (func.sum(outcomes.c.count), func.sum(outcomes.c.newly_blocked))
        query = (
            select(start, outcomes.c.outcome, *sums)
            .where(outcomes.c.workspace == workspace, outcomes.c.start >= since, outcomes.c.start < until)
            .group_by(start, outcomes.c.outcome)
            .order_by(start, outcomes.c.outcome)
        )
        with reading(self._engine) as connection:
            left = uncounted(connection)  # first: what is counted meanwhile is in the counts, and not called so
            rows = connection.execute(query).all()
        counts = (
            OutcomeCount(start=at, outcome=Outcome(outcome), count=int(count), newly_blocked=int(blocked))
            for at, outcome, count, blocked in rows
            if count
        )
        return Counted(counts=tuple(counts), uncounted=left)

    def called(self, workspace: str, limit: int) -> list[Called]:
        """The capabilities that a workspace's calls ever had, at most so many of them."""
        with reading(self._engine) as connection:
            rows = connection.execute(_CALLED, {"workspace": workspace, "most": limit})
            return [Called(capability=name, last_at=at) for name, at in rows]


def uncounted(connection: Connection) -> int:
    """How many decisions are stored and not counted."""
    return int(connection.execute(select(_UNCOUNTED)).scalar_one())


def add(connection: Connection, batch: Batch) -> None:
    """Count the decisions of a batch, in the transaction that adds them.

    Not those that come behind others that are not counted, for which `count_on` is there.
    """
    before, after = batch.before.decisions, batch.before.decisions + len(batch.entries)
    moved = state.update().where(state.c.counted_to == before).values(counted_to=after)
    if not batch.entries or not connection.execute(moved).rowcount:
        return
    counts: dict[_KEY, list[int]] = {}
    for entry in batch.entries:
        key = (entry.workspace, entry.at - entry.at % HOUR, int(entry.outcome))
        count = counts.get(key)
        if count is None:
            count = counts[key] = [0, 0]
        count[0] += 1
        count[1] += entry.newly_blocked
    _add(connection, ((*key, *count) for key, count in counts.items()))


def take_back(connection: Connection, *this: ColumnElement[bool]) -> None:
    """Count the decisions that meet the conditions as denied, before they become so, in the same transaction."""
    columns = decisions.c
    counted = (columns.n > state.c.counted_above, columns.n <= state.c.counted_to)
    query = select(columns.workspace, columns.at, columns.outcome, columns.newly_blocked).where(*this, *counted)
    for workspace, at, outcome, blocked in connection.execute(query).all():
        start = at - at % HOUR
        _add(connection, [(workspace, start, outcome, -1, -int(blocked))])
        _add(connection, [(workspace, start, int(Outcome.DENY), 1, int(blocked))])


def count_on(connection: Connection, limit: int) -> int:
    """Count so many decisions more, those first that came last; how many are then left. In a transaction to write."""
    columns = (state.c.decisions, state.c.counted_above, state.c.counted_to)
    held, above, to = connection.execute(select(*columns).with_for_update()).one()
    if to < held:  # a release that does not count added them
        low, high = to, min(held, to + limit)
        to = high
    else:
        low, high = max(0, above - limit), above
        above = low
    if low < high:
        _count(connection, low, high)
        connection.execute(state.update().values(counted_above=above, counted_to=to))
    return int(held - to + above)


def _count(connection: Connection, low: int, high: int) -> None:
    """Count the decisions above the number `low` and up to `high`, without bringing them here."""
    columns = decisions.c
    start = _floor(columns.at, HOUR)
    key = (columns.workspace, start, columns.outcome)
    blocked = func.count().filter(columns.newly_blocked.is_(True))
    query = select(*key, func.count(), blocked).where(columns.n > low, columns.n <= high).group_by(*key)
    connection.execute(_adding(connection, upsert(connection, outcomes).from_select(list(outcomes.columns), query)))


def _add(connection: Connection, rows: Iterable[tuple[object, ...]]) -> None:
    names = [column.name for column in outcomes.columns]
    found = [dict(zip(names, row, strict=True)) for row in rows]
    connection.execute(_adding(connection, upsert(connection, outcomes)), found)


def _adding(connection: Connection, insert: Any) -> Any:
    sums = {name: outcomes.c[name] + insert.excluded[name] for name in ("count", "newly_blocked")}
    return insert.on_conflict_do_update(index_elements=outcomes.primary_key.columns, set_=sums)


def _floor(at: ColumnElement[int], width: int) -> ColumnElement[int]:
    """Where the stretch begins. The width is written out: what is grouped by must read the same at each place."""
    return at - at % literal_column(str(width))
