"""What keeps a feed up with its log, by itself: a thread, and a process that is not always as it should be."""

from __future__ import annotations

import logging
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose import feeding as port
from onpurpose import follower
from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql.writer import SqliteLedger
from onpurpose.app.projection import Projector
from onpurpose.core.call import Call
from onpurpose.core.record import LedgerError, Record, Stored
from onpurpose.core.revision import ConflictError
from onpurpose.feeding import FeedProcess
from onpurpose.follower import Source, keep_up
from onpurpose.place import Options
from onpurpose.service import Service
from tests.service.process import eventually

PATIENCE = 30.0
FOREVER = "import sys\nfor line in sys.stdin: pass\n"
"""What hears everything, and ends with its input alone."""


class Told(logging.Handler):
    """What is logged, one message after the other."""

    def __init__(self) -> None:
        super().__init__()
        self._messages: queue.SimpleQueue[str] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        self._messages.put(record.getMessage())

    def wait_for(self, text: str) -> str:
        """The next message with the text in it."""
        while text not in (message := self._messages.get(timeout=PATIENCE)):
            pass
        return message


@pytest.fixture
def told() -> Iterator[Told]:
    handler = Told()
    logging.getLogger("onpurpose").addHandler(handler)
    yield handler
    logging.getLogger("onpurpose").removeHandler(handler)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source.of(str(tmp_path / "t.db"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is amiss is tried again at once."""
    monkeypatch.setattr(port, "TROUBLE_SECONDS", 0.01)
    monkeypatch.setattr(follower, "TROUBLE_SECONDS", 0.01)


def started(source: Source, code: str) -> FeedProcess:
    """The port, with a process that does something else."""
    return FeedProcess(source, [sys.executable, "-c", code])


def saying(*lines: str) -> str:
    """Code of a process that says these lines, and then nothing."""
    return f"print({chr(10).join(lines)!r}, flush=True)\n{FOREVER}"


def record(path: str, *bodies: bytes) -> None:
    """Write a log that consists of these."""
    with closing(SqliteLedger(path, signer=KeyFile(f"{path}.key", f"{path}.pub"))) as ledger:
        for body in bodies:
            ledger.append(Record("default", body)).result(PATIENCE)


# -- both kinds


@pytest.mark.parametrize("apart", [False, True])
def test_the_feed_comes_to_hold_what_the_log_has(source: Source, apart: bool) -> None:
    record(source.database, *[b'{"kind":"decision","id":"d%d","outcome":"allow"}' % number for number in range(50)])
    with closing(source.feed()) as feed, closing(port.feeding(source, feed, apart=apart)) as feeding:
        eventually(lambda: feed.newest()[1] == 50)
        assert feeding.unready() == []
    assert feeding.behind == 0


@pytest.mark.parametrize("apart", [False, True])
def test_a_feed_that_cannot_follow_is_told_in_the_same_words(source: Source, told: Told, apart: bool) -> None:
    with closing(source.feed()) as feed:
        Path(source.database).write_bytes(b"no database at all" * 1000)
        with closing(port.feeding(source, feed, apart=apart)):
            assert f"the log `{source.database}` cannot be read" in told.wait_for("the feed cannot follow the log: ")


def test_a_feed_that_is_damaged_while_it_is_open_is_told_and_left_to_who_has_it_open(
    source: Source, told: Told
) -> None:
    with closing(source.feed()):
        pass
    path = Path(f"{source.database}.feed")
    path.write_bytes(b"no database at all" * 1000)
    with closing(FeedProcess(source)):
        told.wait_for("the feed cannot follow the log: the feed cannot be written: ")
        told.wait_for("ended with status 1; another one is started")
    assert path.read_bytes() == b"no database at all" * 1000


@pytest.mark.parametrize("apart", [False, True])
def test_it_is_closed_as_often_as_one_likes_and_adds_nothing_after(source: Source, apart: bool) -> None:
    with closing(source.feed()) as feed:
        feeding = port.feeding(source, feed, apart=apart)
        feeding.close()
        record(source.database, b'{"kind":"decision","id":"d","outcome":"allow"}')
        feeding.close()
        assert feed.newest()[1] == 0


# -- a process that is not as it should be


def test_what_the_process_tells_is_known(source: Source, told: Told) -> None:
    code = saying('{"behind":2000000}', '{"behind":1500000,"trouble":"the disk is full"}')
    with closing(started(source, code)) as feeding:
        assert told.wait_for("the disk is full") == "the feed cannot follow the log: the disk is full"
        assert feeding.behind == 1_500_000
        assert feeding.unready() == ["the feed is 1,500,000 records behind the log"]


@pytest.mark.parametrize(
    "line",
    [
        "garbage", "", "[]", "{}", '{"behind":-1}', '{"behind":"1"}', '{"behind":1.5}', '{"behind":null}',
        '{"behind":0,"more":1}', '{"behind":0,"trouble":7}', "[" * 10_000, '{"behind":0}' + " " * 100_000,
        '{"behind":0,"trouble":"' + "x" * 2001 + '"}', '{"behind":0} {"behind":0}', '{"behind":0,"trouble":"\\ud800"}',
    ],
)  # fmt: skip
def test_a_process_that_says_what_cannot_be_read_is_replaced(source: Source, told: Told, line: str) -> None:
    with closing(started(source, saying(line))) as feeding:
        told.wait_for("the feed cannot follow the log: its process says what cannot be read")
        assert "ended with status -9; another one is started" in told.wait_for("the feed's process")
        told.wait_for("says what cannot be read")
        assert feeding.behind == 0


def test_bytes_that_are_no_text_are_no_word(source: Source, told: Told) -> None:
    code = f'import os; os.write(1, b\'{{"behind":0,"trouble":"\\xff"}}\\n\')\n{FOREVER}'
    with closing(started(source, code)):
        told.wait_for("says what cannot be read")


def test_a_word_that_was_cut_off_is_no_word_and_no_trouble(source: Source, told: Told) -> None:
    code = "import os; os.write(1, b'{\"beh')"
    with closing(started(source, code)):
        assert "ended with status 0" in told.wait_for("")


def test_a_process_that_ends_is_started_again_and_again(source: Source, told: Told) -> None:
    with closing(started(source, "raise SystemExit(3)")):
        found = {told.wait_for("ended with status 3; another one is started") for _ in range(3)}
    assert len(found) == 3, "each is named"


def test_a_process_that_cannot_be_started_is_told_and_tried_again(source: Source, told: Told, tmp_path: Path) -> None:
    program = tmp_path / "program"
    with closing(FeedProcess(source, [str(program)])) as feeding:
        told.wait_for("the feed cannot follow the log: its process cannot be started: No such file or directory")
        assert feeding.unready() == ["the feed's process cannot be started: No such file or directory"]
        written = tmp_path / "written"
        written.write_text(f"#!{sys.executable}\n" + saying('{"behind":7,"trouble":"at work"}'))
        written.chmod(0o700)
        written.rename(program)
        told.wait_for("at work")
        assert feeding.unready() == []
        assert feeding.behind == 7


def test_a_service_whose_process_cannot_be_started_decides_and_is_not_ready(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nowhere"))
    around = {"ONPURPOSE_SECRET": "a secret of at least thirty-two characters"}
    options = Options(database=str(tmp_path / "t.db"), environment=around, feed_apart=True)
    with closing(Service(options)) as service:
        told.wait_for("cannot be started")
        assert service.unready() == ["the feed's process cannot be started: No such file or directory"]
        call = Call(agent_id="a", capability="mail.send", payload="{}")
        pending = service.services.evaluator.begin(call, None, workspace="default", key="k")
        assert pending.receipt is not None
        assert pending.receipt.result(PATIENCE).seq > 0


def test_a_process_that_says_nothing_is_told_until_it_speaks(
    source: Source, told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    code = f"open({str(tmp_path / 'pipe')!r}).read()\n" + saying('{"behind":0,"trouble":"here"}')
    with closing(started(source, code)) as feeding:
        assert feeding.unready() == []
        with monkeypatch.context() as patch:
            patch.setattr(port, "SILENT_SECONDS", 0.0)
            assert feeding.unready() == ["the feed's process says nothing for 0 s"]
        (tmp_path / "pipe").write_text("speak")
        told.wait_for("here")
        assert feeding.unready() == []


def test_a_process_that_does_not_end_is_killed(source: Source, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port, "END_SECONDS", 0.2)
    code = 'print(\'{"behind":0,"trouble":"here"}\', flush=True)\nimport signal\nwhile True: signal.pause()'
    feeding = started(source, code)
    told.wait_for("here")
    feeding.close()
    told.wait_for("does not end, and is killed")


def test_a_process_that_only_lets_go_of_its_output_is_replaced(
    source: Source, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "END_SECONDS", 0.2)
    with closing(started(source, "import os, signal\nos.close(1)\nwhile True: signal.pause()")):
        told.wait_for("does not end, and is killed")
        told.wait_for("ended with status -9; another one is started")


# -- forks


def fork(code: Callable[[], object]) -> int:
    """A fork of this process that does this, and ends."""
    pid = os.fork()
    if pid == 0:
        try:
            code()
        finally:
            os._exit(0)
    return pid


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_neither_ends_the_process_nor_keeps_it_from_ending(source: Source, told: Told) -> None:
    code = 'print(\'{"behind":0,"trouble":"here"}\', flush=True)\ninput()\ninput()'
    feeding = started(source, code)
    told.wait_for("here")
    os.waitpid(fork(feeding.close), 0)
    process = feeding._process
    assert process is not None
    assert process.poll() is None
    reader, writer = os.pipe()
    other = fork(lambda: os.read(reader, 1))  # it holds whatever this process does
    feeding.close()
    assert process.returncode == 0
    os.write(writer, b"x")
    os.waitpid(other, 0)
    os.close(reader)
    os.close(writer)


# -- the process itself


def test_the_process_loads_nothing_of_the_server(source: Source) -> None:
    code = (
        "import sys, threading\nfrom onpurpose.follower import Source, _follow\n"
        f"stopped = threading.Event()\nstopped.set()\n_follow(Source({source.database!r}), print, stopped)\n"
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    seen = {name.split(".")[0] for name in done.stdout.split()}
    heavy = {
        "starlette",
        "uvicorn",
        "uvloop",
        "pydantic",
        "alembic",
        "jinja2",
        "cryptography",
        "psycopg",
        "re2",
        "yaml",
    }
    assert "sqlalchemy" in seen
    assert seen & heavy == set()
    assert "onpurpose.server" not in done.stdout


def test_who_starts_it_by_hand_is_told_what_it_is() -> None:
    command = [sys.executable, "-m", "onpurpose.follower"]
    done = subprocess.run(command, input="what?\n", check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "this is a part of `onpurpose serve`, which starts it\n"


def test_it_ends_without_a_word_where_nobody_listens(source: Source) -> None:
    command, pipe = [sys.executable, "-m", "onpurpose.follower"], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(f'{{"database":"{source.database}"}}\n'.encode())
        process.stdin.flush()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == 0


def test_it_ends_by_itself_where_a_step_does_not_once_it_is_left_alone() -> None:
    code = (
        "import time\nfrom onpurpose import follower\nfollower.END_SECONDS = 0.1\n"
        "follower._follow = lambda *_: time.sleep(1000)\nfollower.main()"
    )
    said = b'{"database":"t.db"}\n'  # and nothing more: whoever started it is gone
    done = subprocess.run([sys.executable, "-c", code], input=said, check=False, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


def test_it_loads_nothing_from_the_folder_that_the_service_is_started_in(
    source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('this is none of ours')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    record(source.database, b'{"kind":"decision","id":"d","outcome":"allow"}')
    with closing(source.feed()) as feed, closing(FeedProcess(source)):
        eventually(lambda: feed.newest()[1] == 1)


def test_what_it_tells_is_always_read(source: Source) -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as told, FileIO(write, "w") as file:
        teller = follower._Teller(file)

        @given(st.integers(0, 2**63 - 1), st.text(st.characters(), max_size=3000))
        def told_is_read(behind: int, trouble: str) -> None:
            teller.tell(behind, f"!{trouble}")
            line = told.readline(follower.LONGEST_LINE)
            assert line.endswith(b"\n")
            word = port._WORD.decode(line)
            assert word.behind == behind
            assert word.trouble == f"!{trouble}"[:2000].encode("utf-8", "replace").decode()

        told_is_read()


def test_a_source_is_told_where_it_lies_and_shows_no_password() -> None:
    assert Source.of("sqlite:///x.db") == Source.of("x.db") == Source(str(Path("x.db").absolute()))
    postgres = Source.of("postgres://ann:hidden@host/name")
    assert postgres == Source("postgresql://ann:hidden@host/name")
    assert (postgres.is_postgres, Source.of("postgres.db").is_postgres) == (True, False)
    assert "hidden" not in repr(postgres)


# -- the loop


class Broken:
    """A log that fails in this way."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def chains(self) -> Mapping[str, int]:
        raise self._error

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        raise self._error


class Growing:
    """A log to which two records are added whenever it was looked how far it reaches."""

    def __init__(self) -> None:
        self._length = 0

    def chains(self) -> Mapping[str, int]:
        self._length += 2
        return {"a": self._length - 2}

    def after(self, chain: str, seq: int, limit: int) -> list[Stored]:
        body = b'{"kind":"decision","id":"d","outcome":"allow"}'
        return [Stored(number, chain, number, b"", body) for number in range(seq + 1, self._length + 1)][:limit]


def test_a_feed_that_has_more_than_the_log_had_is_not_behind(source: Source) -> None:
    stopped, told = threading.Event(), list[int]()

    def tell(behind: int, _: str) -> None:
        told.append(behind)
        if len(told) == 3:
            stopped.set()

    with closing(source.feed()) as feed:
        projector = Projector(Growing(), feed)
        keep_up(projector, stopped, tell, rest=0)
    assert told == [0, 0, 0]


@pytest.mark.parametrize(
    ("error", "trouble", "logged"),
    [
        (LedgerError("the log is away"), "the log is away", False),
        (ConflictError("another projector wrote to the feed"), "", False),
        (RuntimeError("a defect"), "", True),
    ],
)
def test_whatever_goes_wrong_is_tried_again(
    source: Source, caplog: pytest.LogCaptureFixture, error: Exception, trouble: str, logged: bool
) -> None:
    stopped, told = threading.Event(), list[tuple[int, str]]()

    def tell(behind: int, what: str) -> None:
        told.append((behind, what))
        if len(told) == 3:
            stopped.set()

    with closing(source.feed()) as feed:
        keep_up(Projector(Broken(error), feed), stopped, tell)
    assert told == [(0, trouble)] * 3
    assert ("the feed could not follow the log" in caplog.text) is logged
