"""What every page of the dashboard shares: templates, headers, and the uses of the service that pages call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import BaseLoader, ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from onpurpose.app.approvals import Desk
from onpurpose.app.channels import Channels
from onpurpose.app.checking import Verify
from onpurpose.app.control import Control
from onpurpose.app.hours import Outcomes
from onpurpose.app.keeping import Keeping
from onpurpose.app.links import Links
from onpurpose.app.shadow import Rollups
from onpurpose.app.trials import Trials
from onpurpose.app.workspace import Workspaces
from onpurpose.core.delivery import Delivery
from onpurpose.core.process import Process
from onpurpose.core.session import Principal
from onpurpose.ports import Clock
from onpurpose.server.api.audit import Log
from onpurpose.server.api.decisions import Past
from onpurpose.server.api.tokens import Tokens
from onpurpose.server.dashboard import formats
from onpurpose.server.dashboard.assets import Assets
from onpurpose.server.dashboard.nav import items_for
from onpurpose.server.metrics import Metrics
from onpurpose.server.pages.foreign import finalized
from onpurpose.server.services import Feed

if TYPE_CHECKING:
    from onpurpose.server.dashboard.session import Sessions

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""The Content-Security-Policy of every page: nothing from elsewhere, and no script or style in the page itself."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Vary": "Cookie, HX-Request",
}
"""What every page carries. Browsers keep none: it shows what one person may see, at one moment."""

CsrfToken = Callable[[Request, Principal | None], str]
"""The token that the forms of a page send back, for whoever is signed in or for this browser."""


class Shell:
    """Renders pages. Everything a template puts out is escaped, and made visible; a name it lacks is an error.

    `csrf` makes what forms send back; `templates` are looked through before the package's own.
    """

    def __init__(self, assets: Assets, *, csrf: CsrfToken, clock: Clock, templates: BaseLoader | None = None) -> None:
        self.assets = assets
        self._csrf = csrf
        self._clock = clock
        own = PackageLoader("onpurpose.server.dashboard", "templates")
        self._environment = Environment(
            loader=own if templates is None else ChoiceLoader([templates, own]),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=finalized,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(formats.FILTERS)
        self._environment.globals.update(static=assets.url, csrf=_csrf_field)
        self._environment.globals["ui"] = self._environment.get_template("macros.html").module

    def render(
        self,
        request: Request,
        template: str,
        principal: Principal | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **context: object,
    ) -> HTMLResponse:
        """The page that a template makes of the context, with the headers of all pages and those given.

        Beside the context, templates know `principal`, `path`, `nav`, `now` (microseconds UTC), `csrf_token`.
        """
        text = self._template(template).render(self._around(request, principal) | context)
        return HTMLResponse(text, status, {**HEADERS, **(headers or {})})

    def fragment(  # noqa: PLR0913  what an answer is made of
        self,
        request: Request,
        template: str,
        block: str,
        principal: Principal | None = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        **context: object,
    ) -> HTMLResponse:
        """One block of a template, for a part of a page that is exchanged. Raises `KeyError` for no such block."""
        text = self.piece(request, template, block, principal, **context)
        return HTMLResponse(text, status, {**HEADERS, **(headers or {})})

    def piece(
        self, request: Request, template: str, block: str, principal: Principal | None = None, **context: object
    ) -> str:
        """The text of one block, for an event of a stream. The block imports what it needs, or uses `ui`."""
        found = self._template(template)
        values = found.new_context(self._around(request, principal) | context)
        return "".join(found.blocks[block](values))

    def plain(self, template: str, block: str, **context: object) -> str:
        """The text of one block that is the same for everybody: it knows the context alone, and `ui`."""
        found = self._template(template)
        return "".join(found.blocks[block](found.new_context(context)))

    def _template(self, name: str) -> Template:
        return self._environment.get_template(name)

    def _around(self, request: Request, principal: Principal | None) -> dict[str, object]:
        return {
            "principal": principal,
            "path": request.url.path,
            "nav": items_for(principal),
            "now": self._clock.now(),
            "csrf_token": self._csrf(request, principal),
        }


@pass_context
def _csrf_field(context: Context) -> Markup:
    """The hidden field that every form carries which changes something."""
    return Markup('<input type="hidden" name="_csrf" value="{}">').format(context["csrf_token"])


def _nothing_wrong() -> list[str]:
    return []


def _nothing_lost(_workspace: str, _limit: int) -> Sequence[Delivery]:
    return ()


def _nobody() -> Sequence[Process]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What pages are made of: the uses of the service. Those of the service block; call them in worker threads.

    `courier` tells how each channel of messages is, `ready` what is not ready, one line each. `public_url`
    is where people reach the service, empty where nobody said it; `links` are signed with it, or absent.
    `keeping` lets go of archived days, absent where the log is one file.
    `verify` checks the log as `log.verify` does, and tells how far it is.
    `lost` are a workspace's messages that were given up, newest first and at most so many; `stopping` says that
    the service is about to stop, so that what streams ends. `processes` are those that serve together, as each told
    of itself last; `process` is the id of this one.
    """

    shell: Shell
    sessions: Sessions
    clock: Clock
    control: Control
    past: Past
    feed: Feed
    rollups: Rollups
    outcomes: Outcomes
    trials: Trials
    desk: Desk
    tokens: Tokens
    log: Log
    workspaces: Workspaces
    metrics: Metrics
    courier: Callable[[], Mapping[str, Mapping[str, object]]]
    links: Links | None = None
    channels: Channels | None = None
    verify: Verify | None = None
    keeping: Keeping | None = None
    ready: Callable[[], list[str]] = _nothing_wrong
    public_url: str = ""
    lost: Callable[[str, int], Sequence[Delivery]] = _nothing_lost
    stopping: Callable[[], bool] = lambda: False
    processes: Callable[[], Sequence[Process]] = _nobody
    process: str = ""
