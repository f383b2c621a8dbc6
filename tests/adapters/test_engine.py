"""Opening a store, and bringing it up to date, on both databases."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from msgspec.structs import replace
from sqlalchemy import Connection, Index, func, insert, inspect, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql import SqliteArchive, SqliteLedger, migrations, tables
from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import Store, migrate, open_store
from onpurpose.adapters.sql.migrations import VERSION_TABLE, upgrade, versions
from onpurpose.adapters.sql.sign_ins import SqlIdentities
from onpurpose.core.access import Workspace
from onpurpose.core.record import Record
from onpurpose.core.revision import Change, ConflictError, Kind, StoreError
from onpurpose.core.session import LinkedIdentity
from tests.postgres import PostgresServer, Server
from tests.postgres import database as database_on

KEY_OF_OLD = (
    "INSERT INTO api_keys (workspace, id, name, prefix, hash, scopes, created_by, created_at)"
    " VALUES ('acme', 'k', '', '', :hash, '[]', '', 1)"
)
USER_OF_OLD = (
    """INSERT INTO users (workspace, id, name, email, "groups", created_at) VALUES ('acme', 'u', '', '', '["a"]', 1)"""
)
ACME = {"id": "acme", "name": "Acme", "created_at": 1, "version": 1}


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    postgres = request.param == "postgresql"
    return request.getfixturevalue("postgres_url") if postgres else str(tmp_path / "onpurpose.db")


@pytest.fixture
def store(database: str) -> Iterator[Store]:
    with contextlib.closing(open_store(database)) as opened:
        yield opened


def only_ours(name: str | None, kind: str, _: object) -> bool:
    return kind != "table" or name in tables.metadata.tables


def differences(connection: Connection) -> list[object]:
    options = {"version_table": VERSION_TABLE, "include_name": only_ours, "compare_type": True}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata))


def schema(store: Store) -> dict[str, list[str]]:
    found = inspect(store.engine)
    return {name: [column["name"] for column in found.get_columns(name)] for name in found.get_table_names()}


# -- migrations


def test_an_empty_database_is_brought_to_the_schema_that_the_code_uses(store: Store) -> None:
    with store.reading() as connection:
        assert differences(connection) == []
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == versions()[0]


def test_a_database_that_is_up_to_date_is_left_as_it_is(store: Store, database: str) -> None:
    with store.writing() as connection:
        connection.execute(insert(tables.workspaces).values(ACME))
    before = schema(store)
    migrate(store.engine)
    with contextlib.closing(open_store(database)) as second:
        assert schema(second) == before
        assert SqlAccess(second).workspaces() == [Workspace(id="acme", name="Acme", created_at=1)]


def test_the_versions_are_those_that_alembic_finds_in_its_order() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert versions() == [script.revision for script in scripts.walk_revisions()]


def test_a_database_that_is_up_to_date_is_opened_without_what_makes_tables(store: Store, database: str) -> None:
    code = "import sys; from onpurpose.adapters.sql.engine import open_store; open_store(sys.argv[1]).close()"
    code += "; print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, database], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("version", versions())
def test_every_version_is_brought_up_with_what_it_holds(store: Store, version: str) -> None:
    newest = schema(store)
    with store.writing() as connection:
        tables.metadata.drop_all(connection)
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
        upgrade(connection, version)
        connection.execute(text("INSERT INTO workspaces VALUES ('acme', 'Acme', 1, 1)"))
        connection.execute(text(KEY_OF_OLD), {"hash": b"h" * 32})
        connection.execute(text(USER_OF_OLD))
    migrate(store.engine)
    assert schema(store) == newest
    with store.reading() as connection:
        assert differences(connection) == []
    assert SqlDocuments(store).versions() == {"acme": 1}
    assert [(key.id, key.hash, key.user) for key in SqlAccess(store).keys()] == [("k", b"h" * 32, None)]  # noqa: SIM118  no mapping
    assert [(user.id, user.groups, user.slack) for user in SqlAccess(store).users("acme")] == [("u", ("a",), None)]


def test_whoever_was_there_before_identities_were_kept_can_be_linked_once(store: Store) -> None:
    with store.writing() as connection:
        tables.metadata.drop_all(connection)
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
        upgrade(connection, "0004_sign_in")
        connection.execute(text("INSERT INTO workspaces VALUES ('acme', 'Acme', 1, 1)"))
        connection.execute(text(USER_OF_OLD))
    migrate(store.engine)
    identities = SqlIdentities(store)
    assert identities.of("acme", "u") == []
    linked = LinkedIdentity(
        workspace="acme", issuer="https://idp.example", subject="s", user="u", email="", linked_at=2**62
    )
    identities.link(linked, notes=[])
    for other in (linked, replace(linked, subject="t")):
        with pytest.raises(ConflictError):
            identities.link(other, notes=[])
    assert identities.of("acme", "u") == [linked]


def test_indexes_are_made_as_the_tables_say(store: Store) -> None:
    for table in tables.metadata.tables.values():
        wanted = {index.name: (bool(index.unique), str(partial(index, store))) for index in table.indexes}
        found = inspect(store.engine).get_indexes(table.name)
        made = {
            one["name"]: (bool(one["unique"]), folded(one["dialect_options"].get(f"{dialect(store)}_where")))
            for one in found
            if "duplicates_constraint" not in one
        }
        assert made == wanted, table.name


def dialect(store: Store) -> str:
    return store.engine.dialect.name


def partial(index: Index, store: Store) -> object:
    return index.dialect_options[dialect(store)]["where"]


def folded(condition: object) -> str:
    """PostgreSQL writes a condition back with brackets and casts."""
    return str(condition).replace("::text", "").strip("()")


def test_a_database_of_a_newer_version_is_refused_and_left_alone(store: Store, database: str) -> None:
    with store.writing() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999_of_tomorrow'"))
    with pytest.raises(StoreError, match=rf"`9999_of_tomorrow`, this one knows `{versions()[0]}`\)\nhelp: "):
        open_store(database)
    with store.reading() as connection:
        assert connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == "9999_of_tomorrow"


def test_a_migration_that_fails_changes_nothing(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(text(f"DROP TABLE {VERSION_TABLE}"))
        connection.execute(text("DROP TABLE workspaces" + (" CASCADE" if store.is_postgres else "")))
    before = schema(store)
    with pytest.raises(StoreError, match="exists"):  # `revisions` does, when `workspaces` has just been made
        migrate(store.engine)
    assert schema(store) == before


OPEN = """
import sys
from onpurpose.adapters.sql.engine import open_store
print("ready", flush=True)
sys.stdin.readline()
store = open_store(sys.argv[1])
with store.reading() as connection:
    print(connection.exec_driver_sql("SELECT count(*) FROM workspaces").scalar())
