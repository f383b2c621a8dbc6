"""The history of a policy or a purpose: its revisions, what differs between two, and an old one written anew."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.documents import NotPermittedError
from onpurpose.app.outbox import UntoldError
from onpurpose.app.shelf import word
from onpurpose.core.access import Scope
from onpurpose.core.revision import ConflictError, Kind, MissingError, Revision
from onpurpose.core.session import Principal
from onpurpose.core.span import PolicyError
from onpurpose.server.dashboard.removing import document_of, list_of, page_of
from onpurpose.server.dashboard.saving import UNTOLD, number_of, states
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.shell import Parts

MOST_SHOWN = 50
"""How many revisions stand on one page."""


def routes(parts: Parts) -> list[BaseRoute]:
    """The history of a policy, and restoring."""
    history = History(parts)
    return [
        Route("/policies/{kind}/{name}/history", page(parts, Scope.READ)(history.show), methods=["GET"]),
        Route("/policies/{kind}/{name}/restore", page(parts, Scope.POLICY_WRITE)(history.restore), methods=["POST"]),
    ]


def of_purposes(parts: Parts) -> list[BaseRoute]:
    """The history of a purpose, and restoring."""
    history = History(parts)
    return [
        Route("/purposes/{id}/history", page(parts, Scope.READ)(history.show), methods=["GET"]),
        Route("/purposes/{id}/restore", page(parts, Scope.POLICY_WRITE)(history.restore), methods=["POST"]),
    ]


class History:
    """The handlers, on the parts that they need."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def show(self, request: Request, principal: Principal) -> Response:
        """The revisions, newest first, and what differs between the two that are named."""
        return self._page(request, principal)

    def restore(self, request: Request, principal: Principal) -> Response:
        """Write an old revision's text anew."""
        kind, name = document_of(request)
        form = form_of(request)
        try:
            revision = self._parts.control.library.restore(
                principal.workspace, kind, name, number_of(form, "revision") or 0, author=principal.user,
                reason=form.get("reason").strip()[:2000], expected_version=number_of(form, "expected"),
                may_promote=principal.may(Scope.POLICY_PROMOTE),
            )  # fmt: skip
        except ConflictError:
            why = "Somebody saved meanwhile, or that revision holds nothing. Nothing was changed: look again."
            return self._page(request, principal, (why,), 409)
        except (NotPermittedError, PolicyError) as error:
            return self._page(request, principal, (str(error).splitlines()[0],), 403)
        except UntoldError:
            return self._page(request, principal, (UNTOLD,), 503)
        done = "done=saved" if kind is Kind.PURPOSE else f"saved={revision.number}"
        return RedirectResponse(f"{page_of(kind, name)}?{done}", 303)

    def _page(
        self, request: Request, principal: Principal, problems: tuple[str, ...] = (), status: int = 200
    ) -> Response:
        kind, name = document_of(request)
        shelf, workspace, query = self._parts.control.shelf, principal.workspace, request.query_params
        standing = shelf.find(workspace, kind, name)
        if standing is None:
            raise MissingError(f"there never was such a {word(kind)}")
        found = shelf.revisions(workspace, kind, name, _number(query.get("before", "")) or None, MOST_SHOWN)
        a, b = _compared(_number(query.get("a", "")), _number(query.get("b", "")), found)
        return self._parts.shell.render(
            request, "revisions.html", principal, status=status, here=page_of(kind, name), standing=standing,
            up=list_of(kind), revisions=found, a=a, b=b, lines=self._diff(workspace, kind, name, a, b),
            problems=problems, more=found[-1].number if len(found) == MOST_SHOWN and found[-1].number > 1 else None,
            states=states(standing), shows=kind is not Kind.PURPOSE, may_write=principal.may(Scope.POLICY_WRITE),
        )  # fmt: skip

    def _diff(self, workspace: str, kind: Kind, name: str, a: int, b: int) -> list[str]:
        return self._parts.control.shelf.diff(workspace, kind, name, a, b).splitlines()[2:]


def _compared(a: int, b: int, found: list[Revision]) -> tuple[int, int]:
    """The two revisions that are compared: unless named, the newest on the page and the one before it."""
    newest = found[0].number if found else 0
    b = b or newest
    return (a or max(0, b - 1)), b


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
