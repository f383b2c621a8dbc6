"""A rule is proposed for what was granted again and again, and what is said of it was tried."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any

import orjson
import pytest

from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.app.gate import LOCAL
from onpurpose.app.granting import EXAMPLES, Proposals, propose, written
from onpurpose.app.history import decider
from onpurpose.app.masking import Masking
from onpurpose.core.act import State
from onpurpose.core.approval import Approval
from onpurpose.core.call import Call, Identity
from onpurpose.core.canonical import digest, exact_digest
from onpurpose.core.compile import compile_policy
from onpurpose.core.decision import Code, Decision, Reason, RuleRef
from onpurpose.core.facts import Facts
from onpurpose.core.outcome import Outcome
from onpurpose.core.recorded import record_decision
from onpurpose.core.routing import Route, Stage
from onpurpose.core.span import Span
from onpurpose.lang.read import parse

RULE = RuleRef(outcome=Outcome.REQUIRE_APPROVAL, capability="pay", span=Span("pay.yaml", 5, 1))
USUAL = [{"amount": 40 + n, "to": "shop"} for n in range(5)]
ROUTE = Route(stages=(Stage(approvers=("anyone",)),))
MASKING = Masking()


class Past:
    """A log in a list, and the approvals that it tells of."""

    def __init__(self, workspace: str | None = None) -> None:
        self.approvals = MemoryApprovals()
        self.bodies: list[bytes] = []
        self.workspace = workspace
        self._ids = count(1)

    def decide(self, payload: Any, outcome: Outcome = Outcome.REQUIRE_APPROVAL, **fields: Any) -> tuple[Call, str]:
        """Record a decision; the call and the decision's id."""
        call = Call(fields.pop("agent_id", "bot"), fields.pop("capability", "pay"), payload, **fields)
        decision_id = f"d{next(self._ids):04}"
        reason = Reason(code=Code.RULE_MATCHED, outcome=outcome, message="over 10", rule=RULE)
        also = None if self.workspace is None else {"workspace": self.workspace}
        facts = Facts(call)
        record = record_decision(
            decision_id, 1_795_000_000_000_000, call, MASKING.payload(payload, facts), None, digest(call, facts),
            Decision(outcome, (reason,)), orjson.Fragment(b"[]"), also,
        )  # fmt: skip
        self.bodies.append(record.body)
        return call, decision_id

    def ask(self, state: State, *payloads: Any, **fields: Any) -> list[str]:
        """Calls that asked people, and what came of it; the approvals' ids."""
        found = []
        for payload in payloads:
            call, decision_id = self.decide(payload, **fields)
            approval = Approval(
                id=f"a{next(self._ids):04}", workspace=self.workspace or LOCAL, state=state, digest=exact_digest(call),
                agent_id=call.agent_id, capability=call.capability, routes=(ROUTE,),
                context=b"{}", opened_at=1, until=2, wake_at=None, decision_ids=(decision_id,),
            )  # fmt: skip
            assert self.approvals.open(approval, deliveries=[], notes=[]) is None
            found.append(approval.id)
        return found

    def propose(self) -> Proposals:
        """What is proposed; and of all of it that is proposed, what is said is so."""
        found = propose(self.approvals, self.workspace or LOCAL, lambda: iter(self.bodies))
        text = written(found)
        assert "\t" not in text
        if found.proposals:
            parse(text)
        return found


def allowed(found: Proposals, payload: object, number: int = 0) -> bool:
    decide = decider(compile_policy(parse(found.proposals[number].text)))
    return decide(Call("bot", "pay", payload)).outcome.permits


def test_what_was_granted_again_and_again_is_proposed_as_narrowly_as_it_was() -> None:
    past = Past()
    ids = past.ask(State.USED, *USUAL[:3]) + past.ask(State.GRANTED, *USUAL[3:])
    found = past.propose()
    (one,) = found.proposals
    assert (one.agent_id, one.capability, one.of, set(one.granted)) == ("bot", "pay", 5, set(ids))
    assert (one.asked_by, one.also, one.untold, found.granted, found.tried) == (("pay.yaml:5",), 0, 0, 5, 0)
    assert allowed(found, USUAL[0])
    assert not allowed(found, {"amount": 45, "to": "thief"})
    assert not allowed(found, {"amount": 5000, "to": "shop"})
    assert "granted 5 times, of which this allows 5" in written(found)
    assert "tried on 0 recorded calls that nobody granted: lets through none\n" in written(found)


