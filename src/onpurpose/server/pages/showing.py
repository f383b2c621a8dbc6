"""An approval -> what its page shows: facts under labels of ours, texts of anybody, what happened, who may be asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import orjson
from markupsafe import Markup
from msgspec import Struct

from onpurpose.core.approval import Approval, State, granted_by, open_seats
from onpurpose.server.api.approval_bodies import decider
from onpurpose.server.pages.foreign import beginning, fitting, lines, takes
from onpurpose.server.pages.words import DID, Who, moment

MOST_ACTS = 50
"""How many of the newest acts are shown."""

MOST_TEXT = 1000
"""How many characters of a text are shown."""

MOST_FACT = 4_000
"""How many bytes of a page the texts under one label take."""

MOST_PAYLOAD = 80_000
"""How many bytes of a page the payload takes: an agent may fill it with what takes a page more than a letter each."""

MOST_TOLD = 12_000
"""How many bytes of a page the rules take, the unknown facts, and the changes, each."""


class Fact(Struct, frozen=True):
    """A label of ours, and texts that may be anybody's."""

    label: str
    texts: tuple[str, ...]


class Line(Struct, frozen=True):
    """A line of a text that changed: `kind` is `added`, `removed` or empty."""

    kind: str
    text: Markup


class Event(Struct, frozen=True, kw_only=True):
    """One thing that happened."""

    at: str
    did: str
    by: str
    to: str
    text: str


class Similar(Struct, frozen=True, kw_only=True):
    """An earlier request of its kind."""

    id: str
    at: str
    state: str
    by: str


class Sheet(Struct, frozen=True, kw_only=True):
    """All that one decides by. `cut` is how many bytes of the payload are not shown."""

    facts: tuple[Fact, ...]
    payload: tuple[Markup, ...]
    cut: int
    since: str
    changed: tuple[Line, ...]
    rules: tuple[Fact, ...]
    unknown: tuple[Fact, ...]
    signals: tuple[str, ...]
    events: tuple[Event, ...]
    similar: tuple[Similar, ...]
    waits_for: tuple[str, ...]


def sheet(approval: Approval, similar: Sequence[Approval], who: Who) -> Sheet:
    """What the page shows of the approval."""
    context = _decoded(approval.context)
    changed = context.get("changed")
    told = changed if isinstance(changed, dict) else {}
    cut = context.get("payload_cut")
    payload, left = beginning(_words(context.get("payload")), MOST_PAYLOAD)
    return Sheet(
        facts=tuple(_cut(fact) for fact in _facts(approval, context, who) if any(fact.texts)),
        payload=tuple(lines(payload)),
        cut=(cut if isinstance(cut, int) else 0) + left,
        since=_words(told.get("since")),
        changed=tuple(_changed(line) for line in fitting(_each(told.get("lines")), MOST_TOLD)),
        rules=_told(_rule(rule) for rule in _mappings(context.get("rules"))),
        unknown=_told(_unknown(one) for one in _mappings(context.get("unknown"))),
        signals=tuple(_signal(one) for one in _mappings(context.get("signals"))),
        events=tuple(_events(approval, who)),
        similar=tuple(_similar(one, who) for one in similar),
        waits_for=tuple(_waits_for(approval, who)),
    )


def _decoded(context: bytes) -> Mapping[str, object]:
    try:
        read = orjson.loads(context)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}


def _cut(fact: Fact) -> Fact:
    texts = fitting((_short(text) for text in fact.texts), MOST_FACT)
    left = len(fact.texts) - len(texts)
    return Fact(fact.label, (*texts, *([f"and {left:,} more"] if left else [])))


