"""Calls that show what a policy in shadow would do: a few of each kind, told by their records."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from onpurpose.app.projection import Decisions, Follow
from onpurpose.app.shadow import Verdict
from onpurpose.core.feed import Entry, Judged, Search
from onpurpose.core.outcome import Outcome

KINDS = ("newly_blocked", "would_deny", "would_ask")
"""The kinds of calls that are worth a look."""

MOST_EXAMPLES = 5
"""How many calls of a kind are told."""

_LOOKED_AT = 40


class _Body(Struct):
    shadow: list[Verdict] = []


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
    }
    found = []
    for kind, search in searches.items():
        entries = decisions.page(search, limit=_LOOKED_AT).entries
        shown = [one for one in entries if any(_is(kind, verdict) for verdict in _verdicts(one, log, judged))]
        found.append(Examples(kind=kind, search=search, entries=tuple(shown[:MOST_EXAMPLES])))
    return found


def _is(kind: str, verdict: Verdict) -> bool:
    if kind == "newly_blocked":
        return verdict.newly_blocked
    return verdict.matched is True and verdict.would == ("deny" if kind == "would_deny" else "require_approval")


def _verdicts(entry: Entry, log: Follow, judged: Judged) -> Iterator[Verdict]:
    """What the revision made of the call; nothing where its record is not there any more."""
    stored = log.after(entry.chain, entry.seq - 1, 1)
    if not stored or stored[0].seq != entry.seq:
        return
    try:
        verdicts = _BODY.decode(stored[0].body).shadow
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return
    for one in verdicts:
        if (one.kind, one.name, one.revision) == (judged.kind, judged.name, judged.revision):
            yield one
