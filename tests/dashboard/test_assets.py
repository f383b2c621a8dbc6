"""Static files: what is served is what is named, packed for who takes it, kept for good, and nothing else."""

from __future__ import annotations

import gzip
import hashlib
import re
from importlib.resources import files
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from onpurpose.server.dashboard.assets import JOINED, MOST_BYTES, TYPES, Assets

OURS = Assets.ours()
STATIC = files("onpurpose.server.dashboard").joinpath("static")
VENDORED = Path(__file__).parents[1] / "browser" / "vendored"
NAMES = sorted(one.name for one in STATIC.iterdir() if one.name.rpartition(".")[2] in TYPES)


def content_of(name: str) -> bytes:
    """What lies in the folder, of joined files one after another."""
    return b";\n".join(STATIC.joinpath(part).read_bytes() for part in JOINED.get(name, [name]))


def asked(path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    client = TestClient(Starlette(routes=OURS.routes()))
    with client, client.stream("GET", path, headers=headers) as response:
        return response.status_code, dict(response.headers), b"".join(response.iter_raw())


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_file_is_served_under_the_hash_of_its_content_and_kept_for_good(name: str) -> None:
    content = content_of(name)
    assert OURS.url(name) == f"/static/{hashlib.sha256(content).hexdigest()[:16]}/{name}"
    status, headers, body = asked(OURS.url(name), **{"accept-encoding": "identity"})
    assert (status, body) == (200, content)
    assert headers["content-type"] == TYPES[name.rpartition(".")[2]]
    assert headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "content-encoding" not in headers


@pytest.mark.parametrize("name", sorted(OURS))
def test_who_takes_gzip_gets_the_same_packed(name: str) -> None:
    _, headers, body = asked(OURS.url(name), **{"accept-encoding": "br, gzip;q=0.5"})
    assert headers["content-encoding"] == "gzip"
    assert headers["vary"] == "Accept-Encoding"
    assert gzip.decompress(body) == content_of(name)


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [("", False), ("gzip", True), ("GZIP", True), ("br", False), ("gzip;q=0", False), ("gzip; q=0.000", False),
     ("gzip;q=0.1", True), ("deflate,gzip ; q=1.0", True), ("xgzip", False)],
)  # fmt: skip
def test_packed_files_are_only_for_who_takes_them(accepted: str, *, packed: bool) -> None:
    _, headers, _ = asked(OURS.url("style.css"), **{"accept-encoding": accepted})
    assert ("content-encoding" in headers) is packed


@pytest.mark.parametrize(
    "path",
    ["/static/0000000000000000/style.css", "/static/x/VENDORED.md", "/static/x/..%2fshell.py", "/static/style.css",
     f"{OURS.url('style.css')}x", OURS.url("style.css").replace("style.css", "app.js")],
)  # fmt: skip
def test_nothing_else_is_served(path: str) -> None:
    status, headers, _ = asked(path)
    assert status == 404
    assert "immutable" not in headers.get("cache-control", "")


def test_a_file_that_changed_has_another_path() -> None:
    assert Assets({"a.js": b"1"}).url("a.js") != Assets({"a.js": b"2"}).url("a.js")


def test_more_than_is_kept_in_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        Assets({"a.js": bytes(MOST_BYTES), "b.css": b"."})


def test_all_files_together_leave_room_for_a_page() -> None:
    assert sum(len(OURS[name].content) for name in OURS) < 150_000
    assert sum(len(OURS[name].packed) for name in OURS) < 60_000


def test_every_file_is_served_alone_or_joined() -> None:
    assert sorted(part for name in OURS for part in JOINED.get(name, [name])) == NAMES


@pytest.mark.parametrize("text", [STATIC.joinpath("VENDORED.md").read_text(), (VENDORED / "VENDORED.md").read_text()])
def test_what_is_not_ours_is_what_its_list_says_and_has_its_licence(text: str) -> None:
    beside = {one.name: one for one in [*STATIC.iterdir(), *VENDORED.iterdir()]}
    listed = re.findall(r"^\| `([^`]+)` \|.* \(`([^)]+)`\) \| `([0-9a-f]{64})` \|$", text, re.M)
    assert listed
    for name, licences, digest in listed:
        assert hashlib.sha256(beside[name].read_bytes()).hexdigest() == digest
        for licence in licences.split("`, `"):
            assert beside[licence].read_bytes()


def test_every_file_of_others_is_listed() -> None:
    text = STATIC.joinpath("VENDORED.md").read_text()
    assert {name for name in NAMES if f"| `{name}` |" in text} == {name for name in NAMES if ".min." in name}


@pytest.mark.parametrize("name", [name for name in NAMES if ".min." not in name and not name.endswith(".svg")])
def test_our_files_load_nothing_and_evaluate_nothing(name: str) -> None:
    text = STATIC.joinpath(name).read_text()
    assert re.findall(r"https?://|//cdn|@import|url\(|\beval\b|new Function|innerHTML|document\.write", text) == []
