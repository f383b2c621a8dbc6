"""The settings of a workspace."""

from __future__ import annotations

import pytest

from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import Settings
from onpurpose.lang.settings import parse_settings
from tests.lang.reading import problems, told


def test_what_is_not_stated_is_as_strict_as_it_can_be_without_purposes():
    assert parse_settings("purpose_required: true\n") == Settings(purpose_required=True, unmatched=Outcome.DENY)
    assert parse_settings("unmatched: allow\n") == Settings(purpose_required=False, unmatched=Outcome.ALLOW)
    assert Settings() == Settings(purpose_required=False, unmatched=Outcome.DENY)


def test_what_is_stated_holds():
    settings = parse_settings("purpose_required: false\nunmatched: deny\n")
    assert settings == Settings(purpose_required=False, unmatched=Outcome.DENY)


@pytest.mark.parametrize(
    ("text", "place", "cure"),
    [
        ("", "1:1 empty", "`purpose_required: true`"),
        ("null\n", "1:1 empty", "`unmatched: allow`"),
        ("\n{}\n", "2:1 empty", "`unmatched: allow`"),
        (b"\xff", "1:1 not-utf-8", "UTF-8"),
        ("[]\n", "1:1 wrong-type", "`purpose_required: true`"),
        ("require_purpose: true\n", "1:1 unknown-key", "`purpose_required`"),
        ("purpose_required: yes\n", "1:19 ambiguous-scalar", "`true`"),
        ("purpose_required: 1\n", "1:19 wrong-type", "purpose_required: true"),
        ("unmatched: warn\n", "1:12 unknown-word", "`allow`, `deny`"),
        ("unmatched: allow\n---\nunmatched: deny\n", "2:1 several-documents", "one document"),
    ],
)
def test_a_defect_is_refused_at_its_place_with_its_cure(text, place, cure):
    assert told(text, parse_settings) == [place]
    (problem,) = problems(text, parse_settings)
    assert cure in problem.help
