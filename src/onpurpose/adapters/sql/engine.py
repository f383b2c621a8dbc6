"""Opening the store of the control plane: a file of SQLite, or a database of PostgreSQL."""

from __future__ import annotations

import contextlib
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from onpurpose.adapters.sql import connection as log
from onpurpose.adapters.sql.migrations import is_current, upgrade
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import ConflictError, StoreError

CONNECT_SECONDS = 3
"""How long a connection to PostgreSQL may take."""

STATEMENT_SECONDS = 10
"""How long a statement may take, waiting for a lock included."""

LOCK_SECONDS = 60
"""How long a process waits for another that is bringing the database up, or wants to be alone with it."""

_MIGRATION_LOCK = 0x6F6E7075_0001
_ALONE_LOCK = 0x6F6E7075_0002
_POOL = {"pool_size": 5, "max_overflow": 10, "pool_timeout": STATEMENT_SECONDS, "pool_use_lifo": True}

# The log's writer moves pages into the file long before; this is for a file without a log being written.
_WAL_PAGES = 1 << 14
_PRAGMAS = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA foreign_keys = ON",
    "PRAGMA synchronous = FULL",
    f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}",
    f"PRAGMA journal_size_limit = {log.KEPT_WAL}",
)


class Store:
    """A database with the control plane's tables. Thread-safe; connections are made when they are needed.

    `name` is what errors call it: the path, or the URL without the password.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        self.is_postgres = engine.dialect.name == "postgresql"
        reading = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = engine.execution_options(**(reading if self.is_postgres else {"begin": "BEGIN"}))
        self._turn: threading.Semaphore | None = None if self.is_postgres else threading.Semaphore()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database throughout, to read it. Raises `StoreError`."""
        with told(self.name), self._reader.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction, durable at the end of the block, undone where the block raises.

        Raises `StoreError`, and `ConflictError` where a constraint of a table forbids what was written.
        """
        with told(self.name), self._turn_to_write(), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def _turn_to_write(self) -> Iterator[None]:
        """In SQLite one writes at a time: threads of ours wait for each other, who would else sleep and look again."""
        if self._turn is None:
            yield
            return
        if not self._turn.acquire(timeout=STATEMENT_SECONDS):
            raise StoreError(f"the store `{self.name}` cannot be used: others write to it all the time")
        try:
            yield
        finally:
            self._turn.release()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Within the block, no other process (or thread) is in such a block on this database.

        It is let go of when the process dies. Beside a file of SQLite stands then a `.lock`, empty, which
        may stay. Raises `StoreError`, also where it has to wait for longer than a minute.
        """
        held = contextlib.ExitStack()
        try:
            with told(self.name):
                if self.is_postgres:
                    _lock(held.enter_context(self.engine.begin()), _ALONE_LOCK)
                else:
                    held.enter_context(_locked_file(f"{self.name}.lock"))
            yield
        finally:
            with told(self.name):
                held.close()

    def close(self) -> None:
        """Close the connections. May be called twice."""
        self.engine.dispose()


def open_store(database: str) -> Store:
    """The store at a path, `sqlite:///path` or `postgresql://user:password@host/name`, brought up to date.

    A file is made where there is none, with the tables of the log in it. Raises `StoreError`.
    """
    url = _url(database)
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "").absolute()
        store = Store(_open_sqlite(path), str(path))
    else:
        store = Store(_open_postgres(url), _named(url))
    try:
        migrate(store.engine)
    except BaseException:
        store.close()
        raise
    return store


def migrate(engine: Engine) -> None:
    """Bring the database to the newest schema; of several processes one does, the others wait for it.

    All or nothing. Raises `StoreError`, also where the database's schema is newer than this code.
    """
    with told(_named(engine.url)):
        with engine.connect().execution_options(begin="BEGIN") as connection:
            if is_current(connection):
                return
        with engine.begin() as connection:  # in SQLite, this is the lock
            if engine.dialect.name == "postgresql":
                _lock(connection, _MIGRATION_LOCK)
                _refuse_encoding(connection)
            if not is_current(connection):
                upgrade(connection)


