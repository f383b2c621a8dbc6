"""Millions of decisions in the feed: how long take a page, a policy's numbers, a search? How fast do they come in?

    python benchmarks/feed.py [--rows 10000000] [--seconds 170] [--database postgresql+psycopg://...] [--json]

Filling takes about so many seconds at most: with fewer rows, if it must.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import orjson
from sqlalchemy import Connection, Index, create_engine, func, inspect, select, text
from sqlalchemy.schema import CreateIndex, DropIndex

from common import HERE, Table, report, target
from onpurpose.adapters.sql.feed import SqlFeed, open_feed
from onpurpose.adapters.sql.feed_tables import IMMEDIATE, decisions, metadata
from onpurpose.adapters.sql.outcomes import SqlOutcomes
from onpurpose.adapters.sql.rollups import SqlRollups
from onpurpose.app.hours import course
from onpurpose.app.projection import Projector
from onpurpose.app.shadow import Judgement, Names, Tally, Verdict
from onpurpose.app.shadow import report as numbers_of
from onpurpose.core.feed import Batch, Bucket, Judged, Search
from onpurpose.core.outcome import Outcome
from onpurpose.core.record import Stored

ROWS = 10_000_000
SECONDS = 170.0
FOLLOWED = 100_000
BATCH = 2000
MILLION = 1_000_000
ROUNDS = 15
LIMIT_MS = 100.0
LIMIT_RATE = 20_000.0
START = 1_790_000_000_000_000
STEP = 130_000  # ten million decisions in fifteen days
DIGEST = "e60545efb434770ba6e171e3e7851d9cc97abae51176de3a16793d8d5dcc6fad"
POLICY = Judged(workspace="acme", kind="purpose_policy", name="next", revision=2)


def main() -> None:
    parser = argparse.ArgumentParser(description="times the feed of decisions")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--database", default="")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    report(lambda: tables(chosen.rows, chosen.seconds, chosen.database))


def tables(rows: int, seconds: float, database: str) -> list[Table]:
    with fresh(database) as (feed, _):
        followed = [follow(feed, verdicts) for verdicts in (0, 1)]
    with fresh(database) as (feed, size):
        held, took = fill(feed, rows, seconds)
        cells = [[name, *timed(ask)] for name, ask in questions(feed, held).items()]
        notes = [
            f"target: each under {LIMIT_MS:g} ms; the median of {ROUNDS}, after one that is not counted",
            f"{size() / held:,.0f} bytes a decision; filled in {took:.0f} s by statements of its own, indexes last",
            "two workspaces, 5,000 agents, 100,000 users, 300 capabilities; 94 % of the calls are allowed",
            "a page holds 50; each question is asked of the database anew",
        ]
    name = "PostgreSQL" if database else "SQLite"
    asked = Table(
        f"Asking a feed of {held:,} decisions ({name})", ["", "least ms", "median ms", "longest ms", ""], cells, notes
    )
    return [incoming(followed, name), asked]


def incoming(followed: list[tuple[float, float]], name: str) -> Table:
    rows = [
        [what, f"{rate:,.0f}", f"{of_processor:,.0f}", target(rate, LIMIT_RATE, at_least=True)]
        for what, (rate, of_processor) in zip(("no policy in shadow", "one policy in shadow"), followed, strict=True)
    ]
    notes = [
        f"target: {LIMIT_RATE:,.0f}/s; what a second of this process's processor time is enough for stands beside",
        f"from the records' bodies to the committed feed, {FOLLOWED:,} records in batches of {BATCH:,}",
    ]
    return Table(
        f"Following the log into the feed ({name})", ["", "decisions/s", "per second of processor", ""], rows, notes
    )


@contextmanager
def fresh(database: str) -> Iterator[tuple[SqlFeed, Callable[[], int]]]:
    """An empty feed, and how many bytes it takes."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=HERE) as folder:
        path = Path(folder) / "onpurpose.db.feed"
        with closing(SqlFeed(create_engine(database)) if database else open_feed(path)) as feed:
            feed.clear()
            yield feed, lambda: _relations(feed) if database else path.stat().st_size


def _relations(feed: SqlFeed) -> int:
    with feed.engine.connect() as connection:
        sizes = [select(func.pg_total_relation_size(name)) for name in metadata.tables]
        return sum(connection.execute(size).scalar_one() for size in sizes)


# -- coming in


class Log:
    """Records of one chain, ready in memory: what is timed is the feed."""

    def __init__(self, bodies: list[bytes]) -> None:
        self._stored = [Stored(seq, "c" * 32, seq, b"", body) for seq, body in enumerate(bodies, 1)]

    def chains(self) -> dict[str, int]:
        return {"c" * 32: len(self._stored)}

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        return self._stored[seq : seq + limit]


