"""The dashboard over millions of decisions: how long does each page take the service, and until it is seen?

    python benchmarks/dashboard.py [--rows 10000000] [--seconds 170] [--json]

The service runs in a process of its own, on SQLite. Filling takes about so many seconds at most: with fewer rows,
if it must. Without a Chromium there is no second table.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx2
from sqlalchemy import delete

from common import HERE, Table, percentile, report, target
from feed import POLICY, ROWS, SECONDS, STEP, fill
from onpurpose.adapters.sql.engine import open_store
from onpurpose.adapters.sql.feed import open_feed
from onpurpose.adapters.sql.feed_tables import IMMEDIATE, positions
from onpurpose.adapters.sql.sign_ins import SqlSessions
from onpurpose.core.session import ABSOLUTE_SECONDS, Session

sys.path.insert(0, str(HERE.parent))

from tests.browser.chromium import Browsing, Chromium, find_program
from tests.service.process import Process, ask, put_in_force, running

ASKED = 200
ROUNDS = 100
PAINTS = 7
LIMIT_MS = 200.0
LIMIT_BYTES = 300_000
TOKEN = "t" * 43
YAML = {"Content-Type": "application/yaml"}
PURPOSE = "id: support\nname: Support\nstatus: active\nelements: [crm.contacts.*]\n"
WATCHED = "policy_id: next\npurpose_id: support\ndecision: allow\nshadow_mode: true\ntoken_ttl_minutes: {minutes}\n"
PAGES = {
    "overview": "/",
    "overview, 30 days": "/?over=30d",
    "decisions": "/decisions",
    "decisions that were denied": "/decisions?outcome=deny",
    "one decision": "/decisions/{decision}",
    "policies": "/policies",
    "a policy": f"/policies/purpose_policy/{POLICY.name}",
    "its history": f"/policies/purpose_policy/{POLICY.name}/history",
    "new policy": "/policies/new",
    "purposes": "/purposes",
    "a purpose": "/purposes/support",
    "approvals": "/approvals",
    "audit": "/audit",
    "users": "/settings/users",
}


class Filled(NamedTuple):
    """A service over so many decisions, where somebody is signed in: `pages` are paths by name."""

    url: str
    held: int
    pages: dict[str, str]
    cookies: dict[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    report(lambda: tables(chosen.rows, chosen.seconds))


def tables(rows: int, seconds: float) -> list[Table]:
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=HERE) as folder, filled(Path(folder), rows, seconds) as at:
        return [served(at), *seen(at)]


@contextmanager
def filled(folder: Path, rows: int, seconds: float) -> Iterator[Filled]:
    """The service, with a feed that was filled before it starts, and a few calls that it decides itself."""
    database = folder / "onpurpose.db"
    held = fill_feed(Path(f"{database}.feed"), rows, seconds)
    with running(str(database), folder) as process:
        decision = furnish(process)
        sign_in(database)
        paths = {name: path.format(decision=decision) for name, path in PAGES.items()}
        yield Filled(process.url, held, paths, {"onpurpose": TOKEN})


def fill_feed(path: Path, rows: int, seconds: float) -> int:
    """So many decisions up to now, of which the log knows nothing; how many there was time for."""
    with closing(open_feed(path)) as feed:
        held, _ = fill(feed, rows, seconds, time.time_ns() // 1000 - (rows + 1) * STEP)
        with feed.engine.connect().execution_options(**{IMMEDIATE: True}) as connection, connection.begin():
            connection.execute(delete(positions))  # else the service would take the feed for that of another log
    return held


def furnish(process: Process) -> str:
    """The workspace with its policies and a user, and calls whose records are in the log; one decision's id."""
    with process.client() as operator:
        made = operator.post("/v1/workspaces", json={"id": POLICY.workspace}).raise_for_status().json()
    process.key = made["secret"]
    with process.client() as admin:
        put_in_force(admin, "allow:\n  - capability: '*'\n", "base")
        admin.put("/v1/purposes/support", content=PURPOSE, headers=YAML).raise_for_status()
        for minutes in range(1, POLICY.revision + 1):
            text = WATCHED.format(minutes=minutes)
            admin.put(f"/v1/purpose-policies/{POLICY.name}", content=text, headers=YAML).raise_for_status()
        person = {"id": "ada", "name": "Ada", "email": "ada@example.com", "roles": ["admin"]}
        admin.post("/v1/users", json=person).raise_for_status()
        decided = [ask(admin, purpose_id="support", elements=["crm.contacts.email"]) for _ in range(ASKED)]
        decision = str(decided[-1]["decision_id"])
        while admin.get(f"/v1/decisions/{decision}").status_code == 404:
            time.sleep(0.05)
    return decision


