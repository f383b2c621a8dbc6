"""A set of policies on the recorded past: what they would have done, had they been live beside today's.

Each recorded call is judged anew, as policies in shadow are on calls as they come. What ran is told by
the record; what the record hides is unknown. Memory and time are bounded, and an answer that does not
cover all that was asked says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct

from onpurpose.app import shadow
from onpurpose.app.documents import JUDGED
from onpurpose.app.drafts import asks_to_be_live
from onpurpose.app.notes import digest
from onpurpose.app.projection import Decisions, Follow
from onpurpose.app.recollect import Recollected, recollect
from onpurpose.app.recorded_calls import Walk, count, walk
from onpurpose.app.shelf import Shelf, word
from onpurpose.app.workspace import Compiled, InForce
from onpurpose.core.arguments import either
from onpurpose.core.decide import judge, judge_set, read_facts
from onpurpose.core.decision import PolicyRef, ShadowVerdict
from onpurpose.core.facts import Facts, Malformed
from onpurpose.core.feed import Entry, Search
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import PurposePolicy
from onpurpose.core.purposes import Rules, Verdict
from onpurpose.core.record import Stored
from onpurpose.core.revision import ConflictError, Contents, Kind, Revision, Standing
from onpurpose.core.statistics import Counts, Numbers, Rate, numbers, wilson
from onpurpose.lang.purposes import parse_purposes

SECONDS = 20.0
"""How long a backtest takes at most; it then answers with what it has read."""

MOST_EXAMPLES = 10
"""How many decisions of each kind are named."""

MOST_AT_ONCE = 3
"""How many run at once in a process, each of another workspace: calls that are answered now come first."""

EXAMPLES = ("would_deny", "would_ask", "newly_blocked", "unmatched", "newly_allowed", "unknown")
"""The kinds of calls that are worth a look; `unknown` are those of which it cannot be told whether they match."""

THE_SET: Final = PolicyRef(kind="set", name="", revision=0)
"""In place of one policy, all of the set together."""


class Member(Struct, frozen=True, kw_only=True):
    """A policy that is tried: a revision of it, or a text that was not saved; exactly one of the two is given."""

    kind: Kind
    name: str
    revision: int | None = None
    text: str | None = None


class Trial(Struct, frozen=True, kw_only=True):
    """What one policy by itself, or the whole set together, would have come to.

    `newly_allowed` are, of the qualified, the calls that did not run and would have. `masked` is how many
    of the qualified hold something that the record hides. `examples` are ids of decisions by kind, see
    `EXAMPLES`.
    """

    numbers: Numbers
    newly_allowed: Rate
    masked: int
    examples: dict[str, tuple[str, ...]]


class Backtested(Struct, frozen=True, kw_only=True):
    """What a backtest came to: of each member, in their order, and of the set.

    `calls` recorded calls of the window were looked at, newest first, back to `first_at` (microseconds
    UTC, `None` without any); `unreadable` of them could not be read when they were made, `gone` are no more
    in the log, and `masked` were judged with something unknown that the record hides. On `changed` others,
    what is live today comes to another outcome than was recorded. `stopped` is `limit`, `time` or
    `cancelled` where the window may hold more calls than were looked at.
    """

    together: Trial
    members: tuple[Trial, ...]
    calls: int
    masked: int
    unreadable: int
    gone: int
    changed: int
    first_at: int | None
    stopped: str | None


class Backtests:
    """Tries sets of policies on the recorded past, one at a time of a workspace: whoever asks meanwhile has to wait.

    `rest` is called between blocks of calls, so that calls which are answered now come first.
    """

    def __init__(  # noqa: PLR0913  these are its parts
        self,
        shelf: Shelf,
        decisions: Decisions,
        log: Follow,
        *,
        seconds: float = SECONDS,
        elapsed: Callable[[], float] = time.monotonic,
        rest: Callable[[], None] = lambda: time.sleep(0.002),
    ) -> None:
        self._shelf = shelf
        self._decisions = decisions
        self._log = log
        self._seconds = seconds
        self._elapsed = elapsed
        self._rest = rest
        self._lock = threading.Lock()
        self._running: set[str] = set()

    def run(  # noqa: PLR0913  what is tried, on what, and who looks on
        self,
        workspace: str,
        members: Sequence[Member],
        *,
        since: int,
        until: int,
        limit: int,
        seen: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Backtested:
        """Try the set on the newest `limit` calls from `since` up to `until` (microseconds UTC).

        Between blocks of calls `seen` is told how many were judged, of how many, and `cancelled` whether to end. Raises
        `PolicyError` for a text that cannot be read, `MissingError` for what is not there, `ConflictError` for a set
        that cannot be, or while others run (see `MOST_AT_ONCE`), and `StoreError` and `LedgerError`.
        """
        self._enter(workspace)
        try:
            began = self._elapsed()
            judging = _proposed(self._shelf, workspace, members)
            search = Search(workspace=workspace, since=since, until=until, purpose_id=judging.only_purpose)

            chosen = 0 if seen is None else count(self._decisions, search, limit)

            def halt() -> str:
                if seen is not None:
                    seen(judging.calls, chosen)
                late = self._elapsed() - began >= self._seconds
                return "cancelled" if cancelled() else "time" if late else ""

            how = Walk(limit, halt, self._rest)
            return judging.result(walk(self._decisions, self._log, search, judging.take, how))
        finally:
            self._leave(workspace)

    def _enter(self, workspace: str) -> None:
        with self._lock:
            if workspace in self._running:
                raise ConflictError("a backtest is running already; ask again when it is done")
            if len(self._running) >= MOST_AT_ONCE:
                raise ConflictError("backtests of others are running; ask again when one is done")
            self._running.add(workspace)

    def _leave(self, workspace: str) -> None:
        with self._lock:
            self._running.discard(workspace)


# -- the set, as if it were in shadow


def _proposed(shelf: Shelf, workspace: str, members: Sequence[Member]) -> _Judging:
    """What judges by what is in force, with the set in shadow and nothing else."""
    if len({(one.kind, one.name) for one in members}) < len(members):
        raise ConflictError("a document stands twice in the set")
    contents = shelf.contents(workspace)
    revisions = [_revision(shelf, workspace, one) for one in members]
    held = InForce(_with_shadow(contents, revisions), Compiled())
    if held.refusal is not None:
        raise ConflictError(f"{held.refusal.reasons[0].message}: nothing can be judged")
    refs = [PolicyRef(kind=str(one.kind), name=one.name, revision=one.number) for one in revisions]
    return _Judging(held, tuple(refs), _purposes(contents, revisions))


def _revision(shelf: Shelf, workspace: str, member: Member) -> Revision:
    if member.kind not in JUDGED:
        raise ConflictError(f"a {word(member.kind)} is never in shadow, and cannot be tried")
    if member.text is None:
        revision = shelf.revision(workspace, member.kind, member.name, member.revision or 0)
        if not revision.text:
            raise ConflictError(f"revision {revision.number} of `{member.name}` says that it was removed")
    else:
        standing = shelf.find(workspace, member.kind, member.name)
        revision = Revision(
            workspace=workspace, kind=member.kind, name=member.name, number=(standing.newest if standing else 0) + 1,
            text=member.text, digest=digest(member.text), author="", at=0, reason="",
        )  # fmt: skip
    asks_to_be_live(member.kind, member.name, revision.text)  # refuses what cannot be read, under its name
    return revision


def _with_shadow(contents: Contents, revisions: Sequence[Revision]) -> Contents:
    proposed = {(one.kind, one.name): one for one in revisions}
    standings = {(one.kind, one.name): _stand(one, None) for one in contents.standings}
    for key, revision in proposed.items():
        standings[key] = _stand(standings.get(key) or _new(revision), revision.number)
    texts = contents.texts | {(one.kind, one.name, one.number): one for one in revisions}
    return Contents(
        workspace=contents.workspace, version=contents.version, standings=tuple(standings.values()), texts=texts
    )


def _purposes(contents: Contents, revisions: Sequence[Revision]) -> frozenset[str] | None:
    """The purposes whose calls alone the set can concern, those of policies that it replaces too; `None` for all."""
    if any(one.kind is not Kind.PURPOSE_POLICY for one in revisions):
        return None
    names = {one.name for one in revisions}
    replaced = [
        contents.texts[one.kind, one.name, one.live].text
        for one in contents.standings
        if one.kind is Kind.PURPOSE_POLICY and one.name in names and one.live is not None
    ]
    found = (one for text in (*(one.text for one in revisions), *replaced) for one in parse_purposes(text))
    return frozenset(one.purpose_id for one in found if isinstance(one, PurposePolicy))


def _stand(standing: Standing, in_shadow: int | None) -> Standing:
    return Standing(
        kind=standing.kind, name=standing.name, version=standing.version, newest=standing.newest,
        live=standing.live, shadow=in_shadow,
    )  # fmt: skip


def _new(revision: Revision) -> Standing:
    return Standing(kind=revision.kind, name=revision.name, version=0, newest=revision.number, live=None, shadow=None)


# -- judging


def outcome(held: InForce, told: Recollected) -> Outcome:
    """What is in force comes to on a recorded call. Raises `Malformed` for one that cannot be judged."""
    selected = held.select(told.policy, told.call.agent_id, told.call.policy_context)
    if selected.refusal is not None:
        return Outcome.DENY
    return judge(selected.rules, told.call, read_facts(told.call), told.at).decision.outcome


class _Judging:
    """Judges recorded calls by what is in force with the set in shadow, and counts what would have been."""

    def __init__(self, held: InForce, refs: tuple[PolicyRef, ...], purposes: frozenset[str] | None) -> None:
        self._held = held
        self._refs = refs
        self._promoted = frozenset(refs)
        self._purposes = purposes
        self._sheets = {ref: _Sheet() for ref in (*refs, THE_SET)}
        self.calls = self._masked = self._unreadable = self._gone = self._changed = 0
        self._first_at: int | None = None

    @property
    def only_purpose(self) -> str | None:
        """The one purpose whose calls alone the set can concern, if it is one."""
        purposes = self._purposes
        return next(iter(purposes)) if purposes is not None and len(purposes) == 1 else None

    def take(self, entry: Entry, stored: Stored | None) -> None:
        """Judge one call anew, and count it."""
        self.calls += 1
        self._first_at = entry.at if self._first_at is None else min(self._first_at, entry.at)
        if self._purposes is not None and entry.purpose_id not in self._purposes:
            return
        if stored is None:
            self._gone += 1
            return
        told = recollect(stored.body)
        if told is None:
            self._unreadable += 1
            return
        try:
            facts = read_facts(told.call)
        except Malformed:
            self._unreadable += 1
            return
        self._masked += told.masked
        self._judge(entry, told, facts)

    def _judge(self, entry: Entry, told: Recollected, facts: Facts) -> None:
        call = told.call
        selected = self._held.select(told.policy, call.agent_id, call.policy_context)
        rules = selected.rules
        if selected.refusal is not None:
            return  # denied before any policy is asked, whatever is in shadow
        alone = judge(rules, call, facts, told.at)
        actual = Outcome.REQUIRE_APPROVAL if told.asked else entry.outcome  # what policies came to, before a person did
        self._changed += not told.masked and alone.decision.outcome is not actual
        together = judge_set(rules, self._promoted, call, facts, told.at)
        seen = _Seen(entry.decision_id, actual.permits, told)
        for one in alone.shadows:
            blocked = seen.ran and not one.would.permits
            unmatched = blocked and _is_unmatched(one, rules, told, facts)
            self._sheets[one.policy].add(one, seen, unmatched=unmatched)
        if alone.shadows or together.decision.outcome is not alone.decision.outcome:
            one = _of_the_set(alone.shadows, together)
            self._sheets[THE_SET].add(one, seen, unmatched=seen.ran and one.unmatched)

    def result(self, stopped: str | None) -> Backtested:
        """What it came to."""
        return Backtested(
            together=self._sheets[THE_SET].trial(),
            members=tuple(self._sheets[ref].trial() for ref in self._refs),
            calls=self.calls,
            masked=self._masked,
            unreadable=self._unreadable,
            gone=self._gone,
            changed=self._changed,
            first_at=self._first_at,
            stopped=stopped,
        )


class _Seen(NamedTuple):
    """A recorded call: the id of its decision, whether policies let it run, and what is known of it."""

    decision_id: str
    ran: bool
    told: Recollected


def _is_unmatched(one: ShadowVerdict, rules: Rules, told: Recollected, facts: Facts) -> bool:
    """Whether a call that ran would be blocked because no policy would match it."""
    if one.newly_blocked:
        return one.unmatched
    if one.policy.kind == Kind.POLICY:  # what is live today blocks it too, so that the verdict does not say
        return one.matched is False
    return not judge_set(rules, frozenset({one.policy}), told.call, facts, told.at).matched


def _of_the_set(shadows: Sequence[ShadowVerdict], together: Verdict) -> ShadowVerdict:
    """The verdict of the set: it matches where any of it does, and leaves unmatched what none of it matches."""
    of_purposes = any(one.policy.kind == Kind.PURPOSE_POLICY for one in shadows)
    return ShadowVerdict(
        policy=THE_SET,
        matched=either([one.matched for one in shadows]),
        would=together.decision.outcome,
        newly_blocked=False,
        unmatched=not together.decision.outcome.permits
        and not (of_purposes and together.matched)
        and all(one.matched is False for one in shadows if one.policy.kind == Kind.POLICY),
    )


class _Sheet:
    """What is counted of one policy, or of the set."""

    def __init__(self) -> None:
        self._count = shadow.Count()
        self._newly_allowed = 0
        self._masked = 0
        self._examples: dict[str, list[str]] = {kind: [] for kind in EXAMPLES}

    def add(self, one: ShadowVerdict, seen: _Seen, *, unmatched: bool) -> None:
        """Count one call that qualifies."""
        blocked = seen.ran and not one.would.permits
        allowed = not seen.ran and one.would.permits
        verdict = shadow.Verdict(
            kind=one.policy.kind, name=one.policy.name, revision=one.policy.revision, would=str(one.would),
            matched=one.matched, newly_blocked=blocked, unmatched=unmatched,
        )  # fmt: skip
        self._count.add(verdict, seen.told.confidence)
        self._newly_allowed += allowed
        self._masked += seen.told.masked
        shows = {
            "would_deny": one.matched is True and one.would is Outcome.DENY,
            "would_ask": one.matched is True and one.would is Outcome.REQUIRE_APPROVAL,
            "newly_blocked": blocked,
            "unmatched": unmatched,
            "newly_allowed": allowed,
            "unknown": one.matched is None,
        }
        for kind, named in self._examples.items():
            if shows[kind] and len(named) < MOST_EXAMPLES:
                named.append(seen.decision_id)

    def trial(self) -> Trial:
        """What was counted."""
        counts = self._count.counts()
        return Trial(
            numbers=numbers(counts, first=Counts(), now=counts),
            newly_allowed=wilson(self._newly_allowed, counts.qualified),
            masked=self._masked,
            examples={kind: tuple(named) for kind, named in self._examples.items()},
        )
