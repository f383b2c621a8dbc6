"""`/settings/retention`: since when records are stored, what is archived, and an order to let go of archived days."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from typing import Any

import orjson
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.keeping import Carried, Plan
from onpurpose.app.keys import OPERATOR
from onpurpose.app.log_search import Query, search
from onpurpose.core.access import Scope
from onpurpose.core.record import LedgerError, Stored
from onpurpose.core.revision import ConflictError, MissingError
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.saving import number_of
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.settings_frame import PATH as SETTINGS
from onpurpose.server.dashboard.settings_frame import for_operators, tabs_for
from onpurpose.server.dashboard.shell import Parts

PATH = f"{SETTINGS}/retention"

MOST_DAYS = 100
"""How many days that were archived or let go are listed."""

MOST_KEPT = 36_500
"""How many days one can order to keep, at most."""

MOST_REASON = 1000
"""How long the reason of an order may be, in characters; it stands in the log for good."""


class Held(Struct, frozen=True, kw_only=True):
    """What the log holds: when its oldest record is of (microseconds UTC), and about how many there are.

    `closed` are the days that are over, oldest first; `unfinished` those that were ordered to go and are still there.
    """

    since: int | None = None
    records: int = 0
    closed: tuple[date, ...] = ()
    unfinished: tuple[date, ...] = ()


def routes(parts: Parts) -> list[BaseRoute]:
    """The page, which shows an order before it is given, and giving it."""
    pages = RetentionPages(parts)
    guard = page(parts, Scope.ADMIN)
    return [
        Route(PATH, guard(for_operators(parts, pages.show)), methods=["GET"]),
        Route(PATH, guard(for_operators(parts, pages.order)), methods=["POST"]),
    ]


class RetentionPages:
    """The page of retention. For worker threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def show(self, request: Request, principal: Principal) -> Response:
        """What is stored and archived; with `keep`, what keeping so many days would come to."""
        text = request.query_params.get("keep", "").strip()
        if not text:
            return self._page(request, principal)
        keep = _days(text)
        if keep is None:
            return self._page(request, principal, keep=text[:20], faults={"keep": [_BOUNDS]}, status=422)
        return self._page(request, principal, keep=text, plan=self._plan(keep))

    def order(self, request: Request, principal: Principal) -> Response:
        """Let go of the days that were shown, and of no others."""
        keeping, form = self._parts.keeping, form_of(request)
        if keeping is None:
            raise MissingError("no day of this log can be let go")
        keep, reason = number_of(form, "keep") or 0, form.get("reason").strip()
        if not 0 < keep <= MOST_KEPT:
            return self._page(request, principal, faults={"keep": [_BOUNDS]}, status=422)
        told: dict[str, Any] = {"keep": str(keep), "reason": reason}
        faults: dict[str, list[str]] = {}
        if not 0 < len(reason) <= MOST_REASON:
            faults["reason"] = [f"Say why, in at most {MOST_REASON:,} characters."]
        if form.get("sure") != "on":
            faults["sure"] = ["Say that the files are kept safe."]
        if faults:
            return self._page(request, principal, plan=self._plan(keep), faults=faults, status=422, **told)
        try:
            done = keeping.order(keep, _named(form.all("day")), by=principal.user, reason=reason)
        except (ConflictError, LedgerError) as error:
            problems = [f"Nothing was changed: {str(error).splitlines()[0]}. Look at what would go now."]
            status = 409 if isinstance(error, ConflictError) else 503
            return self._page(request, principal, plan=self._plan(keep), problems=problems, status=status, **told)
        return self._page(request, principal, done=done)

    def _plan(self, keep: int) -> Plan | None:
        """What would go; `None` where that cannot be told."""
        try:
            return None if self._parts.keeping is None else self._parts.keeping.plan(keep)
        except LedgerError:
            return None

    def _page(  # noqa: PLR0913  what the page shows
        self, request: Request, principal: Principal, *, keep: str = "", plan: Plan | None = None, reason: str = "",
        faults: dict[str, list[str]] | None = None, problems: list[str] | None = None, done: Carried | None = None,
        status: int = 200,
    ) -> Response:  # fmt: skip
        past, keeping = self._parts.past, self._parts.keeping
        found = search(
            past.decisions, past.log, Query(workspace=OPERATOR, kinds=("archive.made", "retention.ordered")),
            limit=MOST_DAYS,
        )  # fmt: skip
        return self._parts.shell.render(
            request, "settings_retention.html", principal, status=status, tabs=tabs_for(principal), rows=found.rows,
            most=MOST_DAYS, held=self._held(), by_the_day=keeping is not None,
            has_archives=keeping is not None and keeping.has_archives, keep=keep, plan=plan, reason=reason,
            faults=faults or {}, problems=problems or [], done=done,
        )  # fmt: skip

    def _held(self) -> Held | None:
        """What is stored; `None` where the log cannot be read now."""
        keeping = self._parts.keeping
        try:
            with closing(self._parts.log.open_archive()) as archive:
                newest = next(iter(archive.records(-1)), None)
                records = newest.position if isinstance(newest, Stored) else 0
                if keeping is None:
                    oldest = next((one for one in archive.records() if isinstance(one, Stored)), None)
                    return Held(since=_at(oldest), records=records)
            return Held(records=records, closed=tuple(keeping.closed()), unfinished=tuple(keeping.unfinished()))
        except LedgerError:
            return None


_BOUNDS = f"A whole number of days, from 1 to {MOST_KEPT:,}."


def _days(text: str) -> int | None:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    return number if 0 < number <= MOST_KEPT else None


def _named(texts: list[str]) -> list[date]:
    """The days that a form names; none where one of them is no day, so that nothing fits."""
    try:
        return [date.fromisoformat(one) for one in texts]
    except ValueError:
        return []


def _at(stored: Stored | None) -> int | None:
    """When a record is of, as far as it says so."""
    try:
        told = None if stored is None else orjson.loads(stored.body)
    except orjson.JSONDecodeError:
        return None
    at = told.get("at") if isinstance(told, dict) else None
    return at if isinstance(at, int) else None
