"""(compiled policies, call) -> Decision. The only place where an outcome is made."""

from __future__ import annotations

from collections.abc import Mapping

from onpurpose.core.arguments import both
from onpurpose.core.call import MAX_NAME, Call, Identity
from onpurpose.core.compile import CAPABILITY, CompiledPolicy, Step, route_of
from onpurpose.core.decision import NO_POLICY, Code, Decision, PolicyRef, Reason, ShadowVerdict, denial
from onpurpose.core.facts import Answer, Facts, Malformed
from onpurpose.core.matching import remember
from onpurpose.core.outcome import Outcome
from onpurpose.core.policy import Rule
from onpurpose.core.purposes import NO_PURPOSES, REQUIRED, SILENT, Asked, Opinion, Rules, Verdict
from onpurpose.core.risk import UNTOLD, assess
from onpurpose.core.unknown import explain_doubts

_NO_CAPABILITY = "the capability is not dotted segments of letters, digits, `_` and `-`"
_ALLOW, _DENY = Outcome.ALLOW, Outcome.DENY


NO_RULE = denial(Code.NO_RULE_MATCHED, "no rule matches, and what no rule allows is denied")

OBSERVED = Decision(
    _ALLOW,
    (Reason(code=Code.OBSERVED, outcome=_ALLOW, message="nothing in force speaks of this call; it is only observed"),),
)
"""What is decided in a workspace that observes, where no layer has an opinion."""


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


def judge(rules: Rules, call: Call, facts: Facts, at: int) -> Verdict:
    """What every layer together says of the call, and what each policy in shadow would change.

    `at` in microseconds UTC. The decision never depends on a policy in shadow. A call whose
    capability is malformed is denied and qualifies for no shadow. Never raises for what a call contains.
    """
    if not _is_well_formed(call.capability, rules.policies):
        return Verdict(decision=denial(Code.MALFORMED_CALL, _NO_CAPABILITY))
    policies = rules.policies
    if call.purpose_id is None and policies and len(policies) == 1 and not (rules.candidates or rules.purpose_required):
        return Verdict(decision=_judge(policies[0], call, facts))  # nothing else has a say, as of most calls
    each = _judge_each(policies, call, facts)
    asked = _ask(rules, call, at)
    opinion = _opinion(rules, call, asked, asked.declared.live if asked else 0)
    decision = _together(each, opinion, asked, rules)
    shadows: tuple[ShadowVerdict, ...] = ()
    if asked is not None and asked.declared.if_live:
        shadows = _purposes_in_shadow(asked, _strictest(each), decision.outcome, rules)
    if rules.candidates:
        shadows += _candidates(rules, each, opinion.outcome, decision.outcome, call, facts)
    return _verdict(decision, opinion, asked, shadows)


def judge_set(rules: Rules, promoted: frozenset[PolicyRef], call: Call, facts: Facts, at: int) -> Verdict:
    """What `judge` would say, without shadows, were this set of policies in shadow promoted together.

    Each takes the place of the live one of its name. What is named and is not in shadow changes nothing.
    """
    if not _is_well_formed(call.capability, rules.policies):
        return Verdict(decision=denial(Code.MALFORMED_CALL, _NO_CAPABILITY))
    policies = rules.policies
    for ref, replaced, candidate in rules.candidates:
        if ref in promoted and rules.lets_judge(replaced):
            policies = (*(policy for policy in policies or () if policy is not replaced), candidate)
    each = _judge_each(policies, call, facts)
    asked = _ask(rules, call, at)
    purposes = promoted & rules.purposes.in_shadow if rules.purposes else ()
    opinion = _opinion(rules, call, asked, asked.declared.standing(purposes) if asked else 0)
    return _verdict(_together(each, opinion, asked, rules), opinion, asked, ())


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


def _is_well_formed(capability: str, policies: tuple[CompiledPolicy, ...] | None) -> bool:
    if policies and capability in policies[0].plans:  # met before
        return True
    return len(capability) <= MAX_NAME and CAPABILITY.fullmatch(capability) is not None


def _judge_each(policies: tuple[CompiledPolicy, ...] | None, call: Call, facts: Facts) -> list[Decision] | None:
    """What each capability policy says; `None` where their layer has no opinion."""
    if policies is None:
        return None
    return [_judge(policy, call, facts) for policy in policies] if policies else [NO_POLICY]


