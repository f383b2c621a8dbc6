"""A workspace as a folder: there and back loses nothing, and nothing is removed unless asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.app.drafts import SINGLE
from onpurpose.app.folder import ORDER, Action, FolderError, document_of, path_of, plan, read_files, write_files
from onpurpose.core.revision import Kind

NAMES = st.from_regex(r"\A\.{0,2}[a-z0-9_-][a-z0-9_.-]{0,8}\Z")
KEYS = st.one_of(
    st.tuples(st.sampled_from([kind for kind in Kind if kind not in SINGLE]), NAMES), st.sampled_from([*SINGLE.items()])
)
TEXTS = st.dictionaries(KEYS, st.text(min_size=1).filter(str.strip), max_size=8)


@given(TEXTS)
def test_there_and_back_loses_nothing(texts: dict[tuple[Kind, str], str]) -> None:
    assert read_files(write_files(texts)) == texts


@given(TEXTS, TEXTS, st.booleans())
def test_after_a_plan_the_target_is_as_the_source(
    target: dict[tuple[Kind, str], str], source: dict[tuple[Kind, str], str], prune: bool
) -> None:
    after = dict(target)
    for move in plan(target, source, prune=prune):
        assert after.get((move.kind, move.name)) == move.before
        if move.after is None:
            del after[move.kind, move.name]
        else:
            after[move.kind, move.name] = move.after
    assert after == (source if prune else target | source)
    assert plan(after, source, prune=prune) == ()


@given(TEXTS, TEXTS)
def test_nothing_is_removed_unless_asked(
    target: dict[tuple[Kind, str], str], source: dict[tuple[Kind, str], str]
) -> None:
    assert Action.REMOVE not in [move.action for move in plan(target, source)]


@given(TEXTS)
def test_what_names_others_is_written_after_them_and_removed_before(texts: dict[tuple[Kind, str], str]) -> None:
    ranks = [ORDER.index(move.kind) for move in plan({}, texts)]
    assert ranks == sorted(ranks)
    ranks = [ORDER.index(move.kind) for move in plan(texts, {}, prune=True)]
    assert ranks == sorted(ranks, reverse=True)


@pytest.mark.parametrize(
    ("kind", "name", "path"),
    [
        (Kind.PURPOSE, "lookup", "purposes/lookup.yaml"),
        (Kind.PURPOSE_POLICY, "hours", "purpose-policies/hours.yaml"),
        (Kind.POLICY, "base.v2", "policies/base.v2.yaml"),
        (Kind.INDEX, "index", "index.yaml"),
        (Kind.SETTINGS, "settings", "settings.yaml"),
    ],
)
def test_each_document_has_its_file(kind: Kind, name: str, path: str) -> None:
    assert path_of(kind, name) == path
    assert document_of(path) == (kind, name)


@pytest.mark.parametrize(
    "path",
    ["README.md", "policies/README.md", "other/a.yaml", "policies", "base.yaml", ".git/index", "Policies/a.yaml"],
)
def test_a_file_that_is_none_of_ours_is_passed_over(path: str) -> None:
    assert read_files({path: "x"}) == {}


@pytest.mark.parametrize(
    "path",
    [
        "policies/a b.yaml", "policies/sub/a.yaml", "purposes/../a.yaml", "policies/.yaml", "policies/a.yml",
        "policies/...yaml", "policies/a\x00.yaml",
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_a_document_is_told(path: str) -> None:
    with pytest.raises(FolderError):
        read_files({path: "x"})


def test_an_empty_file_is_no_removal() -> None:
    with pytest.raises(FolderError, match="--prune"):
        read_files({"policies/a.yaml": "\n"})


def test_names_that_one_disk_cannot_tell_apart_are_told() -> None:
    with pytest.raises(FolderError, match="letter case"):
        write_files({(Kind.POLICY, "a"): "x", (Kind.POLICY, "A"): "x"})


def test_a_step_shows_what_it_changes() -> None:
    (move,) = plan({(Kind.POLICY, "a"): "allow: []\n"}, {(Kind.POLICY, "a"): "deny: []\n"})
    assert move.action is Action.CHANGE
    assert move.diff() == "--- a/policies/a.yaml\n+++ b/policies/a.yaml\n@@ -1 +1 @@\n-allow: []\n+deny: []\n"
