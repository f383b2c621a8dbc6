"""What SQLite itself says it reads and writes is among what is told, or it is not told at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpurpose.adapters.elements import SqlElements
from tests.adapters.elements_cases import DIALECTS, KNOWN, PLAIN, SCHEMA
from tests.adapters.elements_queries import TABLES, grounded, statements

PERMITTED, IGNORED = sqlite3.SQLITE_OK, sqlite3.SQLITE_IGNORE
ALL = TABLES | {name: SCHEMA[name] for name in ("users", "orders")}
READERS = {"no schema": SqlElements("sqlite"), "a schema": SqlElements("sqlite", schema=ALL)}


class Observed:
    """A database that remembers what a statement touches when it is prepared."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        for table, columns in ALL.items():
            self.connection.execute(f"CREATE TABLE {table} ({', '.join(columns)})")
            self.connection.execute(f"CREATE UNIQUE INDEX {table}_key ON {table} ({columns[0]})")
        self.touched: set[tuple[str, str]] = set()
        self.connection.set_authorizer(self._authorize)

    def _authorize(self, action: int, one: str | None, two: str | None, *_: object) -> int:
        if action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_UPDATE):
            self.touched.add((str(one).lower(), str(two).lower()))
        elif action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_DELETE):
            self.touched.add((str(one).lower(), ""))
        return PERMITTED

    def touches(self, sql: str) -> set[tuple[str, str]] | None:
        """Tables and columns, an empty one where only rows are touched; `None` where SQLite refuses the statement."""
        self.touched = set()
        try:
            self.connection.execute(f"EXPLAIN {sql}").fetchall()
        except (sqlite3.Error, sqlite3.Warning):
            return None
        return {(table, column) for table, column in self.touched if table in ALL}


@pytest.fixture(scope="module")
def observed() -> Iterator[Observed]:
    database = Observed()
    with closing(database.connection):
        yield database


def missing(touched: set[tuple[str, str]], elements: tuple[str, ...]) -> set[str]:
    """What SQLite touches and was not told; a table without columns must at least be named."""
    tables = {element.rpartition(".")[0] for element in elements}
    named = {f"{table}.{column}" for table, column in touched if column} - {*elements}
    return named | {table for table, column in touched if not column and table not in tables}


@settings(max_examples=100)
@given(sql=grounded() | grounded() | statements())
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_nothing_that_sqlite_touches_goes_untold(observed: Observed, reader: SqlElements, sql: str) -> None:
    touched, told = observed.touches(sql), reader.read(sql)
    if touched is not None and told.elements is not None:
        assert missing(touched, told.elements) == set(), (sql, told)


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_nothing_goes_untold_in_the_tables_of_statements(observed: Observed, reader: SqlElements) -> None:
    tried = 0
    for sql in {sql for sql, _ in PLAIN + KNOWN} | {sql for _, sql, _ in DIALECTS}:
        touched, told = observed.touches(sql.split(";")[0]), reader.read(sql.split(";")[0])
        if touched is not None and told.elements is not None:
            assert missing(touched, told.elements) == set(), (sql, told)
            tried += 1
    assert tried > 40


def test_the_generated_statements_are_mostly_run_and_mostly_told(observed: Observed) -> None:
    counted = {"run": 0, "told": 0}
    of = 80

    @settings(max_examples=of, derandomize=True, database=None)
    @given(sql=grounded())
    def count(sql: str) -> None:
        touched = observed.touches(sql)
        counted["run"] += touched is not None
        counted["told"] += touched is not None and READERS["a schema"].read(sql).elements is not None

    count()
    assert counted["run"] > of // 3
    assert counted["told"] > counted["run"] // 2


@given(column=st.sampled_from(["a", "b", "c"]))
def test_what_is_told_is_no_more_than_sqlite_touches_where_all_is_plain(observed: Observed, column: str) -> None:
    sql = f"SELECT {column} FROM t WHERE a > 1 ORDER BY b"
    told = READERS["a schema"].read(sql)
    assert {tuple(element.split(".")) for element in told.elements or ()} == observed.touches(sql)
