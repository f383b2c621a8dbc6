"""(compiled policies, call) -> Decision. The only place where an outcome is made."""

from __future__ import annotations

from collections.abc import Mapping

from onpurpose.core.arguments import both
from onpurpose.core.call import MAX_NAME, Call, Identity
from onpurpose.core.compile import CompiledPolicy, Step
from onpurpose.core.decision import NO_POLICY, Code, Decision, Reason, denial
from onpurpose.core.facts import Answer, Facts, Malformed
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Rule
from onpurpose.core.risk import UNTOLD, assess
from onpurpose.core.unknown import explain_unknown

_NO_CAPABILITY = "the capability is not dotted segments of letters, digits, `_` and `-`"
_ALLOW, _DENY = Outcome.ALLOW, Outcome.DENY


NO_RULE = denial(Code.NO_RULE_MATCHED, "no rule matches, and what no rule allows is denied")


def decide(policies: tuple[CompiledPolicy, ...], call: Call) -> Decision:
    """The strictest of what the policies say of the call. Never raises for what a call contains."""
    try:
        facts = read_facts(call)
    except Malformed as malformed:
        return denial(Code.MALFORMED_CALL, str(malformed))
    return _judge(policies[0], call, facts) if len(policies) == 1 else decide_on(policies, call, facts)


def read_facts(call: Call) -> Facts:
    """The call's facts. Raises `Malformed`, saying why, where the call cannot be read at all."""
    agent, context = call.agent_id, call.policy_context
    capability: object = call.capability
    if not (type(agent) is str and agent.isascii() and 0 < len(agent) <= MAX_NAME) and not (agent and _is_name(agent)):
        raise Malformed("agent_id is no readable text of 1 to 512 characters")
    if not isinstance(capability, str) or not capability.isascii():
        raise Malformed(_NO_CAPABILITY)
    if not (context is None or type(context) is dict or isinstance(context, Mapping)):
        raise Malformed("policy_context is no mapping")
    if (
        call.task_context is not None
        or call.risk_category is not None
        or call.purpose_id is not None
        or call.data_source_id is not None
    ) and not _has_readable_labels(call):
        raise Malformed("a label of the call is no readable text of at most 512 characters")
    if call.identity is not None and not _is_person(call.identity):
        raise Malformed("identity is no Identity of readable texts")
    return Facts(call)


def decide_on(policies: tuple[CompiledPolicy, ...], call: Call, facts: Facts) -> Decision:
    """`decide`, for a caller that has read the facts already."""
    if len(policies) == 1:
        return _judge(policies[0], call, facts)
    if not policies:
        return NO_POLICY
    decisions = sorted((_judge(policy, call, facts) for policy in policies), key=lambda d: -d.outcome)
    return Decision(decisions[0].outcome, tuple(reason for d in decisions for reason in d.reasons))


def trace(compiled: CompiledPolicy, call: Call) -> tuple[tuple[Rule, Answer], ...]:
    """What every rule that may concern the call's capability answers, in order, all of them asked.

    Empty for a malformed call.
    """
    try:
        facts = read_facts(call)
    except Malformed:
        return ()
    return tuple((step.rule, _answer(step, facts)) for step in compiled.plan(call.capability) or ())


def _judge(compiled: CompiledPolicy, call: Call, facts: Facts) -> Decision:
    """The first rule that surely fires decides; those met before it that may keep their outcome as a floor."""
    plan = compiled.plans.get(call.capability) or compiled.plan(call.capability)
    if plan is None:
        return denial(Code.MALFORMED_CALL, _NO_CAPABILITY)
    unsure: list[Step] = []
    decided: Step | None = None
    for step in plan:
        sure = step[0]
        for ask in step[1]:
            answer = ask(facts)
            if answer is not True:
                if answer is False:
                    break
                sure = False
        else:
            if sure:
                decided = step
                break
            unsure.append(step)
            if step.outcome is _DENY:
                break
    if unsure:
        decision = _with_floors(decided, unsure, compiled, call, facts)
    else:
        decision = NO_RULE if decided is None else decided.decision
    return _with_risk(decision, compiled, call, facts) if compiled.policy.risk_levels else decision


def _answer(step: Step, facts: Facts) -> Answer:
    """What the rule answers as a whole, every condition asked."""
    return both([True if step.sure else None, *(ask(facts) for ask in step.asks)])


def _with_floors(
    decided: Step | None, unsure: list[Step], compiled: CompiledPolicy, call: Call, facts: Facts
) -> Decision:
    """The rule of not knowing: each rule that may fire keeps its outcome as a floor."""
    outcome = max(step.outcome for step in unsure)
    outcome = max(outcome, _DENY if decided is None else decided.outcome)
    return Decision(outcome, lambda: _why(outcome, decided, unsure, compiled, call, facts))


def _why(  # noqa: PLR0913, PLR0917  all that the decision was made of
    outcome: Outcome, decided: Step | None, unsure: list[Step], compiled: CompiledPolicy, call: Call, facts: Facts
) -> tuple[Reason, ...]:
    """Each doubt that counted (of allowing rules too, where no rule fired), and what stands beside it."""
    reasons = [_unsure(step, compiled, call, facts) for step in unsure if decided is None or step.outcome > _ALLOW]
    if decided is not None:
        reasons.append(decided.decision.reasons[0])
    elif unsure[-1].outcome is not _DENY:
        reasons.append(NO_RULE.reasons[0])
    reasons.sort(key=lambda reason: reason.outcome is not outcome)
    return tuple(reasons)


def _unsure(step: Step, compiled: CompiledPolicy, call: Call, facts: Facts) -> Reason:
    return Reason(
        code=Code.RULE_UNKNOWN,
        outcome=step.outcome,
        message=step.doubt,
        rule=step.decision.reasons[0].rule,
        unknown=explain_unknown(step, facts, compiled, call.capability),
    )


def _with_risk(decision: Decision, compiled: CompiledPolicy, call: Call, facts: Facts) -> Decision:
    """The decision, tightened by what the policy does at the assessed level of risk."""
    actions = compiled.policy.risk_levels
    assessment = assess(call.risk_category, facts, compiled.amount_keys)
    action = max((actions[level] for level in assessment.levels if level in actions), default=_ALLOW)
    told = assessment.low if assessment.low is assessment.high else f"{assessment.low} to {assessment.high}"
    why = f"the risk is assessed as {told} by the taxonomy `{call.risk_category}`"
    if assessment is UNTOLD:
        why = "the risk cannot be assessed: risk_category is not given, or names no taxonomy"
    reason = Reason(code=Code.RISK, outcome=action, message=why, signals=assessment.signals)
    if action > decision.outcome:
        return Decision(action, (reason, *decision.reasons))
    return Decision(decision.outcome, (*decision.reasons, reason))


def _has_readable_labels(call: Call) -> bool:
    labels = (call.task_context, call.risk_category, call.purpose_id, call.data_source_id)
    return all(label is None or _is_name(label) for label in labels)


def _is_person(identity: object) -> bool:
    if not isinstance(identity, Identity) or not isinstance(identity.groups, tuple | list):
        return False
    return all(map(_is_name, (identity.user_id, *identity.groups)))


def _is_name(text: object) -> bool:
    if not isinstance(text, str) or len(text) > MAX_NAME:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
