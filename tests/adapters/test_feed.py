"""The feed in a database: what goes in comes out, whatever is asked of it, and never more work than is bounded."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, text

from onpurpose import Gate
from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql import SqliteLedger, feed_search, feed_tables
from onpurpose.adapters.sql.feed import SqlFeed, SqliteFollow, open_feed
from onpurpose.adapters.sql.rollups import SqlRollups
from onpurpose.app.projection import Projector
from onpurpose.app.shadow import report
from onpurpose.core.feed import Batch, Bucket, Cell, Entry, Event, Judged, Search, kept, meets
from onpurpose.core.outcome import Outcome
from onpurpose.core.record import LedgerError, Record, Stored
from onpurpose.core.revision import ConflictError, StoreError
from onpurpose.core.statistics import BINS, Counts

NOON = 1_795_003_200_000_000
MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
POLICY = Judged(workspace="acme", kind="policy", name="p", revision=1)
SQLITE_ALONE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the feed is: a path, or a URL."""
    if request.param == "sqlite":
        return str(tmp_path / "onpurpose.db.feed")
    url: str = request.getfixturevalue("postgres_url")
    return url.replace("postgresql://", "postgresql+psycopg://")


def opened(database: str) -> SqlFeed:
    return SqlFeed(create_engine(database)) if "://" in database else open_feed(database)


@pytest.fixture
def feed(database: str) -> Iterator[SqlFeed]:
    with closing(opened(database)) as feed:
        yield feed


def entry(n: int = 0, **fields: Any) -> Entry:
    plain: dict[str, Any] = {
        "workspace": "acme", "decision_id": f"d{n}", "at": NOON + n, "agent_id": "bot", "user_id": None,
        "capability": "crm.read", "purpose_id": None, "outcome": Outcome.ALLOW, "code": "rule_matched",
        "policy": "agent.yaml:2", "digest": "00", "chain": "a", "seq": n, "shadow_outcome": None,
        "newly_blocked": False,
    }  # fmt: skip
    return Entry(n=n, **(plain | fields))


def cell(many: int = 1, judged: Judged = POLICY, **fields: Any) -> Cell:
    plain: dict[str, Any] = {
        "bucket": Bucket.TOTAL, "start": 0, "dimension": "all", "first_at": NOON, "last_at": NOON,
        "counts": Counts(qualified=many, matched=many, confidence=tuple(range(BINS))),
    }  # fmt: skip
    return Cell(judged=judged, **(plain | fields))


def add(
    feed: SqlFeed,
    entries: Iterable[Entry] = (),
    *,
    policies: Iterable[tuple[str, str, int]] = (),
    events: Iterable[Event] = (),
    withdrawn: Iterable[tuple[str, str]] = (),
    cells: Iterable[Cell] = (),
    chains: dict[str, int] | None = None,
) -> Batch:
    batch = Batch(
        before=feed.position(),
        chains=chains or {},
        entries=list(entries),
        policies=list(policies),
        events=list(events),
        withdrawn=list(withdrawn),
        cells=list(cells),
    )
    feed.add(batch)
    return batch


def walked(feed: SqlFeed, search: Search, limit: int = 7) -> list[Entry]:
    """All that a search finds, page by page."""
    found: list[Entry] = []
    before = None
    while True:
        page = feed.page(search, before=before, limit=limit)
        assert len(page.entries) <= limit
        assert page.before is None or before is None or page.before < before
        found += page.entries
        before = page.before
        if before is None:
            return found


# -- what goes in comes out


def test_a_new_feed_is_at_the_beginning(feed: SqlFeed) -> None:
    position = feed.position()
    assert (position.decisions, position.events, position.chains) == (0, 0, {})
    assert feed.page(Search(workspace="acme")).entries == ()
    assert feed.decision("acme", "d1") is None
    assert feed.events("acme") == []


def test_every_field_of_a_decision_comes_back(feed: SqlFeed) -> None:
    full = entry(
        1, user_id="ada", purpose_id="support", outcome=Outcome.DENY, shadow_outcome=Outcome.REQUIRE_APPROVAL,
        newly_blocked=True, agent_id="tab\there \\N 'quoted' \ud7ff\U0001f600",
    )  # fmt: skip
    bare = entry(2, policy=None, digest=None, code="")
    add(feed, [full, bare])
    assert feed.decision("acme", "d1") == full
    assert feed.since("acme", 0, 10) == [full, bare]
    assert feed.page(Search(workspace="acme")).entries == (bare, full)


