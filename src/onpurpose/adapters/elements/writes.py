"""Reads statements that write: the columns written count as touched, like those read on the way."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot import exp

from onpurpose.adapters.elements.expressions import many, name_of, only
from onpurpose.adapters.elements.queries import Queries
from onpurpose.adapters.elements.scope import Scope, Source
from onpurpose.adapters.elements.text import CannotTellError


class Writes(Queries):
    """Queries, and statements that write."""

    def _query(self, node: exp.Expr, scope: Scope) -> tuple[str, ...]:
        if isinstance(node, exp.Insert):
            return self._insert(node, scope)
        if isinstance(node, exp.Update):
            return self._update(node, scope)
        if isinstance(node, exp.Delete):
            return self._delete(node, scope)
        if isinstance(node, exp.Merge):
            return self._merge(node, scope)
        return super()._query(node, scope)

    def _target(self, node: object, scope: Scope) -> Source:
        """The table written; never a query of `WITH`."""
        if not isinstance(node, exp.Table) or node.args.get("joins"):
            raise CannotTellError("what is written is no single table")
        queries, scope.queries = scope.queries, {}
        source = self.table(node, scope)
        scope.queries = queries
        return source

    def _write(self, target: Source, columns: Sequence[object]) -> None:
        for column in columns:
            self.expressions.elements.update(target.element(self.expressions.column_name(column)))

    def _write_all(self, target: Source) -> None:
        self.expressions.elements.update(target.every_element())

    def _insert(self, node: exp.Insert, scope: Scope) -> tuple[str, ...]:
        only(node, "with_", "this", "expression", "conflict", "returning", "default")
        self.with_queries(node, scope)
        columns = None
        table = node.this
        if isinstance(table, exp.Schema):
            only(table, "this", "expressions")
            columns, table = many(table, "expressions"), table.this
        if isinstance(node.expression, exp.Values):
            only(node.expression, "expressions")
            self.expressions.take(
                map(_without_defaults, many(node.expression, "expressions")), Scope(None, scope.queries)
            )
        elif node.expression is not None:
            self.query(node.expression, Scope(None, scope.queries))
        target = self._target(table, scope)
        if columns is None:
            self._write_all(target)
        else:
            self._write(target, columns)
        conflict = node.args.get("conflict")
        if conflict is not None:
            self._conflict(conflict, target, scope)
        return self._returning(node, scope)

    def _conflict(self, node: exp.Expr, target: Source, scope: Scope) -> None:
        only(node, "expressions", "action", "conflict_keys", "where", "duplicate", "index_predicate")
        inner = Scope(None, scope.queries, dict(scope.sources))
        self.expressions.take(
            (key.this if isinstance(key, exp.Ordered) else key for key in many(node, "conflict_keys")), inner
        )
        self.expressions.take([node.args.get("index_predicate")], inner)
        rows = Scope(Scope(None, scope.queries, {"excluded": target}), scope.queries, inner.sources)
        self._set(many(node, "expressions"), target, rows)
        where = node.args.get("where")
        if where is not None:
            self.expressions.take([where.this], rows)

    def _set(self, assignments: Sequence[exp.Expr], target: Source, scope: Scope) -> None:
        for each in assignments:
            if not isinstance(each, exp.EQ):
                raise CannotTellError("an assignment that is not read")
            written = each.this.expressions if isinstance(each.this, exp.Tuple) else [each.this]
            for column in written:
                if not isinstance(column, exp.Column) or column.args.get("db") is not None:
                    raise CannotTellError("an assignment to something else than a column")
                table = column.args.get("table")
                if table is not None and scope.source(self.expressions.table_name(table)) is not target:
                    raise CannotTellError("an assignment to another table")
                self._write(target, [column.this])
            self.expressions.take([_without_defaults(each.expression)], scope)

    def _update(self, node: exp.Update, scope: Scope) -> tuple[str, ...]:
        only(node, "with_", "this", "expressions", "from_", "where", "returning")
        self.with_queries(node, scope)
        target = self._target(node.this, scope)
        from_ = node.args.get("from_")
        if from_ is not None:
            only(from_, "this")
            self.source(from_.this, scope)
        self._set(many(node, "expressions"), target, scope)
        return self._filtered(node, scope)

    def _delete(self, node: exp.Delete, scope: Scope) -> tuple[str, ...]:
        only(node, "with_", "this", "using", "where", "returning")
        self.with_queries(node, scope)
        self._write_all(self._target(node.this, scope))
        for source in many(node, "using"):
            self.source(source, scope)
        return self._filtered(node, scope)

    def _filtered(self, node: exp.Expr, scope: Scope) -> tuple[str, ...]:
        where = node.args.get("where")
        if where is not None:
            only(where, "this")
            self.expressions.take([where.this], scope)
        return self._returning(node, scope)

    def _returning(self, node: exp.Expr, scope: Scope) -> tuple[str, ...]:
        returning = node.args.get("returning")
        if returning is None:
            return ()
        only(returning, "expressions")
        return self.outputs(many(returning, "expressions"), scope)

    def _merge(self, node: exp.Merge, scope: Scope) -> tuple[str, ...]:
        only(node, "with_", "this", "using", "on", "whens", "returning")
        self.with_queries(node, scope)
        target = self._target(node.this, scope)
        self.source(node.args["using"], scope)
        self.expressions.take([node.args["on"]], scope)
        for when in many(node.args["whens"], "expressions"):
            only(when, "matched", "source", "condition", "then")
            self.expressions.take([when.args.get("condition")], scope)
            self._then(when.args["then"], target, scope)
        return self._returning(node, scope)

    def _then(self, then: exp.Expr, target: Source, scope: Scope) -> None:
        if isinstance(then, exp.Update):
            only(then, "expressions")
            self._set(many(then, "expressions"), target, scope)
        elif isinstance(then, exp.Insert) and isinstance(then.this, exp.Tuple):
            only(then, "this", "expression")
            self._write(target, [column.this for column in then.this.expressions])
            self.expressions.take([_without_defaults(then.expression)], scope)
        elif isinstance(then, exp.Var) and then.name.upper() == "DELETE":
            self._write_all(target)
        elif not (isinstance(then, exp.Var) and then.name.upper() == "DO NOTHING"):
            raise CannotTellError("what a merge does is not read")


def _without_defaults(value: exp.Expr) -> exp.Expr:
    """The value, or row of values, where `DEFAULT` stands for none that is read."""
    if isinstance(value, exp.Tuple):
        return exp.Tuple(expressions=[_without_defaults(part).copy() for part in value.expressions])
    bare = isinstance(value, exp.Var) or (isinstance(value, exp.Column) and value.args.get("table") is None)
    if bare and value.name.upper() == "DEFAULT" and not value.find(exp.Star):
        named = value.this
        if not isinstance(named, exp.Identifier) or name_of(named) == (named.this, False):
            return exp.Null()
    return value
