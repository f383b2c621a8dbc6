"""What was seen in recorded calls, and calls that show what a policy would do: told of records that are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from onpurpose.app.examples import KINDS, examples
from onpurpose.app.projection import Follow
from onpurpose.app.seen import Seen, seen, uses
from onpurpose.core.call import Call, Identity
from onpurpose.core.feed import Judged, Search
from onpurpose.core.record import Stored
from onpurpose.core.revision import Kind
from tests.app.past import Past, live, recorded

ALL = Search(workspace="default")
JUDGED = Judged(workspace="default", kind="policy", name="base", revision=2)


class Changed:
    """A log whose records have another body, or none any more."""

    def __init__(self, log: Follow, body: bytes | None) -> None:
        self._log, self._body = log, body

    def chains(self) -> Mapping[str, int]:
        return self._log.chains()

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        found = self._log.after(chain, seq, limit)
        return (
            []
            if self._body is None
            else [Stored(one.position, one.chain, one.seq, one.hash, self._body) for one in found]
        )


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    with recorded(tmp_path) as made:
        live(made, Kind.POLICY, "base", "allow:\n  - capability: '*'\n")
        made.world.save(Kind.POLICY, "base", "deny:\n  - capability: crm.*\nallow:\n  - capability: files.*\n")
        kim = Identity("kim", ("support",))
        for name in ("files.read", "crm.read", "crm.read"):
            made.decide(Call("bot", name, {}, {"environment": "night"}, None, None, kim, None, "crm", ("t.c", "t.d")))
        yield made


def test_names_are_told_the_most_frequent_first(past: Past) -> None:
    found = seen(past.feed, past.follow, ALL)
    assert found.capabilities == ("crm.read", "files.read")
    assert (found.calls, found.elements, found.user_groups) == (3, ("t.c", "t.d"), ("support",))
    assert (found.agent_ids, found.data_source_id, found.environments) == (("bot",), ("crm",), ("night",))


@pytest.mark.parametrize("body", [None, b"no JSON", b'{"elements": 7}', b'{"policy_context": 7}'])
def test_what_a_record_does_not_tell_is_left_out(past: Past, body: bytes | None) -> None:
    log = Changed(past.follow, body)
    assert seen(past.feed, log, ALL) == Seen(calls=3, agent_ids=("bot",), capabilities=("crm.read", "files.read"))
    assert [one.entries for one in examples(past.feed, log, JUDGED)] == [()] * len(KINDS)


def test_uses_are_told_by_how_many_they_are(past: Past) -> None:
    found = uses(past.feed.page(ALL).entries)
    assert [(one.capability, one.user_id, one.calls, one.ran) for one in found] == [
        ("crm.read", "kim", 2, 2),
        ("files.read", "kim", 1, 1),
    ]


def test_examples_are_those_of_the_revision_alone(past: Past) -> None:
    found = {one.kind: [entry.capability for entry in one.entries] for one in examples(past.feed, past.follow, JUDGED)}
    assert found == {
        "newly_blocked": ["crm.read"] * 2, "would_deny": ["crm.read"] * 2, "would_ask": [],
        "uncertain": ["crm.read", "crm.read", "files.read"], "matched": ["crm.read", "crm.read", "files.read"],
    }  # fmt: skip
    other = msgspec.structs.replace(JUDGED, revision=3)
    assert [one.entries for one in examples(past.feed, past.follow, other)] == [()] * len(KINDS)


@pytest.mark.parametrize(("intent", "count"), [({"confidence": 0.69}, 3), ({"confidence": 0.7}, 0), ({}, 0), (None, 0)])
def test_examples_of_uncertain_calls_are_those_that_count_as_such(
    past: Past, intent: dict[str, float] | None, count: int
) -> None:
    verdict = {"kind": JUDGED.kind, "name": JUDGED.name, "revision": JUDGED.revision, "would": "allow", "matched": True}
    log = Changed(past.follow, msgspec.json.encode({"shadow": [verdict], "intent": intent}))
    found = {one.kind: len(one.entries) for one in examples(past.feed, log, JUDGED)}
    assert found == {"newly_blocked": 0, "would_deny": 0, "would_ask": 0, "uncertain": count, "matched": 3}
