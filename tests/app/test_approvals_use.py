"""What comes after a decision: one run, those who wait, the clock's part, and what is owed to people and the log."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from onpurpose.adapters.memory_approvals import MemoryApprovals
from onpurpose.app.approvals import MOST_REFUSED, Consumed
from onpurpose.core.act import State, Via
from onpurpose.core.approval import Approval, NotEligibleError, Wanted
from onpurpose.core.decision import Code
from onpurpose.core.delivery import Delivery
from onpurpose.core.revision import MissingError, StoreError
from onpurpose.core.routing import Route, Stage
from onpurpose.waiting import done
from tests.app.deciding import CALL, Hurried, Office, at_once, question, route, user
from tests.app.logs import Scripted, failing

PATIENCE = 30
"""Seconds after which a test that waits has failed."""


@pytest.fixture
def office() -> Iterator[Office]:
    office = Office()
    yield office
    office.desk.close()


def granted(office: Office, *routes: Route | None) -> Approval:
    return office.desk.grant("acme", office.ask(*routes).id, "ada", via=Via.PAGE, text="fine")


# -- using


def test_a_grant_is_used_once_by_the_call_that_it_was_given_for(office: Office) -> None:
    approval = granted(office)
    used = office.consume(approval)
    assert (used.code, used.people, used.granted) == (Code.APPROVAL_GRANTED, ("ada",), True)
    assert used.message == "granted by `ada`"
    assert used.approval.state is State.USED
    assert used.approval.acts[-1].decision_id == "d2"
    again = office.consume(approval)
    assert (again.code, again.message) == (Code.APPROVAL_USED, "it was used already")
    assert office.kinds() == ["requested", "granted", "used"]


def test_of_many_that_use_a_grant_at_once_one_may_run(office: Office) -> None:
    approval = granted(office)
    elsewhere = [office.opened(office.store) for _ in range(4)]  # as if other processes
    desks = [office.desk, *elsewhere]

    def use(number: int) -> Consumed:
        desk = desks[number % len(desks)]
        return desk.consume("acme", approval.id, approval.digest, "agent-7", approval.routes, f"d{number}")

    found = [one for one in at_once(50, use) if isinstance(one, Consumed)]
    assert [one.code for one in found].count(Code.APPROVAL_GRANTED) == 1
    assert [one.code for one in found].count(Code.APPROVAL_USED) == 49
    assert office.kinds().count("used") == 1


@pytest.mark.parametrize(
    ("end", "code", "words"),
    [
        ("none", Code.APPROVAL_PENDING, "it waits for a decision"),
        ("deny", Code.APPROVAL_DENIED, "it was denied by `ada` already: not today"),
        ("cancel", Code.APPROVAL_CANCELLED, "it was cancelled by `eve` already"),
        ("expire", Code.APPROVAL_EXPIRED, "it has expired undecided"),
        ("late", Code.APPROVAL_EXPIRED, "it has expired before it was used"),
    ],
)
def test_why_a_call_may_not_run_is_said_by_how_the_approval_stands(
    office: Office, end: str, code: Code, words: str
) -> None:
    approval = office.ask()
    if end == "deny":
        office.desk.deny("acme", approval.id, "ada", via=Via.PAGE, text="not today")
    if end == "cancel":
        office.desk.cancel("acme", approval.id, by="eve", via=Via.PAGE)
    if end == "late":
        office.desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    if end in ("expire", "late"):
        office.clock.pass_seconds(3600)
    found = office.consume(approval)
    assert (found.code, found.message, found.granted) == (code, words, False)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"workspace": "other"}, Code.APPROVAL_UNKNOWN),
        ({"approval_id": "x" * 10_000}, Code.APPROVAL_UNKNOWN),
        ({"agent_id": "agent-8"}, Code.APPROVAL_UNKNOWN),
        ({"digest": "0" * 64}, Code.APPROVAL_CHANGED),
        ({"digest": "\u00e9"}, Code.APPROVAL_CHANGED),
        ({"digest": ""}, Code.APPROVAL_CHANGED),
        ({"routes": (route("user:ada"),)}, Code.APPROVAL_CHANGED),
        ({"routes": ()}, Code.APPROVAL_CHANGED),
        ({"digest": None}, Code.APPROVAL_UNAVAILABLE),
    ],
)
def test_a_grant_is_good_for_exactly_what_was_asked(office: Office, asked: dict[str, Any], code: Code) -> None:
    approval = granted(office)
    found = office.consume(approval, **asked)
    assert found.code is code
    assert len(found.message) < 200
    assert (found.approval is None) == (code is not Code.APPROVAL_CHANGED)
    assert office.consume(approval).granted


def test_the_order_in_which_reasons_ask_does_not_matter(office: Office) -> None:
    approval = granted(office, route("user:ada"), route("group:approvers"))
    assert office.consume(approval, routes=approval.routes[::-1]).granted


def test_a_use_that_meets_another_change_looks_again(office: Office) -> None:
    approval = granted(office)
    desk = office.opened(Hurried(office.store, 3))
    asked = ("acme", approval.id, approval.digest, "agent-7", approval.routes, "d9")
    assert desk.consume(*asked).granted
    desk.close()
    never = office.opened(Hurried(office.store, 1000))
    other = office.desk.grant("acme", office.ask().id, "ada", via=Via.PAGE)
    assert never.consume("acme", other.id, *asked[2:]).code is Code.APPROVAL_UNAVAILABLE
    never.close()


class Down(MemoryApprovals):
    """A store that fails when it is told to."""

    failing = False

    def __init__(self) -> None:
        super().__init__()
        self.failed = threading.Event()

    def get(self, workspace: str, approval_id: str) -> Approval | None:
        self._answer()
        return super().get(workspace, approval_id)

    def versions(self, approval_ids: Sequence[str]) -> Any:
        self._answer()
        return super().versions(approval_ids)

    def _answer(self) -> None:
        if self.failing:
            self.failed.set()
            raise StoreError("the store is down")


def test_without_the_store_nothing_runs(caplog: pytest.LogCaptureFixture) -> None:
    store = Down()
    office = Office(store)
    approval = granted(office)
    store.failing = True
    assert office.consume(approval).code is Code.APPROVAL_UNAVAILABLE
    assert "could not be used" in caplog.text
    with pytest.raises(StoreError):
        office.desk.wait("acme", approval.id, 1)
    store.failing = False
    assert office.consume(approval).granted
    office.desk.close()


# -- waiting


def test_whoever_waits_is_told_at_once_of_a_decision_made_here(office: Office) -> None:
    desk = office.opened(office.store, poll_seconds=PATIENCE * 2)  # so that only the local word can come in time
    approval = desk.ask(question())
    promises = [desk.watch("acme", approval.id) for _ in range(50)]
    assert not any(promise.done() for promise in promises)
    decided = desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    assert [promise.result(0) for promise in promises] == [decided] * 50
    assert desk.wait("acme", approval.id, PATIENCE) == decided
    desk.close()


def test_whoever_waits_is_told_of_a_decision_made_elsewhere(office: Office) -> None:
    elsewhere = office.opened(office.store)
    approval = office.ask()
    promise = office.desk.watch("acme", approval.id)
    elsewhere.comment("acme", approval.id, "ada", via=Via.PAGE, text="hm")
    elsewhere.deny("acme", approval.id, "ada", via=Via.PAGE, text="no")
    assert promise.result(PATIENCE).state is State.DENIED
    elsewhere.close()


def test_whoever_waits_is_told_when_the_time_is_over_though_nobody_swept(office: Office) -> None:
    approval = office.ask()
    promise = office.desk.watch("acme", approval.id)
    office.clock.pass_seconds(3600)
    assert promise.result(PATIENCE).state is State.EXPIRED


def test_whoever_waits_in_vain_gets_the_approval_as_it_stands(office: Office) -> None:
    approval = office.ask()
    assert office.desk.wait("acme", approval.id, 0).state is State.PENDING
    promise = office.desk.watch("acme", approval.id)
    other = office.desk.watch("acme", approval.id)
    assert promise.cancel()
    office.desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    assert other.result(0).state is State.GRANTED


def test_the_last_who_waits_no_longer_is_forgotten(office: Office) -> None:
    approval = office.ask()
    first, second = office.desk.watch("acme", approval.id), office.desk.watch("acme", approval.id)
    first.cancel()
    second.cancel()
    office.desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    assert office.desk.wait("acme", approval.id, 0).state is State.GRANTED


def test_an_event_loop_waits_for_many_approvals_without_a_thread_for_each(office: Office) -> None:
    agents = [replace(CALL, agent_id=f"agent-{number}") for number in range(3)]  # each may have only so many wait
    approvals = [office.ask(call=replace(call, payload={"n": number})) for call in agents for number in range(100)]

    async def wait() -> list[State]:
        promises = [office.desk.watch("acme", one.id) for one in approvals]
        waiting = [asyncio.ensure_future(done(promise, PATIENCE)) for promise in promises]
        for one in approvals:
            await asyncio.to_thread(office.desk.grant, "acme", one.id, "ada", via=Via.PAGE)
        await asyncio.gather(*waiting)
        return [promise.result(0).state for promise in promises]

    assert set(asyncio.run(wait())) == {State.GRANTED}


def test_a_store_that_is_down_is_asked_again_by_who_waits() -> None:
    store = Down()
    office = Office(store)
    approval = office.ask()
    promise = office.desk.watch("acme", approval.id)
    elsewhere = office.opened(store)
    elsewhere.grant("acme", approval.id, "ada", via=Via.PAGE)
    store.failing = True
    with pytest.raises(StoreError):
        elsewhere.watch("acme", approval.id)
    store.failed.clear()
    assert store.failed.wait(PATIENCE)  # whoever waits here has looked, in vain
    store.failing = False
    assert promise.result(PATIENCE).state is State.GRANTED
    office.desk.close()
    elsewhere.close()


def test_a_desk_that_is_closed_lets_go_of_who_waits(office: Office) -> None:
    approval = office.ask()
    desk = office.opened(office.store)
    promise = desk.watch("acme", approval.id)
    found: list[Approval] = []
    waiting = threading.Thread(target=lambda: found.append(desk.wait("acme", approval.id, None)))
    waiting.start()
    desk.close()
    desk.close()
    waiting.join(PATIENCE)
    assert promise.cancelled()
    assert found == [approval]
    assert desk.watch("acme", approval.id).cancelled()


def test_nobody_waits_for_what_is_not_there(office: Office) -> None:
    with pytest.raises(MissingError):
        office.desk.watch("acme", "nothing").result(0)


# -- the clock's part


def test_the_clock_tells_the_next_approver_reminds_and_expires(office: Office) -> None:
    approval = office.ask(route("user:ada", "user:bob", "user:cyd", every=60))
    seen = office.store.of("acme", approval.id)
    assert [to for channel, _, to in office.sent(approval) if channel == "email"] == ["ada"]
    assert office.desk.sweep() == 0
    office.clock.pass_seconds(150)  # it slept through a step
    assert office.desk.sweep() == 1
    assert [one for one in office.sent(approval, seen) if one[0] == "email"] == [
        ("email", "escalated", "bob"), ("email", "escalated", "cyd"),
    ]  # fmt: skip
    seen = office.store.of("acme", approval.id)
    office.clock.pass_seconds(1650)
    assert office.desk.sweep() == 1
    assert [one for one in office.sent(approval, seen) if one[0] == "email"] == [
        ("email", "reminded", name) for name in ("ada", "bob", "cyd")
    ]
    seen = office.store.of("acme", approval.id)
    office.clock.pass_seconds(1800)
    assert office.desk.sweep() == 1
    assert {event for _, event, _ in office.sent(approval, seen)} == {"expired"}
    assert office.desk.sweep() == 0
    assert office.desk.get("acme", approval.id).state is State.EXPIRED


def test_a_grant_that_nobody_used_expires_and_writes_no_second_mail(office: Office) -> None:
    approval = granted(office)
    seen = office.store.of("acme", approval.id)
    office.clock.pass_seconds(3600)
    assert office.desk.sweep() == 1
    told = office.sent(approval, seen)
    assert ("slack", "expired", "C1") in told
    assert "email" not in {channel for channel, _, _ in told}


def test_many_that_expire_at_once_are_all_swept_and_two_sweepers_do_it_once(office: Office) -> None:
    office.settings = replace(office.settings, notify=replace(office.settings.notify, email=False, slack_direct=False))
    for number in range(250):
        office.ask(call=replace(CALL, payload={"n": number}, agent_id=f"agent-{number // 100}"))
    office.clock.pass_seconds(4000)
    elsewhere = office.opened(office.store)
    swept = at_once(2, lambda number: (office.desk, elsewhere)[number].sweep())
    assert not [one for one in swept if isinstance(one, Exception)]
    assert office.kinds().count("expired") == 250
    assert {one.state for one in office.store.find(Wanted(limit=1000))} == {State.EXPIRED}
    elsewhere.close()


def test_an_approval_that_cannot_be_swept_keeps_no_other_from_it(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    office.ask()
    office.clock.pass_seconds(4000)

    class Broken(Hurried):
        def change(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> None:
            raise StoreError("no room")

    desk = office.opened(Broken(office.store, 0))
    assert desk.sweep() == 0
    assert "could not be changed" in caplog.text
    desk.close()
    assert office.desk.sweep() == 1


# -- what is owed


def test_a_change_its_messages_and_its_note_are_kept_together_or_not_at_all(office: Office) -> None:
    class Dying(Hurried):
        """Dies in the moment in which the change is kept."""

        def change(self, approval: Approval, *, deliveries: Sequence[Delivery], notes: Sequence[bytes]) -> None:
            kept.append((approval.state, {str(one.event) for one in deliveries}, len(notes)))
            if self.times:
                raise KeyboardInterrupt
            self._store.change(approval, deliveries=deliveries, notes=notes)

    kept: list[object] = []
    approval = office.ask()
    seen = office.store.of("acme", approval.id)
    dying = office.opened(Dying(office.store, 1))
    with pytest.raises(KeyboardInterrupt):
        dying.grant("acme", approval.id, "ada", via=Via.PAGE)
    assert office.desk.get("acme", approval.id) == approval
    assert (office.sent(approval, seen), office.store.unsent(10)) == ([], [])
    assert kept == [(State.GRANTED, {"granted"}, 1)]
    dying.close()
    assert office.desk.grant("acme", approval.id, "bob", via=Via.PAGE).state is State.GRANTED


def test_a_process_that_dies_after_a_change_leaves_its_messages_and_its_note_to_others(office: Office) -> None:
    approval = office.ask()
    seen = office.store.of("acme", approval.id)
    silent = Scripted(failing(RuntimeError("died")))
    desk = office.opened(office.store, silent)
    assert desk.grant("acme", approval.id, "ada", via=Via.PAGE).state is State.GRANTED
    desk.close()
    assert "granted" in {event for _, event, _ in office.sent(approval, seen)}
    assert office.kinds() == ["requested"]
    other = office.opened(office.store)
    other.sweep()
    other.close()
    assert office.kinds() == ["requested", "granted"]


def test_a_log_that_is_down_is_told_later_and_nobody_waits_for_ever(office: Office) -> None:
    outage = Scripted(failing(RuntimeError("the disk is full")))
    desk = office.opened(office.store, outage)
    approval = desk.ask(question())
    desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    assert len(office.store.unsent(10)) == 2
    office.desk.sweep()
    assert office.kinds() == ["requested", "granted"]
    desk.close()


def test_what_goes_wrong_after_a_change_does_not_undo_it(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise RuntimeError("nobody is there")

    desk = office.opened(office.store, woken=fail)
    assert desk.ask(question()).state is State.PENDING
    desk.close()
    assert "not all could be told" in caplog.text


def test_whoever_was_told_is_told_the_outcome_and_mail_is_written_only_to_who_still_waits(office: Office) -> None:
    approval = office.ask(route("group:approvers", quorum=2))
    assert office.sent(approval) == [
        ("slack", "requested", "C1"),
        *(("slack", "requested", f"U{name}") for name in ("ADA", "BOB", "CYD")),
        *(("email", "requested", name) for name in ("ada", "bob", "cyd")),
        ("webhook", "requested", "https://hooks.example/x"),
    ]
    seen = office.store.of("acme", approval.id)
    office.desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    assert office.sent(approval, seen) == []
    office.desk.comment("acme", approval.id, "bob", via=Via.PAGE, text="hm")
    assert {one[:2] for one in office.sent(approval, seen)} == {("slack", "commented")}
    seen = office.store.of("acme", approval.id)
    office.desk.grant("acme", approval.id, "bob", via=Via.PAGE)
    assert office.sent(approval, seen) == [
        ("slack", "granted", "C1"),
        *(("slack", "granted", f"U{name}") for name in ("ADA", "BOB", "CYD")),
        ("email", "granted", "cyd"),
        ("webhook", "granted", "https://hooks.example/x"),
    ]


def test_a_message_of_two_stages_goes_to_everybody_who_was_ever_told(office: Office) -> None:
    approval = office.ask(Route(stages=(Stage(approvers=("user:ada", "user:bob")), Stage(approvers=("user:dee",)))))
    office.desk.grant("acme", approval.id, "ada", via=Via.PAGE)
    seen = office.store.of("acme", approval.id)
    office.desk.deny("acme", approval.id, "dee", via=Via.PAGE, text="no")
    assert [to for channel, _, to in office.sent(approval, seen) if channel == "slack"] == [
        "C1",
        "UADA",
        "UBOB",
        "UDEE",
    ]
    assert [to for channel, _, to in office.sent(approval, seen) if channel == "email"] == ["bob"]


def test_who_has_no_address_or_is_disabled_is_not_written_to_and_a_crowd_has_the_channel(office: Office) -> None:
    office.users = [user("ada", slack=None), user("bob", email=""), user("cyd", disabled_at=1), user("eve")]
    approval = office.ask(route("anyone"))
    assert office.sent(approval) == [
        ("slack", "requested", "C1"), ("slack", "requested", "UBOB"), ("email", "requested", "ada"),
        ("webhook", "requested", "https://hooks.example/x"),
    ]  # fmt: skip
    office.users = [user(f"u{number}") for number in range(500)]
    crowd = office.ask(route("anyone"), call=replace(CALL, payload={}))
    assert len(office.sent(crowd)) == 1 + 2 * 200 + 1


def test_a_workspace_that_tells_nobody_owes_nothing(office: Office) -> None:
    office.settings = type(office.settings)()
    assert office.sent(office.ask()) == []
    assert office.woken == 0


# -- attempts that were turned away


def test_attempts_that_are_refused_are_recorded_but_never_so_many_that_they_flood_the_log(office: Office) -> None:
    approval = office.ask()
    for _ in range(MOST_REFUSED + 25):
        with pytest.raises(NotEligibleError):
            office.desk.grant("acme", approval.id, "dee", via=Via.SLACK)
    refused = [one for one in office.notes() if one["kind"] == "approval.refused"]
    assert len(refused) == MOST_REFUSED
    assert {"by": "dee", "via": "slack", "workspace": "acme", "approval": approval.id}.items() <= refused[0].items()
    assert refused[0]["why"] == "you are not among the approvers of this request"
    office.clock.pass_seconds(60)
    office.desk.refused("a forged link\u202e", who="token=" + "x" * 5000, approval_id="a" * 5000)
    last = office.notes()[-1]
    assert (last["not_recorded"], last["why"]) == (25, "a forged link\\u202e")
    assert max(map(len, map(str, last.values()))) <= 500


def test_the_id_of_an_approval_is_told_whole_though_its_digits_are_those_of_a_card(office: Office) -> None:
    name = "660e4111111111111111c8a2a5000000"
    office.desk.refused("it was somebody else's", approval_id=name, who="4111111111111111")
    last = office.notes()[-1]
    assert last["approval"] == name
    assert "4111" not in last["by"]


def test_an_attempt_that_cannot_be_recorded_is_refused_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    office = Office()

    class Broken(Scripted):
        def append(self, record: object) -> Any:
            raise RuntimeError("no log")

    desk = office.opened(office.store, Broken(failing(RuntimeError())))
    desk.refused("a forged link")
    assert "could not be recorded" in caplog.text
    desk.close()
    office.desk.close()
