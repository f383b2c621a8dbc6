"""Makes statements over a few small tables: nested, joined, correlated, writing; names collide on purpose."""

from __future__ import annotations

import random

from hypothesis import strategies as st

TABLES = {"t": ["a", "b", "c"], "u": ["a", "d", "t"], "v": ["b", "d", "e"]}
"""`u` has a column that is called like a table; columns are shared."""

_NAMES = ["t", "u", "v", "x", "y"]
_COLUMNS = ["a", "b", "c", "d", "e", "t", "n"]


@st.composite
def columns(draw: st.DrawFn) -> str:
    column = draw(st.sampled_from(_COLUMNS))
    table = draw(st.sampled_from([*_NAMES, "", "", ""]))
    quoted = draw(st.integers(0, 9))
    column = {0: f'"{column}"', 1: column.upper(), 2: f"[{column}]"}.get(quoted, column)
    return f"{table}.{column}" if table else column


@st.composite
def expressions(draw: st.DrawFn, depth: int = 2) -> str:
    if depth <= 0 or draw(st.booleans()):
        return draw(st.one_of(columns(), columns(), st.sampled_from(["1", "'s'", "NULL"])))
    inner = expressions(depth - 1)
    one, two = draw(inner), draw(inner)
    forms = [
        f"{one} + {two}", f"({one})", f"lower({one})", f"coalesce({one}, {two})", f"CASE WHEN {one} THEN {two} END",
        f"{one} BETWEEN {two} AND 3", f"{one} IN ({two}, 1)", f"max({one}) OVER (PARTITION BY {two})",
        f"CAST({one} AS text)", f"NOT {one}", f"count(DISTINCT {one})", f"{one} || {two}",
        f"sum({one}) FILTER (WHERE {two})",
        "count(*)", f"{one} COLLATE nocase", f"{one} IS NOT {two}", f"{one} -> {two}",
    ]  # fmt: skip
    if draw(st.integers(0, 3)) == 0:
        query = draw(selects(depth - 1))
        return draw(st.sampled_from([f"({query})", f"EXISTS ({query})", f"{one} IN ({query})"]))
    return draw(st.sampled_from(forms))


@st.composite
def sources(draw: st.DrawFn, depth: int = 1) -> str:
    kind = draw(st.integers(0, 5)) if depth > 0 else 0
    alias = draw(st.sampled_from(["", "", " x", " y", " AS t", " AS u"]))
    if kind == 4:
        return f"({draw(selects(depth - 1))}){alias}"
    if kind == 5:
        return f"({draw(sources(depth - 1))} JOIN {draw(sources(depth - 1))})"
    return draw(st.sampled_from([*TABLES, *TABLES, "q", "main.t"])) + alias


@st.composite
def joined(draw: st.DrawFn, depth: int = 1) -> str:
    text = draw(sources(depth))
    for _ in range(draw(st.integers(0, 2))):
        other = draw(sources(depth))
        on = draw(expressions(1))
        shared = draw(st.sampled_from(["a", "b", "d"]))
        text += draw(
            st.sampled_from(
                [
                    f", {other}",
                    f" JOIN {other} ON {on}",
                    f" LEFT JOIN {other} USING ({shared})",
                    f" NATURAL JOIN {other}",
                    f" CROSS JOIN {other}",
                ]
            )
        )
    return text


@st.composite
def outputs(draw: st.DrawFn, depth: int = 1) -> str:
    one = st.one_of(
        expressions(depth),
        st.builds("{} AS {}".format, expressions(depth), st.sampled_from(_COLUMNS)),
        st.sampled_from(["*", "t.*", "x.*"]),
    )
    return ", ".join(draw(st.lists(one, min_size=1, max_size=3)))


@st.composite
def selects(draw: st.DrawFn, depth: int = 2) -> str:
    text = f"SELECT {draw(st.sampled_from(['', '', 'DISTINCT ']))}{draw(outputs(depth))} FROM {draw(joined(depth))}"
    for clause in ("WHERE", "GROUP BY", "ORDER BY", "LIMIT"):
        if draw(st.integers(0, 3)) == 0:
            text += f" {clause} {draw(expressions(min(depth, 1)))}"
    if depth > 0 and draw(st.integers(0, 5)) == 0:
        text += f" UNION ALL SELECT {draw(columns())} FROM {draw(joined(0))}"
    return text


