"""What a policy would have done to the last days' calls, before anybody saves it; told while it is worked out."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app import backtest
from onpurpose.app.backtest import Backtested, Member
from onpurpose.app.drafting import sentence
from onpurpose.app.trials import Trial
from onpurpose.core.access import Scope
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import ConflictError, Kind
from onpurpose.core.session import Principal
from onpurpose.core.span import PolicyError
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.shell import HEADERS, Parts

PATH = "/trials"

DAYS = (1, 3, 7, 14)
"""Over how many of the last days one can look."""

MOST_CALLS = 20_000
"""How many of the newest calls are looked at."""

PATIENCE_SECONDS = 0.5
"""How long a page waits for the end, before it tells how far it is instead."""

_FORM_BYTES = 4 << 20
_DAY = 86_400_000_000
_KINDS = {
    "newly_blocked": "ran, and would not have run",
    "unmatched": "would have stopped because nothing matched them",
    "would_deny": "matched, and would have been denied",
    "would_ask": "matched, and a person would have been asked",
    "newly_allowed": "did not run, and would have",
    "unknown": "cannot be told: the record lacks what the policy asks for",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How far a backtest is (`running`), what it came to (`done`, `trial`), or why there is nothing to tell (`why`)."""

    days: int
    running: Trial | None = None
    done: Backtested | None = None
    trial: backtest.Trial | None = None
    why: str = ""

    @property
    def examples(self) -> list[tuple[str, tuple[str, ...]]]:
        """What calls are worth a look, with the ids of their decisions; those kinds that there are."""
        found = {} if self.trial is None else self.trial.examples
        return [(_KINDS[kind], ids) for kind, ids in found.items() if ids]


def routes(parts: Parts) -> list[BaseRoute]:
    """How far a backtest is, and ending it."""
    guard, pages = page(parts, Scope.POLICY_WRITE, form_bytes=_FORM_BYTES), TrialPages(parts)
    return [
        Route(f"{PATH}/{{id}}", guard(pages.show), methods=["GET"]),
        Route(f"{PATH}/{{id}}/cancel", guard(pages.cancel), methods=["POST"]),
    ]


class TrialPages:
    """The handlers, on the parts that they need."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def show(self, request: Request, principal: Principal) -> Response:
        """How far it is, or what it came to. A browser with script asks again and again for the part alone."""
        found = self._parts.trials.find(principal.workspace, request.path_params["id"])
        told = _told(found, days_of(request.query_params.get("days", "")))
        if "hx-request" in request.headers:
            return self._parts.shell.fragment(request, "trial.html", "trial", principal, told=told)
        return self._parts.shell.render(request, "trial_page.html", principal, told=told)

    def cancel(self, request: Request, principal: Principal) -> Response:
        """Have it end, and tell what it came to so far."""
        trials, trial_id = self._parts.trials, request.path_params["id"]
        trials.cancel(principal.workspace, trial_id)
        found = trials.find(principal.workspace, trial_id)
        if found is not None:
            trials.wait(found, PATIENCE_SECONDS)
        if "hx-request" in request.headers:
            return self.show(request, principal)
        days = days_of(request.query_params.get("days", ""))
        return RedirectResponse(f"{PATH}/{quote(trial_id, safe='')}?days={days}", 303, HEADERS)


def days_of(text: str) -> int:
    """How many days were asked for; a week unless it is one of `DAYS`."""
    return next((one for one in DAYS if str(one) == text), 7)


def tried(  # noqa: PLR0913  what is tried, and on what
    parts: Parts, principal: Principal, kind: Kind, name: str, *, text: str, days: int
) -> Told:
    """The text on the calls of the last days: what it came to, or how far it is by now."""
    until = parts.clock.now() + 1  # a call of this very moment too
    try:
        begun = parts.trials.start(
            principal.workspace, [Member(kind=kind, name=name, text=text)],
            since=max(0, until - days * _DAY), until=until, limit=MOST_CALLS,
        )  # fmt: skip
    except ConflictError as error:
        return Told(days=days, why=_why(error))
    return _told(parts.trials.wait(begun, PATIENCE_SECONDS), days)


def _told(trial: Trial | None, days: int) -> Told:
    if trial is None:
        return Told(days=days, why="That backtest is not known here: it is long over, or another process has it.")
    if trial.running:
        return Told(days=days, running=trial)
    if trial.done is None:
        return Told(days=days, why=_why(trial.error))
    return Told(days=days, done=trial.done, trial=trial.done.members[0])


def _why(error: OnPurposeError | None) -> str:
    if error is None:
        return "It could not be finished. The log of the service says why."
    if isinstance(error, PolicyError):
        return "Mend the text first: " + sentence(error.problems[0])
    if isinstance(error, ConflictError):
        return f"It was not tried: {error}."
    return f"The recorded calls cannot be read now: {(str(error).splitlines() or [''])[0]}."
