"""From what people grant again and again, the narrowest rule that would have allowed it, and what else it lets through.

Nothing is claimed that was not tried: each rule is written, read back, compiled, and asked about every recorded
call that nobody granted. A rule that lets through what a person denied is not proposed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from onpurpose.app.gate import LOCAL
from onpurpose.app.history import Decide, decider, shown
from onpurpose.app.learning import OFTEN
from onpurpose.app.recollect import Recollected, recollect
from onpurpose.app.sparing import sparing
from onpurpose.app.suggest import Commented, narrowest
from onpurpose.core.act import State
from onpurpose.core.approval import Wanted
from onpurpose.core.compile import compile_policy
from onpurpose.core.history import RecordedCall
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Rule
from onpurpose.core.span import Span
from onpurpose.lang.read import parse
from onpurpose.lang.write import comment, write_section
from onpurpose.ports import Approvals

EXAMPLES = 5
"""How many of the calls are shown that a rule would have let through besides."""

_SOURCE = "<proposal>"
_PAGE = 200
_NOWHERE = Span("<log>", 1, 1)

Bodies = Callable[[], Iterable[bytes]]
"""Gives the bodies of a log's records, oldest first; asked twice, so that none is held."""


class Example(Struct, frozen=True, kw_only=True):
    """A recorded call: its decision, when that was (microseconds UTC), and its payload, masked and cut."""

    decision_id: str
    at: int
    agent_id: str
    outcome: str
    shown: str


class Proposal(Struct, frozen=True, kw_only=True):
    """A rule, and what came of trying it.

    `commented` is the rule with what it was learned from; `granted` are the approvals whose calls it allows, of
    `of` that were granted to the agent for the capability; `asked_by` are the rules that asked. It lets through
    `also` recorded calls that nobody granted, the first of them in `examples`; of `untold` more it
    cannot be told, as the log hides their values. `sparing` are the rules that ask about all else (see
    `app.sparing`), empty where they were tried and did not, or there are none.
    """

    agent_id: str
    capability: str
    commented: Commented
    granted: tuple[str, ...]
    of: int
    asked_by: tuple[str, ...]
    also: int
    untold: int
    examples: tuple[Example, ...]
    sparing: str

    @property
    def text(self) -> str:
        """The rule as a policy."""
        return write_section(Outcome.ALLOW, [self.commented])


class Declined(Struct, frozen=True, kw_only=True):
    """Why nothing is proposed for what was granted so often."""

    agent_id: str
    capability: str
    granted: int
    why: str


class Proposals(Struct, frozen=True, kw_only=True):
    """What is proposed and what is not; how many approvals were granted in all, and how many calls tried."""

    proposals: tuple[Proposal, ...]
    declined: tuple[Declined, ...]
    granted: int
    tried: int


def propose(approvals: Approvals, workspace: str, bodies: Bodies) -> Proposals:
    """The narrowest rules for what was granted at least `OFTEN` times to one agent for one capability.

    `bodies` gives the records of the log that holds the workspace's decisions. Raises `StoreError`, and
    what `bodies` raises.
    """
    granted = list(_settled(approvals, workspace, frozenset({State.GRANTED, State.USED})))
    denied = list(_settled(approvals, workspace, frozenset({State.DENIED})))
    kinds: dict[tuple[str, str], list[_Settled]] = defaultdict(list)
    for one in granted:
        kinds[one.agent_id, one.capability].append(one)
    often = {kind: found for kind, found in sorted(kinds.items()) if len(found) >= OFTEN}
    told = _told(bodies, workspace, {one.decision_id for found in often.values() for one in found}) if often else {}
    trials: list[_Trial] = []
    declined: list[Declined] = []
    for (agent_id, capability), found in often.items():
        learned, why = _learned(agent_id, capability, found, told)
        trials.extend(learned)
        if not learned:
            declined.append(Declined(agent_id=agent_id, capability=capability, granted=len(found), why=why))
    tried = _try(trials, workspace, bodies, granted, denied) if trials else 0
    for trial in trials:
        if why := trial.objection():
            name = trial.capability
            declined.append(Declined(agent_id=trial.agent_id, capability=name, granted=trial.of, why=why))
    proposed = tuple(trial.proposal() for trial in trials if not trial.objection())
    return Proposals(proposals=proposed, declined=tuple(declined), granted=len(granted), tried=tried)


class _Settled(Struct, frozen=True, kw_only=True):
    """What is needed of an approval; its context may be long, and there may be many."""

    id: str
    agent_id: str
    capability: str
    digest: str
    decision_id: str


