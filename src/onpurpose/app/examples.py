"""Calls that show what a policy in shadow would do: a few of each kind, told by their records."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec
from msgspec import Struct

from onpurpose.app.projection import Decisions, Follow
from onpurpose.app.shadow import Verdict
from onpurpose.core.feed import Entry, Judged, Search
from onpurpose.core.intent import CERTAIN
from onpurpose.core.outcome import Outcome

KINDS = ("newly_blocked", "would_deny", "would_ask", "uncertain", "matched")
"""The kinds of calls that are worth a look."""

MOST_EXAMPLES = 5
"""How many calls of a kind are told."""

_LOOKED_AT = 40
_WOULD = {"deny": "would_deny", "require_approval": "would_ask"}


class _View(Struct):
    confidence: float | None = None


class _Body(Struct):
    shadow: list[Verdict] = []
    intent: _View | None = None


_BODY = msgspec.json.Decoder(_Body)


class Examples(Struct, frozen=True, kw_only=True):
    """The newest calls of a kind, and whether more were looked at than are told."""

    kind: str
    search: Search
    entries: tuple[Entry, ...]


def examples(decisions: Decisions, log: Follow, judged: Judged) -> list[Examples]:
    """Of each kind, the newest calls of which the revision says that. Raises `StoreError` and `LedgerError`."""
    searches = {
        "newly_blocked": Search(workspace=judged.workspace, policy=judged.name, newly_blocked=True),
        "would_deny": Search(workspace=judged.workspace, policy=judged.name, shadow_outcome=Outcome.DENY),
        "would_ask": Search(workspace=judged.workspace, policy=judged.name, shadow_outcome=Outcome.REQUIRE_APPROVAL),
        "uncertain": Search(workspace=judged.workspace, policy=judged.name),
        "matched": Search(workspace=judged.workspace, policy=judged.name),
    }
    found = []
    for kind, search in searches.items():
        entries = decisions.page(search, limit=_LOOKED_AT).entries
        shown = (one for one in entries if kind in _kinds(one, log, judged))
        found.append(Examples(kind=kind, search=search, entries=tuple(islice(shown, MOST_EXAMPLES))))
    return found


def _kinds(entry: Entry, log: Follow, judged: Judged) -> set[str]:
    """Of which kinds the call is, by its record; of none where that is not there any more."""
    stored = log.after(entry.chain, entry.seq - 1, 1)
    if not stored or stored[0].seq != entry.seq:
        return set()
    try:
        body = _BODY.decode(stored[0].body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return set()
    sure = body.intent is None or body.intent.confidence is None or body.intent.confidence >= CERTAIN
    of = (judged.kind, judged.name, judged.revision)
    return {
        kind for one in body.shadow if (one.kind, one.name, one.revision) == of for kind in _of_verdict(one, sure=sure)
    }


def _of_verdict(verdict: Verdict, *, sure: bool) -> Iterator[str]:
    if verdict.newly_blocked:
        yield "newly_blocked"
    if verdict.matched is not True:
        return
    yield "matched"
    if not sure:
        yield "uncertain"
    if verdict.would in _WOULD:
        yield _WOULD[verdict.would]
