"""A real PostgreSQL for the tests: one that is given, or one that they start themselves.

In this order: the server that the environment variable `ONPURPOSE_TEST_POSTGRES` names (a URL, whose
role may create databases), an installed PostgreSQL, or Debian's package where the tests run as root.
Without one, tests that need it are left out, which the end of the run says; with `CI` set they fail.

The fixtures: `postgres_url` is a fresh, empty database and `postgres_store_url` one with our tables;
`postgres` is the server that they are on, shared by all tests of a run; `own_postgres` is a server of
the test's own, to be stopped, killed and started.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pwd
import secrets
import select
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit, urlunsplit

import pytest

from tests.debian import install

GIVEN = "ONPURPOSE_TEST_POSTGRES"
LEFT_OUT = "no PostgreSQL here: install one, or name one in `ONPURPOSE_TEST_POSTGRES`"
ROLE = "onpurpose"

_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
fsync = {durable}
full_page_writes = {durable}
shared_buffers = 32MB
max_connections = 100
max_wal_size = 256MB
"""


class Server(Protocol):
    """A server on which databases can be made."""

    def url(self, database: str = "postgres") -> str: ...


class GivenServer:
    """A server that somebody else runs."""

    def __init__(self, address: str) -> None:
        self._address = urlsplit(address)

    def url(self, database: str = "postgres") -> str:
        """The URL of a database of it."""
        return urlunsplit(self._address._replace(path=f"/{quote(database)}"))


class PostgresServer:
    """A server of our own, on a port of the loopback interface; as an unprivileged user where we are root.

    It ends with the process that made it, even when that is killed. With `durable`, commits are synced
    to the disk.
    """

    def __init__(self, programs: Path, *, durable: bool = False) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="onpurpose-pg-", dir=None if durable else _memory()))
        self._account = _account()
        self._password = secrets.token_hex(16)
        self._port = _free_port()
        self._watcher: subprocess.Popen[bytes] | None = None
        self._pid = 0
        try:
            self._make(durable=durable)
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, database: str = "postgres") -> str:
        """The URL of a database of it, with the password."""
        return f"postgresql://{ROLE}:{self._password}@127.0.0.1:{self._port}/{quote(database)}"

    def start(self) -> None:
        """Start it, on the port that it always had; returns when it takes connections."""
        self._run("pg_ctl", "start", "-w", "-t", "60", "-D", self._data, "-l", self._folder / "log")
        pid = (self._data / "postmaster.pid").read_text().split()[0]
        self._pid = int(pid)
        # Our end of the pipe closes with us, however we end.
        script = 'read -r _; kill -QUIT "$1"; sleep 1; rm -rf -- "$2"'
        command = ["/bin/sh", "-c", script, "sh", pid, str(self._folder)]
        self._watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)

    def stop(self) -> None:
        """Stop it in order: what is under way is rolled back, connections are closed; returns when it is gone."""
        self._end("fast")

    def kill(self) -> None:
        """End it as a crash does: without a word to anybody, so that the next start has to recover."""
        self._end("immediate")

    def wait_for_its_end(self, seconds: float = 60) -> None:
        """Return once it has ended of itself, as it does where it cannot recover; it may then be started."""
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(self._pid)
            try:
                assert select.select([process], [], [], seconds)[0], f"it has not ended: {self._log()}"
            finally:
                os.close(process)
        self._stop_watching()

    def close(self) -> None:
        """Stop it if it runs, and leave nothing behind."""
        if self._watcher is not None:
            self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _make(self, *, durable: bool) -> None:
        secret = self._folder / "password"
        secret.write_text(self._password)
        if self._account is not None:
            os.chown(self._folder, *self._account)
            os.chown(secret, *self._account)
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"]
        self._run("initdb", "-D", self._data, "-U", ROLE, "--pwfile", secret, *options)
        settings = _SETTINGS.format(port=self._port, folder=self._folder, durable="on" if durable else "off")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(settings)

    def _stop_watching(self) -> None:
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.kill()
            watcher.communicate()

    def _end(self, mode: str) -> None:
        self._stop_watching()
        self._run("pg_ctl", "stop", "-w", "-t", "60", "-D", self._data, "-m", mode)

    def _run(self, program: str, *arguments: str | Path) -> None:
        user, group = self._account or (None, None)
        done = subprocess.run(
            [self._programs / program, *arguments],
            check=False,
            cwd=self._folder,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )
        assert done.returncode == 0, f"{program}: {done.stdout.decode(errors='replace')}{self._log()}"

    def _log(self) -> str:
        log = self._folder / "log"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""


@contextlib.contextmanager
def database(server: Server, *, template: str = "template0", options: str = "") -> Iterator[str]:
    """The URL of a fresh database, empty or a copy of another; dropped afterwards, whoever is connected."""
    import psycopg

    name = f"t_{secrets.token_hex(8)}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {options}')
    try:
        yield server.url(name)
    finally:
        with psycopg.connect(server.url(), autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The server that all tests of the run share. Whoever stops it harms the others: see `own_postgres`."""
    given = os.environ.get(GIVEN)
    if given:
        yield GivenServer(given)
        return
    with contextlib.closing(PostgresServer(_programs_or_skip())) as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Server) -> Iterator[str]:
    """A fresh, empty database."""
    with database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
def _migrated(postgres: Server) -> Iterator[str]:
    from onpurpose.adapters.sql.engine import open_store

    with database(postgres) as url:
        open_store(url).close()
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
def postgres_store_url(postgres: Server, _migrated: str) -> Iterator[str]:
    """A fresh database with the newest schema, and nothing in it: a copy, which is sooner made."""
    with database(postgres, template=_migrated) as url:
        yield url


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server for one test, whose commits are durable: to be stopped, killed and started."""
    with contextlib.closing(PostgresServer(_programs_or_skip(), durable=True)) as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was not tested."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(LEFT_OUT in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.write_line(f"WARNING: {count} tests were left out: {LEFT_OUT}", red=True, bold=True)


def _programs_or_skip() -> Path:
    programs = _programs()
    if programs is None and os.environ.get("CI"):
        pytest.fail(LEFT_OUT, pytrace=False)
    if programs is None:
        pytest.skip(LEFT_OUT)
    return programs


@functools.cache
def _programs() -> Path | None:
    return _installed() or _from_debian()


def _installed() -> Path | None:
    """Where `initdb`, `pg_ctl` and `postgres` lie: the newest version of several."""
    on_path = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    for folder in [*([Path(on_path).resolve().parent] if on_path else []), *reversed(versions)]:
        if all((folder / name).exists() for name in ("initdb", "pg_ctl", "postgres")):
            return folder
    return None


def _from_debian() -> Path | None:
    return _installed() if install("postgresql", seconds=300) else None


def _account() -> tuple[int, int] | None:
    """User and group to run as: PostgreSQL refuses to be run by root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return found.pw_uid, found.pw_gid
    return 65534, 65534


def _memory() -> Path | None:
    """Where files lie in memory, if there is room for a few databases: each takes some 8 MB to copy."""
    shared = Path("/dev/shm")
    room = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 1 << 30
    return shared if room else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