def follow(feed: SqlFeed, verdicts: int) -> tuple[float, float]:
    """Decisions a second, from bodies to the committed feed: of time, and of processor time."""
    feed.clear()
    chance = random.Random(1)
    projector = Projector(Log([body(n, chance, verdicts) for n in range(FOLLOWED)]), feed, batch=BATCH)
    start, used = time.perf_counter(), time.process_time()
    while projector.step():
        pass
    return FOLLOWED / (time.perf_counter() - start), FOLLOWED / (time.process_time() - used)


def body(n: int, chance: random.Random, verdicts: int) -> bytes:
    fields: dict[str, object] = {
        "v": 1, "kind": "decision", "id": f"{n:032x}", "at": START + n * STEP, "agent_id": f"agent-{n % 50}",
        "capability": f"service{chance.randrange(20)}.action", "policy_context": {"environment": "production"},
        "payload": {"command": "ls -la", "timeout": 60}, "digest": DIGEST, "outcome": "allow",
        "reasons": [{"code": "rule_matched", "outcome": "allow", "message": "the allow rule matches",
                     "rule": {"at": "agent.yaml:2", "capability": "service.*"}}],
        "policies": [{"source": "agent.yaml", "digest": DIGEST}],
        "identity": {"user_id": f"user-{chance.randrange(1000)}", "groups": ["support"]},
        "purpose_id": "support", "workspace": "acme",
    }  # fmt: skip
    if verdicts:
        fields["intent"] = {"label": "lookup", "class": "lookup", "confidence": chance.random()}
        fields["shadow"] = [
            {"kind": "purpose_policy", "name": f"next{number}", "revision": 1, "matched": chance.random() < 0.5,
             "would": "allow", "newly_blocked": False, "unmatched": False}
            for number in range(verdicts)
        ]  # fmt: skip
    return orjson.dumps(fields)


# -- many of them

# Two numbers from 0 to 1 for each decision, mixed from its own; the same on every database.
_NUMBERS = """
WITH RECURSIVE numbers (n) AS (SELECT CAST(:low AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < :high),
mixed (n, one, two) AS (SELECT n, (n * 2654435761) % 4294967296 / 4294967296.0,
                               (n * 69069 + 1) * 1664525 % 4294967296 / 4294967296.0 FROM numbers)
"""
# Agents and users as they are: few with many calls, many with few.
_DECISIONS = """
INSERT INTO decisions (n, workspace, decision_id, at, agent_id, user_id, capability, purpose_id, outcome, code, policy,
                       digest, chain, seq, shadow_outcome, newly_blocked)
{numbers}
SELECT n, CASE WHEN n % 10 = 0 THEN 'rival' ELSE 'acme' END, 'd' || n, :start + n * :step,
       CASE WHEN n % 100000 = 3 THEN 'agent-rare' ELSE 'agent-' || CAST(5000 * one * one * one * one AS INTEGER) END,
       'user-' || CAST(100000 * two * two * two AS INTEGER),
       'service' || CAST(30 * two AS INTEGER) || '.action' || CAST(10 * one AS INTEGER),
       CASE WHEN one < 0.6 THEN 'support' END,
       CASE WHEN two < 0.94 THEN 0 WHEN two < 0.97 THEN 1 WHEN two < 0.99 THEN 2 ELSE 3 END,
       'rule_matched', 'agent.yaml:2', :digest, :chain, n,
       CASE WHEN n % 5000 = 9 THEN 3 WHEN one < 0.5 THEN 0 END, n % 5000 = 9
FROM mixed
"""
_POLICIES = "INSERT INTO decision_policies SELECT workspace, '{}', n FROM decisions WHERE n % {} = {}"
_SPANS = """
INSERT INTO decision_spans SELECT workspace, {0}, at - at % {0}, min(n), max(n) FROM decisions
GROUP BY workspace, at - at % {0}
"""


def fill(feed: SqlFeed, rows: int, seconds: float, first_at: int = START) -> tuple[int, float]:
    """Decisions straight into the tables, their indexes made at the end; how many, and how long all of it took.

    The first was made at `first_at`, in microseconds UTC.
    """
    start, held = time.perf_counter(), 0
    with feed.engine.connect().execution_options(**{IMMEDIATE: True}) as connection, connection.begin():
        indexes = made(connection)
        for index in indexes:
            connection.execute(DropIndex(index))
        insert = text(_DECISIONS.format(numbers=_NUMBERS))
        fixed = {"start": first_at, "step": STEP, "digest": DIGEST, "chain": "c" * 32}
        while held < rows and time.perf_counter() - start < seconds / 4:  # the indexes take the rest
            high = min(rows, held + MILLION)
            connection.execute(insert, fixed | {"low": held + 1, "high": high})
            held = high
        for index in indexes:
            connection.execute(CreateIndex(index))
        connection.exec_driver_sql(_POLICIES.format("agent.yaml", 1, 0).replace("%", percent(connection)))
        connection.exec_driver_sql(_POLICIES.format("rare", 200_000, 7).replace("%", percent(connection)))
        for width in (60_000_000, 3_600_000_000):
            connection.exec_driver_sql(_SPANS.format(width).replace("%", percent(connection)))
        connection.execute(text("UPDATE feed_state SET decisions = :held"), {"held": held})
    if feed.engine.dialect.name == "postgresql":
        with feed.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM (ANALYZE)")  # the server does so by itself, every 100,000 decisions
    while feed.count_on(MILLION):
        pass
    feed.add(counted(feed, held, first_at))
    return held, time.perf_counter() - start


