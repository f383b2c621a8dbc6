"""From shadow to live and back: on evidence, as a set, one of two at once, and all of it in the log."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from onpurpose.app.promotion import NotReadyError, Promoted, undo_until
from onpurpose.core.revision import ConflictError, Kind, MissingError, Standing
from tests.app.world import EVERYTHING, POLICY, PURPOSE, START, World, candidate, purpose_policy

PP, CP = Kind.PURPOSE_POLICY, Kind.POLICY
HOURS = purpose_policy("hours")


@pytest.fixture
def world() -> World:
    """With the purpose policy `hours` in shadow, watched enough."""
    world = World()
    world.save(PP, "hours", HOURS)
    world.watch(PP, "hours")
    return world


def promote(world: World, *names: str, kind: Kind = PP, **given: object) -> Promoted:
    told = {"reason": "it did well", "by": "bob"} | given
    return world.control.promotions.promote("default", [candidate(kind, name) for name in names], **told)  # type: ignore[arg-type]


def revert(world: World, *names: str, kind: Kind = PP) -> tuple[Standing, ...]:
    documents = [(kind, name) for name in names]
    return world.control.promotions.revert("default", documents, reason="it did not", by="eve")


# -- one policy


def test_what_is_ready_goes_live(world: World) -> None:
    done = promote(world, "hours")
    assert done.standings == (world.standing(PP, "hours"),)
    assert (done.standings[0].live, done.standings[0].shadow) == (1, None)


def test_the_log_keeps_the_evidence_and_who_and_why(world: World) -> None:
    promote(world, "hours")
    (note,) = world.notes("policy.promoted")
    assert (note["by"], note["reason"], note["at"], note["overrides"]) == ("bob", "it did well", START, {})
    (document,) = note["documents"]
    assert (document["kind"], document["name"], document["revision"], document["former"]) == (
        "purpose_policy", "hours", 1, None,
    )  # fmt: skip
    assert document["digest"] == world.control.shelf.revision("default", PP, "hours", 1).digest
    evidence = document["evidence"]
    assert evidence["window"]["seconds"] > 3 * 86_400
    assert evidence["numbers"]["match"]["count"] == 1000
    assert evidence["numbers"]["would_deny"]["high"] < 0.05
    assert evidence["ready"] is True


@pytest.mark.parametrize(
    ("counts", "missing"),
    [
        ({"qualified": 60, "matched": 49}, ["49 calls matched", "would have denied 0 of 49"]),
        ({"days": 3}, ["watched for 3.0 days"]),
        ({"would_deny": 40}, ["would have denied 40 of 1000"]),
        ({"qualified": 0, "matched": 0, "days": 0}, ["0 calls matched", "watched for 0.0 hours", "nothing matched"]),
    ],
)
def test_what_is_not_ready_is_refused_with_all_that_is_missing(counts: dict[str, int], missing: list[str]) -> None:
    world = World()
    world.save(PP, "hours", HOURS)
    world.watch(PP, "hours", **({"days": 4} | counts))
    before = world.standing(PP, "hours")
    with pytest.raises(NotReadyError) as error:
        promote(world, "hours", overrides={"min_days": 3.1} if counts.get("days") == 3 else None)
    assert len(error.value.missing) == len(missing)
    for told, wanted in zip(error.value.missing, missing, strict=True):
        assert told.startswith("hours: ")
        assert wanted in told
    assert world.standing(PP, "hours") == before
    assert world.notes("policy.promoted") == []


@pytest.mark.parametrize("left_out", EVERYTHING)
def test_each_limit_is_set_aside_by_its_name_alone(left_out: str) -> None:
    world = World()
    world.save(PP, "hours", HOURS)
    with pytest.raises(NotReadyError) as error:
        promote(world, "hours", overrides={name: limit for name, limit in EVERYTHING.items() if name != left_out})
    assert len(error.value.missing) == 1
    promote(world, "hours", overrides=EVERYTHING)
    assert world.notes("policy.promoted")[0]["overrides"] == EVERYTHING


def test_more_denied_than_the_override_says_is_refused(world: World) -> None:
    world.save(PP, "strict", purpose_policy("strict"))
    world.watch(PP, "strict", would_deny=200)
    with pytest.raises(NotReadyError):
        promote(world, "strict", overrides={"would_deny": 0.2})
    assert promote(world, "strict", overrides={"would_deny": 0.25}).standings[0].live == 1


@pytest.mark.parametrize("overrides", [{"everything": 1.0}, {"min_days": -1.0}, {"min_days": float("nan")}])
def test_what_is_no_limit_is_set_aside_by_nobody(world: World, overrides: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"overridden|must be a number"):
        promote(world, "hours", overrides=overrides)
    assert world.standing(PP, "hours").live is None


def test_what_was_seen_of_another_revision_counts_for_nothing(world: World) -> None:
    world.save(PP, "hours", HOURS + "token_ttl_minutes: 2\n")
    with pytest.raises(NotReadyError):
        promote(world, "hours")


def test_another_revision_than_the_one_looked_at_conflicts(world: World) -> None:
    world.save(PP, "hours", HOURS + "token_ttl_minutes: 2\n")
    with pytest.raises(ConflictError, match="revision 2 of `hours` is in shadow, not 1"):
        world.control.promotions.promote("default", [candidate(PP, "hours", 1)], reason="r", by="bob")


def test_what_is_not_in_shadow_is_not_promoted(world: World) -> None:
    promote(world, "hours")
    with pytest.raises(ConflictError, match="no revision of `hours` is in shadow"):
        promote(world, "hours")
    with pytest.raises(MissingError):
        promote(world, "never")
    world.save(Kind.PURPOSE, "lookup", PURPOSE)
    with pytest.raises(ConflictError, match="never in shadow"):
        promote(world, "lookup", kind=Kind.PURPOSE)


def test_a_capability_policy_is_promoted_alike(world: World) -> None:
    world.save(CP, "base", POLICY)
    world.watch(CP, "base")
    assert promote(world, "base", kind=CP).standings[0].live == 1


def test_another_workspace_promotes_nothing_of_this_one(world: World) -> None:
    with pytest.raises(MissingError):
        world.control.promotions.promote("other", [candidate(PP, "hours")], reason="r", by="bob")
    with pytest.raises(MissingError):
        world.control.promotions.revert("other", [(PP, "hours")], reason="r", by="bob")
    with pytest.raises(MissingError):
        world.control.promotions.report("other", PP, "hours")


# -- a set


def pair(world: World, first: int, second: int, *, purpose: str = "lookup", overlap: int = 1000) -> None:
    for name, denied, of in (("one", first, "lookup"), ("two", second, purpose)):
        world.save(PP, name, purpose_policy(name, purpose=of))
        world.watch(PP, name, would_deny=denied, matched=overlap)


def test_a_set_is_promoted_at_once(world: World) -> None:
    pair(world, 0, 0)
    version = world.documents.versions()["default"]
    done = promote(world, "one", "two", "hours")
    assert [one.live for one in done.standings] == [1, 1, 1]
    assert world.documents.versions()["default"] == version + 1
    assert len(world.notes("policy.promoted")) == 1


def test_a_set_with_one_that_is_not_ready_stays_as_it_was(world: World) -> None:
    world.save(PP, "later", purpose_policy("later"))
    with pytest.raises(NotReadyError) as error:
        promote(world, "hours", "later")
    assert all(told.startswith("later: ") for told in error.value.missing)
    assert world.standing(PP, "hours").live is None


def test_what_policies_of_one_purpose_deny_together_is_judged_together(world: World) -> None:
    pair(world, 30, 30)
    with pytest.raises(NotReadyError) as error:
        promote(world, "one", "two")
    (told,) = error.value.missing
    assert told == "together, the policies of `lookup` may deny up to 7.6 % of what they match"
    done = promote(world, "one", "two", overrides={"would_deny": 0.08})
    assert done.evidence["together"] == world.notes("policy.promoted")[0]["together"]
    assert world.notes("policy.promoted")[0]["together"]["lookup"]["count"] == 60


def test_policies_of_different_purposes_never_meet_in_one_call(world: World) -> None:
    pair(world, 30, 30, purpose="export")
    assert len(promote(world, "one", "two").standings) == 2


def test_a_set_names_each_once(world: World) -> None:
    with pytest.raises(ConflictError, match="twice"):
        promote(world, "hours", "hours")
    promote(world, "hours")
    with pytest.raises(ConflictError, match="twice"):
        revert(world, "hours", "hours")


# -- back


def test_undo_is_offered_for_thirty_seconds(world: World) -> None:
    done = promote(world, "hours")
    assert done.undo_until == START + 30_000_000 == undo_until(done.standings[0])
    assert undo_until(revert(world, "hours")[0]) is None


def test_a_revert_restores_what_was(world: World) -> None:
    promote(world, "hours")
    (standing,) = revert(world, "hours")
    assert (standing.live, standing.shadow, standing.former, standing.promoted_at) == (None, 1, None, None)
    (note,) = world.notes("policy.reverted")
    assert (note["by"], note["reason"]) == ("eve", "it did not")
    assert note["documents"] == [
        {"kind": "purpose_policy", "name": "hours", "revision": 1, "restored": None, "promoted_at": START}
    ]


def test_a_revert_long_after_restores_as_well(world: World) -> None:
    promote(world, "hours")
    world.save(PP, "hours", HOURS + "token_ttl_minutes: 2\n")
    world.watch(PP, "hours", 2)
    promote(world, "hours")
    world.clock.at += 90 * 86_400_000_000
    (standing,) = revert(world, "hours")
    assert (standing.live, standing.shadow) == (1, 2)


def test_a_revision_written_since_stays_in_shadow(world: World) -> None:
    promote(world, "hours")
    world.save(PP, "hours", HOURS + "token_ttl_minutes: 2\n")
    (standing,) = revert(world, "hours")
    assert (standing.live, standing.shadow) == (None, 2)


def test_a_promotion_by_the_text_is_reverted_alike(world: World) -> None:
    world.save(PP, "hours", HOURS + "shadow_mode: false\n")
    (standing,) = revert(world, "hours")
    assert (standing.live, standing.shadow) == (None, 2)


def test_without_a_promotion_there_is_nothing_to_revert(world: World) -> None:
    with pytest.raises(ConflictError, match="no promotion"):
        revert(world, "hours")
    promote(world, "hours")
    revert(world, "hours")
    with pytest.raises(ConflictError, match="no promotion"):
        revert(world, "hours")


def test_a_removal_leaves_nothing_to_revert(world: World) -> None:
    promote(world, "hours")
    world.control.library.remove("default", PP, "hours", author="ann", reason="", may_promote=True)
    with pytest.raises(MissingError):
        revert(world, "hours")


def test_a_set_is_reverted_at_once_or_not_at_all(world: World) -> None:
    pair(world, 0, 0)
    promote(world, "one", "two")
    with pytest.raises(ConflictError):
        revert(world, "one", "two", "hours")
    assert world.standing(PP, "one").live == 1
    assert [one.live for one in revert(world, "one", "two")] == [None, None]


# -- two at once


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told() -> None:
    for _ in range(20):
        world = World()
        world.save(PP, "hours", HOURS)
        world.watch(PP, "hours")
        start = threading.Barrier(2)

        def once(by: str, world: World = world, start: threading.Barrier = start) -> str:
            start.wait()
            try:
                promote(world, "hours", by=by)
            except ConflictError:
                return "told"
            return by

        with ThreadPoolExecutor(2) as threads:
            done = sorted(threads.map(once, ["ann", "bob"]))
        (note,) = world.notes("policy.promoted")
        assert done == sorted([note["by"], "told"])


# -- numbers


def test_the_report_is_of_the_revision_in_shadow_unless_one_is_named(world: World) -> None:
    seen = world.control.promotions.report("default", PP, "hours")
    assert (seen.judged.revision, seen.numbers.match.count) == (1, 1000)
    world.save(PP, "hours", HOURS + "token_ttl_minutes: 2\n")
    assert world.control.promotions.report("default", PP, "hours").numbers.qualified == 0
    assert world.control.promotions.report("default", PP, "hours", revision=1).numbers.qualified == 1000
    with pytest.raises(MissingError):
        world.control.promotions.report("default", PP, "hours", revision=3)
    assert [cell.counts.matched for cell in world.control.promotions.totals("default", PP, "hours", 1)] == [1000]