def sign_in(database: Path) -> None:
    """Have the user be signed in."""
    now = time.time_ns() // 1000
    session = Session(
        hash=hashlib.sha256(TOKEN.encode()).digest(), workspace=POLICY.workspace, user="ada", created_at=now,
        seen_at=now, expires_at=now + ABSOLUTE_SECONDS * 1_000_000,
    )  # fmt: skip
    with closing(open_store(str(database))) as store:
        SqlSessions(store).open(session, instead_of=None, notes=[])


# -- what the service takes


def served(at: Filled) -> Table:
    with httpx2.Client(base_url=at.url, cookies=at.cookies, timeout=60, trust_env=False) as client:
        taken = {name: timed(client, path) for name, path in at.pages.items()}
    rows = [
        [name, f"{statistics.median(took):,.1f}", f"{percentile(took, 0.99):,.1f}", f"{size / 1000:,.1f}"]
        for name, (took, size) in taken.items()
    ]
    notes = [
        f"{ROUNDS} requests one after another on one connection, after one that is not counted; whole answers, HTML",
        "two workspaces; of the one that is shown there are nine in ten; the last fifteen days or fewer",
    ]
    return Table(f"Pages over {at.held:,} decisions: the service", ["", "median ms", "p99 ms", "kB"], rows, notes)


def timed(client: httpx2.Client, path: str) -> tuple[list[float], int]:
    """Milliseconds of each request, sorted, and how large the page is."""
    size = len(client.get(path).raise_for_status().content)
    took = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        client.get(path).raise_for_status()
        took.append(1000 * (time.perf_counter() - start))
    return sorted(took), size


# -- what is seen


def seen(at: Filled) -> list[Table]:
    program = find_program()
    if program is None:
        return []
    with ExitStack() as stack:
        browsing = stack.enter_context(stack.enter_context(closing(Chromium(program))).browsing())
        shown = {name: painted(browsing, at, path) for name, path in at.pages.items()}
    rows = [
        [name, f"{statistics.median(cold):,.0f}", f"{statistics.median(warm):,.0f}", f"{weight / 1000:,.1f}",
         target(statistics.median(cold), LIMIT_MS), target(weight, LIMIT_BYTES)]
        for name, (cold, warm, weight) in shown.items()
    ]  # fmt: skip
    notes = [
        f"target: {LIMIT_MS:g} ms until the first contentful paint, {LIMIT_BYTES / 1000:g} kB with all that is loaded",
        f"medians of {PAINTS} windows: in the first page that they open, and in the same page once more",
    ]
    columns = ["", "first paint, ms", "again, ms", "kB unpacked", "paint", "weight"]
    return [Table(f"Pages over {at.held:,} decisions: Chromium", columns, rows, notes)]


def painted(browsing: Browsing, at: Filled, path: str) -> tuple[list[float], list[float], int]:
    """Milliseconds until something is seen, without anything kept and again; and all that the page loads."""
    cold, warm, weight = [], [], 0
    for _ in range(PAINTS):
        window = browsing.open(at.url + path, cookies=at.cookies)
        cold.append(window.first_paint())
        weight = window.weight()
        window.page.reload()
        warm.append(window.first_paint())
        window.page.close()
    return cold, warm, weight


if __name__ == "__main__":
    main()
