"""The file of approvals of the embedded gate: whom it belongs to, what is refused, what survives."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql import SqliteLedger
from onpurpose.adapters.sql.local import LocalApprovals
from onpurpose.adapters.sql.local_file import APPLICATION_ID, LocalFile
from onpurpose.core.approval import State, Wanted
from onpurpose.core.delivery import Channel
from onpurpose.core.record import Record
from onpurpose.core.revision import ConflictError, StoreError
from tests.ports.approval_stores import approval, delivery, later


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.approvals"


@pytest.fixture
def local(path: Path) -> Iterator[LocalApprovals]:
    with contextlib.closing(LocalApprovals(path)) as one:
        yield one


def refused(path: Path) -> pytest.RaisesExc[StoreError]:
    return pytest.raises(StoreError, match=f"the approvals `{path}` cannot be used: ")


def in_file(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


# -- the file


def test_there_is_no_file_until_the_first_approval(local: LocalApprovals, path: Path) -> None:
    with pytest.raises(ConflictError):
        local.change(later(approval()), deliveries=[delivery(approval())], notes=[b"note"])
    local.settle(delivery(approval()))
    local.sent([1])
    assert local.take(Channel.SLACK, 2**62, 2**62, 10) == local.dead("acme", 10) == local.of("acme", "a") == []
    assert (local.find(Wanted()), local.get("acme", "a"), local.next_due(Channel.SLACK)) == ([], None, None)
    assert (local.unsent(10), local.versions(["a"])) == ([], {})
    assert not path.exists()
    local.open(approval(), deliveries=[], notes=[])
    assert path.exists()
    assert local.find(Wanted()) == [approval()]


def test_the_file_is_its_owners_alone(local: LocalApprovals, path: Path) -> None:
    before = os.umask(0)
    try:
        local.open(approval(), deliveries=[], notes=[])
    finally:
        os.umask(before)
    files = list(path.parent.iterdir())
    assert path in files
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_a_commit_is_durable(path: Path) -> None:
    with contextlib.closing(LocalFile(path, busy_seconds=3)) as file, file.writing(make=True) as connection:
        names = ("journal_mode", "synchronous", "busy_timeout", "trusted_schema", "application_id")
        values = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]
    assert values == ["wal", 2, 3000, 0, APPLICATION_ID]


def test_what_was_kept_is_there_after_closing_and_nothing_lies_beside_it(path: Path) -> None:
    with contextlib.closing(LocalApprovals(path)) as one:
        one.open(approval(), deliveries=[delivery(approval())], notes=[b"note"])
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with contextlib.closing(LocalApprovals(path)) as again:
        assert again.find(Wanted()) == [approval()]
        assert again.unsent(10) == [(1, b"note")]


def test_who_has_closed_it_is_refused(local: LocalApprovals, path: Path) -> None:
    local.open(approval(), deliveries=[], notes=[])
    local.close()
    local.close()
    with refused(path):
        local.find(Wanted())
    with refused(path):
        local.open(approval(2), deliveries=[], notes=[])


def test_a_file_that_was_taken_away_is_missed_and_made_anew(local: LocalApprovals, path: Path) -> None:
    local.open(approval(), deliveries=[], notes=[])
    path.rename(path.with_suffix(".old"))
    assert local.find(Wanted()) == []
    assert not path.exists()
    assert local.open(approval(2), deliveries=[], notes=[]) is None
    with contextlib.closing(LocalApprovals(path)) as another:
        assert another.find(Wanted()) == local.find(Wanted()) == [approval(2)]


@pytest.mark.parametrize("half", ["empty", "write-ahead"])
def test_a_file_whose_maker_died_at_once_is_finished(local: LocalApprovals, path: Path, half: str) -> None:
    path.touch(0o600)
    if half == "write-ahead":
        in_file(path, "PRAGMA journal_mode = WAL")
    assert local.find(Wanted()) == []
    assert local.open(approval(), deliveries=[], notes=[]) is None
    assert local.find(Wanted()) == [approval()]


# -- what is refused


@pytest.mark.parametrize("target", ["there", "not there", "folder"])
def test_a_symbolic_link_is_refused(local: LocalApprovals, path: Path, target: str) -> None:
    real = path.with_name("real")
    if target == "there":
        with contextlib.closing(LocalApprovals(real)) as one:
            one.open(approval(), deliveries=[], notes=[])
    elif target == "folder":
        real.mkdir()
    path.symlink_to(real)
    with refused(path):
        local.find(Wanted())
    with refused(path):
        local.open(approval(2), deliveries=[], notes=[])
    assert real.exists() == (target != "not there")


def test_a_folder_is_refused_and_so_is_a_place_in_none(path: Path) -> None:
    path.mkdir()
    for place in (path, path / "no" / "folder"):
        with contextlib.closing(LocalApprovals(place)) as one, refused(place):
            one.open(approval(), deliveries=[], notes=[])


@pytest.mark.parametrize(
    "content", [b"Dear diary,\n" * 1000, b"xy", bytes(5000), b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_file_of_other_content_is_refused_and_left_alone(local: LocalApprovals, path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with refused(path):
        local.open(approval(), deliveries=[], notes=[])
    assert path.read_bytes() == content


def test_a_database_of_another_program_is_refused_and_left_alone(local: LocalApprovals, path: Path) -> None:
    in_file(path, "CREATE TABLE approvals (id)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="it holds something else\nhelp: "):
        local.open(approval(), deliveries=[], notes=[])
    assert path.read_bytes() == before


def test_the_log_is_no_place_for_approvals(local: LocalApprovals, path: Path) -> None:
    ledger = SqliteLedger(path, signer=KeyFile(Path(f"{path}.key"), Path(f"{path}.pub")))
    ledger.append(Record("decision", b"{}")).result(10)
    ledger.close()
    with pytest.raises(StoreError, match="it holds something else"):
        local.open(approval(), deliveries=[], notes=[])


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("PRAGMA user_version = 2", r"another onpurpose wrote it \(schema 2, this one knows 1\)"),
        ("DROP INDEX approvals_pending", "its tables were changed"),
        ("CREATE TRIGGER t AFTER INSERT ON approvals BEGIN SELECT 1; END", "its tables were changed"),
        ("CREATE TABLE more (n)", "its tables were changed"),
        ("ALTER TABLE approvals ADD COLUMN more TEXT", "its tables were changed"),
    ],
)
def test_a_file_whose_tables_are_not_ours_is_refused(path: Path, statement: str, why: str) -> None:
    with contextlib.closing(LocalApprovals(path)) as one:
        one.open(approval(), deliveries=[], notes=[])
    in_file(path, statement)
    with contextlib.closing(LocalApprovals(path)) as again, pytest.raises(StoreError, match=f"{why}\nhelp: "):
        again.find(Wanted())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE approvals SET state = 'granted'",
        "UPDATE approvals SET body = zeroblob(length(body))",
        "UPDATE approvals SET version = 9",
        "UPDATE approvals SET workspace = 'other'",
    ],
)
def test_a_row_that_was_changed_by_hand_is_an_error(local: LocalApprovals, path: Path, statement: str) -> None:
    local.open(approval(), deliveries=[], notes=[])
    in_file(path, statement)
    with pytest.raises(StoreError, match="its row is damaged"):
        local.find(Wanted())


def test_a_file_that_is_damaged_is_an_error(path: Path) -> None:
    with contextlib.closing(LocalApprovals(path)) as one:
        for number in range(1, 40):
            one.open(approval(number), deliveries=[], notes=[])
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with contextlib.closing(LocalApprovals(path)) as again, pytest.raises(StoreError):
        again.find(Wanted())


def test_a_value_that_no_database_keeps_leaves_nothing(local: LocalApprovals) -> None:
    for unkept in (approval(agent_id="\ud800"), approval(opened_at=2**63)):
        with pytest.raises(StoreError):
            local.open(unkept, deliveries=[delivery(approval())], notes=[b"note"])
    assert (local.find(Wanted()), local.unsent(10)) == ([], [])


# -- other processes


def test_who_is_kept_waiting_too_long_is_told_so(path: Path) -> None:
    with contextlib.closing(LocalApprovals(path, busy_seconds=0.01)) as one:
        one.open(approval(), deliveries=[], notes=[])
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked"):
                one.change(later(approval()), deliveries=[], notes=[])
            assert one.find(Wanted()) == [approval()]
            other.execute("ROLLBACK")
        one.change(later(approval()), deliveries=[], notes=[])


def test_a_file_that_another_process_is_setting_up_is_waited_for(path: Path) -> None:
    path.touch(0o600)
    with contextlib.closing(LocalApprovals(path, busy_seconds=0.05)) as one:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM sqlite_master").fetchall()
            with pytest.raises(StoreError, match="locked"):
                one.open(approval(), deliveries=[], notes=[])
        assert one.open(approval(), deliveries=[], notes=[]) is None
        assert one.find(Wanted()) == [approval()]


def test_it_needs_the_standard_library_alone(path: Path) -> None:
    code = "import sys; import onpurpose.adapters.sql.local; print(*(name.partition('.')[0] for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()).isdisjoint({"sqlalchemy", "alembic", "psycopg", "cryptography", "pydantic"})


WORK = """
import sys
from pathlib import Path
import msgspec
from onpurpose.adapters.sql.local import LocalApprovals
from onpurpose.core.approval import Approval
from onpurpose.core.delivery import Delivery
path, begin, end = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
like, message = msgspec.json.decode(sys.argv[4], type=tuple[Approval, Delivery])
change = msgspec.structs.replace
one = LocalApprovals(path)
print("ready", flush=True)
sys.stdin.readline()
for number in range(begin, end):
    name = f"{sys.argv[5]}{number:06}"
    opened = change(like, id=name, digest=str(number))
    for version in (1, 2):
        owed = change(message, id=f"{name} {version}", approval_id=name)
        kept = change(opened, version=version)
        note = f"{name} {version}".encode()
        if version == 2:
            one.change(kept, deliveries=[owed], notes=[note])
        elif one.open(kept, deliveries=[owed], notes=[note]) is not None:
            break
        print(name, version, flush=True)