def _settled(approvals: Approvals, workspace: str, states: frozenset[State]) -> Iterator[_Settled]:
    """The approvals of the workspace that are in one of the states, newest first."""
    before: str | None = None
    while found := approvals.find(Wanted(workspace=workspace, states=states, before=before, limit=_PAGE)):
        for one in found:
            before = one.id
            yield _Settled(
                id=one.id,
                agent_id=one.agent_id,
                capability=one.capability,
                digest=one.digest,
                decision_id=one.decision_ids[0] if one.decision_ids else "",
            )


# -- the log


class _Rule(Struct, gc=False):
    at: str = ""


class _Reason(Struct):
    outcome: str = ""
    rule: _Rule | None = None


class _Head(Struct):
    kind: str
    id: str = ""
    workspace: str = LOCAL
    capability: str = ""
    digest: str | None = None
    outcome: str = ""
    reasons: tuple[_Reason, ...] = ()


_HEAD = msgspec.json.Decoder(_Head)


@dataclass(frozen=True, slots=True)
class _Decided:
    """A decision of the log."""

    head: _Head
    body: bytes


def _decisions(bodies: Bodies, workspace: str) -> Iterator[_Decided]:
    for body in bodies():
        try:
            head = _HEAD.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # damaged: `audit verify` tells of it
            continue
        if head.kind == "decision" and head.workspace == workspace:
            yield _Decided(head, body)


def _told(bodies: Bodies, workspace: str, wanted: set[str]) -> Mapping[str, tuple[Recollected, tuple[str, ...]]]:
    """The calls of these decisions, as far as the log tells them, with the rules that asked."""
    found = {}
    for one in _decisions(bodies, workspace):
        if one.head.id in wanted and (call := recollect(one.body)) is not None:
            asked = (reason.rule for reason in one.head.reasons if reason.outcome == str(Outcome.REQUIRE_APPROVAL))
            found[one.head.id] = call, tuple(rule.at for rule in asked if rule is not None)
    return found


# -- learning and trying


def _learned(
    agent_id: str,
    capability: str,
    found: Sequence[_Settled],
    told: Mapping[str, tuple[Recollected, tuple[str, ...]]],
) -> tuple[list[_Trial], str]:
    """What is to be tried for one agent and capability; or why nothing is."""
    known = [(one, *told[one.decision_id]) for one in found if one.decision_id in told]
    if len(known) < OFTEN:
        return [], f"the log holds {len(known)} of these calls, too few to learn from"
    hidden = sum(call.masked for _, call, _ in known)
    rules, refusal = narrowest(capability, (RecordedCall(call=call.call, at=_NOWHERE) for _, call, _ in known))
    if not rules:
        masked = f" (the log hides values of {hidden} of them)" if hidden else ""
        return [], refusal + masked
    asked = tuple(dict.fromkeys(at for _, _, places in known for at in places))
    trials = []
    for commented in rules:
        trial = _Trial(agent_id=agent_id, capability=capability, commented=commented, of=len(found), asked_by=asked)
        trial.granted = tuple(one.id for one, call, _ in known if trial.allows(call))
        trials.append(trial)
    return trials, ""


@dataclass(slots=True, kw_only=True)
class _Trial:
    """A rule, compiled from its text, and what it lets through; as an asking rule it tells what it might."""

    agent_id: str
    capability: str
    commented: Commented
    of: int
    asked_by: tuple[str, ...]
    granted: tuple[str, ...] = ()
    also: int = 0
    untold: int = 0
    examples: list[Example] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    sparing: str = field(init=False)
    _asks: Decide = field(init=False)
    _sure: Decide = field(init=False)
    _perhaps: Decide = field(init=False)

    def __post_init__(self) -> None:
        self._sure = _compiled(write_section(Outcome.ALLOW, [self.commented]))
        # The rule of not knowing has a rule that asks fire where it cannot be told; all else is allowed here.
        rest = Rule(outcome=Outcome.ALLOW, capability=self.capability, conditions=(), span=_NOWHERE)
        allowing = write_section(Outcome.ALLOW, [(rest, ())])
        self._perhaps = _compiled(write_section(Outcome.REQUIRE_APPROVAL, [self.commented]) + allowing)
        self.sparing = sparing(self.commented[0])
        self._asks = _compiled(self.sparing + allowing)

    def allows(self, told: Recollected) -> bool:
        """Whether it surely allows the call; what spares it is tried with it, and given up where it fails."""
        sure = self._sure(told.call).outcome.permits
        if (self._asks(told.call).outcome is Outcome.ALLOW) is not sure:
            self.sparing = ""
        return sure

    def may_allow(self, told: Recollected) -> bool:
        """Whether it allows the call, or would with the right values in the place of the hidden ones."""
        return self.allows(told) or (told.masked and self._perhaps(told.call).outcome is Outcome.REQUIRE_APPROVAL)

    def add(self, one: _Decided, told: Recollected, *, denied: bool) -> None:
        """Try it on a call that nobody granted."""
        if not self.may_allow(told):
            return
        if denied:
            self.denied.append(one.head.id)
        if not self.allows(told):
            self.untold += 1
            return
        self.also += 1
        if len(self.examples) < EXAMPLES:
            example = Example(
                decision_id=one.head.id,
                at=told.at,
                agent_id=told.call.agent_id,
                outcome=one.head.outcome,
                shown=shown(told.call.payload),
            )
            self.examples.append(example)

    def objection(self) -> str:
        """Why it is not proposed; empty where it is."""
        if self.denied:
            return f"the narrowest rule would let through what a person denied: decision {self.denied[0]}"
        if len(self.granted) < OFTEN:
            return f"the narrowest rule would allow {len(self.granted)} of these calls, too few"
        return ""

    def proposal(self) -> Proposal:
        """What came of it."""
        return Proposal(
            agent_id=self.agent_id,
            capability=self.capability,
            commented=self.commented,
            granted=self.granted,
            of=self.of,
            asked_by=self.asked_by,
            also=self.also,
            untold=self.untold,
            examples=tuple(self.examples),
            sparing=self.sparing,
        )


