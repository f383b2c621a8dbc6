"""What stands between the gate and the people never raises: where it cannot ask, the call stays refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.app.consent import Consent, ticket
from onpurpose.core.act import State, Via
from onpurpose.core.approval import Approval
from onpurpose.core.call import Call
from onpurpose.core.decision import Code
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Settings
from onpurpose.core.result import Result
from onpurpose.core.revision import StoreError
from onpurpose.local import UNUSABLE, Asking, LocalDesk
from tests.app.deciding import CALL, Office, asking, route


class Down(MemoryApprovals):
    """A store that fails when it is told to."""

    failing = False

    def get(self, workspace: str, approval_id: str) -> Approval | None:
        self._answer()
        return super().get(workspace, approval_id)

    def find(self, wanted: Any) -> list[Approval]:
        self._answer()
        return super().find(wanted)

    def _answer(self) -> None:
        if self.failing:
            raise StoreError("the store is down")


@pytest.fixture
def store() -> Down:
    return Down()


@pytest.fixture
def office(store: Down) -> Iterator[Office]:
    office = Office(store)
    yield office
    office.desk.close()


@pytest.fixture
def consent(office: Office) -> Consent:
    return Consent(office.desk, settings=lambda _: office.settings, page=lambda one: f"page of {one.id}", waits=True)


def asked(call: Call = CALL) -> Result:
    return Result(call, asking(), "d1", "0" * 64, None)


def test_who_is_asked_is_told_by_a_ticket_with_the_page(consent: Consent, office: Office) -> None:
    result = consent.ask(asked(), "acme", None)
    assert result.approval is not None
    assert result.approval.page == f"page of {result.approval.id}"
    office.desk.grant("acme", result.approval.id, "ada", via=Via.PAGE, text="fine")
    after = result.approval.wait(30)
    assert (after.state, after.by, after.reason) == (State.GRANTED, "ada", "fine")


def test_while_others_must_still_grant_nobody_has_decided(consent: Consent, office: Office) -> None:
    approval = office.ask(route("group:approvers", quorum=2))
    office.desk.grant("acme", approval.id, "ada", via=Via.PAGE, text="fine")
    held = ticket(office.desk.get("acme", approval.id))
    assert (held.state, held.by, held.reason, held.waiter) == (State.PENDING, "", "", None)
    assert held.wait() is held


def test_without_its_store_it_asks_nobody_and_uses_nothing(consent: Consent, store: Down) -> None:
    store.failing = True
    result = consent.ask(asked(), "acme", None)
    assert (result.outcome, result.approval) == (Outcome.REQUIRE_APPROVAL, None)
    assert result.reasons[-1].code is Code.APPROVAL_UNAVAILABLE
    decision, told = consent.use("a1", "acme", CALL, asking(), "d2")
    assert (decision.outcome, decision.reasons[0].code) == (Outcome.DENY, Code.APPROVAL_UNAVAILABLE)
    assert told == {"id": "a1", "code": Code.APPROVAL_UNAVAILABLE}


def test_without_the_workspace_s_settings_it_uses_nothing(office: Office) -> None:
    def fail(_: str) -> Settings:
        raise StoreError("the store is down")

    decision, _ = Consent(office.desk, settings=fail).use("a1", "acme", CALL, asking(), "d2")
    assert (decision.outcome, decision.reasons[0].code) == (Outcome.DENY, Code.APPROVAL_UNAVAILABLE)


def test_whoever_waits_while_the_store_is_down_keeps_what_they_have(consent: Consent, store: Down) -> None:
    held = consent.ask(asked(), "acme", None).approval
    assert held is not None
    store.failing = True
    assert held.wait(5) is held
    assert asyncio.run(held.wait_async(5)) is held


def test_a_desk_that_cannot_be_made_refuses_and_is_tried_again_the_next_time() -> None:
    tries: list[int] = []

    def make() -> LocalDesk:
        tries.append(1)
        raise RuntimeError("can't start new thread")

    asking_local = Asking(make)
    result = asking_local.ask(asked(), "local", None)
    assert (result.outcome, result.approval) == (Outcome.REQUIRE_APPROVAL, None)
    assert (result.reasons[-1].code, result.reasons[-1].message) == (Code.APPROVAL_UNAVAILABLE, UNUSABLE)
    decision, told = asking_local.use("a1\ud800", "local", CALL, asking(), "d2")
    assert (decision.outcome, decision.reasons[0].code) == (Outcome.DENY, Code.APPROVAL_UNAVAILABLE)
    assert told == {"id": "a1\\ud800", "code": Code.APPROVAL_UNAVAILABLE}
    assert len(tries) == 2
    asking_local.close()
    asking_local.close()
    assert asking_local.ask(asked(), "local", None).approval is None
    assert len(tries) == 2
