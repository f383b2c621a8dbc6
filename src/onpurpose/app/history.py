"""The past, decided again: recorded calls against a policy, and test files with what they cover."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from onpurpose.app.masking import Masking
from onpurpose.core.call import Call
from onpurpose.core.compile import CompiledPolicy
from onpurpose.core.decide import decide, trace
from onpurpose.core.decision import Code, Decision
from onpurpose.core.history import Doubt, RecordedCall
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Rule
from onpurpose.core.span import Span, printable
from onpurpose.lang.cases import Case, CaseFile

MAX_ROWS = 1000
"""How many capabilities, labels or rules a summary tells apart; the rest is one row, `OTHER`."""

MAX_NOTABLE = 50
"""How many refused or marked calls a summary keeps of each outcome."""

OTHER = "(other)"
"""The row for what came after `MAX_ROWS` others."""

_SHOWN = 200
_MASKING = Masking()

Decide: TypeAlias = Callable[[Call], Decision]
"""What decides one call: `decider(compiled)`, a gate, a twin."""

Tally: TypeAlias = Counter[Outcome]
"""How many calls had each outcome."""


class Replayed(NamedTuple):
    """A recorded call and what was decided of it now."""

    recorded: RecordedCall
    decision: Decision

    @property
    def changed(self) -> bool:
        """Whether the outcome differs from the recorded one; false where none was recorded."""
        return self.recorded.decided not in (None, self.decision.outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notable:
    """A call worth a look, in few bytes: `shown` is its payload as JSON, cut to 200 characters."""

    at: Span
    session: str | None
    label: str | None
    note: str | None
    capability: str
    shown: str
    outcome: Outcome
    decided: Outcome | None
    reason: str
    rule: str


def decider(*policies: CompiledPolicy) -> Decide:
    """What decides a call by these policies: the strictest of them; without any, everything is denied."""
    return lambda call: decide(policies, call)


def replay(calls: Iterable[RecordedCall], decide_one: Decide) -> Iterator[Replayed]:
    """Each call with its decision, in order, one at a time."""
    for recorded in calls:
        yield Replayed(recorded, decide_one(recorded.call))


class Summary:
    """What a replay came to. Its memory is bounded, however long the replay.

    `by_capability`, `by_label` and `by_rule` (`file:line` of the rule that decided) map to a tally
    of outcomes; `notable` are the first calls of each outcome but allow; `changed` counts the
    calls whose outcome differs from the recorded one.
    """

    def __init__(self) -> None:
        self.total = 0
        self.changed = 0
        self.unknown = 0
        self.by_outcome: Tally = Counter()
        self.by_capability: dict[str, Tally] = {}
        self.by_label: dict[str, Tally] = {}
        self.by_rule: dict[str, Tally] = {}
        self.by_code: Counter[Code] = Counter()
        self.doubts: Counter[Doubt] = Counter()
        self.notable: list[Notable] = []

    def add(self, replayed: Replayed) -> None:
        """Count one more."""
        recorded, decision = replayed
        outcome = decision.outcome
        self.total += 1
        self.changed += replayed.changed
        self.by_outcome[outcome] += 1
        self.doubts.update(recorded.doubts)
        _tally(self.by_capability, recorded.call.capability)[outcome] += 1
        if recorded.label is not None:
            _tally(self.by_label, recorded.label)[outcome] += 1
        if decision.reasons:
            self.by_code[decision.reasons[0].code] += 1
        rule = rule_of(decision)
        if rule:
            _tally(self.by_rule, rule)[outcome] += 1
        self.unknown += any(reason.unknown for reason in decision.reasons)
        if outcome is not Outcome.ALLOW and self.by_outcome[outcome] <= MAX_NOTABLE:
            self.notable.append(_notable(replayed, rule))

    def watch(self, replayed: Iterable[Replayed]) -> Iterator[Replayed]:
        """The same, each counted as it passes."""
        for one in replayed:
            self.add(one)
            yield one


def summarise(replayed: Iterable[Replayed]) -> Summary:
    """The summary of a replay, which is run to its end."""
    summary = Summary()
    for one in replayed:
        summary.add(one)
    return summary


def rule_of(decision: Decision) -> str:
    """The place (`file:line`) of the rule that decided; empty where none did."""
    rule = decision.reasons[0].rule if decision.reasons else None
    return "" if rule is None else str(rule)


def shown(payload: object) -> str:
    """The payload as one line that a terminal can print: JSON, secrets masked, cut to 200 characters."""
    try:
        masked = _MASKING.value(payload)
        text = masked if isinstance(masked, str) else json.dumps(masked, ensure_ascii=False)
    except RecursionError:
        text = "(nested too deep to show)"
    return printable(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")


def _tally(rows: dict[str, Tally], name: str) -> Tally:
    """The row of that name, or of the others where there are too many."""
    if name not in rows and len(rows) >= MAX_ROWS:
        name = OTHER
    return rows.setdefault(name, Counter())


def _notable(replayed: Replayed, rule: str) -> Notable:
    recorded, decision = replayed
    return Notable(
        at=recorded.at,
        session=recorded.session,
        label=recorded.label,
        note=None if recorded.note is None else printable(recorded.note[:_SHOWN]),
        capability=recorded.call.capability[:_SHOWN],
        shown=shown(recorded.call.payload),
        outcome=decision.outcome,
        decided=recorded.decided,
        reason=decision.reasons[0].message if decision.reasons else "",
        rule=rule,
    )


# -- policy test files


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """A case, what was decided of it, and what of that was not expected; empty where all was."""

    case: Case
    decision: Decision
    failure: str

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.failure


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleCoverage:
    """In how many cases a rule matched, and in how many it was asked and did not."""

    rule: Rule
    fired: int
    spared: int

    @property
    def both_ways(self) -> bool:
        """Whether both were seen; a rule without conditions has but one way."""
        return self.fired > 0 and (self.spared > 0 or not self.rule.conditions)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRun:
    """What became of a file of cases, and what of the policy they covered, in the order of its rules."""

    results: tuple[CaseResult, ...]
    coverage: tuple[RuleCoverage, ...]

    @property
    def passed(self) -> bool:
        """Whether there was a case, and every one passed."""
        return bool(self.results) and all(result.passed for result in self.results)

    @property
    def covered(self) -> int:
        """How many rules were seen both ways."""
        return sum(rule.both_ways for rule in self.coverage)


def run_cases(cases: CaseFile, compiled: CompiledPolicy) -> CaseRun:
    """Decide every case by the policy. The caller has read the policy that `cases.policy` names."""
    rules = compiled.policy.rules
    place = {id(rule): index for index, rule in enumerate(rules)}
    fired, spared = [0] * len(rules), [0] * len(rules)
    results = []
    for case in cases.cases:
        decision = decide((compiled,), case.call)
        results.append(CaseResult(case=case, decision=decision, failure=_failure(case, decision)))
        for rule, answer in trace(compiled, case.call):
            fired[place[id(rule)]] += answer is True
            spared[place[id(rule)]] += answer is False
    counted = zip(rules, fired, spared, strict=True)
    coverage = tuple(RuleCoverage(rule=rule, fired=yes, spared=no) for rule, yes, no in counted)
    return CaseRun(results=tuple(results), coverage=coverage)


def _failure(case: Case, decision: Decision) -> str:
    """What was not as expected: the outcome, else the rule, else the reason."""
    first = decision.reasons[0]
    line = None if first.rule is None else first.rule.span.line
    if decision.outcome is not case.outcome:
        return f"expected {case.outcome}, and it is {decision.outcome}: {first.message}"
    if case.rule is not None and line != case.rule:
        decided = "no rule" if line is None else f"the rule of line {line}"
        return f"expected the rule of line {case.rule} to decide, and {decided} does"
    if case.reason is not None and first.code is not case.reason:
        return f"expected the reason {case.reason}, and it is {first.code}"
    return ""
