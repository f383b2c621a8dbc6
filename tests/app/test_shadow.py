"""Verdicts of policies in shadow are counted by time and by who and what, and read as numbers."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.app.shadow import MAX_GROUPS, Judgement, Names, Tally, Verdict, report
from onpurpose.core.feed import Bucket, Cell, Judged
from onpurpose.core.statistics import Counts

HOUR, DAY = 3_600_000_000, 86_400_000_000
NOON = 20_000 * DAY + 12 * HOUR
POLICY = Judged(workspace="acme", kind="purpose_policy", name="support", revision=3)


def verdict(*, matched: bool | None = True, would: str = "allow", blocked: bool = False, unmatched: bool = False,
            name: str = "support", revision: int = 3) -> Verdict:  # fmt: skip
    return Verdict(
        kind="purpose_policy",
        name=name,
        revision=revision,
        would=would,
        matched=matched,
        newly_blocked=blocked,
        unmatched=unmatched,
    )


def judgement(*verdicts: Verdict, at: int = NOON, agent: str = "bot", groups: Iterable[str] = (),
              capability: str = "crm.read", confidence: float | None = None) -> Judgement:  # fmt: skip
    return Judgement(
        workspace="acme",
        at=at,
        agent_id=agent,
        groups=tuple(groups),
        capability=capability,
        confidence=confidence,
        verdicts=verdicts or (verdict(),),
    )


def counted(judgements: Iterable[Judgement], known: Iterable[str] = (), most: int = 1000) -> list[Cell]:
    tally = Tally(Names(lambda judged: known, most=most))
    for one in judgements:
        tally.add(one)
    return tally.cells()


def total(cells: Iterable[Cell], dimension: str = "all") -> Counts:
    (found,) = (cell.counts for cell in cells if (cell.bucket, cell.dimension) == (Bucket.TOTAL, dimension))
    return found


class Kept:
    """Rollups in a dictionary."""

    def __init__(self, cells: Iterable[Cell] = ()) -> None:
        self.cells: dict[tuple[Judged, Bucket, str, int], Cell] = {}
        for cell in cells:
            key = (cell.judged, cell.bucket, cell.dimension, cell.start)
            held = self.cells.get(key)
            self.cells[key] = cell if held is None else merged(held, cell)

    def series(self, judged: Judged, bucket: Bucket, dimension: str, since: int | None = None,
               until: int | None = None) -> list[Cell]:  # fmt: skip
        keys = [key for key in sorted(self.cells) if key[:3] == (judged, bucket, dimension)]
        keys = [key for key in keys if (since is None or key[3] >= since) and (until is None or key[3] < until)]
        return [self.cells[key] for key in keys]

    def totals(self, judged: Judged) -> list[Cell]:
        return [cell for key, cell in sorted(self.cells.items()) if key[:2] == (judged, Bucket.TOTAL)]


def merged(one: Cell, other: Cell) -> Cell:
    return Cell(
        judged=one.judged,
        bucket=one.bucket,
        start=one.start,
        dimension=one.dimension,
        counts=one.counts + other.counts,
        first_at=min(one.first_at, other.first_at),
        last_at=max(one.last_at, other.last_at),
    )


# -- what is counted


@pytest.mark.parametrize(
    ("one", "confidence", "expected"),
    [
        (verdict(), None, {"qualified", "matched"}),
        (verdict(matched=False), None, {"qualified"}),
        (verdict(matched=None, would="deny"), None, {"qualified", "unknown"}),
        (verdict(would="deny"), None, {"qualified", "matched", "would_deny"}),
        (verdict(would="require_approval"), None, {"qualified", "matched", "would_ask"}),
        (verdict(would="deny", blocked=True), None, {"qualified", "matched", "would_deny", "newly_blocked"}),
        (verdict(matched=False, would="deny", blocked=True, unmatched=True), None,
         {"qualified", "newly_blocked", "unmatched"}),
        (verdict(), 0.9, {"qualified", "matched", "classified"}),
        (verdict(), 0.69, {"qualified", "matched", "classified", "uncertain"}),
        (verdict(matched=False), 0.2, {"qualified"}),
        (verdict(), float("nan"), {"qualified", "matched"}),
        (verdict(), float("inf"), {"qualified", "matched"}),
    ],
)  # fmt: skip
def test_a_verdict_counts_as_what_it_is(one: Verdict, confidence: float | None, expected: set[str]) -> None:
    found = total(counted([judgement(one, confidence=confidence)]))
    names = Counts.__struct_fields__[:-1]
    assert {name for name in names if getattr(found, name)} == expected
    assert all(getattr(found, name) in {0, 1} for name in names)
    assert sum(found.confidence) == found.classified


def test_a_call_counts_for_its_hour_its_day_and_in_total() -> None:
    cells = counted([judgement(at=NOON + 5), judgement(at=NOON + HOUR), judgement(at=NOON + DAY)])
    found = {(cell.bucket, cell.start): cell.counts.matched for cell in cells if cell.dimension == "all"}
    assert found == {
        (Bucket.TOTAL, 0): 3,
        (Bucket.DAY, NOON - 12 * HOUR): 2,
        (Bucket.DAY, NOON + 12 * HOUR): 1,
        (Bucket.HOUR, NOON): 1,
        (Bucket.HOUR, NOON + HOUR): 1,
        (Bucket.HOUR, NOON + DAY): 1,
    }
    (whole,) = (cell for cell in cells if (cell.bucket, cell.dimension) == (Bucket.TOTAL, "all"))
    assert (whole.first_at, whole.last_at) == (NOON + 5, NOON + DAY)


def test_a_call_counts_for_its_agent_its_capability_and_each_group_once() -> None:
    cells = counted([judgement(agent="bot", groups=["a", "b", "a"], capability="crm.read")])
    found = {cell.dimension: cell.counts.qualified for cell in cells if cell.bucket is Bucket.TOTAL}
    assert found == {"all": 1, "agent:bot": 1, "group:a": 1, "group:b": 1, "capability:crm.read": 1}


def test_a_call_counts_for_every_policy_that_it_qualifies_for() -> None:
    cells = counted([judgement(verdict(name="a", revision=1), verdict(name="a", revision=2), verdict(name="b"))])
    assert {(cell.judged.name, cell.judged.revision) for cell in cells} == {("a", 1), ("a", 2), ("b", 3)}


def test_names_beyond_the_limit_are_counted_together() -> None:
    cells = counted((judgement(agent=f"agent-{number}") for number in range(10)), most=4)
    found = {cell.dimension: cell.counts.qualified for cell in cells if cell.bucket is Bucket.TOTAL}
    kept = {f"agent:agent-{number}": 1 for number in range(4)}
    assert found == {"all": 10, "other:agent": 6, "capability:crm.read": 10} | kept


def test_names_that_are_kept_already_stay_apart_and_leave_less_room() -> None:
    known = ["all", "agent:old", "agent:older", "other:agent", "group:g"]
    cells = counted([judgement(agent="old"), judgement(agent="new"), judgement(agent="late")], known, most=3)
    found = {cell.dimension for cell in cells if cell.bucket is Bucket.TOTAL}
    assert found == {"all", "agent:old", "agent:new", "other:agent", "capability:crm.read"}


def test_an_agent_that_calls_itself_other_is_an_agent() -> None:
    cells = counted([judgement(agent="other"), judgement(agent="x")], most=1)
    found = {cell.dimension for cell in cells if cell.dimension.startswith(("agent", "other"))}
    assert found == {"agent:other", "other:agent"}


def test_a_caller_of_countless_groups_costs_no_more_than_the_limit() -> None:
    cells = counted([judgement(groups=[f"g{number}" for number in range(10 * MAX_GROUPS)])])
    groups = {cell.dimension for cell in cells if "group" in cell.dimension}
    assert len(groups) == MAX_GROUPS + 1
    assert "other:group" in groups


def test_what_was_admitted_is_asked_for_again_after_a_failure() -> None:
    asked = []

    def known(judged: Judged) -> list[str]:
        asked.append(judged)
        return []

    names = Names(known, most=1)
    assert "agent:a" in names.dimensions(POLICY, judgement(agent="a"))
    assert "other:agent" in names.dimensions(POLICY, judgement(agent="b"))
    names.forget()
    assert "agent:b" in names.dimensions(POLICY, judgement(agent="b"))
    assert asked == [POLICY, POLICY]


def test_long_names_with_one_beginning_are_one() -> None:
    cells = counted([judgement(agent="x" * 300), judgement(agent="x" * 301), judgement(agent="x" * 300)], most=1)
    found = {cell.dimension: cell.counts.qualified for cell in cells if cell.bucket is Bucket.TOTAL}
    assert found["agent:" + "x" * 256] == 3


judgements = st.builds(
    judgement,
    st.builds(verdict, matched=st.sampled_from([True, False, None]), would=st.sampled_from(["allow", "deny"])),
    at=st.integers(NOON, NOON + 3 * DAY),
    agent=st.sampled_from("abc"),
    groups=st.lists(st.sampled_from("xyz")),
    confidence=st.none() | st.floats(0, 1),
)


@given(st.lists(judgements, max_size=30), st.integers(0, 30))
def test_counting_in_parts_is_counting_at_once(calls: list[Judgement], cut: int) -> None:
    names = Names(lambda judged: ())
    parts = []
    for some in (calls[:cut], calls[cut:]):
        tally = Tally(names)
        for one in some:
            tally.add(one)
        parts += tally.cells()
    assert Kept(parts).cells == Kept(counted(calls)).cells


@given(st.lists(judgements, min_size=1, max_size=30))
def test_hours_add_up_to_days_and_days_to_the_total(calls: list[Judgement]) -> None:
    kept = Kept(counted(calls))
    for dimension in {cell.dimension for cell in kept.cells.values()}:
        sums = [sum((cell.counts for cell in kept.series(POLICY, bucket, dimension)), Counts()) for bucket in Bucket]
        assert sums[0] == sums[1] == sums[2]


# -- what is read


def days(count: int, per_day: int, **fields: object) -> list[Judgement]:
    return [judgement(at=NOON + day * DAY + call, **fields) for day in range(count) for call in range(per_day)]  # type: ignore[arg-type]  # fields of a judgement


def test_a_policy_watched_long_enough_is_ready() -> None:
    found = report(Kept(counted(days(4, 25))), POLICY)
    assert found.readiness.ready
    assert found.numbers.match.count == 100
    assert found.seconds == pytest.approx(3 * 86_400, abs=1)
    assert (found.first_at, found.last_at) == (NOON, NOON + 3 * DAY + 24)
    assert len(found.days) == 4


def test_a_revision_that_saw_nothing_says_so() -> None:
    found = report(Kept(counted(days(4, 25))), Judged(workspace="acme", kind="policy", name="new", revision=1))
    assert (found.numbers.qualified, found.first_at, found.last_at, found.seconds) == (0, None, None, 0)
    assert not found.readiness.ready


def test_the_numbers_of_another_revision_or_workspace_are_not_mixed_in() -> None:
    kept = Kept(counted(days(4, 25)))
    for other in (
        Judged(workspace="acme", kind="purpose_policy", name="support", revision=4),
        Judged(workspace="rival", kind="purpose_policy", name="support", revision=3),
        Judged(workspace="acme", kind="policy", name="support", revision=3),
    ):
        assert report(kept, other).numbers.qualified == 0


def test_a_window_is_of_whole_days() -> None:
    kept, midnight = Kept(counted(days(6, 10))), NOON - 12 * HOUR
    found = report(kept, POLICY, since=midnight + DAY, until=midnight + 3 * DAY)
    assert found.numbers.match.count == 20
    assert [day.start for day in found.days] == [midnight + DAY, midnight + 2 * DAY]
    assert "it was watched for 1.0 days; 3 days are needed" in found.readiness.missing


def test_one_dimension_is_read_alone() -> None:
    kept = Kept(counted([*days(1, 3, agent="a"), *days(1, 5, agent="b")]))
    assert report(kept, POLICY, dimension="agent:b").numbers.qualified == 5
    assert report(kept, POLICY, dimension="agent:c").numbers.qualified == 0


def test_drift_is_from_the_first_days_to_the_last_ones() -> None:
    sure = days(3, 40, confidence=0.95)
    between = [judgement(at=one.at + 3 * DAY, confidence=0.5) for one in sure]
    unsure = [judgement(at=one.at + 6 * DAY, confidence=0.1) for one in sure]
    found = report(Kept(counted([*sure, *between, *unsure])), POLICY).numbers
    assert (found.first_uncertain.count, found.first_uncertain.of) == (0, 120)
    assert (found.uncertain.count, found.uncertain.of) == (120, 120)
    assert found.drift is not None
    assert (found.drift.distance, found.drift.notable) == (1.0, True)


def test_the_first_days_have_not_drifted() -> None:
    found = report(Kept(counted(days(3, 40, confidence=0.4))), POLICY).numbers
    assert found.drift is None
    assert (found.uncertain.count, found.uncertain.of, found.first_uncertain.of) == (120, 120, 0)


def test_overrides_reach_the_verdict() -> None:
    kept = Kept(counted(days(1, 100)))
    assert not report(kept, POLICY).readiness.ready
    assert report(kept, POLICY, overrides={"min_days": 0}).readiness.ready
