"""What it would come to if a document were removed: what is in force judges the recorded past, with it and without."""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct

from onpurpose.app.backtest import outcome
from onpurpose.app.projection import Decisions, Follow
from onpurpose.app.proofreading import stated
from onpurpose.app.recollect import recollect
from onpurpose.app.recorded_calls import Walk, walk
from onpurpose.app.shelf import Shelf
from onpurpose.app.workspace import Compiled, InForce
from onpurpose.core.facts import Malformed
from onpurpose.core.feed import Entry, Search, kept
from onpurpose.core.purpose import PurposePolicy
from onpurpose.core.record import Stored
from onpurpose.core.revision import Contents, Kind, Standing

MOST_CALLS = 2000
"""How many of the newest calls are looked at."""

SECONDS = 3.0
"""How long that takes at most; it then answers with what it has read."""

MOST_EXAMPLES = 10
"""How many decisions of a kind are named."""


_REST = 0.002


class Moved(Struct, frozen=True, kw_only=True):
    """Calls on which the outcome would be another one: how many, and the ids of the newest of their decisions."""

    count: int = 0
    examples: tuple[str, ...] = ()


class Without(Struct, frozen=True, kw_only=True):
    """What would become of recorded calls without the document.

    `calls` were looked at, newest first, back to `first_at` (microseconds UTC, `None` without any), and could be
    judged. Of those that run by what is in force today, `blocked` would not run, or wait for a person; `loosened` do
    not run today, or wait, and would run. `whole` is false where there are more calls.
    """

    calls: int = 0
    first_at: int | None = None
    blocked: Moved = Moved()
    loosened: Moved = Moved()
    whole: bool = True


def without(  # noqa: PLR0913, PLR0917  what is left out, and of what
    shelf: Shelf,
    decisions: Decisions,
    log: Follow,
    workspace: str,
    kind: Kind,
    name: str,
    *,
    since: int,
    until: int,
    elapsed: Callable[[], float] = time.monotonic,
) -> Without:
    """What the workspace's calls of that time would come to without the document. In a worker thread: it takes seconds.

    Whatever the document decides alone is told; a document that is only in shadow decides nothing. Raises
    `MissingError`, `StoreError`, `LedgerError`.
    """
    standing = shelf.standing(workspace, kind, name)
    if standing.live is None:
        return Without()
    contents = shelf.contents(workspace)
    judging = _Judging(InForce(contents, Compiled()), InForce(_left(contents, standing), Compiled()))
    began = elapsed()
    how = Walk(limit=MOST_CALLS, halt=lambda: "time" if elapsed() - began >= SECONDS else "", rest=_rest)
    search = Search(workspace=workspace, since=since, until=until, purpose_id=_purpose(contents, standing))
    return judging.result(whole=walk(decisions, log, search, judging.take, how) is None)


def _rest() -> None:
    """Let calls that are answered now come first."""
    time.sleep(_REST)


def _left(contents: Contents, removed: Standing) -> Contents:
    """What is in force without that document."""
    rest = tuple(one for one in contents.standings if (one.kind, one.name) != (removed.kind, removed.name))
    return Contents(workspace=contents.workspace, version=contents.version, standings=rest, texts=contents.texts)


def _purpose(contents: Contents, standing: Standing) -> str | None:
    """The purpose whose calls alone the document can concern; `None` for all."""
    if standing.kind is Kind.PURPOSE:
        return kept(standing.name)
    text = contents.texts[standing.kind, standing.name, standing.live or 0].text
    one = stated(text) if standing.kind is Kind.PURPOSE_POLICY else None
    return kept(one.purpose_id) if isinstance(one, PurposePolicy) else None


class _Judging:
    """Judges recorded calls twice, and counts where that differs."""

    def __init__(self, now: InForce, then: InForce) -> None:
        self._now = now
        self._then = then
        self._calls = 0
        self._first_at: int | None = None
        self._moved: dict[str, list[str]] = {"blocked": [], "loosened": []}
        self._counts = dict.fromkeys(self._moved, 0)

    def take(self, entry: Entry, stored: Stored | None) -> None:
        """Judge one call; one that cannot be read any more is passed over."""
        told = None if stored is None else recollect(stored.body)
        if told is None:
            return
        try:
            now, then = (outcome(held, told) for held in (self._now, self._then))
        except Malformed:
            return
        self._calls += 1
        self._first_at = entry.at
        if now.permits is not then.permits:
            what = "loosened" if then.permits else "blocked"
            self._counts[what] += 1
            if len(self._moved[what]) < MOST_EXAMPLES:
                self._moved[what].append(entry.decision_id)

    def result(self, *, whole: bool) -> Without:
        """What was counted."""
        moved = {what: Moved(count=self._counts[what], examples=tuple(ids)) for what, ids in self._moved.items()}
        return Without(calls=self._calls, first_at=self._first_at, whole=whole, **moved)
