"""What holds of every statement: more columns never touch less, and no text breaks or holds up the reader."""

from __future__ import annotations

import logging
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onpurpose.adapters.elements import SqlElements
from tests.adapters.elements_queries import TABLES, columns, expressions, joined, statements

READERS = [SqlElements(), SqlElements(schema=TABLES), SqlElements("sqlite", schema=TABLES)]


@settings(max_examples=30)
@given(data=st.data(), source=joined(), one=expressions(), more=columns())
@pytest.mark.parametrize("reader", READERS)
def test_a_column_more_never_touches_less(
    reader: SqlElements, data: st.DataObject, source: str, one: str, more: str
) -> None:
    places = ["SELECT {1}{m} FROM {s}", "SELECT {1} FROM {s} WHERE {1}{m}", "SELECT {1} FROM {s} ORDER BY {1}{m}",
              "SELECT {1} FROM {s} GROUP BY {1}{m}", "WITH q AS (SELECT {1}{m} FROM {s}) SELECT 1 FROM q",
              "SELECT 1 FROM t WHERE EXISTS (SELECT {1}{m} FROM {s})"]  # fmt: skip
    place = data.draw(st.sampled_from(places))
    glue = " IS NOT NULL AND " if "WHERE {1}{m}" in place else ", "
    less = reader.read(place.replace("{1}", one).replace("{s}", source).replace("{m}", ""))
    adding = place.replace("{1}{m}", f"{one}{glue}{more}").replace("{1}", one).replace("{s}", source)
    told = reader.read(adding)
    if told.elements is None:
        return
    if less.elements is None:  # a table of which no column was named: every column counted, and now one is named
        assert less.why.startswith("every column of")
        return
    whole = {table for table, held in TABLES.items() if {f"{table}.{each}" for each in held} <= {*less.elements}}
    assert {each for each in less.elements if each.partition(".")[0] not in whole} <= {*told.elements}
    assert {each.rpartition(".")[0] for each in less.elements} <= {each.rpartition(".")[0] for each in told.elements}


@settings(max_examples=30)
@given(sql=st.text() | st.text(alphabet="SELCTFROM abu.,()*'\"-/;[]$:\n1") | statements().map(lambda sql: sql[3:]))
@pytest.mark.parametrize("dialect", ["postgres", "mysql", "sqlite", "snowflake", "bigquery"])
def test_no_text_breaks_the_reader(dialect: str, sql: str) -> None:
    told = SqlElements(dialect).read(sql)
    assert (told.elements is None) == bool(told.why)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "ARRAY[" * 19 + "a" + "]" * 19 + " FROM t",
        "SELECT a::" + "numeric(" * 12 + "1" + ")" * 12 + " FROM t",
        "SELECT " + "lower((" * 500 + "a" + "))" * 500 + " FROM t",
        "SELECT " + "CASE WHEN " * 500 + "a" + " THEN 1 END" * 500 + " FROM t",
        "SELECT a" + "[1]" * 30_000 + " FROM t",
        "SELECT " + "NOT " * 9_000 + "a FROM t",
        "SELECT a" + " + a" * 30_000 + " FROM t",
        "(" * 100_000,
        "/*" * 50_000,
        "".join(f"$a{number}$" for number in range(12_000)),
        "'" * 99_999,
        "SELECT a FROM t -- " + "x" * 100 * 1024,
    ],
    ids=lambda sql: sql[:20],
)
def test_what_is_too_much_is_refused_soon(sql: str) -> None:
    started = time.process_time()
    assert SqlElements().read(sql).elements is None
    assert time.process_time() - started < 5


def test_a_long_chain_is_told() -> None:
    sql = "SELECT a FROM t WHERE " + " AND ".join(["b = 1"] * 1000)
    assert SqlElements().read(sql).elements == ("t.a", "t.b")


def test_nothing_of_a_statement_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        for sql in (
            "SELECT x -> '$..secret' FROM t",
            "ALTER SYSTEM SET secret = 'x'",
            "CALL secret('x')",
            "SHOW secret",
        ):
            SqlElements().read(sql)
    assert "secret" not in caplog.text


def test_another_dialect_is_refused() -> None:
    with pytest.raises(ValueError, match="no dialect that is read"):
        SqlElements("oracle")
