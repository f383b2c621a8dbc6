"""What a removal would come to is what a gate without the document decides of the same calls."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from onpurpose.app import removal
from onpurpose.app.removal import Moved, Without, without
from onpurpose.core.call import Call, Identity
from onpurpose.core.record import Record
from onpurpose.core.revision import Kind, MissingError
from tests.app.past import Past, live, recorded

POLICY, PURPOSE, OF_PURPOSE = Kind.POLICY, Kind.PURPOSE, Kind.PURPOSE_POLICY
BASE = "allow:\n  - capability: '*'\n"
GUARD = "deny:\n  - capability: crm.wipe\nrequire_approval:\n  - capability: crm.export\n" + BASE
LOOKUP = "id: lookup\nstatus: active\n"
SUPPORT = "policy_id: support\npurpose_id: lookup\ndecision: require_approval\nmatch: {identity_required: false}\n"


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    with recorded(tmp_path) as made:
        live(made, POLICY, "base", BASE)
        made.world.save(PURPOSE, "lookup", LOOKUP)
        live(made, OF_PURPOSE, "support", SUPPORT)
        yield made


def call(past: Past, capability: str, purpose: str | None = None) -> str:
    """The id of the decision of a call."""
    elements: Any = () if purpose else None
    made = Call("bot", capability, {}, None, None, None, Identity("ann", ()), purpose, None, elements)
    return past.decide(made).decision_id


def lost(past: Past, kind: Kind, name: str, **parts: Any) -> Without:
    return without(past.world.control.shelf, past.feed, past.follow, "default", kind, name,
                   since=0, until=2**60, **parts)  # fmt: skip


def test_calls_that_only_it_allows_would_be_denied(past: Past) -> None:
    first, second = call(past, "files.read"), call(past, "crm.read")
    found = lost(past, POLICY, "base")
    assert (found.calls, found.whole, found.blocked.count, found.blocked.examples) == (2, True, 2, (second, first))
    assert found.loosened.count == 0
    assert found.first_at is not None


def test_calls_that_it_keeps_from_running_would_run(past: Past) -> None:
    live(past, POLICY, "guard", GUARD)
    ids = [call(past, "crm.wipe"), call(past, "crm.export"), call(past, "crm.read")]
    found = lost(past, POLICY, "guard")
    assert found.loosened.count == 2
    assert set(found.loosened.examples) == set(ids[:2])
    assert found.blocked.count == 0
    assert lost(past, POLICY, "base") == replace(found, loosened=Moved())  # the guard allows all that it allows


def test_without_a_purpose_who_declares_it_is_blocked(past: Past) -> None:
    live(past, OF_PURPOSE, "support", SUPPORT.replace("require_approval", "allow"))
    declared = call(past, "crm.read", "lookup")
    call(past, "crm.read")
    found = lost(past, PURPOSE, "lookup")
    assert (found.calls, found.blocked.examples) == (1, (declared,))


def test_only_calls_of_its_purpose_are_looked_at_for_a_purpose_policy(past: Past) -> None:
    call(past, "crm.read", "lookup")
    call(past, "crm.read")
    found = lost(past, OF_PURPOSE, "support")
    assert found.calls == 1
    assert (found.loosened.count, found.blocked.count) == (1, 0)


def test_what_decides_nothing_moves_nothing(past: Past) -> None:
    past.world.save(POLICY, "new", "deny:\n  - capability: '*'\n")
    call(past, "crm.read")
    assert lost(past, POLICY, "new") == Without()
    with pytest.raises(MissingError):
        lost(past, POLICY, "nowhere")


def test_what_cannot_be_read_is_passed_over_and_examples_are_few(past: Past) -> None:
    for _ in range(removal.MOST_EXAMPLES + 2):
        call(past, "files.read")
    past.ledger.append(Record("decision", b"{")).result(30)
    while past.projector.step():
        pass
    found = lost(past, POLICY, "base")
    assert (found.blocked.count, len(found.blocked.examples)) == (removal.MOST_EXAMPLES + 2, removal.MOST_EXAMPLES)


def test_it_ends_in_time_and_says_that_there_is_more(past: Past) -> None:
    for _ in range(70):
        call(past, "crm.read")
    found = lost(past, POLICY, "base", elapsed=partial(next, count(0.0, 2 * removal.SECONDS)))
    assert (found.calls, found.whole) == (64, False)
