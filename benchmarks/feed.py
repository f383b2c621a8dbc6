"""Millions of decisions in the feed: how long take a page, a policy's numbers, a search? How fast do they come in?

    python benchmarks/feed.py [--rows 10000000] [--seconds 170] [--database postgresql+psycopg://...] [--json]

Fills until there are so many rows or so much time is over.
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
from sqlalchemy import create_engine

from common import HERE, Table, report, target
from onpurpose.adapters.sql.feed import SqlFeed, open_feed
from onpurpose.adapters.sql.rollups import SqlRollups
from onpurpose.app.projection import Projector
from onpurpose.app.shadow import Judgement, Names, Tally, Verdict
from onpurpose.app.shadow import report as numbers_of
from onpurpose.core.feed import Batch, Entry, Judged, Search
from onpurpose.core.outcome import Outcome
from onpurpose.core.record import Stored

ROWS = 10_000_000
SECONDS = 170.0
FOLLOWED = 100_000
BATCH = 2000
PART = 5000
ROUNDS = 15
LIMIT_MS = 100.0
LIMIT_RATE = 20_000.0
START = 1_790_000_000_000_000
STEP = 130_000  # ten million decisions in fifteen days
DIGEST = "e60545efb434770ba6e171e3e7851d9cc97abae51176de3a16793d8d5dcc6fad"
POLICY = Judged(workspace="acme", kind="purpose_policy", name="next", revision=2)
OUTCOMES = [Outcome.ALLOW] * 94 + [Outcome.WARN] * 3 + [Outcome.REQUIRE_APPROVAL] * 2 + [Outcome.DENY]


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
            f"target: each under {LIMIT_MS:g} ms; medians and longest of {ROUNDS}, after one that is not counted",
            f"filled with {held:,} decisions in {took:.0f} s, {held / took:,.0f}/s; {size() / held:,.0f} bytes each",
            "two workspaces, 5,000 agents, 100,000 users, 300 capabilities; 94 % of the calls are allowed",
            "a page holds 50; each question is asked of the database anew",
        ]
    name = "PostgreSQL" if database else "SQLite"
    asked = Table(f"Asking a feed of {held:,} decisions ({name})", ["", "median ms", "longest ms", ""], cells, notes)
    return [incoming(followed, name), asked]


def incoming(followed: list[float], name: str) -> Table:
    rows = [
        [what, f"{rate:,.0f}", target(rate, LIMIT_RATE, at_least=True)]
        for what, rate in zip(("no policy in shadow", "one policy in shadow"), followed, strict=True)
    ]
    notes = [
        f"target: {LIMIT_RATE:,.0f}/s",
        f"from the records' bodies to the committed feed, {FOLLOWED:,} records in batches of {BATCH:,}",
    ]
    return Table(f"Following the log into the feed ({name})", ["", "decisions/s", ""], rows, notes)


@contextmanager
def fresh(database: str) -> Iterator[tuple[SqlFeed, Callable[[], int]]]:
    """An empty feed, and how many bytes it takes."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=HERE) as folder:
        path = Path(folder) / "onpurpose.db.feed"
        with closing(SqlFeed(create_engine(database)) if database else open_feed(path)) as feed:
            feed.clear()
            yield feed, lambda: path.stat().st_size if path.exists() else 0


# -- coming in


class Log:
    """Records of one chain, ready in memory: what is timed is the feed."""

    def __init__(self, bodies: list[bytes]) -> None:
        self._stored = [Stored(seq, "c" * 32, seq, b"", body) for seq, body in enumerate(bodies, 1)]

    def chains(self) -> dict[str, int]:
        return {"c" * 32: len(self._stored)}

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        return self._stored[seq : seq + limit]


