"""The projection of the log: each record is taken once, in order, into a feed that can be searched.

The feed adds nothing to the log, is written behind it, and can be made from it again.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, NamedTuple, Protocol

import msgspec
from msgspec import Meta, Struct

from onpurpose.app.shadow import Judgement, Names, Tally, Verdict, Whole
from onpurpose.core.feed import Batch, Entry, Event, Judged, Page, Position, Search, kept
from onpurpose.core.outcome import BY_NAME
from onpurpose.core.record import Stored

BATCH = 2000
"""How many records are taken at once."""

COUNTED = 10_000
"""How many decisions that are older than the counts of outcomes are counted at once, beside a batch."""

UNREADABLE = "unreadable"
"""The kind of an event that tells of a record whose body says nothing that can be read."""

_WITHDRAWN = "decision.withdrawn"


class Follow(Protocol):
    """A log that is followed by its chains. Raises `LedgerError` where it cannot be read."""

    def chains(self) -> Mapping[str, int]:
        """The number of the newest record of every chain."""
        ...

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        """The records of a chain behind a number, in order, at most so many."""
        ...


class Feed(Protocol):
    """Where the projection is kept. Raises `StoreError` where it cannot be reached."""

    def position(self) -> Position:
        """How far the log has been followed."""
        ...

    def add(self, batch: Batch) -> None:
        """Add all of it in one transaction. `ConflictError` if the position is no longer the batch's `before`."""
        ...

    def clear(self) -> None:
        """Forget everything; the position is then the beginning, of another epoch."""
        ...

    def count_on(self, limit: int) -> int:
        """Count the outcomes of so many decisions that were stored and not counted; how many are then left."""
        ...

    def dimensions(self, judged: Judged) -> Iterable[str]:
        """The dimensions that a revision has been counted in."""
        ...


class Decisions(Protocol):
    """The feed for those who read it. Raises `StoreError` where it cannot be reached."""

    def newest(self) -> tuple[str, int]:
        """The feed's epoch, and the newest number that it gave to a decision, over all workspaces."""
        ...

    def page(self, search: Search, *, before: int | None = None, limit: int = 50) -> Page:
        """The newest decisions of a search, those below the number `before`."""
        ...

    def since(self, workspace: str, n: int, limit: int) -> list[Entry]:
        """A workspace's decisions above the number `n`, oldest first: what a stream sends on."""
        ...

    def decision(self, workspace: str, decision_id: str) -> Entry | None:
        """One decision; `None` where the workspace has none of that id."""
        ...

    def events(
        self, workspace: str, *, kinds: Sequence[str] = (), before: int | None = None, limit: int = 50
    ) -> list[Event]:
        """The newest records of a workspace that are no decisions, of some kinds or all, those below a number."""
        ...


# -- what is read of a body; anything else in it is passed over without being looked at


class _Named(Struct, gc=False):
    name: str
    revision: Whole | None = None

    def __str__(self) -> str:
        return self.name if self.revision is None else f"{self.name}@{self.revision}"


class _Rule(Struct, gc=False):
    at: str = ""


class _Reason(Struct, gc=False):
    code: str = ""
    rule: _Rule | None = None
    policy: _Named | str | None = None


class _Source(Struct, gc=False):
    source: str = ""


class _Identity(Struct, gc=False):
    user_id: str | None = None
    groups: list[str] | None = None


class _Intent(Struct, gc=False):
    confidence: float | None = None


class _Head(Struct, gc=False):
    kind: str
    workspace: str = ""
    at: Whole = 0


class _Body(Struct, gc=False):
    kind: str
    id: str = ""
    workspace: str = ""
    at: Whole = 0
    agent_id: str = ""
    capability: str = ""
    identity: _Identity | None = None
    purpose_id: str | None = None
    outcome: str = ""
    digest: str | None = None
    reasons: list[_Reason] = []
    policies: list[_Source] = []
    purpose_policies: list[_Named] = []
    intent: _Intent | None = None
    shadow: Annotated[list[Verdict], Meta(max_length=100_000)] = []


_BODY = msgspec.json.Decoder(_Body)
_HEAD = msgspec.json.Decoder(_Head)
_NOTHING = _Identity()


