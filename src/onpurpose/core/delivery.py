"""Messages that tell people of approvals: what must leave, to whom, how often it was tried. Values only."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from onpurpose.core.approval import Approval
from onpurpose.core.errors import OnPurposeError

FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 600.0

GIVE_UP_SECONDS = 24 * 3600
"""After how long a message that could not leave is laid aside, visibly."""

_SECOND = 1_000_000


class Channel(StrEnum):
    """By which way a message leaves."""

    SLACK = "slack"
    EMAIL = "email"
    WEBHOOK = "webhook"


class Event(StrEnum):
    """What of an approval a message tells."""

    REQUESTED = "requested"
    ESCALATED = "escalated"
    REMINDED = "reminded"
    DELEGATED = "delegated"
    GRANTED = "granted"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"
    COMMENTED = "commented"


class Progress(StrEnum):
    """How far a delivery is."""

    WAITING = "waiting"
    SENT = "sent"
    DEAD = "dead"
    """Given up after `GIVE_UP_SECONDS`, or because it can never arrive."""


class Delivery(Struct, frozen=True, kw_only=True):
    """One message to one recipient. Times are microseconds UTC.

    `id` is its identity outside too: the same message sent again after a crash carries it, so that it
    replaces or joins the first. `recipient` is a Slack channel or member id, a user's id for mail, the
    URL of a webhook. `due_at` is when it is to be tried next; `attempts` how often it was. `ref` is
    what the channel calls the message that left (Slack: `channel/ts`; mail: its Message-ID).
    """

    id: str
    workspace: str
    approval_id: str
    channel: Channel
    event: Event
    recipient: str
    created_at: int
    due_at: int
    attempts: int = 0
    progress: Progress = Progress.WAITING
    ref: str = ""
    error: str = ""


class View(Struct, frozen=True, kw_only=True):
    """What a message is made of: the approval as it stands now, and for whom.

    `context` is the approval's intent context, decoded. `address` is the recipient's mail address,
    `name` what to call them, `link` the signed link that is theirs alone (empty where there is none),
    `page` where one signs in to decide. `sent` are the earlier deliveries of this approval on
    this channel to this recipient that have left, oldest first.
    """

    approval: Approval
    context: dict[str, object]
    now: int
    address: str = ""
    name: str = ""
    link: str = ""
    page: str = ""
    sent: tuple[Delivery, ...] = ()


class RetryError(OnPurposeError):
    """The channel cannot take the message now. `after` is how many seconds it asks to be left alone, if it says."""

    def __init__(self, why: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(why)


class UndeliverableError(OnPurposeError):
    """The message can never arrive there: no such channel, address or person."""


def retry_after(attempts: int, chance: float) -> float:
    """Seconds until the next try after so many, with `chance` from 0 to 1: full jitter under a doubling bound.

    Source: M. Brooker, "Exponential Backoff and Jitter" (AWS Architecture Blog, 2015), with a floor
    of a tenth of the bound.
    """
    bound = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2.0 ** min(max(attempts - 1, 0), 32))
    return bound * (0.1 + 0.9 * chance)


def is_hopeless(delivery: Delivery, now: int) -> bool:
    """Whether a message that could not leave by that time is laid aside."""
    return now - delivery.created_at >= GIVE_UP_SECONDS * _SECOND
