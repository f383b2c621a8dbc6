"""Policies: all of a workspace, with where each stands, what was seen of it in shadow, and how ready it is."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.shadow import ShadowReport
from onpurpose.core.access import Scope
from onpurpose.core.revision import Kind, Standing
from onpurpose.core.session import Principal
from onpurpose.server.dashboard import removing
from onpurpose.server.dashboard.purpose_facts import purpose_id_of, status_of
from onpurpose.server.dashboard.saving import path_of, states
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.shell import Parts

MOST_SHOWN = 100
"""How many policies of a kind stand on one page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A policy in the list. `report` is of the revision in shadow, `None` where none is; `readiness` says it in words.

    `purpose` is the purpose of a purpose policy, and `status` that purpose's.
    """

    name: str
    path: str
    states: list[str]
    standing: Standing
    report: ShadowReport | None
    readiness: str
    purpose: str = ""
    status: str = ""


def routes(parts: Parts) -> list[BaseRoute]:
    """The list of policies."""

    def answer(request: Request, principal: Principal) -> Response:
        after = request.query_params.get("after", "")[:256]
        kinds = [_kind(parts, principal, kind, after) for kind in (Kind.PURPOSE_POLICY, Kind.POLICY)]
        (for_purposes, more_purposes), (for_capabilities, more_capabilities) = kinds
        return parts.shell.render(
            request, "policies.html", principal, for_purposes=for_purposes, for_capabilities=for_capabilities,
            more=more_purposes or more_capabilities, after=after, may_write=principal.may(Scope.POLICY_WRITE),
            removed=[] if after else _removed(parts, principal), gone=removing.named(request),
        )  # fmt: skip

    return [Route("/policies", page(parts, Scope.READ)(answer), methods=["GET"])]


def _removed(parts: Parts, principal: Principal) -> list[tuple[str, str]]:
    """The names of policies that were removed, each with where its history is."""
    shelf, workspace = parts.control.shelf, principal.workspace
    found = [one for kind in (Kind.PURPOSE_POLICY, Kind.POLICY) for one in shelf.removed(workspace, kind)]
    return [(one.name, f"{path_of(one.kind, one.name)}/history") for one in found[:MOST_SHOWN]]


def _kind(parts: Parts, principal: Principal, kind: Kind, after: str) -> tuple[list[Row], str]:
    """The policies of a kind whose names follow `after`, and the name that the next page follows, if there is one."""
    standings = [one for one in parts.control.shelf.standings(principal.workspace, kind) if one.name > after]
    shown = standings[:MOST_SHOWN]
    more = shown[-1].name if len(standings) > len(shown) else ""
    return [_row(parts, principal, one) for one in shown], more


def _row(parts: Parts, principal: Principal, standing: Standing) -> Row:
    workspace, report = principal.workspace, None
    if standing.shadow is not None:
        report = parts.control.promotions.report(workspace, standing.kind, standing.name)
    purpose = purpose_id_of(parts.control.shelf, workspace, standing)
    status = status_of(parts.control.shelf, workspace, purpose) if purpose else ""
    found = states(standing)
    if purpose and status != "active":
        found = ["draft"]
    return Row(
        name=standing.name,
        path=path_of(standing.kind, standing.name),
        states=found,
        standing=standing,
        report=report,
        readiness=_words(report, status, purpose),
        purpose=purpose,
        status=status,
    )


def _words(report: ShadowReport | None, status: str, purpose: str) -> str:
    """How ready it is to be live, in one sentence."""
    if purpose and status != "active":
        return f"Its purpose is {status or 'not defined'}: nothing can be judged before it is active."
    if report is None:
        return "Live; no newer revision is in shadow."
    if report.readiness.ready:
        return "Ready to be promoted."
    return "Not ready: " + "; ".join(report.readiness.missing) + "."
