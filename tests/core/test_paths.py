"""Paths are read as text: normal form, and every doubt of it."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.core.paths import loosened, normal, prefix_of, read_path, under


@pytest.mark.parametrize(
    ("text", "cwd", "strict"),
    [
        ("/etc/passwd", None, "/etc/passwd"),
        ("/", None, "/"),
        ("//etc///passwd/", None, "/etc/passwd"),
        ("/etc/./x/../passwd", None, "/etc/passwd"),
        ("/../../etc", None, "/etc"),
        ("file:///etc/passwd", None, "/etc/passwd"),
        ("FILE://localhost/etc", None, "/etc"),
        ("file:/etc", None, "/etc"),
        ("file:///%65tc/%2e%2e/x", None, "/x"),
        ("passwd", "/etc", "/etc/passwd"),
        ("../x", "/etc", "/x"),
        ("/x", "relative", "/x"),
        ("/etc/%70asswd", None, "/etc/%70asswd"),
    ],
)
def test_a_path_is_read_in_normal_form(text: str, cwd: object, strict: str) -> None:
    reading = read_path(text, cwd)
    assert reading is not None
    assert reading[0] == strict


@pytest.mark.parametrize(
    ("text", "cwd"),
    [
        ("", None),
        ("passwd", None),
        ("passwd", "etc"),
        ("passwd", 7),
        ("passwd", "~"),
        ("passwd", "/$X"),
        ("passwd", ""),
        ("~", None),
        ("~/x", None),
        ("$HOME/x", "/"),
        ("/a/$X", None),
        ("/a/`x`", None),
        ("/a\\b", None),
        ("/a\0b", None),
        ("/\ud800", None),
        ("file://host/etc", None),
        ("file:///a?b", None),
        ("file:///a#b", None),
        ("file:etc", None),
        ("file:///%ff", None),
        ("file:///%00", None),
        ("file:///a%5cb", None),
        ("/proc/1/root/etc", None),
        ("/proc/self/cwd", None),
        ("/proc/1/task/2/fd/3", None),
        ("/dev/fd/3", None),
        ("//dev/./fd", None),
        ("/%25252525252525252565", None),
    ],
)
def test_a_path_that_cannot_be_told_is_none(text: str, cwd: object) -> None:
    assert read_path(text, cwd) is None


@pytest.mark.parametrize(
    ("path", "prefix", "answer"),
    [
        ("/etc", "/etc", True),
        ("/etc/passwd", "/etc", True),
        ("/etcetera", "/etc", False),
        ("/etc", "/etc/passwd", False),
        ("/x", "/", True),
        ("/ETC/passwd", "/etc", None),
        ("/%65tc/passwd", "/etc", None),
        ("/%2565tc/passwd", "/etc", None),
        ("/\uff45tc/passwd", "/etc", None),
        ("/etc/%2e%2e/x", "/etc", None),
        ("/x/%2e%2e/etc", "/etc", None),
        ("/ETC/passwd", "/var", False),
    ],
)
def test_whether_a_path_lies_under_a_prefix(path: str, prefix: str, answer: bool | None) -> None:
    reading = read_path(path)
    assert reading is not None
    assert under(reading, prefix_of(prefix)) is answer


def test_escapes_wrapped_without_end_have_no_loose_form() -> None:
    assert loosened("/%" + "25" * 20 + "65") is None
    assert loosened("/%2565") == "/e"


def test_a_reading_whose_forms_disagree_is_unknown() -> None:
    assert under(("/a", ("/a", "/b")), prefix_of("/a")) is None


PARTS = st.lists(st.sampled_from(["a", "b", "..", ".", "", "c.d", "..."]), max_size=6)


@given(PARTS)
def test_the_normal_form_is_that_of_the_file_system(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    found = normal(path)
    assert found == posixpath.normpath(path).replace("//", "/")
    assert found is not None
    assert normal(found) == found


@given(PARTS, PARTS)
def test_lying_under_is_by_component(path: list[str], prefix: list[str]) -> None:
    lower, upper = normal("/" + "/".join(path)), normal("/" + "/".join(prefix))
    assert lower is not None
    assert upper is not None
    components = [part for part in lower.split("/") if part], [part for part in upper.split("/") if part]
    expected = components[0][: len(components[1])] == components[1]
    assert under((lower, (lower,)), prefix_of(upper)) is expected
