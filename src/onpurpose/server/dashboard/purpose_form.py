"""A purpose is composed, or edited: a form, with the elements picked from what was seen in recorded calls."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.proofreading import Proof, proofread
from onpurpose.app.purpose_drafts import PurposeFields, compose_purpose, field_at, fields_of, with_seen
from onpurpose.app.seen import Seen, seen
from onpurpose.core.access import Scope
from onpurpose.core.feed import Search
from onpurpose.core.purpose import IntentClass, Purpose, Status
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import Kind, StoreError
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.saving import Saved, number_of, save
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.shell import Parts

_KIND = Kind.PURPOSE


def routes(parts: Parts) -> list[BaseRoute]:
    """The pages to compose and to edit a purpose."""
    guard = page(parts, Scope.POLICY_WRITE)
    pages = Composing(parts)
    return [
        Route("/purposes/new", guard(pages.new), methods=["GET"]),
        Route("/purposes/new", guard(pages.save), methods=["POST"]),
        Route("/purposes/{id}/edit", guard(pages.edit), methods=["GET"]),
        Route("/purposes/{id}/edit", guard(pages.save), methods=["POST"]),
    ]


class Composing:
    """The handlers, on the parts that they need."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def new(self, request: Request, principal: Principal) -> Response:
        """An empty form, or one with what the address says: `id`, `name`, `elements`."""
        asked = request.query_params
        given = {name: asked.get(name, "")[:4096] for name in ("id", "name", "description", "elements")}
        return self._page(request, principal, PurposeFields(**given), expected=0)

    def edit(self, request: Request, principal: Principal) -> Response:
        """The newest revision, to be written anew."""
        name = request.path_params["id"]
        standing, newest = self._parts.control.shelf.newest(principal.workspace, _KIND, name)
        proof = proofread(_KIND, name, newest.text)
        fields = fields_of(proof.document) if isinstance(proof.document, Purpose) else PurposeFields(id=name)
        return self._page(request, principal, fields, expected=standing.version, name=name)

    def save(self, request: Request, principal: Principal) -> Response:
        """Save what the form holds; a purpose counts at once."""
        form, name = form_of(request), request.path_params.get("id", "")
        given = {field: form.get(field).strip() for field in PurposeFields.__struct_fields__}
        fields = with_seen(PurposeFields(**given), form.all("seen"))
        text = compose_purpose(fields)
        proof = proofread(_KIND, name, text)
        expected = number_of(form, "expected") or 0
        if proof.problems or not isinstance(proof.document, Purpose):
            return self._page(request, principal, fields, expected=expected, name=name, proof=proof, text=text)
        saved = save(self._parts, principal, _KIND, proof.document.id, text=text, form=form)
        if saved.number is None:
            return self._page(request, principal, fields, expected=expected, name=name, saved=saved)
        return RedirectResponse(f"/purposes/{quote(proof.document.id)}?done=saved", 303)

    def _page(  # noqa: PLR0913  what the page shows
        self,
        request: Request,
        principal: Principal,
        fields: PurposeFields,
        *,
        expected: int,
        name: str = "",
        proof: Proof | None = None,
        text: str = "",
        saved: Saved | None = None,
    ) -> Response:
        errors: dict[str, list[str]] = {}
        for one in (proof or Proof()).problems:
            errors.setdefault(field_at(one, text), []).append(f"{one.message}: {one.help}" if one.help else one.message)
        saved = saved or Saved(status=422 if errors else 200)
        expected = expected if saved.clash is None else saved.clash.version
        form = form_of(request) if request.method == "POST" else Form([])
        return self._parts.shell.render(
            request, "purpose_form.html", principal, status=saved.status, fields=fields, errors=errors, name=name,
            expected=expected, saved=saved, seen=self._seen(principal), reason=form.get("reason"),
            classes=[str(one) for one in IntentClass], statuses=[str(one) for one in Status],
        )  # fmt: skip

    def _seen(self, principal: Principal) -> Seen:
        """What calls touched. That it cannot be told now keeps nobody from writing."""
        past = self._parts.past
        try:
            return seen(past.decisions, past.log, Search(workspace=principal.workspace))
        except (StoreError, LedgerError):
            return Seen()
