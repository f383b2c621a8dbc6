"""`/settings/channels`: by which ways people are told of approvals, whether they work, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.channels import Channels, SentAgain, Tried, shown
from onpurpose.app.notify_drafts import NotifyFields, name_of, notify_of, read_notify, with_notify
from onpurpose.core.access import Scope
from onpurpose.core.delivery import Channel
from onpurpose.core.purpose import Notify
from onpurpose.core.revision import Kind, MissingError
from onpurpose.core.session import Principal
from onpurpose.core.span import PolicyError
from onpurpose.server.dashboard.forms import Form
from onpurpose.server.dashboard.saving import Saved, save
from onpurpose.server.dashboard.session import form_of, page
from onpurpose.server.dashboard.settings_document import NAME, newest
from onpurpose.server.dashboard.settings_frame import PATH as SETTINGS
from onpurpose.server.dashboard.settings_frame import Faults, tabs_for
from onpurpose.server.dashboard.shell import HEADERS, Parts

PATH = f"{SETTINGS}/channels"

NAMES: Mapping[Channel, str] = {Channel.SLACK: "Slack", Channel.EMAIL: "Mail", Channel.WEBHOOK: "Webhooks"}

_NOTHING = Notify()


class Telling(Struct, frozen=True, kw_only=True):
    """What the form shows. `kept` are the names of webhooks that stay, `added` the addresses that come to them.

    `version` is that of the settings that the form was made of, and `saved` what became of saving it.
    """

    version: int
    notify: Notify = _NOTHING
    slack: str = ""
    slack_direct: bool = False
    email: bool = False
    kept: tuple[str, ...] = ()
    added: str = ""
    reason: str = ""
    faults: Faults = {}
    saved: Saved = Saved()

    @property
    def hooks(self) -> list[tuple[str, str, bool]]:
        """The webhooks that there are: name, host, whether it stays. The rest of a URL may be a secret."""
        return [
            (name, shown(Channel.WEBHOOK, one), name in self.kept)
            for one in self.notify.webhooks
            for name in [name_of(one)]
        ]


def routes(parts: Parts) -> list[BaseRoute]:
    """Who is told, how the channels are, a test message, what was given up, and the secret of webhooks."""
    pages = ChannelPages(parts)
    admin = page(parts, Scope.ADMIN)
    return [
        Route(PATH, admin(pages.show), methods=["GET"]),
        Route(PATH, admin(pages.save), methods=["POST"]),
        Route(f"{PATH}/webhook/secret", admin(pages.secret), methods=["POST"]),
        Route(PATH + "/{channel}/test", admin(pages.test), methods=["POST"]),
        Route(PATH + "/{channel}/again", admin(pages.again), methods=["POST"]),
    ]


class ChannelPages:
    """The pages of channels. For worker threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def show(self, request: Request, principal: Principal) -> Response:
        """What is set up, how it goes, and what was given up."""
        return self._page(request, principal)

    def save(self, request: Request, principal: Principal) -> Response:
        """Keep a new revision of the workspace's settings, which says who is told and all else as before."""
        text, version = newest(self._parts, principal)
        form = form_of(request)
        try:
            told = _told(form, notify_of(text), version)
            wanted, faults = read_notify(_fields(told))
            if wanted is None:
                return self._page(request, principal, telling=replace(told, faults=faults), status=422)
            saved = save(
                self._parts, principal, Kind.SETTINGS, NAME, text=with_notify(text, wanted), form=form
            )  # fmt: skip
        except PolicyError:
            return self._page(request, principal, status=422)  # which says that they cannot be read
        if saved.number is None:
            return self._page(request, principal, telling=replace(told, saved=saved), status=saved.status)
        return RedirectResponse(f"{PATH}?done=1", 303, HEADERS)

    def test(self, request: Request, principal: Principal) -> Response:
        """Send a test message and say what became of it."""
        channels, channel = self._channel(request)
        return self._page(request, principal, tried=(channel, channels.test(channel, principal.person)))

    def again(self, request: Request, principal: Principal) -> Response:
        """Have what was given up leave again: one message, or all that are listed of a channel."""
        channels, channel = self._channel(request)
        form = form_of(request)
        one = form.get("delivery")[:256] if "delivery" in form else None
        return self._page(request, principal, sent=channels.send_again(channel, principal.person, one))

    def secret(self, request: Request, principal: Principal) -> Response:
        """Show what receivers verify the workspace's webhooks with; that it was shown is recorded."""
        if self._parts.channels is None:
            raise MissingError("there are no webhooks")
        return self._page(request, principal, secret=self._parts.channels.webhook_secret(principal.person))

    def _channel(self, request: Request) -> tuple[Channels, Channel]:
        channels, name = self._parts.channels, request.path_params["channel"]
        if channels is None or name not in set(Channel):
            raise MissingError("there is no such channel")
        return channels, Channel(name)

    def _page(  # noqa: PLR0913  what the page shows
        self, request: Request, principal: Principal, *, tried: tuple[Channel, Sequence[Tried]] | None = None,
        sent: SentAgain | None = None, telling: Telling | None = None, secret: str = "", status: int = 200,
    ) -> Response:  # fmt: skip
        channels = self._parts.channels
        found = [] if channels is None else channels.configured
        goes = {one.channel: self._recipients(one.channel, principal) for one in found}
        dead = [] if channels is None else channels.dead(principal.workspace)
        return self._parts.shell.render(
            request, "settings_channels.html", principal, status=status, configured=found, goes=goes, names=NAMES,
            tried=tried, sent=sent, secret=secret, status_of=self._parts.courier(), tabs=tabs_for(principal),
            shown=shown, dead=dead, lost=[one for one in Channel if any(lost.channel is one for lost in dead)],
            public_url=self._parts.public_url, telling=telling or self._telling(principal),
            done=request.query_params.get("done") == "1",
        )  # fmt: skip

    def _telling(self, principal: Principal) -> Telling:
        """What the settings say now."""
        text, version = newest(self._parts, principal)
        try:
            now = notify_of(text)
        except PolicyError:
            return Telling(version=version, faults={"form": ["The settings cannot be read. Mend them as YAML first."]})
        return Telling(
            version=version, notify=now, slack=now.slack or "", slack_direct=now.slack_direct, email=now.email,
            kept=tuple(map(name_of, now.webhooks)),
        )  # fmt: skip

    def _recipients(self, channel: Channel, principal: Principal) -> list[str]:
        """Where a test message goes, as far as that may be shown."""
        channels = self._parts.channels
        found = () if channels is None else channels.recipients(principal.workspace, channel, principal.person)
        return [shown(channel, one) for one in found]


def _told(form: Form, now: Notify, version: int) -> Telling:
    """What the form holds, over what the settings say now: a webhook that it did not show stays."""
    kept, listed = set(form.all("keep")), set(form.all("listed"))
    names = map(name_of, now.webhooks)
    return Telling(
        version=version, notify=now, slack=form.get("slack").strip(), slack_direct=form.get("slack_direct") == "on",
        email=form.get("email") == "on", kept=tuple(one for one in names if one in kept or one not in listed),
        added=form.get("added"), reason=form.get("reason"),
    )  # fmt: skip


def _fields(told: Telling) -> NotifyFields:
    """The webhooks that stay, then those that were added, none twice."""
    stay = [one for one in told.notify.webhooks if name_of(one) in told.kept]
    added = [line.strip() for line in told.added.split("\n")]
    webhooks = dict.fromkeys(one for one in (*stay, *added) if one)
    return NotifyFields(
        slack=told.slack, slack_direct=told.slack_direct, email=told.email, webhooks=tuple(webhooks)
    )  # fmt: skip
