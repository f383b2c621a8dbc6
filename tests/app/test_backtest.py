"""A set on the recorded past comes to what shadow would have recorded, and to what promotion would have decided."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import orjson
import pytest

from onpurpose.app.backtest import Backtests, Member, Trial
from onpurpose.app.shadow import report
from onpurpose.core.call import Call, Identity
from onpurpose.core.feed import Judged
from onpurpose.core.record import LedgerError, Record, Stored
from onpurpose.core.revision import ConflictError, Kind, MissingError
from onpurpose.core.span import PolicyError
from onpurpose.core.statistics import wilson
from tests.app.past import Past, live, recorded

POLICY, PURPOSE, OF_PURPOSE = Kind.POLICY, Kind.PURPOSE, Kind.PURPOSE_POLICY

LIVE = "allow:\n  - capability: crm.*\n  - capability: files.read\n"
ASKS = """
deny:
  - capability: crm.wipe
  - capability: crm.read
    contains: secret plan
require_approval:
  - capability: crm.read
    amount_gt: 100
allow:
  - capability: crm.*
  - capability: shell.run
"""
LOOKUP = "id: lookup\nstatus: active\nelements: [users.name]\n"
EXPORT = "id: export\nstatus: active\n"


def of_purpose(name: str, purpose: str, decision: str, match: str = "") -> str:
    return (
        f"policy_id: {name}\npurpose_id: {purpose}\ndecision: {decision}\nmatch: {{identity_required: false{match}}}\n"
    )


SUPPORT = of_purpose("support", "lookup", "allow", ", user_groups: [support]")
NIGHT = of_purpose("night", "lookup", "deny", ", environments: [night]")
ASKING = of_purpose("asking", "export", "require_approval")

CALLS = [
    Call(agent, capability, payload, {"environment": environment} if environment else None, None, None,
         Identity("ann", groups) if groups else None, purpose, None, elements)
    for agent, (capability, payload), environment, groups, (purpose, elements) in product(
        ["bot", "researcher"],
        [("crm.read", {"amount": 5}), ("crm.read", {"amount": 500}), ("crm.read", {"q": "secret plan"}),
         ("crm.wipe", {}), ("shell.run", "ls"), ("files.read", None)],
        [None, "night", "day"],
        [(), ("support",), ("sales",)],
        [(None, None), ("lookup", ("users.name",)), ("lookup", None), ("export", ()), ("nothing", ())],
    )
][::7]  # fmt: skip


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    with recorded(tmp_path) as made:
        live(made, POLICY, "base", LIVE)
        for name, text in (("lookup", LOOKUP), ("export", EXPORT)):
            made.world.save(PURPOSE, name, text)
        yield made


def member(kind: Kind, name: str, text: str | None = None, revision: int | None = None) -> Member:
    return Member(kind=kind, name=name, text=text, revision=revision)


def ids(trial: Trial, kind: str) -> set[str]:
    return set(trial.examples[kind])


def test_it_comes_to_what_shadow_recorded_of_the_same_calls(past: Past) -> None:
    shadows = [(POLICY, "base", ASKS), (OF_PURPOSE, "support", SUPPORT), (OF_PURPOSE, "asking", ASKING)]
    for kind, name, text in shadows:
        past.world.save(kind, name, text)
    for call in CALLS:
        past.decide(call)
    revisions = [past.world.standing(kind, name).shadow for kind, name, _ in shadows]
    done = past.backtest(
        *[member(kind, name, revision=n) for (kind, name, _), n in zip(shadows, revisions, strict=True)]
    )
    for (kind, name, _), revision, trial in zip(shadows, revisions, done.members, strict=True):
        judged = Judged(workspace="default", kind=str(kind), name=name, revision=revision or 0)
        seen = report(past.rollups, judged).numbers  # what was counted as the calls came
        assert trial.numbers == seen
        assert seen.qualified > 5
    assert (done.calls, done.masked, done.changed, done.stopped) == (len(CALLS), 0, 0, None)


@pytest.mark.parametrize(
    "tried",
    [
        [member(POLICY, "base", ASKS)],
        [member(POLICY, "more", ASKS)],
        [member(OF_PURPOSE, "support", SUPPORT)],
        [member(OF_PURPOSE, "support", SUPPORT), member(OF_PURPOSE, "night", NIGHT)],
        [member(OF_PURPOSE, "support", SUPPORT), member(OF_PURPOSE, "asking", ASKING), member(POLICY, "base", ASKS)],
    ],
)
def test_the_set_comes_to_what_its_promotion_would_have_decided(past: Past, tried: list[Member]) -> None:
    results = [past.decide(call) for call in CALLS]
    would = past.would(CALLS, tried)
    done = past.backtest(*tried)
    moved = [(result.decision_id, result.outcome, then) for result, then in zip(results, would, strict=True)]
    blocked = {name for name, was, then in moved if was.permits and not then.permits}
    allowed = {name for name, was, then in moved if not was.permits and then.permits}
    numbers = done.together.numbers
    assert numbers.newly_blocked == wilson(len(blocked), numbers.qualified)
    assert done.together.newly_allowed == wilson(len(allowed), numbers.qualified)
    assert ids(done.together, "newly_blocked") <= blocked
    assert len(ids(done.together, "newly_blocked")) == min(10, len(blocked))
    assert ids(done.together, "newly_allowed") <= allowed


def test_a_set_is_more_than_its_members(past: Past) -> None:
    call = Call("bot", "crm.read", {}, {"environment": "night"}, None, None, Identity("ann", ("support",)), "lookup",
                None, ("users.name",))  # fmt: skip
    decision = past.decide(call)
    done = past.backtest(member(OF_PURPOSE, "support", SUPPORT), member(OF_PURPOSE, "night", NIGHT))
    support, night = done.members
    assert support.numbers.newly_blocked.count == 0
    assert ids(night, "would_deny") == ids(done.together, "would_deny") == {decision.decision_id}


def test_what_would_stop_unmatched_is_told(past: Past) -> None:
    sales = Call("bot", "crm.read", {}, None, None, None, Identity("bob", ("sales",)), "lookup", None, ())
    decision = past.decide(sales)
    done = past.backtest(member(OF_PURPOSE, "support", SUPPORT))
    assert ids(done.members[0], "unmatched") == ids(done.together, "unmatched") == {decision.decision_id}
    assert done.members[0].numbers.unmatched.count == done.together.numbers.unmatched.count == 1


def test_what_the_record_hides_is_unknown(past: Past) -> None:
    held = past.decide(Call("bot", "crm.read", {"amount": 1, "password": "the secret plan"}))
    plain = past.decide(Call("bot", "crm.read", {"amount": 1}))
    done = past.backtest(member(POLICY, "base", ASKS))
    assert done.masked == done.members[0].masked == 1
    assert ids(done.together, "newly_blocked") == {held.decision_id}
    assert plain.decision_id not in ids(done.together, "would_deny")


def test_the_mark_of_masking_in_a_call_that_was_not_masked_is_text(past: Past) -> None:
    past.decide(Call("bot", "crm.read", {"amount": 1, "note": "[masked] is what the log writes"}))
    done = past.backtest(member(POLICY, "base", ASKS))
    assert (done.masked, done.together.numbers.newly_blocked.count) == (0, 0)


def test_a_call_is_judged_again_by_the_policy_that_it_named(past: Past) -> None:
    live(past, POLICY, "strict", "deny:\n  - capability: '*'\n")
    named = past.decide(Call("bot", "crm.wipe", {}), "base")
    assert named.allowed
    done = past.backtest(member(POLICY, "base", LIVE))
    assert (done.changed, done.together.numbers.match.count, done.together.numbers.newly_blocked.count) == (0, 1, 0)
    blocking = past.backtest(member(POLICY, "base", ASKS))
    assert ids(blocking.together, "newly_blocked") == {named.decision_id}


def test_a_call_that_could_not_be_read_is_counted_and_not_judged(past: Past) -> None:
    past.decide(Call("bot", "crm.read", 7))
    past.decide(Call("bot", "no name", {}))
    done = past.backtest(member(POLICY, "base", ASKS))
    assert (done.calls, done.unreadable, done.together.numbers.qualified) == (2, 1, 0)


def test_it_stops_at_the_limit_and_says_so(past: Past) -> None:
    for _ in range(5):
        past.decide(Call("bot", "crm.wipe", {}))
    newest = past.world.clock.at
    done = past.backtest(member(POLICY, "base", ASKS), limit=3)
    assert (done.calls, done.stopped, done.first_at) == (3, "limit", newest - 2_000_000)
    assert past.backtest(member(POLICY, "base", ASKS), limit=5).stopped is None


def test_it_stops_when_its_time_is_up_and_says_so(past: Past) -> None:
    for _ in range(70):
        past.decide(Call("bot", "crm.wipe", {}))
    times = iter(range(1000))
    done = past.backtest(member(POLICY, "base", ASKS), seconds=1, elapsed=lambda: next(times))
    assert (done.calls, done.stopped) == (64, "time")


def test_calls_of_other_purposes_are_not_looked_at_where_the_set_is_of_one(past: Past) -> None:
    for purpose in (None, "lookup", "export", "export"):
        past.decide(Call("bot", "crm.read", {}, purpose_id=purpose, elements=()))
    done = past.backtest(member(OF_PURPOSE, "asking", ASKING))
    assert (done.calls, done.together.numbers.qualified) == (2, 2)


def test_a_policy_that_moves_to_another_purpose_is_judged_on_both(past: Past) -> None:
    live(past, OF_PURPOSE, "asking", ASKING)
    left = past.decide(Call("bot", "crm.read", {}, purpose_id="export"))
    assert left.outcome.name == "REQUIRE_APPROVAL"
    done = past.backtest(member(OF_PURPOSE, "asking", of_purpose("asking", "lookup", "deny")))
    assert ids(done.together, "newly_allowed") == {left.decision_id}


def test_another_workspace_is_not_looked_at(past: Past) -> None:
    past.decide(Call("bot", "crm.wipe", {}), workspace="other")
    assert past.backtest(member(POLICY, "base", ASKS)).calls == 0


def test_it_says_where_what_is_live_has_changed_since(past: Past) -> None:
    ran = past.decide(Call("bot", "crm.wipe", {}))
    live(past, POLICY, "base", ASKS)
    done = past.backtest(member(POLICY, "base", ASKS))
    assert (done.changed, ids(done.together, "newly_blocked")) == (1, {ran.decision_id})
    assert (
        ids(past.backtest(member(OF_PURPOSE, "x", of_purpose("x", "lookup", "deny"))).together, "newly_blocked")
        == set()
    )


def test_what_would_stop_unmatched_is_told_though_something_live_stops_it_by_now(past: Past) -> None:
    ran = past.decide(Call("bot", "files.read", {}, None, None, None, Identity("bob", ()), "lookup", None, ()))
    live(past, POLICY, "base", ASKS)
    done = past.backtest(member(POLICY, "base", ASKS), member(OF_PURPOSE, "support", SUPPORT))
    assert [ids(trial, "unmatched") for trial in done.members] == [{ran.decision_id}] * 2


def test_a_call_that_ran_by_an_approval_counts_as_one_that_asks(past: Past) -> None:
    live(past, POLICY, "base", ASKS)
    past.decide(Call("bot", "crm.read", {"amount": 500}))
    (entry,) = past.feed.since("default", 0, 1)
    body = orjson.loads(past.follow.after(entry.chain, entry.seq - 1, 1)[0].body)
    granted = body | {"id": "granted", "outcome": "allow", "approval": {"id": "a1"}}
    past.ledger.append(Record("decision", orjson.dumps(granted))).result(30)
    while past.projector.step():
        pass
    done = past.backtest(member(POLICY, "base", ASKS))
    assert (done.calls, done.changed, done.together.numbers.would_ask.count) == (2, 0, 2)
    assert done.together.numbers.newly_blocked.count == 0
    allowing = past.backtest(member(POLICY, "base", LIVE))
    assert allowing.together.newly_allowed.count == 2


def test_records_that_are_gone_are_counted(past: Past) -> None:
    class Emptied:
        """The log after its days were let go."""

        def chains(self) -> dict[str, int]:
            return {}

        def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
            return []

    past.decide(Call("bot", "crm.wipe", {}))
    backtests = Backtests(past.world.control.shelf, past.feed, Emptied())
    done = backtests.run("default", [member(POLICY, "base", ASKS)], since=0, until=2**60, limit=10)
    assert (done.calls, done.gone) == (1, 1)


def test_a_record_that_somebody_changed_is_unknown_or_unreadable(past: Past) -> None:
    past.decide(Call("bot", "crm.wipe", {}))
    (entry,) = past.feed.since("default", 0, 1)
    body = orjson.loads(past.follow.after(entry.chain, entry.seq - 1, 1)[0].body)
    for changed in (b"{", orjson.dumps(body | {"agent_id": 7}), orjson.dumps(body | {"agent_id": ""})):
        past.ledger.append(Record("decision", changed)).result(30)
    past.ledger.append(Record("decision", orjson.dumps(body | {"payload": {"q": 1}}))).result(30)
    while past.projector.step():
        pass
    done = past.backtest(member(POLICY, "base", ASKS))
    assert (done.calls, done.unreadable, done.masked) == (3, 1, 1)


@pytest.mark.parametrize(
    ("tried", "error"),
    [
        ([member(POLICY, "base", ASKS), member(POLICY, "base", LIVE)], ConflictError),
        ([member(PURPOSE, "lookup", LOOKUP)], ConflictError),
        ([member(POLICY, "base", revision=9)], MissingError),
        ([member(POLICY, "base", "alow: []\n")], PolicyError),
        ([member(OF_PURPOSE, "other", SUPPORT)], PolicyError),
        ([member(OF_PURPOSE, "support", f"{SUPPORT}---\n{NIGHT}")], PolicyError),
    ],
)
def test_a_set_that_cannot_be_is_refused(past: Past, tried: list[Member], error: type[Exception]) -> None:
    with pytest.raises(error):
        past.backtest(*tried)


def test_a_revision_that_says_it_was_removed_cannot_be_tried(past: Past) -> None:
    past.world.save(OF_PURPOSE, "support", SUPPORT)
    past.world.control.library.remove("default", OF_PURPOSE, "support", author="ann", reason="", may_promote=True)
    with pytest.raises(ConflictError, match="removed"):
        past.backtest(member(OF_PURPOSE, "support", revision=2))
    assert past.backtest(member(OF_PURPOSE, "support", revision=1)).calls == 0


def test_only_one_runs_at_a_time_and_one_that_failed_makes_room(past: Past) -> None:
    past.decide(Call("bot", "crm.wipe", {}))
    tried = [member(POLICY, "base", ASKS)]
    refused: list[Exception] = []

    class Nosy:
        """A log of which reading asks for a backtest."""

        def chains(self) -> dict[str, int]:
            return {}

        def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
            with pytest.raises(ConflictError, match="running already") as busy:
                backtests.run("default", tried, since=0, until=2**60, limit=10)
            refused.append(busy.value)
            raise LedgerError("gone")

    backtests = Backtests(past.world.control.shelf, past.feed, Nosy())
    for _ in range(2):
        with pytest.raises(LedgerError):
            backtests.run("default", tried, since=0, until=2**60, limit=10)
    assert len(refused) == 2