def _short(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + "…"


def _told(facts: Iterable[Fact]) -> tuple[Fact, ...]:
    """The first of the facts, as many as there is room for."""
    found, left = [], MOST_TOLD
    for fact in facts:
        if left <= 0:
            break
        label, *texts = fitting((fact.label, *fact.texts), left)
        found.append(Fact(label, tuple(texts)))
        left -= sum(map(takes, (label, *texts)))
    return tuple(found)


def _facts(approval: Approval, context: Mapping[str, object], who: Who) -> Iterator[Fact]:
    yield Fact("Agent", (approval.agent_id,))
    yield Fact("Capability", (approval.capability,))
    user = context.get("user")
    if isinstance(user, dict):
        yield Fact("User", (_words(user.get("id")),))
        yield Fact("Groups of the user", tuple(_each(user.get("groups"))))
    else:
        yield Fact("User", ("anonymous",))
    yield Fact("Whose request it is", tuple(map(who, approval.requesters)))
    yield Fact("Asked with the key", (_words(context.get("asked_by")),))
    yield from _purpose(context.get("purpose"), approval.purpose_id)
    yield Fact("Touches", tuple(_each(context.get("elements"))))
    yield Fact("Data source", (_words(context.get("data_source_id")),))
    yield Fact("Task", (_words(context.get("task_context")),))
    yield Fact("Risk category", (_words(context.get("risk_category")),))
    policy = context.get("policy_context")
    if isinstance(policy, dict):
        yield Fact("Said by the application", tuple(f"{key} = {_words(value)}" for key, value in policy.items()))
    yield from _classifier(context.get("intent"))
    if approval.joined:
        yield Fact("Asked again", (f"{approval.joined} times",))


def _purpose(value: object, purpose_id: str | None) -> Iterator[Fact]:
    if not isinstance(value, dict):
        yield Fact("Purpose", (purpose_id or "none declared",))
        return
    yield Fact("Purpose", (_words(value.get("id")), _words(value.get("name"))))
    yield Fact("The purpose means", (_words(value.get("description")),))
    yield Fact("The purpose may touch", tuple(_each(value.get("elements"))))


def _classifier(value: object) -> Iterator[Fact]:
    if isinstance(value, dict):
        sure = value.get("confidence")
        share = f"{sure:.0%} sure" if isinstance(sure, int | float) else ""
        yield Fact("The classifier takes it for", (_words(value.get("label")), _words(value.get("class")), share))


def _rule(rule: Mapping[str, object]) -> Fact:
    place = _words(rule.get("at")) or _words(rule.get("policy")) or _words(rule.get("code"))
    return Fact(place, (_words(rule.get("outcome")), _words(rule.get("capability")), _words(rule.get("message"))))


def _unknown(one: Mapping[str, object]) -> Fact:
    return Fact(_words(one.get("condition")), (_words(one.get("why")), _words(one.get("settle"))))


def _signal(one: Mapping[str, object]) -> str:
    sure = "" if one.get("certain", True) else ", not certain"
    return f"{_words(one.get('name'))} (weight {_words(one.get('weight'))}{sure})"


def _changed(line: str) -> Line:
    kind = {"+": "added", "-": "removed"}.get(line[:1], "")
    return Line(kind, lines(line.replace("\n", " "))[0])


def _events(approval: Approval, who: Who) -> Iterator[Event]:
    for act in approval.acts[-MOST_ACTS:]:
        yield Event(
            at=moment(act.at), did=DID[act.move], by=who(act.by) if act.by else "", to=who(act.to) if act.to else "",
            text=act.text,
        )  # fmt: skip


def _similar(approval: Approval, who: Who) -> Similar:
    act = decider(approval)
    return Similar(
        id=approval.id,
        at=moment(approval.opened_at),
        state=str(approval.state),
        by=who(act.by) if act is not None and act.by else "",
    )


def _waits_for(approval: Approval, who: Who) -> Iterator[str]:
    if approval.state is not State.PENDING:
        return
    for seat, stage in open_seats(approval):
        having = granted_by(approval, seat)
        done = f"; granted so far by {', '.join(map(who, sorted(having)))}" if having else ""
        yield f"{stage.quorum} of: {', '.join(stage.approvers)}{done}"


def _words(value: object) -> str:
    """A value of the context in words: text as it is, else JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value, default=str).decode()


def _each(value: object) -> Iterator[str]:
    yield from map(_words, value if isinstance(value, list) else [])


def _mappings(value: object) -> Iterator[Mapping[str, object]]:
    yield from (one for one in (value if isinstance(value, list) else []) if isinstance(one, dict))
