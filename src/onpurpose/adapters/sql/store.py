"""One writer's chain in a log: a group of records, one commit."""

from __future__ import annotations

import os
import platform
import secrets
import sqlite3
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import orjson

from onpurpose.adapters.sql.anchor import read_anchor, write_anchor
from onpurpose.adapters.sql.connection import connect, describe
from onpurpose.core.checkpoint import GENESIS as FIRST
from onpurpose.core.checkpoint import Checkpoint, Signed, key_id, parse
from onpurpose.core.record import GENESIS, Head, LedgerError, Receipt, link
from onpurpose.ports import Signer

# One statement inserts a whole group: every step of a statement gives the interpreter's lock away,
# and under load it takes milliseconds to come back. The third value holds the hashes and the fourth the
# bodies, one after the other; the fifth is a JSON list: where each body begins (from 1) << 24 | its length.
_INSERT = """
INSERT INTO records (chain, seq, hash, body)
SELECT ?, ? + key, substr(?, key * 32 + 1, 32), substr(?, value >> 24, value & 16777215) FROM json_each(?)
"""
_NEWEST = "SELECT n, body, signature FROM checkpoints ORDER BY n DESC LIMIT 1"
_HEAD = """
SELECT records.chain, seq, hash FROM records JOIN chains ON chains.id = records.chain
WHERE name = ? ORDER BY seq DESC LIMIT 1
"""
_GROWN = """
SELECT name, seq, hash FROM (SELECT max(position) AS position FROM records WHERE position > ? GROUP BY chain)
JOIN records USING (position) JOIN chains ON chains.id = records.chain
"""


class _Chain(Head, gc=False):
    """The chain being written: its head, and the number that stands for its name in the table."""

    row: int


