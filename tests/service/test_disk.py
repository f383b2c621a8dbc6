"""A full disk: what cannot be recorded is denied, what was acknowledged is there, and room is all that it takes."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import orjson
import pytest

from onpurpose.adapters.signing import read_public_key, verify_signature
from onpurpose.adapters.sql.reader import SqliteArchive
from onpurpose.app import audit
from tests.service.process import Load, ask, put_in_force, running

NO_DISK = "a disk that can be filled needs root, who may mount one in memory"
MEGABYTES = 24


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m,mode=700", "tmpfs", str(place)]
    try:
        done = subprocess.run(command, check=False, capture_output=True)
    except FileNotFoundError:
        pytest.skip(NO_DISK)
    if done.returncode:
        pytest.skip(NO_DISK)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Take all the room that is left; the file that takes it."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError:
                continue
    return ballast


def wait_until_ready(client: httpx2.Client, status: int, seconds: float = 30) -> httpx2.Response:
    """The first answer of `/readyz` with that status."""
    until = time.monotonic() + seconds
    answer = client.get("/readyz")
    while answer.status_code != status:
        assert time.monotonic() < until, answer.text
        answer = client.get("/readyz")
    return answer


def test_a_full_disk_denies_and_room_heals_it(disk: Path) -> None:
    path = disk / "t.db"
    with running(str(path), disk) as service, service.client() as client:
        put_in_force(client)
        load = Load(service, callers=4)
        load.wait_for("allow", 100)
        ballast = fill(disk)
        load.wait_for("deny", 50)
        told = [ask(client) for _ in range(20)]
        assert {one["outcome"] for one in told} == {"deny"}, "nothing is allowed that cannot be recorded"
        assert {reason["code"] for one in told for reason in one["reasons"]} == {"audit_unavailable"}
        missing = wait_until_ready(client, 503).json()
        assert any("log" in reason for reason in missing["reasons"]), missing
        ballast.unlink()
        load.wait_for("allow", 100)
        load.stop()
        assert wait_until_ready(client, 200).json() == {"status": "ready"}
        report = client.post("/v1/audit/verify").json()
        assert report["ok"], report
    public = read_public_key(f"{path}.pub")
    assert audit.verify(lambda: SqliteArchive(path), public_key=public, verify_signature=verify_signature).ok
    with closing(SqliteArchive(path)) as archive:
        recorded = {orjson.loads(stored.body).get("id") for stored in archive.records()}
    assert {name for name, outcome in load.answered if outcome == "allow"} <= recorded
    assert not [one for one in load.refused if "500" in one], load.refused[:3]


def test_a_full_disk_refuses_changes_and_keeps_what_is_in_force(disk: Path) -> None:
    with running(str(disk / "t.db"), disk) as service, service.client() as client:
        put_in_force(client)
        ballast = fill(disk)
        until = time.monotonic() + 30
        number = 0
        while True:  # until the room that the files hold already is used up as well
            number += 1
            text = f"# {'x' * 100_000}\nallow:\n  - capability: mail.send\n"
            answer = client.put(
                f"/v1/policies/p{number}?reason=test", content=text, headers={"Content-Type": "application/yaml"}
            )
            if answer.status_code != 200:
                break
            assert time.monotonic() < until
        assert answer.status_code == 503, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        ballast.unlink()
        wait_until_ready(client, 200)
        assert ask(client)["outcome"] == "allow"
        assert client.put(
            "/v1/policies/late?reason=test", content=text, headers={"Content-Type": "application/yaml"}
        ).is_success
        report = client.post("/v1/audit/verify").json()
        assert report["ok"], report
