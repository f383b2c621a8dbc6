"""Between the gate and the people: what a decision that asks becomes, and what a grant makes of one."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as Late

from msgspec.structs import replace

from onpurpose.app.approvals import Consumed, Desk, Question, routes_of
from onpurpose.app.intent_context import visible
from onpurpose.core.access import ApiKey
from onpurpose.core.act import Move, State
from onpurpose.core.approval import Approval, ApprovalError
from onpurpose.core.call import Call
from onpurpose.core.canonical import exact_digest
from onpurpose.core.decision import Code, Decision, Reason
from onpurpose.core.facts import Malformed
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Settings
from onpurpose.core.result import Result
from onpurpose.core.ticket import Ticket, Waiter
from onpurpose.waiting import done

log = logging.getLogger("onpurpose")

_GRACE_SECONDS = 2.0
"""How long after its end an approval is still waited for, so that it is seen to have expired."""

_ASKS_AGAIN = frozenset({Code.APPROVAL_PENDING, Code.APPROVAL_CHANGED})
"""Why a grant cannot be used, where people are asked all the same."""


class Consent:
    """Opens approvals for decisions that ask, and has calls use what was granted. Thread-safe; nothing here raises.

    `settings` gives a workspace's settings as they are now, `page` where an approval is decided (empty: nowhere).
    `waits` says whether tickets can be waited on in this process.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        settings: Callable[[str], Settings],
        page: Callable[[Approval], str] = lambda _: "",
        waits: bool = False,
    ) -> None:
        self._desk = desk
        self._settings = settings
        self._page = page
        self._waits = waits

    def use(
        self, approval_id: str, workspace: str, call: Call, decision: Decision, decision_id: str
    ) -> tuple[Decision, Mapping[str, object]]:
        """Use the grant of an approval for a call that needs one: what is decided then, and what its record says.

        The reasons for asking stay beside the one that says what became of it.
        """
        try:
            digest, routes = exact_digest(call), routes_of(decision, self._settings(workspace))
            used = self._desk.consume(workspace, approval_id, digest, call.agent_id, routes, decision_id)
            message = used.message
            if used.code is Code.APPROVAL_CHANGED and used.approval is not None:
                message = f"{message}:\n{self._desk.changed_since(used.approval, call)}"
        except Malformed as malformed:
            return unusable(approval_id, decision, f"the call cannot be approved: {malformed}")
        except Exception:
            log.exception("an approval could not be used; its call is refused")
            return unusable(approval_id, decision, "approvals cannot be read now")
        return _decided(used, message, decision), _told(approval_id, used)

    def ask(self, result: Result, workspace: str, key: ApiKey | None) -> Result:
        """Open an approval for what was decided and recorded, or find the one that is open: the result with it.

        Where none can be kept, the result says so and is as refused as it was.
        """
        try:
            approval = self._desk.ask(_question(result, workspace, key))
        except ApprovalError as error:
            return unasked(result, str(error))
        except Exception:
            log.exception("no approval could be opened; the call stays refused")
            return unasked(result, "approvals cannot be kept now")
        return replace(result, approval=self.ticket(approval))

    def ticket(self, approval: Approval) -> Ticket:
        """The approval as its agent sees it."""
        waiter = _Here(self._desk, approval.workspace, self) if self._waits else None
        return ticket(approval, self._page(approval), waiter)


def ticket(approval: Approval, page: str = "", waiter: Waiter | None = None) -> Ticket:
    """An approval as its agent sees it: how it stands, and the word of whoever decided."""
    act = None if approval.state is State.PENDING else approval.last(Move.GRANT, Move.DENY, Move.CANCEL)
    return Ticket(
        id=approval.id,
        state=approval.state,
        until=approval.until,
        by="" if act is None else act.by,
        reason="" if act is None else act.text,
        page=page,
        waiter=waiter,
    )


def _question(result: Result, workspace: str, key: ApiKey | None) -> Question:
    return Question(
        workspace=workspace,
        call=result.call,
        decision=result.decision,
        decision_id=result.decision_id,
        requesters=() if key is None or key.user is None else (key.user,),
        asked_with="" if key is None else key.id,
        asked_by="" if key is None else key.name,
        purpose=result.purpose,
        intent=result.intent,
    )


def unusable(approval_id: str, decision: Decision, why: str) -> tuple[Decision, Mapping[str, object]]:
    """As `Consent.use` where no grant can be used for that reason."""
    used = Consumed(code=Code.APPROVAL_UNAVAILABLE, message=why)
    return _decided(used, why, decision), _told(approval_id, used)


def unasked(result: Result, why: str) -> Result:
    """The result, as refused as it was, with the reason why nobody is asked."""
    reason = Reason(code=Code.APPROVAL_UNAVAILABLE, outcome=Outcome.REQUIRE_APPROVAL, message=why)
    return replace(result, decision=Decision(result.outcome, (*result.reasons, reason)))


def _decided(used: Consumed, message: str, decision: Decision) -> Decision:
    refused = Outcome.REQUIRE_APPROVAL if used.code in _ASKS_AGAIN else Outcome.DENY
    outcome = Outcome.ALLOW if used.granted else refused
    return Decision(outcome, (Reason(code=used.code, outcome=outcome, message=message), *decision.reasons))


def _told(approval_id: str, used: Consumed) -> dict[str, object]:
    """What a record says of the attempt. The id is whatever the caller named."""
    told: dict[str, object] = {"id": visible(approval_id[:100]), "code": used.code}
    return told | {"by": used.people} if used.granted else told


class _Here:
    """Waits for the approvals of this process's own desk."""

    def __init__(self, desk: Desk, workspace: str, consent: Consent) -> None:
        self._desk = desk
        self._workspace = workspace
        self._consent = consent

    def wait(self, held: Ticket, seconds: float | None) -> Ticket:
        """As `Ticket.wait`."""
        try:
            promise = self._desk.watch(self._workspace, held.id)
            try:
                return self._consent.ticket(promise.result(_patience(held, seconds)))
            except (Late, CancelledError):
                return self._consent.ticket(self._desk.get(self._workspace, held.id))
            finally:
                promise.cancel()
        except Exception:
            log.exception("an approval could not be waited for")
            return held

    async def wait_async(self, held: Ticket, seconds: float | None) -> Ticket:
        """As `Ticket.wait_async`: no thread waits."""
        import asyncio  # noqa: PLC0415  takes 25 ms to import, and who awaits has done so

        try:
            promise = await asyncio.to_thread(self._desk.watch, self._workspace, held.id)
            try:
                await done(promise, _patience(held, seconds))
            finally:
                promise.cancel()
            return await asyncio.to_thread(self.wait, held, 0.0)
        except Exception:
            log.exception("an approval could not be waited for")
            return held


def _patience(held: Ticket, seconds: float | None) -> float:
    if seconds is not None:
        return min(max(0.0, seconds), threading.TIMEOUT_MAX)
    return max(0.0, held.until / 1_000_000 - time.time()) + _GRACE_SECONDS
