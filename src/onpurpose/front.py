"""Parts -> the dashboard of a service: its pages, and who may see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.routing import BaseRoute

from onpurpose.app.backtest import Backtests
from onpurpose.app.channels import Channels
from onpurpose.app.checking import Verify
from onpurpose.app.control import Control
from onpurpose.app.hours import Outcomes
from onpurpose.app.keeping import Keeping
from onpurpose.app.presence import Presence
from onpurpose.app.shadow import Rollups
from onpurpose.app.tokens import Tokens
from onpurpose.app.trials import Trials
from onpurpose.app.workspace import Workspaces
from onpurpose.people import Asking
from onpurpose.ports import Clock
from onpurpose.server.api.audit import Log
from onpurpose.server.api.decisions import Past
from onpurpose.server.dashboard import (
    account,
    approval,
    approvals,
    audit,
    compose,
    decision,
    editor,
    feed,
    overview,
    policies,
    policy,
    purposes,
    record,
    set_up,
    settings,
    sign_in,
    trials,
)
from onpurpose.server.dashboard.assets import Assets
from onpurpose.server.dashboard.errors import error_pages
from onpurpose.server.dashboard.session import Sessions, csrf_token
from onpurpose.server.dashboard.shell import Parts, Shell
from onpurpose.server.metrics import Metrics
from onpurpose.server.problems import ANSWERS
from onpurpose.server.services import Answers, Feed

PAGES = (
    sign_in, set_up, account, overview, feed, decision, approvals, approval, audit, record, policies, compose, editor,
    trials, policy, purposes, settings,
)  # fmt: skip
"""Every page. A path that two of them know is the earlier one's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """What the service has that pages call."""

    control: Control
    past: Past
    feed: Feed
    rollups: Rollups
    outcomes: Outcomes
    tokens: Tokens
    log: Log
    workspaces: Workspaces
    metrics: Metrics
    asking: Asking
    channels: Channels
    verify: Verify
    keeping: Keeping | None
    ready: Callable[[], list[str]]
    stopping: Callable[[], bool]
    presence: Presence


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """The dashboard: its routes, and what it makes of errors."""

    routes: list[BaseRoute]
    answers: Answers


def front(uses: Uses, sessions: Sessions, *, public_url: str, clock: Clock) -> Front:
    """The dashboard over these uses; `public_url` is where people reach it, empty where nobody said."""
    shell = Shell(Assets.ours(), csrf=csrf_token, clock=clock)
    parts = Parts(
        shell=shell,
        sessions=sessions,
        clock=clock,
        control=uses.control,
        past=uses.past,
        feed=uses.feed,
        rollups=uses.rollups,
        outcomes=uses.outcomes,
        trials=Trials(Backtests(uses.control.shelf, uses.past.decisions, uses.past.log)),
        desk=uses.asking.desk,
        tokens=uses.tokens,
        log=uses.log,
        workspaces=uses.workspaces,
        metrics=uses.metrics,
        courier=uses.asking.courier.status,
        links=uses.asking.links,
        channels=uses.channels,
        verify=uses.verify,
        keeping=uses.keeping,
        ready=uses.ready,
        public_url=public_url,
        lost=uses.asking.deliveries.dead,
        stopping=uses.stopping,
        processes=uses.presence.all,
        process=uses.presence.id,
    )
    routes = [route for page in PAGES for route in page.routes(parts)]
    return Front(routes=[*routes, *shell.assets.routes()], answers=error_pages(shell, sessions, ANSWERS))
