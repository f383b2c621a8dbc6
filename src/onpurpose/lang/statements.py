"""Where calls carry SQL, as the settings of a workspace state it: nodes -> `SqlSource`."""

from __future__ import annotations

import re

from onpurpose.core.purpose import SQL_DIALECTS, SqlSource
from onpurpose.lang import shapes
from onpurpose.lang.arguments import segments
from onpurpose.lang.conditions import capability
from onpurpose.lang.nodes import Mapping, Node, Sequence
from onpurpose.lang.report import Report, shortened

_CURE = "write `- {capability: crm.query, path: query, dialect: postgres}`"
_ENTRY = shapes.Form("sql", _CURE, ("capability", "path", "dialect", "schema"), ("capability", "path", "dialect"))
_DIALECTS = {dialect: dialect for dialect in SQL_DIALECTS}
_TABLE = re.compile(r"[\w$-]+(?:\.[\w$-]+)?")
_COLUMN = re.compile(r"[\w$-]+")


def sql_sources(node: Node, report: Report) -> tuple[SqlSource, ...]:
    """The entries of `sql`, those that can be read; what is wrong with the others is told."""
    if not isinstance(node, Sequence):
        shapes.expected(node, report, "sql", "a list of entries", _CURE)
        return ()
    shapes.not_empty(node, report, "sql")
    return tuple(found for child in node.children if (found := _source(child, report)) is not None)


def _source(node: Node, report: Report) -> SqlSource | None:
    fields = shapes.fields(node, report, _ENTRY)
    name = capability(fields["capability"], report) if "capability" in fields else None
    path = _path(fields["path"], report) if "path" in fields else None
    dialect = shapes.word_of(fields["dialect"], report, "dialect", _DIALECTS) if "dialect" in fields else None
    schema = _schema(fields["schema"], report) if "schema" in fields else None
    if name is None or path is None or dialect is None:
        return None
    return SqlSource(capability=name, path=path, dialect=dialect, schema=schema)


def _path(node: Node, report: Report) -> tuple[str, ...] | None:
    written = shapes.text(node, report, "path")
    return None if written is None else segments(node, written, report)


def _schema(node: Node, report: Report) -> dict[str, tuple[str, ...]]:
    """The tables with their columns, as the database keeps the names; what is wrong with one is told."""
    found: dict[str, tuple[str, ...]] = {}
    if isinstance(node, Mapping):
        shapes.not_empty(node, report, "schema")
    for key, table, value in shapes.pairs(node, report, "schema", "write `schema: {users: [id, name]}`"):
        if not _TABLE.fullmatch(table):
            message = f"`{shortened(table)}` is no table: `table` or `schema.table`"
            report.on(key, "malformed-table", message, "write letters, digits, `_`, `$` and `-`")
        found[table] = _columns(value, report, shortened(table))
    return found


def _columns(node: Node, report: Report, table: str) -> tuple[str, ...]:
    def column(child: Node, text: str) -> str | None:
        if _COLUMN.fullmatch(text):
            return text
        message = f"`{shortened(text)}` is no column"
        report.on(child, "malformed-column", message, "write letters, digits, `_`, `$` and `-`")
        return None

    return shapes.each(node, report, table, column) or ()
