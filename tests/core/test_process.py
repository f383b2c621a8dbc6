"""A process that is silent for too long is said to be."""

from __future__ import annotations

import pytest

from onpurpose.core.process import SILENT_US, Process


@pytest.mark.parametrize(("after", "is_silent"), [(0, False), (SILENT_US, False), (SILENT_US + 1, True), (-5, False)])
def test_a_process_is_silent_once_nothing_was_heard_of_it_for_too_long(after: int, is_silent: bool) -> None:
    process = Process(id="p", name="host:1", started_at=1, seen_at=1_000_000)
    assert process.is_silent(1_000_000 + after) is is_silent
