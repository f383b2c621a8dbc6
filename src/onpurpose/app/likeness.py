"""From one recorded call and those like it, a purpose that covers them: a draft, and a policy in shadow.

Nothing here is sure: what is suggested is shown to a person with what it was learned from, and decides nothing.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec import Struct
from msgspec.structs import replace

from onpurpose.app.control import Control
from onpurpose.app.documents import NotPermittedError
from onpurpose.app.projection import Decisions, Follow
from onpurpose.app.retelling import Told, retell
from onpurpose.app.shelf import is_removed, word
from onpurpose.core.feed import Search
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import TOKEN_TTL_MINUTES, IntentClass, Match, Purpose, PurposePolicy, Status
from onpurpose.core.revision import ConflictError, Kind
from onpurpose.core.span import PolicyError, Span
from onpurpose.lang.purposes import parse_purposes, write_purpose, write_purpose_policy

LOOKED = 200
"""How many of the agent's newest decisions are looked at."""

DAYS = 14
"""How far back, in days before the call."""

MOST_ELEMENTS = 60
"""Above so many elements those of one table become `table.*`."""

MOST_NAMES = 20

MOST_LOOKED_AT = 1_000
"""Of so many different elements, groups or other names it is looked whether a policy can hold them."""

MOST_BYTES = 8 * 1024 * 1024
"""Records of so many bytes are read, or one more: an agent may write as much as it likes into each."""

FEW = 5
"""Of fewer calls it is not told how long people work."""

PAUSE_SECONDS = 600
"""Calls of one person that are nearer than that belong to one sitting."""

_TTL_MINUTES = (1, 5, 10, 15, 30, 60)
_DAY, _SECOND = 86_400_000_000, 1_000_000
_HERE = Span("<suggestion>", 1, 1)
_WORDS = {
    IntentClass.EXPORT: {"export", "download", "dump", "extract"},
    IntentClass.WRITE: {"write", "create", "update", "delete", "insert", "send", "set", "transfer", "put", "post"},
    IntentClass.ADMIN: {"admin", "grant", "revoke", "configure"},
    IntentClass.REPORTING: {"report", "summary", "aggregate"},
    IntentClass.LOOKUP: {"lookup", "read", "get", "search", "list", "find", "query", "fetch", "view"},
}


class Suggestion(Struct, frozen=True, kw_only=True):
    """A purpose and a policy of it as YAML, and what they were learned from.

    `calls` are alike, by `people` of them (0: nobody named), between `first_at` and `last_at` (microseconds UTC);
    `refused` more were alike and denied, and nothing was learned from them. `notes` say in words what was widened
    or left out.
    """

    purpose_id: str
    purpose: str
    policy: str
    calls: int
    refused: int
    people: int
    first_at: int
    last_at: int
    ttl_minutes: int
    capabilities: tuple[str, ...]
    notes: tuple[str, ...]


def suggest(decisions: Decisions, log: Follow, workspace: str, told: Told) -> Suggestion:
    """What to write for calls like this one. Raises `StoreError`, `LedgerError`."""
    alike, refused = [told], 0
    for other in _others(decisions, log, workspace, told):
        if not _is_like(other, told):
            continue
        if other.outcome == "deny":
            refused += 1
        else:
            alike.append(other)
    return _suggestion(told, alike, refused)


def create(  # noqa: PLR0913  what two documents are made of
    control: Control, workspace: str, purpose: str, policy: str, *, by: str, reason: str
) -> tuple[str, str]:
    """Write both as new documents, the policy in shadow; their names. Nothing is written unless both can be.

    Raises `PolicyError` with every problem of one, `ConflictError` where one of that name is there already,
    `NotPermittedError` where the policy asks to be live, and `ValueError` where the texts are no such pair.
    """
    (one,), (other,) = _read(purpose, "purpose"), _read(policy, "policy")
    if not isinstance(one, Purpose) or not isinstance(other, PurposePolicy):
        raise ValueError("the first text is a purpose, the second a policy of it")
    if other.purpose_id != one.id:
        raise ValueError(f"the policy is of the purpose `{other.purpose_id}`, and the purpose is `{one.id}`")
    if not other.shadow_mode:
        raise NotPermittedError(f"the policy `{other.policy_id}` would decide at once")
    new = ((Kind.PURPOSE, one.id, purpose), (Kind.PURPOSE_POLICY, other.policy_id, policy))
    for kind, name, _ in new:
        standing = control.shelf.find(workspace, kind, name)
        if standing is not None and not is_removed(standing):
            raise ConflictError(f"there is a {word(kind)} `{name}` already: give this one another name")
    for kind, name, text in new:
        control.library.save(workspace, kind, name, text, author=by, reason=reason, expected_version=0)
    return one.id, other.policy_id


