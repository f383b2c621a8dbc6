"""Searching the log by way of its feed: newest first, so many records at most, then saying where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from msgspec import Struct

from onpurpose.app.projection import Decisions, Follow
from onpurpose.core.feed import Entry, Event, Search
from onpurpose.core.record import Stored, link

DECISION = "decision"

OPEN_KINDS = (
    DECISION, "decision.withdrawn", "policy.saved", "policy.promoted", "policy.reverted", "policy.removed",
    "purpose.saved", "approval.requested", "approval.joined", "approval.voted", "approval.granted",
    "approval.denied", "approval.delegated", "approval.commented", "approval.cancelled", "approval.expired",
    "approval.escalated", "approval.reminded", "approval.used", "approval.refused", "approval.undelivered",
    "token.revoked", "archive.made", "retention.ordered",
)  # fmt: skip
"""The kinds of records that whoever may read sees. All others tell of people, keys and sign-ins: admins see them."""

CLOSED_KINDS = (
    "session.opened", "session.ended", "session.refused", "session.locked", "password.changed",
    "password.link_made", "second_factor.set", "second_factor.removed", "recovery_code.used", "identity.linked",
    "identity.unlinked", "user.saved",
    "key.created", "key.revoked", "workspace.created", "signing_key.rotated", "webhook_secret.shown",
    "channel.tested", "channel.sent_again", "log.opened", "unreadable",
)  # fmt: skip
"""Kinds that are offered to admins beside the open ones; a record may be of others still."""

MOST_LOOKED_AT = 1000
"""How many records one search looks at."""

MOST_BODY = 1 << 16
"""How many bytes of a body are searched for a text, and read to be shown in a list."""

_BATCH = 200
_SLACK = 3600 * 1_000_000
"""How far records may stand out of the order of their times: clocks differ, and records wait for their batch."""


class Query(Struct, frozen=True, kw_only=True):
    """What is looked for in one workspace; empty or `None` is anything. Times in microseconds UTC.

    `kind` is one kind; without it, `kinds` are those that may be seen (empty: all), decisions not among them.
    `by` is who did it, `text` stands anywhere in the record, in any letter case. `before` is a page's cursor.
    """

    workspace: str
    kind: str = ""
    kinds: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None
    by: str = ""
    text: str = ""
    before: int | None = None


class Row(Struct, frozen=True, kw_only=True):
    """A record that was found: where it stands, what a list shows of it. `told` is its body, empty where damaged."""

    kind: str
    at: int
    chain: str
    seq: int
    told: Mapping[str, Any]
    by: str = ""
    id: str = ""


class Found(Struct, frozen=True, kw_only=True):
    """Rows, newest first; `before` is the cursor of what comes next, `None` where nothing does. `looked_at` records."""

    rows: tuple[Row, ...]
    before: int | None
    looked_at: int


class Neighbours(Struct, frozen=True, kw_only=True):
    """A record in its chain, with the one before it and the one behind, and whether its hash follows from these."""

    record: Stored
    before: Stored | None
    behind: Stored | None
    follows: bool
    followed: bool | None


class _Place(Struct, frozen=True):
    n: int
    kind: str
    at: int
    chain: str
    seq: int


def search(decisions: Decisions, log: Follow, query: Query, *, limit: int = 50, most: int = MOST_LOOKED_AT) -> Found:
    """The newest records that are looked for, at most `limit`, of `most` that are looked at.

    Raises `StoreError`, `LedgerError`.
    """
    rows: list[Row] = []
    looked_at, last = 0, query.before
    for place in _places(decisions, query):
        if query.since is not None and place.at < query.since - _SLACK:
            return Found(rows=tuple(rows), before=None, looked_at=looked_at)
        if len(rows) == limit or looked_at == most:
            return Found(rows=tuple(rows), before=last, looked_at=looked_at)
        looked_at, last = looked_at + 1, place.n
        row = _row(log, place, query) if _is_in_time(place, query) else None
        if row is not None:
            rows.append(row)
    return Found(rows=tuple(rows), before=None, looked_at=looked_at)


def by_id(decisions: Decisions, log: Follow, workspace: str, text: str) -> Row | None:
    """The decision of exactly that id."""
    entry = decisions.decision(workspace, text) if text else None
    return None if entry is None else _row(log, _of(entry), Query(workspace=workspace))


def neighbours(log: Follow, chain: str, seq: int) -> Neighbours | None:
    """The record of that number in that chain, with those beside it; `None` where it is not in the log."""
    stored = {one.seq: one for one in log.after(chain, max(0, seq - 2), 3)}
    record, before, behind = stored.get(seq), stored.get(seq - 1), stored.get(seq + 1)
    if record is None:
        return None
    return Neighbours(
        record=record, before=before, behind=behind,
        follows=(before is not None or seq == 1) and _follows(before, record),
        followed=None if behind is None else _follows(record, behind),
    )  # fmt: skip


def told_by(body: bytes) -> Mapping[str, Any]:
    """What a record says, as far as it is a JSON object; else nothing."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _follows(before: Stored | None, record: Stored) -> bool:
    return link(bytes(32) if before is None else before.hash, record.chain, record.seq, record.body) == record.hash