def made(connection: Connection) -> list[Index]:
    """The indexes of this database: some are for the other."""
    there = {found["name"] for found in inspect(connection).get_indexes(decisions.name)}
    return [index for index in decisions.indexes if index.name in there]


def percent(connection: Connection) -> str:
    """How a percent sign is written to this driver."""
    return "%%" if connection.dialect.paramstyle in {"format", "pyformat"} else "%"


def counted(feed: SqlFeed, held: int, first_at: int) -> Batch:
    """A rollup as large as it gets, a thousand agents of it apart, over all the days."""
    tally = Tally(Names(lambda _: ()))
    verdict = Verdict(kind=POLICY.kind, name=POLICY.name, revision=POLICY.revision, matched=True, would="allow")
    for n in range(1, held, max(1, held // 50_000)):
        tally.add(
            Judgement(
                workspace="acme", at=first_at + n * STEP, agent_id=f"agent-{n % 5000}", groups=("support",),
                capability=f"service{n % 30}.action{n % 7}", confidence=0.9, verdicts=[verdict],
            )
        )  # fmt: skip
    before = feed.position()
    return Batch(
        before=before, chains={"c" * 32: held}, entries=[], policies=[], events=[], withdrawn=[], cells=tally.cells()
    )


# -- asking


def questions(feed: SqlFeed, held: int) -> dict[str, Callable[[], object]]:
    rollups, outcomes = SqlRollups(feed.engine), SqlOutcomes(feed.engine)
    last = START + held * STEP
    middle = START + held // 2 * STEP

    def page(before: int | None = None, **fields: object) -> Callable[[], object]:
        search = Search(workspace="acme", **fields)  # type: ignore[arg-type]  # fields of a search
        return lambda: feed.page(search, before=before)

    return {
        "the newest page": page(),
        "a page from the middle": page(held // 2),
        "one decision by its id": lambda: feed.decision("acme", f"d{held // 2 + 1}"),
        "what a stream has missed (500)": lambda: feed.since("acme", held - 500, 500),
        "a policy's numbers": lambda: numbers_of(rollups, POLICY),
        "a policy's numbers by agent, group, capability": lambda: rollups.totals(POLICY),
        "outcomes of 24 hours": lambda: course(outcomes, "acme", Bucket.HOUR, last),
        "outcomes of 30 days": lambda: course(outcomes, "acme", Bucket.DAY, last),
        "every capability that was called": lambda: outcomes.called("acme", 1000),
        "by a busy agent": page(agent_id="agent-0"),
        "by a rare agent": page(agent_id="agent-rare"),
        "by an agent that is not there": page(agent_id="nobody"),
        "by user": page(user_id="user-77777"),
        "by capability": page(capability="service3.action3"),
        "by outcome": page(outcome=Outcome.DENY),
        "by shadow outcome": page(shadow_outcome=Outcome.DENY),
        "newly blocked": page(newly_blocked=True),
        "by policy": page(policy="agent.yaml"),
        "by a policy of rare calls": page(policy="rare"),
        "an hour long ago": page(since=middle, until=middle + 3_600_000_000),
        "an hour long ago, by a rare agent": page(agent_id="agent-rare", since=middle, until=middle + 3_600_000_000),
        "a rare agent, denied": page(agent_id="agent-rare", outcome=Outcome.DENY),
        "a busy agent, a rare policy, one purpose": page(agent_id="agent-0", policy="rare", purpose_id="support"),
        "two busy ones that never meet": page(capability="service0.action0", outcome=Outcome.DENY),
        "the same, on from the middle": page(held // 2, capability="service0.action0", outcome=Outcome.DENY),
        "three busy ones that never meet": page(
            capability="service0.action9", outcome=Outcome.DENY, purpose_id="support"
        ),
        "a busy policy and two busy ones": page(
            policy="agent.yaml", capability="service0.action0", outcome=Outcome.DENY
        ),
    }


def timed(ask: Callable[[], object]) -> list[str]:
    ask()
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        ask()
        took.append(1000 * (time.perf_counter() - start))
    middle = statistics.median(took)
    return [f"{min(took):,.1f}", f"{middle:,.1f}", f"{max(took):,.1f}", target(middle, LIMIT_MS)]


if __name__ == "__main__":
    main()
