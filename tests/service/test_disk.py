"""A full disk: what cannot be recorded is denied, what was acknowledged is there, and room is all that it takes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import orjson
import psycopg
import pytest

from onpurpose.adapters.signing import read_public_key, verify_signature
from onpurpose.adapters.sql.reader import SqliteArchive
from onpurpose.app import audit
from tests.postgres import PostgresServer
from tests.service.disk import fill, small_disk
from tests.service.process import Load, ask, put_in_force, running

MEGABYTES = 24
TABLES_MEGABYTES = 48
WAL_MEGABYTES = 96


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", MEGABYTES) as place:
        yield place


@pytest.fixture
def full_postgres(own_postgres: PostgresServer) -> Iterator[tuple[Path, str]]:
    """A disk that holds the tables of a database, and nothing else of its server; and the database's URL."""
    with psycopg.connect(own_postgres.url(), autocommit=True) as connection:
        (data,) = connection.execute("SHOW data_directory").fetchone() or ("",)
        owner = Path(data).stat()
        with small_disk(Path(data).parent / "tables", TABLES_MEGABYTES, (owner.st_uid, owner.st_gid)) as place:
            connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")
            connection.execute("CREATE DATABASE small TABLESPACE small")
            yield place, own_postgres.url("small")
            connection.execute("DROP DATABASE small WITH (FORCE)")
            connection.execute("DROP TABLESPACE small")


@pytest.fixture
def full_wal(own_postgres: PostgresServer) -> Iterator[Path]:
    """A disk that holds the write-ahead log of the server, and nothing else."""
    with psycopg.connect(own_postgres.url()) as connection:
        (data,) = connection.execute("SHOW data_directory").fetchone() or ("",)
        connection.rollback()
        connection.autocommit = True
        for name in ("max_wal_size", "min_wal_size"):
            connection.execute(f"ALTER SYSTEM SET {name} = '32MB'")
    own_postgres.stop()
    owner = Path(data).stat()
    with small_disk(Path(data).parent / "wal", WAL_MEGABYTES, (owner.st_uid, owner.st_gid)) as place:
        shutil.copytree(Path(data) / "pg_wal", place / "pg_wal")
        for path in [place / "pg_wal", *(place / "pg_wal").rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid)
        shutil.rmtree(Path(data) / "pg_wal")
        (Path(data) / "pg_wal").symlink_to(place / "pg_wal")
        own_postgres.start()
        yield place
        own_postgres.stop()


def need_room(url: str, seconds: float = 60) -> None:
    """Have the server begin one file after another of its write-ahead log, as long as others write to it.

    For as long as it can: it begins none where nothing was written, and uses old ones again.
    """
    until = time.monotonic() + seconds
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < until:
            connection.execute("SELECT pg_switch_wal()")


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


def test_a_full_disk_under_postgresql_denies_and_room_heals_it(full_postgres: tuple[Path, str], tmp_path: Path) -> None:
    disk, url = full_postgres
    with running(url, tmp_path) as service, service.client() as client:
        put_in_force(client)
        load = Load(service, callers=4)
        load.wait_for("allow", 100)
        ballast = fill(disk)
        load.wait_for("deny", 50)
        denied = [one for one in (ask(client) for _ in range(20)) if one["outcome"] == "deny"]
        assert {reason["code"] for one in denied for reason in one["reasons"]} == {"audit_unavailable"}
        missing = wait_until_ready(client, 503).json()
        assert any("log" in reason for reason in missing["reasons"]), missing
        ballast.unlink()
        load.wait_for("allow", 100)
        load.stop()
        assert wait_until_ready(client, 200).json() == {"status": "ready"}
        assert_recorded(client, load)


def test_a_postgresql_that_a_full_disk_ended_is_gone_on_with_once_it_runs(
    own_postgres: PostgresServer, full_wal: Path, tmp_path: Path
) -> None:
    with running(own_postgres.url(), tmp_path) as service, service.client() as client:
        put_in_force(client)
        load = Load(service, callers=4)
        load.wait_for("allow", 50)
        ballast = fill(full_wal)
        with pytest.raises(psycopg.Error):
            need_room(own_postgres.url())
        own_postgres.wait_for_its_end()  # without room it cannot recover
        load.wait_for("deny", 20)
        ballast.unlink()
        own_postgres.start()
        load.wait_for("allow", 50)
        load.stop()
        assert wait_until_ready(client, 200).json() == {"status": "ready"}
        assert_recorded(client, load)


def assert_recorded(client: httpx2.Client, load: Load) -> None:
    """The log is whole, and holds whatever was allowed; and nothing was worse than denied."""
    report = client.post("/v1/audit/verify").json()
    assert (report["ok"], report["whole"]) == (True, True), report
    lines = client.get("/v1/audit/export", params={"whole": "true"}).text.splitlines()
    recorded = {orjson.loads(line)["record"].get("id") for line in lines}
    assert {name for name, outcome in load.answered if outcome == "allow"} <= recorded
    assert not [one for one in load.refused if "500" in one], load.refused[:3]