def _places(decisions: Decisions, query: Query) -> Iterator[_Place]:
    """The records of these kinds, newest first, from the cursor or the time on."""
    before = query.before
    if query.kind == DECISION:
        while True:
            asked = Search(workspace=query.workspace, since=query.since, until=query.until)
            page = decisions.page(asked, before=before, limit=_BATCH)
            yield from map(_of, page.entries)
            before = page.before
            if before is None:
                return
    kinds = (query.kind,) if query.kind else tuple(one for one in query.kinds if one != DECISION)
    if before is None and query.until is not None:
        before = _since(decisions, query, kinds)
    while True:
        events = decisions.events(query.workspace, kinds=kinds, before=before, limit=_BATCH)
        yield from (_Place(one.n, one.kind, one.at, one.chain, one.seq) for one in events)
        if len(events) < _BATCH:
            return
        before = events[-1].n


def _since(decisions: Decisions, query: Query, kinds: tuple[str, ...]) -> int | None:
    """From which number downwards to look for what is older than `until`: found by halving."""
    newest = decisions.events(query.workspace, kinds=kinds, limit=1)
    if not newest or query.until is None:
        return None
    low, high = 0, newest[0].n + 1
    while high - low > 1:
        middle = (low + high) // 2
        found: list[Event] = decisions.events(query.workspace, kinds=kinds, before=middle, limit=1)
        if found and found[0].at >= query.until + _SLACK:
            high = middle
        else:
            low = middle
    return high


def _of(entry: Entry) -> _Place:
    return _Place(entry.n, DECISION, entry.at, entry.chain, entry.seq)


def _is_in_time(place: _Place, query: Query) -> bool:
    return (query.since is None or place.at >= query.since) and (query.until is None or place.at < query.until)


def _row(log: Follow, place: _Place, query: Query) -> Row | None:
    """The record, where it is at hand and says what is looked for."""
    stored = next(iter(log.after(place.chain, place.seq - 1, 1)), None)
    body = stored.body if stored is not None and stored.seq == place.seq else b""
    told = told_by(body) if len(body) <= MOST_BODY else {}
    by = _actor(told)
    if query.by and query.by.casefold() not in {by.casefold(), str(told.get("agent_id", "")).casefold()}:
        return None
    if query.text and query.text.casefold() not in body[:MOST_BODY].decode("utf-8", "replace").casefold():
        return None
    return Row(
        kind=place.kind, at=place.at, chain=place.chain, seq=place.seq, told=told, by=by, id=str(told.get("id", ""))
    )


def _actor(told: Mapping[str, Any]) -> str:
    """Who did it: a person, a key, or the agent of a decision."""
    by = told.get("by") or told.get("agent_id") or ""
    return by if isinstance(by, str) else ""
