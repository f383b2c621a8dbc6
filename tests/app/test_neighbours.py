"""One record and those beside it: what was changed shows."""

from __future__ import annotations

import pytest

from onpurpose.app.neighbours import linked, stored
from onpurpose.core.record import GENESIS, Stored, link
from onpurpose.core.revision import MissingError

CHAIN = "ab" * 16


class Chain:
    """A chain of records that a test may change."""

    def __init__(self, count: int) -> None:
        self.records: list[Stored] = []
        previous = GENESIS
        for seq in range(1, count + 1):
            body = b'{"n":%d}' % seq
            previous = link(previous, CHAIN, seq, body)
            self.records.append(Stored(seq, CHAIN, seq, previous, body))

    def chains(self) -> dict[str, int]:
        return {CHAIN: len(self.records)}

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        return [one for one in self.records if chain == CHAIN and one.seq > seq][:limit]


@pytest.mark.parametrize("seq", [1, 2, 3])
def test_every_record_of_a_whole_chain_holds(seq: int) -> None:
    found = linked(Chain(3), CHAIN, seq)
    assert found.holds
    assert found.following is (seq < 3)
    assert (found.previous == GENESIS.hex()) is (seq == 1)


@pytest.mark.parametrize("changed", [1, 2, 3])
def test_a_changed_record_or_neighbour_shows(changed: int) -> None:
    chain = Chain(3)
    chain.records[changed - 1].body += b" "
    assert linked(chain, CHAIN, 2).holds is (changed == 1)  # the body before is vouched for by its hash alone
    assert not linked(chain, CHAIN, changed).holds


def test_a_hash_that_was_written_anew_shows_in_both_links() -> None:
    chain = Chain(3)
    chain.records[1].hash = bytes(32)
    assert len(linked(chain, CHAIN, 2).faults) == 2


def test_a_record_behind_the_archive_is_not_said_to_hold() -> None:
    chain = Chain(3)
    del chain.records[0]
    found = linked(chain, CHAIN, 2)
    assert (found.previous, found.faults, found.holds) == (None, (), False)


@pytest.mark.parametrize("ask", [linked, stored])
def test_a_record_that_is_not_at_hand_is_missing(ask: object) -> None:
    chain = Chain(3)
    del chain.records[1]
    with pytest.raises(MissingError):
        ask(chain, CHAIN, 2)  # type: ignore[operator]
    assert stored(chain, CHAIN, 3).seq == 3
