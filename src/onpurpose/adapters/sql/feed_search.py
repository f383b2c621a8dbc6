"""Searching the feed with bounded work: the rarest condition leads, and a page ends where enough was looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, and_, func, select, union_all

from onpurpose.adapters.sql.feed_tables import HOUR, MINUTE, SEARCHED, decision_policies, decisions, spans
from onpurpose.core.feed import Search, kept

CANDIDATES = (1_000, 3_000, 6_000)
"""How many decisions that meet the leading condition are looked at, round by round, for one page."""

COUNTED = (1_000, 10_000)
"""How many decisions that meet a condition are counted, to see which condition is the rarest."""

ABOVE_ALL = 1 << 62
"""Greater than every number and time in the feed; a greater one is as good."""


_Clauses = tuple[ColumnElement[bool], ...]


class _Lead(NamedTuple):
    """A condition that an index answers in order of `n`: the table, and how the condition is asked of it."""

    table: FromClause
    clauses: Callable[[FromClause], _Clauses]

    def met_by(self, number: ColumnElement[int]) -> ColumnElement[bool]:
        """Whether the decision of that number meets the condition: one look into its index, and none at the decision.

        Decisions lie far apart, the entries of an index close together: reading thousands of
        decisions from a disk takes a second.
        """
        other = self.table.alias()
        # As a range, not as an equal number: for that one, a planner would read the decision.
        return select(other.c.n).where(*self.clauses(other), other.c.n >= number, other.c.n <= number).exists()


def find(connection: Connection, search: Search, before: int | None, limit: int) -> tuple[list[Row[Any]], int | None]:
    """The newest decisions of a search below `before`, at most `limit`, and where the next page begins.

    Of the conditions, the one that fewest decisions meet leads: those that meet it are found by its
    index, newest first, and looked for in the indexes of the other conditions. After the last round of
    `CANDIDATES` the page ends, however few it holds.
    """
    low, high = _range(connection, search)
    high = high if before is None else max(0, min(high, before - 1))
    limit = min(limit, ABOVE_ALL)
    leads, rest = _leads(search), _rest(search)
    lead, *others = _rarest_first(connection, leads, low, high)
    sizes = CANDIDATES if rest or others else (limit + 1,)
    rows: list[Row[Any]] = []
    for size in sizes:
        candidates = _candidates(lead, low, high).limit(size)
        rows += connection.execute(_matching(candidates, others, rest, limit + 1 - len(rows)))
        if len(rows) > limit:
            return rows[:limit], rows[limit - 1].n
        lowest = _lowest(connection, candidates, size)
        if lowest is None:
            return rows, None
        high = lowest - 1
    return rows, high + 1


def _candidates(lead: _Lead, low: int, high: int) -> Select[Any]:
    number = lead.table.c.n
    return select(number).where(*lead.clauses(lead.table), number >= low, number <= high).order_by(number.desc())


def _matching(candidates: Select[Any], others: list[_Lead], rest: list[ColumnElement[bool]], limit: int) -> Select[Any]:
    number = candidates.subquery().c.n
    numbers = select(number).where(*(other.met_by(number) for other in others))
    if not rest:
        numbers = numbers.order_by(number.desc()).limit(limit)
    # `IS TRUE` keeps the planner from leading with another index than that of the candidates.
    asked = [condition.is_(True) for condition in rest]
    return select(decisions).where(decisions.c.n.in_(numbers), *asked).order_by(decisions.c.n.desc()).limit(limit)


def _lowest(connection: Connection, candidates: Select[Any], size: int) -> int | None:
    """The lowest of the candidates; `None` where there were fewer than asked for, so that none are left."""
    looked = candidates.subquery()
    count, lowest = connection.execute(select(func.count(), func.min(looked.c.n)).select_from(looked)).one()
    return lowest if count >= size else None


def _rarest_first(connection: Connection, leads: list[_Lead], low: int, high: int) -> list[_Lead]:
    """The conditions, those that fewest decisions meet first, as far as they are counted.

    Of those that more meet, the one whose newest so many reach furthest down comes first: it is the thinnest.
    """
    if len(leads) == 1:
        return leads
    found: list[tuple[int, int]] = []
    for most in COUNTED:
        some = (_candidates(lead, low, high).limit(most).subquery() for lead in leads)
        counts = (connection.execute(select(func.count(), func.min(one.c.n)).select_from(one)).one() for one in some)
        found = [(count, lowest or 0) for count, lowest in counts]
        if min(found)[0] < most:
            break
    return [lead for _, lead in sorted(zip(found, leads, strict=True), key=lambda one: one[0])]


def _leads(search: Search) -> list[_Lead]:
    leads = []
    for name in SEARCHED:
        value = getattr(search, name)
        if value is not None:
            leads.append(_equal(search, name, kept(value) if isinstance(value, str) else int(value)))
    if search.newly_blocked:
        leads.append(
            _Lead(decisions, lambda table: (table.c.workspace == search.workspace, table.c.newly_blocked.is_(True)))
        )
    if search.policy is not None:
        leads.append(_equal(search, "name", kept(search.policy), decision_policies))
    return leads or [_Lead(decisions, lambda table: (table.c.workspace == search.workspace,))]


def _equal(search: Search, name: str, value: object, table: FromClause = decisions) -> _Lead:
    return _Lead(table, lambda asked: (asked.c.workspace == search.workspace, asked.c[name] == value))


def _rest(search: Search) -> list[ColumnElement[bool]]:
    rest = []
    if search.since is not None:
        rest.append(decisions.c.at >= max(0, min(search.since, ABOVE_ALL)))
    if search.until is not None:
        rest.append(decisions.c.at < max(0, min(search.until, ABOVE_ALL)))
    if search.newly_blocked is False:
        rest.append(decisions.c.newly_blocked.is_(False))
    return rest


def _range(connection: Connection, search: Search) -> tuple[int, int]:
    """Between which numbers the decisions of the search's times lie: by whole hours, and minutes at both ends."""
    if search.since is None and search.until is None:
        return 1, ABOVE_ALL
    since = max(0, min(search.since or 0, ABOVE_ALL))
    until = ABOVE_ALL if search.until is None else max(0, min(search.until, ABOVE_ALL))
    whole, end = -(-since // HOUR) * HOUR, until - until % HOUR
    start = spans.c.start
    hours = and_(spans.c.width == HOUR, start >= whole, start < end)
    minutes = spans.c.width == MINUTE, start >= since - since % MINUTE, start < until
    parts = [
        select(func.min(spans.c.first).label("first"), func.max(spans.c.last).label("last")).where(
            spans.c.workspace == search.workspace, *clauses
        )
        for clauses in ((hours,), (*minutes, start < whole), (*minutes, start >= end))
    ]
    found = union_all(*parts).subquery()
    low, high = connection.execute(select(func.min(found.c.first), func.max(found.c.last))).one()
    return (1, 0) if low is None else (low, high)
