"""`/settings/workspace`: the document that holds for every call, written as YAML, with problems at their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.documents import NotPermittedError
from onpurpose.core.access import Scope
from onpurpose.core.revision import ConflictError, Kind, MissingError
from onpurpose.core.session import Principal
from onpurpose.core.span import PolicyError, Problem
from onpurpose.server.api.schemas.bounds import MAX_TEXT
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.settings_frame import PATH as SETTINGS
from onpurpose.server.dashboard.settings_frame import tabs_for
from onpurpose.server.dashboard.shell import HEADERS, Parts

PATH = f"{SETTINGS}/workspace"
NAME = "settings"

MOST_REVISIONS = 10
MOST_REASON = 2000

EXAMPLE = """\
purpose_required: false
unmatched: deny
approvers: [group:approvers]
notify:
  email: true
"""
"""What is offered where nothing was written yet."""


def routes(parts: Parts) -> list[BaseRoute]:
    """The document, and saving it: which changes what decides, and so needs to be allowed both."""
    pages = DocumentPages(parts)
    return [
        Route(PATH, page(parts, Scope.READ)(pages.show), methods=["GET"]),
        Route(PATH, page(parts, Scope.POLICY_WRITE)(pages.save), methods=["POST"]),
    ]


class DocumentPages:
    """The page of the document. For worker threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def show(self, request: Request, principal: Principal) -> Response:
        """The newest revision, and what was before it."""
        text, version = newest(self._parts, principal)
        done = "It is kept, and holds from now on." if request.query_params.get("done") == "1" else ""
        return self._page(request, principal, text=text or EXAMPLE, version=version, done=done)

    def save(self, request: Request, principal: Principal) -> Response:
        """Keep a new revision; what is wrong is told by line, and the text comes back as it was written."""
        form = form_of(request)
        text, reason, version = form.get("text"), form.get("reason").strip(), _number(form)
        told: dict[str, Any] = {"text": text, "reason": reason, "version": version}
        if len(text) > MAX_TEXT or len(reason) > MOST_REASON:
            return self._page(request, principal, **told, faults=["That is too long."], status=422)
        try:
            self._parts.control.library.save(
                principal.workspace, Kind.SETTINGS, NAME, text, author=principal.user, reason=reason,
                expected_version=version, may_promote=principal.may(Scope.POLICY_PROMOTE),
            )  # fmt: skip
        except PolicyError as error:
            return self._page(request, principal, **told, problems=error.problems, status=422)
        except NotPermittedError as error:
            return self._page(request, principal, **told, faults=[f"Nothing was changed: {error}."], status=403)
        except ConflictError as error:
            faults = [f"Somebody else changed it meanwhile: {error}. What you wrote is below; nothing was changed."]
            return self._page(request, principal, **told, faults=faults, status=409)
        return RedirectResponse(f"{PATH}?done=1", 303, HEADERS)

    def _page(  # noqa: PLR0913  what the page shows
        self, request: Request, principal: Principal, *, text: str, version: int, reason: str = "", done: str = "",
        problems: Sequence[Problem] = (), faults: Sequence[str] = (), status: int = 200,
    ) -> Response:  # fmt: skip
        revisions = self._parts.control.shelf.revisions(
            principal.workspace, Kind.SETTINGS, NAME, None, MOST_REVISIONS
        ) if version else []  # fmt: skip
        return self._parts.shell.render(
            request, "settings_document.html", principal, status=status, text=text, version=version, reason=reason,
            done=done, problems=problems, faults=faults, revisions=revisions, tabs=tabs_for(principal),
            may_edit=principal.may(Scope.POLICY_WRITE) and principal.may(Scope.POLICY_PROMOTE),
        )  # fmt: skip


def newest(parts: Parts, principal: Principal) -> tuple[str, int]:
    """The newest text of the workspace's settings and the version that they are at; nothing and 0 where none are."""
    try:
        standing, revision = parts.control.shelf.newest(principal.workspace, Kind.SETTINGS, NAME)
    except MissingError:
        return "", 0
    return revision.text, standing.version


def _number(form: Form) -> int:
    digits = form.get("version", "0")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else 0