one.close()
"""


def worker(path: Path, begin: int, end: int, name: str) -> subprocess.Popen[str]:
    """A process that opens approvals of those digests and changes each once, telling what it has done."""
    like = msgspec.json.encode((approval(), delivery(approval()))).decode()
    command = [sys.executable, "-c", WORK, str(path), str(begin), str(end), like, name]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def start(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_of_processes_that_ask_at_once_about_one_call_one_opens_it(path: Path) -> None:
    processes = [worker(path, 0, 30, name) for name in "abc"]
    for process in processes:
        start(process)
    told = [process.communicate(timeout=60)[0].split("\n")[:-1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    with contextlib.closing(LocalApprovals(path)) as local:
        kept = local.find(Wanted(limit=1000))
        assert sorted(line for lines in told for line in lines) == sorted(
            body.decode() for _, body in local.unsent(999)
        )
    assert sorted(int(one.digest) for one in kept) == list(range(30))
    assert {one.version for one in kept} == {2}


def test_whoever_is_killed_has_kept_what_it_was_told_was_kept_and_no_half_of_anything(path: Path) -> None:
    told: set[str] = set()
    for turn, lines in enumerate((0, 1, 2, 7, 40)):
        process = worker(path, turn * 10_000, turn * 10_000 + 9999, "ap_")
        start(process)
        assert process.stdout is not None
        told.update(process.stdout.readline().strip() for _ in range(lines))
        process.send_signal(signal.SIGKILL)
        told.update(line.strip() for line in process.communicate(timeout=60)[0].split("\n")[:-1])
        with contextlib.closing(LocalApprovals(path)) as local:
            assert_whole(local, told)
            if turn:
                in_file(path, "PRAGMA wal_checkpoint")
                assert local.open(approval(turn), deliveries=[], notes=[]) is None
                local.change(later(approval(turn), state=State.DENIED), deliveries=[], notes=[])
    assert len(told) >= 50


def assert_whole(local: LocalApprovals, told: set[str]) -> None:
    """Of each approval as many deliveries and notes as it has versions, and all that was told of."""
    notes = [body.decode() for _, body in local.unsent(100_000)]
    kept = [one for one in local.find(Wanted(limit=100_000)) if one.state is State.PENDING]
    assert sorted(notes) == sorted(f"{one.id} {version + 1}" for one in kept for version in range(one.version))
    for one in kept:
        assert [owed.id for owed in local.of("acme", one.id)] == [f"{one.id} {n + 1}" for n in range(one.version)]
    assert told <= set(notes)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_opens_the_file_for_itself(local: LocalApprovals, path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
import msgspec
from onpurpose.adapters.sql.local import LocalApprovals
from onpurpose.core.approval import Approval, Wanted
one = LocalApprovals(Path(sys.argv[1]))
like = msgspec.json.decode(sys.argv[2], type=Approval)
one.open(like, deliveries=[], notes=[])
child = os.fork()
if not child:
    found = one.open(msgspec.structs.replace(like, id="child", digest="c"), deliveries=[], notes=[])
    one.close()
    os._exit(7 if found is None else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
one.open(msgspec.structs.replace(like, id="parent", digest="p"), deliveries=[], notes=[])
one.close()
"""
    command = [sys.executable, "-c", code, str(path), msgspec.json.encode(approval()).decode()]
    subprocess.run(command, check=True, timeout=60)
    assert [one.id for one in local.find(Wanted())] == ["parent", "child", approval().id]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_child_forked_in_the_middle_of_a_transaction_does_not_wait_for_its_end(path: Path) -> None:
    code = """
import os, signal, sys, threading
from pathlib import Path
from onpurpose.adapters.sql.local_file import LocalFile
file = LocalFile(Path(sys.argv[1]), busy_seconds=5)
within, done = threading.Event(), threading.Event()
def hold():
    with file.writing(make=True):
        within.set()
        done.wait(30)
thread = threading.Thread(target=hold)
thread.start()
within.wait(30)
child = os.fork()
if not child:
    signal.alarm(20)
    with file.reading() as connection:
        os._exit(7 if connection.execute("SELECT count(*) FROM approvals").fetchone()[0] == 0 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
done.set()
thread.join()
file.close()
"""
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=60)
