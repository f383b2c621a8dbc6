"""Purposes in force: what a declared purpose makes of a call, and what a policy in shadow would make of it.

All policies of a purpose are asked at once: each match field answers for all of them, as two sets of
bits, and what follows from the sets is worked out once for each pair that is met. So a policy in
shadow costs next to nothing beside the live ones.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from onpurpose.core.call import Call
from onpurpose.core.compile import CompiledPolicy
from onpurpose.core.decision import Code, Decision, PolicyRef, Reason, ShadowVerdict, Unknown, denial
from onpurpose.core.matching import UNKNOWN, Elements, fields, remember
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Purpose, PurposePolicy, Status
from onpurpose.core.routing import Route
from onpurpose.core.span import printable

_ALLOW, _ASK, _DENY = Outcome.ALLOW, Outcome.REQUIRE_APPROVAL, Outcome.DENY

_NAMED, _SHOWN = 5, 80  # so many elements are named in a reason, with so many characters of each

Placed: TypeAlias = tuple[PolicyRef, PurposePolicy]
"""A purpose policy and the revision that it is."""


class Candidate(NamedTuple):
    """A capability policy in shadow, and the live one that it would replace (`None`: it would be added)."""

    ref: PolicyRef
    replaced: CompiledPolicy | None
    policy: CompiledPolicy


class Part(NamedTuple):
    """What to ask for candidate `number`, for calls of one capability.

    `candidate` itself; or, where that is `None`, what the live policy at place `like` has answered, which
    judges such calls alike. `beside` are the places of the live policies that stay beside it.
    """

    number: int
    candidate: CompiledPolicy | None
    like: int
    beside: tuple[int, ...]


class Rules(Struct, frozen=True, eq=False, kw_only=True):
    """All that judges one call.

    `policies` are the capability policies chosen for it, `None` where the workspace has none, so that
    their layer has no opinion. `purposes` is `None` where nothing is known of purposes: a declared one
    then passes by. `unmatched` is the outcome where no layer has an opinion: `DENY`, or `ALLOW` while
    the workspace observes; anything else counts as `DENY`. Remembered are, of candidates, what to ask for
    them by capability (`parts`), and the `verdicts` that followed.
    """

    policies: tuple[CompiledPolicy, ...] | None
    candidates: tuple[tuple[PolicyRef, CompiledPolicy | None, CompiledPolicy], ...] = ()
    purposes: PurposeBook | None = None
    purpose_required: bool = False
    unmatched: Outcome = Outcome.DENY
    parts: dict[Hashable, tuple[Part, ...]] = msgspec.field(default_factory=dict)
    verdicts: dict[Hashable, ShadowVerdict] = msgspec.field(default_factory=dict)

    def part(self, capability: str) -> tuple[Part, ...]:
        """What to ask for the candidates that have a say, for a well-formed capability; remembered in `parts`."""
        policies, parts = self.policies or (), []
        for number, (_, replaced, candidate) in enumerate(self.candidates):
            if self.lets_judge(replaced):
                like = -1 if replaced is None else policies.index(replaced)
                alike = replaced is not None and candidate.judges_like(replaced, capability)
                beside = tuple([other for other in range(len(policies)) if other != like])
                parts.append(Part(number, None if alike else candidate, like, beside))
        return remember(self.parts, capability, tuple(parts))

    def lets_judge(self, replaced: CompiledPolicy | None) -> bool:
        """Whether a candidate would have a say: it replaces none, or one that does."""
        return replaced is None or (self.policies is not None and replaced in self.policies)


class Verdict(Struct, frozen=True, gc=False, kw_only=True):
    """What was decided of a call, and what stands beside the decision.

    `shadows` has one entry for each policy in shadow that the call qualifies for. `purpose` is the
    active purpose that it declares, `matched` the live purpose policies that matched, `ttl_seconds`
    how long a token of it may live: 0 where none matched, or the call is denied.
    """

    decision: Decision
    shadows: tuple[ShadowVerdict, ...] = ()
    purpose: Purpose | None = None
    ttl_seconds: int = 0
    matched: tuple[PolicyRef, ...] = ()


class Opinion(Struct, frozen=True, kw_only=True):
    """What the purpose layer says: `outcome` is `None` where it has no opinion (a decision may then say why)."""

    outcome: Outcome | None
    decision: Decision | None
    matched: tuple[PolicyRef, ...] = ()
    ttl_seconds: int = 0


SILENT = Opinion(outcome=None, decision=None)
"""The opinion of a layer that has none."""

REQUIRED = Opinion(outcome=_DENY, decision=denial(Code.PURPOSE_REQUIRED, "the call declares no purpose"))
"""The opinion of a call that declares no purpose, where it must."""


class PurposeBook:
    """Purposes and the policies of each, live and in shadow. Never changed, but for what it remembers.

    What a policy says of itself (`shadow_mode`) is not asked: it is in shadow or live as given here.
    A policy in shadow replaces the live one of its name, if there is one.
    """

    __slots__ = ("_declared", "_live", "_shadow", "in_shadow", "live", "purposes", "shadow")

    def __init__(self, purposes: Iterable[Purpose], live: Iterable[Placed], shadow: Iterable[Placed]) -> None:
        self.purposes: dict[str, Purpose] = {purpose.id: purpose for purpose in purposes}
        self.live, self.shadow = tuple(live), tuple(shadow)
        self.in_shadow = frozenset(ref for ref, _ in self.shadow)
        self._live, self._shadow = _by_purpose(self.live), _by_purpose(self.shadow)
        self._declared: dict[str, Declared] = {}

    def declared(self, purpose_id: str) -> Declared:
        """What is in force for a call that declares the purpose, known or not."""
        declared = self._declared.get(purpose_id)
        if declared is None:
            purpose = self.purposes.get(purpose_id)
            live, shadow = self._live.get(purpose_id, ()), self._shadow.get(purpose_id, ())
            declared = Declared(purpose, tuple(live), tuple(shadow))
            if purpose or live or shadow:  # an agent may declare anything: remember only what is known
                self._declared[purpose_id] = declared
        return declared


def _by_purpose(placed: tuple[Placed, ...]) -> dict[str, list[Placed]]:
    sorted_out: dict[str, list[Placed]] = {}
    for ref, policy in placed:
        sorted_out.setdefault(policy.purpose_id, []).append((ref, policy))
    return sorted_out


NO_PURPOSES = PurposeBook((), (), ())
"""A book in which every purpose is unknown."""


class Declared:
    """A purpose and the policies of it, ready to be asked. Bit n of a set of policies is policy n.

    `live` is the set of those that decide; `if_live` holds for each policy in shadow its number and
    the set that would decide, were it live. `purpose` is `None` unless there is one and it is active.
    """

    __slots__ = (
        "_asks", "_denies", "_fired", "_in_shadow", "_live_named", "_opinions", "_probes", "_status", "elements",
        "fields", "if_live", "joined", "live", "policies", "purpose", "verdicts",
    )  # fmt: skip

    def __init__(self, purpose: Purpose | None, live: tuple[Placed, ...], shadow: tuple[Placed, ...]) -> None:
        self.policies = (*live, *shadow)
        self._status = "" if purpose is None else purpose.status.value
        self.purpose = purpose if self._status == Status.ACTIVE else None
        self.elements = None if purpose is None or purpose.elements is None else Elements(purpose.elements)
        self.live = (1 << len(live)) - 1
        self._live_named = {ref.name: 1 << number for number, (ref, _) in enumerate(live)}
        self._in_shadow = {ref: 1 << number for number, (ref, _) in enumerate(shadow, len(live))}
        self.if_live = tuple((number, self.standing((ref,))) for number, (ref, _) in enumerate(shadow, len(live)))
        outcomes = [policy.outcome for _, policy in self.policies]
        self._denies = _bits(outcome is _DENY for outcome in outcomes)
        self._asks = _bits(outcome is _ASK for outcome in outcomes)
        self.fields = tuple(fields([policy.match for _, policy in self.policies]))
        self._probes = tuple((field.read, field.known, field.learn) for field in self.fields)
        self._fired = tuple(_fired(ref, policy) for ref, policy in self.policies)
        self._opinions: dict[Hashable, Opinion] = {}
        self.verdicts: dict[Hashable, tuple[ShadowVerdict, ...]] = {}
        self.joined: dict[Hashable, Decision] = {}

    def standing(self, promoted: Iterable[PolicyRef]) -> int:
        """The set that would decide, were these policies in shadow live, each in place of the one of its name."""
        standing, added = self.live, 0
        for ref in promoted:
            standing &= ~self._live_named.get(ref.name, 0)
            added |= self._in_shadow.get(ref, 0)
        return standing | added

    def ask(self, call: Call, at: int) -> Asked:
        """What the policies answer of the call, `at` in microseconds UTC, and what it touches beyond the purpose."""
        sure = possible = (1 << len(self.policies)) - 1
        for read, known, learn in self._probes:
            value = read(call, at)
            surely, possibly = known.get(value) or learn(value)
            sure &= surely
            possible &= possibly
        outside = () if self.elements is None else self.elements.outside(call.elements)
        return Asked(self, call, at, sure, possible, outside)

    def outcome(self, standing: int, asked: Asked, *, observes: bool) -> Outcome | None:
        """The outcome of a set of policies that decide; `None` where the layer has no opinion."""
        if self.purpose is None:
            return None if observes else _DENY
        return self._strictest(standing, asked) if standing else None

    def _strictest(self, standing: int, asked: Asked) -> Outcome:
        possible = asked.possible & standing
        if possible & self._denies or not asked.sure & standing or asked.outside != ():
            return _DENY
        return _ASK if possible & self._asks else _ALLOW

    def matches(self, standing: int, asked: Asked) -> int:
        """Which of the set count as matched: those that surely match, and those that deny and may."""
        return standing & (asked.sure | asked.possible & self._denies)

    def opinion(self, standing: int, asked: Asked, *, observes: bool) -> Opinion:
        """What the layer says where this set decides, with its reasons."""
        if self.purpose is None:
            return self._unknown_purpose(asked.call, observes=observes)
        if not standing:
            return SILENT
        sure = asked.sure & standing
        if asked.outside != () or asked.possible & standing != sure:  # its reasons will speak of the call
            return self._form(self.purpose, standing, asked)
        opinion = self._opinions.get((standing, sure))
        if opinion is None:
            formed = self._form(self.purpose, standing, asked, certain=True)
            opinion = remember(self._opinions, (standing, sure), formed)
        return opinion

    def _form(self, purpose: Purpose, standing: int, asked: Asked, *, certain: bool = False) -> Opinion:
        """An opinion; one that is `certain` holds nothing of the call."""
        outcome = self._strictest(standing, asked)
        matched = [self.policies[number] for number in _numbers(self.matches(standing, asked))]
        lives = [policy.token_ttl_minutes * 60 for _, policy in matched]

        def decision() -> Decision:
            return Decision(outcome, self._why(outcome, standing, asked))

        return Opinion(
            outcome=outcome,
            decision=decision() if certain else Decision(outcome, decision),
            matched=tuple([ref for ref, _ in matched]),
            ttl_seconds=0 if outcome is _DENY else min(purpose.ttl_seconds, *lives),
        )

    def _unknown_purpose(self, call: Call, *, observes: bool) -> Opinion:
        status = f"is {self._status}, not active" if self._status else "does not exist"
        message = f"the declared purpose {_quoted(str(call.purpose_id))} {status}"
        asks_for = _ALLOW if observes else _DENY
        reason = Reason(code=Code.UNKNOWN_PURPOSE, outcome=asks_for, message=message)
        return Opinion(outcome=None if observes else _DENY, decision=Decision(asks_for, (reason,)))

    def _why(self, outcome: Outcome, standing: int, asked: Asked) -> tuple[Reason, ...]:
        """What matched, each doubt that counted (of any policy, where none surely matched), and what was missing."""
        sure = asked.sure & standing
        unsure = asked.possible & ~asked.sure & standing
        told = unsure & (self._asks | self._denies) if sure else unsure
        reasons = [self._fired[number] for number in _numbers(sure)]
        reasons += [self._doubt(number, asked) for number in _numbers(told)]
        if not sure and not unsure & self._denies:
            reasons.append(_NONE_MATCHED)
        if asked.outside != () and sure and not asked.possible & standing & self._denies:
            reasons.append(_beyond(asked.outside, self.elements))
        reasons.sort(key=lambda reason: reason.outcome is not outcome)
        return tuple(reasons)

    def _doubt(self, number: int, asked: Asked) -> Reason:
        ref, policy = self.policies[number]
        bit = 1 << number
        unknown: list[Unknown] = []
        for field in self.fields:
            value = field.read(asked.call, asked.at)
            surely, possibly = field.learn(value)
            if possibly & ~surely & bit:
                unknown.append(UNKNOWN[field.name])
        return Reason(
            code=Code.PURPOSE_POLICY_UNKNOWN,
            outcome=policy.outcome,
            message=f"whether the purpose policy `{ref.name}` matches cannot be told",
            policy=ref,
            unknown=tuple(unknown),
            route=_route(policy),
        )


class Asked(Struct, frozen=True, eq=False, gc=False):
    """What the policies of a purpose answer of one call: which surely match, and which possibly.

    `outside` are the elements that it touches beyond the purpose, `None` where that cannot be told.
    """

    declared: Declared
    call: Call
    at: int
    sure: int
    possible: int
    outside: tuple[object, ...] | None


def _bits(flags: Iterable[bool]) -> int:
    return sum(1 << number for number, flag in enumerate(flags) if flag)


def _numbers(bits: int) -> Iterator[int]:
    while bits:
        low = bits & -bits
        yield low.bit_length() - 1
        bits ^= low


# -- reasons

_NONE_MATCHED = Reason(
    code=Code.NO_PURPOSE_POLICY_MATCHED, outcome=_DENY, message="no live policy of the declared purpose matches"
)


def _fired(ref: PolicyRef, policy: PurposePolicy) -> Reason:
    message = f"the purpose policy `{ref.name}` matches: {policy.outcome}"
    code = Code.PURPOSE_POLICY_MATCHED
    return Reason(code=code, outcome=policy.outcome, message=message, policy=ref, route=_route(policy))


def _route(policy: PurposePolicy) -> Route | None:
    """Who is asked by a policy that asks."""
    return (policy.route or Route()) if policy.outcome is Outcome.REQUIRE_APPROVAL else None


def _beyond(outside: tuple[object, ...] | None, elements: Elements | None) -> Reason:
    """The denial of a call that touches more than its purpose may, or may do so."""
    code = Code.ELEMENT_OUTSIDE_PURPOSE
    if outside is None:
        return Reason(code=code, outcome=_DENY, message="what data the call touches cannot be told", unknown=(_UNTOLD,))
    more = f" and {len(outside) - _NAMED} more" if len(outside) > _NAMED else ""
    named = ", ".join(_quoted(element) if isinstance(element, str) else "no text" for element in outside[:_NAMED])
    unknown = (_SPELLING,) if elements is not None and any(map(elements.nearly, outside[:_NAMED])) else ()
    message = f"the call touches what is outside its purpose: {named}{more}"
    return Reason(code=code, outcome=_DENY, message=message, unknown=unknown)


def _quoted(text: str) -> str:
    return f"`{printable(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…')}`"


_UNTOLD = Unknown(
    condition="elements",
    why="the call does not say what data it touches, or its SQL does not tell: see the record's `elements_untold`",
    settle="pass elements=('table.column', ...) from the application, () for none; write SQL that can be told",
)
_SPELLING = Unknown(
    condition="elements",
    why="an element differs from the purpose's in letter case or outer white space alone",
    settle="name elements as the purpose does",
)
