"""What names mean at a place in a query: the sources in reach, their columns, and whose column a name is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from onpurpose.adapters.elements.text import CannotTellError


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Something in `FROM`. `table` is how elements name it, `None` where it is no table.

    `columns` is `None` where they are not known; those of what is no table are always known.
    """

    table: str | None
    columns: frozenset[str] | None

    def element(self, column: str) -> tuple[str, ...]:
        """What touching the column touches: nothing more, where what the source is made of was read already."""
        if self.table is None:
            return ()
        if self.columns is not None and column not in self.columns:
            raise CannotTellError(f"`{self.table}` has no column `{column}` in the schema")
        return (f"{self.table}.{column}",)

    def every_element(self) -> tuple[str, ...]:
        """What touching a whole row touches."""
        if self.table is None:
            return ()
        if self.columns is None:
            raise CannotTellError(f"every column of `{self.table}` is touched, and no schema says which there are")
        return tuple(f"{self.table}.{column}" for column in self.columns)


@dataclass(slots=True)
class Scope:
    """The sources of one query, inside those of the queries around it."""

    parent: Scope | None
    queries: Mapping[str, tuple[str, ...]]
    """The queries of `WITH` that are in reach, and their columns."""
    sources: dict[str, Source] = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)
    """Columns that `USING` and natural joins made one; touched on all sides already."""
    outputs: frozenset[str] = frozenset()
    """Names given to outputs, which some clauses may use. A name that may be a column too counts as one."""

    def add(self, name: str, source: Source) -> None:
        """Bring a source into reach."""
        if name in self.sources:
            raise CannotTellError(f"two sources are called `{name}`")
        self.sources[name] = source

    def around(self) -> Iterator[Scope]:
        """The scope itself, then those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def source(self, name: str) -> Source:
        """The source that a qualified column names."""
        for scope in self.around():
            if name in scope.sources:
                return scope.sources[name]
        raise CannotTellError(f"`{name}` is no table in reach")

    def every_element(self) -> list[str]:
        """What `*` touches here."""
        return [element for source in self.sources.values() for element in source.every_element()]

    def may_hold(self, column: str) -> bool:
        """Whether the name may mean something here."""
        known = column in self.merged or column in self.outputs
        return known or any(each.columns is None or column in each.columns for each in self.sources.values())

    def column(self, column: str, row: str, *, wide: bool = False) -> list[str]:
        """What an unqualified name touches; `row` is the name as a table's would be, for it may mean a whole row.

        With `wide`, what it may mean in the scopes around counts too. Never less than what it means.
        """
        touched: list[str] = []
        meant = False
        for scope in self.around():
            hits = [each for each in scope.sources.values() if each.columns is not None and column in each.columns]
            if hits or column in scope.merged:
                touched += [element for source in hits for element in source.element(column)]
                if not wide:
                    return touched
                meant = True
            elif any(each.columns is None for each in scope.sources.values()):
                return [*touched, scope._guessed(column, row, sure=not meant)]
            else:
                if row in scope.sources:
                    touched += scope.sources[row].every_element()
                meant = meant or row in scope.sources or column in scope.outputs
        if not meant:
            raise CannotTellError(f"`{column}` is no column in reach")
        return touched

    def _guessed(self, column: str, row: str, *, sure: bool) -> str:
        """The element where no schema says whose the column is, and only one table can have it."""
        tables = [source.table for source in self.sources.values() if source.columns is None]
        if row in self.sources:
            raise CannotTellError(f"`{column}` may be a column or a whole row: name the table, or give a schema")
        outer = self.parent is not None and any(scope.may_hold(column) for scope in self.parent.around())
        if len(tables) > 1 or outer or not sure:
            raise CannotTellError(f"`{column}` may belong to several tables: name the table, or give a schema")
        return f"{tables[0]}.{column}"
