"""What a file holds is told by its content."""

from __future__ import annotations

import pytest

from onpurpose.core.revision import Kind
from onpurpose.lang.recognise import kind_of
from tests.documented import EXAMPLE
from tests.lang.test_purposes import PURPOSE


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (PURPOSE, Kind.PURPOSE),
        (EXAMPLE, Kind.PURPOSE_POLICY),
        ("# deny: all\n---\ndecision: allow\n", Kind.PURPOSE_POLICY),
        ("\ufeffid: a\n", Kind.PURPOSE),
        (b"\xef\xbb\xbfname: a\r\nid: b\r\n", Kind.PURPOSE),
        ("{ id: a, name: allow}\n", Kind.PURPOSE),
        ("--- id: a\n", Kind.PURPOSE),
        ('"purpose_id" : a\n', Kind.PURPOSE_POLICY),
        ("purpose-id: a\ndecision: allow\n", Kind.PURPOSE_POLICY),
        (b"id: \xff\n", Kind.PURPOSE),
        ("id: *\n\tname: [\n", Kind.PURPOSE),
        ("purpose_required: true\n", Kind.SETTINGS),
        ("unmatched: allow\n", Kind.SETTINGS),
        ("allow:\n  - capability: a\n    id: b\n", Kind.POLICY),
        ("risk_levels:\nid: a\n", Kind.POLICY),
        ("denny: []\n", Kind.POLICY),
        ("", Kind.POLICY),
        ("\x00", Kind.POLICY),
    ],
)
def test_the_first_known_key_tells_what_a_text_is(text, kind):
    assert kind_of(text) is kind
