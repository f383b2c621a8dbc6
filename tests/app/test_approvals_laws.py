"""A desk under any sequence of questions, clicks, changes of the directory and hours: what holds all the same."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from onpurpose.core.act import Move, State, Via
from onpurpose.core.approval import ApprovalError, IllegalMoveError, NotEligibleError, Wanted, as_of
from onpurpose.core.call import Identity
from onpurpose.core.delivery import Channel
from onpurpose.core.routing import Route, Stage
from tests.app.deciding import CALL, Office, question

PEOPLE = ["ada", "bob", "cyd", "eve", "dee"]
ROUTES = [
    Route(stages=(Stage(approvers=("group:approvers",)),), timeout_seconds=600),
    Route(stages=(Stage(approvers=("group:approvers",), quorum=2),), timeout_seconds=600),
    Route(stages=(Stage(approvers=("anyone",)), Stage(approvers=("user:ada", "user:bob"), escalate_after_seconds=60))),
]
people = st.sampled_from(PEOPLE)
numbers = st.integers(0, 2)


class Approving(RuleBasedStateMachine):
    """The model: who might decide in the moment of each click, and what ran."""

    def __init__(self) -> None:
        super().__init__()
        self.office = Office()
        self.ids: list[str] = []
        self.routes: dict[str, Route] = {}
        self.calls: dict[str, Any] = {}
        self.ran: Counter[str] = Counter()

    def teardown(self) -> None:
        self.office.desk.close()

    @rule(number=numbers, route=st.sampled_from(ROUTES), who=people)
    def ask(self, number: int, route: Route, who: str) -> None:
        call = replace(CALL, payload={"n": number}, identity=Identity(who.upper()))
        approval = self.office.desk.ask(question(call, route))
        assert approval.state in (State.PENDING, State.GRANTED, State.DENIED)
        assert approval.digest
        if approval.state is not State.DENIED:
            assert approval.routes == (route,)
        if approval.id not in self.calls:
            self.ids.append(approval.id)
            self.calls[approval.id] = call

    @precondition(lambda self: self.ids)
    @rule(
        data=st.data(), who=people, move=st.sampled_from([Move.GRANT, Move.GRANT, Move.DENY, Move.DELEGATE]), to=people
    )
    def click(self, data: st.DataObject, who: str, move: Move, to: str) -> None:
        desk, one = self.office.desk, data.draw(st.sampled_from(self.ids[-4:]))
        before = desk.get("acme", one)
        try:
            if move is Move.GRANT:
                after = desk.grant("acme", one, who, via=Via.PAGE)
            elif move is Move.DENY:
                after = desk.deny("acme", one, who, via=Via.PAGE, text="no")
            else:
                after = desk.delegate("acme", one, who, to=to, via=Via.PAGE)
        except IllegalMoveError:
            assert before.state is not State.PENDING
            return
        except NotEligibleError:
            return
        assert before.state is State.PENDING
        assert after.acts[-1].by == who
        user = next(user for user in self.office.users if user.id == who)
        assert user.disabled_at is None
        assert before.requesters[0].lower() != who
        named = {name for route in before.routes for stage in route.stages for name in stage.approvers}
        assert named & {"anyone", f"user:{who}", *(f"group:{group}" for group in user.groups)}

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), wrong=st.booleans())
    def use(self, data: st.DataObject, wrong: bool) -> None:
        one = data.draw(st.sampled_from(self.ids[-4:]))
        before = self.office.desk.get("acme", one)
        call = replace(self.calls[one], data_source_id="elsewhere") if wrong else self.calls[one]
        used = self.office.consume(before, call)
        assert used.granted == (before.state is State.GRANTED and not wrong)
        self.ran[one] += used.granted

    @precondition(lambda self: self.ids)
    @rule(data=st.data(), by=st.sampled_from([*PEOPLE, "key-1", "nobody"]))
    def cancel(self, data: st.DataObject, by: str) -> None:
        one = data.draw(st.sampled_from(self.ids[-4:]))
        try:
            after = self.office.desk.cancel("acme", one, by=by, via=Via.API)
        except ApprovalError:
            return
        assert after.state is State.CANCELLED

    @rule(seconds=st.sampled_from([1, 61, 300, 601, 4000]), swept=st.booleans())
    def pass_time(self, seconds: int, swept: bool) -> None:
        self.office.clock.pass_seconds(seconds)
        if swept:
            self.office.desk.sweep()
            assert self.office.store.find(Wanted(due_at=self.office.clock.at)) == []

    @rule(who=people, groups=st.sampled_from([(), ("approvers",)]), disabled=st.booleans())
    def move_in_the_directory(self, who: str, groups: tuple[str, ...], disabled: bool) -> None:
        self.office.set_user(who, groups=groups, disabled_at=1 if disabled else None)

    @invariant()
    def what_ran_was_granted_and_ran_once(self) -> None:
        for one, count in self.ran.items():
            kept = self.office.desk.get("acme", one)
            assert (count == 1) == (kept.state is State.USED)
            assert count <= 1

    @invariant()
    def every_change_has_its_note_and_no_message_goes_to_whose_request_it_is(self) -> None:
        kept = self.office.store.find(Wanted(limit=1000))
        changes = [kind for kind in self.office.kinds() if kind != "refused"]
        assert len(changes) == sum(one.version for one in kept)
        for one in kept:
            own = one.requesters[0].lower()
            assert own not in {
                sent.recipient for sent in self.office.store.of("acme", one.id) if sent.channel is Channel.EMAIL
            }

    @invariant()
    def no_two_that_are_pending_ask_the_same(self) -> None:
        pending = [one.digest for one in self.office.store.find(Wanted(limit=1000)) if one.state is State.PENDING]
        assert len(pending) == len(set(pending))
        now = self.office.clock.at
        assert all(as_of(one, now).until > now for one in self.office.desk.find(Wanted()) if one.state is State.PENDING)


Approving.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestApproving = Approving.TestCase
