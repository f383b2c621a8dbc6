"""First answers to requests that name an idempotency key, in a database. They may hold tokens."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, tuple_, update

from onpurpose.adapters.sql import tables
from onpurpose.adapters.sql.engine import Store
from onpurpose.core.claim import ANSWER_MICROSECONDS, CLAIM_MICROSECONDS, Claim, ClaimState
from onpurpose.core.revision import ConflictError

_TABLE = tables.idempotency
_COLUMNS = _TABLE.c
_BATCH = 10_000


class SqlIdempotency:
    """Remembers first answers, by workspace and the hash of the key. Thread-safe. Raises `StoreError`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def claim(self, workspace: str, key_hash: bytes, call_digest: bytes, at: int) -> Claim:
        """Claim the key for this request, in one transaction. `at` in microseconds UTC."""
        try:
            with self._store.writing() as connection:
                return _claim(connection, workspace, key_hash, call_digest, at)
        except ConflictError:  # two came first at the same moment, and the other was sooner
            return Claim(state=ClaimState.BUSY)

    def settle(self, workspace: str, key_hash: bytes, body: bytes, at: int) -> None:
        """Keep the answer of a claim, for a day from `at` on. A first answer is never replaced."""
        with self._store.writing() as connection:
            kept = update(_TABLE).where(_unsettled(workspace, key_hash)).values(answer=body, at=at)
            connection.execute(kept)

    def release(self, workspace: str, key_hash: bytes) -> None:
        """Give up a claim without an answer."""
        with self._store.writing() as connection:
            connection.execute(delete(_TABLE).where(_unsettled(workspace, key_hash)))

    def forget(self, now: int) -> int:
        """Delete what is void at that time (microseconds UTC), at most 10,000 of them; how many these were.

        To be called now and then, until it gives 0.
        """
        key = (_COLUMNS.workspace, _COLUMNS.key_hash)
        old = select(*key).where(_COLUMNS.at < now - ANSWER_MICROSECONDS).limit(_BATCH)
        with self._store.writing() as connection:
            return connection.execute(delete(_TABLE).where(tuple_(*key).in_(old))).rowcount


def _claim(connection: Connection, workspace: str, key_hash: bytes, call_digest: bytes, at: int) -> Claim:
    same = _same(workspace, key_hash)
    held = connection.execute(select(_TABLE).where(same).with_for_update()).one_or_none()
    if held is not None and not _is_void(held, at):
        if bytes(held.call_digest) != call_digest:
            return Claim(state=ClaimState.OTHER)
        if held.answer is None:
            return Claim(state=ClaimState.BUSY)
        return Claim(state=ClaimState.ANSWERED, body=bytes(held.answer))
    claimed = {"call_digest": call_digest, "answer": None, "at": at}
    if held is not None:
        connection.execute(update(_TABLE).where(same).values(claimed))
    else:
        connection.execute(insert(_TABLE).values(workspace=workspace, key_hash=key_hash, **claimed))
    return Claim(state=ClaimState.NEW)


def _is_void(held: Row[Any], at: int) -> bool:
    # Where a clock stepped back, a claim of the future is void too, rather than in the way until then.
    return abs(at - int(held.at)) > (CLAIM_MICROSECONDS if held.answer is None else ANSWER_MICROSECONDS)


def _same(workspace: str, key_hash: bytes) -> ColumnElement[bool]:
    return (_COLUMNS.workspace == workspace) & (_COLUMNS.key_hash == key_hash)


def _unsettled(workspace: str, key_hash: bytes) -> ColumnElement[bool]:
    return _same(workspace, key_hash) & _COLUMNS.answer.is_(None)