store.close()
"""


def test_processes_that_start_at_once_make_the_tables_once(database: str) -> None:
    command = [sys.executable, "-c", OPEN, database]
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(2)
        ]
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        assert [(process.communicate(timeout=60)[0], process.returncode) for process in started] == [("0\n", 0)] * 2


def test_threads_that_open_at_once_make_the_tables_once(database: str) -> None:
    begin, opened = threading.Barrier(4), []

    def open_it() -> None:
        begin.wait(10)
        opened.append(open_store(database))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in opened:
        one.close()
    assert len(opened) == 4


# -- transactions


def test_a_block_that_raises_changes_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.writing() as connection:
        assert connection.execute(insert(tables.workspaces).values(ACME)).rowcount / 0
    assert SqlAccess(store).workspaces() == []


def test_who_reads_sees_one_state(store: Store) -> None:
    with store.reading() as connection:
        count = select(func.count()).select_from(tables.workspaces)
        assert connection.scalar(count) == 0
        with store.writing() as other:
            other.execute(insert(tables.workspaces).values(ACME))
        assert connection.scalar(count) == 0
    with store.reading() as connection:
        assert connection.scalar(count) == 1


def test_what_a_constraint_forbids_is_a_conflict_that_shows_no_value(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(insert(tables.workspaces).values({**ACME, "id": "hush"}))
    with pytest.raises(ConflictError) as caught, store.writing() as connection:
        connection.execute(insert(tables.workspaces).values({**ACME, "id": "hush"}))
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("statement", ["SELECT * FROM nowhere", "SELEC", "DROP TABLE nowhere"])
def test_whatever_fails_is_a_store_error(store: Store, statement: str) -> None:
    with pytest.raises(StoreError, match="the store `"), store.writing() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("name", ["\ud800", 2**70])
def test_a_value_that_no_database_keeps_is_a_store_error(store: Store, name: object) -> None:
    with pytest.raises(StoreError), store.writing() as connection:
        connection.execute(insert(tables.workspaces).values({**ACME, "version": name}))


def test_one_at_a_time_is_alone_and_may_write_meanwhile(store: Store, database: str) -> None:
    order, waits, entered = [], threading.Event(), threading.Event()

    def come_second() -> None:
        with contextlib.closing(open_store(database)) as second:
            waits.set()
            with second.alone():
                order.append(len(SqlAccess(second).workspaces()))
                entered.set()

    other = threading.Thread(target=come_second)
    with store.alone():
        other.start()
        assert waits.wait(20)
        assert not entered.wait(0.1)
        SqlAccess(store).put(Workspace(id="acme", name="", created_at=1), notes=[])
    other.join(20)
    assert order == [1]


def test_who_is_alone_lets_go_when_something_fails(store: Store) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), store.alone():
            assert 1 / 0


# -- SQLite


def test_the_log_and_the_store_share_a_file_whoever_comes_first(tmp_path: Path) -> None:
    for order in ("log first", "store first"):
        path = tmp_path / f"{order}.db"
        ledger = SqliteLedger(path, signer=KeyFile(Path(f"{path}.key"), Path(f"{path}.pub")))
        if order == "log first":
            ledger.append(Record("decision", b"{}")).result(10)
        with contextlib.closing(open_store(f"sqlite:///{path}")) as store:
            SqlAccess(store).put(Workspace(id="acme", name="", created_at=1), notes=[b"note"])
            ledger.append(Record("decision", b"{}")).result(10)
            ledger.close()
            assert SqlDocuments(store).unsent(10) == [(1, b"note")]
        with SqliteArchive(path) as archive:
            assert [one.body for one in archive.records()].count(b"{}") == 1 + (order == "log first")


def test_a_commit_to_a_file_is_durable_and_keys_are_checked(tmp_path: Path) -> None:
    with contextlib.closing(open_store(str(tmp_path / "onpurpose.db"))) as store, store.reading() as connection:
        values = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "trusted_schema")
        }
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000, "trusted_schema": 0}
    assert values == wanted


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    open_store(str(tmp_path / "onpurpose.db")).close()
    assert (tmp_path / "onpurpose.db").stat().st_mode & 0o777 == 0o600


def test_a_file_that_was_taken_away_is_not_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "onpurpose.db"
    with contextlib.closing(open_store(str(path))) as store:
        store.engine.dispose()
        path.unlink()
        with pytest.raises(StoreError, match="unable to open"):
            SqlAccess(store).workspaces()
    assert not path.exists()


def test_a_file_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (n)")
    with pytest.raises(StoreError, match="it is no log of onpurpose"):
        open_store(str(path))
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


@pytest.mark.parametrize(
    ("database", "why"),
    [
        ("{tmp}/no/such/folder/x.db", "No such file or directory"),
        (":memory:", "must be a file"),
        ("sqlite://", "must be a file"),
        ("sqlite:///:memory:", "must be a file"),
        ("", "must be a file"),
        ("mysql://root:hush@localhost/db", "`mysql` is no database"),
        ("://", "cannot be used"),
        ("postgresql://me:hush@127.0.0.1:99999999/db", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_without_its_password(tmp_path: Path, database: str, why: str) -> None:
    with pytest.raises(StoreError, match=why) as caught:
        open_store(database.format(tmp=tmp_path))
    assert "hush" not in str(caught.value)


# -- PostgreSQL


def test_a_password_shows_nowhere(postgres_url: str) -> None:
    url = make_url(postgres_url)
    assert url.password
    with contextlib.closing(open_store(postgres_url.replace("postgresql://", "postgres://"))) as store:
        assert store.name == f"postgresql://{url.username}:***@{url.host}:{url.port}/{url.database}"
    moved = url.set(password=None, query={"password": "hush", "user": "nobody"})
    with pytest.raises(StoreError, match="authentication") as caught:
        open_store(moved.render_as_string(hide_password=False))
    assert "hush" not in str(caught.value)


def test_statements_have_a_time_limit_that_the_url_may_change(postgres_url: str) -> None:
    given = f"{postgres_url}?options=-c%20statement_timeout%3D3s&application_name=mine"
    for database, wanted in ((postgres_url, ("10s", "onpurpose")), (given, ("3s", "mine"))):
        with contextlib.closing(open_store(database)) as store, store.reading() as connection:
            limit = connection.exec_driver_sql("SHOW statement_timeout").scalar()
            assert (limit, connection.exec_driver_sql("SHOW application_name").scalar()) == wanted


def test_a_database_that_cannot_keep_every_text_is_refused(postgres: Server) -> None:
    latin = database_on(postgres, options="ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
    with latin as url, pytest.raises(StoreError, match="`LATIN1`\nhelp: "):
        open_store(url)


def test_who_reads_postgres_cannot_write(postgres_url: str) -> None:
    insertion = insert(tables.workspaces).values(ACME)
    refused = pytest.raises(DBAPIError, match="read-only")
    with contextlib.closing(open_store(postgres_url)) as store, store.reading() as connection, refused:
        connection.execute(insertion)


def test_a_server_that_stops_and_starts_is_found_again(own_postgres: PostgresServer) -> None:
    with contextlib.closing(open_store(own_postgres.url())) as store:
        documents, access = SqlDocuments(store), SqlAccess(store)
        with contextlib.closing(documents):
            access.put(Workspace(id="acme", name="Acme", created_at=1), notes=[b"note"])
            documents.wait(0)
            own_postgres.kill()
            with pytest.raises(StoreError):
                access.workspaces()
            with pytest.raises(StoreError):
                documents.change("acme", [], author="", at=1, reason="", notes=[])
            documents.wait(0.01)
            own_postgres.start()
            assert documents.unsent(10) == [(1, b"note")]
            change = Change(kind=Kind.POLICY, name="p", expected=0, text="x", live=1)
            assert documents.change("acme", [change], author="", at=1, reason="", notes=[]) == 2
            documents.wait(60)  # the new connection ends it at once: something may have changed meanwhile
            access.put(Workspace(id="other", name="", created_at=1), notes=[])
            documents.wait(60)
            assert documents.versions() == {"acme": 2, "other": 1}


def test_of_threads_that_write_to_a_file_one_writes_and_who_waits_too_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.closing(open_store(str(tmp_path / "t.db"))) as store:
        monkeypatch.setattr("onpurpose.adapters.sql.engine.STATEMENT_SECONDS", 0.01)
        with store.writing(), pytest.raises(StoreError, match="others write to it"), store.writing():
            raise AssertionError("two write at once")
        with store.writing() as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