@contextlib.contextmanager
def told(name: str) -> Iterator[None]:
    """What goes wrong with the database within, told as `StoreError` or `ConflictError`."""
    try:
        yield
    except IntegrityError as error:
        raise ConflictError(f"what was written contradicts what the store holds: {_why(error)}") from error
    except _failures() as error:
        raise StoreError(f"the store `{name}` cannot be used: {_why(error)}") from error


def _lock(connection: Connection, number: int) -> None:
    """Hold the lock until the transaction ends; what follows in it may take its time."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({number})")


def _refuse_encoding(connection: Connection) -> None:
    """Refuse a database that cannot keep every text, before there is one in it."""
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        raise StoreError(
            f"the database has the encoding `{encoding}`\n"
            "help: make one with `CREATE DATABASE onpurpose ENCODING 'UTF8' TEMPLATE template0`"
        )


@contextlib.contextmanager
def _locked_file(path: str) -> Iterator[None]:
    # SQLite's own lock works on every system. A file of its own: within, the database is written to.
    with contextlib.closing(sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield


def _failures() -> tuple[type[Exception], ...]:
    # The last two are of values that no database keeps: half a surrogate pair, an integer of more than 64 bits.
    failures = (SQLAlchemyError, sqlite3.Error, OSError, UnicodeError, OverflowError)
    psycopg = sys.modules.get("psycopg")  # where it was not loaded, nothing of it can have gone wrong
    return failures if psycopg is None else (*failures, psycopg.Error)


def _why(error: Exception) -> str:
    """The database's own words, without the statement and its values."""
    original = getattr(error, "orig", None) or error
    primary = getattr(getattr(original, "diag", None), "message_primary", None)
    return str(primary or original).strip().partition("\n")[0]


def _url(database: str) -> URL:
    if "://" not in database:
        url = URL.create("sqlite", database=database)
    else:
        with told("given"):
            url = make_url(database.replace("postgres://", "postgresql://", 1))
    backend = url.get_backend_name()
    if backend not in {"sqlite", "postgresql"}:
        raise StoreError(f"`{backend}` is no database that can be used\nhelp: name a file, or `postgresql://...`")
    if backend == "sqlite" and (url.database or ":memory:").startswith((":memory:", "file:")):
        raise StoreError("the store must be a file\nhelp: name one, as in `onpurpose.db` or `sqlite:///onpurpose.db`")
    return url


def _named(url: URL) -> str:
    # The query may hold a password too.
    return url.set(drivername=url.get_backend_name(), query={}).render_as_string(hide_password=True)


def _open_sqlite(path: Path) -> Engine:
    try:
        # The log is particular about its file: it makes the first tables in it.
        log.connect(path, busy_timeout=STATEMENT_SECONDS).close()
    except (sqlite3.Error, OSError) as error:
        raise StoreError(str(log.describe(path, error)).replace("the log", "the store", 1)) from error
    except LedgerError as error:
        raise StoreError(str(error).replace("the log", "the store", 1)) from error
    place = f"{path.as_uri()}?mode=rw"  # a file that was moved away is missed, not made anew

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            place, uri=True, timeout=STATEMENT_SECONDS, isolation_level=None, check_same_thread=False
        )
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        return connection

    engine = create_engine(
        URL.create("sqlite", database=str(path)), creator=connect, poolclass=QueuePool, hide_parameters=True, **_POOL
    )

    # The driver would begin a transaction with its first change; whoever means to write has the lock from the start.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))

    return engine


def _open_postgres(url: URL) -> Engine:
    milliseconds = STATEMENT_SECONDS * 1000
    own = f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds // 2}"
    given = url.query.get("options", "")
    arguments: dict[str, object] = {
        "application_name": "onpurpose",
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": milliseconds,
        "keepalives_idle": STATEMENT_SECONDS,
        "keepalives_interval": CONNECT_SECONDS,
        "options": f"{own} {given if isinstance(given, str) else ' '.join(given)}".strip(),
    }
    kept = {name: value for name, value in arguments.items() if name == "options" or name not in url.query}
    try:
        return create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args=kept,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            hide_parameters=True,
            **_POOL,
        )
    except ModuleNotFoundError as error:
        raise StoreError(f"`{error.name}` is not installed\nhelp: pip install 'onpurpose[postgres]'") from error
