"""A capability policy in an editor: drawn with numbers and colours, its problems told, and a call tried on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.proofreading import proofread, try_call
from onpurpose.app.shelf import is_name
from onpurpose.core.access import Scope
from onpurpose.core.decision import Decision
from onpurpose.core.revision import Kind
from onpurpose.core.session import Principal
from onpurpose.core.span import PolicyError
from onpurpose.server.dashboard.compose import FORM_BYTES
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.highlight import drawn
from onpurpose.server.dashboard.saving import Saved, path_of, save
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.shell import Parts
from onpurpose.server.dashboard.trials import DAYS, Told, days_of, tried
from onpurpose.server.problems import ProblemError
from onpurpose.server.question import read_call, read_json

PATH = "/policies/new/capability"

FIRST = "# Whatever no rule allows is denied.\nallow:\n  - capability: files.read\n"
FIRST_CALL = '{"agent_id": "bot", "capability": "files.read", "payload": {"path": "/tmp/x"}}'

_KIND = Kind.POLICY


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of the call that was tried: a decision, or what is wrong with the call."""

    decision: Decision | None = None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What stands in the editor."""

    name: str
    text: str
    call: str
    fixed: bool
    expected: int | str


def routes(parts: Parts) -> list[BaseRoute]:
    """The pages to write and to edit a capability policy."""
    guard = page(parts, Scope.POLICY_WRITE, form_bytes=FORM_BYTES)
    pages = Editing(parts)
    return [
        Route(PATH, guard(pages.new), methods=["GET"]),
        Route(PATH, guard(pages.act), methods=["POST"]),
        Route(f"{PATH}/proof", guard(pages.proof), methods=["POST"]),
        Route(f"{PATH}/call", guard(pages.call), methods=["POST"]),
        Route(f"{PATH}/backtest", guard(pages.backtest), methods=["POST"]),
        Route("/policies/policy/{name}/edit", guard(pages.edit), methods=["GET"]),
        Route("/policies/policy/{name}/edit", guard(pages.act), methods=["POST"]),
    ]


class Editing:
    """The handlers, on the parts that they need."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def new(self, request: Request, principal: Principal) -> Response:
        """A first policy, to be changed."""
        return self._page(request, principal, Sheet(name="", text=FIRST, call=FIRST_CALL, fixed=False, expected=0))

    def edit(self, request: Request, principal: Principal) -> Response:
        """The newest revision, to be written anew."""
        name = request.path_params["name"]
        standing, newest = self._parts.control.shelf.newest(principal.workspace, _KIND, name)
        sheet = Sheet(name=name, text=newest.text, call=FIRST_CALL, fixed=True, expected=standing.version)
        return self._page(request, principal, sheet)

    def act(self, request: Request, principal: Principal) -> Response:
        """What a button asks for: reading it again, trying a call, a backtest, or saving."""
        form, sheet = form_of(request), _sheet(request)
        do = form.get("do")
        if do == "call":
            return self._page(request, principal, sheet, answer=_answer(sheet))
        if do == "try":
            return self._page(request, principal, sheet, told=self._tried(principal, sheet, form))
        if do != "save":
            return self._page(request, principal, sheet)
        if not is_name(sheet.name):
            cure = "The name has letters, digits, `_`, `-` and `.`, at most 128."
            return self._page(request, principal, sheet, saved=Saved(problems=(cure,), status=422))
        saved = save(self._parts, principal, _KIND, sheet.name, text=sheet.text, form=form)
        if saved.number is None:
            return self._page(request, principal, sheet, saved=saved)
        return RedirectResponse(f"{path_of(_KIND, sheet.name)}?saved={saved.number}", 303)

    def proof(self, request: Request, principal: Principal) -> Response:
        """The text drawn anew, for htmx."""
        return self._fragment(request, principal, "editor_told.html", **_told(_sheet(request)))

    def call(self, request: Request, principal: Principal) -> Response:
        """What the text makes of the call, for htmx."""
        return self._fragment(request, principal, "editor_answer.html", answer=_answer(_sheet(request)))

    def backtest(self, request: Request, principal: Principal) -> Response:
        """What the text would have done, for htmx."""
        told = self._tried(principal, _sheet(request), form_of(request))
        return self._fragment(request, principal, "trial.html", told=told)

    def _tried(self, principal: Principal, sheet: Sheet, form: Form) -> Told:
        name = sheet.name if is_name(sheet.name) else "draft"
        return tried(self._parts, principal, _KIND, name, text=sheet.text, days=days_of(form.get("days")))

    def _fragment(self, request: Request, principal: Principal, template: str, **context: Any) -> Response:
        block = template.removesuffix(".html")
        return self._parts.shell.fragment(request, template, block, principal, **context)

    def _page(  # noqa: PLR0913  what the page shows
        self,
        request: Request,
        principal: Principal,
        sheet: Sheet,
        *,
        answer: Answer | None = None,
        told: Told | None = None,
        saved: Saved | None = None,
    ) -> Response:
        saved = saved or Saved()
        expected = sheet.expected if saved.clash is None else saved.clash.version
        form = form_of(request) if request.method == "POST" else Form([])
        return self._parts.shell.render(
            request, "editor.html", principal, status=saved.status, sheet=sheet, expected=expected, answer=answer,
            told=told, saved=saved, all_days=DAYS, days=days_of(form.get("days")), reason=form.get("reason"),
            **_told(sheet),
        )  # fmt: skip


def _sheet(request: Request) -> Sheet:
    form = form_of(request)
    fixed = "name" in request.path_params
    return Sheet(
        name=request.path_params["name"] if fixed else form.get("name").strip(),
        text=form.get("text"),
        call=form.get("call"),
        fixed=fixed,
        expected=form.get("expected"),
    )


def _told(sheet: Sheet) -> dict[str, Any]:
    proof = proofread(_KIND, sheet.name if is_name(sheet.name) else "", sheet.text)
    return {"proof": proof, "lines": drawn(sheet.text, [*proof.problems, *proof.warnings])}


def _answer(sheet: Sheet) -> Answer:
    """What the policy by itself makes of the call; nothing is recorded."""
    try:
        call, _, _ = read_call(read_json(sheet.call.encode()))
        return Answer(decision=try_call(sheet.text, call))
    except ProblemError as problem:
        return Answer(faults=tuple(f"{one.pointer}: {one.detail}" for one in problem.errors) or (problem.detail,))
    except PolicyError as error:
        return Answer(faults=tuple(f"line {one.span.line}: {one.message}" for one in error.problems[:10]))
    except orjson.JSONEncodeError:
        return Answer(faults=("the call is nested too deeply",))
