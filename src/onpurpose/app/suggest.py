"""A starter policy from a history: the narrowest rules that cover it, what is unusual left for a person.

What the policy allows of the history is not claimed but tried: the text is read and compiled, and
every call of the history is decided by it before the text is handed out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from onpurpose.app.history import decider, shown
from onpurpose.app.learning import OFTEN, Learned, Observed, Path, learn, leaves, scalars
from onpurpose.core.arguments import compile_argument
from onpurpose.core.call import MAX_NAME, Call
from onpurpose.core.compile import CAPABILITY, compile_policy
from onpurpose.core.facts import Facts, Malformed, needle
from onpurpose.core.history import Doubt, RecordedCall
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Amount, Argument, Condition, Contains, Exists, MaxItems, Operator, Rule, Test
from onpurpose.core.span import Span
from onpurpose.lang.decoding import MAX_BYTES
from onpurpose.lang.read import parse
from onpurpose.lang.write import comment, write_section

ALARMING = (
    "rm -rf", "rm -fr", "--no-preserve-root", "mkfs", "dd if=", ":(){", "chmod -R 777", "/etc/shadow",
    "authorized_keys", "base64 -d", "| bash", "DROP TABLE", "DROP DATABASE", "TRUNCATE TABLE", "xp_cmdshell",
    "169.254.169.254", "ignore previous instructions", "ignore all previous instructions",
)  # fmt: skip
"""Texts that no starter policy lets through unseen."""

MAX_CAPABILITIES = 200
"""How many capabilities get rules, the most used first."""

MAX_LISTED = 100
"""How many calls are listed as left for a person."""

_MAX_BODY = MAX_BYTES // 2  # so that the comments fit beside it
_MAX_PATHS = 40
_MAX_RARE = 20
_MAX_SHAPES = 8
_NEEDLES = tuple(needle(text) for text in ALARMING)
_NOWHERE = Span("<suggestion>", 1, 1)

Commented: TypeAlias = tuple[Rule, tuple[str, ...]]
Shape: TypeAlias = tuple[tuple[Path, bool], ...]
"""Which of the looked-at arguments a call has, and whether it has more than an empty list there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A call of the history that the suggestion does not allow, what it does with it, and why."""

    recorded: RecordedCall
    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """A policy's text (YAML), how many calls of the history it was tried on and allows, and the others."""

    text: str
    total: int
    allowed: int
    left: tuple[Left, ...]


@dataclass(slots=True)
class _Plan:
    """What becomes of one capability: rules that allow, or why there are none."""

    rules: list[Commented] = field(default_factory=list)
    refusal: str = ""


