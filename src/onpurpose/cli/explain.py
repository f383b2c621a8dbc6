"""`onpurpose explain`: decide one call and tell the whole road to the outcome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from onpurpose.adapters.files import FileSource
from onpurpose.app.history import shown
from onpurpose.app.policies import Policies
from onpurpose.cli.calls import call_options, exit_code, quiet_log, read_call, read_policy, reason_json
from onpurpose.cli.output import Exit, count, say, say_json, verb_options
from onpurpose.core.call import Call
from onpurpose.core.canonical import digest
from onpurpose.core.compile import CompiledPolicy, compile_policy
from onpurpose.core.decide import read_facts, trace
from onpurpose.core.facts import Answer, Malformed
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Policy, Rule
from onpurpose.core.result import Result
from onpurpose.core.wording import describe, entry
from onpurpose.wiring import INDEX, Gate

_ANSWERS: Mapping[Answer, str] = {True: "true", False: "false", None: "unknown"}
_SHOWN = {"": "", "decides": "<- decides", "floor": "<- may match", "not reached": "   not reached"}


@click.command("explain")
@call_options
@verb_options
def explain(policy: Path, as_json: bool, **given: Any) -> Exit:
    """Decide one call and tell the whole road to the outcome.

    The same as eval, told at length: the call and its digest, every rule that may concern it in the
    order of evaluation with its answer, what was unknown and what would settle it, the signs of risk.
    An unknown rule "may match": the outcome is then at least as strict as its section.
    Nothing is recorded. The exit code tells the outcome: 0 allow or warn, 3 require_approval, 4 deny.
    """
    in_force = read_policy(policy)
    call = read_call(given)
    quiet_log()
    with Gate(in_force, None) as gate:
        result = gate.begin(call).finish()
    policies = _chosen(in_force, call)
    if as_json:
        say_json(_json(result, policies))
    else:
        say("\n".join(_lines(result, policies)))
    return exit_code(result.outcome)


def _chosen(in_force: Policy | Path, call: Call) -> tuple[CompiledPolicy, ...]:
    """The policies that count for the call."""
    if isinstance(in_force, Policy):
        return (compile_policy(in_force),)
    policies = Policies(FileSource)
    policies.use_index(FileSource(in_force / INDEX))
    states = policies.states(None, call.agent_id, call.policy_context)
    return tuple(compiled for state in states for compiled in state.policies)


def _digest(call: Call) -> str | None:
    try:
        return digest(call, read_facts(call))
    except Malformed:
        return None


def _lines(result: Result, policies: tuple[CompiledPolicy, ...]) -> Iterator[str]:
    call = result.call
    yield from result.explain().split("\n")
    yield ""
    yield "the call"
    for name, value in _fields(call):
        yield f"  {name:<14} {shown(value)}"
    yield f"  {'digest':<14} {_digest(call) or 'none: the call cannot be read'}"
    for compiled in policies:
        yield ""
        yield from _road(compiled, result)
    if not policies:
        yield ""
        yield "no policy is in force for this call"


def _fields(call: Call) -> Iterator[tuple[str, object]]:
    yield "agent", call.agent_id
    yield "capability", call.capability
    yield "payload", "(none: every condition on it is unknown)" if call.payload is None else call.payload
    for name in ("policy_context", "task_context", "risk_category", "purpose_id"):
        if getattr(call, name) is not None:
            yield name, getattr(call, name)
    if call.identity is not None:
        yield "user", call.identity.user_id
        yield "groups", list(call.identity.groups)


def _road(compiled: CompiledPolicy, result: Result) -> Iterator[str]:
    policy, asked = compiled.policy, trace(compiled, result.call)
    yield f"the policy {policy.source}"
    yield f"  digest         {policy.digest}"
    told = "may concern the capability, asked in this order:" if asked else "were asked"
    yield f"  {len(asked)} of its {count(len(policy.rules), 'rule')} {told}"
    for rule, answer, effect in _with_effects(asked):
        asking = f"line {rule.span.line:<5} {rule.outcome!s:<16} {_ANSWERS[answer]:<7}"
        yield f"    {asking} {_SHOWN[effect]:<14} {describe(rule)}"
    if not policy.risk_levels:
        yield "  the risk is not assessed: the policy sets no risk_levels"


def _with_effects(asked: tuple[tuple[Rule, Answer], ...]) -> Iterator[tuple[Rule, Answer, str]]:
    """Each rule asked, its answer, and what that did to the outcome."""
    decided = False
    for rule, answer in asked:
        effect = ""
        if decided:
            effect = "not reached"
        elif answer is True or (answer is None and rule.outcome is Outcome.DENY):
            effect = "decides"
        elif answer is None and rule.outcome > Outcome.ALLOW:
            effect = "floor"
        decided = decided or effect == "decides"
        yield rule, answer, effect


def _json(result: Result, policies: tuple[CompiledPolicy, ...]) -> dict[str, object]:
    return {
        "outcome": str(result.outcome),
        "allowed": result.allowed,
        "call": {name: shown(value) for name, value in _fields(result.call)},
        "digest": _digest(result.call),
        "reasons": [reason_json(reason) for reason in result.reasons],
        "policies": [
            {
                "source": compiled.policy.source,
                "digest": compiled.policy.digest,
                "rules": len(compiled.policy.rules),
                "road": [
                    {
                        "line": rule.span.line,
                        "outcome": str(rule.outcome),
                        "capability": rule.capability,
                        "conditions": list(dict.fromkeys(entry(condition)[0] for condition in rule.conditions)),
                        "answer": _ANSWERS[answer],
                        "effect": effect,
                    }
                    for rule, answer, effect in _with_effects(trace(compiled, result.call))
                ],
            }
            for compiled in policies
        ],
    }
