"""Reads queries: sources, joins, `WITH`, outputs; each in the scope that the database gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import exp

from onpurpose.adapters.elements.allowed import TABLE_FUNCTIONS
from onpurpose.adapters.elements.dialect import Dialect
from onpurpose.adapters.elements.expressions import Expressions, many, only
from onpurpose.adapters.elements.scope import Scope, Source
from onpurpose.adapters.elements.text import MAX_NESTING, CannotTellError

_OF_SELECT = (
    "with_", "expressions", "distinct", "from_", "joins", "laterals", "where", "group", "having", "qualify", "windows",
    "order", "limit", "offset", "locks",
)  # fmt: skip
_TAIL = ("with_", "order", "limit", "offset")


class Queries:
    """Takes in what a statement touches. Writes are added by `Writes`."""

    def __init__(self, dialect: Dialect, schema: Mapping[str, frozenset[str]] | None) -> None:
        self._dialect, self._schema = dialect, schema
        self._depth = 0
        self._tables: dict[str, Source] = {}
        self.expressions = Expressions(dialect, self)

    def touched(self) -> set[str]:
        """All that was taken in. A table of which no column is named is touched by its rows: every column counts."""
        elements = self.expressions.elements
        named = {element.rpartition(".")[0] for element in elements}
        for name, source in self._tables.items():
            if name not in named:
                elements.update(source.every_element())
        return elements

    def query(self, node: exp.Expr, parent: Scope | None) -> tuple[str, ...]:
        """Take in what the query touches; the names of its columns, empty where they have none."""
        self._depth += 1
        if self._depth > 2 * MAX_NESTING:
            raise CannotTellError("queries nest too deep")
        outputs = self._query(node, Scope(parent, {} if parent is None else parent.queries))
        self._depth -= 1
        return outputs

    def _query(self, node: exp.Expr, scope: Scope) -> tuple[str, ...]:
        if isinstance(node, exp.Select):
            return self._select(node, scope)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, scope)
        if isinstance(node, exp.Subquery):
            return self._bracketed(node, scope)
        if isinstance(node, exp.Values):
            only(node, "expressions", "alias")
            self.expressions.take(many(node, "expressions"), scope)
            return ()
        raise CannotTellError(f"`{type(node).__name__}` is not read")

    # -- the parts of a query

    def _select(self, node: exp.Select, scope: Scope) -> tuple[str, ...]:
        only(node, *_OF_SELECT)
        self.with_queries(node, scope)
        from_ = node.args.get("from_")
        if from_ is not None:
            only(from_, "this")
            self.source(from_.this, scope)
        self.joins(node, scope, 0)
        for lateral in many(node, "laterals"):
            self.source(lateral, scope)
        outputs = self.outputs(many(node, "expressions"), scope)
        given = [each.args["alias"] for each in many(node, "expressions") if isinstance(each, exp.Alias)]
        named = outputs if self._dialect.implied_first else map(self.expressions.column_name, given)
        scope.outputs = frozenset(filter(None, named))
        self._clauses(node, scope)
        return outputs

    def _clauses(self, node: exp.Select, scope: Scope) -> None:
        take = self.expressions.take
        for key in ("where", "having", "qualify"):
            clause = node.args.get(key)
            if clause is not None:
                only(clause, "this")
                take([clause.this], scope)
        group = node.args.get("group")
        if group is not None:
            only(group, "expressions", "grouping_sets", "cube", "rollup")
            for key in ("expressions", "grouping_sets", "cube", "rollup"):
                take(many(group, key), scope)
        distinct = node.args.get("distinct")
        if distinct is not None:
            only(distinct, "on", "expressions")
            self._ordered_by([distinct.args.get("on"), *many(distinct, "expressions")], scope)
        take(many(node, "windows"), scope)
        order = node.args.get("order")
        if order is not None:
            self._ordered_by([each.this for each in self._terms(order)], scope)
        self._limits(node, scope)
        for lock in many(node, "locks"):
            for table in many(lock, "expressions"):
                only(table, "this")
                scope.source(self.expressions.table_name(table.this))

    def _terms(self, order: exp.Expr) -> list[exp.Expr]:
        only(order, "expressions")
        terms = many(order, "expressions")
        for term in terms:
            if not isinstance(term, exp.Ordered):
                raise CannotTellError("an order that is not read")
            only(term, "this", "desc", "nulls_first")
        return terms

    def _ordered_by(self, terms: Sequence[object], scope: Scope) -> None:
        """A bare name is an output's before it is a column's, where the dialect says so."""
        flat = [part for term in terms for part in (term.expressions if isinstance(term, exp.Tuple) else [term])]
        for term in flat:
            if not (self._dialect.alias_first and self._is_output(term, scope.outputs)):
                self.expressions.take([term], scope)

    def _is_output(self, term: object, outputs: frozenset[str]) -> bool:
        bare = isinstance(term, exp.Column) and term.args.get("table") is None and isinstance(term.this, exp.Identifier)
        return bare and isinstance(term, exp.Column) and self.expressions.column_name(term.this) in outputs

    def _limits(self, node: exp.Expr, scope: Scope) -> None:
        for key in ("limit", "offset"):
            clause = node.args.get(key)
            if isinstance(clause, exp.Fetch):
                only(clause, "direction", "count", "limit_options")
                self.expressions.take([clause.args.get("count")], scope)
            elif clause is not None:
                only(clause, "expression", "offset")
                self.expressions.take([clause.args.get("expression"), clause.args.get("offset")], scope)

    def outputs(self, projections: Sequence[exp.Expr], scope: Scope) -> tuple[str, ...]:
        """Take in what a list of outputs touches; their names."""
        names: list[str] = []
        for each in projections:
            if isinstance(each, exp.Star):
                only(each)
                names += self._star(scope.sources.values(), scope.every_element())
            elif isinstance(each, exp.Column) and isinstance(each.this, exp.Star):
                self.expressions.take([each], scope)
                source = scope.source(self.expressions.table_name(each.args["table"]))
                names += self._star([source], ())
            elif isinstance(each, exp.Alias):
                only(each, "this", "alias")
                self.expressions.take([each.this], scope)
                names.append(self.expressions.column_name(each.args["alias"]))
            else:
                self.expressions.take([each], scope)
                names.append(self.expressions.column_name(each.this) if isinstance(each, exp.Column) else "")
        return tuple(names)

    def _star(self, sources: object, elements: Sequence[str]) -> list[str]:
        if not sources:
            raise CannotTellError("`*` without a table")
        self.expressions.elements.update(elements)
        return [name for source in sources for name in source.columns or ()]  # type: ignore[attr-defined]  # any view

    # -- queries made of queries

    def _set_operation(self, node: exp.SetOperation, scope: Scope) -> tuple[str, ...]:
        rights: list[exp.Expr] = []
        left: exp.Expr = node
        while isinstance(left, exp.SetOperation):
            only(left, "this", "expression", "distinct", *_TAIL)
            if left is not node and any(left.args.get(key) for key in _TAIL):
                break
            rights.append(left.expression)
            left = left.this
        self.with_queries(node, scope)
        outputs = self.query(left, scope)
        for right in reversed(rights):
            self.query(right, scope)
        self._tail(node, outputs, scope)
        return outputs

    def _bracketed(self, node: exp.Subquery, scope: Scope) -> tuple[str, ...]:
        only(node, "this", "alias", *_TAIL)
        self.with_queries(node, scope)
        outputs = self.query(node.this, scope)
        self._tail(node, outputs, scope)
        return outputs

    def _tail(self, node: exp.Expr, outputs: tuple[str, ...], scope: Scope) -> None:
        """Behind a whole query, only its outputs are in reach."""
        order = node.args.get("order")
        for term in [] if order is None else self._terms(order):
            known = isinstance(term.this, exp.Literal) or self._is_output(term.this, frozenset(filter(None, outputs)))
            if not known:
                raise CannotTellError("an order by something else than an output")
        self._limits(node, scope)

    def with_queries(self, node: exp.Expr, scope: Scope) -> None:
        """Bring the queries of `WITH` into reach."""
        clause = node.args.get("with_")
        if clause is None:
            return
        only(clause, "expressions", "recursive")
        parts = many(clause, "expressions")
        names = [self.expressions.table_name(part.args["alias"].this) for part in parts]
        if len({*names}) < len(names):
            raise CannotTellError("two queries of `WITH` have one name")
        recursive = bool(clause.args.get("recursive"))
        for index, part in enumerate(parts):
            only(part, "this", "alias", "materialized")
            self._check_forward(part.this, names[index:], recursive=recursive)
            given = tuple(map(self.expressions.column_name, many(part.args["alias"], "columns")))
            if recursive:
                outputs = self._recursive(part.this, names[index], given, scope)
            else:
                outputs = self.query(part.this, scope)
            scope.queries = {**scope.queries, names[index]: _renamed(outputs, given)}

    def _check_forward(self, body: exp.Expr, ahead: Sequence[str], *, recursive: bool) -> None:
        """Dialects disagree about a query that names itself or a later one, but for the plain cases."""
        wrong = {*ahead[1:]} if recursive else set() if self._dialect.own_name_is_table else {*ahead}
        for table in body.find_all(exp.Table) if wrong else ():
            if isinstance(table.this, exp.Identifier) and self.expressions.table_name(table.this) in wrong:
                raise CannotTellError(f"`{table.name}` may be a table or a query of `WITH`")

    def _recursive(self, body: exp.Expr, name: str, given: tuple[str, ...], scope: Scope) -> tuple[str, ...]:
        """The first branch gives the columns, which the whole then reads."""
        first: exp.Expr = body
        inner = Scope(scope, scope.queries)
        while isinstance(first, exp.SetOperation):
            self.with_queries(first, inner)
            first = first.this
        own = {table for table in first.find_all(exp.Table) if isinstance(table.this, exp.Identifier)}
        if any(self.expressions.table_name(table.this) == name for table in own):
            raise CannotTellError(f"the first part of `{name}` reads itself")
        outputs = _renamed(self.query(first, inner), given)
        scope.queries = {**scope.queries, name: outputs}
        self.query(body, scope)
        return outputs

    # -- sources

    def source(self, node: exp.Expr, scope: Scope) -> None:
        """Bring a source of `FROM` into reach."""
        start = len(scope.sources)
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            self.table(node, scope)
        elif isinstance(node, exp.Table):
            only(node, "this", "alias", "ordinality", "joins")
            self._function(node.this, node, scope)
            self.joins(node, scope, start)
        elif isinstance(node, exp.Unnest):
            only(node, "expressions", "alias", "offset")
            self.expressions.take(many(node, "expressions"), scope)
            offset = node.args.get("offset")
            extra = [self.expressions.column_name(offset)] if isinstance(offset, exp.Identifier) else []
            self._derived(node, ("", *extra), scope)
        elif isinstance(node, exp.Lateral):
            only(node, "this", "alias", "ordinality")
            if isinstance(node.this, exp.Subquery):
                self._derived(node, self.query(node.this, scope), scope)
            else:
                self._function(node.this, node, scope)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            only(node, "this", "joins")
            self.source(node.this, scope)
            self.joins(node, scope, start)
        elif isinstance(node, exp.Subquery | exp.Values):
            outside = scope.parent or Scope(None, scope.queries)
            self._derived(node, self.query(node, Scope(outside, scope.queries)), scope)
        else:
            raise CannotTellError(f"`{type(node).__name__}` is not read as a source")

    def table(self, node: exp.Expr, scope: Scope) -> Source:
        """Bring a table, a view or a query of `WITH` into reach."""
        only(node, "this", "db", "alias", "joins", "only")
        name, db = self.expressions.table_name(node.this), node.args.get("db")
        alias = node.args.get("alias")
        called = name if alias is None or alias.this is None else self.expressions.table_name(alias.this)
        columns = [] if alias is None else many(alias, "columns")
        if db is None and name in scope.queries:
            outputs = _renamed(scope.queries[name], tuple(map(self.expressions.column_name, columns)))
            source = Source(table=None, columns=frozenset(filter(None, outputs)))
        elif columns:
            raise CannotTellError(f"the columns of `{name}` are given other names")
        else:
            source = self.base(name if db is None else f"{self._outside(db, scope)}.{name}")
        scope.add(called, source)
        self.joins(node, scope, len(scope.sources) - 1)
        return source

    def _outside(self, db: exp.Expr, scope: Scope) -> str:
        name = self.expressions.table_name(db)
        if any(name in each.sources for each in scope.around()):
            raise CannotTellError(f"`{name}` may be a table or a schema")
        return name

    def base(self, name: str) -> Source:
        """A table or view by the name that elements give it."""
        if self._schema is not None and name not in self._schema:
            raise CannotTellError(f"the schema has no table `{name}`")
        source = Source(table=name, columns=None if self._schema is None else self._schema[name])
        self._tables[name] = source
        return source

    def _function(self, call: exp.Expr, node: exp.Expr, scope: Scope) -> None:
        name = (call.name if isinstance(call, exp.Anonymous) else type(call).sql_names()[0]).lower()  # type: ignore[attr-defined]  # a function
        name = "generate_series" if isinstance(call, exp.ExplodingGenerateSeries) else name
        if name not in TABLE_FUNCTIONS:
            raise CannotTellError(f"the function `{name[:80]}` may touch more than its arguments")
        self.expressions.take([call], scope)
        ordinality = ("ordinality",) if node.args.get("ordinality") else ()
        self._derived(node, TABLE_FUNCTIONS[name] + ordinality, scope, value=name)

    def _derived(self, node: exp.Expr, outputs: tuple[str, ...], scope: Scope, value: str = "") -> None:
        alias = node.args.get("alias")
        if alias is None or alias.this is None:
            called = value or f"?{len(scope.sources)}"  # no name that a column could be qualified with
        else:
            called = self.expressions.table_name(alias.this)
        given = () if alias is None else tuple(map(self.expressions.column_name, many(alias, "columns")))
        names = {*_renamed(outputs, given), *given}
        if not isinstance(node, exp.Subquery | exp.Values) and not given:
            names.add(called)  # a function's single column is called as the function is
        scope.add(called, Source(table=None, columns=frozenset(filter(None, names))))

    def joins(self, node: exp.Expr, scope: Scope, start: int) -> None:
        """Bring the joined sources into reach, with the columns that join them to the sources from `start` on."""
        for join in many(node, "joins"):
            only(join, "this", "on", "side", "kind", "using", "method")
            if str(join.args.get("kind") or "").upper() not in ("", "INNER", "CROSS", "OUTER"):
                raise CannotTellError("a join that is not read")
            middle = len(scope.sources)
            self.source(join.this, scope)
            sources = list(scope.sources.values())
            self._shared(join, sources[start:middle], sources[middle:], scope)
            self.expressions.take([join.args.get("on")], scope, wide=True)

    def _shared(self, join: exp.Expr, left: Sequence[Source], right: Sequence[Source], scope: Scope) -> None:
        """`USING` and natural joins touch the columns of both sides."""
        method = str(join.args.get("method") or "").upper()
        if method not in ("", "NATURAL"):
            raise CannotTellError("a join that is not read")
        names = {self.expressions.column_name(each) for each in many(join, "using")}
        if method:
            if any(each.columns is None for each in (*left, *right)):
                raise CannotTellError("a natural join touches columns that only a schema can tell")
            names = {n for each in left for n in each.columns or ()} & {n for each in right for n in each.columns or ()}
        for name in names:
            for side in (left, right):
                self._side(name, side, scope)
        scope.merged |= names

    def _side(self, name: str, side: Sequence[Source], scope: Scope) -> None:
        known = [each for each in side if each.columns is not None and name in each.columns]
        unsure = [each for each in side if each.columns is None]
        merged = name in scope.merged  # then several on this side may have it, and none is left out
        if not known and not merged and len(unsure) != 1:
            raise CannotTellError(f"`{name}` of `USING` may belong to several tables, or to none")
        for source in [*known, *(unsure if merged or not known else ())]:
            self.expressions.elements.update(source.element(name))


def _renamed(outputs: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...]:
    return given + outputs[len(given) :]