def _read(text: str, source: str) -> tuple[Purpose | PurposePolicy]:
    found = parse_purposes(text, source)
    if len(found) != 1:
        raise ValueError(f"the {source} is one document, and the text holds {len(found)}")
    return (found[0],)


def _others(decisions: Decisions, log: Follow, workspace: str, told: Told) -> Iterator[Told]:
    """The newest decisions on the agent's calls before and after, but for this one; not beyond `MOST_BYTES`."""
    search = Search(
        workspace=workspace, agent_id=told.agent_id, since=told.at - DAYS * _DAY, until=told.at + DAYS * _DAY
    )
    size = 0
    for entry in decisions.page(search, limit=LOOKED).entries:
        if entry.decision_id == told.id or size > MOST_BYTES:
            continue
        found = log.after(entry.chain, entry.seq - 1, 1)
        size += sum(len(one.body) for one in found)
        other = retell(found[0].body) if found and found[0].seq == entry.seq else None
        if other is not None:
            yield other


def _is_like(other: Told, told: Told) -> bool:
    """Whether it is the same kind of work: on the same data source, with the same tool or on the same tables."""
    if other.data_source_id != told.data_source_id:
        return False
    return other.capability == told.capability or bool(_tables(other) & _tables(told))


def _tables(told: Told) -> set[str]:
    return {_table(element) for element in told.elements or ()}


def _table(element: str) -> str:
    return element.rpartition(".")[0]


def _suggestion(told: Told, alike: Sequence[Told], refused: int) -> Suggestion:
    notes: list[str] = []
    name = _name(told)
    ttl = _ttl_minutes(alike, notes)
    match = _match(alike, notes)
    purpose = Purpose(
        id=_id(name), name=name, description=f"Made from decision {told.id[:64]} and {len(alike) - 1} like it.",
        intent_class=_intent_class(alike), elements=_elements(alike, notes), ttl_seconds=ttl * 60,
        status=Status.DRAFT, span=_HERE,
    )  # fmt: skip
    asked = sum(one.outcome == "require_approval" for one in alike)
    decision = Outcome.REQUIRE_APPROVAL if asked * 2 > len(alike) else Outcome.ALLOW
    if decision is Outcome.REQUIRE_APPROVAL:
        notes.append("Most of the calls were asked about: the policy asks a person, too.")
    policy = PurposePolicy(
        policy_id=purpose.id, purpose_id=purpose.id, match=match, decision=decision, token_ttl_minutes=ttl, span=_HERE
    )
    return Suggestion(
        purpose_id=purpose.id, purpose=write_purpose(purpose), policy=write_purpose_policy(policy),
        calls=len(alike), refused=refused, people=len({one.identity.user_id for one in alike if one.identity}),
        first_at=min(one.at for one in alike), last_at=max(one.at for one in alike), ttl_minutes=ttl,
        capabilities=match.capabilities or (), notes=tuple(notes),
    )  # fmt: skip


def _name(told: Told) -> str:
    """What to call it: the words of what the agent was doing, else of the capability."""
    words = re.findall(r"[A-Za-z0-9]+", told.task_context or "")[:8] or re.findall(r"[A-Za-z0-9]+", told.capability)
    return " ".join(words)[:80].capitalize() or "New purpose"


def _id(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:64]


def _intent_class(alike: Sequence[Told]) -> IntentClass:
    """What the classifier saw most often, else what the words of the capabilities say."""
    classes = {str(one): one for one in IntentClass}
    seen = Counter(
        one.intent.intent_class for one in alike if one.intent is not None and one.intent.intent_class in classes
    )
    if seen:
        return classes[str(seen.most_common(1)[0][0])]
    words = {word for one in alike for word in re.findall(r"[a-z]+", one.capability.lower())}
    return next((found for found, known in _WORDS.items() if known & words), IntentClass.OTHER)


def _elements(alike: Sequence[Told], notes: list[str]) -> tuple[str, ...] | None:
    """What the calls touched; of very many, whole tables. `None` where no call says what it touches."""
    touched = [one.elements for one in alike if one.elements is not None]
    if not touched:
        notes.append("No call says what data it touches: the purpose does not speak of data.")
        return None
    found = _readable("elements", {element for elements in touched for element in elements}, notes)
    if len(found) <= MOST_ELEMENTS:
        return found
    notes.append(f"{len(found)} columns were touched: the purpose covers their whole tables.")
    return _readable("elements", {f"{_table(element)}.*" for element in found}, notes)