def _compiled(text: str) -> Decide:
    return decider(compile_policy(parse(text, _SOURCE)))


def _try(
    trials: Sequence[_Trial],
    workspace: str,
    bodies: Bodies,
    granted: Iterable[_Settled],
    denied: Sequence[_Settled],
) -> int:
    """Try the rules on every call of the log that nobody granted; how many calls they were tried on."""
    theirs: dict[str, list[_Trial]] = defaultdict(list)
    for trial in trials:
        theirs[trial.capability].append(trial)
    refused = {one.digest: one for one in denied if one.capability in theirs}
    allowed = {one.digest for one in granted} - set(refused)
    missing = dict(refused)
    tried = 0
    for one in _decisions(bodies, workspace):
        concerned = theirs.get(one.head.capability)
        if concerned is None or one.head.outcome in _RAN or one.head.digest is None or one.head.digest in allowed:
            continue
        missing.pop(one.head.digest, None)
        told = recollect(one.body)
        if told is not None:
            tried += 1
            for trial in concerned:
                trial.add(one, told, denied=one.head.digest in refused)
    for gone in missing.values():  # what cannot be tried is not claimed
        for trial in theirs[gone.capability]:
            trial.denied.append(f"{gone.decision_id}, which the log does not hold any more")
    return tried


_RAN = frozenset(str(outcome) for outcome in Outcome if outcome.permits)


# -- what is written


def written(found: Proposals) -> str:
    """The proposals as one policy (YAML), which says of each rule what came of trying it, and what is not proposed."""
    rules = [(one.commented[0], (*_tells(one, found.tried), *one.commented[1])) for one in found.proposals]
    parts = ["\n".join(map(comment, _HEADING)), write_section(Outcome.ALLOW, rules)]
    parts.append("\n".join(comment(line) for one in found.declined for line in _refuses(one)))
    return "\n".join(part for part in parts if part).rstrip("\n") + "\n"


_HEADING = (
    "Rules that would have allowed what people granted again and again. Read them before you use them:",
    "they say what was granted, not what is right, and they were tried on recorded calls alone.",
    "An allow rule lifts no require_approval: each rule that asks must leave these calls out as well.",
    "",
)


def _tells(one: Proposal, tried: int) -> Iterator[str]:
    yield f"{one.capability} by {shown(one.agent_id)}: granted {one.of} times, of which this allows {len(one.granted)}"
    if one.asked_by:
        yield f"asked by {', '.join(one.asked_by)}"
    calls = "1 recorded call" if tried == 1 else f"{tried} recorded calls"
    yield f"tried on {calls} that nobody granted: lets through {one.also or 'none'}{':' * bool(one.also)}"
    for example in one.examples:
        when = datetime.fromtimestamp(example.at // 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        yield f"  {when}.{example.at // 1000 % 1000:03}Z {example.outcome} {shown(example.agent_id)}: {example.shown}"
    if one.also > len(one.examples):
        yield f"  and {one.also - len(one.examples)} more"
    if one.untold:
        yield f"of {one.untold} more it cannot be told, as the log hides their values"
    if one.sparing:
        rules = one.sparing.splitlines()[1:]
        copies = sum(line.startswith("  -") for line in rules)
        yield f"a rule that asks leaves these calls out where it stands there {copies} times, each with one of these:"
        yield from rules


def _refuses(one: Declined) -> Iterator[str]:
    yield f"Not proposed: {one.capability} by {shown(one.agent_id)}, granted {one.granted} times:"
    yield f"  {one.why}"
