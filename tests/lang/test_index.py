"""The index of a folder of policies."""

from __future__ import annotations

import pytest

from onpurpose.core.span import Span
from onpurpose.lang.index import Entry, parse_index
from tests.lang.reading import problems, told


def test_entries_are_read_in_their_order():
    index = parse_index(
        "policies:\n"
        "  - file: production.yaml\n"
        "    agent: ops-agent\n"
        "    environment: [production, staging]\n"
        "    tenant: acme\n"
        "  - file: more/base.yaml\n",
        "index.yaml",
    )
    assert index.entries == (
        Entry(
            file="production.yaml",
            agents=("ops-agent",),
            environments=("production", "staging"),
            tenants=("acme",),
            span=Span("index.yaml", 2, 5, 21),
        ),
        Entry(file="more/base.yaml", span=Span("index.yaml", 6, 5, 20)),
    )


def entry(written: str) -> str:
    return f"policies:\n  - {written}\n"


@pytest.mark.parametrize(
    ("text", "place", "cure"),
    [
        ("", "1:1 empty", "policies:"),
        ("null\n", "1:1 empty", "policies:"),
        (b"\xff", "1:1 not-utf-8", "UTF-8"),
        ("[]\n", "1:1 wrong-type", "policies:"),
        ("{}\n", "1:1 missing-key", "policies"),
        ("policies:\n", "1:10 wrong-type", "file: base.yaml"),
        ("policies: []\n", "1:11 empty", "remove"),
        ("policies: {file: a}\n", "1:11 wrong-type", "file: base.yaml"),
        ("policies: []\npolicy: a\n", "2:1 unknown-key", "`policies`"),
        (entry("base.yaml"), "2:5 wrong-type", "file: base.yaml"),
        (entry("agent: a"), "2:5 missing-key", "add `file"),
        (entry("{file: a.yaml, agents: b}"), "2:20 unknown-key", "`agent`"),
        (entry("file: /etc/a.yaml"), "2:11 malformed-path", "base.yaml"),
        (entry("file: ../a.yaml"), "2:11 malformed-path", "base.yaml"),
        (entry("file: a/../../b.yaml"), "2:11 malformed-path", "base.yaml"),
        (entry("file: ./a.yaml"), "2:11 malformed-path", "base.yaml"),
        (entry("file: a\\b.yaml"), "2:11 malformed-path", "base.yaml"),
        (entry("file: C:a.yaml"), "2:11 malformed-path", "base.yaml"),
        (entry('file: "a\\nb.yaml"'), "2:11 malformed-path", "base.yaml"),
        (entry("file: 5"), "2:11 wrong-type", '`file: "5"`'),
        (entry("{file: a.yaml, tenant: ' t'}"), "2:28 white-space", "remove"),
        (entry("{file: a.yaml, agent: []}"), "2:27 empty", "remove"),
        (entry("file: a.yaml\n  - {file: b.yaml, tenant: t}"), "3:5 unreachable-entry", "end"),
    ],
)
def test_a_defect_is_refused_at_its_place_with_its_cure(text, place, cure):
    assert place in told(text, parse_index)
    (problem,) = [q for q in problems(text, parse_index) if place.endswith(q.code)]
    assert cure in problem.help


def test_every_entry_that_never_counts_is_told():
    text = entry("file: a.yaml\n  - file: b.yaml\n  - file: ../c.yaml")
    assert told(text, parse_index) == ["3:5 unreachable-entry", "4:5 unreachable-entry", "4:11 malformed-path"]