@pytest.mark.parametrize("states", [(State.GRANTED, State.GRANTED), (State.DENIED,) * 5, (State.EXPIRED,) * 5, ()])
def test_what_was_granted_seldom_is_no_habit(states: Sequence[State]) -> None:
    past = Past()
    for state, payload in zip(states, USUAL, strict=False):
        past.ask(state, payload)
    found = past.propose()
    assert (found.proposals, found.declined) == ((), ())
    assert found.granted == states.count(State.GRANTED)


def test_grants_to_several_agents_or_for_several_capabilities_make_no_habit_together() -> None:
    past = Past()
    past.ask(State.USED, *USUAL[:2])
    past.ask(State.USED, *USUAL[:2], agent_id="other")
    past.ask(State.USED, *USUAL[:2], capability="pay.fast")
    assert past.propose().proposals == ()


def test_what_it_would_have_let_through_besides_is_counted_and_shown() -> None:
    past = Past()
    past.ask(State.USED, *USUAL)
    like = [{"amount": 30 - n, "to": "shop"} for n in range(7)]
    past.ask(State.EXPIRED, *like[:3])
    for payload in like[3:6]:
        past.decide(payload)
    past.decide(like[6], Outcome.DENY, agent_id="night\n# x")
    past.decide({"amount": 30, "to": "thief"}, Outcome.DENY)
    past.decide({"amount": 1, "to": "shop"}, Outcome.ALLOW)
    past.decide({"amount": 2, "to": "shop"}, capability="pay.fast")
    found = past.propose()
    (one,) = found.proposals
    assert (one.also, found.tried, len(one.examples)) == (7, 8, EXAMPLES)
    assert (one.examples[0].agent_id, one.examples[0].outcome) == ("bot", "require_approval")
    assert one.examples[0].shown == '{"amount": 30, "to": "shop"}'
    text = written(found)
    assert "tried on 8 recorded calls that nobody granted: lets through 7:" in text
    assert "  and 2 more" in text


def test_a_call_that_was_granted_is_none_that_was_not_however_often_it_was_tried_again() -> None:
    past = Past()
    past.ask(State.USED, *USUAL)
    past.decide(USUAL[0], Outcome.DENY)  # its grant was used up
    found = past.propose()
    assert (found.proposals[0].also, found.tried) == (0, 0)


def test_a_rule_that_lets_through_what_a_person_denied_is_not_proposed() -> None:
    past = Past()
    past.ask(State.USED, *USUAL)
    past.ask(State.DENIED, {"amount": 42.5, "to": "shop"})
    found = past.propose()
    assert found.proposals == ()
    (one,) = found.declined
    assert (one.agent_id, one.capability, one.granted) == ("bot", "pay", 5)
    assert "would let through what a person denied: decision d0011" in one.why
    assert "# Not proposed: pay by bot, granted 5 times:\n#   the narrowest rule" in written(found)


def test_a_denial_of_something_else_does_not_stand_in_the_way() -> None:
    past = Past()
    past.ask(State.USED, *USUAL)
    past.ask(State.DENIED, {"amount": 42, "to": "thief"})
    assert len(past.propose().proposals) == 1


def test_what_was_granted_once_and_denied_another_time_counts_as_denied() -> None:
    past = Past()
    past.ask(State.USED, *USUAL)
    past.ask(State.DENIED, USUAL[0])
    assert past.propose().proposals == ()


def test_a_denial_that_the_log_does_not_hold_any_more_cannot_be_tried_and_is_not_passed_over() -> None:
    past = Past()
    past.ask(State.USED, *USUAL)
    past.ask(State.DENIED, {"amount": 5, "to": "thief"})
    del past.bodies[-1]
    (one,) = past.propose().declined
    assert "which the log does not hold any more" in one.why


def test_calls_that_the_log_does_not_hold_teach_nothing() -> None:
    past = Past()
    past.ask(State.USED, *USUAL)
    del past.bodies[2:]
    (one,) = past.propose().declined
    assert one.why == "the log holds 2 of these calls, too few to learn from"


