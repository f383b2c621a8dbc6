"""What a message is made of, put together when it leaves: the approval as it stands then, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import orjson
from msgspec import Struct

from onpurpose.app.links import Links
from onpurpose.app.telling import ASKING, person
from onpurpose.core.access import User
from onpurpose.core.approval import Approval, NotEligibleError, State, as_of
from onpurpose.core.delivery import Channel, Delivery, Progress, View
from onpurpose.core.eligibility import seats
from onpurpose.core.routing import Person
from onpurpose.ports import Approvals, Clock, Deliveries

People = Callable[[str], Sequence[User]]
"""The users of a workspace, as the directory knows them now."""


PEOPLE_US = 1_000_000
"""For how long the people of a workspace are not asked for again, in microseconds: many messages leave in a second."""


class _Known(Struct, frozen=True):
    """The users of a workspace, and the same as the core knows people, as they were at a time."""

    at: int
    users: Sequence[User]
    persons: list[Person]


class Moot(Struct, frozen=True):
    """A message that nobody needs any more, and why."""

    why: str


class Viewer:
    """Makes the views of messages. Without `links` (no public URL) they lead nowhere. Raises `StoreError`."""

    def __init__(
        self, approvals: Approvals, deliveries: Deliveries, *, people: People, links: Links | None, clock: Clock
    ) -> None:
        self._approvals = approvals
        self._deliveries = deliveries
        self._people = people
        self._links = links
        self._clock = clock
        self._known: dict[str, _Known] = {}

    def view(self, delivery: Delivery) -> View | Moot:
        """What the message is made of now; `Moot` where it need not leave any more.

        A mail stays as it was sent, so none is sent that asks who cannot decide any more, none that tells the
        outcome to who was never asked, and no second one. What other channels show is brought up to date.
        """
        kept = self._approvals.get(delivery.workspace, delivery.approval_id)
        if kept is None:
            return Moot("there is no such approval any more")
        now = self._clock.now()
        approval = as_of(kept, now)
        known = self._people_of(delivery.workspace, now)
        user, asked = _asked(delivery, approval, known)
        if not asked and delivery.channel is Channel.EMAIL and known.at <= delivery.created_at:
            # Whoever became an approver just before they were asked is written all the same.
            known = self._known[delivery.workspace] = self._look_up(delivery.workspace, now)
            user, asked = _asked(delivery, approval, known)
        sent = self._sent(delivery)
        if delivery.channel is Channel.EMAIL:
            if delivery.event in ASKING and not asked:
                return Moot("there is nothing left for them to decide")
            if delivery.event not in ASKING and not sent:
                return Moot("they were never asked")
            if delivery.event not in ASKING and any(one.event not in ASKING for one in sent):
                return Moot("they were told already that it is settled")
        return View(
            approval=approval,
            context=_decoded(approval.context),
            now=now,
            address=user.email if user else "",
            name=user.name if user else "",
            link=self._link(delivery, approval, user) if asked else "",
            page=self._links.page(approval) if self._links else "",
            sent=sent,
        )

    def _link(self, delivery: Delivery, approval: Approval, user: User | None) -> str:
        """Theirs alone, so that it goes by mail alone; the same when the message is sent again."""
        if self._links is None or user is None or approval.step_up or delivery.channel is not Channel.EMAIL:
            return ""
        return self._links.url(approval, user.id, delivery.id)

    def _people_of(self, workspace: str, now: int) -> _Known:
        known = self._known.get(workspace)
        if known is None or not 0 <= now - known.at < PEOPLE_US:
            known = self._known[workspace] = self._look_up(workspace, now)
        return known

    def _look_up(self, workspace: str, now: int) -> _Known:
        users = self._people(workspace)
        return _Known(now, users, [person(user) for user in users])

    def _sent(self, delivery: Delivery) -> tuple[Delivery, ...]:
        """What has left about this approval to this recipient, oldest first."""
        return tuple(
            one
            for one in self._deliveries.of(delivery.workspace, delivery.approval_id)
            if (one.channel, one.recipient) == (delivery.channel, delivery.recipient)
            and one.progress is Progress.SENT
            and one.ref
        )


def _asked(delivery: Delivery, approval: Approval, known: _Known) -> tuple[User | None, bool]:
    """Who of the people it is for, and whether they may decide the approval."""
    user = _recipient(delivery, known.users)
    return user, user is not None and _may_decide(approval, user, known.persons)


def _recipient(delivery: Delivery, users: Sequence[User]) -> User | None:
    """Who of the workspace it is for, unless they are disabled."""
    if delivery.channel is Channel.WEBHOOK:
        return None
    by_mail = delivery.channel is Channel.EMAIL
    for user in users:
        if (user.id if by_mail else user.slack) == delivery.recipient and user.disabled_at is None:
            return user
    return None


def _may_decide(approval: Approval, user: User, others: Sequence[Person]) -> bool:
    if approval.state is not State.PENDING:
        return False
    try:
        seats(approval, person(user), others=others)
    except NotEligibleError:
        return False
    return True


def _decoded(context: bytes) -> dict[str, object]:
    try:
        read = orjson.loads(context)
    except orjson.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}
