"""Which paths are read, and what they lie under: a row for each clause of the contract."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from onpurpose.core.policy import PATH_KEYS
from tests.core.asking import COMBINING, FALSE, TRUE, UNKNOWN, Elsewhere, Sealed, Word, answer, table


@pytest.mark.parametrize(
    ("value", "expected"),
    table(
        ("the prefix itself", "/etc", TRUE),
        ("under it", "/etc/passwd", TRUE),
        ("only beginning alike", "/etcetera", FALSE),
        ("elsewhere", "/srv/etc", FALSE),
        ("above it", "/", FALSE),
        ("a last slash", "/etc/", TRUE),
        ("double slashes", "//etc///passwd", TRUE),
        ("a dot", "/./etc/./passwd", TRUE),
        ("dot dot into it", "/srv/../etc/passwd", TRUE),
        ("dot dot out of it", "/etc/../srv", FALSE),
        ("dot dot beyond the root", "/../../etc", TRUE),
        ("three dots are a name", "/etc/.../x", TRUE),
        ("letter case", "/ETC/passwd", UNKNOWN),
        ("percent-encoded", "/%65tc/passwd", UNKNOWN),
        ("percent-encoded twice", "/%2565tc/passwd", UNKNOWN),
        ("percent-encoded often", "/%" + "25" * 12 + "65tc/passwd", UNKNOWN),
        ("encoded dot dot into it", "/srv/%2e%2e/etc/x", UNKNOWN),
        ("encoded dot dot out of it", "/etc/%2e%2e/srv", UNKNOWN),
        ("an encoded slash into it", "/srv/..%2fetc", UNKNOWN),
        ("an encoded slash that dot dot removes", "/etc%2fx/../y", UNKNOWN),
        ("full-width letters", "/\uff45tc/passwd", UNKNOWN),
        ("a full-width slash", "\uff0fetc", UNKNOWN),
        ("full-width dots into it", "/srv/\uff0e\uff0e/etc", UNKNOWN),
        ("a two-dot leader into it", "/srv/\u2025/etc", UNKNOWN),
        ("an encoding that changes nothing", "/etc/a%20b", TRUE),
        ("a percent sign alone", "/etc/100%", TRUE),
        ("relative", "etc/passwd", UNKNOWN),
        ("a dot alone", ".", UNKNOWN),
        ("empty", "", UNKNOWN),
        ("a home", "~/x", UNKNOWN),
        ("another's home", "~root/x", UNKNOWN),
        ("a tilde within", "/etc/~", TRUE),
        ("a variable", "$HOME/x", UNKNOWN),
        ("a variable within", "/srv/$X", UNKNOWN),
        ("a variable in braces", "/srv/${X}", UNKNOWN),
        ("a command", "/srv/`id`", UNKNOWN),
        ("a backslash", "/srv\\..\\etc", UNKNOWN),
        ("a NUL", "/srv\0", UNKNOWN),
        ("a lone surrogate", "/srv/\ud800", UNKNOWN),
        ("a run of combining marks", "/srv/a" + COMBINING * 33, UNKNOWN),
        ("a process's root", "/proc/self/root/srv", UNKNOWN),
        ("a process's directory", "/proc/1/cwd/x", UNKNOWN),
        ("a process's descriptors", "/proc/thread-self/fd/3", UNKNOWN),
        ("a thread's root", "/proc/self/task/1/root", UNKNOWN),
        ("a process's root, left again", "/proc/self/root/../srv", UNKNOWN),
        ("a process's program", "/proc/self/exe", FALSE),
        ("a root by another name", "/srv/self/root", FALSE),
        ("a process's root, encoded", "/proc/self/%72oot/x", UNKNOWN),
        ("descriptors", "/dev/fd/3", UNKNOWN),
        ("a device", "/dev/fdx", FALSE),
        ("file URL", "file:///etc/passwd", TRUE),
        ("file URL with one slash", "file:/etc/passwd", TRUE),
        ("file URL in capitals", "FILE:///etc/passwd", TRUE),
        ("file URL of this host", "file://localhost/etc/passwd", TRUE),
        ("file URL of another host", "file://host/etc/passwd", UNKNOWN),
        ("file URL with a path for a host", "file://etc/passwd", UNKNOWN),
        ("file URL without a path", "file://", UNKNOWN),
        ("file URL that is relative", "file:etc/passwd", UNKNOWN),
        ("file URL, escapes decoded", "file:///%65tc/passwd", TRUE),
        ("file URL, escapes decoded once", "file:///%2565tc/passwd", UNKNOWN),
        ("file URL, encoded dot dot", "file:///srv/%2e%2e/etc", TRUE),
        ("file URL with a query", "file:///etc/passwd?x", UNKNOWN),
        ("file URL with a fragment", "file:///etc/passwd#x", UNKNOWN),
        ("file URL with an encoded variable", "file:///etc/%24X", UNKNOWN),
        ("file URL with an encoded NUL", "file:///etc/%00", UNKNOWN),
        ("file URL elsewhere", "file:///srv/x", FALSE),
        ("a list, all under", ["/etc/a", "/etc/b"], TRUE),
        ("a list of both", ["/etc/a", "/srv"], UNKNOWN),
        ("a list, none under", ["/srv", "/var"], FALSE),
        ("an empty list", [], UNKNOWN),
        ("none", None, UNKNOWN),
        ("a number", 3, UNKNOWN),
        ("a boolean", True, UNKNOWN),
        ("bytes", b"/etc", UNKNOWN),
        ("an object", Sealed(), UNKNOWN),
        ("a path object", PurePosixPath("/etc/passwd"), TRUE),
        ("a path object of another library", Elsewhere(), TRUE),
        ("an enum", Word.ETC, TRUE),
        ("a mapping without a path", {"x": "/etc"}, UNKNOWN),
        ("a mapping with a path", {"path": "/etc/x", "mode": 3}, TRUE),
        ("white space before it is part of it", " /etc", UNKNOWN),
    ),
)
def test_path_prefix(value: object, expected: str) -> None:
    assert answer("path_prefix: /etc", {"path": value}) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    table(
        ("no payload", None, UNKNOWN),
        ("a bare string", "/etc/passwd", UNKNOWN),
        ("no path", {"x": "/etc/passwd"}, UNKNOWN),
        ("a key in another case", {"File_Path": "/etc/passwd"}, TRUE),
        ("at any depth", {"x": [{"src": "/etc/a"}, {"y": {"dst": "/etc/b"}}]}, TRUE),
        ("some do and some do not", {"source": "/etc/a", "destination": "/srv"}, UNKNOWN),
        ("none does", {"source": "/var/a", "destination": "/srv"}, FALSE),
        ("one cannot be told", {"source": "/srv", "destination": "~"}, UNKNOWN),
        ("an object elsewhere", {"path": "/srv", "x": Sealed()}, UNKNOWN),
        ("bytes elsewhere", {"path": "/srv", "x": b""}, FALSE),
        *((f"the key {key}", {key: "/etc/x"}, TRUE) for key in PATH_KEYS),
    ),
)
def test_paths_in_a_payload(payload: object, expected: str) -> None:
    assert answer("path_prefix: /etc", payload) == expected


@pytest.mark.parametrize(
    ("cwd", "path", "expected"),
    table(
        ("under the directory", "/etc", "passwd", TRUE),
        ("out of the directory", "/etc", "../srv/x", FALSE),
        ("into the prefix", "/srv", "../etc/x", TRUE),
        ("an absolute path needs none", "/etc", "/srv/x", FALSE),
        ("a relative directory", "etc", "passwd", UNKNOWN),
        ("a home", "~", "passwd", UNKNOWN),
        ("a variable", "/$X", "passwd", UNKNOWN),
        ("no text", 3, "passwd", UNKNOWN),
        ("none", None, "passwd", UNKNOWN),
        ("a process's directory", "/proc/self/cwd", "passwd", UNKNOWN),
    ),
)
def test_relative_paths_start_in_the_vouched_for_directory(cwd: object, path: str, expected: str) -> None:
    assert answer("path_prefix: /etc", {"path": path}, {"cwd": cwd}) == expected


def test_a_payload_cannot_name_its_own_directory() -> None:
    assert answer("path_prefix: /etc", {"path": "passwd", "cwd": "/etc", "policy_context": {"cwd": "/etc"}}) == UNKNOWN


@pytest.mark.parametrize(
    ("condition", "path", "expected"),
    table(
        ("any of a list", "path_prefix: [/etc, /srv]", "/srv/x", TRUE),
        ("none of a list", "path_prefix: [/etc, /srv]", "/var/x", FALSE),
        ("true beats unknown", "path_prefix: [/ETC, /etc]", "/etc/x", TRUE),
        ("unknown beats false", "path_prefix: [/srv, /ETC]", "/etc/x", UNKNOWN),
        ("the root covers everything", "path_prefix: /", "/etc", TRUE),
        ("the root does not cover what cannot be told", "path_prefix: /", "x", UNKNOWN),
        ("a prefix in capitals", "path_prefix: /Users", "/Users/x", TRUE),
        ("a prefix in capitals, path in small", "path_prefix: /Users", "/users/x", UNKNOWN),
        ("sharp s", "path_prefix: /strasse", "/Stra\u00dfe", UNKNOWN),
    ),
)
def test_path_prefixes(condition: str, path: str, expected: str) -> None:
    assert answer(condition, {"path": path}) == expected


@pytest.mark.parametrize(
    ("payload", "expected"),
    table(
        ("its own key", {"object": "/etc/x"}, TRUE),
        ("its own key in another case", {"OBJECT": "/etc/x"}, TRUE),
        ("written in capitals", {"blob": "/etc/x"}, TRUE),
        ("the usual keys no longer", {"object": "/srv", "path": "/etc"}, FALSE),
    ),
)
def test_a_policy_may_name_its_path_keys(payload: object, expected: str) -> None:
    assert answer("path_prefix: /etc", payload, keys="path_keys: [object, Blob]") == expected
