"""What it means to keep documents, and the notes that their changes owe the log: every adapter runs this suite."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence

import pytest

from onpurpose.core.access import Workspace
from onpurpose.core.revision import Change, ConflictError, Kind, MissingError, Standing
from tests.ports.stores import Parts, parts

__all__ = ["parts"]

POLICY = Kind.PURPOSE_POLICY


def change(name: str = "hours", expected: int = 0, **rest: object) -> Change:
    return Change(**{"kind": POLICY, "name": name, "expected": expected, **rest})  # type: ignore[arg-type]


def make(parts: Parts, *changes: Change, workspace: str = "acme", notes: Sequence[bytes] = ()) -> int:
    return parts.documents.change(workspace, changes, author="ann", at=7, reason="because", notes=notes)


def standing(parts: Parts, name: str = "hours", workspace: str = "acme") -> Standing:
    (found,) = [one for one in parts.documents.contents(workspace).standings if one.name == name]
    return found


def test_a_workspace_begins_empty(parts: Parts) -> None:
    contents = parts.documents.contents("acme")
    assert (contents.workspace, contents.standings, contents.texts) == ("acme", (), {})
    assert parts.documents.versions() == {"acme": contents.version, "other": parts.documents.contents("other").version}


def test_a_new_document_is_its_first_revision(parts: Parts) -> None:
    version = make(parts, change(text="decision: allow\n", shadow=1))
    contents = parts.documents.contents("acme")
    assert contents.version == version
    assert contents.standings == (Standing(kind=POLICY, name="hours", version=1, newest=1, live=None, shadow=1),)
    revision = contents.texts[POLICY, "hours", 1]
    assert revision.text == "decision: allow\n"
    assert revision.digest == hashlib.sha256(b"decision: allow\n").hexdigest()
    assert (revision.workspace, revision.author, revision.at, revision.reason) == ("acme", "ann", 7, "because")


def test_contents_hold_the_texts_in_force_and_no_others(parts: Parts) -> None:
    for expected, (live, shadow) in enumerate([(1, None), (1, 2), (3, 2), (3, 4)]):
        make(parts, change(expected=expected, text=f"{expected + 1}", live=live, shadow=shadow))
    make(parts, change(name="gone", text="x", live=1))
    make(parts, change(name="gone", expected=1, text=""))
    contents = parts.documents.contents("acme")
    assert {key: one.text for key, one in contents.texts.items()} == {
        (POLICY, "hours", 3): "3",
        (POLICY, "hours", 4): "4",
    }
    assert [(one.name, one.newest, one.live) for one in contents.standings] == [("gone", 2, None), ("hours", 4, 3)]


def test_a_standing_comes_back_as_it_was_given(parts: Parts) -> None:
    make(parts, change(text="1", live=1), change(expected=1, text="2", live=1, shadow=2))
    make(parts, change(expected=2, live=2, shadow=None, former=(1, 2), promoted_at=99))
    wanted = Standing(
        kind=POLICY, name="hours", version=3, newest=2, live=2, shadow=None, former=(1, 2), promoted_at=99
    )
    assert standing(parts) == wanted
    make(parts, change(expected=3, live=1, shadow=2, former=(None, None)))
    assert standing(parts).former == (None, None)
    make(parts, change(expected=4, live=1))
    assert standing(parts).former is None


def test_a_change_against_another_version_changes_nothing(parts: Parts) -> None:
    make(parts, change(text="1", live=1))
    before = parts.documents.contents("acme")
    for expected in (0, 2, -1):
        with pytest.raises(ConflictError, match="version 1"):
            make(parts, change(name="fresh", text="x"), change(expected=expected, text="2", live=2), notes=[b"note"])
    assert parts.documents.contents("acme") == before
    assert parts.documents.revisions("acme", POLICY, "fresh", None, 10) == []
    assert parts.documents.unsent(10) == []


def test_a_new_document_that_is_there_already_is_a_conflict(parts: Parts) -> None:
    make(parts, change(text="1"))
    with pytest.raises(ConflictError):
        make(parts, change(text="1"))


def test_a_standing_of_no_document_is_missing(parts: Parts) -> None:
    with pytest.raises(MissingError, match="`hours`"):
        make(parts, change())


@pytest.mark.parametrize("named", [{"live": 2}, {"shadow": 2}, {"live": 0}, {"former": (None, 5)}])
def test_a_standing_names_revisions_that_are_there(parts: Parts, named: dict[str, object]) -> None:
    with pytest.raises(ConflictError, match="no revision"):
        make(parts, change(text="1", **named))
    assert parts.documents.contents("acme").standings == ()


def test_two_changes_of_one_document_follow_each_other(parts: Parts) -> None:
    make(parts, change(text="1"), change(expected=1, text="2", live=2), change(expected=2, live=1))
    assert (standing(parts).version, standing(parts).newest, standing(parts).live) == (3, 2, 1)
    assert [one.text for one in parts.documents.revisions("acme", POLICY, "hours", None, 10)] == ["2", "1"]


def test_revisions_come_newest_first_in_pages(parts: Parts) -> None:
    for number in range(5):
        make(parts, change(expected=number, text=str(number + 1)))
    listed = parts.documents.revisions("acme", POLICY, "hours", None, 2)
    assert [one.number for one in listed] == [5, 4]
    assert [one.number for one in parts.documents.revisions("acme", POLICY, "hours", 4, 10)] == [3, 2, 1]
    assert parts.documents.revisions("acme", POLICY, "hours", 1, 10) == []
    assert parts.documents.revisions("acme", Kind.POLICY, "hours", None, 10) == []


def test_workspaces_do_not_see_each_other(parts: Parts) -> None:
    make(parts, change(text="acme", live=1))
    make(parts, change(text="other", live=1), workspace="other")
    make(parts, change(expected=1, text="newer", live=2), workspace="other")
    assert [one.text for one in parts.documents.contents("acme").texts.values()] == ["acme"]
    assert [one.text for one in parts.documents.revisions("acme", POLICY, "hours", None, 10)] == ["acme"]
    assert standing(parts).version == 1
    assert standing(parts, workspace="other").version == 2


def test_documents_of_one_name_and_two_kinds_are_two(parts: Parts) -> None:
    make(parts, change(text="a", live=1), change(kind=Kind.PURPOSE, text="b", live=1))
    texts = parts.documents.contents("acme").texts
    assert {key: one.text for key, one in texts.items()} == {(POLICY, "hours", 1): "a", (Kind.PURPOSE, "hours", 1): "b"}


def test_no_workspace_is_missing(parts: Parts) -> None:
    with pytest.raises(MissingError, match="nowhere"):
        parts.documents.contents("nowhere")
    with pytest.raises(MissingError, match="nowhere"):
        make(parts, change(text="x"), workspace="nowhere", notes=[b"note"])
    assert parts.documents.unsent(10) == []


def test_every_change_of_a_workspace_counts_its_version_up(parts: Parts) -> None:
    before = parts.documents.versions()
    assert make(parts, change(text="1"), change(name="second", text="1")) == before["acme"] + 1
    assert make(parts, change(expected=1, live=1)) == before["acme"] + 2
    assert parts.elsewhere.versions() == {"acme": before["acme"] + 2, "other": before["other"]}


def test_a_thousand_documents_change_at_once(parts: Parts) -> None:
    names = [f"policy-{number:04}" for number in range(1000)]
    make(parts, *(change(name=name, text=name, live=1) for name in names))
    make(parts, *(change(name=name, expected=1, text=f"{name} again", live=2) for name in names))
    contents = parts.documents.contents("acme")
    assert [one.name for one in contents.standings] == names
    assert {one.text for one in contents.texts.values()} == {f"{name} again" for name in names}


@pytest.mark.parametrize("text", ["", "é日本\U0001f512\r\n\ttab", "' OR 1=1; DROP TABLE revisions; -- %s :name ? \\"])
def test_a_text_comes_back_to_the_letter(parts: Parts, text: str) -> None:
    make(parts, change(name=text, text=text, live=1))
    assert parts.documents.contents("acme").texts[POLICY, text, 1].text == text
    assert parts.documents.revisions("acme", POLICY, text, None, 1)[0].name == text


def test_of_two_changes_at_once_one_wins_and_the_other_is_told(parts: Parts) -> None:
    make(parts, change(text="1", live=1))
    begin, told = threading.Barrier(2), []

    def promote(documents: object, shadow: int) -> None:
        begin.wait(10)
        try:
            documents.change(  # type: ignore[attr-defined]
                "acme", [change(expected=1, text=f"{shadow}", shadow=2)], author="bo", at=8, reason="", notes=[b"n"]
            )
        except ConflictError:
            told.append(shadow)

    both = [threading.Thread(target=promote, args=(at, n)) for n, at in enumerate((parts.documents, parts.elsewhere))]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(told) == 1
    assert standing(parts).version == 2
    assert len(parts.documents.unsent(10)) == 1


def test_notes_are_kept_until_they_are_sent(parts: Parts) -> None:
    make(parts, change(text="1"), notes=[b"one", b"two"])
    make(parts, change(expected=1, text="2"), notes=[b"three"])
    numbers, bodies = zip(*parts.elsewhere.unsent(10), strict=True)
    assert bodies == (b"one", b"two", b"three")
    assert [body for _, body in parts.documents.unsent(2)] == [b"one", b"two"]
    parts.documents.sent(numbers[:2])
    assert parts.elsewhere.unsent(10) == [(numbers[2], b"three")]
    parts.documents.sent(numbers)
    assert parts.documents.unsent(10) == []


def test_no_number_of_a_note_is_used_twice(parts: Parts) -> None:
    make(parts, change(text="1"), notes=[b"one"])
    [(first, _)] = parts.documents.unsent(10)
    parts.documents.sent([first])
    make(parts, change(expected=1, text="2"), notes=[b"two"])
    parts.elsewhere.sent([first])  # late, from a process that has sent it too
    assert [body for _, body in parts.documents.unsent(10)] == [b"two"]


def test_who_waits_is_woken_by_a_change_made_elsewhere(parts: Parts) -> None:
    parts.documents.wait(0)
    parts.documents.wait(0.01)
    waiting = threading.Thread(target=parts.documents.wait, args=(60,))
    waiting.start()
    parts.elsewhere.change("acme", [change(text="1")], author="bo", at=8, reason="", notes=[])
    waiting.join(20)
    assert not waiting.is_alive()


def test_who_waits_is_woken_by_a_new_key_or_workspace(parts: Parts) -> None:
    parts.documents.wait(0)
    parts.documents.wait(0.01)
    parts.access.put(Workspace(id="third", name="", created_at=1), notes=[])
    waiting = threading.Thread(target=parts.documents.wait, args=(60,))
    waiting.start()
    waiting.join(20)
    assert not waiting.is_alive()


def test_a_change_between_two_waits_ends_the_second_at_once(parts: Parts) -> None:
    parts.documents.wait(0)
    parts.documents.wait(0.01)
    parts.elsewhere.change("acme", [change(text="1")], author="bo", at=8, reason="", notes=[])
    waiting = threading.Thread(target=parts.documents.wait, args=(60,))
    waiting.start()
    waiting.join(20)
    assert not waiting.is_alive()


def test_a_wait_in_which_nothing_changes_ends(parts: Parts) -> None:
    versions = parts.documents.versions()
    for _ in range(3):
        parts.documents.wait(0.02)
    assert parts.documents.versions() == versions
