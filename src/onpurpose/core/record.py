"""Records, and the chain that shows when one was changed, removed, moved or added.

A chain belongs to one writer. The hash of a record covers the chain's name, the record's place
in it, the hash of the record before and every byte of its body:

    hash(n) = SHA-256("onpurpose.record.1" 00  chain  00  n as 8 bytes  hash(n-1)  body(n))

with `hash(0)` of 32 zero bytes. A checkpoint is a signed statement of how far chains reach; the
checkpoints of a log form a chain of their own, so that none can be left out either.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple, TypeVar

import msgspec
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


class Place(NamedTuple):
    """Where a record stands: its chain, and its number there."""

    chain: str
    seq: int


class DayArchive(Struct, frozen=True):
    """What a record `archive.made` says: the day, its file and the file's SHA-256 (hex), what the file holds.

    `chains` has of each chain its first and last number, and the last hash (hex).
    """

    kind: str
    day: str
    file: str
    digest: str
    chains: dict[str, tuple[int, int, str]]

    @property
    def records(self) -> int:
        """How many records the file holds."""
        return sum(last - first + 1 for first, last, _ in self.chains.values())


class LetGo(Struct, frozen=True):
    """What a record `retention.ordered` says: which day is let go, why, and by which archive it is replaced.

    `archive` has the chain, the number (`seq`) and the hash (hex) of the record that tells of the archive.
    """

    kind: str
    day: str
    reason: str
    digest: str
    archive: dict[str, str | int]


class Gone(Struct, frozen=True, kw_only=True):
    """A day that is in the log no more: where the records of its archive and of the order stand, what the first says.

    Nothing in it is vouched for, until both records were met in the log.
    """

    body: bytes
    archive: DayArchive
    made: Place
    ordered: Place


class Away(Struct, frozen=True, kw_only=True):
    """Records of a chain that are in a day's archive, and not at hand: in the place where they would be read.

    From the number `first` to `seq`, which would be at `position` and have that `hash`: empty where it is not told.
    """

    position: int
    chain: str
    first: int
    seq: int
    hash: bytes
    day: Gone


def archive_of(body: bytes) -> DayArchive | None:
    """What a record says of the archive of a day; `None` where it says nothing of one."""
    return _said(body, DayArchive, "archive.made")


def order_of(body: bytes) -> LetGo | None:
    """What a record says of letting go of a day; `None` where it says nothing of that."""
    return _said(body, LetGo, "retention.ordered")


_Said = TypeVar("_Said", DayArchive, LetGo)


def _said(body: bytes, form: type[_Said], kind: str) -> _Said | None:
    try:
        said = msgspec.json.decode(body, type=form)
    except msgspec.DecodeError:
        return None
    return said if said.kind == kind else None


def link(previous: bytes, chain: str, seq: int, body: bytes) -> bytes:
    """The hash (32 bytes) of record `seq` (from 1) of a chain, after the record hashed `previous`."""
    return hashlib.sha256(
        b"".join((b"onpurpose.record.1\0", chain.encode(), b"\0", seq.to_bytes(8, "big"), previous, body))
    ).digest()