def _strictest(each: list[Decision] | None) -> Outcome | None:
    if each is None:
        return None
    return each[0].outcome if len(each) == 1 else max([decision.outcome for decision in each])


def _ask(rules: Rules, call: Call, at: int) -> Asked | None:
    """What the policies of the declared purpose answer; `None` where the call passes the layer by."""
    if call.purpose_id is None:
        return None
    book = rules.purposes
    if book is None:
        if not rules.purpose_required:
            return None
        book = NO_PURPOSES
    return book.declared(call.purpose_id).ask(call, at)


def _opinion(rules: Rules, call: Call, asked: Asked | None, standing: int) -> Opinion:
    if asked is not None:
        return asked.declared.opinion(standing, asked, observes=rules.unmatched is _ALLOW)
    return REQUIRED if rules.purpose_required and call.purpose_id is None else SILENT


def _meet(ruled: Outcome | None, purposed: Outcome | None, rules: Rules) -> Outcome:
    """The stricter of the layers that have an opinion; where none has, the workspace's own outcome."""
    if ruled is None:
        return (_ALLOW if rules.unmatched is _ALLOW else _DENY) if purposed is None else purposed
    return ruled if purposed is None or purposed < ruled else purposed


def _together(each: list[Decision] | None, opinion: Opinion, asked: Asked | None, rules: Rules) -> Decision:
    """The decision of all layers, its decisive reasons first; the very one of a layer that is alone.

    Most calls share the decision of a rule and that of a purpose: so do they what both come to.
    """
    purposed = opinion.decision
    if each is None:
        if purposed is not None and opinion.outcome is not None:
            return purposed
        each = [OBSERVED if rules.unmatched is _ALLOW else NO_POLICY]
    if len(each) > 1 or purposed is None:
        said = each if purposed is None else [*each, purposed]
        return _join(said) if len(said) > 1 else said[0]
    alone = each[0]
    if asked is None or not (alone.settled and purposed.settled):
        return _join([alone, purposed])
    joined = asked.declared.joined
    return joined.get((alone, purposed)) or remember(joined, (alone, purposed), _join([alone, purposed]))


def _join(said: list[Decision]) -> Decision:
    outcome = max([decision.outcome for decision in said])
    return Decision(outcome, lambda: Decision(outcome, _reasons(said)))


def _reasons(decisions: list[Decision]) -> tuple[Reason, ...]:
    """Those of all decisions, of the stricter ones first."""
    decisive_first = sorted(decisions, key=lambda decision: -decision.outcome)
    return tuple([reason for decision in decisive_first for reason in decision.reasons])


def _purposes_in_shadow(
    asked: Asked, ruled: Outcome | None, actual: Outcome, rules: Rules
) -> tuple[ShadowVerdict, ...]:
    """What each policy in shadow of the declared purpose would change, worked out once for all calls alike."""
    declared, beyond = asked.declared, asked.outside != ()
    key = (asked.sure, asked.possible, beyond, ruled, rules.unmatched)
    shadows = declared.verdicts.get(key)
    if shadows is None:
        made = tuple([_in_shadow(asked, *one, ruled, actual, rules) for one in declared.if_live])
        shadows = remember(declared.verdicts, key, made)
    return shadows


def _in_shadow(  # noqa: PLR0913, PLR0917  all that the verdict is made of
    asked: Asked, number: int, standing: int, ruled: Outcome | None, actual: Outcome, rules: Rules
) -> ShadowVerdict:
    declared, bit = asked.declared, 1 << number
    purposed = declared.outcome(standing, asked, observes=rules.unmatched is _ALLOW)
    would = _meet(ruled, purposed, rules)
    blocked = actual.permits and not would.permits
    return ShadowVerdict(
        policy=declared.policies[number][0],
        matched=True if asked.sure & bit else None if asked.possible & bit else False,
        would=would,
        newly_blocked=blocked,
        unmatched=blocked and not declared.matches(standing, asked),
    )


