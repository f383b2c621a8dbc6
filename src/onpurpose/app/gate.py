"""The one road from call to answer: judge, record, wait until the record is durable, answer.

Whatever goes wrong on the road is a denial. No answer permits a call whose record is not durable.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as Late
from typing import Protocol

import orjson
from msgspec import Struct

from onpurpose.app.masking import Masking
from onpurpose.app.policies import Policies, State, written
from onpurpose.app.workspace import InForce
from onpurpose.core.access import ApiKey
from onpurpose.core.call import Call, Identity
from onpurpose.core.canonical import digest
from onpurpose.core.decide import decide_on, judge, read_facts
from onpurpose.core.decision import Code, Decision, denial
from onpurpose.core.facts import Facts, Malformed
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purposes import Verdict
from onpurpose.core.record import MAX_BODY, Receipt, Record
from onpurpose.core.recorded import record_decision, verdict_fields
from onpurpose.core.result import Result
from onpurpose.ports import Classifier, Clock, Ledger, Promised
from onpurpose.waiting import Promise

log = logging.getLogger("onpurpose")

PATIENCE_SECONDS = 10.0
"""How long a call waits for its record to become durable before it is denied."""


LOCAL = "local"
"""The workspace of a gate that has none."""

_NONE = written(())


class Asking(Protocol):
    """Asks people where a decision says so, and uses what they granted. Neither method raises."""

    def use(
        self, approval_id: str, workspace: str, call: Call, decision: Decision, decision_id: str
    ) -> tuple[Decision, Mapping[str, object]]:
        """Use the grant of an approval for a call that needs one: what is decided then, and what its record says."""
        ...

    def ask(self, result: Result, workspace: str, key: ApiKey | None) -> Result:
        """Open an approval for what was decided and recorded, or find the one that is open: the result with it."""
        ...


class Pending(Struct, eq=False):
    """A call that is judged and whose record is on its way: `finish` once `receipt` is done."""

    gate: Gate
    call: Call
    decision: Decision
    decision_id: str
    digest: str | None
    receipt: Promised[Receipt] | None
    verdict: Verdict | None = None
    intent: Intent | None = None
    workspace: str | None = None

    def finish(self, patience: float | None = 0) -> Result:
        """The answer, after waiting at most so many seconds for the record; without one, a denial."""
        receipt = None
        if self.receipt is not None:
            try:
                receipt = self.receipt.result(patience)
            except Exception as error:
                return self._unrecorded(self.receipt, error)
        return self._result(receipt)

    def _result(self, receipt: Receipt | None) -> Result:
        verdict = self.verdict
        if verdict is None:
            return Result(self.call, self.decision, self.decision_id, self.digest, receipt)
        return Result(
            self.call, self.decision, self.decision_id, self.digest, receipt,
            verdict.purpose, verdict.ttl_seconds, verdict.shadows, self.intent,
        )  # fmt: skip

    def _unrecorded(self, receipt: Promised[Receipt], error: Exception) -> Result:
        if receipt.done() and not receipt.cancelled() and receipt.exception() is None:  # in the last moment
            return self._result(receipt.result())
        late = isinstance(error, Late) and not receipt.done()
        self.gate.lost(self, late=late and not receipt.cancel())
        why = "did not become durable in time" if late else f"could not be written: {error}"
        reasons = denial(Code.AUDIT_UNAVAILABLE, f"the record of this decision {why}").reasons
        if not self.decision.outcome.permits:
            reasons = (*self.decision.reasons, *reasons)
        return Result(self.call, Decision(Outcome.DENY, reasons), self.decision_id, self.digest, None)


class Gate:
    """Decides calls, one road for all of them. Thread-safe.

    `ledger=None` records nothing: it must be asked for, and `status` says so.
    """

    blocks = True

    def __init__(  # noqa: PLR0913  these are its parts
        self,
        policies: Policies,
        ledger: Ledger | None,
        *,
        clock: Clock,
        new_id: Callable[[int], str],
        masking: Masking,
        patience: float = PATIENCE_SECONDS,
        classifier: Classifier | None = None,
        asking: Asking | None = None,
    ) -> None:
        self._policies = policies
        self._asking = asking
        self._classifier = classifier
        self._ledger = ledger
        self._clock = clock
        self._new_id = new_id
        self._masking = masking
        self.patience = patience
        self._unrecorded = 0
        self._failures = 0

    def evaluate(  # noqa: PLR0913  these are the call's fields
        self,
        agent_id: str,
        capability: str,
        payload: object = None,
        *,
        task_context: str | None = None,
        risk_category: str | None = None,
        policy_path: object = None,
        policy_context: Mapping[str, object] | None = None,
        identity: Identity | None = None,
        purpose_id: str | None = None,
        data_source_id: str | None = None,
        elements: tuple[str, ...] | None = None,
    ) -> Result:
        """Decide one call and return once its record is durable. Never raises for what a call contains.

        `policy_path` names the policy file for this call, instead of the gate's own choice.
        """
        call = Call(  # by position: names cost, on every call
            agent_id, capability, payload, policy_context, task_context, risk_category, identity, purpose_id,
            data_source_id, elements,
        )  # fmt: skip
        result = self.begin(call, policy_path).finish(self.patience)
        return self.follow(result) if result.outcome is Outcome.REQUIRE_APPROVAL else result

    def begin(self, call: Call, policy_path: object = None, approval_id: str | None = None) -> Pending:
        """Decide the call and hand its record to the log, without waiting for it.

        With `approval_id` the grant of that approval is used, if the call still needs one.
        """
        facts: Facts | None = None
        states: tuple[State, ...] = ()
        try:
            path = None if policy_path is None else str(policy_path)
            states = self._policies.states(path, call.agent_id, call.policy_context)
            facts = read_facts(call)
            if len(states) == 1 and states[0].refusal is None:
                decision = decide_on(states[0].policies, call, facts)
            else:
                decision = _decide_all(states, call, facts)
        except Malformed as malformed:
            decision = denial(Code.MALFORMED_CALL, str(malformed))
        except Exception:
            decision = self._failed("a call could not be judged")
        if approval_id is None or decision.outcome is not Outcome.REQUIRE_APPROVAL:
            return self._record(call, facts, decision, written(states), self._clock.now())
        decision_id, decision, told = self._use(approval_id, LOCAL, call, decision)
        also = {"approval": told}
        return self._record(call, facts, decision, written(states), self._clock.now(), also, decision_id)

    def begin_in(  # noqa: PLR0913  what is said of a call, and of who asks
        self,
        held: InForce,
        call: Call,
        policy: str | None = None,
        *,
        key: str | None = None,
        stale: float = 0.0,
        approval_id: str | None = None,
    ) -> Pending:
        """`begin`, by what is in force in a workspace; `policy` names the capability policy for this call alone.

        `key` and `stale` (seconds for which it could not be confirmed that nothing newer is in force)
        stand in the record.
        """
        facts: Facts | None = None
        verdict: Verdict | None = None
        policies = _NONE
        noted: dict[str, object] | None = None
        at = self._clock.now()
        try:
            selected = held.select(policy, call.agent_id, call.policy_context)
            policies = selected.written
            facts = read_facts(call)
            decision = selected.refusal
            if decision is None:
                call, noted = held.touching.tell(call)
                verdict = judge(selected.rules, call, facts, at)
                decision = verdict.decision
        except Malformed as malformed:
            decision = denial(Code.MALFORMED_CALL, str(malformed))
        except Exception:
            verdict, decision = None, self._failed("a call could not be judged")
        intent = None if self._classifier is None else self._intent_of(self._classifier, call, facts)
        also = verdict_fields(
            verdict or Verdict(decision=decision),
            intent,
            workspace=held.workspace,
            key=key,
            policy=policy,
            stale_seconds=stale or None,
        )
        if noted:
            also.update(noted)
        decision_id: str | None = None
        if approval_id is not None and decision.outcome is Outcome.REQUIRE_APPROVAL:
            decision_id, decision, also["approval"] = self._use(approval_id, held.workspace, call, decision)
            at = self._clock.now()
        pending = self._record(call, facts, decision, policies, at, also, decision_id)
        pending.workspace = held.workspace
        if pending.decision is decision:
            pending.verdict, pending.intent = verdict, intent
        return pending

    def follow(self, result: Result, workspace: str = LOCAL, key: ApiKey | None = None) -> Result:
        """What follows a decision once its record is durable: where people are to be asked, they are. Never raises.

        The result, and with it the approval that is open now; without one where none can be kept.
        """
        if self._asking is None or result.outcome is not Outcome.REQUIRE_APPROVAL:
            return result
        return self._asking.ask(result, workspace, key)

    def _use(
        self, approval_id: str, workspace: str, call: Call, decision: Decision
    ) -> tuple[str, Decision, Mapping[str, object]]:
        decision_id = self._new_id(self._clock.now())
        if self._asking is None:
            from onpurpose.app.intent_context import visible  # noqa: PLC0415  only who is asked needs it

            refused = denial(Code.APPROVAL_UNAVAILABLE, "this gate keeps no approvals")
            return decision_id, refused, {"id": visible(approval_id[:100]), "code": Code.APPROVAL_UNAVAILABLE}
        return decision_id, *self._asking.use(approval_id, workspace, call, decision, decision_id)

    @staticmethod
    def _intent_of(classifier: Classifier, call: Call, facts: Facts | None) -> Intent | None:
        if facts is None:
            return None
        try:
            return classifier.classify(call)
        except Exception:  # its view decides nothing, and a call does not wait for it
            log.exception("the classifier failed; the call is recorded without its view")
            return None

    def _record(  # noqa: PLR0913, PLR0917  what a record is made of
        self,
        call: Call,
        facts: Facts | None,
        decision: Decision,
        policies: orjson.Fragment,
        at: int,
        also: Mapping[str, object] | None = None,
        decision_id: str | None = None,
    ) -> Pending:
        if decision_id is None:
            decision_id = self._new_id(at)
        if self._ledger is None:
            return Pending(self, call, decision, decision_id, None, None)
        seal: str | None = None
        try:
            if facts is None:
                record = _record_unreadable(decision_id, at, call, decision, policies, also)
            else:
                seal = digest(call, facts)
                payload = self._masking.payload(call.payload, facts)
                context = self._masking.context(call.policy_context)
                record = record_decision(decision_id, at, call, payload, context, seal, decision, policies, also)
        except Exception:
            decision = self._failed("a call could not be recorded as it is")
            record = _record_unreadable(decision_id, at, call, decision, policies, also)
        if len(record.body) > MAX_BODY:
            decision = denial(Code.MALFORMED_CALL, "the call is longer than a record may be")
            record = _record_unreadable(decision_id, at, call, decision, policies, also)
        try:
            receipt = self._ledger.append(record)
        except Exception as error:  # a ledger that breaks its promise never to raise
            receipt = _failed(error)
        return Pending(self, call, decision, decision_id, seal, receipt)

    def _failed(self, what: str) -> Decision:
        self._failures += 1
        log.exception("%s; it is denied", what)
        return denial(Code.INTERNAL_ERROR, f"{what}: an error inside the gate, see its log")

    def lost(self, pending: Pending, *, late: bool) -> None:
        """Note that an answer is given without its record; if that may still come, take it back in the log."""
        self._unrecorded += 1
        log.error("decision %s is not durable in the log; it is denied", pending.decision_id)
        if late and self._ledger is not None:
            body = {"v": 1, "kind": "decision.withdrawn", "id": pending.decision_id, "at": self._clock.now()}
            if pending.workspace is not None:
                body["workspace"] = pending.workspace
            try:
                self._ledger.append(Record("decision.withdrawn", orjson.dumps(body)))
            except Exception:
                log.exception("decision %s cannot be withdrawn in the log", pending.decision_id)

    def refresh(self, pace: Callable[[], None] = lambda: None) -> None:
        """Take up changed policies; `pace` is called every fraction of a millisecond of work."""
        try:
            self._policies.refresh(pace)
        except Exception:  # the watch goes on: a later text may mend it
            self._failures += 1
            log.exception("policies could not be refreshed; what is in force stays")

    def status(self) -> dict[str, object]:
        """What an operator asks first: policies in force and their problems, the log, what went wrong."""
        return {
            "policies": self._policies.status(),
            "audit": None if self._ledger is None else self._ledger.status(),
            "unrecorded": self._unrecorded,
            "internal_errors": self._failures,
        }


def _decide_all(states: tuple[State, ...], call: Call, facts: Facts) -> Decision:
    for state in states:
        if state.refusal is not None:
            return state.refusal
    return decide_on(tuple(policy for state in states for policy in state.policies), call, facts)


def _failed(error: Exception) -> Promise[Receipt]:
    failed: Promise[Receipt] = Promise()
    failed.set_exception(error)
    return failed


def _record_unreadable(  # noqa: PLR0913, PLR0917  the record's fields
    decision_id: str,
    at: int,
    call: Call,
    decision: Decision,
    policies: orjson.Fragment,
    also: Mapping[str, object] | None,
) -> Record:
    safe = Call(_shown(call.agent_id), _shown(call.capability))
    return record_decision(decision_id, at, safe, "[unreadable]", None, None, decision, policies, also)


def _shown(text: object) -> str:
    """As much of a malformed name as fits a record."""
    return str(text)[:512].encode("utf-8", "replace").decode() if isinstance(text, str) else "[unreadable]"
