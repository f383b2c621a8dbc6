"""What decisions came to: whatever happened, the counts are those that one comes to by counting the decisions."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, select, text

from onpurpose.adapters.sql.feed import SqlFeed, open_feed
from onpurpose.adapters.sql.feed_tables import outcomes
from onpurpose.adapters.sql.outcomes import SqlOutcomes
from onpurpose.app.projection import Projector
from onpurpose.core.feed import Bucket, Called
from onpurpose.core.outcome import BY_NAME, Outcome
from onpurpose.core.record import Stored
from onpurpose.core.revision import StoreError
from tests.adapters.test_feed import DAY, HOUR, NOON, SQLITE_ALONE, add, entry, opened

WORKSPACES = ("acme", "rival")
EVER = NOON + 1000 * DAY


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the feed is: a path, or a URL."""
    if request.param == "sqlite":
        return str(tmp_path / "onpurpose.db.feed")
    url: str = request.getfixturevalue("postgres_url")
    return url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def feed(database: str) -> Iterator[SqlFeed]:
    with closing(opened(database)) as feed:
        yield feed


def counted(feed: SqlFeed, workspace: str, width: Bucket = Bucket.HOUR) -> dict[tuple[int, Outcome], tuple[int, int]]:
    """What the counts say, all of it."""
    told = SqlOutcomes(feed.engine).outcomes(workspace, width, 0, EVER)
    assert told.uncounted == 0
    return {(one.start, one.outcome): (one.count, one.newly_blocked) for one in told.counts}


def by_hand(feed: SqlFeed, workspace: str, width: int = HOUR) -> dict[tuple[int, Outcome], tuple[int, int]]:
    """The same by looking at every decision."""
    counts: Counter[tuple[int, Outcome]] = Counter()
    blocked: Counter[tuple[int, Outcome]] = Counter()
    for one in feed.since(workspace, 0, 1_000_000):
        key = (one.at - one.at % width, one.outcome)
        counts[key] += 1
        blocked[key] += one.newly_blocked
    return {key: (count, blocked[key]) for key, count in counts.items()}


def is_exact(feed: SqlFeed) -> bool:
    """Whether the counts are those of the decisions, in every workspace, by hours and by days."""
    return all(
        counted(feed, workspace) == by_hand(feed, workspace)
        and counted(feed, workspace, Bucket.DAY) == by_hand(feed, workspace, DAY)
        for workspace in WORKSPACES
    )


# -- the law


class Log:
    """Records of two chains, in memory."""

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = {"a": [], "b": []}

    def chains(self) -> dict[str, int]:
        return {chain: len(bodies) for chain, bodies in self.bodies.items() if bodies}

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        bodies = self.bodies[chain][seq : seq + limit]
        return [Stored(0, chain, number, b"", body) for number, body in enumerate(bodies, seq + 1)]


def record(told: tuple[bool, str, int, int, str, bool]) -> bytes:
    withdrawn, workspace, hours, name, outcome, blocked = told
    body: dict[str, Any] = {
        "v": 1, "kind": "decision.withdrawn" if withdrawn else "decision", "id": f"d{name}", "at": NOON + hours * HOUR,
        "workspace": workspace, "agent_id": "bot", "capability": "crm.read", "outcome": outcome, "reasons": [],
        "policies": [],
    }  # fmt: skip
    if blocked and not withdrawn:
        body["shadow"] = [
            {"kind": "policy", "name": "p", "revision": 1, "would": "deny", "matched": True, "newly_blocked": True}
        ]
    return orjson.dumps(body)


def as_before_counts(feed: SqlFeed) -> None:
    """Have the tables be as a release made them that did not count."""
    with feed.engine.begin() as connection:
        connection.execute(text("DROP TABLE outcomes"))
        for column in ("counted_above", "counted_to"):
            connection.execute(text(f"ALTER TABLE feed_state DROP COLUMN {column}"))
        connection.execute(text("UPDATE feed_state SET form = 1"))


def as_if_added_uncounted(feed: SqlFeed, many: int) -> None:
    """Have the newest decisions be as if a release had added them that does not count, beside one that does."""
    with feed.engine.begin() as connection:
        connection.execute(text("DELETE FROM outcomes"))
        sum_up = "INSERT INTO outcomes SELECT workspace, at - at % 3600000000, outcome, count(*), "
        sum_up += "sum(CASE WHEN newly_blocked THEN 1 ELSE 0 END) FROM decisions WHERE n <= "
        sum_up += "(SELECT decisions FROM feed_state) - :many GROUP BY workspace, at - at % 3600000000, outcome"
        connection.execute(text(sum_up), {"many": many})
        moved = "UPDATE feed_state SET counted_above = 0, counted_to = decisions - :many"
        connection.execute(text(moved), {"many": many})


