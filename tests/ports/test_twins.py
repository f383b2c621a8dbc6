"""The store in dictionaries is the twin of the one in a database: whatever is asked, both answer alike."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.access import Workspace
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import Change, Kind, Revision
from tests.ports.stores import Parts, in_database, in_memory

NUMBERS = st.one_of(st.none(), st.integers(0, 4))
CHANGES = st.builds(
    Change,
    kind=st.sampled_from([Kind.PURPOSE, Kind.POLICY]),
    name=st.sampled_from(["a", "b"]),
    expected=st.integers(0, 4),
    text=st.one_of(st.none(), st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=5)),
    live=NUMBERS,
    shadow=NUMBERS,
    former=st.one_of(st.none(), st.tuples(NUMBERS, NUMBERS)),
    promoted_at=st.one_of(st.none(), st.integers(0, 2**62)),
)
LIKELY = st.lists(
    st.builds(Change, kind=st.just(Kind.POLICY), name=st.just("a"), expected=st.integers(0, 3), text=st.just("x")),
    max_size=4,
)
NAMES = itertools.count()


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Parts, Parts]]:
    database = str(tmp_path_factory.mktemp("twins") / "onpurpose.db")
    with contextlib.ExitStack() as stack:
        yield stack.enter_context(in_memory()), stack.enter_context(in_database(database))


def answer(parts: Parts, workspace: str, changes: list[Change]) -> object:
    """What a change comes to: the version, or which error with which words."""
    try:
        return parts.documents.change(workspace, changes, author="ann", at=1, reason="", notes=[b"note"])
    except OnPurposeError as error:
        return type(error), str(error)


def told(parts: Parts, workspace: str) -> tuple[object, list[list[Revision]], list[bytes]]:
    kinds = itertools.product([Kind.PURPOSE, Kind.POLICY], ["a", "b"])
    revisions = [parts.documents.revisions(workspace, kind, name, None, 100) for kind, name in kinds]
    notes = parts.documents.unsent(100)
    parts.documents.sent([number for number, _ in notes])
    return parts.documents.contents(workspace), revisions, [body for _, body in notes]


@given(steps=st.lists(st.one_of(LIKELY, st.lists(CHANGES, max_size=3)), max_size=6))
def test_both_answer_alike(twins: tuple[Parts, Parts], steps: list[list[Change]]) -> None:
    workspace = f"w{next(NAMES)}"
    for parts in twins:
        parts.access.put(Workspace(id=workspace, name="", created_at=1), notes=[])
    for changes in steps:
        memory, database = (answer(parts, workspace, changes) for parts in twins)
        assert memory == database
    memory, database = (told(parts, workspace) for parts in twins)
    assert memory == database