@st.composite
def queries(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 2)):
        return draw(selects())
    name = draw(st.sampled_from(["q", "t", "x"]))
    given = draw(st.sampled_from(["", "", "(a)", "(n)"]))
    return f"WITH {name}{given} AS ({draw(selects(1))}) {draw(selects())}"


@st.composite
def statements(draw: st.DrawFn) -> str:
    """A query, or a statement that writes."""
    kind = draw(st.integers(0, 9))
    table = draw(st.sampled_from([*TABLES]))
    column = draw(st.sampled_from(TABLES[table]))
    where = f" WHERE {draw(expressions())}" if draw(st.booleans()) else ""
    back = draw(st.sampled_from(["", "", " RETURNING *", f" RETURNING {column}"]))
    if kind == 0:
        return f"DELETE FROM {table}{where}{back}"
    if kind == 1:
        return f"UPDATE {table} SET {column} = {draw(expressions())}{where}{back}"
    if kind == 2:
        return f"INSERT INTO {table} ({column}) SELECT {draw(expressions())} FROM {draw(joined())}{where}{back}"
    if kind == 3:
        conflict = f" ON CONFLICT ({TABLES[table][0]}) DO UPDATE SET {column} = excluded.{column}{where}"
        return f"INSERT INTO {table} VALUES ({', '.join('1' for _ in TABLES[table])}){conflict}{back}"
    return draw(queries())


Known = list[tuple[str, list[str]]]
"""The sources in reach, by the names they go by, with their columns."""


def grounded() -> st.SearchStrategy[str]:
    """Queries whose columns exist, so that a database takes most of them."""
    return st.integers(0, 2**32).map(lambda seed: _query(random.Random(seed), 2, []))


def _column(rng: random.Random, known: Known) -> str:
    name, held = rng.choice(known)
    return f"{name}.{rng.choice(held)}" if rng.random() < 0.7 else rng.choice(held)


def _term(rng: random.Random, known: Known, depth: int) -> str:
    if depth <= 0 or rng.random() < 0.4:
        return _column(rng, known)
    one, two = _term(rng, known, depth - 1), _term(rng, known, depth - 1)
    inner = _query(rng, depth - 1, known, single=True)
    return rng.choice([
        f"{one} + {two}", f"lower({one})", f"coalesce({one}, {two})", f"({one})", f"CASE WHEN {one} THEN {two} END",
        f"{one} IN ({two}, 1)", f"{one} BETWEEN {two} AND 3", f"({inner})", f"EXISTS ({inner})", f"{one} IN ({inner})",
    ])  # fmt: skip


def _source(rng: random.Random, number: int, depth: int) -> tuple[str, str, list[str]]:
    alias = rng.choice(["", f" x{number}", f" AS y{number}"])
    if depth > 0 and rng.random() < 0.3:
        names = [f"n{number}"] if rng.random() < 0.5 else ["a"]
        return f"({_query(rng, depth - 1, [], single=True, name=names[0])}) z{number}", f"z{number}", names
    table = rng.choice([*TABLES])
    return table + alias, alias.split()[-1] if alias else table, TABLES[table]


def _query(rng: random.Random, depth: int, outer: Known, *, single: bool = False, name: str = "") -> str:
    text, called, held = _source(rng, 0, depth)
    known: Known = [(called, held)]
    for number in range(1, rng.choice([1, 2, 3])):
        other, called, held = _source(rng, 10 * depth + number, depth)
        shared = [each for each in known[-1][1] if each in held]
        known.append((called, held))
        joins = [f", {other}", f" JOIN {other} ON {_term(rng, known, min(depth, 1))}", f" NATURAL JOIN {other}"]
        text += rng.choice([*joins, *(f" LEFT JOIN {other} USING ({each})" for each in shared)])
    reach = known + outer
    one = _term(rng, reach, depth)
    outputs = (
        f"{one} AS {name}" if name else one if single else rng.choice(["*", f"{known[0][0]}.*", one, f"{one} AS b"])
    )
    query = f"SELECT {outputs} FROM {text}"
    for clause in ("WHERE", "GROUP BY", "ORDER BY"):
        if rng.random() < 0.3:
            query += f" {clause} {_term(rng, reach, min(depth, 1))}"
    return query