records = st.lists(
    st.tuples(
        st.sampled_from([False, False, False, True]), st.sampled_from(WORKSPACES), st.integers(0, 30),
        st.integers(0, 9), st.sampled_from(sorted(BY_NAME)), st.booleans(),
    ),
    max_size=25,
)  # fmt: skip
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("records"), st.sampled_from("ab"), records),
        st.tuples(st.sampled_from(["restart", "clear", "upgrade", "put back"])),
        st.tuples(st.just("step"), st.integers(1, 7)),
        st.tuples(st.just("uncounted"), st.integers(0, 5)),
        st.tuples(st.just("count on"), st.integers(1, 5)),
    ),
    max_size=8,
)
_names = itertools.count()


def happen(what: tuple[Any, ...], log: Log, feed: SqlFeed, projector: Projector) -> tuple[SqlFeed, Projector]:
    """One thing of a history; the feed and its projector after it."""
    match what:
        case ("records", chain, told):
            log.bodies[chain] += map(record, told)
            projector.step()
        case ("step", batch):  # another process, with batches of its own
            Projector(log, feed, batch=batch).step()
        case ("restart",):
            return feed, Projector(log, feed, batch=5)
        case ("clear",):
            feed.clear()
        case ("put back",):
            log.bodies["a"] = log.bodies["a"][:3]
        case ("upgrade",):
            as_before_counts(feed)
            return SqlFeed(feed.engine), projector
        case ("uncounted", many):
            while feed.count_on(100):
                pass
            as_if_added_uncounted(feed, min(many, feed.position().decisions))
        case ("count on", many):
            feed.count_on(many)
    return feed, projector


@given(history=happenings)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_after_any_history_the_counts_are_those_of_the_decisions(
    tmp_path: Path, history: list[tuple[Any, ...]]
) -> None:
    with closing(open_feed(tmp_path / f"{next(_names)}.feed")) as feed:
        after_any_history(feed, history)


@given(history=happenings)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_after_any_history_the_counts_are_those_of_the_decisions_in_postgresql(
    feed: SqlFeed, history: list[tuple[Any, ...]]
) -> None:
    feed.clear()
    after_any_history(feed, history)


def after_any_history(feed: SqlFeed, history: list[tuple[Any, ...]]) -> None:
    log = Log()
    projector = Projector(log, feed, batch=5)
    for what in history:
        feed, projector = happen(what, log, feed, projector)
    while projector.step():
        pass
    while feed.count_on(3):
        pass
    assert is_exact(feed)


# -- the tables


def test_decisions_are_counted_in_the_transaction_that_adds_them(feed: SqlFeed) -> None:
    add(feed, [entry(1), entry(2, at=NOON + HOUR, newly_blocked=True), entry(3, workspace="rival")])
    add(feed, [entry(4, outcome=Outcome.DENY)])
    with pytest.raises(StoreError):
        add(feed, [entry(5), entry(5)])
    first = NOON - NOON % HOUR
    assert counted(feed, "acme") == {
        (first, Outcome.ALLOW): (1, 0), (first, Outcome.DENY): (1, 0), (first + HOUR, Outcome.ALLOW): (1, 1)
    }  # fmt: skip
    assert counted(feed, "rival") == {(first, Outcome.ALLOW): (1, 0)}


def test_a_decision_taken_back_counts_as_denied(feed: SqlFeed) -> None:
    add(feed, [entry(1), entry(2)])
    add(feed, withdrawn=[("acme", "d1"), ("acme", "d1"), ("acme", "none")])
    first = NOON - NOON % HOUR
    assert counted(feed, "acme") == {(first, Outcome.ALLOW): (1, 0), (first, Outcome.DENY): (1, 0)}


def test_only_the_time_that_is_asked_for_is_told(feed: SqlFeed) -> None:
    add(feed, [entry(n, at=NOON + n * HOUR) for n in range(1, 6)])
    told = SqlOutcomes(feed.engine).outcomes("acme", Bucket.HOUR, NOON + 2 * HOUR, NOON + 4 * HOUR)
    assert [one.start for one in told.counts] == [NOON + 2 * HOUR, NOON + 3 * HOUR]


