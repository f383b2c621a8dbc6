"""Walks expressions: every node is allowed by name, every column is resolved, or the answer is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from sqlglot import exp

from onpurpose.adapters.elements.allowed import FUNCTIONS, NODES, PLACES_OF_UNITS, UNITS
from onpurpose.adapters.elements.dialect import Dialect
from onpurpose.adapters.elements.scope import Scope
from onpurpose.adapters.elements.text import CannotTellError

QUERIES = (exp.Select, exp.SetOperation, exp.Subquery, exp.Values, exp.Insert, exp.Update, exp.Delete)
"""What is read as a statement of its own, inside the scope where it stands."""


class ReadsQueries(Protocol):
    """What reads the queries inside expressions."""

    def query(self, node: exp.Expr, parent: Scope | None) -> tuple[str, ...]:
        """Take in what the query touches; the names of its columns, empty where they have none."""
        ...


def only(node: exp.Expr, *known: str) -> None:
    """Refuse a node with a part beyond those known."""
    for key, value in node.args.items():
        if key not in known and value not in (None, False, "", []):
            raise CannotTellError(f"`{type(node).__name__}` with `{key.rstrip('_')}` is not read")


def many(node: exp.Expr, key: str) -> list[exp.Expr]:
    """The nodes of a part that is a list."""
    value = node.args.get(key) or []
    if not isinstance(value, list) or not all(isinstance(each, exp.Expr) for each in value):
        raise CannotTellError(f"`{type(node).__name__}` with `{key.rstrip('_')}` is not read")
    return value


def name_of(node: object) -> tuple[str, bool]:
    """A name, and whether it was quoted."""
    if not isinstance(node, exp.Identifier) or not isinstance(node.this, str):
        raise CannotTellError("an expression stands where a name is expected")
    if node.this == "0" or not node.this:
        raise CannotTellError("a literal stands where a name is expected")
    return node.this, bool(node.args.get("quoted"))


class Expressions:
    """Takes in what expressions touch."""

    def __init__(self, dialect: Dialect, queries: ReadsQueries) -> None:
        self._dialect, self._queries = dialect, queries
        self.elements: set[str] = set()

    def column_name(self, node: object) -> str:
        """A column's name as the database keeps it."""
        return self._dialect.column(*name_of(node))

    def table_name(self, node: object) -> str:
        """A table's, query's or alias's name as the database keeps it."""
        return self._dialect.table(*name_of(node))

    def take(self, roots: Iterable[object], scope: Scope, *, wide: bool = False) -> None:
        """Take in what the expressions touch; `wide` as in `Scope.column`."""
        waiting = [(root, None) for root in roots if isinstance(root, exp.Expr)]
        stack: list[tuple[exp.Expr, exp.Expr | None]] = list(waiting)
        while stack:
            node, parent = stack.pop()
            if isinstance(node, QUERIES):
                self._queries.query(node, scope)
            elif isinstance(node, exp.Column):
                self.elements.update(self._column(node, scope, wide=wide))
            else:
                stack += [(child, node) for child in self._children(node, parent)]

    def _children(self, node: exp.Expr, parent: exp.Expr | None) -> Sequence[exp.Expr]:
        if isinstance(node, exp.Star):
            only(node)
            if not isinstance(parent, exp.Count):
                raise CannotTellError("`*` inside an expression")
            return ()
        if isinstance(node, exp.DataType):
            return _checked_type(node)
        if isinstance(node, exp.Var | exp.Parameter):
            return self._checked_word(node, parent)
        if isinstance(node, exp.Collate):
            return [node.this]
        if isinstance(node, exp.Window):
            return _parts_of_window(node)
        if isinstance(node, exp.Anonymous):
            if not isinstance(node.this, str) or node.this.lower() not in FUNCTIONS:
                raise CannotTellError(f"the function `{node.name[:80]}` may touch more than its arguments")
        elif type(node) not in NODES:
            raise CannotTellError(f"`{type(node).__name__}` may touch more than it shows")
        if isinstance(node, exp.In) and node.args.get("field") is not None:
            raise CannotTellError("`IN` with a name may be a table")
        return list(node.iter_expressions())

    def _checked_word(self, node: exp.Expr, parent: exp.Expr | None) -> Sequence[exp.Expr]:
        if isinstance(node, exp.Parameter):
            if not isinstance(node.this, exp.Literal) or not self._dialect.rows:
                raise CannotTellError("a variable of the session may hold what was read before")
        elif node.name.lower() not in UNITS or not (isinstance(parent, PLACES_OF_UNITS) or node.name == "0"):
            raise CannotTellError(f"`{node.name[:80]}` may be a column")
        return ()

    def _column(self, node: exp.Column, scope: Scope, *, wide: bool) -> Sequence[str]:
        only(node, "this", "table", "db")
        table = node.args.get("table")
        if isinstance(node.this, exp.Star):
            only(node.this)
            return scope.source(self.table_name(table)).every_element()
        column = self.column_name(node.this)
        if table is None:
            row = self._dialect.table(*name_of(node.this))
            return scope.column(column, row if self._dialect.rows else "", wide=wide)
        source = scope.source(self.table_name(table))
        if node.args.get("db") is not None and source.table != f"{self.table_name(node.args['db'])}.{table.name}":
            raise CannotTellError(f"`{node.sql()[:80]}` is no column in reach")
        if source.columns is not None and column not in source.columns:
            raise CannotTellError(f"`{column}` is no column of `{self.table_name(table)}`")
        touched = list(source.element(column))
        if source.columns is None:  # a name may reach past a table that has no such column, to one around it
            others = [each.sources.get(self.table_name(table)) for each in scope.around()]
            for other in others:
                if other is not None and (other.columns is None or column in other.columns):
                    touched += other.element(column)
        return touched


def _checked_type(node: exp.DataType) -> Sequence[exp.Expr]:
    """No names in a type: a type of one's own may call functions of its own."""
    for part in node.walk():
        plain = isinstance(part, exp.DataType | exp.DataTypeParam | exp.Literal | exp.Interval | exp.IntervalSpan)
        if not plain or (isinstance(part, exp.DataType) and part.this == exp.DType.USERDEFINED):
            raise CannotTellError("a type that the database does not bring along")
    return ()


def _parts_of_window(node: exp.Window) -> Sequence[exp.Expr]:
    only(node, "this", "partition_by", "order", "spec", "alias", "over")
    parts = [*many(node, "partition_by"), node.args.get("order"), node.args.get("spec")]
    if not isinstance(node.this, exp.Identifier):  # in a `WINDOW` clause it is the window's name
        parts.append(node.this)
    return [part for part in parts if isinstance(part, exp.Expr)]
