"""A recorded decision -> a policy test file with one case, which reads back as it is; and what it comes to now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from msgspec import Struct

from onpurpose.app.history import run_cases
from onpurpose.app.retelling import CAPABILITY, RISK, Opinion, Spot, Told, spot
from onpurpose.core.compile import compile_policy
from onpurpose.core.decision import Code
from onpurpose.core.outcome import Outcome
from onpurpose.core.span import PolicyError
from onpurpose.lang.cases import parse_cases
from onpurpose.lang.read import parse
from onpurpose.lang.write import comment, quoted

MOST_CHARACTERS = 200_000
"""How long a case may be; nobody reads a longer one."""

_HIDDEN = "[masked"
_WITHOUT = (Code.NO_POLICY, Code.POLICY_UNREADABLE)

TextOf = Callable[[str, int], str]
"""The text of a capability policy at a revision. Raises `MissingError`."""


class Wrought(Struct, frozen=True, kw_only=True):
    """A test file made of a decision, or (`text` is empty) in `why` why none can be.

    `file` is what to call it. `failure` says what the case comes to with the policy as it was then, where that is
    not what it expects; `tried` whether that could be tried.
    """

    text: str = ""
    file: str = ""
    why: str = ""
    tried: bool = False
    failure: str = ""


def case_of(told: Told, text_of: TextOf) -> Wrought:
    """The case that the decision is for the capability policy that decided. Raises `MissingError`, as `text_of`."""
    opinions = told.of(CAPABILITY)
    outcome = told.asked_by(CAPABILITY, RISK)
    if opinions and all(one.code in _WITHOUT for one in opinions):
        return Wrought(
            why="no capability policy that can be read was in force for this call, and a test case is for one"
        )
    decisive = next((one for one in opinions if one.rule and one.outcome == str(outcome)), None)
    place = _place(told, decisive)
    if outcome is None or not opinions:
        return Wrought(why="no capability policy had an opinion on this call, and a test case is for one")
    name = place.name if place else "policy"
    try:
        text = _text(told, outcome, decisive, f"{name}.yaml")
        if len(text) <= MOST_CHARACTERS:
            parse_cases(text, "cases")
    except (PolicyError, ValueError, RecursionError):
        return Wrought(why="the call holds what no test file can: text that is not valid, or values nested too deep")
    if len(text) > MOST_CHARACTERS:
        return Wrought(why=f"the call is too long for a test case: it would have {len(text):,} characters")
    made = Wrought(text=text, file=f"{name}_{told.id}.test.yaml")
    if place is None or place.revision is None:
        return made
    return _try(made, text_of(place.name, place.revision))


def _place(told: Told, decisive: Opinion | None) -> Spot | None:
    """Where the rule stands that decided; where none did, the one policy that was asked."""
    rules = [one.rule.at for one in (decisive, *told.of(CAPABILITY)) if one is not None and one.rule is not None]
    alone = [f"{one.source}:0" for one in told.policies if len(told.policies) == 1]
    return next((found for at in [*rules, *alone] if (found := spot(at)) is not None), None)


def _try(made: Wrought, policy: str) -> Wrought:
    try:
        run = run_cases(parse_cases(made.text, "cases"), compile_policy(parse(policy, "policy")))
    except PolicyError:
        return made
    return Wrought(text=made.text, file=made.file, tried=True, failure=run.results[0].failure)


def _text(told: Told, outcome: Outcome, decisive: Opinion | None, policy: str) -> str:
    lines = [comment(f"made of decision {told.id}")]
    if _hides(told.payload) or _hides(told.policy_context):
        lines.append(comment("the log hides secrets: write what stood in place of `[masked]`, if it matters"))
    lines += [f"policy: {quoted(policy)}", "cases:"]
    lines += [f"  {'-' if first else ' '} {line}" for first, line in _first(_case(told, outcome, decisive))]
    return "\n".join([*lines, ""])


def _first(lines: Iterator[str]) -> Iterator[tuple[bool, str]]:
    return ((number == 0, line) for number, line in enumerate(lines))


def _case(told: Told, outcome: Outcome, decisive: Opinion | None) -> Iterator[str]:
    yield f"name: {quoted(f'{told.capability} by {told.agent_id}: {outcome}')}"
    for key in ("agent_id", "capability", "task_context", "risk_category"):
        if value := getattr(told, key):
            yield f"{key}: {quoted(value)}"
    if told.payload is not None:
        yield from _entry("payload", told.payload)
    if isinstance(told.policy_context, dict) and told.policy_context:
        yield from _entry("policy_context", told.policy_context)
    if told.identity is not None:
        yield from _entry("identity", {"user_id": told.identity.user_id, "groups": list(told.identity.groups or ())})
    yield f"outcome: {outcome}"
    place = spot(decisive.rule.at) if decisive and decisive.rule else None
    if decisive is not None and place is not None:
        yield f"rule: {place.line}"
        yield f"reason: {decisive.code}"


def _entry(key: str, value: Any) -> Iterator[str]:
    """A mapping with a line for each of its keys, anything else on one line."""
    if not isinstance(value, dict) or not value:
        yield f"{key}: {_flow(value)}"
        return
    yield f"{key}:"
    for name, item in value.items():
        yield f"  {quoted(name)}: {_flow(item)}"


def _flow(value: Any) -> str:
    """JSON as YAML on one line; every text in quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, str):
        return quoted(value)
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    return _number(value)


def _number(value: float) -> str:
    """A number as YAML 1.1 and 1.2 read it alike: with a point before an exponent."""
    mantissa, e, exponent = repr(value).partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else repr(value)


def _hides(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_hides(item) or _HIDDEN in key for key, item in value.items())
    if isinstance(value, list):
        return any(map(_hides, value))
    return isinstance(value, str) and _HIDDEN in value
