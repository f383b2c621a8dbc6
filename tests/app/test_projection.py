"""The projector takes every record of a log once, in order, and begins again where it must."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.adapters.sql.feed import SqlFeed, open_feed
from onpurpose.app.projection import COUNTED, UNREADABLE, Projector
from onpurpose.core.feed import LONGEST, Batch, Entry, Event, Judged, Position, Search, kept
from onpurpose.core.outcome import Outcome
from onpurpose.core.record import LedgerError, Stored
from onpurpose.core.revision import ConflictError, StoreError

NOON = 1_795_000_000_000_000


class Chains:
    """A log in a dictionary, by chain."""

    def __init__(self, **chains: list[bytes]) -> None:
        self.bodies = chains
        self.broken = False

    def chains(self) -> dict[str, int]:
        if self.broken:
            raise LedgerError("the log cannot be read")
        return {chain: len(bodies) for chain, bodies in self.bodies.items() if bodies}

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        bodies = self.bodies[chain][seq : seq + limit]
        return [Stored(0, chain, number, b"", body) for number, body in enumerate(bodies, seq + 1)]


class Shelf:
    """A feed in lists: what was added, whole batches or none."""

    def __init__(self) -> None:
        self.epochs = 0
        self.full = False
        self.uncounted = 0
        self.clear()

    def position(self) -> Position:
        return Position(
            epoch=str(self.epochs), decisions=len(self.entries), events=len(self.told), chains=dict(self.taken)
        )

    def add(self, batch: Batch) -> None:
        if self.full:
            raise StoreError("the disk is full")
        if batch.before != self.position():
            raise ConflictError("another projector wrote to the feed")
        self.entries += batch.entries
        self.told += batch.events
        self.named += batch.policies
        self.taken |= batch.chains
        self.withdrawn += batch.withdrawn
        for cell in batch.cells:
            self.counted.setdefault(cell.judged, set()).add(cell.dimension)

    def clear(self) -> None:
        self.epochs += 1
        self.entries: list[Entry] = []
        self.told: list[Event] = []
        self.named: list[tuple[str, str, int]] = []
        self.taken: dict[str, int] = {}
        self.withdrawn: list[tuple[str, str]] = []
        self.counted: dict[Judged, set[str]] = {}

    def count_on(self, limit: int) -> int:
        self.uncounted = max(0, self.uncounted - limit)
        return self.uncounted

    def dimensions(self, judged: Judged) -> Iterable[str]:
        return self.counted.get(judged, set())


def decision(name: str = "d", at: int = NOON, **fields: Any) -> bytes:
    body = {
        "v": 1, "kind": "decision", "id": name, "at": at, "agent_id": "bot", "capability": "crm.read",
        "policy_context": None, "payload": {}, "digest": "00", "outcome": "allow", "reasons": [], "policies": [],
    }  # fmt: skip
    return orjson.dumps(body | fields)


def other(kind: str = "policy.saved", at: int = NOON, **fields: Any) -> bytes:
    return orjson.dumps({"v": 1, "kind": kind, "id": "e", "at": at} | fields)


def caught_up(log: Chains, shelf: Shelf, **options: Any) -> Shelf:
    projector = Projector(log, shelf, **options)
    while projector.step():
        pass
    assert projector.behind == 0
    return shelf


def ids(shelf: Shelf) -> list[str]:
    return [entry.decision_id for entry in shelf.entries]


# -- what a record comes to


def test_a_decision_is_read_field_by_field() -> None:
    body = decision(
        "d1",
        workspace="acme",
        identity={"user_id": "ada", "groups": ["ops"]},
        purpose_id="support",
        outcome="deny",
        digest="ab",
        reasons=[
            {"code": "rule_matched", "outcome": "deny", "rule": {"at": "agent.yaml:2", "capability": "crm.*"}},
            {"code": "purpose_policy_matched", "policy": {"kind": "purpose_policy", "name": "hours", "revision": 4}},
        ],
        policies=[{"source": "agent.yaml", "digest": "cd"}],
        purpose_policies=[{"name": "hours", "revision": 4}],
        shadow=[
            {"kind": "purpose_policy", "name": "next", "revision": 7, "matched": True, "would": "require_approval",
             "newly_blocked": False, "unmatched": False},
            {"kind": "policy", "name": "candidate", "revision": 1, "matched": None, "would": "warn",
             "newly_blocked": True, "unmatched": False},
        ],
    )  # fmt: skip
    shelf = caught_up(Chains(a=[other(), body]), Shelf())
    assert shelf.entries == [
        Entry(
            n=1, workspace="acme", decision_id="d1", at=NOON, agent_id="bot", user_id="ada", capability="crm.read",
            purpose_id="support", outcome=Outcome.DENY, code="rule_matched", policy="agent.yaml:2", digest="ab",
            chain="a", seq=2, shadow_outcome=Outcome.REQUIRE_APPROVAL, newly_blocked=True,
        )
    ]  # fmt: skip
    assert sorted(shelf.named) == [("acme", name, 1) for name in ("agent.yaml", "candidate", "hours", "next")]
    assert set(shelf.counted) == {
        Judged(workspace="acme", kind="purpose_policy", name="next", revision=7),
        Judged(workspace="acme", kind="policy", name="candidate", revision=1),
    }


def test_a_plain_decision_leaves_the_rest_empty() -> None:
    (entry,) = caught_up(Chains(a=[decision()]), Shelf()).entries
    assert (entry.workspace, entry.user_id, entry.purpose_id) == ("", None, None)
    assert (entry.code, entry.policy, entry.shadow_outcome, entry.newly_blocked) == ("", None, None, False)


def test_what_decided_is_the_rule_or_else_the_purpose_policy() -> None:
    by_policy = [{"code": "purpose_policy_matched", "policy": {"kind": "p", "name": "hours", "revision": 4}}]
    (entry,) = caught_up(Chains(a=[decision(reasons=by_policy)]), Shelf()).entries
    assert (entry.code, entry.policy) == ("purpose_policy_matched", "hours@4")


def test_other_records_are_events() -> None:
    told = caught_up(Chains(a=[other("policy.promoted", workspace="acme"), decision(), other("x")]), Shelf()).told
    assert [(event.n, event.kind, event.workspace, event.seq) for event in told] == [
        (1, "policy.promoted", "acme", 1),
        (2, "x", "", 3),
    ]


def test_an_event_may_use_the_fields_of_a_decision_for_other_things() -> None:
    told = caught_up(Chains(a=[other("key.created", reasons="none", shadow=3, agent_id=[])]), Shelf()).told
    assert [event.kind for event in told] == ["key.created"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{",
        b'{"kind":7}',
        b"[" * 100_000,
        decision(at=-1),
        decision(at=1 << 63),
        decision(outcome="maybe"),
        decision(agent_id=None),
        decision(identity="ada"),
        decision(shadow=[{"kind": "p", "name": "x", "revision": 1, "would": "maybe"}]),
        decision(shadow=[{"kind": "p", "name": "x", "revision": 1 << 40, "would": "deny"}]),
        decision()[:-1],
    ],
)
def test_what_cannot_be_read_is_told_and_passed(body: bytes) -> None:
    shelf = caught_up(Chains(a=[body, decision("next")]), Shelf())
    assert [event.kind for event in shelf.told] == [UNREADABLE]
    assert ids(shelf) == ["next"]


@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text() | st.floats(), st.lists).map(
    lambda value: orjson.dumps({"kind": "decision", "at": 1, "agent_id": str(value)[:9], "shadow": []})
    if not isinstance(value, list) else repr(value).encode()))  # fmt: skip
def test_no_body_stops_the_projector(body: bytes) -> None:
    shelf = caught_up(Chains(a=[body]), Shelf())
    assert len(shelf.entries) + len(shelf.told) == 1


def test_names_are_cut_and_hold_nothing_that_a_database_refuses() -> None:
    (entry,) = caught_up(Chains(a=[decision(agent_id="a\0b" + "x" * 1000)]), Shelf()).entries
    assert entry.agent_id == kept("a\0b" + "x" * 1000)
    assert len(entry.agent_id) == LONGEST
    assert "\0" not in entry.agent_id


def test_a_decision_that_was_taken_back_is_told_of() -> None:
    shelf = caught_up(Chains(a=[decision("d1"), other("decision.withdrawn", id="d1", workspace="acme")]), Shelf())
    assert shelf.withdrawn == [("acme", "d1")]
    assert [event.kind for event in shelf.told] == ["decision.withdrawn"]


# -- once each, in order


logs = st.dictionaries(
    st.sampled_from("abcd"),
    st.lists(st.tuples(st.booleans(), st.integers(NOON, NOON + 50)), max_size=12),
    max_size=4,
)


@given(logs, st.integers(1, 7))
def test_every_record_is_taken_once_and_chains_keep_their_order(
    log: dict[str, list[tuple[bool, int]]], batch: int
) -> None:
    bodies = {
        chain: [decision(f"{chain}{n}", at) if decides else other(at=at) for n, (decides, at) in enumerate(records)]
        for chain, records in log.items()
    }
    shelf = caught_up(Chains(**bodies), Shelf(), batch=batch)
    assert [entry.n for entry in shelf.entries] == list(range(1, len(shelf.entries) + 1))
    assert [event.n for event in shelf.told] == list(range(1, len(shelf.told) + 1))
    for chain, records in log.items():
        seqs = [entry.seq for entry in shelf.entries if entry.chain == chain]
        assert seqs == [number for number, (decides, _) in enumerate(records, 1) if decides]
        assert len([event for event in shelf.told if event.chain == chain]) == len(records) - len(seqs)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50)), max_size=40), st.integers(1, 9))
def test_records_of_several_chains_are_taken_by_time(records: list[tuple[str, int]], batch: int) -> None:
    log: dict[str, list[bytes]] = {"a": [], "b": [], "c": []}
    for chain, at in sorted(records, key=lambda record: record[1]):
        log[chain].append(decision(at=at))
    times = [entry.at for entry in caught_up(Chains(**log), Shelf(), batch=batch).entries]
    assert times == sorted(times)


def test_what_comes_later_is_taken_later() -> None:
    log, shelf = Chains(a=[decision("a1")]), Shelf()
    projector = Projector(log, shelf)
    assert [projector.step(), projector.step()] == [1, 0]
    log.bodies["a"].append(decision("a2"))
    log.bodies["b"] = [decision("b1", NOON + 1)]
    assert [projector.step(), projector.step()] == [2, 0]
    assert ids(shelf) == ["a1", "a2", "b1"]


def test_a_step_takes_a_batch_and_knows_how_much_is_left() -> None:
    projector = Projector(Chains(a=[decision()] * 25), Shelf(), batch=10)
    seen = [(projector.step(), projector.behind) for _ in range(4)]
    assert seen == [(10, 15), (10, 5), (5, 0), (0, 0)]


def test_a_log_at_rest_costs_no_look_at_the_feed() -> None:
    log, shelf = Chains(a=[decision("1")]), Shelf()
    looks: list[int] = []
    position = shelf.position
    shelf.position = lambda: (looks.append(1), position())[1]  # type: ignore[method-assign]
    projector = Projector(log, shelf)
    while projector.step():
        pass
    seen = len(looks)
    assert [projector.step() for _ in range(5)] == [0] * 5
    assert len(looks) == seen
    log.bodies["a"].append(decision("2"))
    assert projector.step() == 1
    assert ids(shelf) == ["1", "2"]


def test_another_that_comes_further_amid_a_step_is_no_reason_to_begin_anew() -> None:
    log, shelf = Chains(a=[decision("1")]), Shelf()
    first, second = Projector(log, shelf), Projector(log, shelf)
    while first.step() + second.step():
        pass
    chains, epoch = log.chains, shelf.epochs

    def overtaken() -> dict[str, int]:
        seen = chains()
        log.chains = chains  # type: ignore[method-assign]
        log.bodies["a"].append(decision("3"))
        second.step()
        return seen

    log.bodies["a"].append(decision("2"))
    log.chains = overtaken  # type: ignore[method-assign]
    first.step()
    assert (shelf.epochs, ids(shelf)) == (epoch, ["1", "2", "3"])


def test_it_runs_until_it_is_told_to_stop() -> None:
    told: list[int] = []

    def pause(taken: int) -> bool:
        told.append(taken)
        return taken > 0

    Projector(Chains(a=[decision()] * 25), Shelf(), batch=10).run(pause)
    assert told == [10, 10, 5, 0]


def test_decisions_that_were_stored_uncounted_are_counted_beside_some_with_each_step() -> None:
    shelf = Shelf()
    shelf.uncounted = 2 * COUNTED + 1
    projector = Projector(Chains(a=[decision()] * 25), shelf, batch=10)
    assert [(projector.step(), shelf.uncounted) for _ in range(4)] == [(10, COUNTED + 1), (10, 1), (5, 0), (0, 0)]


def test_what_another_left_uncounted_is_counted_by_one_that_was_done() -> None:
    log, shelf = Chains(a=[decision("a1")]), Shelf()
    projector = Projector(log, shelf)
    projector.step()
    log.bodies["a"].append(decision("a2"))
    Projector(log, shelf).step()
    shelf.uncounted = 1
    projector.step()
    assert (shelf.uncounted, ids(shelf)) == (0, ["a1", "a2"])


# -- trouble


def test_a_batch_that_did_not_arrive_is_taken_again() -> None:
    log, shelf = Chains(a=[decision("a1"), decision("a2"), decision("a3")], b=[decision("b1", NOON + 1)]), Shelf()
    projector = Projector(log, shelf, batch=2)
    projector.step()
    shelf.full = True
    with pytest.raises(StoreError):
        projector.step()
    shelf.full = False
    while projector.step():
        pass
    assert ids(shelf) == ["a1", "a2", "a3", "b1"]


def test_a_log_that_cannot_be_read_is_read_later() -> None:
    log, shelf = Chains(a=[decision("a1")]), Shelf()
    log.broken = True
    projector = Projector(log, shelf)
    with pytest.raises(LedgerError):
        projector.step()
    log.broken = False
    assert projector.step() == 1


def test_of_two_projectors_each_record_is_taken_by_one() -> None:
    log, shelf = Chains(a=[decision(f"a{number}") for number in range(40)]), Shelf()
    one, two = Projector(log, shelf, batch=3), Projector(log, shelf, batch=5)
    while one.step() + two.step():
        pass
    assert ids(shelf) == [f"a{number}" for number in range(40)]


def test_one_that_was_overtaken_is_told_and_goes_on() -> None:
    log, shelf = Chains(a=[decision("a1"), decision("a2")]), Shelf()

    class Overtaken(Chains):
        def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
            found = super().after(chain, seq, limit)
            if not shelf.entries:
                Projector(log, shelf, batch=1).step()
            return found

    projector = Projector(Overtaken(**log.bodies), shelf)
    with pytest.raises(ConflictError):
        projector.step()
    projector.step()
    assert ids(shelf) == ["a1", "a2"]


def test_a_feed_beyond_the_log_is_made_anew() -> None:
    shelf = caught_up(Chains(a=[decision("old")] * 5), Shelf())
    before = shelf.position().epoch
    caught_up(Chains(a=[decision("new")] * 3), shelf)
    assert ids(shelf) == ["new"] * 3
    assert shelf.position().epoch != before


def test_a_feed_of_another_log_is_made_anew() -> None:
    shelf = caught_up(Chains(a=[decision("old")]), Shelf())
    assert ids(caught_up(Chains(b=[decision("new")] * 9), shelf)) == ["new"] * 9


# -- with the feed that is used


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[SqlFeed]:
    feed = open_feed(tmp_path / "onpurpose.db.feed")
    yield feed
    feed.close()


def test_the_feed_in_a_file_ends_up_with_the_same(feed: SqlFeed) -> None:
    bodies = [decision(f"a{number}", NOON + 2 * number, workspace="w") for number in range(30)]
    log = Chains(a=bodies, b=[other(workspace="w"), decision("b", NOON + 31, workspace="w")])
    shelf, projector = caught_up(log, Shelf(), batch=7), Projector(log, feed, batch=7)
    while projector.step():
        pass
    assert feed.since("w", 0, 100) == shelf.entries
    assert feed.events("w") == shelf.told[::-1]
    found = feed.position()
    assert (found.decisions, found.events, found.chains) == (31, 1, shelf.taken)
    assert feed.page(Search(workspace="w"), limit=2).entries == tuple(shelf.entries[:-3:-1])
