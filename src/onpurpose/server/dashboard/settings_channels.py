"""`/settings/channels`: by which ways people are told of approvals, whether they work, and what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.channels import Tried, shown
from onpurpose.core.access import Scope
from onpurpose.core.delivery import Channel
from onpurpose.core.revision import MissingError
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.settings_frame import PATH as SETTINGS
from onpurpose.server.dashboard.settings_frame import tabs_for
from onpurpose.server.dashboard.shell import Parts

PATH = f"{SETTINGS}/channels"

NAMES: Mapping[Channel, str] = {Channel.SLACK: "Slack", Channel.EMAIL: "Mail", Channel.WEBHOOK: "Webhooks"}


def routes(parts: Parts) -> list[BaseRoute]:
    """How the channels are, a test message, and the secret of webhooks."""
    pages = ChannelPages(parts)
    admin = page(parts, Scope.ADMIN)
    return [
        Route(PATH, admin(pages.show), methods=["GET"]),
        Route(f"{PATH}/webhook/secret", admin(pages.secret), methods=["POST"]),
        Route(PATH + "/{channel}/test", admin(pages.test), methods=["POST"]),
    ]


class ChannelPages:
    """The pages of channels. For worker threads."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def show(self, request: Request, principal: Principal) -> Response:
        """What is set up, how it goes, and what was given up."""
        return self._page(request, principal)

    def test(self, request: Request, principal: Principal) -> Response:
        """Send a test message and say what became of it."""
        channels, name = self._parts.channels, request.path_params["channel"]
        if channels is None or name not in set(Channel):
            raise MissingError("there is no such channel")
        channel = Channel(name)
        return self._page(request, principal, tried=(channel, channels.test(channel, principal.person)))

    def secret(self, request: Request, principal: Principal) -> Response:
        """Show what receivers verify the workspace's webhooks with; that it was shown is recorded."""
        if self._parts.channels is None:
            raise MissingError("there are no webhooks")
        return self._page(request, principal, secret=self._parts.channels.webhook_secret(principal.person))

    def _page(
        self, request: Request, principal: Principal, *, tried: tuple[Channel, Sequence[Tried]] | None = None,
        secret: str = "",
    ) -> Response:  # fmt: skip
        channels = self._parts.channels
        found = [] if channels is None else channels.configured
        goes = {one.channel: self._recipients(one.channel, principal) for one in found}
        return self._parts.shell.render(
            request, "settings_channels.html", principal, configured=found, goes=goes, names=NAMES, tried=tried,
            secret=secret, status_of=self._parts.courier(), tabs=tabs_for(principal), shown=shown,
            dead=[] if channels is None else channels.dead(principal.workspace), public_url=self._parts.public_url,
        )  # fmt: skip

    def _recipients(self, channel: Channel, principal: Principal) -> list[str]:
        """Where a test message goes, as far as that may be shown."""
        channels = self._parts.channels
        found = () if channels is None else channels.recipients(principal.workspace, channel, principal.person)
        return [shown(channel, one) for one in found]
