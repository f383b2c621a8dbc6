"""Purposes: what agents say they do; composed of what was seen, their status, their tokens, and who uses them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.purpose_drafts import with_status
from onpurpose.app.seen import Use, uses
from onpurpose.app.shelf import is_name, is_removed
from onpurpose.core.access import Scope
from onpurpose.core.call import MAX_NAME
from onpurpose.core.feed import Entry, Search, kept
from onpurpose.core.purpose import Purpose, Status
from onpurpose.core.revision import Kind, MissingError
from onpurpose.core.session import Principal
from onpurpose.server.dashboard import purpose_form, removing, revisions, revoking
from onpurpose.server.dashboard.purpose_facts import MOST_CALLS, alive, policies_of, purpose_id_of, purpose_of
from onpurpose.server.dashboard.revoking import Refused
from onpurpose.server.dashboard.saving import Saved, path_of, save, states
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.shell import HEADERS, Parts

MOST_SHOWN = 100
"""How many purposes stand on one page."""

MOST_TOKENS = 50
"""How many tokens that may be alive are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A purpose in the list, `None` where its text cannot be read, with how many policies are for it."""

    name: str
    purpose: Purpose | None
    policies: int


def routes(parts: Parts) -> list[BaseRoute]:
    """The pages of purposes."""
    pages = Pages(parts)
    read = page(parts, Scope.READ)
    return [
        Route("/purposes", read(pages.listed), methods=["GET"]),
        *purpose_form.routes(parts),
        *revoking.routes(parts, pages.again),
        *revisions.of_purposes(parts),
        *removing.of_purposes(parts),
        Route("/purposes/{id}", read(pages.show), methods=["GET"]),
        Route("/purposes/{id}/status", page(parts, Scope.POLICY_WRITE)(pages.change), methods=["POST"]),
    ]


class Pages:
    """The handlers, on the parts that they need."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def listed(self, request: Request, principal: Principal) -> Response:
        """All of them, by id."""
        shelf, workspace = self._parts.control.shelf, principal.workspace
        after = request.query_params.get("after", "")[:256]
        standings = [one for one in shelf.standings(workspace, Kind.PURPOSE) if one.name > after]
        shown = standings[:MOST_SHOWN]
        policies = shelf.standings(workspace, Kind.PURPOSE_POLICY)
        counted = Counter(purpose_id_of(shelf, workspace, one) for one in policies)
        rows = [
            Row(
                name=one.name,
                purpose=purpose_of(shelf, workspace, one.name),
                policies=counted[one.name],
            )
            for one in shown
        ]
        return self._parts.shell.render(
            request, "purposes.html", principal, rows=rows, after=after,
            more=shown[-1].name if len(standings) > len(shown) else "", may_write=principal.may(Scope.POLICY_WRITE),
            removed=[] if after else shelf.removed(workspace, Kind.PURPOSE)[:MOST_SHOWN],
            gone=removing.named(request),
        )  # fmt: skip

    def show(self, request: Request, principal: Principal) -> Response:
        """One of them; of one that was removed, its history."""
        standing = self._parts.control.shelf.find(principal.workspace, Kind.PURPOSE, _name(request))
        if standing is not None and is_removed(standing):
            return RedirectResponse(f"/purposes/{quote(standing.name)}/history", 303, HEADERS)
        named = request.query_params.get("revoke", "")[:MAX_NAME]
        return self.again(request, principal, Refused(kind="jti" if named else "", value=named))

    def change(self, request: Request, principal: Principal) -> Response:
        """Give it another status."""
        name, form = _name(request), form_of(request)
        status = next((one for one in Status if one == form.get("status")), None)
        if status is None:
            return self.again(request, principal, Refused(problems=("Choose a status.",), status=422))
        _, newest = self._parts.control.shelf.newest(principal.workspace, Kind.PURPOSE, name)
        text = with_status(newest.text, status)
        saved = save(self._parts, principal, Kind.PURPOSE, name, text=text, form=form)
        if saved.number is None:
            return self.again(request, principal, _refused(saved))
        return RedirectResponse(f"/purposes/{quote(name)}?done=status", 303)

    def again(self, request: Request, principal: Principal, refused: Refused) -> Response:
        """The page of a purpose, with what kept something from being done."""
        shelf, workspace, name = self._parts.control.shelf, principal.workspace, _name(request)
        standing, newest = shelf.newest(workspace, Kind.PURPOSE, name)
        purpose = purpose_of(shelf, workspace, name)
        entries = self._entries(workspace, name)
        for_it = [(one.name, path_of(one.kind, one.name), states(one)) for one in policies_of(shelf, workspace, name)]
        return self._parts.shell.render(
            request, "purpose.html", principal, status=refused.status, name=name, purpose=purpose, standing=standing,
            newest=newest, policies=for_it, uses=_shown(entries), calls=len(entries), most_calls=MOST_CALLS,
            tokens=alive(entries, purpose, self._parts.clock.now(), self._parts.tokens)[:MOST_TOKENS], refused=refused,
            statuses=[str(one) for one in Status],
            done=request.query_params.get("done", "")[:16], may_write=principal.may(Scope.POLICY_WRITE),
        )  # fmt: skip

    def _entries(self, workspace: str, name: str) -> tuple[Entry, ...]:
        search = Search(workspace=workspace, purpose_id=kept(name))
        return self._parts.past.decisions.page(search, limit=MOST_CALLS).entries


def _name(request: Request) -> str:
    name: str = request.path_params["id"]
    if not is_name(name):
        raise MissingError("there is no such purpose")
    return name


def _refused(saved: Saved) -> Refused:
    clash = ("Somebody saved it meanwhile. Nothing was changed: look again.",) if saved.clash else ()
    return Refused(problems=(*saved.problems, *clash), status=saved.status)


def _shown(entries: tuple[Entry, ...]) -> list[Use]:
    return uses(entries)[:MOST_TOKENS]
