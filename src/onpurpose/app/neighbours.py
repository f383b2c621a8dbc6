"""Whether one record is linked to those beside it: a check of three records, where a whole log would take long."""

from __future__ import annotations

from msgspec import Struct

from onpurpose.app.projection import Follow
from onpurpose.core.record import GENESIS, Stored, link
from onpurpose.core.revision import MissingError


class Linked(Struct, frozen=True, kw_only=True):
    """A record's place in its chain, and what is wrong there.

    `previous` is the hash (hex) of the record before, `None` where that is not at hand; `following` says whether
    a record follows. `faults` are sentences, none where every link that can be checked holds.
    """

    chain: str
    seq: int
    hash: str
    previous: str | None
    following: bool
    faults: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether the record was checked against the one before, and nothing was wrong."""
        return self.previous is not None and not self.faults


def stored(log: Follow, chain: str, seq: int) -> Stored:
    """One record. `MissingError` where it is not at hand, since its day was archived."""
    found = log.after(chain, seq - 1, 1)
    if not found or found[0].seq != seq:
        raise MissingError("the record of that decision was moved to the archive")
    return found[0]


def linked(log: Follow, chain: str, seq: int) -> Linked:
    """How the record is linked to its neighbours, worked out anew from every byte of them. Raises `MissingError`."""
    near = {one.seq: one for one in log.after(chain, max(0, seq - 2), 3)}
    if seq not in near:
        raise MissingError("the record of that decision was moved to the archive")
    one, after = near[seq], near.get(seq + 1)
    previous = GENESIS if seq == 1 else near[seq - 1].hash if seq - 1 in near else None
    faults = []
    if previous is not None and link(previous, chain, seq, one.body) != one.hash:
        faults.append("its hash is not that of its content behind the record before: one of the two was changed")
    if after is not None and link(one.hash, chain, seq + 1, after.body) != after.hash:
        faults.append("the record that follows is not linked to it: one of the two was changed")
    return Linked(
        chain=chain, seq=seq, hash=one.hash.hex(), previous=None if previous is None else previous.hex(),
        following=after is not None, faults=tuple(faults),
    )  # fmt: skip
