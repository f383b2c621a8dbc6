"""`/v1/decisions`: the feed of decisions, and the record of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import orjson

from onpurpose.app.projection import Decisions, Follow
from onpurpose.core.feed import Entry, Search, kept
from onpurpose.core.outcome import BY_NAME
from onpurpose.core.revision import MissingError
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.serving import Answer, Asked, Text, Use
from onpurpose.server.api.table import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was decided: the feed to search in, and the log that holds the records."""

    decisions: Decisions
    log: Follow


def uses(past: Past) -> Mapping[str, Use]:
    """What does the operations on decisions, by their names."""
    return {"list_decisions": partial(list_all, past), "get_decision": partial(get, past)}


def list_all(past: Past, asked: Asked) -> Answer:
    """Decisions, newest first."""
    query = asked.asked(wire.DecisionQuery)
    fields = query.model_dump(exclude={"cursor", "limit", "outcome", "shadow_outcome"})
    search = Search(
        workspace=asked.workspace,
        outcome=BY_NAME[query.outcome] if query.outcome else None,
        shadow_outcome=BY_NAME[query.shadow_outcome] if query.shadow_outcome else None,
        **fields,
    )
    before = None if query.cursor is None else min(int(query.cursor), 2**62)
    page = past.decisions.page(search, before=before, limit=query.limit)
    return wire.DecisionPage(
        items=[told(entry) for entry in page.entries], next=None if page.before is None else str(page.before)
    )


def get(past: Past, asked: Asked) -> Answer:
    """The record of one decision, byte for byte."""
    entry = past.decisions.decision(asked.workspace, kept(asked.path["id"]))
    if entry is None:
        raise MissingError("there is no decision of that id, or none yet")
    found = past.log.after(entry.chain, entry.seq - 1, 1)
    if not found or found[0].seq != entry.seq:
        raise MissingError("the record of that decision was moved to the archive")
    stored = found[0]
    place = orjson.dumps({"chain": stored.chain, "seq": stored.seq, "hash": stored.hash.hex()})
    return Text(text=place[:-1] + b',"record":' + stored.body + b"}", media=JSON)


def told(entry: Entry) -> wire.DecisionBody:
    """A decision of the feed, in the wire form."""
    return wire.DecisionBody.model_validate(
        {
            "n": entry.n,
            "id": entry.decision_id,
            "at": entry.at,
            "agent_id": entry.agent_id,
            "user_id": entry.user_id,
            "capability": entry.capability,
            "purpose_id": entry.purpose_id,
            "outcome": str(entry.outcome),
            "code": entry.code,
            "policy": entry.policy,
            "digest": entry.digest,
            "shadow_outcome": None if entry.shadow_outcome is None else str(entry.shadow_outcome),
            "newly_blocked": entry.newly_blocked,
        }
    )
