"""A policy or a purpose is taken out of force: told before what that comes to, with a reason, and kept to restore."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.documents import NotPermittedError
from onpurpose.app.outbox import UntoldError
from onpurpose.app.removal import Without, without
from onpurpose.app.shelf import is_name, word
from onpurpose.core.access import Scope
from onpurpose.core.feed import Search, kept
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import ConflictError, Kind, MissingError, Standing, StoreError
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.purpose_facts import MOST_CALLS, alive, policies_of, purpose_id_of, purpose_of
from onpurpose.server.dashboard.saving import MOST_REASON, UNTOLD, number_of, path_of
from onpurpose.server.dashboard.saving import kind_and_name as policy_of
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.shell import HEADERS, Parts

DAYS = 7
"""Over how many of the last days it is told what would have become of calls."""

_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """What a removal comes to. `moved` are calls of the last days, `None` where they cannot be read now.

    `tokens` may be alive of the purpose, as far as its newest calls tell; `policies` are those that are for it.
    """

    moved: Without | None
    purpose: str
    tokens: int
    policies: list[tuple[str, str]]


def routes(parts: Parts) -> list[BaseRoute]:
    """Removing policies."""
    return _routes(parts, "/policies/{kind}/{name}/remove")


def of_purposes(parts: Parts) -> list[BaseRoute]:
    """Removing purposes."""
    return _routes(parts, "/purposes/{id}/remove")


def _routes(parts: Parts, path: str) -> list[BaseRoute]:
    guard, pages = page(parts, Scope.POLICY_WRITE), Removing(parts)
    return [
        Route(path, guard(pages.ask), methods=["GET"]),
        Route(path, guard(pages.remove), methods=["POST"]),
    ]


def document_of(request: Request) -> tuple[Kind, str]:
    """Which document a path names. Raises `MissingError` for one that can name none."""
    if "kind" in request.path_params:
        return policy_of(request)
    name: str = request.path_params["id"]
    if not is_name(name):
        raise MissingError("there is no such purpose")
    return Kind.PURPOSE, name


def page_of(kind: Kind, name: str) -> str:
    """Where the document's page is."""
    return f"/purposes/{quote(name)}" if kind is Kind.PURPOSE else path_of(kind, name)


def list_of(kind: Kind) -> tuple[str, str]:
    """Where all of its kind are, and how that is called."""
    return ("/purposes", "Purposes") if kind is Kind.PURPOSE else ("/policies", "Policies")


def named(request: Request) -> str:
    """The document that a list is to say was removed; empty where there is none."""
    name = request.query_params.get("removed", "")
    return name if is_name(name) else ""


class Removing:
    """The handlers, on the parts that they need."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def ask(self, request: Request, principal: Principal) -> Response:
        """What it would come to, and the form that does it."""
        return self._page(request, principal)

    def remove(self, request: Request, principal: Principal) -> Response:
        """Take it out of force, against the version that was looked at."""
        kind, name = document_of(request)
        form = form_of(request)
        reason = form.get("reason").strip()
        if not 0 < len(reason) <= MOST_REASON:
            return self._page(request, principal, (f"Say why, in at most {MOST_REASON} characters.",), reason, 422)
        expected = number_of(form, "expected")
        try:
            self._parts.control.library.remove(
                principal.workspace, kind, name, author=principal.user, reason=reason,
                expected_version=-1 if expected is None else expected, may_promote=principal.may(Scope.POLICY_PROMOTE),
            )  # fmt: skip
        except NotPermittedError as error:
            return self._page(request, principal, (f"Nothing was changed: {error}.",), reason, 403)
        except ConflictError as error:
            return self._page(request, principal, (f"Nothing was changed: {error}. Look again.",), reason, 409)
        except UntoldError:
            return self._page(request, principal, (UNTOLD,), reason, 503)
        return RedirectResponse(f"{list_of(kind)[0]}?removed={quote(name)}", 303, HEADERS)

    def _page(
        self, request: Request, principal: Principal, problems: tuple[str, ...] = (), reason: str = "",
        status: int = 200,
    ) -> Response:  # fmt: skip
        kind, name = document_of(request)
        standing = self._parts.control.shelf.find(principal.workspace, kind, name)
        if standing is None or (standing.live is None and standing.shadow is None and not problems):
            raise MissingError(f"there is no {word(kind)} `{name}`")
        return self._parts.shell.render(
            request, "remove.html", principal, status=status, standing=standing, word=word(kind),
            here=page_of(kind, name), up=list_of(kind), days=DAYS, problems=problems, reason=reason,
            is_purpose=kind is Kind.PURPOSE, found=self._consequences(principal, standing),
            is_named=kind is Kind.POLICY and self._parts.control.library.is_named(principal.workspace, name),
            may_remove=standing.live is None or kind is Kind.PURPOSE or principal.may(Scope.POLICY_PROMOTE),
        )  # fmt: skip

    def _consequences(self, principal: Principal, standing: Standing) -> Consequences:
        shelf, workspace, past = self._parts.control.shelf, principal.workspace, self._parts.past
        now = self._parts.clock.now()
        purpose = standing.name if standing.kind is Kind.PURPOSE else purpose_id_of(shelf, workspace, standing)
        moved, tokens = None, 0
        try:
            moved = without(
                shelf, past.decisions, past.log, workspace, standing.kind, standing.name,
                since=max(0, now - DAYS * _DAY), until=now + 1,
            )  # fmt: skip
            if purpose and standing.live is not None:  # what only shadow knows has let nothing be given
                entries = past.decisions.page(Search(workspace=workspace, purpose_id=kept(purpose)), limit=MOST_CALLS)
                tokens = len(alive(entries.entries, purpose_of(shelf, workspace, purpose), now, self._parts.tokens))
        except (StoreError, LedgerError, MissingError):
            pass  # what cannot be read now is said to be so
        for_it = policies_of(shelf, workspace, standing.name) if standing.kind is Kind.PURPOSE else []
        return Consequences(
            moved=moved, purpose=purpose, tokens=tokens,
            policies=[(one.name, path_of(one.kind, one.name)) for one in for_it],
        )  # fmt: skip
