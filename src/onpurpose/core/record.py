"""Records, and the chain that shows when one was changed, removed, moved or added.

A chain belongs to one writer. The hash of a record covers the chain's name, the record's place
in it, the hash of the record before and every byte of its body:

    hash(n) = SHA-256("onpurpose.record.1" 00  chain  00  n as 8 bytes  hash(n-1)  body(n))

with `hash(0)` of 32 zero bytes. A checkpoint is a signed statement of how far chains reach; the
checkpoints of a log form a chain of their own, so that none can be left out either.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct

from onpurpose.core.errors import OnPurposeError

GENESIS = bytes(32)
"""The hash before a chain's first record."""

MAX_BODY = (1 << 24) - 1
"""How long the body of a record may be, in bytes."""


class LedgerError(OnPurposeError):
    """A record could not be made durable, or a log cannot be read. Whoever asked is refused."""


class LogChangedError(LedgerError):
    """A log was written to while it was read as one that nobody writes. Reading it again succeeds."""


class Record(Struct, eq=False, gc=False):
    """Something that happened, ready to be written: `body` is its canonical JSON, every field in it.

    `kind` says what it tells of (`decision`, `log.opened`, ...) and stands in the body too.
    """

    kind: str
    body: bytes


class Head(Struct, gc=False):
    """How far a chain reaches: its name (32 hex digits), the last record's number and its hash."""

    chain: str
    seq: int
    hash: bytes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Head) and (self.chain, self.seq, self.hash) == (
            other.chain,
            other.seq,
            other.hash,
        )

    def __hash__(self) -> int:
        return hash((self.chain, self.seq, self.hash))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.chain}:{self.seq} {self.hash.hex()[:12]})"


class Receipt(Head, gc=False):
    """Where a record stands in the log, once it is durable: proof to quote in a ticket."""


class Stored:
    """A record as the log holds it: its place in the order of commits (from 1), its chain, its body.

    Nothing in it is vouched for: a field of the wrong type reads as empty (`b""`, `""`, -1), so that
    no check can pass it.
    """

    __slots__ = ("body", "chain", "hash", "position", "seq")

    def __init__(self, position: int, chain: str, seq: int, hash: bytes, body: bytes) -> None:  # noqa: A002  a row
        self.position = position
        self.chain = chain
        self.seq = seq
        self.hash = hash
        self.body = body

    def __repr__(self) -> str:
        return f"Stored({self.position} {self.chain}:{self.seq})"


def link(previous: bytes, chain: str, seq: int, body: bytes) -> bytes:
    """The hash (32 bytes) of record `seq` (from 1) of a chain, after the record hashed `previous`."""
    return hashlib.sha256(
        b"".join((b"onpurpose.record.1\0", chain.encode(), b"\0", seq.to_bytes(8, "big"), previous, body))
    ).digest()
