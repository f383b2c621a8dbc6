"""Checkpoints: signed statements of how far the chains of a log reach.

A checkpoint's body is canonical JSON:

    v         1
    log       the log's name (32 hex digits), the same in all its checkpoints
    n         its number, from 1 without gaps
    at        when, in microseconds since 1970-01-01 UTC
    previous  the hash (hex) of checkpoint n-1; 64 zeros for the first
    key       the key's id: the first 16 hex digits of the SHA-256 of the raw public key
    count     how many records the log holds, this commit included
    chain     the chain of the writer that signs
    closed    whether that chain ends here
    heads     {chain: [seq, hash hex]}: the last record of every chain that grew since checkpoint
              n-1, and of the signer's own

so that checkpoint n, with those before it, covers every one of the first `count` records. It is
committed together with the records it covers. A chain's first records are always committed with
a checkpoint of its own writer, and nothing follows a chain's closing checkpoint.

What checkpoints cannot show: records that a killed process wrote after the last checkpoint (a
second's worth at most) may be cut off, or be followed by forged ones, until another writer signs
over what it finds. Nor is the order of two chains' records between two checkpoints known. And who
can write all the files of a log can put back an older state of them all: note an anchor elsewhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from onpurpose.core.record import Head

GENESIS = bytes(32)
"""The hash before a log's first checkpoint."""

_DOMAIN = b"onpurpose.checkpoint.1\0"
_FIELDS = {
    "v": int, "log": str, "n": int, "at": int, "previous": str, "key": str, "count": int, "chain": str, "closed": bool,
    "heads": dict,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """What is stated: see the module's description. `heads` holds one head per chain."""

    log: str
    n: int
    at: int
    previous: bytes
    key: str
    count: int
    chain: str
    closed: bool
    heads: Mapping[str, Head]

    def body(self) -> bytes:
        """Its canonical JSON."""
        value = {
            "v": 1,
            "log": self.log,
            "n": self.n,
            "at": self.at,
            "previous": self.previous.hex(),
            "key": self.key,
            "count": self.count,
            "chain": self.chain,
            "closed": self.closed,
            "heads": {name: [head.seq, head.hash.hex()] for name, head in self.heads.items()},
        }
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A checkpoint as it is kept: its number in the log, its body and the signature over `message`."""

    n: int
    body: bytes
    signature: bytes

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return _DOMAIN + self.body

    @property
    def hash(self) -> bytes:
        """The hash (32 bytes) that the next checkpoint and an anchor quote: body and signature."""
        return hashlib.sha256(_DOMAIN + len(self.body).to_bytes(8, "big") + self.body + self.signature).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """The newest checkpoint somebody has noted: enough to show that a log reached it."""

    log: str
    n: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.log}:{self.n}:{self.hash.hex()}"

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """The anchor that `str` wrote; `ValueError` for any other text."""
        log, number, digest = text.strip().split(":")
        anchor = cls(log=log, n=int(number), hash=bytes.fromhex(digest))
        if str(anchor) != text.strip() or len(anchor.hash) != 32 or anchor.n < 1:
            raise ValueError("an anchor is written `log:number:hash`")
        return anchor


def key_id(public_key: bytes) -> str:
    """The id of an Ed25519 public key (raw, 32 bytes): 16 hex digits."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def parse(body: bytes) -> Checkpoint:
    """The checkpoint with exactly this body; `ValueError` when it is no checkpoint's canonical JSON."""
    value = orjson.loads(body)
    if not isinstance(value, dict) or {name: type(item) for name, item in value.items()} != _FIELDS:
        raise ValueError("a field is missing, unknown or of the wrong type")
    for head in value["heads"].values():
        if type(head) is not list or [type(item) for item in head] != [int, str]:
            raise ValueError("a head is a number and a hash")
    checkpoint = Checkpoint(
        log=value["log"],
        n=value["n"],
        at=value["at"],
        previous=bytes.fromhex(value["previous"]),
        key=value["key"],
        count=value["count"],
        chain=value["chain"],
        closed=value["closed"],
        heads={name: Head(name, seq, bytes.fromhex(digest)) for name, (seq, digest) in value["heads"].items()},
    )
    if checkpoint.body() != body:  # another version too
        raise ValueError("it is not written in its one form")
    return checkpoint