def _candidates(  # noqa: PLR0913, PLR0917  all that the verdicts are made of
    rules: Rules, each: list[Decision] | None, purposed: Outcome | None, actual: Outcome, call: Call, facts: Facts
) -> tuple[ShadowVerdict, ...]:
    """What each candidate would change in place of its live revision, or beside the others."""
    known, decisions = rules.verdicts, each or []
    verdicts: list[ShadowVerdict] = []
    for number, candidate, like, beside in rules.parts.get(call.capability) or rules.part(call.capability):
        alone = decisions[like] if candidate is None else _judge(candidate, call, facts)
        ruled = alone.outcome
        for other in beside:
            ruled = max(ruled, decisions[other].outcome)
        key = (number, alone, ruled, purposed, actual)
        verdicts.append(known.get(key) or _if_live(rules, number, alone, ruled, purposed, actual))
    return tuple(verdicts)


def _if_live(  # noqa: PLR0913, PLR0917  all that the verdict is made of
    rules: Rules, number: int, alone: Decision, ruled: Outcome, purposed: Outcome | None, actual: Outcome
) -> ShadowVerdict:
    """The verdict, remembered where the candidate's own decision was made beforehand and so is met again."""
    would = _meet(ruled, purposed, rules)
    matched, blocked = _has_matched(alone), actual.permits and not would.permits
    verdict = ShadowVerdict(
        policy=rules.candidates[number][0],
        matched=matched,
        would=would,
        newly_blocked=blocked,
        unmatched=blocked and matched is False,
    )
    if alone.settled and not any(reason.code is Code.RISK for reason in alone.reasons):
        remember(rules.verdicts, (number, alone, ruled, purposed, actual), verdict)
    return verdict


def _has_matched(decision: Decision) -> Answer:
    """Whether any rule matched; unknown where only rules of which this cannot be told came up."""
    matched: Answer = False
    for reason in decision.reasons:
        if reason.code is Code.RULE_MATCHED:
            return True
        if reason.code is Code.RULE_UNKNOWN:
            matched = None
    return matched


def _verdict(decision: Decision, opinion: Opinion, asked: Asked | None, shadows: tuple[ShadowVerdict, ...]) -> Verdict:
    return Verdict(
        decision=decision,
        shadows=shadows,
        purpose=None if asked is None else asked.declared.purpose,
        ttl_seconds=0 if decision.outcome is _DENY else opinion.ttl_seconds,
        matched=opinion.matched,
    )


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
) -> Decision:
    """Each doubt that counted (of allowing rules too, where no rule fired), and what stands beside it."""
    doubted = [step for step in unsure if decided is None or step.outcome > _ALLOW]
    beside = None if unsure[-1].outcome is _DENY else NO_RULE
    return explain_doubts(outcome, doubted, decided.decision if decided else beside, compiled, facts, call.capability)


def _with_risk(decision: Decision, compiled: CompiledPolicy, call: Call, facts: Facts) -> Decision:
    """The decision, tightened by what the policy does at the assessed level of risk."""
    actions = compiled.policy.risk_levels
    assessment = assess(call.risk_category, facts, compiled.amount_keys)
    action = max((actions[level] for level in assessment.levels if level in actions), default=_ALLOW)
    told = assessment.low if assessment.low is assessment.high else f"{assessment.low} to {assessment.high}"
    why = f"the risk is assessed as {told} by the taxonomy `{call.risk_category}`"
    if assessment is UNTOLD:
        why = "the risk cannot be assessed: risk_category is not given, or names no taxonomy"
    route = route_of(compiled.policy) if action is Outcome.REQUIRE_APPROVAL else None
    reason = Reason(code=Code.RISK, outcome=action, message=why, signals=assessment.signals, route=route)
    if action > decision.outcome:
        return Decision(action, (reason, *decision.reasons))
    return Decision(decision.outcome, (*decision.reasons, reason))


def _has_readable_labels(call: Call) -> bool:
    labels = (call.task_context, call.risk_category, call.purpose_id, call.data_source_id)
    return all(label is None or _is_name(label) for label in labels)


def _is_person(identity: object) -> bool:
    if not isinstance(identity, Identity) or not isinstance(identity.groups, tuple | list):
        return False
    names = (identity.user_id, *identity.groups)
    try:
        together = "".join(names)
    except TypeError:  # one of them is no text
        return False
    return (together.isascii() and len(together) <= MAX_NAME) or all(map(_is_name, names))


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
