"""Checkpoints of a log in PostgreSQL: who grew since the newest, and signing for it."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from psycopg import Connection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from onpurpose.adapters.sql.postgres.schema import LOCKS, SIGNING
from onpurpose.core.checkpoint import GENESIS as FIRST
from onpurpose.core.checkpoint import Checkpoint, Signed, key_id, parse
from onpurpose.core.record import Head, LedgerError
from onpurpose.ports import Signer

_NEWEST = "SELECT n, body, signature FROM checkpoints ORDER BY n DESC LIMIT 1"
_AGE = "SELECT extract(epoch FROM clock_timestamp() - made)::float8 FROM checkpoints ORDER BY n DESC LIMIT 1"
# A writer holds the lock of its chain as long as it is connected: who gets it knows that the chain
# stands still, and (holding it to the end of this transaction) that nobody takes it up again.
_LEFT = """
SELECT id FROM chains WHERE NOT ended AND id <> %s AND pg_try_advisory_xact_lock(%s, id)
"""
_OPEN = "SELECT id, name, covered, covered_day FROM chains WHERE NOT ended AND id <> %s"
# The day is given as a value, and planned for each time: so that partitions before it are not even opened.
_HEADS = """
SELECT open.id, seq, hash, day FROM unnest(%s::int[]) AS open (id) CROSS JOIN LATERAL (
    SELECT seq, hash, day FROM records WHERE chain = open.id AND day >= %s ORDER BY seq DESC LIMIT 1
) AS records
"""
_COVER = """
UPDATE chains SET covered = greatest(chains.covered, new.covered), covered_day = new.day, ended = new.ended
FROM unnest(%s::int[], %s::bigint[], %s::date[], %s::boolean[]) AS new (id, covered, day, ended)
WHERE chains.id = new.id
"""
_INSERT = "INSERT INTO checkpoints (n, count, starts, body, signature) VALUES (%s, %s, %s, %s, %s)"


class Chain(Head, gc=False):
    """The chain being written: its head, the number that stands for its name, the day of the head."""

    row: int
    day: date


class Start(NamedTuple):
    """How much of a chain is covered by checkpoints, and the day of the last record that is."""

    covered: int
    day: date


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reach:
    """How far a chain reaches now, and how far checkpoints covered it."""

    row: int
    head: Head
    day: date
    start: Start
    ended: bool

    @property
    def grown(self) -> int:
        return max(0, self.head.seq - self.start.covered)


def newest(connection: Connection[TupleRow]) -> Signed | None:
    """The log's newest checkpoint."""
    row = connection.execute(_NEWEST).fetchone()
    return None if row is None else Signed(n=row[0], body=row[1], signature=row[2])


def age(connection: Connection[TupleRow]) -> float:
    """How long ago the newest checkpoint was made, in seconds by the server's clock."""
    row = connection.execute(_AGE).fetchone()
    return float("inf") if row is None else float(row[0])


def lock(connection: Connection[TupleRow]) -> None:
    """Wait until no other writer signs; held to the end of the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCKS, SIGNING))


def try_lock(connection: Connection[TupleRow]) -> bool:
    """Whether no other writer signs just now; if so, held to the end of the transaction."""
    row = connection.execute("SELECT pg_try_advisory_xact_lock(%s, %s)", (LOCKS, SIGNING)).fetchone()
    return row is not None and bool(row[0])


class Signing:
    """Signs a log's checkpoints with one key, each in a transaction of the caller's that holds the lock."""

    def __init__(self, name: str, signer: Signer) -> None:
        self._name = name
        self._signer = signer
        self._believed: tuple[Signed, Checkpoint] | None = None

    def newest(self, connection: Connection[TupleRow]) -> tuple[Signed, Checkpoint] | None:
        """The log's newest checkpoint; `LedgerError` when this key has not signed it."""
        found = newest(connection)
        if found is None or (self._believed is not None and self._believed[0] == found):
            return self._believed if found is not None else None
        # Ed25519 signatures are a function of key and message, so signing again is checking.
        if self._signer.sign(found.message) != found.signature:
            raise LedgerError(
                f"the log `{self._name}` is signed with another key than this writer's"
                f" ({key_id(self._signer.public_key)}), or was changed\n"
                "help: run `onpurpose audit verify`; use the log's own key, or begin a new log"
            )
        self._believed = (found, parse(found.body))
        return self._believed

    def sign(self, connection: Connection[TupleRow], chain: Chain, start: Start, *, last: bool) -> Checkpoint:
        """Add a checkpoint over all that is committed and over this chain, which is covered up to `start`."""
        before = self.newest(connection)
        own = _Reach(row=chain.row, head=chain, day=chain.day, start=start, ended=last)
        reaches = [own, *_others(connection, chain.row)]
        checkpoint = Checkpoint(
            log=before[1].log if before else secrets.token_hex(16),
            n=before[1].n + 1 if before else 1,
            at=time.time_ns() // 1000,
            previous=before[0].hash if before else FIRST,
            key=key_id(self._signer.public_key),
            count=(before[1].count if before else 0) + sum(reach.grown for reach in reaches),
            chain=chain.chain,
            closed=last,
            heads={
                reach.head.chain: Head(reach.head.chain, reach.head.seq, reach.head.hash)
                for reach in reaches
                if reach.grown or reach is own
            },
        )
        unsigned = Signed(n=checkpoint.n, body=checkpoint.body(), signature=b"")
        kept = Signed(n=unsigned.n, body=unsigned.body, signature=self._signer.sign(unsigned.message))
        _keep(connection, kept, checkpoint.count, reaches)
        self._believed = (kept, checkpoint)
        return checkpoint


def _others(connection: Connection[TupleRow], own: int) -> list[_Reach]:
    """The chains, besides our own, that grew or that their writers have left."""
    left = {row for (row,) in connection.execute(_LEFT, (own, LOCKS))}
    known = {row: (name, Start(covered, day)) for row, name, covered, day in connection.execute(_OPEN, (own,))}
    if not known:
        return []
    since = min(start.day for _, start in known.values())
    heads = connection.execute(_HEADS, (list(known), since), prepare=False)
    return [
        _Reach(row=row, head=Head(known[row][0], seq, digest), day=day, start=known[row][1], ended=row in left)
        for row, seq, digest, day in heads
        if seq > known[row][1].covered or row in left
    ]


def _keep(connection: Connection[TupleRow], kept: Signed, count: int, reaches: list[_Reach]) -> None:
    starts = {reach.head.chain: [reach.start.covered, reach.start.day.isoformat()] for reach in reaches}
    connection.execute(_INSERT, (kept.n, count, Jsonb(starts), kept.body, kept.signature))
    columns = ([r.row for r in reaches], [r.head.seq for r in reaches], [r.day for r in reaches])
    connection.execute(_COVER, (*columns, [reach.ended for reach in reaches]))
