from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from onpurpose.cli.output import count, visible, write_new
from onpurpose.core.record import LedgerError


def test_a_file_that_could_not_be_written_whole_is_not_left(tmp_path: Path) -> None:
    def lines() -> Iterator[bytes]:
        yield b"half"
        raise LedgerError("the rest is gone")

    with pytest.raises(LedgerError):
        write_new(str(tmp_path / "half"), lines())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("shell.execute", "shell.execute"),
        ("überweisung", "überweisung"),
        ("shell.execute ", '"shell.execute "'),
        ("a\u00a0b", '"a\\u00a0b"'),
        ("a\nb", '"a\\nb"'),
        ("a\x1b[0m", '"a\\u001b[0m"'),
        ('"quoted"', '"\\"quoted\\""'),
        ("", '""'),
        ("x" * 61, "x" * 59 + "…"),
    ],
)
def test_a_name_shows_what_misleads_the_eye(name: str, shown: str) -> None:
    assert visible(name) == shown


@pytest.mark.parametrize(("number", "told"), [(0, "0 calls"), (1, "1 call"), (1234, "1,234 calls")])
def test_numbers_have_their_noun(number: int, told: str) -> None:
    assert count(number, "call") == told
