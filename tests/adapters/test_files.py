"""A policy file as a text that may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from onpurpose.adapters.files import FileSource


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_bytes(b"allow: []\n")
    return path


def test_a_source_is_called_by_its_path_as_given(file: Path) -> None:
    assert FileSource(str(file)).name == FileSource(file).name == str(file)


def test_reading_stops_one_byte_behind_the_limit(file: Path) -> None:
    assert [FileSource(file).read(limit) for limit in (3, 9, 10, 99)] == [
        b"allo", b"allow: []\n", b"allow: []\n", b"allow: []\n"
    ]  # fmt: skip


def test_the_version_differs_once_the_file_was_replaced_or_written(file: Path) -> None:
    source = FileSource(file)
    versions = [source.version()]
    assert source.version() == versions[0]
    file.write_bytes(b"allow: []\n# more\n")
    versions.append(source.version())
    other = file.with_name("other")
    other.write_bytes(b"allow: []\n# more\n")
    other.replace(file)
    versions.append(source.version())
    assert len(set(versions)) == 3


def test_where_there_is_no_text_an_os_error_says_so(tmp_path: Path) -> None:
    for source in (FileSource(tmp_path / "none"), FileSource(tmp_path)):
        with pytest.raises(OSError, match=r"No such file|Is a directory"):
            source.read(10)
    with pytest.raises(FileNotFoundError):
        FileSource(tmp_path / "none").version()


def test_a_sibling_lies_beside_or_below(tmp_path: Path) -> None:
    index = FileSource(tmp_path / "index.yaml")
    assert index.sibling("a.yaml").name == str(tmp_path / "a.yaml")
    assert index.sibling("teams/a.yaml").name == str(tmp_path / "teams" / "a.yaml")