def test_the_position_moves_with_what_is_added(feed: SqlFeed) -> None:
    told = Event(n=1, workspace="acme", kind="policy.saved", at=NOON, chain="b", seq=1)
    epoch = feed.position().epoch
    assert feed.newest() == (epoch, 0)
    add(feed, [entry(1), entry(2)], events=[told], chains={"a": 2, "b": 1})
    add(feed, [entry(3)], chains={"a": 3})
    found = feed.position()
    assert (found.epoch, found.decisions, found.events, found.chains) == (epoch, 3, 1, {"a": 3, "b": 1})
    assert feed.newest() == (epoch, 3)
    assert feed.events("acme") == [told]


def test_it_is_there_when_opened_again(database: str) -> None:
    with closing(opened(database)) as feed:
        add(feed, [entry(1)], cells=[cell()], chains={"a": 1})
        before = feed.position()
    with closing(opened(database)) as feed:
        assert feed.position() == before
        assert feed.decision("acme", "d1") == entry(1)


def test_a_batch_made_at_another_position_is_refused_whole(feed: SqlFeed) -> None:
    batch = add(feed, [entry(1)], cells=[cell()], chains={"a": 1})
    with pytest.raises(ConflictError):
        feed.add(batch)
    assert feed.position().decisions == 1
    assert SqlRollups(feed.engine).totals(POLICY)[0].counts.qualified == 1


def test_a_batch_that_fails_leaves_nothing(feed: SqlFeed) -> None:
    before = feed.position()
    with pytest.raises(StoreError):
        add(feed, [entry(1), entry(1)], cells=[cell()], chains={"a": 2})
    assert feed.position() == before
    assert feed.since("acme", 0, 10) == []
    assert SqlRollups(feed.engine).totals(POLICY) == []


def test_cleared_it_is_empty_and_of_another_epoch(feed: SqlFeed) -> None:
    told = Event(n=1, workspace="acme", kind="x", at=NOON, chain="b", seq=1)
    batch = add(feed, [entry(1)], policies=[("acme", "p", 1)], events=[told], cells=[cell()], chains={"a": 1})
    feed.clear()
    found = feed.position()
    assert (found.decisions, found.events, found.chains) == (0, 0, {})
    assert found.epoch != batch.before.epoch
    assert walked(feed, Search(workspace="acme", policy="p")) == []
    assert SqlRollups(feed.engine).totals(POLICY) == []
    with pytest.raises(ConflictError):
        feed.add(batch)


def test_a_decision_taken_back_was_denied(feed: SqlFeed) -> None:
    add(feed, [entry(1), entry(2), entry(3, decision_id="d1", workspace="rival")], withdrawn=[("acme", "d1")])
    found = feed.decision("acme", "d1")
    assert found is not None
    assert (found.outcome, found.code) == (Outcome.DENY, "audit_unavailable")
    assert [one.outcome for one in feed.since("acme", 1, 5)] == [Outcome.ALLOW]
    assert [one.outcome for one in feed.since("rival", 0, 5)] == [Outcome.ALLOW]


def test_events_are_paged_newest_first(feed: SqlFeed) -> None:
    told = [Event(n=n, workspace="acme" if n % 2 else "b", kind="x", at=n, chain="c", seq=n) for n in range(1, 10)]
    add(feed, events=told)
    assert [one.n for one in feed.events("acme", limit=3)] == [9, 7, 5]
    assert [one.n for one in feed.events("acme", before=5)] == [3, 1]


def test_events_are_listed_by_kind(feed: SqlFeed) -> None:
    kinds = ["policy.saved", "policy.promoted", "key.created"]
    told = [Event(n=n, workspace="acme", kind=kinds[n % 3], at=n, chain="c", seq=n) for n in range(1, 10)]
    add(feed, events=told)
    assert [one.n for one in feed.events("acme", kinds=["policy.promoted"])] == [7, 4, 1]
    assert [one.n for one in feed.events("acme", kinds=kinds[:2], limit=4)] == [9, 7, 6, 4]
    assert [one.n for one in feed.events("acme", kinds=kinds[:2], before=6, limit=2)] == [4, 3]
    assert feed.events("acme", kinds=["nothing"]) == []


