"""Rows into the table of records, with as few waits as the protocol has.

Every wait gives the interpreter's lock away, and under load it takes milliseconds to come back. `COPY`
needs two waits; psycopg's own, made for streams of any length, has five.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Generator, Sequence
from datetime import date

from psycopg import Connection, OperationalError
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import TupleRow
from psycopg.waiting import Ready, Wait

ANSWER_SECONDS = 35.0
"""How long a server may take to answer. It gives a statement up before that, if it is there at all."""

_COPY = b"COPY records (chain, seq, day, hash, body) FROM STDIN (FORMAT BINARY)"
_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
# Five fields, each behind its length: the chain's id, the number, days since 2000-01-01, the hash, the body.
_pack = struct.Struct("!hiiiqiii32si").pack
_EPOCH = date(2000, 1, 1)

Row = tuple[int, bytes, bytes]
"""Number, hash, body."""

_Waiting = Generator[Wait, Ready | int, None]


def copy(connection: Connection[TupleRow], chain: int, day: date, rows: Sequence[Row]) -> None:
    """Insert the records of a chain: in the transaction that is open, or durable when it returns.

    Raises `psycopg.Error`; then either nothing was inserted, or the connection is lost.
    """
    days = (day - _EPOCH).days
    parts = [_HEAD]
    for seq, digest, body in rows:
        parts.append(_pack(5, 4, chain, 8, seq, 4, days, 32, digest, len(body)))
        parts.append(body)
    parts.append(_END)
    connection.wait(_copy(connection.pgconn, b"".join(parts)))


def _copy(pgconn: PGconn, data: bytes) -> _Waiting:
    pgconn.send_query(_COPY)
    yield from _answer(pgconn, ExecStatus.COPY_IN)
    pgconn.put_copy_data(data)
    pgconn.put_copy_end()
    yield from _answer(pgconn, ExecStatus.COMMAND_OK)


def _answer(pgconn: PGconn, expected: ExecStatus) -> _Waiting:
    """Wait for the answer to what was sent, and be sure that it is the one expected."""
    deadline = time.monotonic() + ANSWER_SECONDS
    unsent = pgconn.flush()
    while unsent or pgconn.is_busy():
        ready = yield Wait.RW if unsent else Wait.R
        if ready & Ready.R:
            pgconn.consume_input()
        unsent = unsent and pgconn.flush()
        if not ready and time.monotonic() > deadline:
            raise OperationalError("the server does not answer")
    result = pgconn.get_result()
    if result is None:
        raise OperationalError("the server gave no answer")
    if result.status != expected:
        # Whatever else is under way is drained, so that the connection can be used or closed.
        while not pgconn.is_busy() and pgconn.get_result() is not None:
            pass
        raise error_from_result(result, encoding="utf-8")
    if expected == ExecStatus.COMMAND_OK:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        pgconn.get_result()