def _match(alike: Sequence[Told], notes: list[str]) -> Match:
    source = alike[0].data_source_id
    people = [one.identity for one in alike if one.identity is not None]
    if len(people) < len(alike):
        notes.append(f"{len(alike) - len(people)} of the calls were anonymous: the policy does not match such ones.")
    return Match(
        user_groups=_groups([one.groups or () for one in people], notes),
        data_source_id=_limit("data_source_id", [source] if source else [], notes),
        agent_ids=_limit("agent_ids", {one.agent_id for one in alike}, notes),
        capabilities=_limit("capabilities", {one.capability for one in alike}, notes),
    )


def _groups(groups: Sequence[Sequence[str]], notes: list[str]) -> tuple[str, ...] | None:
    """As few groups as cover everybody who is in any: those that most people share come first."""
    left, chosen = [set(one) for one in groups if one], set[str]()
    if len(left) < len(groups):
        notes.append("Some people are in no group: the policy does not match their calls.")
    while left and len(chosen) < MOST_NAMES:
        counts = Counter(group for one in left for group in one)
        best = min(counts, key=lambda group: (-counts[group], group))
        chosen.add(best)
        left = [one for one in left if best not in one]
    return _limit("user_groups", chosen, notes)


def _limit(key: str, texts: Collection[str], notes: list[str]) -> tuple[str, ...] | None:
    """What a policy is limited to; `None` is any, which is said where it should have been limited."""
    found = _readable(key, texts, notes)
    if texts and not found:
        notes.append(f"So the policy does not limit `{key}`: write yourself what it is to match.")
    return found or None


def _readable(key: str, texts: Iterable[str], notes: list[str]) -> tuple[str, ...]:
    """Those of the texts that a policy can hold, in order, not too many."""
    given = sorted(set(texts))
    looked_at = given[:MOST_LOOKED_AT]
    found = [text for text in looked_at if _can_be_written(key, text)]
    most = 10 * MOST_ELEMENTS if key == "elements" else MOST_NAMES
    if len(looked_at) < len(given):
        notes.append(f"{len(given) - len(looked_at):,} of `{key}` were not looked at: there are too many.")
    if len(found) < len(looked_at):
        notes.append(f"{len(looked_at) - len(found)} of `{key}` cannot stand in a policy, and are left out.")
    if len(found) > most:
        notes.append(f"{len(found) - most} of `{key}` are left out: there are too many.")
    return tuple(found[:most])


def _can_be_written(key: str, text: str) -> bool:
    try:
        if key == "elements":
            parse_purposes(write_purpose(Purpose(id="x", elements=(text,), span=_HERE)))
        else:
            match = replace(Match(), **{key: (text,)})
            parse_purposes(
                write_purpose_policy(
                    PurposePolicy(policy_id="x", purpose_id="x", match=match, decision=Outcome.ALLOW, span=_HERE)
                )
            )
    except (PolicyError, ValueError):
        return False
    return True


def _ttl_minutes(alike: Sequence[Told], notes: list[str]) -> int:
    """How long a token must live: nine in ten sittings of a person are over by then."""
    if len(alike) < FEW:
        notes.append(
            f"A token lives {TOKEN_TTL_MINUTES} minutes, as usual: so few calls do not tell how long is needed."
        )
        return TOKEN_TTL_MINUTES
    times: dict[str, list[int]] = defaultdict(list)
    for one in alike:
        times[one.identity.user_id if one.identity else ""].append(one.at)
    lengths = sorted(length for mine in times.values() for length in _sittings(sorted(mine)))
    wanted = lengths[math.ceil(0.9 * len(lengths)) - 1] / 60
    minutes = next((minutes for minutes in _TTL_MINUTES if minutes > wanted), _TTL_MINUTES[-1])
    notes.append(f"A token lives {minutes} min: nine in ten sittings of a person were over by then.")
    return minutes


def _sittings(times: Sequence[int]) -> Iterator[float]:
    """How long each sitting took, in seconds."""
    begun = last = times[0]
    for at in times[1:]:
        if at - last > PAUSE_SECONDS * _SECOND:
            yield (last - begun) / _SECOND
            begun = at
        last = at
    yield (last - begun) / _SECOND
