"""What was seen in recorded calls: the names that a purpose or a policy may want to speak of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec
from msgspec import Struct

from onpurpose.app.projection import Decisions, Follow
from onpurpose.core.feed import Entry, Search

MOST_CALLS = 100
"""How many of the newest calls are looked at."""

MOST_NAMES = 60
"""How many names of each sort are told, the most frequent first."""

_LONGEST = 256


class Seen(Struct, frozen=True, kw_only=True):
    """Names by how often they were seen, in the newest `calls` calls."""

    calls: int = 0
    elements: tuple[str, ...] = ()
    user_groups: tuple[str, ...] = ()
    data_source_id: tuple[str, ...] = ()
    agent_ids: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()


class Use(Struct, frozen=True, kw_only=True):
    """Who used a purpose for what: how many of the calls looked at, how many of them ran, and when the last was."""

    agent_id: str
    user_id: str | None
    capability: str
    calls: int
    ran: int
    last_at: int


class _Person(Struct, gc=False):
    groups: tuple[str, ...] | None = None


class _Body(Struct):
    elements: tuple[str, ...] | None = None
    data_source_id: str | None = None
    identity: _Person | None = None
    policy_context: object = None


_BODY = msgspec.json.Decoder(_Body)


def seen(decisions: Decisions, log: Follow, search: Search) -> Seen:
    """The names in the newest calls of a search. Raises `StoreError` and `LedgerError`."""
    entries = decisions.page(search, limit=MOST_CALLS).entries
    sorts: dict[str, Counter[str]] = {name: Counter() for name in Seen.__struct_fields__ if name != "calls"}
    for entry in entries:
        sorts["agent_ids"][entry.agent_id] += 1
        sorts["capabilities"][entry.capability] += 1
        for sort, names in _names(entry, log):
            sorts[sort].update(one for one in names if 0 < len(one) <= _LONGEST)
    told = {sort: tuple(one for one, _ in counted.most_common(MOST_NAMES)) for sort, counted in sorts.items()}
    return Seen(calls=len(entries), **told)


def _names(entry: Entry, log: Follow) -> list[tuple[str, Iterable[str]]]:
    """What the record tells beyond the entry; nothing where it cannot be read, or is not there any more."""
    stored = log.after(entry.chain, entry.seq - 1, 1)
    if not stored or stored[0].seq != entry.seq:
        return []
    try:
        body = _BODY.decode(stored[0].body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    context = body.policy_context if isinstance(body.policy_context, dict) else {}
    environment = context.get("environment")
    return [
        ("elements", body.elements or ()),
        ("data_source_id", () if body.data_source_id is None else (body.data_source_id,)),
        ("user_groups", (body.identity.groups or ()) if body.identity else ()),
        ("environments", (environment,) if isinstance(environment, str) else ()),
    ]


def uses(entries: Iterable[Entry]) -> list[Use]:
    """Who made the calls, by how many they are."""
    found: dict[tuple[str, str | None, str], list[Entry]] = {}
    for entry in entries:
        found.setdefault((entry.agent_id, entry.user_id, entry.capability), []).append(entry)
    told = [
        Use(
            agent_id=agent_id,
            user_id=user_id,
            capability=capability,
            calls=len(calls),
            ran=sum(one.outcome.permits for one in calls),
            last_at=max(one.at for one in calls),
        )
        for (agent_id, user_id, capability), calls in found.items()
    ]
    return sorted(told, key=lambda use: (-use.calls, use.agent_id, use.capability))
