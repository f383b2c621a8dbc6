"""`/approvals`: what waits for people, what the reader may decide first; and what was decided, and how quickly."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.queue import Waiting, pace, queue
from onpurpose.core.access import Scope
from onpurpose.core.act import State
from onpurpose.core.approval import Approval, Wanted
from onpurpose.core.feed import kept
from onpurpose.core.session import Principal
from onpurpose.server.api.approval_bodies import decider
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.shell import HEADERS, Parts
from onpurpose.server.pages.words import names

PATH = "/approvals"

MOST_WAITING = 100
"""How many pending approvals are looked at."""

PAGE = 50
"""How many decided ones a page shows."""

MOST_TIMED = 500
"""Of how many decided ones it is told how long they took."""

HISTORY: Mapping[str, frozenset[State]] = {
    "decided": frozenset(State) - {State.PENDING},
    **{str(state): frozenset({state}) for state in State if state is not State.PENDING},
}
"""The tabs beside the queue, and the states that each shows."""


class Filters(Struct, frozen=True, kw_only=True):
    """What the links of the page choose. `state` is `pending`, or one of `HISTORY`."""

    state: str = "pending"
    agent: str = ""
    capability: str = ""
    mine: bool = False
    before: str = ""

    @classmethod
    def of(cls, request: Request) -> Filters:
        """What the query says; what it says wrongly is left out."""
        given = request.query_params
        state = given.get("state", "pending")
        return cls(
            state=state if state in HISTORY else "pending",
            agent=kept(given.get("agent", "")),
            capability=kept(given.get("capability", "")),
            mine=given.get("mine") == "1",
            before=kept(given.get("before", "")),
        )

    def path(self, **changes: object) -> str:
        """The link to these filters with some changed; a cursor is for its own list alone."""
        told = {"state": self.state, "agent": self.agent, "capability": self.capability, "mine": self.mine}
        told |= {"before": "", **changes}
        if told["state"] == "pending":
            told["state"] = ""
        said = {name: "1" if value is True else value for name, value in told.items() if value}
        return f"{PATH}?{urlencode(said)}" if said else PATH

    def follow(self, seen: str) -> str:
        """Where the queue of these filters is had anew, unless it is as it was seen."""
        path = self.path()
        return f"{PATH}/-/queue{path.removeprefix(PATH)}{'&' if '?' in path else '?'}seen={seen}"

    def wanted(self, workspace: str, states: frozenset[State], limit: int) -> Wanted:
        """What is asked of the store."""
        return Wanted(
            workspace=workspace, states=states, agent_id=self.agent or None, capability=self.capability or None,
            before=self.before or None, limit=limit,
        )  # fmt: skip


def routes(parts: Parts) -> list[BaseRoute]:
    """The list, and the part of it that follows what happens."""
    guard = page(parts, Scope.READ)
    return [
        Route(PATH, guard(partial(_show, parts)), methods=["GET"]),
        Route(f"{PATH}/-/queue", guard(partial(_follow, parts)), methods=["GET"]),
    ]


def _show(parts: Parts, request: Request, principal: Principal) -> Response:
    filters = Filters.of(request)
    users = parts.control.keyring.users(principal.workspace)
    shared: dict[str, Any] = {"filters": filters, "who": names(users), "decider": decider, "tabs": _tabs(filters)}
    if filters.state == "pending":
        waiting = _waiting(parts, principal, filters)
        return parts.shell.render(
            request, "approvals.html", principal, waiting=waiting, seen=_digest(waiting), most=MOST_WAITING, **shared
        )
    found = parts.desk.find(filters.wanted(principal.workspace, HISTORY[filters.state], PAGE + 1))
    shown, more = found[:PAGE], len(found) > PAGE
    took = pace(parts.desk.find(_of_all(filters).wanted(principal.workspace, HISTORY["decided"], MOST_TIMED)))
    next_page = filters.path(before=shown[-1].id) if more else None
    return parts.shell.render(
        request, "approvals_history.html", principal, shown=shown, pace=took, next=next_page, most=MOST_TIMED, **shared
    )


def _of_all(filters: Filters) -> Filters:
    """The same agent and capability, from the newest on: what times are told of."""
    return Filters(agent=filters.agent, capability=filters.capability)


def _follow(parts: Parts, request: Request, principal: Principal) -> Response:
    """The queue anew; nothing where it is as the browser has it."""
    filters = Filters.of(request)
    waiting = _waiting(parts, principal, filters)
    seen = _digest(waiting)
    if seen == request.query_params.get("seen"):
        return Response(status_code=204, headers=dict(HEADERS))
    users = parts.control.keyring.users(principal.workspace)
    return parts.shell.fragment(
        request, "approvals.html", "queue", principal, waiting=waiting, seen=seen, filters=filters, who=names(users),
        most=MOST_WAITING,
    )  # fmt: skip


def _waiting(parts: Parts, principal: Principal, filters: Filters) -> list[Waiting]:
    pending = parts.desk.find(filters.wanted(principal.workspace, frozenset({State.PENDING}), MOST_WAITING))
    users = parts.control.keyring.users(principal.workspace)
    able = principal.may(Scope.APPROVE)
    found = queue(pending, principal.user if able else "", users)
    return [one for one in found if one.mine] if filters.mine else found


def _digest(waiting: Sequence[Waiting]) -> str:
    """What differs once the queue does."""
    told = "\n".join(f"{one.approval.id} {one.approval.version} {one.mine}" for one in waiting)
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _tabs(filters: Filters) -> list[tuple[str, str]]:
    return [(filters.path(state=state), state.capitalize()) for state in ("pending", *HISTORY)]


def first_other(parts: Parts, principal: Principal, approval: Approval) -> Approval | None:
    """The next one that the person may decide, after this one."""
    waiting = _waiting(parts, principal, Filters(mine=True))
    return next((one.approval for one in waiting if one.approval.id != approval.id), None)
