"""One writer's chain in a log in PostgreSQL: a group of records, one `COPY`, one commit."""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

import orjson
import psycopg
from psycopg import Connection, errors
from psycopg.rows import TupleRow

from onpurpose.adapters.sql.anchor import read_anchor, write_anchor
from onpurpose.adapters.sql.postgres import checkpoints, partitions, schema
from onpurpose.adapters.sql.postgres.checkpoints import Chain, Signing, Start
from onpurpose.adapters.sql.postgres.connection import Address, close, lost
from onpurpose.adapters.sql.postgres.copying import Row, copy
from onpurpose.core.checkpoint import Checkpoint, Signed
from onpurpose.core.record import GENESIS, Head, LedgerError, Receipt, link
from onpurpose.ports import Signer

_FOUND = """
SELECT covered, ended, seq, hash FROM chains CROSS JOIN LATERAL (
    SELECT seq, hash FROM records WHERE chain = chains.id AND day >= covered_day ORDER BY seq DESC LIMIT 1
) AS records WHERE id = %s AND name = %s
"""
_BEGIN = "INSERT INTO chains (name, day, covered_day) VALUES (%s, %s, %s) RETURNING id"
_BUSY_SECONDS = 0.05


class Store:
    """Writes groups of records into a log; connects when there is something to write.

    After any failure the connection is closed, and made anew for the next group. What is found then is
    believed rather than remembered: where the chain does not end as this writer knows (a commit that
    failed and yet arrived, or may still), it is left as it is and another begun. Not for several threads.
    """

    def __init__(
        self, address: Address, *, signer: Signer, anchor: Path | None, checkpoint_seconds: float, connect_timeout: int
    ) -> None:
        self._address = address
        self._anchor = anchor
        self._checkpoint_seconds = checkpoint_seconds
        self._connect_timeout = connect_timeout
        self._signing = Signing(address.name, signer)
        self._connection: Connection[TupleRow] | None = None
        self._chain: Chain | None = None
        self._days: set[date] = set()
        self._covered = 0  # how much of our chain checkpoints cover, as far as we know
        self.checkpoint: Checkpoint | None = None
        """The newest checkpoint that this writer has made."""
        self.records = self.chains = self.commits = 0
        """What this writer has made durable."""

    @property
    def head(self) -> Head | None:
        """The last record that was written, `None` before the first."""
        return self._chain

    @property
    def uncovered(self) -> int:
        """How many records of ours no checkpoint covers yet."""
        return self._chain.seq - self._covered if self._chain else 0

    def write(self, bodies: Sequence[bytes]) -> list[Receipt]:
        """Make the records durable in one commit and give their receipts, in order.

        Raises `LedgerError` when they are not known to be durable.
        """
        kept = self._chain if self._connection is not None else None
        try:
            return self._write(bodies)
        except LedgerError as error:
            # A connection that stood idle may have been lost long ago. Where the chain still ends as we
            # know it, nothing of these records arrived, and they can be written after all.
            if kept is None or not lost(error.__cause__) or not self._found_again(kept):
                raise
        return self._write(bodies)

    def _write(self, bodies: Sequence[bytes]) -> list[Receipt]:
        with self._told("written"):
            connection = self._open()
            today = _today()
            chain = self._chain
            # Days of a chain never go back, so that a day that has passed is complete. A clock that
            # was far ahead must not fill one day for ever: then another chain begins.
            if chain is None or chain.day > today + partitions.DAY:
                return self._begin(connection, bodies, today)
            day = max(chain.day, today)
            self._make_days(connection, day)
            draft, receipts, rows = _draft(chain, bodies, day)
            copy(connection, chain.row, day, rows)
        self._advance(draft, len(receipts))
        return receipts

    def sign(self, *, last: bool = False) -> float:
        """Sign a checkpoint, `last` as the end of the chain, and note it; seconds until the next is due.

        Where another writer signs just now, or has signed a moment ago, that is as good. Raises `LedgerError`.
        """
        with self._told("signed"):
            connection = self._open()
            chain = self._chain
            if chain is None:
                return self._checkpoint_seconds
            wait = self._sign_now(connection, chain, last=last)
            if last:
                self._chain, self._covered = None, 0
            self._make_days(connection, max(chain.day, _today()))
        self.note()
        return wait

    def note(self) -> None:
        """Bring the anchor up to the newest checkpoint; `LedgerError` when that fails."""
        if self._anchor is None:
            return
        with self._told("signed"):
            failure = _note(self._open(), self._anchor)
        if failure is not None:
            raise LedgerError(f"the anchor `{self._anchor}` cannot be written: {failure.strerror}") from failure

    @contextlib.contextmanager
    def _told(self, doing: str) -> Iterator[None]:
        """Close the connection after any failure, and say what could not be done."""
        try:
            yield
        except (psycopg.Error, OSError) as error:
            self.disconnect()
            raise self._address.describe(doing, error) from error
        except BaseException:
            self.disconnect()
            raise

    def disconnect(self) -> None:
        """Close the connection; the next group makes another. An open transaction is rolled back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            close(connection)

    def _open(self) -> Connection[TupleRow]:
        if self._connection is None:
            connection = self._address.writer(self._connect_timeout)
            try:
                self._set_up(connection)
            except BaseException:
                close(connection)
                raise
            self._connection = connection
        return self._connection

    def _found_again(self, kept: Chain) -> bool:
        """Connect anew; whether our chain is as it was."""
        try:
            self._open()
        except (psycopg.Error, OSError):
            return False
        return self._chain is kept

    def _set_up(self, connection: Connection[TupleRow]) -> None:
        if not schema.exists(connection):
            self._refuse_missing()
            with connection.transaction():
                schema.create(connection)
        self._days.clear()
        self._find_head(connection)
        self._check_anchor(connection)

    def _find_head(self, connection: Connection[TupleRow]) -> None:
        """Keep to our chain if nobody else may still write to it and it ends where we know it to end."""
        chain = self._chain
        if chain is None:
            return
        try:
            # Held by our former connection, until the server has noticed that it is gone.
            connection.execute("SELECT pg_advisory_lock(%s, %s)", (schema.LOCKS, chain.row))
            found = connection.execute(_FOUND, (chain.row, chain.chain)).fetchone()
        except errors.LockNotAvailable:
            found = None
        if found is None or found[1:] != (False, chain.seq, chain.hash):
            self._chain, self._covered = None, 0
        else:
            self._covered = min(found[0], chain.seq)

    def _refuse_missing(self) -> None:
        if self._anchor is not None and self._anchor.exists():
            raise LedgerError(
                f"the log `{self._address.name}` is gone, its anchor `{self._anchor}` is not\n"
                "help: put the log back, or move the anchor away to begin a new log"
            )

    def _check_anchor(self, connection: Connection[TupleRow]) -> None:
        """Refuse a log that does not reach as far as its anchor: it was cut, or another one put there."""
        anchored = read_anchor(self._anchor) if self._anchor else None
        if anchored is None:
            return
        query = "SELECT n, body, signature FROM checkpoints WHERE n = %s"
        row = connection.execute(query, (anchored.n,)).fetchone()
        if row is None or Signed(n=row[0], body=row[1], signature=row[2]).hash != anchored.hash:
            raise LedgerError(
                f"the log `{self._address.name}` does not hold the checkpoint {anchored.n} of its anchor"
                f" `{self._anchor}`: it was cut off or replaced\n"
                "help: put the log back, or move the anchor away to begin anew"
            )

    def _make_days(self, connection: Connection[TupleRow], day: date) -> None:
        """Make sure of the partition of a day and of the day after it."""
        if day not in self._days or day + partitions.DAY not in self._days:
            days = {day, day + partitions.DAY}
            partitions.ensure(connection, sorted(days))
            self._days = days

    def _begin(self, connection: Connection[TupleRow], bodies: Sequence[bytes], today: date) -> list[Receipt]:
        """Write the records as the first of a chain of their own, with a checkpoint of ours over them."""
        self._chain, self._covered = None, 0
        self._make_days(connection, today)
        with connection.transaction():
            checkpoints.lock(connection)
            newest = self._signing.newest(connection)
            name = secrets.token_hex(16)
            row = _inserted(connection.execute(_BEGIN, (name, today, today)).fetchone())
            connection.execute("SELECT pg_advisory_lock(%s, %s)", (schema.LOCKS, row))
            opening = _opened(newest[1].n if newest else 0)
            draft, receipts, rows = _draft(Chain(name, 0, GENESIS, row, today), [opening, *bodies], today)
            copy(connection, row, today, rows)
            checkpoint = self._signing.sign(connection, draft, Start(0, today), last=False)
        self.chains += 1
        self._advance(draft, len(receipts))
        self._covered, self.checkpoint = draft.seq, checkpoint
        return receipts[1:]

    def _advance(self, head: Chain, count: int) -> None:
        self._chain = head
        self.records += count
        self.commits += 1

    def _sign_now(self, connection: Connection[TupleRow], chain: Chain, *, last: bool) -> float:
        with connection.transaction():
            if last:
                checkpoints.lock(connection)
            elif not checkpoints.try_lock(connection):
                return min(_BUSY_SECONDS, self._checkpoint_seconds)
            # What another writer's checkpoint covers of our chain, ours need not.
            found = connection.execute("SELECT covered, covered_day FROM chains WHERE id = %s", (chain.row,)).fetchone()
            start = Start(min(chain.seq, found[0]), found[1]) if found else Start(self._covered, chain.day)
            age = checkpoints.age(connection)
            if not last and start.covered > self._covered and age < self._checkpoint_seconds:
                self._covered = start.covered
                return self._checkpoint_seconds - age
            checkpoint = self._signing.sign(connection, chain, start, last=last)
        self._covered, self.checkpoint = chain.seq, checkpoint
        return self._checkpoint_seconds


def _note(connection: Connection[TupleRow], anchor: Path) -> OSError | None:
    """Write the newest checkpoint into the file, or say why that failed.

    Under a lock, so that of several processes none puts back an older one.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s, %s)", (schema.LOCKS, schema.ANCHORING))
        newest = checkpoints.newest(connection)
        if newest is not None:
            try:
                write_anchor(anchor, newest)
            except OSError as error:
                return error
    return None


def _draft(chain: Chain, bodies: Sequence[bytes], day: date) -> tuple[Chain, list[Receipt], list[Row]]:
    """The chain's new head, to be kept once the records are committed; their receipts; their rows."""
    name, seq, last = chain.chain, chain.seq, chain.hash
    receipts, rows = [], []
    for body in bodies:
        seq += 1
        last = link(last, name, seq, body)
        receipts.append(Receipt(name, seq, last))
        rows.append((seq, last, body))
    return Chain(name, seq, last, chain.row, day), receipts, rows


def _inserted(row: TupleRow | None) -> int:
    if row is None:
        raise LedgerError("the server did not number a new chain")
    return int(row[0])


def _today() -> date:
    return datetime.now(UTC).date()


def _opened(checkpoint: int) -> bytes:
    """The body of a chain's first record: who writes it, and what the log's newest checkpoint was."""
    value = {
        "v": 1,
        "kind": "log.opened",
        "at": time.time_ns() // 1000,
        "checkpoint": checkpoint,
        "pid": os.getpid(),
        "host": platform.node(),
        "onpurpose": version("onpurpose"),
        "python": platform.python_version(),
    }
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
