"""The stores of approvals are twins of the one in dictionaries: whatever is asked, all answer alike."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from onpurpose.core.approval import Approval, State, Wanted
from onpurpose.core.delivery import Channel, Delivery, Progress
from onpurpose.core.errors import OnPurposeError
from tests.ports.approval_stores import Kept, approval, delivery, in_database, in_file, in_memory

RUNS = itertools.count()
SMALL = st.integers(0, 2)
TIMES = st.integers(0, 6)
STATES = st.sampled_from(State)

Step = Callable[[Kept, str], object]


def named(run: str, number: int, **rest: Any) -> Approval:
    """An approval of this run alone, in a workspace of its own: the stores are those of all runs."""
    return approval(id=f"{run}{number}", workspace=run, **rest)


def messages(run: str, of: Approval, numbers: list[tuple[int, int, Progress]]) -> list[Delivery]:
    """Messages about it by id, time and how far they are; all of them on one channel, to two recipients."""
    return [
        delivery(of, f"C{number % 2}", id=f"{run}{number}", due_at=time, progress=progress)
        for number, time, progress in numbers
    ]


PROGRESS = st.sampled_from([Progress.WAITING, Progress.WAITING, Progress.SENT, Progress.DEAD])
MESSAGES = st.lists(st.tuples(st.integers(0, 200), TIMES, PROGRESS), max_size=3)


@st.composite
def openings(draw: st.DrawFn) -> Step:
    number, digest, due, owed = draw(SMALL), draw(SMALL), draw(st.none() | TIMES), draw(MESSAGES)
    state, agent = draw(st.just(State.PENDING) | STATES), draw(st.sampled_from("ab"))

    def step(kept: Kept, run: str) -> object:
        one = named(run, number, digest=str(digest), wake_at=due, state=state, agent_id=agent)
        return kept.approvals.open(one, deliveries=messages(run, one, owed), notes=[run.encode()])

    return step


@st.composite
def changes(draw: st.DrawFn) -> Step:
    number, beyond, owed = draw(SMALL), draw(st.sampled_from([1, 1, 1, 0, 2])), draw(MESSAGES)
    state, due = draw(st.just(State.PENDING) | STATES), draw(st.none() | TIMES)

    def step(kept: Kept, run: str) -> None:
        held = kept.approvals.get(run, f"{run}{number}") or named(run, number)
        one = replace(held, version=held.version + beyond, state=state, wake_at=due)
        kept.approvals.change(one, deliveries=messages(run, one, owed), notes=[run.encode()])

    return step


@st.composite
def settlements(draw: st.DrawFn) -> Step:
    number, which, time, progress = draw(SMALL), draw(SMALL), draw(TIMES), draw(PROGRESS)

    def step(kept: Kept, run: str) -> None:
        owed = kept.deliveries.of(run, f"{run}{number}")
        for one in owed[which : which + 1]:
            kept.deliveries.settle(replace(one, due_at=time, attempts=time, progress=progress, ref="r"))

    return step


@st.composite
def takings(draw: st.DrawFn) -> Step:
    now, lease, limit = draw(TIMES), draw(TIMES), draw(SMALL) + 1
    return lambda kept, _: kept.deliveries.take(Channel.SLACK, now, lease, limit)


@st.composite
def revivals(draw: st.DrawFn) -> Step:
    number, now = draw(SMALL), draw(TIMES)

    def step(kept: Kept, run: str) -> object:
        return kept.given_up.again(run, [one.id for one in kept.deliveries.of(run, f"{run}{number}")], now)

    return step


def answer(step: Step, kept: Kept, run: str) -> object:
    """What a step comes to: what it gives, or which error."""
    try:
        return step(kept, run)
    except OnPurposeError as error:
        return type(error)


def told(kept: Kept, run: str) -> list[object]:
    """All that can be asked of what one run has left."""
    notes = kept.outbox.unsent(10_000)
    kept.outbox.sent([number for number, _ in notes])
    mine = Wanted(workspace=run)
    asked = [mine, *(replace(mine, states=frozenset({state})) for state in State)]
    asked += [
        replace(mine, due_at=3, limit=2),
        replace(mine, before=f"{run}2"),
        replace(mine, digest="1", agent_id="a"),
    ]
    names = [f"{run}{number}" for number in range(5)]
    return [
        *(kept.approvals.find(wanted) for wanted in asked),
        *(kept.deliveries.of(run, name) for name in names),
        kept.approvals.versions(names),
        [kept.approvals.pending(run, agent) for agent in "ab"],
        kept.given_up.dead(run, 2),
        kept.deliveries.next_due(Channel.SLACK),
        [body for _, body in notes],
    ]


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Kept]]:
    folder = tmp_path_factory.mktemp("twins")
    with contextlib.ExitStack() as stack:
        made = [in_memory(), in_file(folder / "audit.approvals"), in_database(str(folder / "onpurpose.db"))]
        yield [stack.enter_context(one) for one in made]


def cleared(kept: Kept) -> None:
    """Leave nothing that waits to the next run."""
    while taken := kept.deliveries.take(Channel.SLACK, 10, 0, 1000):
        for one in taken:
            kept.deliveries.settle(replace(one, progress=Progress.SENT))


@settings(max_examples=50)
@given(
    steps=st.lists(
        st.one_of(openings(), changes(), changes(), settlements(), takings(), revivals()), min_size=5, max_size=25
    )
)
def test_stores_answer_alike_whatever_is_done(stores: list[Kept], steps: list[Step]) -> None:
    run = f"r{next(RUNS):06}-"
    for step in steps:
        first, *others = (answer(step, kept, run) for kept in stores)
        assert others == [first] * len(others)
    first_told, *others_told = (told(kept, run) for kept in stores)
    assert others_told == [first_told] * len(others_told)
    for kept in stores:
        cleared(kept)
