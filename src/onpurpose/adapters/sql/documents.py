"""The documents of all workspaces in a database, and the records that their changes owe the log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, Integer, Row, and_, bindparam, delete, insert, or_, select, tuple_, update

from onpurpose.adapters.sql import tables
from onpurpose.adapters.sql.changes import Changes, keep_notes, next_version
from onpurpose.adapters.sql.engine import Store
from onpurpose.core.revision import Change, Contents, Kind, MissingError, Revision, Standing, advance

_BATCH = 500
_WORKSPACES = tables.workspaces.c
_REVISIONS = tables.revisions.c
_STANDINGS = tables.standings.c
_OUTBOX = tables.outbox.c


class SqlDocuments:
    """`Documents` and `Outbox` on a store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes = Changes(store)

    def contents(self, workspace: str) -> Contents:
        """All of a workspace at one version of it. `MissingError` where there is no such workspace."""
        with self._store.reading() as connection:
            version = connection.scalar(select(_WORKSPACES.version).where(_WORKSPACES.id == workspace))
            if version is None:
                raise MissingError(f"there is no workspace `{workspace}`")
            standings = connection.execute(_STANDING_OF_ALL, {"workspace": workspace}).all()
            revisions = connection.execute(_TEXTS_IN_FORCE, {"workspace": workspace}).all()
        return Contents(
            workspace=workspace,
            version=version,
            standings=tuple(map(_standing, standings)),
            texts={(one.kind, one.name, one.number): one for one in map(_revision, revisions)},
        )

    def change(  # noqa: PLR0913  what a change is made of
        self, workspace: str, changes: Sequence[Change], *, author: str, at: int, reason: str, notes: Sequence[bytes]
    ) -> int:
        """Make all the changes or none; the workspace's new version."""
        written: list[dict[str, object]] = []
        with self._store.writing() as connection:
            # Of two changes at once the second waits here, and then finds what the first has done.
            version = next_version(connection, workspace)
            before = _standings(connection, workspace, changes)
            after = dict(before)
            for change in changes:
                key = (change.kind, change.name)
                after[key] = standing = advance(after.get(key), change)
                if change.text is not None:
                    document = {"workspace": workspace, "kind": change.kind.value, "name": change.name}
                    told = {"author": author, "at": at, "reason": reason, **_text(change.text)}
                    written.append({**document, **told, "number": standing.newest})
            if written:
                connection.execute(insert(tables.revisions), written)
            _write_standings(connection, workspace, before, after)
            keep_notes(connection, notes)
        return version

    def revisions(self, workspace: str, kind: Kind, name: str, before: int | None, limit: int) -> list[Revision]:
        """The revisions of one document, newest first, those below a number. Empty where there is none."""
        query = select(tables.revisions).where(
            _REVISIONS.workspace == workspace, _REVISIONS.kind == kind.value, _REVISIONS.name == name
        )
        if before is not None:
            query = query.where(_REVISIONS.number < before)
        with self._store.reading() as connection:
            rows = connection.execute(query.order_by(_REVISIONS.number.desc()).limit(limit)).all()
        return [_revision(row) for row in rows]

    def versions(self) -> Mapping[str, int]:
        """The version of every workspace."""
        with self._store.reading() as connection:
            rows = connection.execute(select(_WORKSPACES.id, _WORKSPACES.version)).all()
        return {row.id: row.version for row in rows}

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or earlier where something changed since the last wait ended.

        The first wait returns at once. Raises nothing where the database cannot be reached.
        """
        self._changes.wait(seconds)

    def unsent(self, limit: int) -> list[tuple[int, bytes]]:
        """Numbers and bodies, oldest first."""
        with self._store.reading() as connection:
            rows = connection.execute(_UNSENT, {"most": limit}).all()
        return [(row.n, bytes(row.body)) for row in rows]

    def sent(self, numbers: Sequence[int]) -> None:
        """They are durable in the log: forget them."""
        if numbers:
            with self._store.writing() as connection:
                connection.execute(_FORGET, [{"number": number} for number in sorted(numbers)])

    def close(self) -> None:
        """Let go of the connection that waits; the store stays open. May be called twice."""
        self._changes.close()


_UNSENT = select(tables.outbox).order_by(_OUTBOX.n).limit(bindparam("most", type_=Integer))
_FORGET = delete(tables.outbox).where(_OUTBOX.n == bindparam("number"))
_STANDING_OF_ALL = (
    select(tables.standings)
    .where(_STANDINGS.workspace == bindparam("workspace"))
    .order_by(_STANDINGS.kind, _STANDINGS.name)
)
_TEXTS_IN_FORCE = select(tables.revisions).join(
    tables.standings,
    and_(
        _STANDINGS.workspace == bindparam("workspace"),
        _REVISIONS.workspace == bindparam("workspace"),
        _STANDINGS.kind == _REVISIONS.kind,
        _STANDINGS.name == _REVISIONS.name,
        or_(_STANDINGS.live == _REVISIONS.number, _STANDINGS.shadow == _REVISIONS.number),
    ),
)


def _standings(connection: Connection, workspace: str, changes: Sequence[Change]) -> dict[tuple[Kind, str], Standing]:
    """Where the documents that are to be changed stand now."""
    keys = sorted({(change.kind.value, change.name) for change in changes})
    found = {}
    for batch in _batches(keys):
        named = tuple_(_STANDINGS.kind, _STANDINGS.name).in_(batch)
        for row in connection.execute(select(tables.standings).where(_STANDINGS.workspace == workspace, named)):
            standing = _standing(row)
            found[standing.kind, standing.name] = standing
    return found


def _write_standings(
    connection: Connection,
    workspace: str,
    before: Mapping[tuple[Kind, str], Standing],
    after: Mapping[tuple[Kind, str], Standing],
) -> None:
    added = [_row(workspace, standing) for key, standing in after.items() if key not in before]
    changed = [_row(workspace, standing) for key, standing in after.items() if key in before]
    if added:
        connection.execute(insert(tables.standings), added)
    if changed:
        key = ("workspace", "kind", "name")
        same = [_STANDINGS[name] == bindparam(f"the_{name}") for name in key]
        rows = [{f"the_{name}" if name in key else name: value for name, value in row.items()} for row in changed]
        connection.execute(update(tables.standings).where(*same), rows)


def _batches(keys: Sequence[tuple[str, str]]) -> Iterator[Sequence[tuple[str, str]]]:
    for start in range(0, len(keys), _BATCH):
        yield keys[start : start + _BATCH]


def _text(text: str) -> dict[str, object]:
    return {"text": text, "digest": hashlib.sha256(text.encode()).hexdigest()}


def _row(workspace: str, standing: Standing) -> dict[str, object]:
    return {
        "workspace": workspace,
        "kind": standing.kind.value,
        "name": standing.name,
        "version": standing.version,
        "newest": standing.newest,
        "live": standing.live,
        "shadow": standing.shadow,
        "former": None if standing.former is None else orjson.dumps(standing.former).decode(),
        "promoted_at": standing.promoted_at,
    }


def _standing(row: Row[Any]) -> Standing:
    live, shadow = (None, None) if row.former is None else orjson.loads(row.former)
    return Standing(
        kind=Kind(row.kind),
        name=row.name,
        version=row.version,
        newest=row.newest,
        live=row.live,
        shadow=row.shadow,
        former=None if row.former is None else (live, shadow),
        promoted_at=row.promoted_at,
    )


def _revision(row: Row[Any]) -> Revision:
    return Revision(
        workspace=row.workspace,
        kind=Kind(row.kind),
        name=row.name,
        number=row.number,
        text=row.text,
        digest=row.digest,
        author=row.author,
        at=row.at,
        reason=row.reason,
    )