class _Item(NamedTuple):
    """A record that was read and waits for its turn. `body` is `None` unless it is a decision's or takes one back."""

    at: int
    chain: str
    seq: int
    head: _Head | _Body
    body: _Body | None


def _read(stored: Stored) -> _Item:
    """The record as far as the feed needs it. Never raises: what cannot be read is an event that says so."""
    try:
        body = _BODY.decode(stored.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        head = _read_head(stored.body)
        return _Item(head.at, stored.chain, stored.seq, head, None)
    if body.kind == "decision" and (body.outcome not in BY_NAME or (body.shadow and not _is_told(body.shadow))):
        head = _Head(UNREADABLE, body.workspace, body.at)
        return _Item(head.at, stored.chain, stored.seq, head, None)
    told = body if body.kind in {"decision", _WITHDRAWN} else None
    return _Item(body.at, stored.chain, stored.seq, body, told)


def _is_told(shadow: list[Verdict]) -> bool:
    return all(verdict.would in BY_NAME for verdict in shadow)


def _read_head(body: bytes) -> _Head:
    try:
        head = _HEAD.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _Head(UNREADABLE)
    return _Head(UNREADABLE, head.workspace, head.at) if head.kind == "decision" else head


class Projector:
    """Follows a log into a feed, one batch at a time. One projector per feed; a second one only gets conflicts.

    Records of several chains are taken in order of their times, each chain in its own order. Where the
    feed has records that the log has not, it is another log's, or the log was put back: the feed
    is made anew. Not for several threads.
    """

    def __init__(self, follow: Follow, feed: Feed, *, batch: int = BATCH) -> None:
        self._follow = follow
        self._feed = feed
        self._batch = batch
        self._names = Names(feed.dimensions)
        self._left: Position | None = None
        self._done: Mapping[str, int] | None = None  # the log when the feed had all of it
        self._ahead: dict[str, deque[_Item]] = {}
        self._behind = 0
        self._counts_on = True

    @property
    def behind(self) -> int:
        """How many records the feed was behind the log after the last step."""
        return self._behind

    def step(self) -> int:
        """Take one batch; how many records it was, 0 when there is nothing new.

        Decisions that the feed held before it counted outcomes are counted beside, some with each step.

        Raises what the log or the feed raises; the next step then begins from what the feed holds.
        """
        try:
            return self._step()
        except BaseException:
            self._forget()
            raise

    def run(self, pause: Callable[[int], bool]) -> None:
        """Take batches until `pause` says false; it is told after each how many records it was, and may wait."""
        while pause(self.step()):
            pass

    def _step(self) -> int:
        if self._done is not None and not self._counts_on and self._follow.chains() == self._done:
            return 0  # whoever has added to the feed since would have taken a record that was not there then
        position = self._feed.position()
        if position != self._left:
            self._forget()
        newest = self._follow.chains()  # after the position: another may have come further meanwhile
        if any(seq > newest.get(chain, 0) for chain, seq in position.chains.items()):
            self._forget()
            self._feed.clear()
            position = self._feed.position()
        behind = {chain: seq for chain, seq in newest.items() if seq > position.chains.get(chain, 0)}
        items = self._take(position, behind)
        if items:
            batch = make_batch(position, items, self._names)
            self._feed.add(batch)
            self._left = Position(
                epoch=position.epoch,
                decisions=position.decisions + len(batch.entries),
                events=position.events + len(batch.events),
                chains=position.chains | batch.chains,
            )
        else:
            self._left = position
        taken = self._left.chains
        # Of a chain more may have been taken than it had when it was looked how far the log reaches.
        self._behind = sum(max(0, seq - taken.get(chain, 0)) for chain, seq in behind.items())
        self._done = None if self._behind else newest
        if self._counts_on:
            self._counts_on = self._feed.count_on(COUNTED) > 0
        return len(items)

    def _take(self, position: Position, behind: Mapping[str, int]) -> list[_Item]:
        """The next records of all chains by time, at most a batch; what was read beyond waits for the next."""
        share = max(1, self._batch // max(1, len(behind)))
        turns: list[tuple[int, str]] = []
        for chain in behind:
            self._read_on(chain, position.chains.get(chain, 0), share, turns)
        heapq.heapify(turns)
        items: list[_Item] = []
        while turns and len(items) < self._batch:
            chain = heapq.heappop(turns)[1]
            waiting = self._ahead[chain]
            item = waiting.popleft()
            items.append(item)
            if waiting:
                heapq.heappush(turns, (waiting[0].at, chain))
            elif item.seq < behind[chain]:
                self._read_on(chain, item.seq, share, turns)
        return items

    def _read_on(self, chain: str, seq: int, share: int, turns: list[tuple[int, str]]) -> None:
        waiting = self._ahead.setdefault(chain, deque())
        if not waiting:
            waiting.extend(map(_read, self._follow.after(chain, seq, share)))
        if waiting:
            heapq.heappush(turns, (waiting[0].at, chain))

    def _forget(self) -> None:
        """What is remembered may be wrong: another projector was at work, or a batch did not arrive."""
        self._names.forget()
        self._ahead.clear()
        self._left = self._done = None
        self._counts_on = True  # the other may have been one that does not count


def make_batch(position: Position, items: Sequence[_Item], names: Names) -> Batch:
    """What the records come to, numbered on from the position."""
    entries: list[Entry] = []
    policies: list[tuple[str, str, int]] = []
    events: list[Event] = []
    withdrawn: list[tuple[str, str]] = []
    tally = Tally(names)
    for item in items:
        body = item.body
        if body is None or body.kind == _WITHDRAWN:
            events.append(_event(position.events + len(events) + 1, item))
            if body is not None:
                withdrawn.append((kept(body.workspace), kept(body.id)))
            continue
        entry = _entry(position.decisions + len(entries) + 1, item, body)
        entries.append(entry)
        policies += [(entry.workspace, name, entry.n) for name in _policies(body)]
        if body.shadow:
            tally.add(_judgement(entry.workspace, body))
    return Batch(
        before=position,
        chains={item.chain: item.seq for item in items},
        entries=entries,
        policies=policies,
        events=events,
        withdrawn=withdrawn,
        cells=tally.cells(),
    )


def _event(n: int, item: _Item) -> Event:
    head = item.head
    return Event(n=n, workspace=kept(head.workspace), kind=kept(head.kind), at=head.at, chain=item.chain, seq=item.seq)


def _entry(n: int, item: _Item, body: _Body) -> Entry:
    reason = body.reasons[0] if body.reasons else _Reason()
    identity = body.identity or _NOTHING
    decided_by = (reason.rule and reason.rule.at) or reason.policy
    shadow = body.shadow
    return Entry(
        n=n,
        workspace=kept(body.workspace),
        decision_id=kept(body.id),
        at=body.at,
        agent_id=kept(body.agent_id),
        user_id=None if identity.user_id is None else kept(identity.user_id),
        capability=kept(body.capability),
        purpose_id=None if body.purpose_id is None else kept(body.purpose_id),
        outcome=BY_NAME[body.outcome],
        code=kept(reason.code),
        policy=kept(str(decided_by)) if decided_by else None,
        digest=None if body.digest is None else kept(body.digest),
        chain=item.chain,
        seq=item.seq,
        shadow_outcome=max([BY_NAME[verdict.would] for verdict in shadow]) if shadow else None,
        newly_blocked=bool(shadow) and any(verdict.newly_blocked for verdict in shadow),
    )


def _policies(body: _Body) -> set[str]:
    """The names of the policies that had a say, live or in shadow."""
    names = {policy.source for policy in body.policies}
    for told in (body.purpose_policies, body.shadow):
        if told:
            names.update([policy.name for policy in told])
    for reason in body.reasons:
        if isinstance(reason.policy, _Named):
            names.add(reason.policy.name)
    return {kept(name) for name in names if name}


def _judgement(workspace: str, body: _Body) -> Judgement:
    identity = body.identity or _NOTHING
    return Judgement(
        workspace=workspace,
        at=body.at,
        agent_id=body.agent_id,
        groups=identity.groups or (),
        capability=body.capability,
        confidence=None if body.intent is None else body.intent.confidence,
        verdicts=body.shadow,
    )
