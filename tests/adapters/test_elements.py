"""What statements touch, by a table; what cannot be told says why."""

from __future__ import annotations

import pytest

from onpurpose.adapters.elements import SqlElements
from onpurpose.ports import ElementReader
from tests.adapters.elements_cases import DIALECTS, KNOWN, PLAIN, SCHEMA


def told(reader: ElementReader, sql: str) -> str | None:
    touched = reader.read(sql)
    assert (touched.elements is None) == bool(touched.why)
    return None if touched.elements is None else ";".join(touched.elements)


def expected(elements: str | None) -> str | None:
    if elements is None:
        return None
    parts = elements.replace("users.first name", "users.first_name").split()
    return ";".join(part.replace("first_name", "first name") for part in sorted(parts))


@pytest.mark.parametrize(("sql", "elements"), PLAIN)
def test_a_statement_touches_what_it_names_or_it_cannot_be_told(sql: str, elements: str | None) -> None:
    assert told(SqlElements(), sql) == expected(elements), SqlElements().read(sql).why


@pytest.mark.parametrize(("sql", "elements"), KNOWN)
def test_a_schema_resolves_what_names_alone_do_not(sql: str, elements: str | None) -> None:
    reader = SqlElements(schema=SCHEMA)
    assert told(reader, sql) == expected(elements), reader.read(sql).why


@pytest.mark.parametrize(("dialect", "sql", "elements"), DIALECTS)
def test_each_dialect_has_its_own_way_with_names_and_quotes(dialect: str, sql: str, elements: str | None) -> None:
    reader = SqlElements(dialect)
    assert told(reader, sql) == expected(elements), reader.read(sql).why
