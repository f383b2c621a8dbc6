"""`onpurpose demo` refuses what it cannot do, in a line, before anything is written."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import run


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = sorted(tmp_path.rglob("*"))
    (tmp_path / "old.db").write_bytes(b"somebody's")
    (tmp_path / "fed.db.feed").write_bytes(b"somebody's")
    (tmp_path / "empty").mkdir()
    yield
    found = {path.name for path in tmp_path.rglob("*")} - {path.name for path in before}
    assert found == {"old.db", "fed.db.feed", "empty"}
    assert (tmp_path / "old.db").read_bytes() == b"somebody's"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--database", "old.db"], "is not overwritten"),
        (["--database", "fed.db"], "is not overwritten"),
        (["--database", "nowhere/new.db"], "there is no folder"),
        (["--database", "postgresql://localhost/x"], "keeps what it has in a file"),
        (["--cases", "empty"], "holds no recorded calls"),
        (["--cases", "nowhere"], "does not exist"),
        (["--rate", "0"], "is not in the range"),
        (["--decisions", "1"], "is not in the range"),
        (["--for", "-1"], "is not in the range"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(args: list[str], message: str) -> None:
    result = run("demo", "--port", "0", *args)
    assert result.exit_code == 2, result.output
    assert message in result.stderr


def test_a_port_that_is_taken_is_told_first() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = run("demo", "--port", taken.getsockname()[1])
    assert result.exit_code == 2
    assert "cannot be listened on" in result.stderr
    assert "--port" in result.stderr


@pytest.mark.parametrize("module", ["httpx2", "onpurpose.demo.history"])
def test_without_its_extras_it_says_what_to_install(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = run("demo", "--port", "0")
    assert result.exit_code == 2
    assert f"`{module}` is not installed" in result.stderr
    assert "pip install 'onpurpose[server,client]'" in result.stderr
