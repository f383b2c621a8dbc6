"""The recorded calls of a search, newest first, each with its record; few are held at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from onpurpose.app.projection import Decisions, Follow
from onpurpose.core.feed import Entry, Search
from onpurpose.core.record import Stored

_PAGE = 64
_COUNTED = 1000
_GAP = 8

Take = Callable[[Entry, Stored | None], None]
"""What is done with a call; its record is `None` where the log has it no more."""


class Walk(NamedTuple):
    """How far one goes: `limit` calls. After each block `halt` says why to stop there, empty to go on; `rest` rests."""

    limit: int
    halt: Callable[[], str]
    rest: Callable[[], None]


def walk(decisions: Decisions, log: Follow, search: Search, take: Take, how: Walk) -> str | None:
    """Hand each call to `take`; why it was stopped before the last one: `limit`, or what `halt` said.

    Raises `StoreError`, `LedgerError`.
    """
    before: int | None = None
    handed = 0
    while True:
        page = decisions.page(search, before=before, limit=max(1, min(_PAGE, how.limit - handed)))
        if handed >= how.limit and page.entries:
            return "limit"
        for entry, stored in _with_records(log, page.entries):
            take(entry, stored)
            handed += 1
        before = page.before
        if before is None:
            return None
        why = how.halt()
        if why:
            return why
        how.rest()


def count(decisions: Decisions, search: Search, limit: int) -> int:
    """How many calls there are, of which `walk` would hand on so many: at most `limit`. Raises `StoreError`."""
    before: int | None = None
    found = 0
    while found < limit:
        page = decisions.page(search, before=before, limit=min(_COUNTED, limit - found))
        found += len(page.entries)
        before = page.before
        if before is None:
            break
    return found


def _with_records(log: Follow, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Stored | None]]:
    """Each entry with its record."""
    wanted: dict[str, list[int]] = {}
    for entry in entries:
        wanted.setdefault(entry.chain, []).append(entry.seq)
    found: dict[tuple[str, int], Stored] = {}
    for chain, seqs in wanted.items():
        for first, last in _stretches(sorted(seqs)):
            for stored in log.after(chain, first - 1, last - first + 1):
                found[chain, stored.seq] = stored
    for entry in entries:
        yield entry, found.pop((entry.chain, entry.seq), None)


def _stretches(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Stretches that hold the numbers (ascending) and little else: the first and last number of each."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number > last + _GAP:
            yield first, last
            first = number
        last = number
    yield first, last
