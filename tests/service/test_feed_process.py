"""`onpurpose serve` and the process that keeps its feed up: started, killed, stopped; one never outlives the other."""

from __future__ import annotations

import os
import select
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import httpx2
import pytest

from onpurpose.server import listening
from tests.service.process import Load, Process, ask, eventually, put_in_force, running

PROC = Path("/proc")
SECRET = "a secret of at least thirty-two characters"
PATIENCE = 30.0

pytestmark = pytest.mark.skipif(not (PROC / "self/task").is_dir(), reason="it is looked up which processes there are")


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C is heard: what is started in the background of a shell is deaf to it, and what that starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def children(pid: int) -> set[int]:
    """The processes that a process has started, whichever thread it was."""
    found: set[int] = set()
    for task in PROC.glob(f"{pid}/task/*/children"):
        with suppress(OSError):  # the thread has ended
            found.update(map(int, task.read_text().split()))
    return found


def beside(process: Process, *known: int) -> int:
    """The process beside a service, another one than those that are known."""
    pids: set[int] = eventually(lambda: children(process.pid) - set(known))
    assert len(pids) == 1
    return pids.pop()


def wait_for_end(handle: int) -> None:
    """Return once the process of the handle has ended, whoever started it."""
    try:
        assert select.select([handle], [], [], PATIENCE)[0], "it has not ended"
    finally:
        os.close(handle)


def in_feed(path: Path) -> list[str]:
    """The ids of the feed's decisions, in order."""
    with closing(sqlite3.connect(f"file:{path}.feed?mode=ro", uri=True)) as feed:
        return [name for (name,) in feed.execute("SELECT decision_id FROM decisions ORDER BY n")]


def await_all(path: Path, load: Load) -> None:
    """Return once the feed has every decision that was answered, each once."""
    answered = sorted(name for name, _ in load.answered)
    eventually(lambda: len(in_feed(path)) >= len(answered))
    assert sorted(in_feed(path)) == answered


def await_in_feed(client: httpx2.Client, decision_id: str) -> None:
    """Return once the service tells of the decision."""
    eventually(lambda: client.get(f"/v1/decisions/{decision_id}").status_code == 200)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database of each kind."""
    if request.param == "sqlite":
        return str(tmp_path / "t.db")
    url: str = request.getfixturevalue("postgres_url")
    return url


def test_decisions_come_into_the_feed_by_a_process_that_shows_no_secret(database: str, tmp_path: Path) -> None:
    around = {"ONPURPOSE_SECRET": SECRET, "ONPURPOSE_DATABASE": database}
    with running(database, tmp_path, environment=around) as service, service.client() as client:
        put_in_force(client)
        await_in_feed(client, ask(client)["decision_id"])
        child = PROC / str(beside(service))
        shown = (child / "cmdline").read_bytes() + (child / "environ").read_bytes()
        assert SECRET.encode() not in shown
        assert database.encode() not in shown
        assert b"ONPURPOSE_" not in shown
        assert client.get("/readyz").json() == {"status": "ready"}


def test_the_process_gives_way_to_calls_and_holds_no_socket_but_its_own(tmp_path: Path) -> None:
    with running(str(tmp_path / "t.db"), tmp_path) as service, service.client() as client:
        put_in_force(client)
        await_in_feed(client, ask(client)["decision_id"])
        child = beside(service)
        niceness = os.getpriority(os.PRIO_PROCESS, child) - os.getpriority(os.PRIO_PROCESS, service.pid)
        assert niceness == min(10, 19 - os.getpriority(os.PRIO_PROCESS, service.pid))
        held = [str(one.readlink()) for one in (PROC / str(child) / "fd").iterdir()]
        assert [one for one in held if one.startswith("socket:")] == []


def test_a_process_that_is_killed_under_load_is_followed_by_another_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with running(str(path), tmp_path) as service:
        with service.client() as client:
            put_in_force(client)
        load = Load(service)
        load.wait_for("allow", 200)
        eventually(lambda: in_feed(path))
        killed = beside(service)
        os.kill(killed, signal.SIGKILL)
        load.wait_for("allow", 200)
        assert beside(service, killed) != killed
        load.wait_for("allow", 100)
        load.stop()
        await_all(path, load)
    assert not load.refused
    told = [line for line in service.output if f"the feed's process {killed} ended with status -9" in line]
    assert len(told) == 1
    assert "another one is started" in told[0]


def test_a_service_that_is_killed_takes_the_process_with_it_and_leaves_its_port(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    first = Process(str(path), tmp_path)
    with first.client() as client:
        put_in_force(client)
        await_in_feed(client, ask(client)["decision_id"])
    (before,) = in_feed(path)
    child = os.pidfd_open(beside(first))
    load = Load(first)
    load.wait_for("allow", 200)
    first.kill()
    for one in listening.bind("127.0.0.1", first.port):
        one.close()
    load.stop()
    wait_for_end(child)
    with running(str(path), tmp_path, key=first.key, port=first.port) as second, second.client() as client:
        last = ask(client)["decision_id"]
        await_in_feed(client, last)
    found = in_feed(path)
    assert {before, last, *(name for name, _ in load.answered)} <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("word", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("all_of_them", [False, True])
def test_a_service_that_is_stopped_waits_for_the_process_and_leaves_its_feed_whole(
    tmp_path: Path, word: signal.Signals, all_of_them: bool
) -> None:
    path = tmp_path / "t.db"
    with running(str(path), tmp_path) as service:
        with service.client() as client:
            put_in_force(client)
            await_in_feed(client, ask(client)["decision_id"])
        child = beside(service)
        handle = os.pidfd_open(child)
        if all_of_them:  # as Ctrl-C does, and who stops a group of processes
            os.kill(child, word)
        assert service.stop(word) in ({0, -signal.SIGTERM} if word == signal.SIGTERM else {130})
        assert not (PROC / str(child)).exists()
        wait_for_end(handle)
    with closing(sqlite3.connect(f"{path}.feed")) as feed:
        assert feed.execute("SELECT boot FROM feed_state").fetchall() == [("",)]
    assert not [line for line in service.output if "Traceback" in line]
    if word == signal.SIGINT:
        assert not [line for line in service.output if "feed's process" in line], "it leaves that to the service"


def test_a_service_that_is_stopped_twice_ends_with_its_process(tmp_path: Path) -> None:
    with running(str(tmp_path / "t.db"), tmp_path) as service:
        handle = os.pidfd_open(beside(service))
        os.kill(service.pid, signal.SIGINT)
        os.kill(service.pid, signal.SIGINT)
        service.stop(signal.SIGINT)
        wait_for_end(handle)
