"""A backtest on a thread of its own: told how far it is, ended where it is not wanted, few at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from onpurpose.app import trials as module
from onpurpose.app.backtest import Backtested, Backtests, Member
from onpurpose.app.recorded_calls import count
from onpurpose.app.trials import Trial, Trials
from onpurpose.core.call import Call
from onpurpose.core.feed import Search
from onpurpose.core.revision import ConflictError, Kind
from onpurpose.core.span import PolicyError
from tests.app.past import Past, live, recorded

LIVE = "allow:\n  - capability: '*'\n"
TRIED = "deny:\n  - capability: crm.*\n"
CALLS = 150


class Gate:
    """Holds a backtest between two blocks of calls until it is let go."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(30)


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Past]:
    with recorded(tmp_path_factory.mktemp("past")) as made:
        live(made, Kind.POLICY, "base", LIVE)
        for _ in range(CALLS):
            made.decide(Call("bot", "crm.read", {}))
        yield made


def trials(past: Past, rest: Any = lambda: None) -> Trials:
    return Trials(Backtests(past.world.control.shelf, past.feed, past.follow, rest=rest))


def begin(of: Trials, text: str = TRIED, workspace: str = "default", limit: int = 1000) -> Trial:
    member = Member(kind=Kind.POLICY, name="base", text=text)
    return of.start(workspace, [member], since=0, until=2**60, limit=limit)


def test_it_ends_with_what_a_backtest_comes_to(past: Past) -> None:
    of = trials(past)
    found = of.wait(begin(of), 30)
    assert not found.running
    assert found.done == past.backtest(Member(kind=Kind.POLICY, name="base", text=TRIED))
    assert of.find("default", found.id) == found


def test_meanwhile_it_tells_how_many_of_the_chosen_calls_were_judged(past: Past) -> None:
    gate = Gate()
    of = trials(past, gate)
    begun = begin(of)
    assert gate.reached.wait(30)
    found = of.find("default", begun.id)
    assert found is not None
    assert (found.running, found.judged, found.chosen) == (True, 64, CALLS)
    assert of.wait(begun, 0) == found
    gate.opened.set()
    assert of.wait(begun, 30).done is not None


def test_of_more_calls_than_the_limit_so_many_are_chosen(past: Past) -> None:
    search = Search(workspace="default")
    assert [count(past.feed, search, limit) for limit in (0, 70, CALLS, 2000)] == [0, 70, CALLS, CALLS]


def test_one_that_is_cancelled_ends_with_what_it_has_judged(past: Past) -> None:
    gate = Gate()
    of = trials(past, gate)
    begun = begin(of)
    assert gate.reached.wait(30)
    of.cancel("other", begun.id)
    of.cancel("default", begun.id)
    gate.opened.set()
    done = of.wait(begun, 30).done
    assert isinstance(done, Backtested)
    assert (done.stopped, done.calls) == ("cancelled", 128)
    of.cancel("default", begun.id)
    assert of.wait(begun, 0).done == done


def test_another_workspaces_cancel_ends_nothing(past: Past) -> None:
    gate = Gate()
    of = trials(past, gate)
    begun = begin(of)
    assert gate.reached.wait(30)
    of.cancel("other", begun.id)
    gate.opened.set()
    done = of.wait(begun, 30).done
    assert done is not None
    assert done.stopped is None
    assert of.find("other", begun.id) is None


def test_a_workspace_has_one_at_a_time_and_others_have_theirs(past: Past) -> None:
    gate = Gate()
    of = trials(past, gate)
    begun = begin(of)
    assert gate.reached.wait(30)
    with pytest.raises(ConflictError, match="running already"):
        begin(of)
    elsewhere = of.wait(begin(of, workspace="nowhere"), 30)
    assert elsewhere.error is not None  # there is no such workspace
    gate.opened.set()
    assert of.wait(begun, 30).done is not None
    assert of.wait(begin(of), 30).done is not None


def test_what_cannot_be_tried_ends_with_why(past: Past) -> None:
    of = trials(past)
    found = of.wait(begin(of, "alow: []\n"), 30)
    assert isinstance(found.error, PolicyError)
    assert found.done is None


def test_what_nobody_foresaw_ends_it_without_a_word(past: Past) -> None:
    def broken() -> None:
        raise RuntimeError("no rest")

    of = trials(past, broken)
    found = of.wait(begin(of), 30)
    assert (found.running, found.done, found.error) == (False, None, None)


def test_those_that_were_begun_last_are_remembered(past: Past, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 2)
    of = trials(past)
    ids = [of.wait(begin(of, limit=1), 30).id for _ in range(4)]
    assert [of.find("default", one) is not None for one in ids] == [False, False, True, True]