# -- searching


CHOICES: dict[str, list[Any]] = {
    "workspace": ["acme", "rival"],
    "agent_id": ["a", "b", "rare"],
    "user_id": [None, "u", "v"],
    "capability": ["x.y", "x.z"],
    "purpose_id": [None, "p"],
    "outcome": list(Outcome),
    "shadow_outcome": [None, *Outcome],
    "newly_blocked": [False, True],
}


def filled(feed: SqlFeed, count: int, seed: int = 1) -> tuple[list[Entry], list[tuple[str, str, int]]]:
    """Decisions of every sort, their times not quite in order, in several batches."""
    chance = random.Random(seed)
    entries, policies = [], []
    for n in range(1, count + 1):
        fields = {name: chance.choice(values) for name, values in CHOICES.items()}
        at = NOON + n * 20_000_000 + chance.randrange(-90_000_000, 90_000_000)
        entries.append(entry(n, at=at, **fields))
        policies += [(fields["workspace"], name, n) for name in ("live", "next") if chance.random() < 0.4]
    for start in range(0, count, 100):
        part = entries[start : start + 100]
        add(feed, part, policies=[one for one in policies if part[0].n <= one[2] <= part[-1].n])
    return entries, policies


def naive(search: Search, entries: list[Entry], policies: list[tuple[str, str, int]]) -> list[Entry]:
    named = {(workspace, n) for workspace, name, n in policies if name == search.policy}
    return [
        one
        for one in reversed(entries)
        if (search.since is None or one.at >= search.since)
        and (search.until is None or one.at < search.until)
        and (search.policy is None or (one.workspace, one.n) in named)
        and one.workspace == search.workspace
        and all(getattr(search, name) in {None, getattr(one, name)} for name in CHOICES if name != "workspace")
    ]


times = st.none() | st.integers(NOON - HOUR, NOON + 3 * HOUR)
searches = st.builds(
    Search,
    workspace=st.sampled_from(["acme", "rival", "nobody"]),
    since=times,
    until=times,
    policy=st.sampled_from([None, None, "live", "next", "none"]),
    **{
        name: st.none() | st.sampled_from([value for value in values if value is not None])
        for name, values in CHOICES.items()
        if name != "workspace"
    },
)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqlFeed, list[Entry], list[tuple[str, str, int]]]]:
    with closing(open_feed(tmp_path_factory.mktemp("feed") / "onpurpose.db.feed")) as feed:
        yield feed, *filled(feed, 200)


@given(search=searches)
@settings(deadline=None)
def test_a_decision_meets_the_searches_that_find_it(
    full: tuple[SqlFeed, list[Entry], list[tuple[str, str, int]]], search: Search
) -> None:
    _, entries, _ = full
    plain = msgspec.structs.replace(search, policy=None)
    assert [one for one in entries if meets(one, plain)] == naive(plain, entries, [])[::-1]


def test_what_is_longer_than_the_feed_keeps_is_met_as_it_is_found(feed: SqlFeed) -> None:
    name = "a\0" + "b" * 300
    add(feed, [entry(1, agent_id=kept(name))])
    search = Search(workspace="acme", agent_id=name)
    assert [meets(one, search) for one in feed.page(search).entries] == [True]


@given(search=searches, limit=st.integers(1, 500))
def test_a_search_finds_what_one_finds_by_looking_at_all(
    full: tuple[SqlFeed, list[Entry], list[tuple[str, str, int]]], search: Search, limit: int
) -> None:
    feed, entries, policies = full
    assert walked(feed, search, limit) == naive(search, entries, policies)


