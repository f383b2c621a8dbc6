"""Documents: nothing is overwritten, what is new is judged in shadow first, and the log is told before the answer."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from onpurpose.app.documents import NotPermittedError
from onpurpose.app.drafts import from_fields
from onpurpose.app.outbox import UntoldError, drain
from onpurpose.app.shelf import MAX_DIFF, Shelf, differences
from onpurpose.core.purpose import Purpose
from onpurpose.core.record import LedgerError, Receipt, Record
from onpurpose.core.revision import ConflictError, Kind, MissingError
from onpurpose.core.span import PolicyError
from onpurpose.lang.purposes import parse_purposes
from tests.app.logs import Answering, Scripted, failing, never, written
from tests.app.world import EVERYTHING, POLICY, PURPOSE, START, World, candidate, purpose_policy

P, PP, CP = Kind.PURPOSE, Kind.PURPOSE_POLICY, Kind.POLICY
HOURS = purpose_policy("hours")


@pytest.fixture
def world() -> World:
    return World()


def codes(error: pytest.ExceptionInfo[PolicyError]) -> list[str]:
    return [problem.code for problem in error.value.problems]


# -- what a save does


def test_a_purpose_counts_at_once(world: World) -> None:
    standing = world.save(P, "lookup", PURPOSE, promote=False)
    assert (standing.live, standing.shadow, standing.newest) == (1, None, 1)


@pytest.mark.parametrize(("kind", "name", "text"), [(PP, "hours", HOURS), (CP, "base", POLICY)])
def test_a_policy_goes_into_shadow_and_what_is_live_stays(world: World, kind: Kind, name: str, text: str) -> None:
    assert world.save(kind, name, text, promote=False).shadow == 1
    world.control.promotions.promote("default", [candidate(kind, name)], reason="r", by="bob", overrides=EVERYTHING)
    standing = world.save(kind, name, text + "# more\n", promote=False)
    assert (standing.live, standing.shadow, standing.newest) == (1, 2, 2)


def test_a_policy_that_is_written_not_to_be_in_shadow_is_promoted_in_the_same_step(world: World) -> None:
    world.save(PP, "hours", HOURS)
    standing = world.save(PP, "hours", HOURS + "shadow_mode: false\n")
    assert (standing.live, standing.shadow, standing.former) == (2, None, (None, 2))
    assert standing.promoted_at == START
    saved, promoted = world.notes()[1:]
    assert saved["kind"] == "policy.saved"
    assert promoted["kind"] == "policy.promoted"
    assert promoted["overrides"] == {"shadow_mode": False}
    assert promoted["documents"][0]["revision"] == 2


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (PP, "hours", HOURS + "shadow_mode: false\n"),
        (Kind.SETTINGS, "settings", "unmatched: allow\n"),
        (Kind.INDEX, "index", "policies:\n  - file: base.yaml\n"),
    ],
)
def test_what_would_decide_at_once_needs_the_right_to_promote(world: World, kind: Kind, name: str, text: str) -> None:
    with pytest.raises(NotPermittedError, match="policy:promote"):
        world.save(kind, name, text, promote=False)
    assert world.notes() == []


def test_a_revision_keeps_who_wrote_it_when_and_why(world: World) -> None:
    world.save(P, "lookup", PURPOSE, author="ann", reason="asked for by sales")
    revision = world.control.shelf.revision("default", P, "lookup", 1)
    assert (revision.author, revision.at, revision.reason) == ("ann", START, "asked for by sales")
    (note,) = world.notes()
    assert note["document"] == {"kind": "purpose", "name": "lookup", "revision": 1, "digest": revision.digest}
    assert {key: note[key] for key in ("v", "kind", "at", "workspace", "by", "reason")} == {
        "v": 1, "kind": "purpose.saved", "at": START, "workspace": "default", "by": "ann",
        "reason": "asked for by sales",
    }  # fmt: skip


def test_the_same_text_again_is_no_new_revision(world: World) -> None:
    world.save(PP, "hours", HOURS)
    assert world.save(PP, "hours", HOURS).newest == 1
    assert len(world.notes()) == 1


def test_the_same_text_after_a_removal_is_a_new_revision(world: World) -> None:
    world.save(P, "lookup", PURPOSE)
    world.control.library.remove("default", P, "lookup", author="ann", reason="")
    assert world.save(P, "lookup", PURPOSE).newest == 3


@pytest.mark.parametrize(
    ("kind", "name", "text", "code"),
    [
        (P, "other", PURPOSE, "other-name"),
        (PP, "other", HOURS, "other-name"),
        (P, "hours", HOURS, "wrong-kind"),
        (PP, "lookup", PURPOSE, "wrong-kind"),
        (P, "lookup", f"{PURPOSE}---\nid: b\n", "several-documents"),
        (P, "..", PURPOSE, "malformed-name"),
        (CP, "a/b", POLICY, "malformed-name"),
        (CP, "a\n", POLICY, "malformed-name"),
        (CP, "", POLICY, "malformed-name"),
        (CP, "x" * 129, POLICY, "malformed-name"),
        (Kind.INDEX, "other", "policies:\n  - file: a.yaml\n", "malformed-name"),
        (Kind.INDEX, "index", "policies:\n  - file: a.yaml\n", "not-live"),
        (Kind.SETTINGS, "settings", "", "empty"),
        (CP, "base", "", "empty"),
    ],
)
def test_a_text_that_does_not_belong_there_is_refused(
    world: World, kind: Kind, name: str, text: str, code: str
) -> None:
    with pytest.raises(PolicyError) as error:
        world.save(kind, name, text)
    assert codes(error) == [code]
    assert world.notes() == []


def test_every_problem_of_a_text_is_told_with_its_place(world: World) -> None:
    with pytest.raises(PolicyError) as error:
        world.save(PP, "hours", "policy_id: hours\npurpose_id: 5\ndecision: maybe\nmatc: {}\n")
    assert [problem.span.line for problem in error.value.problems] == [2, 3, 4]


# -- somebody else was faster


def test_a_save_against_another_version_than_there_is_conflicts(world: World) -> None:
    world.save(P, "lookup", PURPOSE, expected_version=0)
    for expected in (0, 2):
        with pytest.raises(ConflictError, match="is at version 1"):
            world.save(P, "lookup", PURPOSE + "owner: me\n", expected_version=expected)
    assert world.save(P, "lookup", PURPOSE + "owner: me\n", expected_version=1).newest == 2


def test_a_change_of_what_never_was_conflicts(world: World) -> None:
    with pytest.raises(ConflictError, match="is not there"):
        world.save(P, "lookup", PURPOSE, expected_version=3)


def test_a_removed_document_is_made_anew_as_if_it_were_not_there(world: World) -> None:
    world.save(P, "lookup", PURPOSE)
    world.control.library.remove("default", P, "lookup", author="ann", reason="", expected_version=1)
    assert world.save(P, "lookup", PURPOSE, expected_version=0).newest == 3


def test_of_many_who_save_at_once_each_loses_or_has_its_revision(world: World) -> None:
    start = threading.Barrier(8)

    def save(number: int) -> int | None:
        start.wait()
        try:
            text = f"{PURPOSE}owner: n{number}\n"
            return world.control.library.save("default", P, "lookup", text, author="a", reason="").number
        except ConflictError:
            return None

    with ThreadPoolExecutor(8) as threads:
        numbers = [number for number in threads.map(save, range(8)) if number is not None]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert len(world.control.shelf.revisions("default", P, "lookup", None, 99)) == len(numbers)
    assert len(world.notes()) == len(numbers)


# -- back and out


def test_any_revision_is_restored_as_a_new_one(world: World) -> None:
    world.save(P, "lookup", PURPOSE)
    world.save(P, "lookup", PURPOSE + "owner: me\n")
    restored = world.control.library.restore("default", P, "lookup", 1, author="bob", reason="")
    assert (restored.number, restored.text, restored.reason) == (3, PURPOSE, "restores revision 1")
    assert world.standing(P, "lookup").live == 3


def test_a_restored_policy_is_judged_in_shadow_again(world: World) -> None:
    world.save(PP, "hours", HOURS)
    world.save(PP, "hours", HOURS + "token_ttl_minutes: 2\n")
    world.control.library.restore("default", PP, "hours", 1, author="bob", reason="")
    assert (world.standing(PP, "hours").live, world.standing(PP, "hours").shadow) == (None, 3)


def test_a_removed_document_is_gone_and_its_history_stays(world: World) -> None:
    world.save(P, "lookup", PURPOSE)
    removed = world.control.library.remove("default", P, "lookup", author="bob", reason="unused")
    assert (removed.number, removed.text, removed.reason) == (2, "", "unused")
    with pytest.raises(MissingError):
        world.standing(P, "lookup")
    assert world.control.shelf.standings("default", P) == []
    assert [one.number for one in world.control.shelf.revisions("default", P, "lookup", None, 9)] == [2, 1]
    with pytest.raises(ConflictError, match="removed"):
        world.control.library.restore("default", P, "lookup", 2, author="bob", reason="")
    assert world.control.library.restore("default", P, "lookup", 1, author="bob", reason="").number == 3
    assert world.notes("policy.removed")[0]["document"]["revision"] == 2


def test_what_is_live_is_removed_only_with_the_right_to_promote(world: World) -> None:
    world.save(PP, "hours", HOURS + "shadow_mode: false\n")
    with pytest.raises(NotPermittedError):
        world.control.library.remove("default", PP, "hours", author="ann", reason="")
    world.save(PP, "later", purpose_policy("later"))
    world.control.library.remove("default", PP, "later", author="ann", reason="")
    world.control.library.remove("default", PP, "hours", author="ann", reason="", may_promote=True)
    assert world.control.shelf.standings("default", PP) == []


def test_a_policy_that_the_index_names_stays(world: World) -> None:
    world.save(CP, "base", POLICY)
    world.control.promotions.promote("default", [candidate(CP, "base")], reason="r", by="b", overrides=EVERYTHING)
    world.save(Kind.INDEX, "index", "policies:\n  - file: base.yaml\n")
    with pytest.raises(ConflictError, match="index names"):
        world.control.library.remove("default", CP, "base", author="ann", reason="", may_promote=True)
    world.control.library.remove("default", Kind.INDEX, "index", author="ann", reason="", may_promote=True)
    world.control.library.remove("default", CP, "base", author="ann", reason="", may_promote=True)
    assert world.control.shelf.standings("default", CP) == []


# -- looking back


def test_revisions_come_newest_first_in_pages(world: World) -> None:
    for number in range(5):
        world.save(P, "lookup", f"{PURPOSE}owner: n{number}\n")
    first = world.control.shelf.revisions("default", P, "lookup", None, 3)
    rest = world.control.shelf.revisions("default", P, "lookup", first[-1].number, 3)
    assert [one.number for one in first + rest] == [5, 4, 3, 2, 1]


def test_a_diff_is_unified_and_tells_which_revisions(world: World) -> None:
    world.save(P, "lookup", PURPOSE)
    world.save(P, "lookup", PURPOSE + "owner: me\n")
    shelf = world.control.shelf
    assert shelf.diff("default", P, "lookup", 1, 2) == (
        "--- lookup@1\n+++ lookup@2\n@@ -1,2 +1,3 @@\n id: lookup\n status: active\n+owner: me\n"
    )
    assert shelf.diff("default", P, "lookup", 1, 1) == ""
    assert shelf.diff("default", P, "lookup", 0, 1).count("\n+") == 3
    with pytest.raises(MissingError):
        shelf.diff("default", P, "lookup", 1, 3)


def test_a_long_diff_is_cut_and_says_so() -> None:
    text = "".join(f"{number}\n" for number in range(MAX_DIFF + 500))
    lines = differences("", text, a_name="a", b_name="b").splitlines()
    assert len(lines) == MAX_DIFF + 1
    assert lines[-1] == "... 503 lines more"


def test_another_workspace_sees_nothing(world: World) -> None:
    world.save(P, "lookup", PURPOSE)
    shelf = world.control.shelf
    assert shelf.standings("other", P) == []
    for look in (shelf.standing, shelf.newest):
        with pytest.raises(MissingError):
            look("other", P, "lookup")
    with pytest.raises(MissingError):
        shelf.revision("other", P, "lookup", 1)
    with pytest.raises(MissingError):
        shelf.revisions("other", P, "lookup", None, 9)
    with pytest.raises(MissingError):
        shelf.contents("nowhere")


def test_the_shelf_holds_what_it_read_until_the_version_changes(world: World) -> None:
    world.save(P, "lookup", PURPOSE)
    shelf = Shelf(world.documents)
    first = shelf.contents("default")
    assert shelf.contents("default") is first
    world.save(P, "lookup", PURPOSE + "owner: me\n")
    assert shelf.standing("default", P, "lookup").newest == 2


# -- the log is told


def in_turn(answers: list[Answering]) -> Scripted:
    """A log that answers the first record by the first of these, and so on."""
    left = iter(answers)

    def answer(record: Record) -> Future[Receipt]:
        return next(left)(record)

    return Scripted(answer)


def test_a_change_that_the_log_does_not_take_stands_and_is_told_of_later() -> None:
    ledger = in_turn([failing(LedgerError("disk full")), written])
    world = World(ledger)
    with pytest.raises(UntoldError, match="disk full"):
        world.save(P, "lookup", PURPOSE)
    assert world.standing(P, "lookup").newest == 1
    assert world.delivered == 1
    assert len(world.documents.unsent(9)) == 1
    assert world.control.post.drain() == 1
    assert world.documents.unsent(9) == []
    assert [one["id"] for one in ledger.given] == [ledger.given[0]["id"]] * 2


def test_what_became_durable_is_not_told_again(world: World) -> None:
    ledger = in_turn([written, failing(LedgerError("full")), written, written])
    world.documents.count_up("default", [b'{"kind":"a","id":"1"}', b'{"kind":"b","id":"2"}', b'{"kind":"c","id":"3"}'])
    with pytest.raises(UntoldError):
        drain(world.documents, ledger)
    assert drain(world.documents, ledger) == 1
    assert ledger.kinds() == ["a", "b", "c", "b"]


def test_a_log_that_never_answers_is_waited_for_once(world: World) -> None:
    world.documents.count_up("default", [b'{"kind":"a"}', b'{"kind":"b"}'])
    with pytest.raises(UntoldError):
        drain(world.documents, Scripted(never), patience=0.01)
    assert len(world.documents.unsent(9)) == 2


def test_more_notes_than_one_round_takes_are_all_told(world: World) -> None:
    world.documents.count_up("default", [b'{"kind":"a"}'] * 1201)
    assert world.control.post.drain() == 1201
    assert len(world.notes("a")) == 1201


def test_a_change_is_taken_up_here_before_it_is_answered(world: World) -> None:
    world.save(P, "lookup", PURPOSE)
    assert world.delivered == 1


# -- a document as fields


def test_fields_of_a_purpose_are_written_as_one_would(world: World) -> None:
    text = from_fields(P, "lookup", '{"id": "lookup", "status": "active", "elements": ["crm.name"]}')
    (purpose,) = parse_purposes(text)
    assert isinstance(purpose, Purpose)
    assert purpose.elements == ("crm.name",)
    assert text.startswith("id: lookup\n")
    assert from_fields(CP, "base", '{"allow": []}') == '{"allow": []}'
