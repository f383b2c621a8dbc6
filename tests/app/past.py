"""A workspace with a recorded past: calls that a real gate decided, in a real log and feed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from onpurpose.adapters.clock import Ids
from onpurpose.adapters.files import FileSource
from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql import SqliteLedger
from onpurpose.adapters.sql.feed import SqlFeed, SqliteFollow, open_feed
from onpurpose.adapters.sql.outcomes import SqlOutcomes
from onpurpose.adapters.sql.rollups import SqlRollups
from onpurpose.app.backtest import Backtested, Backtests, Member
from onpurpose.app.gate import Gate
from onpurpose.app.masking import Masking
from onpurpose.app.policies import Policies
from onpurpose.app.projection import Projector
from onpurpose.app.workspace import Workspaces
from onpurpose.core.call import Call
from onpurpose.core.intent import Intent
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass
from onpurpose.core.result import Result
from onpurpose.core.revision import Kind
from tests.app.world import EVERYTHING, World, candidate


class Sure:
    """Is surer of a call the longer its agent's name is."""

    def classify(self, call: Call) -> Intent:
        return Intent(label="look", intent_class=IntentClass.LOOKUP, confidence=min(1.0, len(call.agent_id) / 10))


class Past:
    """One world, and what its gate decided in it."""

    def __init__(self, ledger: SqliteLedger, feed: SqlFeed, follow: SqliteFollow) -> None:
        self.world = World(ledger)
        self.ledger, self.feed, self.follow = ledger, feed, follow
        self.workspaces = Workspaces(self.world.documents)
        self.projector = Projector(follow, feed)
        self.rollups = SqlRollups(feed.engine)
        self.outcomes = SqlOutcomes(feed.engine)
        ids = Ids()
        self.gate = Gate(
            Policies(FileSource), ledger, clock=self.world.clock, new_id=ids.new, masking=Masking(), classifier=Sure()
        )
        self.seconds = count(1)

    def decide(self, call: Call, policy: str | None = None, *, workspace: str = "default") -> Result:
        """Decide a call, a second after the one before, and take it into the feed."""
        self.world.clock.at += 1_000_000
        self.workspaces.refresh()
        result = self.gate.begin_in(self.workspaces[workspace], call, policy, key="k").finish(30)
        while self.projector.step():
            pass
        return result

    def backtest(self, *members: Member, limit: int = 1000, **parts: Any) -> Backtested:
        """The set on all that was recorded."""
        backtests = Backtests(self.world.control.shelf, self.feed, self.follow, **({"rest": lambda: None} | parts))
        return backtests.run("default", members, since=0, until=self.world.clock.at + 1, limit=limit)

    def would(self, calls: Iterable[Call], members: Iterable[Member]) -> list[Outcome]:
        """What the calls come to once the set is promoted: a second gate, in a world where it is."""
        other = World()
        for standing in self.world.control.shelf.contents("default").standings:
            if standing.live is not None:
                text = self.world.control.shelf.revision("default", standing.kind, standing.name, standing.live).text
                _live(other, standing.kind, standing.name, text)
        for member in members:
            text = (
                member.text
                or self.world.control.shelf.revision("default", member.kind, member.name, member.revision or 0).text
            )
            _live(other, member.kind, member.name, text)
        workspaces = Workspaces(other.documents)
        workspaces.refresh()
        gate = Gate(Policies(FileSource), None, clock=self.world.clock, new_id=str, masking=Masking())
        return [gate.begin_in(workspaces["default"], call).finish().outcome for call in calls]


def _live(world: World, kind: Kind, name: str, text: str) -> None:
    standing = world.save(kind, name, text)
    if standing.shadow is not None:
        world.watch(kind, name, standing.shadow)
        world.control.promotions.promote("default", [candidate(kind, name)], reason="-", by="ann", overrides=EVERYTHING)


@contextlib.contextmanager
def recorded(folder: Path) -> Iterator[Past]:
    path = folder / "log.db"
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(SqliteLedger(path, signer=KeyFile(f"{path}.key", f"{path}.pub")))
        feed = stack.enter_context(contextlib.closing(open_feed(f"{path}.feed")))
        follow = stack.enter_context(contextlib.closing(SqliteFollow(path)))
        yield Past(ledger, feed, follow)


def live(past: Past, kind: Kind, name: str, text: str) -> None:
    """Have the text live."""
    _live(past.world, kind, name, text)