class Store:
    """Writes groups of records into the file of a log; opens it when there is something to write.

    After any failure the file is closed, and opened anew for the next group. What is found then is
    believed rather than remembered: where the chain does not end as this writer knows (a commit
    that failed and yet arrived), it is left as it is and another begun. Not for several threads.
    """

    def __init__(self, path: Path, *, anchor: Path, signer: Signer, busy_timeout: float) -> None:
        self._path = path
        self._anchor = anchor
        self._signer = signer
        self._busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] = (0, 0)
        self._key = ""
        self._chain: _Chain | None = None
        self._signed: tuple[Signed, Checkpoint] | None = None
        self._since = 0  # records of ours since the newest checkpoint that we know
        self._anchored = True
        self.records = self.chains = self.commits = 0
        """What this writer has made durable."""

    @property
    def head(self) -> Head | None:
        """The last record that was written, `None` before the first."""
        return self._chain

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The newest checkpoint that this writer has made."""
        return self._signed[1] if self._signed else None

    @property
    def uncovered(self) -> int:
        """How many records of ours no checkpoint covers yet."""
        return self._since

    def write(self, bodies: Sequence[bytes], *, sign: bool = False, last: bool = False) -> list[Receipt]:
        """Make the records durable in one commit and give their receipts, in order.

        `sign` adds a checkpoint (the first group of a chain always has one), `last` says that the
        chain ends here. Raises `LedgerError` when not known to be durable.
        """
        try:
            connection = self._open()
            if sign or last or self._chain is None:
                return self._write_signed(connection, bodies, last=last)
            draft, receipts = self._insert(connection, self._chain, bodies)
        except (sqlite3.Error, OSError) as error:
            self.disconnect()
            raise describe(self._path, error) from error
        except Exception:
            self.disconnect()
            raise
        self._advance(draft, len(receipts))
        self._since += len(receipts)
        return receipts

    def anchor(self) -> None:
        """Bring the anchor file up to the newest checkpoint; `LedgerError` when that fails.

        Under the log's write lock, so that of several processes none puts back an older one.
        """
        if self._anchored or self._connection is None:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            newest = _newest(self._connection)
            if newest is not None:
                write_anchor(self._anchor, newest)
            self._connection.execute("ROLLBACK")
        except (sqlite3.Error, OSError) as error:
            self.disconnect()
            raise LedgerError(f"the anchor `{self._anchor}` cannot be written: {error}") from error
        self._anchored = True

    def drain(self) -> None:
        """Move the write-ahead log into the database as far as readers allow; `LedgerError` when that fails."""
        if self._connection is not None:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.Error as error:
                self.disconnect()
                raise describe(self._path, error) from error

    def disconnect(self) -> None:
        """Close the file; the next group opens it again. An open transaction is rolled back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _open(self) -> sqlite3.Connection:
        """The connection, made if there is none, to the file that stands at the path now."""
        if self._connection is None:
            self._key = key_id(self._signer.public_key)
            self._refuse_missing()
            self._connection = connect(self._path, busy_timeout=self._busy_timeout)
            self._file = _identity(self._path)
            self._find_head(self._connection)
            self._check_anchor(self._connection)
        elif _identity(self._path) != self._file:
            raise LedgerError(f"the log `{self._path}` was deleted or moved while it was written\nhelp: put it back")
        return self._connection

    def _refuse_missing(self) -> None:
        if not self._path.exists() and self._anchor.exists():
            raise LedgerError(
                f"the log `{self._path}` is gone, its anchor `{self._anchor}` is not\n"
                "help: put the log back, or move the anchor away to begin a new log"
            )

    def _find_head(self, connection: sqlite3.Connection) -> None:
        """Keep to our chain if it ends where we know it to end, else leave it."""
        chain = self._chain
        if chain is not None:
            found = connection.execute(_HEAD, (chain.chain,)).fetchone()
            if found != (chain.row, chain.seq, chain.hash):
                self._chain = self._signed = None

    def _check_anchor(self, connection: sqlite3.Connection) -> None:
        """Refuse a log that does not reach as far as its anchor: it was cut, or another one put there."""
        anchored = read_anchor(self._anchor)
        if anchored is None:
            return
        row = connection.execute("SELECT n, body, signature FROM checkpoints WHERE n = ?", (anchored.n,)).fetchone()
        if row is None or Signed(n=row[0], body=row[1], signature=row[2]).hash != anchored.hash:
            raise LedgerError(
                f"the log `{self._path}` does not hold the checkpoint {anchored.n} of its anchor `{self._anchor}`:"
                " it was cut off or replaced\nhelp: put the log back, or move it and the anchor away to begin anew"
            )

    def _write_signed(self, connection: sqlite3.Connection, bodies: Sequence[bytes], *, last: bool) -> list[Receipt]:
        connection.execute("BEGIN IMMEDIATE")
        newest = self._newest_of_ours(connection)
        chain, opening = self._chain, []
        if chain is None:
            chain = _begin_chain(connection)
            opening = [_opened(newest[1].n if newest else 0)]
        draft, receipts = self._insert(connection, chain, [*opening, *bodies])
        since = self._since + len(receipts)
        kept, checkpoint = self._sign(connection, newest, draft, since, last=last)
        connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", (kept.n, kept.body, kept.signature))
        connection.execute("COMMIT")
        self._advance(draft, len(receipts))
        self.chains += len(opening)
        self._signed, self._since, self._anchored = (kept, checkpoint), 0, False
        if last:
            self._chain = None
        return receipts[len(opening) :]

    def _insert(
        self, connection: sqlite3.Connection, chain: _Chain, bodies: Sequence[bytes]
    ) -> tuple[_Chain, list[Receipt]]:
        """Append the records; the chain's new head, to be kept once they are committed."""
        name, seq, last = chain.chain, chain.seq, chain.hash
        receipts, hashes, places, start = [], [], [], 1
        for body in bodies:
            seq += 1
            last = link(last, name, seq, body)
            receipts.append(Receipt(name, seq, last))
            hashes.append(last)
            places.append(start << 24 | len(body))
            start += len(body)
        if bodies:
            parameters = (chain.row, chain.seq + 1, b"".join(hashes), b"".join(bodies), str(places))
            connection.execute(_INSERT, parameters)
        return _Chain(name, seq, last, chain.row), receipts

    def _advance(self, head: _Chain, count: int) -> None:
        self._chain = head
        self.records += count
        self.commits += 1

    def _newest_of_ours(self, connection: sqlite3.Connection) -> tuple[Signed, Checkpoint] | None:
        """The log's newest checkpoint; `LedgerError` when this writer's key has not signed it."""
        newest = _newest(connection)
        if newest is None:
            return None
        if self._signed is not None and self._signed[0] == newest:
            return self._signed
        # Ed25519 signatures are a function of key and message, so signing again is checking.
        if self._signer.sign(newest.message) != newest.signature:
            raise LedgerError(
                f"the log `{self._path}` is signed with another key than this writer's ({self._key}), or was changed\n"
                "help: run `onpurpose audit verify`; use the log's own key, or begin a new log"
            )
        return newest, parse(newest.body)

    def _sign(
        self,
        connection: sqlite3.Connection,
        newest: tuple[Signed, Checkpoint] | None,
        head: _Chain,
        since: int,
        *,
        last: bool,
    ) -> tuple[Signed, Checkpoint]:
        (count,) = connection.execute("SELECT coalesce(max(position), 0) FROM records").fetchone()
        covered = newest[1].count if newest else 0
        heads = {head.chain: Head(head.chain, head.seq, head.hash)}
        if newest != self._signed or covered + since != count:
            # Others have written too, or have been killed before they could sign.
            for name, seq, digest in connection.execute(_GROWN, (covered,)):
                heads[name] = Head(name, seq, digest)
        checkpoint = Checkpoint(
            log=newest[1].log if newest else secrets.token_hex(16),
            n=newest[1].n + 1 if newest else 1,
            at=time.time_ns() // 1000,
            previous=newest[0].hash if newest else FIRST,
            key=self._key,
            count=count,
            chain=head.chain,
            closed=last,
            heads=heads,
        )
        signed = Signed(n=checkpoint.n, body=checkpoint.body(), signature=b"")
        signature = self._signer.sign(signed.message)
        return Signed(n=signed.n, body=signed.body, signature=signature), checkpoint


def _begin_chain(connection: sqlite3.Connection) -> _Chain:
    name = secrets.token_hex(16)
    (row,) = connection.execute("INSERT INTO chains (name) VALUES (?) RETURNING id", (name,)).fetchone()
    return _Chain(name, 0, GENESIS, row)


def _opened(checkpoint: int) -> bytes:
    """The body of a chain's first record: who writes it, and what the log's newest checkpoint was."""
    value = {
        "v": 1,
        "kind": "log.opened",
        "at": time.time_ns() // 1000,
        "checkpoint": checkpoint,
        "pid": os.getpid(),
        "onpurpose": version("onpurpose"),
        "python": platform.python_version(),
    }
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _newest(connection: sqlite3.Connection) -> Signed | None:
    row = connection.execute(_NEWEST).fetchone()
    return None if row is None else Signed(n=row[0], body=row[1], signature=row[2])


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)  # noqa: PTH116  once a group of records
    except FileNotFoundError:
        return (-1, -1)
    return found.st_dev, found.st_ino
