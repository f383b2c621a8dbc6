"""The counts of policies in shadow, in SQLite and PostgreSQL: added to as calls come, read by revision."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Row, Table, func, select
from sqlalchemy.exc import SQLAlchemyError

from onpurpose.adapters.sql.feed_tables import CONFIDENCE, COUNTED, rollups
from onpurpose.core.feed import Bucket, Cell, Judged, kept
from onpurpose.core.revision import StoreError
from onpurpose.core.statistics import Counts

_COUNTS = (*COUNTED, *CONFIDENCE)
_columns = [rollups.c[name] for name in ("bucket", "start", "dimension", *_COUNTS, "first_at", "last_at")]


class SqlRollups:
    """Reads what was counted of policies in shadow."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def series(
        self, judged: Judged, bucket: Bucket, dimension: str, since: int | None = None, until: int | None = None
    ) -> list[Cell]:
        """The cells of one dimension in order of time, those that begin at `since` or later and before `until`."""
        what, colon, name = dimension.partition(":")
        query = select(*_columns).where(
            *_of(judged), rollups.c.bucket == int(bucket), rollups.c.dimension == f"{what}{colon}{kept(name)}"
        )
        if since is not None:
            query = query.where(rollups.c.start >= since)
        if until is not None:
            query = query.where(rollups.c.start < until)
        with reading(self._engine) as connection:
            return [_cell(judged, row) for row in connection.execute(query.order_by(rollups.c.start))]

    def totals(self, judged: Judged) -> list[Cell]:
        """The totals of every dimension that the revision was counted in, in order of dimensions' names."""
        query = select(*_columns).where(*_of(judged), rollups.c.bucket == int(Bucket.TOTAL))
        with reading(self._engine) as connection:
            return [_cell(judged, row) for row in connection.execute(query.order_by(rollups.c.dimension))]


def dimensions(connection: Connection, judged: Judged) -> list[str]:
    """The dimensions that a revision has been counted in."""
    query = select(rollups.c.dimension).where(*_of(judged), rollups.c.bucket == int(Bucket.TOTAL))
    return list(connection.execute(query).scalars())


def add_cells(connection: Connection, cells: Iterable[Cell]) -> None:
    """Add the counts to those that stand; in a transaction of the caller's."""
    rows = [_row(cell) for cell in cells]
    if not rows:
        return
    insert = upsert(connection, rollups)
    least, greatest = (func.min, func.max) if connection.dialect.name == "sqlite" else (func.least, func.greatest)
    values: dict[str, Any] = {name: rollups.c[name] + insert.excluded[name] for name in _COUNTS}
    values["first_at"] = least(rollups.c.first_at, insert.excluded.first_at)
    values["last_at"] = greatest(rollups.c.last_at, insert.excluded.last_at)
    connection.execute(insert.on_conflict_do_update(index_elements=rollups.primary_key.columns, set_=values), rows)


def upsert(connection: Connection, table: Table) -> Any:
    """The dialect's `INSERT` that can say `ON CONFLICT`."""
    from sqlalchemy.dialects import postgresql, sqlite  # noqa: PLC0415  that of PostgreSQL takes 0.1 s to import

    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection to read with; `StoreError` where the store cannot be reached."""
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise StoreError(f"the feed cannot be read: {getattr(error, 'orig', None) or error}") from error


def _of(judged: Judged) -> list[Any]:
    columns = rollups.c
    return [
        columns.workspace == judged.workspace,
        columns.kind == judged.kind,
        columns.name == kept(judged.name),
        columns.revision == judged.revision,
    ]


def _row(cell: Cell) -> dict[str, object]:
    judged, counts = cell.judged, cell.counts
    row: dict[str, object] = {name: getattr(counts, name) for name in COUNTED}
    row.update(zip(CONFIDENCE, counts.confidence, strict=True))
    row.update(
        workspace=judged.workspace,
        kind=judged.kind,
        name=judged.name,
        revision=judged.revision,
        bucket=int(cell.bucket),
        dimension=cell.dimension,
        start=cell.start,
        first_at=cell.first_at,
        last_at=cell.last_at,
    )
    return row


def _cell(judged: Judged, row: Row[Any]) -> Cell:
    """A row of `_columns`: read by place, since a revision has thousands."""
    bucket, start, dimension, *counted, first_at, last_at = tuple[Any, ...](row)
    named = dict(zip(COUNTED, counted, strict=False))
    return Cell(
        judged=judged,
        bucket=Bucket(bucket),
        start=start,
        dimension=dimension,
        counts=Counts(**named, confidence=tuple(counted[len(COUNTED) :])),
        first_at=first_at,
        last_at=last_at,
    )