def test_values_that_the_log_hides_teach_nothing() -> None:
    past = Past()
    past.ask(State.USED, *({**payload, "password": f"hunter{n}"} for n, payload in enumerate(USUAL)))
    (one,) = past.propose().declined
    assert "the log hides values of 5 of them" in one.why


def test_of_a_call_whose_values_are_hidden_it_is_said_that_it_cannot_be_told() -> None:
    past = Past()
    past.ask(State.USED, *USUAL)
    past.decide({"amount": 41, "to": "AKIAIOSFODNN7EXAMPLE"})
    found = past.propose()
    assert (found.proposals[0].also, found.proposals[0].untold) == (0, 1)
    assert "of 1 more it cannot be told" in written(found)


def test_a_denied_call_whose_values_are_hidden_might_have_been_let_through() -> None:
    past = Past()
    past.ask(State.USED, *USUAL)
    past.ask(State.DENIED, {"amount": 41, "to": "AKIAIOSFODNN7EXAMPLE"})
    found = past.propose()
    assert found.proposals == ()
    assert "what a person denied" in found.declined[0].why


def test_what_cannot_be_narrowed_is_not_proposed_and_it_is_said_why() -> None:
    past = Past()
    past.ask(State.USED, *({"command": f"do {n}"} for n in range(4)), capability="shell")
    (one,) = past.propose().declined
    assert one.capability == "shell"
    assert "`command`" in one.why


def test_each_shape_of_calls_has_a_rule_of_its_own_that_was_tried_by_itself() -> None:
    past = Past()
    past.ask(State.USED, *USUAL, *({**payload, "memo": "rent"} for payload in USUAL))
    found = past.propose()
    assert [(one.of, len(one.granted)) for one in found.proposals] == [(10, 5), (10, 5)]


def test_the_records_of_other_workspaces_and_damaged_ones_are_passed_over() -> None:
    past = Past("acme")
    past.ask(State.USED, *USUAL)
    other = Past("other")
    other.decide({"amount": 41, "to": "shop"})
    past.bodies += [*other.bodies, b"", b"{", b"\xff", b"[]", b'{"kind":"approval.used"}', b"[" * 100_000]
    past.bodies.append(
        b'{"kind":"decision","id":"x","workspace":"acme","capability":"pay","outcome":"deny","digest":"0"}'
    )
    found = past.propose()
    assert (found.proposals[0].also, found.tried) == (0, 0)
    assert propose(past.approvals, "other", lambda: past.bodies).granted == 0


def test_more_approvals_than_a_page_are_all_counted() -> None:
    past = Past()
    past.ask(State.USED, *({"amount": 10 + n % 30, "to": "shop", "order": n} for n in range(450)))
    assert past.propose().granted == 450


def test_whatever_agents_are_called_the_policy_can_be_read() -> None:
    past = Past()
    past.ask(State.USED, *USUAL, agent_id='x\nallow:\n  - capability: "*"\u2028\x85', identity=Identity("ann"))
    found = past.propose()
    assert len(found.proposals) == 1
    assert [rule.capability for rule in parse(written(found)).rules] == ["pay"]


def test_what_spares_these_calls_was_tried_and_asks_about_all_others() -> None:
    past = Past()
    past.ask(State.USED, *USUAL)
    past.ask(State.EXPIRED, {"amount": 30, "to": "shop"}, {"amount": 30, "to": "thief"}, {"amount": 5000, "to": "shop"})
    found = past.propose()
    (one,) = found.proposals
    rules = parse(one.sparing).rules
    assert len(rules) == 2
    assert "a rule that asks leaves these calls out where it stands there 2 times, each with one of these:" in written(
        found
    )
    rest = "allow:\n  - capability: pay\n"
    decide = decider(compile_policy(parse(one.sparing + rest)))
    assert decide(Call("bot", "pay", USUAL[0])).outcome is Outcome.ALLOW
    assert decide(Call("bot", "pay", {"amount": 30, "to": "thief"})).outcome is Outcome.REQUIRE_APPROVAL


def test_of_a_rule_without_conditions_nothing_is_left_to_ask_about() -> None:
    past = Past()
    past.ask(State.USED, *({"on": n % 2 == 0} for n in range(4)))
    found = past.propose()
    assert (found.proposals[0].commented[0].conditions, found.proposals[0].sparing) == ((), "")
    assert "leaves these calls out" not in written(found)