def test_the_rollup_has_a_row_for_an_hour_and_outcome_however_many_decisions_there_are(feed: SqlFeed) -> None:
    for start in range(0, 300, 100):
        add(feed, [entry(n, at=NOON + n) for n in range(start + 1, start + 101)])
    with feed.engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(select(outcomes))] == [("acme", NOON - NOON % HOUR, 0, 300, 0)]


def test_what_a_batch_comes_to_is_counted_by_one_statement(feed: SqlFeed) -> None:
    statements: list[tuple[str, int]] = []
    event.listen(
        feed.engine, "before_cursor_execute", lambda _c, _k, said, given, *_: statements.append((said, len(given)))
    )
    add(feed, [entry(n, at=NOON + n, outcome=Outcome(n % 4)) for n in range(1, 1001)])
    assert [many for said, many in statements if said.startswith("INSERT INTO outcomes")] == [4]


# -- a feed from before


def test_a_feed_from_before_is_kept_and_counted_by_and_by_the_newest_first(database: str) -> None:
    with closing(opened(database)) as feed:
        add(feed, [entry(n, at=NOON + n * HOUR) for n in range(1, 6)], chains={"a": 5})
        before = feed.position()
        as_before_counts(feed)
    with closing(opened(database)) as feed:
        assert feed.position() == before
        add(feed, [entry(6, at=NOON + 6 * HOUR)])
        seen = [SqlOutcomes(feed.engine).outcomes("acme", Bucket.HOUR, 0, EVER)]
        while feed.count_on(2):
            seen.append(SqlOutcomes(feed.engine).outcomes("acme", Bucket.HOUR, 0, EVER))
        assert [told.uncounted for told in seen] == [5, 3, 1]
        assert [[(one.start - NOON) // HOUR for one in told.counts] for told in seen] == [
            [6],
            [4, 5, 6],
            [2, 3, 4, 5, 6],
        ]
        assert is_exact(feed)


def test_what_is_taken_back_before_it_was_counted_is_counted_once_as_denied(database: str) -> None:
    with closing(opened(database)) as feed:
        add(feed, [entry(1), entry(2)])
        as_before_counts(feed)
    with closing(opened(database)) as feed:
        add(feed, withdrawn=[("acme", "d1")])
        assert feed.count_on(100) == 0
        first = NOON - NOON % HOUR
        assert counted(feed, "acme") == {(first, Outcome.ALLOW): (1, 0), (first, Outcome.DENY): (1, 0)}


def test_one_that_an_older_release_made_anew_meanwhile_is_counted_anew(database: str) -> None:
    with closing(opened(database)) as feed:
        add(feed, [entry(1), entry(2)])
        with feed.engine.begin() as connection:  # it knows neither the table nor the columns
            connection.execute(text("DELETE FROM decisions WHERE n = 2"))
            connection.execute(text("UPDATE feed_state SET form = 1, decisions = 1"))
    with closing(opened(database)) as feed:
        assert feed.count_on(100) == 0
        assert is_exact(feed)


@SQLITE_ALONE
def test_where_nothing_is_left_to_count_nobody_is_kept_from_writing(feed: SqlFeed, database: str) -> None:
    add(feed, [entry(1)])
    other = create_engine(f"sqlite:///{database}")
    with other.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        assert feed.count_on(100) == 0
        connection.rollback()
    other.dispose()


# -- what was called


def test_every_capability_that_was_called_is_told_with_the_time_of_its_newest_call(feed: SqlFeed) -> None:
    names = ["b", "a", "c", "a", ""]
    add(feed, [entry(n, at=NOON + n, capability=name) for n, name in enumerate(names, 1)])
    add(feed, [entry(6, workspace="rival", capability="z")])
    found = SqlOutcomes(feed.engine)
    newest = {"": 5, "a": 4, "b": 1, "c": 3}
    assert sorted((one.capability, one.last_at - NOON) for one in found.called("acme", 10)) == sorted(newest.items())
    assert found.called("rival", 10) == [Called(capability="z", last_at=NOON + 6)]
    assert found.called("nobody", 10) == []
    assert len(found.called("acme", 2)) == 2


def test_counts_that_cannot_be_read_are_an_error_of_the_store(feed: SqlFeed) -> None:
    with feed.engine.begin() as connection:
        connection.execute(text("DROP TABLE outcomes"))
    with pytest.raises(StoreError, match="cannot be read"):
        SqlOutcomes(feed.engine).outcomes("acme", Bucket.HOUR, 0, EVER)