def follow(feed: SqlFeed, verdicts: int) -> float:
    """Decisions a second, from bodies to the committed feed."""
    feed.clear()
    chance = random.Random(1)
    projector = Projector(Log([body(n, chance, verdicts) for n in range(FOLLOWED)]), feed, batch=BATCH)
    start = time.perf_counter()
    while projector.step():
        pass
    return FOLLOWED / (time.perf_counter() - start)


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


def fill(feed: SqlFeed, rows: int, seconds: float) -> tuple[int, float]:
    """Decisions straight into the feed, in batches; how many, and how long it took."""
    chance = random.Random(1)
    names = Names(lambda _: ())
    start, n = time.perf_counter(), 0
    while n < rows and time.perf_counter() - start < seconds:
        many = min(PART, rows - n)
        feed.add(part(feed, range(n + 1, n + many + 1), chance, names))
        n += many
    return n, time.perf_counter() - start


def part(feed: SqlFeed, numbers: range, chance: random.Random, names: Names) -> Batch:
    entries = [entry(n, chance.random(), chance.random()) for n in numbers]
    tally = Tally(names)
    for one in entries[::50]:  # some of many calls qualify: a rollup's size depends on names and days alone
        verdict = Verdict(kind=POLICY.kind, name=POLICY.name, revision=POLICY.revision, matched=True, would="allow")
        tally.add(
            Judgement(
                workspace="acme", at=one.at, agent_id=one.agent_id, groups=("support",), capability=one.capability,
                confidence=0.9, verdicts=[verdict],
            )
        )  # fmt: skip
    return Batch(
        before=feed.position(),
        chains={"c" * 32: numbers[-1]},
        entries=entries,
        policies=[(one.workspace, name, one.n) for one in entries for name in named(one.n)],
        events=[],
        withdrawn=[],
        cells=tally.cells(),
    )


def named(n: int) -> list[str]:
    return ["agent.yaml", "rare"] if n % 200_000 == 7 else ["agent.yaml"]


def entry(n: int, one: float, two: float) -> Entry:
    """Agents and users as they are: few with many calls, many with few."""
    rare = n % 100_000 == 3
    return Entry(
        n=n, workspace="rival" if n % 10 == 0 else "acme", decision_id=f"{n:032x}", at=START + n * STEP,
        agent_id="agent-rare" if rare else f"agent-{int(5000 * one**4)}", user_id=f"user-{int(100_000 * two**3)}",
        capability=f"service{int(30 * two)}.action{int(10 * one)}", purpose_id="support" if one < 0.6 else None,
        outcome=OUTCOMES[int(100 * two)], code="rule_matched", policy="agent.yaml:2", digest=DIGEST, chain="c" * 32,
        seq=n, shadow_outcome=Outcome.DENY if n % 5000 == 9 else Outcome.ALLOW if one < 0.5 else None,
        newly_blocked=n % 5000 == 9,
    )  # fmt: skip


# -- asking


def questions(feed: SqlFeed, held: int) -> dict[str, Callable[[], object]]:
    rollups = SqlRollups(feed.engine)
    middle = START + held // 2 * STEP

    def page(before: int | None = None, **fields: object) -> Callable[[], object]:
        search = Search(workspace="acme", **fields)  # type: ignore[arg-type]  # fields of a search
        return lambda: feed.page(search, before=before)

    return {
        "the newest page": page(),
        "a page from the middle": page(held // 2),
        "one decision by its id": lambda: feed.decision("acme", f"{held // 2:032x}"),
        "what a stream has missed (500)": lambda: feed.since("acme", held - 500, 500),
        "a policy's numbers": lambda: numbers_of(rollups, POLICY),
        "a policy's numbers by agent, group, capability": lambda: rollups.totals(POLICY),
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
    }


def timed(ask: Callable[[], object]) -> list[str]:
    ask()
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        ask()
        took.append(1000 * (time.perf_counter() - start))
    middle = statistics.median(took)
    return [f"{middle:,.1f}", f"{max(took):,.1f}", target(middle, LIMIT_MS)]


if __name__ == "__main__":
    main()
