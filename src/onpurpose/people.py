"""Options -> what asks people: the desk of a service, its messages, Slack, links."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

from starlette.routing import BaseRoute

from onpurpose.adapters.sql.access import SqlAccess
from onpurpose.adapters.sql.approvals import SqlApprovals
from onpurpose.adapters.sql.deliveries import SqlDeliveries
from onpurpose.adapters.sql.engine import Store
from onpurpose.adapters.webhook.addresses import Reach
from onpurpose.adapters.webhook.sending import WebhookMessenger
from onpurpose.adapters.webhook.signing import webhook_secret
from onpurpose.app.approvals import DENIAL_REASONS, Desk
from onpurpose.app.channels import Channels, Configured
from onpurpose.app.consent import Consent
from onpurpose.app.courier import Courier, recorder
from onpurpose.app.links import Links
from onpurpose.app.masking import Masking
from onpurpose.app.outbox import Post
from onpurpose.app.viewing import Viewer
from onpurpose.app.workspace import Workspaces
from onpurpose.core.approval import Approval
from onpurpose.core.delivery import Channel
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.purpose import Settings
from onpurpose.ports import Clock, Ledger, Messenger
from onpurpose.server.api.approvals import approval_routes
from onpurpose.server.api.webhooks import webhook_routes
from onpurpose.server.identity import Authority
from onpurpose.server.pages.routes import page_routes

log = logging.getLogger("onpurpose")

PREFIX = "ONPURPOSE_"
"""What every variable of the environment begins with: the names of `Means` in capitals follow."""

_REACHES = frozenset({"private", "loopback"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """By which ways people are told, from the environment. Secrets are in no repr.

    `public_url` is where people reach the service: without it no message leads to a page. `slack_url` is
    another place than Slack's own. `webhook_reach` names where webhooks may go beside the world:
    `private` networks, `loopback`.
    """

    public_url: str = ""
    slack_url: str = ""
    slack_bot_token: str = field(default="", repr=False)
    slack_signing_secret: str = field(default="", repr=False)
    slack_app_token: str = field(default="", repr=False)
    smtp_url: str = field(default="", repr=False)
    mail_from: str = ""
    webhook_reach: frozenset[str] = frozenset()

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Means:
        """What the environment says. Raises `OnPurposeError` for what contradicts itself."""
        texts = {one.name: environment.get(PREFIX + one.name.upper(), "") for one in fields(cls)}
        reach = frozenset(word.strip() for word in texts.pop("webhook_reach").split(",") if word.strip())
        if reach - _REACHES:
            raise OnPurposeError(f"{PREFIX}WEBHOOK_REACH may name `private` and `loopback`, joined by a comma")
        means = cls(**texts, webhook_reach=reach)
        if bool(means.smtp_url) != bool(means.mail_from):
            raise OnPurposeError(f"mail needs both {PREFIX}SMTP_URL and {PREFIX}MAIL_FROM")
        if (means.slack_signing_secret or means.slack_app_token) and not means.slack_bot_token:
            raise OnPurposeError(f"presses in Slack can only be answered with a {PREFIX}SLACK_BOT_TOKEN")
        return means


class Asking:
    """What asks people for a service, and the threads that do so. `close` it before its store and its log.

    Raises `OnPurposeError` for means that are unfit.
    """

    def __init__(  # noqa: PLR0913  what it stands on
        self,
        means: Means,
        *,
        store: Store,
        access: SqlAccess,
        workspaces: Workspaces,
        ledger: Ledger,
        post: Post,
        secret: str,
        masking: Masking,
        authority: Authority,
        clock: Clock,
        new_id: Callable[[int], str],
    ) -> None:
        self._closing = ExitStack()
        self._clock = clock
        self.links = _links(secret, means.public_url)
        approvals, self.deliveries = SqlApprovals(store), SqlDeliveries(store)
        self.people = access.users

        def settings(workspace: str) -> Settings:
            return workspaces[workspace].settings

        self.desk = Desk(
            approvals, post, people=access.users, settings=settings, clock=clock, new_id=new_id, masking=masking,
            ledger=ledger, woken=self._wake,
        )  # fmt: skip
        self.consent = Consent(self.desk, settings=settings, page=self._page)
        viewer = Viewer(approvals, self.deliveries, people=access.users, links=self.links, clock=clock)
        messengers = self._messengers(means, secret)
        undelivered = recorder(ledger, clock, new_id)
        self.courier = Courier(self.deliveries, messengers, viewer, undelivered=undelivered, clock=clock)
        self.channels = Channels(
            configured(means), messengers, self.deliveries, view=viewer.view, wake=self.courier.wake, settings=settings,
            secret_of=lambda workspace: webhook_secret(secret, workspace), ledger=ledger, clock=clock, new_id=new_id,
        )  # fmt: skip
        self.routes: list[BaseRoute] = [
            *approval_routes(self.desk, self.consent.ticket),
            *page_routes(
                self.desk, self.links, authority, people=access.users, clock=clock, public_url=means.public_url
            ),
            *webhook_routes(lambda workspace: webhook_secret(secret, workspace)),
        ]
        self._slack(means)

    def start(self) -> None:
        """Begin to send."""
        self.courier.start()
        self._closing.callback(self.courier.close)

    def close(self) -> None:
        """Stop sending and listening, and let go of who waits. May be called twice."""
        self._closing.close()
        self.desk.close()

    def _wake(self) -> None:
        self.courier.wake()

    def _page(self, approval: Approval) -> str:
        return self.links.page(approval) if self.links is not None else ""

    def _messengers(self, means: Means, secret: str) -> dict[Channel, Messenger]:
        reach = Reach(private="private" in means.webhook_reach, loopback="loopback" in means.webhook_reach)
        found: dict[Channel, Messenger] = {
            Channel.WEBHOOK: WebhookMessenger(lambda workspace: webhook_secret(secret, workspace), reach=reach)
        }
        if means.smtp_url:
            from onpurpose.adapters.email import MailServer, SmtpMessenger  # noqa: PLC0415  only who mails needs it

            try:
                found[Channel.EMAIL] = SmtpMessenger(MailServer.of(means.smtp_url), means.mail_from)
            except ValueError as error:
                raise OnPurposeError(f"mail cannot be sent: {error}") from None
        if means.slack_bot_token:
            from onpurpose.adapters.slack.api import URL, SlackApi  # noqa: PLC0415  as above
            from onpurpose.adapters.slack.messenger import SlackMessenger  # noqa: PLC0415  as above

            self._api = SlackApi(means.slack_bot_token, base_url=means.slack_url or URL)
            found[Channel.SLACK] = SlackMessenger(self._api)
        return found

    def _slack(self, means: Means) -> None:
        """Take what is pressed in Slack, over HTTP and Socket Mode alike."""
        if not (means.slack_signing_secret or means.slack_app_token):
            return
        from onpurpose.adapters.slack import Interactions  # noqa: PLC0415  only who has Slack needs it
        from onpurpose.adapters.slack.api import URL, SlackApi  # noqa: PLC0415  as above
        from onpurpose.server.slack import SlackSocket, slack_route  # noqa: PLC0415  as above

        interactions = Interactions(
            api=self._api, desk=self.desk, people=self.people, sent=self.deliveries.of, refused=self.desk.refused,
            reasons=DENIAL_REASONS,
        )  # fmt: skip
        self._closing.callback(interactions.close)

        def refused(why: str) -> None:
            self.desk.refused(why, via="slack")

        if means.slack_signing_secret:
            route = slack_route(means.slack_signing_secret, interactions, clock=self._clock, refused=refused)
            self.routes.append(route)
        if means.slack_app_token:
            opening = SlackApi(means.slack_app_token, base_url=means.slack_url or URL)
            socket = SlackSocket(opening.socket_url, interactions, refused=refused, chance=random.random)
            socket.start()
            self._closing.callback(socket.close)


def configured(means: Means) -> tuple[Configured, ...]:
    """What the environment says of each channel; no secret, and of its variables whether they are set."""
    presses = [way for way, secret in _PRESSES.items() if getattr(means, secret)]
    host = urlsplit(means.smtp_url).hostname or ""
    reach = ("the world", *sorted(means.webhook_reach))
    return (
        Configured(
            channel=Channel.SLACK, ready=bool(means.slack_bot_token),
            facts=(("presses come", " and ".join(presses) or "not at all"),) if means.slack_bot_token else (),
            variables=_set(means, "slack_bot_token", "slack_signing_secret", "slack_app_token"),
        ),
        Configured(
            channel=Channel.EMAIL, ready=bool(means.smtp_url),
            facts=(("server", host), ("from", means.mail_from)) if means.smtp_url else (),
            variables=_set(means, "smtp_url", "mail_from"),
        ),
        Configured(
            channel=Channel.WEBHOOK, ready=True, facts=(("may go to", ", ".join(reach)),),
            variables=_set(means, "webhook_reach"),
        ),
    )  # fmt: skip


def _set(means: Means, *names: str) -> tuple[tuple[str, bool], ...]:
    return tuple((PREFIX + name.upper(), bool(getattr(means, name))) for name in names)


_PRESSES = {"over HTTP": "slack_signing_secret", "by Socket Mode": "slack_app_token"}


def _links(secret: str, public_url: str) -> Links | None:
    if not public_url:
        return None
    try:
        return Links(secret, public_url)
    except ValueError as error:
        raise OnPurposeError(f"{PREFIX}PUBLIC_URL: {error}") from None