@given(search=searches, limit=st.integers(1, 9), rounds=st.lists(st.integers(1, 9), min_size=1, max_size=3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_that_end_early_lose_nothing(
    full: tuple[SqlFeed, list[Entry], list[tuple[str, str, int]]],
    monkeypatch: pytest.MonkeyPatch,
    search: Search,
    limit: int,
    rounds: list[int],
) -> None:
    feed, entries, policies = full
    monkeypatch.setattr(feed_search, "CANDIDATES", tuple(rounds))
    monkeypatch.setattr(feed_search, "COUNTED", tuple(rounds))
    assert walked(feed, search, limit) == naive(search, entries, policies)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_postgresql_finds_the_same(feed: SqlFeed) -> None:
    entries, policies = filled(feed, 300)
    chance = random.Random(7)
    for _ in range(60):
        fields = {
            name: chance.choice([None, None, *[value for value in values if value is not None]])
            for name, values in CHOICES.items()
            if name != "workspace"
        }
        since, until = (chance.choice([None, NOON + chance.randrange(2 * HOUR)]) for _ in "ab")
        search = Search(workspace="acme", since=since, until=until, policy=chance.choice([None, "live"]), **fields)
        assert walked(feed, search) == naive(search, entries, policies)


def test_numbers_beyond_every_database_are_no_trouble(feed: SqlFeed) -> None:
    add(feed, [entry(1)])
    huge = 1 << 80
    everything = Search(workspace="acme", since=-huge, until=huge)
    assert feed.page(everything, before=huge, limit=huge).entries == (entry(1),)
    assert feed.page(Search(workspace="acme", since=huge)).entries == ()
    assert feed.page(everything, before=-huge).entries == ()
    assert feed.since("acme", huge, huge) == []
    assert feed.events("acme", before=huge, limit=huge) == []


@pytest.mark.parametrize("name", ["half a pair \ud800", "nul \0", "", "'; DROP TABLE decisions; --", "%s %(n)s :n"])
def test_a_name_that_no_database_keeps_is_only_not_found(feed: SqlFeed, name: str) -> None:
    add(feed, [entry(1)])
    assert feed.page(Search(workspace="acme", agent_id=name, policy=name)).entries == ()
    assert feed.decision("acme", name) is None
    assert feed.events("acme", kinds=[name]) == []
    assert SqlRollups(feed.engine).series(POLICY, Bucket.DAY, f"agent:{name}") == []
    assert feed.since("acme", 0, 1) == [entry(1)]


def test_a_long_name_is_found_by_all_of_it(feed: SqlFeed) -> None:
    log = {"kind": "decision", "id": "d", "at": 1, "agent_id": "x" * 5000, "outcome": "allow", "workspace": "acme"}

    class Log:
        def chains(self) -> dict[str, int]:
            return {"a": 1}

        def after(self, chain: str, seq: int, limit: int) -> list[Any]:
            return [Stored(1, "a", 1, b"", orjson.dumps(log))][seq:]

    Projector(Log(), feed).step()
    assert len(walked(feed, Search(workspace="acme", agent_id="x" * 5000))) == 1


class Plans:
    """The plans of what SQLite was asked, to see that nothing reads a whole table."""

    def __init__(self, feed: SqlFeed) -> None:
        self.lines: list[str] = []
        self._feed = feed

    def __enter__(self) -> Plans:
        event.listen(self._feed.engine, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._feed.engine, "before_cursor_execute", self._note)

    def _note(self, connection: Any, cursor: Any, statement: str, values: Any, *_: object) -> None:
        if statement.startswith("SELECT"):
            asked = cursor.connection.execute("EXPLAIN QUERY PLAN " + statement, values)
            self.lines += [row[3] for row in asked]


@SQLITE_ALONE
@pytest.mark.parametrize(
    "search",
    [
        Search(workspace="acme"),
        Search(workspace="acme", since=NOON, until=NOON + HOUR),
        Search(workspace="acme", agent_id="a"),
        Search(workspace="acme", user_id="u"),
        Search(workspace="acme", capability="x.y"),
        Search(workspace="acme", purpose_id="p"),
        Search(workspace="acme", outcome=Outcome.DENY),
        Search(workspace="acme", shadow_outcome=Outcome.DENY),
        Search(workspace="acme", newly_blocked=True),
        Search(workspace="acme", policy="live"),
        Search(workspace="acme", policy="live", agent_id="a", outcome=Outcome.DENY, since=NOON),
    ],
    ids=lambda search: "-".join(
        name for name in Search.__struct_fields__ if getattr(search, name) is not None and name != "workspace"
    ),
)
def test_no_search_reads_a_whole_table(feed: SqlFeed, search: Search) -> None:
    filled(feed, 300)
    with Plans(feed) as plans:
        feed.page(search, before=200, limit=5)
        feed.since("acme", 5, 5)
        feed.decision("acme", "d3")
        feed.events("acme")
    assert plans.lines
    whole = [line for line in plans.lines if line.startswith("SCAN") and "(subquery" not in line]
    assert [line for line in whole if line.split()[1].startswith(("decision", "events", "rollups"))] == []
    assert not [line for line in plans.lines if "AUTOMATIC" in line]
    asked = [name for name in Search.__struct_fields__ if name not in {"workspace", "since", "until", "policy"}]
    for name in asked:
        if getattr(search, name) is not None:
            assert any(f"decisions_by_{name}_sqlite (workspace=? AND {name}=?" in line for line in plans.lines)


@SQLITE_ALONE
def test_conditions_that_do_not_lead_are_asked_of_their_indexes(feed: SqlFeed) -> None:
    filled(feed, 300)
    search = Search(
        workspace="acme", agent_id="a", user_id="u", capability="x.y", purpose_id="p", outcome=Outcome.DENY,
        shadow_outcome=Outcome.DENY, newly_blocked=True, policy="live",
    )  # fmt: skip
    with Plans(feed) as plans:
        feed.page(search, limit=5)
    probes = [line for line in plans.lines if line.startswith(("SEARCH decisions_", "SEARCH decision_policies_"))]
    # `policy` has its own table; one of the eight leads.
    assert len(probes) == 7
    assert all("COVERING INDEX decisions_by_" in line or "USING PRIMARY KEY" in line for line in probes), probes


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_postgresql_vacuums_new_decisions_soon_so_that_indexes_answer_alone(feed: SqlFeed) -> None:
    with feed.engine.connect() as connection:
        told = connection.exec_driver_sql(
            "SELECT relname, reloptions FROM pg_class WHERE relname IN ('decisions', 'decision_policies')"
        ).all()
    wanted = ["autovacuum_vacuum_insert_scale_factor=0", "autovacuum_vacuum_insert_threshold=100000"]
    assert {name: sorted(options) for name, options in told} == dict.fromkeys(
        ("decisions", "decision_policies"), wanted
    )


@pytest.mark.parametrize("order", [1, -1])
def test_of_conditions_that_many_meet_the_thinnest_leads(
    feed: SqlFeed, monkeypatch: pytest.MonkeyPatch, order: int
) -> None:
    monkeypatch.setattr(feed_search, "COUNTED", (2,))
    filled(feed, 300)
    with feed.engine.connect() as connection:
        dense, thin = feed_search._leads(Search(workspace="acme", agent_id="a", policy="live"))
        found = feed_search._rarest_first(connection, [dense, thin][::order], 1, 300)
        spans = [connection.execute(feed_search._candidates(lead, 1, 300).limit(2)).scalars().all() for lead in found]
    assert spans[0][-1] <= spans[1][-1]


# -- counts


def test_counts_add_up(feed: SqlFeed) -> None:
    day = cell(2, bucket=Bucket.DAY, start=DAY, first_at=5, last_at=9)
    add(feed, cells=[cell(3), day])
    add(feed, [entry(1)], cells=[cell(4), cell(5, bucket=Bucket.DAY, start=DAY, first_at=3, last_at=7)])
    rollups = SqlRollups(feed.engine)
    (total,) = rollups.totals(POLICY)
    assert (total.counts.qualified, total.counts.matched, total.counts.would_deny) == (7, 7, 0)
    assert total.counts.confidence == tuple(range(0, 2 * BINS, 2))
    (found,) = rollups.series(POLICY, Bucket.DAY, "all")
    assert (found.counts.qualified, found.first_at, found.last_at) == (7, 3, 9)


def test_a_series_is_of_one_dimension_in_order_of_time(feed: SqlFeed) -> None:
    add(feed, cells=[cell(n, bucket=Bucket.HOUR, start=n * HOUR) for n in (3, 1, 2)])
    add(feed, cells=[cell(9, bucket=Bucket.HOUR, start=HOUR, dimension="agent:x"), cell(9)])
    rollups = SqlRollups(feed.engine)
    assert [one.start // HOUR for one in rollups.series(POLICY, Bucket.HOUR, "all")] == [1, 2, 3]
    assert [one.start // HOUR for one in rollups.series(POLICY, Bucket.HOUR, "all", 2 * HOUR, 3 * HOUR)] == [2]
    assert rollups.series(POLICY, Bucket.DAY, "all") == []


def test_totals_name_every_dimension_of_one_revision(feed: SqlFeed) -> None:
    second = Judged(workspace="acme", kind="policy", name="p", revision=2)
    add(feed, cells=[cell(dimension=name) for name in ("all", "agent:x", "group:ä")] + [cell(8, judged=second)])
    totals = SqlRollups(feed.engine).totals(POLICY)
    assert sorted(one.dimension for one in totals) == ["agent:x", "all", "group:ä"]
    assert sorted(feed.dimensions(POLICY)) == ["agent:x", "all", "group:ä"]
    assert [one.counts.qualified for one in SqlRollups(feed.engine).totals(second)] == [8]


def test_what_has_no_counts_yet_reports_nothing(feed: SqlFeed) -> None:
    assert not report(SqlRollups(feed.engine), POLICY).readiness.ready


# -- the file


@SQLITE_ALONE
@pytest.mark.parametrize("damage", [b"no database at all" * 99, b"", b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_damaged_file_is_made_anew(database: str, damage: bytes) -> None:
    with closing(opened(database)) as feed:
        add(feed, [entry(1)])
    Path(database).write_bytes(damage)
    with closing(opened(database)) as feed:
        assert feed.position().decisions == 0
        add(feed, [entry(1)])


@SQLITE_ALONE
def test_a_file_that_a_power_cut_may_have_torn_is_made_anew(database: str) -> None:
    with closing(opened(database)) as feed:
        add(feed, [entry(1)])
    # It was closed in order, and so is whole.
    with closing(opened(database)) as feed:
        assert feed.position().decisions == 1
    _set(database, "boot", "another run of the system")
    with closing(opened(database)) as feed:
        assert feed.position().decisions == 0


@SQLITE_ALONE
def test_a_file_that_another_process_has_open_is_never_made_anew(database: str) -> None:
    with closing(opened(database)) as feed:
        add(feed, [entry(1)])
    whole = Path(database).read_bytes()
    damaged = whole[:100] + b"\xff" * 4096 + whole[4196:]
    Path(database).write_bytes(damaged)
    with pytest.raises(StoreError, match="the feed cannot be written"):
        open_feed(database, shared=True)
    assert Path(database).read_bytes() == damaged
    Path(database).write_bytes(whole)
    _set(database, "boot", "another run of the system")
    with pytest.raises(StoreError, match="the system went down while the file was written"):
        open_feed(database, shared=True)
    _set(database, "boot", "")
    with closing(open_feed(database, shared=True)) as feed:
        assert feed.position().decisions == 1


@SQLITE_ALONE
def test_who_writes_on_after_another_closed_it_says_so(database: str) -> None:
    with closing(opened(database)) as feed:
        add(feed, [entry(1)])
        opened(database).close()
        add(feed, [entry(2)])
        with closing(sqlite3.connect(database)) as connection:
            assert connection.execute("SELECT boot FROM feed_state").fetchone() == (feed_tables.boot(),)
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT boot FROM feed_state").fetchone() == ("",)


@SQLITE_ALONE
def test_a_file_that_a_killed_process_left_is_gone_on_with(database: str) -> None:
    feed = opened(database)
    add(feed, [entry(1)])
    feed.engine.dispose()  # what a kill leaves: nothing was closed in order
    with closing(opened(database)) as feed:
        assert feed.position().decisions == 1


def test_a_feed_of_another_form_is_made_anew(database: str) -> None:
    with closing(opened(database)) as feed:
        add(feed, [entry(1)])
        with feed.engine.begin() as connection:
            connection.execute(text("UPDATE feed_state SET form = 0"))
            connection.execute(text("DROP TABLE events"))
    with closing(opened(database)) as feed:
        assert feed.position().decisions == 0
        assert feed.events("acme") == []


@SQLITE_ALONE
def test_the_file_is_its_owners_alone(feed: SqlFeed, database: str) -> None:
    assert Path(database).stat().st_mode & 0o777 == 0o600
    assert feed.position().decisions == 0


def test_a_feed_that_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        open_feed(tmp_path / "missing" / "onpurpose.db.feed")


@SQLITE_ALONE
def test_a_locked_feed_is_not_thrown_away(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(opened(database)) as feed:
        add(feed, [entry(1)])
    monkeypatch.setattr("onpurpose.adapters.sql.feed_tables.BUSY_SECONDS", 0.05)
    with closing(sqlite3.connect(database, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked"):
            opened(database)
        holder.execute("ROLLBACK")
    with closing(opened(database)) as feed:
        assert feed.position().decisions == 1


def _set(database: str, column: str, value: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE feed_state SET {column} = ?", (value,))


# -- the log


def ledger(path: Path) -> SqliteLedger:
    return SqliteLedger(path, signer=KeyFile(f"{path}.key", f"{path}.pub"))


def test_a_log_that_is_not_there_yet_has_no_chains(tmp_path: Path) -> None:
    with closing(SqliteFollow(tmp_path / "onpurpose.db")) as follow:
        assert follow.chains() == {}
        with ledger(tmp_path / "onpurpose.db") as log:
            log.append(Record("x", b"{}")).result(30)
            assert list(follow.chains().values()) == [2]


def test_records_are_followed_by_chain_while_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "onpurpose.db"
    with ledger(path) as one, ledger(path) as two, closing(SqliteFollow(path)) as follow:
        for number in range(5):
            head = one.append(Record("x", b'{"one":%d}' % number)).result(30)
        other = two.append(Record("x", b'{"two":0}')).result(30)
        assert follow.chains() == {head.chain: 6, other.chain: 2}
        found = follow.after(head.chain, 2, 3)
        assert [(one.chain, one.seq, one.body) for one in found] == [
            (head.chain, number + 2, b'{"one":%d}' % number) for number in (1, 2, 3)
        ]
        assert found[-1].hash != found[0].hash
        one.append(Record("x", b'{"one":5}')).result(30)
        assert follow.chains()[head.chain] == 7
        assert [one.seq for one in follow.after(head.chain, 6, 100)] == [7]
        assert follow.after("no such chain", 0, 9) == []


def test_a_log_that_was_closed_is_followed_too(tmp_path: Path) -> None:
    with ledger(tmp_path / "onpurpose.db") as log:
        head = log.append(Record("x", b"{}")).result(30)
    with closing(SqliteFollow(tmp_path / "onpurpose.db")) as follow:
        assert follow.chains() == {head.chain: 2}


def test_a_log_is_followed_by_several_threads(tmp_path: Path) -> None:
    path = tmp_path / "onpurpose.db"
    with ledger(path) as log, closing(SqliteFollow(path)) as follow:
        appended = [log.append(Record("x", b'{"n":%d}' % number)) for number in range(200)]
        head = appended[-1].result(30)
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda seq: follow.after(head.chain, seq, 1)[0].seq, range(200)))
    assert found == list(range(1, 201))


def test_what_is_no_log_is_not_followed(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection, connection:
        connection.execute("CREATE TABLE records (x)")
    with closing(SqliteFollow(tmp_path / "other.db")) as follow, pytest.raises(LedgerError, match="no log"):
        follow.chains()


def test_decisions_of_a_gate_arrive_in_the_feed(tmp_path: Path, feed: SqlFeed) -> None:
    policy, log = tmp_path / "agent.yaml", tmp_path / "onpurpose.db"
    policy.write_text("deny:\n  - capability: shell.*\nallow:\n  - capability: crm.read\n")
    with Gate(policy, audit=log) as gate, closing(SqliteFollow(log)) as follow:
        results = [gate.evaluate("bot", name, {}) for name in ("crm.read", "shell.run", "mail.send")]
        projector = Projector(follow, feed)
        while projector.step():
            pass
    found = feed.since("", 0, 10)
    assert [one.decision_id for one in found] == [result.decision_id for result in results]
    assert [one.outcome for one in found] == [Outcome.ALLOW, Outcome.DENY, Outcome.DENY]
    assert [one.code for one in found] == ["rule_matched", "rule_matched", "no_rule_matched"]
    assert found[1].policy == f"{policy}:2"
    assert [one.kind for one in feed.events("")] == ["log.opened"]
    assert walked(feed, Search(workspace="", policy=str(policy))) == found[::-1]
