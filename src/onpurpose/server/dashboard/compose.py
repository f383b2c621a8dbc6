"""Policies -> New policy: a purpose policy as a form beside its YAML, kept in step; and one that is edited."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.composing import NAMES, Fields, fields_from
from onpurpose.app.drafting import Draft, Side, begun, opened, settle
from onpurpose.app.proofreading import own_name
from onpurpose.app.seen import Seen, seen
from onpurpose.core.access import Scope
from onpurpose.core.feed import Search, kept
from onpurpose.core.purpose import PurposePolicy
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import Kind, StoreError
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.highlight import drawn
from onpurpose.server.dashboard.saving import Saved, path_of, save
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.shell import Parts
from onpurpose.server.dashboard.trials import DAYS, Told, days_of, tried

PATH = "/policies/new"
FORM_BYTES = 4 << 20
"""How long a form may be that carries a policy's text: percent signs make it three times as long."""

_KIND = Kind.PURPOSE_POLICY


def routes(parts: Parts) -> list[BaseRoute]:
    """The pages to compose and to edit a purpose policy."""
    guard = page(parts, Scope.POLICY_WRITE, form_bytes=FORM_BYTES)
    pages = Composing(parts)
    return [
        Route(PATH, guard(pages.new), methods=["GET"]),
        Route(PATH, guard(pages.act), methods=["POST"]),
        Route(f"{PATH}/sync", guard(pages.sync), methods=["POST"]),
        Route(f"{PATH}/backtest", guard(pages.backtest), methods=["POST"]),
        Route("/policies/purpose_policy/{name}/edit", guard(pages.edit), methods=["GET"]),
        Route("/policies/purpose_policy/{name}/edit", guard(pages.act), methods=["POST"]),
    ]


class Composing:
    """The handlers, on the parts that they need."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def new(self, request: Request, principal: Principal) -> Response:
        """An empty form, or one for the purpose that is named."""
        purpose = request.query_params.get("purpose", "")[:256]
        return self._page(request, principal, begun(Fields(purpose_id=purpose)), expected=0)

    def edit(self, request: Request, principal: Principal) -> Response:
        """The newest revision, to be written anew."""
        name = request.path_params["name"]
        standing, newest = self._parts.control.shelf.newest(principal.workspace, _KIND, name)
        return self._page(request, principal, opened(newest.text, name), expected=standing.version)

    def act(self, request: Request, principal: Principal) -> Response:
        """What a button of the form asks for: one side after the other, a backtest, or saving."""
        form = form_of(request)
        do, draft = form.get("do"), _draft(request, form)
        expected = form.get("expected")
        if do in (Side.FORM, Side.YAML):
            return self._page(request, principal, settle(draft, Side(do)), expected=expected)
        draft = settle(msgspec.structs.replace(draft, asked=True))
        if draft.torn or draft.proof.problems:
            return self._page(request, principal, draft, expected=expected, status=422)
        if do == "try":
            told = self._tried(principal, draft, form)
            return self._page(request, principal, draft, expected=expected, told=told)
        name = _name(draft)
        saved = save(self._parts, principal, _KIND, name, text=draft.text, form=form)
        if saved.number is None:
            return self._page(request, principal, draft, expected=expected, saved=saved, status=saved.status)
        return RedirectResponse(f"{path_of(_KIND, name)}?saved={saved.number}", 303)

    def sync(self, request: Request, principal: Principal) -> Response:
        """The other side, for htmx: pieces that are exchanged by their ids."""
        form = form_of(request)
        side = Side.YAML if request.query_params.get("side") == "yaml" else Side.FORM
        draft = _draft(request, form)
        before = draft.text
        draft = settle(draft, side if side is Side.YAML else None)
        context = self._context(principal, draft, expected=form.get("expected"))
        return self._parts.shell.fragment(
            request, "compose_sync.html", "pieces", principal, side=str(side), text_changed=draft.text != before,
            seen=self._seen(principal, draft.fields.purpose_id) if side is Side.YAML else Seen(), **context,
        )  # fmt: skip

    def backtest(self, request: Request, principal: Principal) -> Response:
        """What the draft would have done, for htmx."""
        form = form_of(request)
        draft = settle(_draft(request, form))
        told = self._tried(principal, draft, form)
        return self._parts.shell.fragment(request, "trial.html", "trial", principal, told=told)

    def _tried(self, principal: Principal, draft: Draft, form: Form) -> Told:
        days = days_of(form.get("days"))
        if draft.torn or draft.proof.problems:
            return Told(days=days, why="Mend what is wrong with the policy first; then it can be tried.")
        return tried(self._parts, principal, _KIND, _name(draft), text=draft.text, days=days)

    def _page(  # noqa: PLR0913  what the page shows
        self,
        request: Request,
        principal: Principal,
        draft: Draft,
        *,
        expected: int | str,
        told: Told | None = None,
        saved: Saved | None = None,
        status: int = 200,
    ) -> Response:
        context = self._context(principal, draft, expected=expected)
        if saved is not None and saved.clash is not None:
            context["expected"] = saved.clash.version
        form = form_of(request) if request.method == "POST" else Form([])
        return self._parts.shell.render(
            request, "compose.html", principal, status=status, told=told, saved=saved or Saved(),
            seen=self._seen(principal, draft.fields.purpose_id), all_days=DAYS, days=days_of(form.get("days")),
            reason=form.get("reason"), sent=request.method == "POST", **context,
        )  # fmt: skip

    def _context(self, principal: Principal, draft: Draft, *, expected: int | str) -> dict[str, Any]:
        shelf = self._parts.control.shelf
        purposes = [one.name for one in shelf.standings(principal.workspace, Kind.PURPOSE)]
        given = draft.fields.purpose_id
        options = [("", "choose one"), *((one, one) for one in purposes)]
        if given and given not in purposes:
            options.append((given, f"{given} (not defined yet)"))
        return {
            "draft": draft, "fields": draft.fields, "errors": draft.errors, "expected": expected,
            "purposes": options, "lines": drawn(draft.text, [*draft.told, *draft.proof.warnings]),
            "may_promote": principal.may(Scope.POLICY_PROMOTE),
        }  # fmt: skip

    def _seen(self, principal: Principal, purpose_id: str) -> Seen:
        """Names to choose from. That there are none now keeps nobody from writing."""
        past = self._parts.past
        search = Search(workspace=principal.workspace, purpose_id=kept(purpose_id) if purpose_id else None)
        try:
            return seen(past.decisions, past.log, search)
        except (StoreError, LedgerError):
            return Seen()


def _draft(request: Request, form: Form) -> Draft:
    """The draft that a form carries; of one that is edited, under the name of the path."""
    name = request.path_params.get("name") or form.get("name")
    given = {key: value for key, value in form if key in NAMES}
    return Draft(
        fields=fields_from(given), text=form.get("text"), form_mark=form.get("form_mark"),
        yaml_mark=form.get("yaml_mark"), base=form.get("base"), name=name, asked=form.get("asked") == "yes",
        shown=form.get("shown") != "no",
    )  # fmt: skip


def _name(draft: Draft) -> str:
    one = draft.proof.document
    return one.policy_id if isinstance(one, PurposePolicy) else own_name(_KIND, draft.text)


def new_path(purpose: str) -> str:
    """Where a policy for that purpose is composed."""
    return f"{PATH}?purpose={quote(purpose)}"
