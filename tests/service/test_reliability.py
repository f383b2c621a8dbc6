"""What is promised when things break: done for real, with processes that are killed and servers that go away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import orjson
import pytest

from onpurpose.adapters.signing import read_public_key, verify_signature
from onpurpose.adapters.sql.reader import SqliteArchive
from onpurpose.app import audit
from onpurpose.core.chain import Report
from tests.postgres import PostgresServer
from tests.service.process import SET_ASIDE, SHELL, Load, Process, ask, put_in_force, running


def recorded(path: Path) -> set[str]:
    with closing(SqliteArchive(path)) as archive:
        return {orjson.loads(stored.body).get("id", "") for stored in archive.records()}


def verified(path: Path) -> Report:
    public = read_public_key(f"{path}.pub")
    return audit.verify(lambda: SqliteArchive(path), public_key=public, verify_signature=verify_signature)


def test_a_process_killed_under_load_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    first = Process(str(path), tmp_path)
    with first.client() as client:
        put_in_force(client)
    load = Load(first)
    load.wait_for("allow", 300)
    first.kill()
    load.stop()
    assert verified(path).ok
    assert {name for name, _ in load.answered} <= recorded(path)
    with running(str(path), tmp_path, key=first.key) as second, second.client() as client:
        assert ask(client)["outcome"] == "allow"
        report = client.post("/v1/audit/verify").json()
        assert report["ok"], report
    assert verified(path).ok


def test_a_service_that_is_stopped_finishes_and_signs_where_its_log_ends(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with running(str(path), tmp_path) as service:
        with service.client() as client:
            put_in_force(client)
            ask(client)
        assert service.stop() in {0, -signal.SIGTERM}
    report = verified(path)
    assert report.ok
    assert report.uncovered == 0


@pytest.fixture
def pair(postgres_url: str, tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    with running(postgres_url, tmp_path) as first:
        with first.client() as client:
            put_in_force(client)
        with running(postgres_url, tmp_path, key=first.key) as second:
            yield first, second


def test_of_two_processes_that_promote_at_once_one_wins_and_the_other_is_told(pair: tuple[Process, Process]) -> None:
    first, second = pair
    with first.client() as one, second.client() as two:
        saved = one.put(
            "/v1/policies/shell?reason=stricter",
            content=SHELL.replace("rm -rf", "ls"),
            headers={"Content-Type": "application/yaml"},
        )
        assert saved.status_code == 200
        answers: list[int] = []
        barrier = threading.Barrier(2)

        def promote(client: object) -> None:
            barrier.wait(10)
            body = {"reason": "now", "overrides": SET_ASIDE, "revision": 2}
            answers.append(client.post("/v1/policies/shell/promote", json=body).status_code)  # type: ignore[attr-defined]

        threads = [threading.Thread(target=promote, args=(client,)) for client in (one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(answers) == [200, 409]


def test_a_promotion_decides_in_every_process_within_a_second(pair: tuple[Process, Process]) -> None:
    first, second = pair
    with first.client() as one, second.client() as two:
        assert ask(two)["outcome"] == "allow"
        put_in_force(one, SHELL.replace("rm -rf", "ls"))
        assert ask(one)["outcome"] == "deny", "the process that promoted decides by it at once"
        load = Load(second, callers=1)
        load.wait_for("deny", 1, seconds=1)
        load.stop()
        reverted = one.post("/v1/policies/shell/revert", json={"reason": "undo"})
        assert reverted.status_code == 200, reverted.text
        assert ask(one)["outcome"] == "allow"


def test_two_processes_write_one_log_that_verifies(pair: tuple[Process, Process]) -> None:
    loads = [Load(process, callers=4) for process in pair]
    for load in loads:
        load.wait_for("allow", 100)
    for load in loads:
        load.stop()
    with pair[0].client() as client:
        report = client.post("/v1/audit/verify").json()
        assert report["ok"], report
        assert report["chains"] >= 2
        lines = client.get("/v1/audit/export", params={"whole": "true"}).text.splitlines()
    found = {orjson.loads(line)["record"].get("id") for line in lines}
    assert {name for load in loads for name, _ in load.answered} <= found


def test_a_postgres_that_goes_away_denies_and_comes_back_by_itself(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    with running(own_postgres.url(), tmp_path) as service:
        with service.client() as client:
            put_in_force(client)
        load = Load(service, callers=4)
        load.wait_for("allow", 50)
        own_postgres.kill()
        load.wait_for("deny", 20)
        own_postgres.start()
        load.wait_for("allow", 50)
        load.stop()
        allowed = {name for name, outcome in load.answered if outcome == "allow"}
        with service.client() as client:
            report = client.post("/v1/audit/verify").json()
            assert report["ok"], report
            lines = client.get("/v1/audit/export", params={"whole": "true"}).text.splitlines()
        assert allowed <= {orjson.loads(line)["record"].get("id") for line in lines}