def suggest(calls: Iterable[RecordedCall]) -> Suggestion:
    """A starter policy for the calls, the same for the same calls. It holds all of them in memory."""
    history = list(calls)
    unusual = [_unusual(recorded) for recorded in history]
    usable: dict[str, list[RecordedCall]] = {}
    for recorded, why in zip(history, unusual, strict=True):
        if _is_well_named(recorded.call):
            usable.setdefault(recorded.call.capability, [])
            if not why:
                usable[recorded.call.capability].append(recorded)
    most = sorted(usable, key=lambda name: (-len(usable[name]), name))[:MAX_CAPABILITIES]
    plans = {name: _plan(name, usable[name]) for name in most}
    body = _body(plans)
    while len(body.encode()) > _MAX_BODY:
        plans = dict(list(plans.items())[: len(plans) // 2])
        body = _body(plans)
    left = _left(history, unusual, plans, body)
    head = _head(len(history), len(history) - len(left))
    text = "\n".join([*map(comment, head), "", body, *map(comment, _tail(left))]) + "\n"
    return Suggestion(text=text, total=len(history), allowed=len(history) - len(left), left=left)


def narrowest(capability: str, calls: Iterable[RecordedCall]) -> tuple[tuple[Commented, ...], str]:
    """The narrowest rules that allow what is usual among calls of one capability, with comments; or why there is none.

    Of calls that are unusual in themselves (an alarming text, a value that cannot be read) nothing is learned.
    """
    plan = _plan(capability, [recorded for recorded in calls if not _unusual(recorded)])
    return tuple(plan.rules), plan.refusal


# -- what is learned


def _unusual(recorded: RecordedCall) -> str:
    """Why nothing is learned from the call; empty if something is."""
    call = recorded.call
    if not _is_well_named(call):
        return "its capability is malformed"
    if Doubt.DUPLICATE_KEYS in recorded.doubts:
        return "a key stands twice in it, so that readers disagree on what it asks"
    if Doubt.NO_ARGUMENTS in recorded.doubts or call.payload is None:
        return "its arguments were not recorded"
    try:
        facts = Facts(call)
    except Malformed as malformed:
        return str(malformed)
    if facts.contains(_NEEDLES) is not False:
        return "it holds an alarming text, or text that cannot be read"
    return "" if isinstance(call.payload, Mapping) else "its payload is a bare text, of which no argument can be told"


def _is_well_named(call: Call) -> bool:
    return len(call.capability) <= MAX_NAME and CAPABILITY.fullmatch(call.capability) is not None


def _plan(capability: str, calls: list[RecordedCall]) -> _Plan:
    """The rules that allow what is usual among the calls of the capability."""
    if len(calls) < OFTEN:
        return _Plan(refusal=f"too few usual calls of it ({len(calls)}) to learn from")
    observed = _observe(calls)
    frequent = sorted(path for path, seen in observed.items() if seen.calls >= OFTEN)
    rare = sorted(path for path, seen in observed.items() if seen.calls < OFTEN)[:_MAX_RARE]
    if len(frequent) > _MAX_PATHS:
        return _Plan(refusal=f"takes more than {_MAX_PATHS} arguments")
    learned = {path: learn(path, observed[path]) for path in frequent}
    refused = [f"`{'.'.join(path)}` {known.refusal}" for path, known in learned.items() if known.refusal]
    if refused:
        return _Plan(refusal="; ".join(refused))
    asked = {path: known for path, known in learned.items() if _is_asked(known, observed[path])}
    free = [f"{'.'.join(path)} ({known.free})" for path, known in learned.items() if known.free]
    shapes = Counter(_shape(recorded, asked) for recorded in calls)
    kept = [shape for shape in sorted(shapes, key=lambda one: (-shapes[one], one)) if shapes[shape] >= OFTEN]
    plan = _Plan(refusal="" if kept else "its arguments differ from call to call")
    for shape in sorted(kept[:_MAX_SHAPES]):
        conditions = _conditions(shape, asked, observed, rare)
        rule = Rule(outcome=Outcome.ALLOW, capability=capability, conditions=conditions, span=_NOWHERE)
        plan.rules.append((rule, (f"seen {shapes[shape]} times", *([f"left open: {', '.join(free)}"] if free else []))))
    return plan


def _is_asked(known: Learned, seen: Observed) -> bool:
    """Whether a rule looks at the argument: it knows its values, or how long its lists are."""
    return bool(known.tests) or known.limit is not None or not seen.single


def _observe(calls: list[RecordedCall]) -> dict[Path, Observed]:
    observed: dict[Path, Observed] = {}
    for recorded in calls:
        context = recorded.call.policy_context or {}
        here: set[Path] = set()
        for path, value in leaves(recorded.call.payload):
            seen = observed.setdefault(path, Observed())
            seen.values.extend((scalar, context.get("cwd")) for scalar in scalars(value))
            seen.calls += path not in here
            here.add(path)
            if isinstance(value, list | tuple):
                seen.longest = max(seen.longest, len(value))
            else:
                seen.single = True
    return observed


def _shape(recorded: RecordedCall, asked: dict[Path, Learned]) -> Shape:
    filled: dict[Path, bool] = {}
    for path, value in leaves(recorded.call.payload):
        if path in asked:
            filled[path] = filled.get(path, False) or any(True for _ in scalars(value))
    return tuple(sorted(filled.items()))


def _conditions(
    shape: Shape, asked: dict[Path, Learned], observed: dict[Path, Observed], rare: list[Path]
) -> tuple[Condition, ...]:
    """What a rule asks of calls of the shape: each argument that is there, and that no other is."""
    filled = dict(shape)
    limits = [limit for path in asked if filled.get(path) and (limit := asked[path].limit) is not None]
    conditions: list[Condition] = [Amount(Operator.LTE, max(limits))] if limits else []
    for path, known in asked.items():
        tests = _tests(known, observed[path], filled.get(path))
        if tests:
            conditions.append(Argument(path, tests))
    conditions.extend(Argument(path, (Exists(False),)) for path in rare)
    return tuple(conditions)


def _tests(known: Learned, seen: Observed, filled: bool | None) -> tuple[Test, ...]:
    """What is asked of an argument that holds something, an empty list, or (`None`) is not there."""
    if filled is None:
        return (Exists(False),)
    if not filled:
        return (MaxItems(0),)
    return known.tests if seen.single else (*known.tests, MaxItems(seen.longest))


# -- what is written


def _body(plans: dict[str, _Plan]) -> str:
    alarm = Rule(outcome=Outcome.REQUIRE_APPROVAL, capability="*", conditions=(Contains(ALARMING),), span=_NOWHERE)
    plans = dict(sorted(plans.items()))
    asking: list[Commented] = [(alarm, ("texts that no starter policy lets through unseen",))]
    allowing = [rule for plan in plans.values() for rule in plan.rules]
    allowed = [name.lower() for name, plan in plans.items() if plan.rules]
    for name, plan in plans.items():
        if plan.refusal and not any(_touches(name.lower(), other) for other in allowed):
            rule = Rule(outcome=Outcome.REQUIRE_APPROVAL, capability=name, conditions=(), span=_NOWHERE)
            asking.append((rule, (plan.refusal,)))
    sections = [write_section(Outcome.REQUIRE_APPROVAL, asking), write_section(Outcome.ALLOW, allowing)]
    return "\n".join(section for section in sections if section)


def _touches(name: str, allowed: str) -> bool:
    """Whether a rule that asks for `name` would also ask, by the rule of not knowing, for what is allowed."""
    return allowed == name or allowed.startswith(name + ".")


def _left(history: list[RecordedCall], unusual: list[str], plans: dict[str, _Plan], body: str) -> tuple[Left, ...]:
    """The calls that the policy does not allow, found by deciding every one."""
    decide_one = decider(compile_policy(parse(body, _NOWHERE.source)))
    found = []
    for recorded, why in zip(history, unusual, strict=True):
        outcome = decide_one(recorded.call).outcome
        if not outcome.permits:
            reason = why or _refusal(plans.get(recorded.call.capability), recorded.call)
            found.append(Left(recorded=recorded, outcome=outcome, why=reason))
    return tuple(found)


def _refusal(plan: _Plan | None, call: Call) -> str:
    """Why a call that looks usual is not allowed: its capability is not, or an argument differs."""
    if plan is None:
        return "its capability is none of the most used"
    if plan.refusal:
        return plan.refusal
    facts = Facts(call)
    differing = [
        [
            ".".join(c.path)
            for c in rule.conditions
            if isinstance(c, Argument) and compile_argument(c)(facts) is not True
        ]
        for rule, _ in plan.rules
    ]
    fewest = min(differing, key=len)
    return f"not as usual: {', '.join(fewest)}" if fewest else "not as usual: its amounts"


def _head(total: int, allowed: int) -> Iterator[str]:
    yield f"A starter policy, learned from {total} recorded calls, of which it allows {allowed}."
    yield ""
    yield "Read it before you use it. It says what was done, not what is right: a habit may be a bad one."
    yield "An argument that is marked as left open may hold anything, and one never seen is not looked at."
    yield "Whatever no rule speaks of is denied. What is left for a person to judge stands at the end."


def _tail(left: tuple[Left, ...]) -> Iterator[str]:
    if left:
        yield f"Left for a person: {len(left)} calls that this policy does not allow."
    for one in left[:MAX_LISTED]:
        call, at = one.recorded.call, one.recorded.at
        yield f"{at.source}:{at.line}: {shown(call.capability)}: {one.why}: {one.outcome}"
        yield f"    {shown(call.payload)}"
    if len(left) > MAX_LISTED:
        yield f"... and {len(left) - MAX_LISTED} more"
