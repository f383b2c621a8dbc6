"""`/audit`: searching the log, checking now that it is whole, and taking it along."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app import audit
from onpurpose.app.checking import Checks
from onpurpose.app.keys import OPERATOR
from onpurpose.app.log_search import CLOSED_KINDS, DECISION, OPEN_KINDS, Found, Query, Row, by_id, search
from onpurpose.core.access import Scope
from onpurpose.core.feed import kept
from onpurpose.core.record import LedgerError
from onpurpose.core.session import Principal
from onpurpose.server.api.audit import count, own
from onpurpose.server.api.serving import Lines, Streamed
from onpurpose.server.api.table import JSON_LINES
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.shell import HEADERS, Parts

PATH = "/audit"

_SECOND = 1_000_000


class Asked(Struct, frozen=True, kw_only=True):
    """What the search form says. `faults` are by field. `of` is the workspace that is searched."""

    q: str = ""
    kind: str = ""
    by: str = ""
    since: str = ""
    until: str = ""
    of: str = ""
    before: int | None = None
    faults: Mapping[str, str] = {}
    times: tuple[int | None, int | None] = (None, None)

    @classmethod
    def read(cls, request: Request, workspace: str) -> Asked:
        """What the query says, bounded."""
        given = {name: kept(value) for name, value in request.query_params.items()}
        texts = {name: given.get(name, "").strip() for name in ("q", "kind", "by", "since", "until", "of")}
        faults, times = {}, []
        for name, later in (("since", timedelta(0)), ("until", timedelta(days=1))):
            at = _time(texts[name], later)
            times.append(at)
            if texts[name] and at is None:
                faults[name] = "Write it as 2026-01-31 or 2026-01-31 14:05, in UTC."
        before = given.get("before", "")
        number = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
        texts["of"] = texts["of"] if "of" in given else workspace
        return cls(**texts, before=number, faults=faults, times=(times[0], times[1]))

    def path(self, **changes: object) -> str:
        """The link to this search with something changed."""
        told = {"q": self.q, "kind": self.kind, "by": self.by, "since": self.since, "until": self.until} | changes
        return f"{PATH}?{urlencode({'of': self.of} | {name: value for name, value in told.items() if value})}"


def routes(parts: Parts) -> list[BaseRoute]:
    """The search, the check and how far it is, and the export."""
    pages = AuditPages(parts)
    read, admin = page(parts, Scope.READ), page(parts, Scope.ADMIN)
    return [
        Route(PATH, read(pages.show), methods=["GET"]),
        Route(f"{PATH}/verify", admin(pages.verify), methods=["POST"]),
        Route(f"{PATH}/verify", admin(pages.progress), methods=["GET"]),
        Route(f"{PATH}/export", admin(pages.export), methods=["GET"]),
    ]


class AuditPages:
    """The pages of the log. For worker threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        log = parts.log
        self._checks = Checks(
            parts.verify or (lambda _: log.verify()), busy=log.busy, size=self._size,
            count=lambda workspace: count(log, workspace), clock=parts.clock,
        )  # fmt: skip

    def show(self, request: Request, principal: Principal) -> Response:
        """What was found, newest first."""
        asked, everything = Asked.read(request, principal.workspace), principal.may(Scope.ADMIN)
        may_choose = everything and principal.workspace == OPERATOR
        workspace = asked.of if may_choose else principal.workspace
        found, exact = self._found(asked, workspace, everything=everything)
        return self._parts.shell.render(
            request, "audit.html", principal, status=422 if asked.faults else 200, asked=asked, found=found,
            exact=exact, kinds=[*OPEN_KINDS, *(CLOSED_KINDS if everything else ())], about=about,
            workspaces=self._workspaces() if may_choose else [],
            next=None if found.before is None else asked.path(before=found.before),
            **self._checked(principal, everything=everything),
        )  # fmt: skip

    def verify(self, request: Request, principal: Principal) -> Response:
        """Begin a check; with one that runs already there is nothing to begin."""
        begun = self._checks.start(principal.workspace, principal.user)
        return RedirectResponse(f"{PATH}/verify" + ("" if begun else "?busy=1"), 303, HEADERS)

    def progress(self, request: Request, principal: Principal) -> Response:
        """How far the check is, or what it found. A browser with script asks again and again for the part alone."""
        told = self._checked(principal, everything=True)
        if "hx-request" in request.headers:
            return self._parts.shell.fragment(request, "audit_verify.html", "check", principal, **told)
        busy = request.query_params.get("busy") == "1"
        return self._parts.shell.render(request, "audit_verify.html", principal, busy=busy, **told)

    def export(self, request: Request, principal: Principal) -> Response:
        """The workspace's records as JSON Lines, or with `whole=true` all of them, for the operator."""
        whole = request.query_params.get("whole") == "true"
        if whole and principal.workspace != OPERATOR:
            return self._parts.shell.render(
                request, "error.html", principal, status=403, title="Not allowed", way=(PATH, "To the log"),
                text="The whole log is for those who run the service.",
            )  # fmt: skip
        archive = self._parts.log.open_archive()
        lines = audit.export(archive)
        chosen = lines if whole else own(lines, principal.workspace)
        response = Streamed(Lines(lines=chosen, media=JSON_LINES, close=archive.close), 200)
        name = f"onpurpose-{'whole' if whole else 'log'}-{_day(self._parts.clock.now())}.jsonl"
        response.headers.update({**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'})
        return response

    def _found(self, asked: Asked, workspace: str, *, everything: bool) -> tuple[Found, Row | None]:
        """What was found, and the decision of exactly the id that was looked for."""
        nothing = Found(rows=(), before=None, looked_at=0)
        if asked.faults or (asked.kind and asked.kind not in OPEN_KINDS and not everything):
            return nothing, None
        past = self._parts.past
        since, until = asked.times
        query = Query(
            workspace=workspace, kind=asked.kind, kinds=() if everything else OPEN_KINDS, since=since, until=until,
            by=asked.by, text=asked.q, before=asked.before,
        )  # fmt: skip
        wanted = asked.before is None and asked.kind in {"", DECISION}
        exact = by_id(past.decisions, past.log, workspace, asked.q) if wanted else None
        return search(past.decisions, past.log, query), exact

    def _workspaces(self) -> list[tuple[str, str]]:
        known = self._parts.control.keyring.workspaces(OPERATOR)
        return [*((one.id, one.id) for one in known), ("", "of no workspace: the service itself")]

    def _checked(self, principal: Principal, *, everything: bool) -> dict[str, Any]:
        check = self._checks.last(principal.workspace) if everything else None
        return {
            "check": check,
            "may_check": everything,
            "is_operator": principal.workspace == OPERATOR,
            "others": self._checks.is_busy() and (check is None or check.ended is not None),
        }

    def _size(self) -> int:
        try:
            with closing(self._parts.log.open_archive()) as archive:
                newest = audit.tail(archive, 1)
        except LedgerError:  # which the check finds, and says
            return 0
        return newest[0].position if newest else 0


def about(row: Row) -> str:
    """In a few words what the record tells of: names that anybody may have chosen."""
    told = row.told
    if row.kind == DECISION:
        return f"{_text(told, 'outcome')}: {_text(told, 'capability')}"
    document = told.get("document")
    named = document if isinstance(document, dict) else told.get(row.kind.partition(".")[0])
    if isinstance(named, dict):
        return " ".join(part for part in (_text(named, "kind"), _text(named, "name") or _text(named, "id")) if part)
    for name in ("why", "text", "approval", "user", "kid", "day", "value", "capability", "reason"):
        if _text(told, name):
            return _text(told, name)
    return ""


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    return value[:200] if isinstance(value, str) else ""


def _time(text: str, later: timedelta) -> int | None:
    """The time in microseconds UTC; a day alone is its beginning, or (`later`) its end. `None` for what is none."""
    for form, more in (("%Y-%m-%d", later), ("%Y-%m-%d %H:%M", timedelta(0)), ("%Y-%m-%dT%H:%M", timedelta(0))):
        try:
            at = datetime.strptime(text, form).replace(tzinfo=UTC) + more
        except (ValueError, OverflowError):
            continue
        return max(0, int(at.timestamp())) * _SECOND
    return None


def _day(at: int) -> str:
    return datetime.fromtimestamp(at // _SECOND, UTC).strftime("%Y-%m-%d")
