"""The ways by which people are told of approvals, for who looks after them: set up, working, what is lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

from msgspec import Struct
from msgspec.structs import replace

from onpurpose.app.notes import Pen
from onpurpose.app.telling import ASKING
from onpurpose.app.viewing import Moot
from onpurpose.core.access import User
from onpurpose.core.act import Act, Move, State, Via
from onpurpose.core.approval import Approval
from onpurpose.core.delivery import Channel, Delivery, Event, Progress, RetryError, UndeliverableError, View
from onpurpose.core.purpose import Settings
from onpurpose.core.record import Record
from onpurpose.core.routing import DEFAULT
from onpurpose.ports import Clock, Deliveries, GivenUp, Ledger, Messenger

MOST_DEAD = 100
"""How many messages of a channel that were given up are listed, and are sent again at once."""

PATIENCE_SECONDS = 10.0
"""How long a record of what was done here may take to become durable."""

_MINUTE = 60_000_000
_HOUR = 60 * _MINUTE


class Configured(Struct, frozen=True, kw_only=True):
    """What the environment says of one channel: whether it can be used, and facts of it, none of them secret.

    `variables` are the names of those that it is set up by, each with whether it is set; never what they hold.
    """

    channel: Channel
    ready: bool
    facts: tuple[tuple[str, str], ...] = ()
    variables: tuple[tuple[str, bool], ...] = ()


class Tried(Struct, frozen=True, kw_only=True):
    """What became of a test message to one recipient; `error` is empty where it was sent."""

    recipient: str
    error: str = ""


class Dropped(Struct, frozen=True, kw_only=True):
    """A message that was given up and is not sent again, and why."""

    delivery: Delivery
    why: str


class SentAgain(Struct, frozen=True, kw_only=True):
    """What became of messages that were to be sent again: which wait to leave now, and which were dropped."""

    waiting: tuple[Delivery, ...] = ()
    dropped: tuple[Dropped, ...] = ()


class Store(Deliveries, GivenUp, Protocol):
    """The messages, those that must leave and those that were given up."""


class Channels:
    """Looks after the channels of a service. Thread-safe and synchronous.

    `settings` and `secret_of` give a workspace's settings and the secret that its webhooks are signed with.
    `view` makes what a message would say now; `wake` has a channel look at once what there is to send.
    What is done here is a record of the log, durable before it is done: `channel.tested`, `channel.sent_again`,
    `webhook_secret.shown`.
    Raises `StoreError`, `LedgerError`.
    """

    def __init__(  # noqa: PLR0913  these are its parts
        self,
        configured: Sequence[Configured],
        messengers: Mapping[Channel, Messenger],
        deliveries: Store,
        *,
        view: Callable[[Delivery], View | Moot],
        wake: Callable[[Channel], None],
        settings: Callable[[str], Settings],
        secret_of: Callable[[str], str],
        ledger: Ledger,
        clock: Clock,
        new_id: Callable[[int], str],
    ) -> None:
        self.configured = tuple(configured)
        self._messengers = messengers
        self._deliveries = deliveries
        self._view = view
        self._wake = wake
        self._settings = settings
        self._secret_of = secret_of
        self._ledger = ledger
        self._clock = clock
        self._new_id = new_id

    def __repr__(self) -> str:
        return "Channels()"

    def recipients(self, workspace: str, channel: Channel, user: User) -> tuple[str, ...]:
        """Where a test message of the workspace goes: its channel in Slack, the user's own address, its webhooks."""
        notify = self._settings(workspace).notify
        if channel is Channel.SLACK:
            return tuple(one for one in (notify.slack or user.slack,) if one)
        if channel is Channel.EMAIL:
            return (user.id,) if user.email else ()
        return notify.webhooks

    def test(self, channel: Channel, user: User) -> list[Tried]:
        """Send a message that says that it is a test, now, and tell what became of it, by recipient."""
        recipients = self.recipients(user.workspace, channel, user)
        self._note(user, "channel.tested", channel=str(channel), to=[shown(channel, one) for one in recipients])
        return [self._try(channel, one, user) for one in recipients]

    def dead(self, workspace: str) -> list[Delivery]:
        """The messages that were given up, newest first, at most `MOST_DEAD` of each channel."""
        return [one for channel in Channel for one in self._deliveries.dead(workspace, MOST_DEAD, channel)]

    def send_again(self, channel: Channel, user: User, delivery_id: str | None = None) -> SentAgain:
        """Have the listed messages of the channel that were given up wait to leave again, or the one of that id.

        Whoever asks twice, or at the same time as somebody else, has them sent once. What asks people about a request
        that is settled meanwhile, or that its recipient needs no more, is dropped.
        """
        chosen = [
            one
            for one in self._deliveries.dead(user.workspace, MOST_DEAD, channel)
            if delivery_id is None or one.id == delivery_id
        ]
        if not chosen:
            return SentAgain()
        whys = {one.id: why for one in chosen if (why := self._moot(one))}
        self._note(
            user, "channel.sent_again", channel=str(channel), deliveries=[one.id for one in chosen],
            dropped=list(whys),
        )  # fmt: skip
        now, workspace = self._clock.now(), user.workspace
        waiting = self._deliveries.again(workspace, [one.id for one in chosen if one.id not in whys], now)
        # Due only later, so that no lane takes them before it is kept that they are dropped.
        moot = self._deliveries.again(workspace, list(whys), now + _HOUR)
        self._deliveries.settle(*[replace(one, progress=Progress.SENT, error=whys[one.id]) for one in moot])
        self._wake(channel)
        return SentAgain(waiting=tuple(waiting), dropped=tuple(Dropped(delivery=one, why=whys[one.id]) for one in moot))

    def _moot(self, delivery: Delivery) -> str:
        """Why nobody needs the message any more; empty where somebody does."""
        found = self._view(delivery)
        if isinstance(found, Moot):
            return found.why
        if delivery.event in ASKING and found.approval.state is not State.PENDING:
            return f"the request is {found.approval.state} meanwhile"
        return ""

    def webhook_secret(self, user: User) -> str:
        """The secret that the workspace's webhooks are signed with; that it was shown is recorded."""
        self._note(user, "webhook_secret.shown")
        return self._secret_of(user.workspace)

    def _try(self, channel: Channel, recipient: str, user: User) -> Tried:
        messenger, name = self._messengers.get(channel), shown(channel, recipient)
        if messenger is None:
            return Tried(recipient=name, error="nothing is configured by which it could be sent")
        now = self._clock.now()
        approval = _example(self._new_id(now), user, now)
        delivery = Delivery(
            id=self._new_id(now), workspace=user.workspace, approval_id=approval.id, channel=channel,
            event=Event.CANCELLED, recipient=recipient, created_at=now, due_at=now,
        )  # fmt: skip
        view = View(approval=approval, context={}, now=now, address=user.email, name=user.name)
        try:
            messenger.send(delivery, view)
        except (RetryError, UndeliverableError) as error:
            return Tried(recipient=name, error=str(error))
        return Tried(recipient=name)

    def _note(self, user: User, kind: str, **told: object) -> None:
        body = Pen(self._clock, self._new_id, user.workspace, user.id).note(kind, **told)
        self._ledger.append(Record(kind, body)).result(PATIENCE_SECONDS)


def shown(channel: Channel, recipient: str) -> str:
    """What may be told of a recipient: of a webhook's URL the host alone, as the rest of it may be a secret."""
    return recipient if channel is not Channel.WEBHOOK else urlsplit(recipient).hostname or ""


def _example(approval_id: str, user: User, now: int) -> Approval:
    """A request that nobody made and nobody can decide: cancelled from the start, and it says why."""
    text = "This is a test message, sent from the settings. Nothing is asked of you."
    return Approval(
        id=approval_id, workspace=user.workspace, state=State.CANCELLED, digest="", agent_id="onpurpose",
        capability="test.message", routes=(DEFAULT,), context=b"{}", opened_at=now, until=now + _MINUTE, wake_at=None,
        decided_at=now, acts=(Act(move=Move.CANCEL, at=now, by=user.id, via=Via.PAGE, text=text),),
    )  # fmt: skip
