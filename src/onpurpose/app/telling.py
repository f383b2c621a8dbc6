"""Who is told of what happened to an approval, by which way: the messages that a change owes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import islice

from onpurpose.core.access import User
from onpurpose.core.act import Move
from onpurpose.core.approval import Approval, to_tell, told
from onpurpose.core.delivery import Channel, Delivery, Event
from onpurpose.core.eligibility import requesting_names
from onpurpose.core.purpose import Notify
from onpurpose.core.routing import Person

MOST_TOLD = 200
"""How many people are told in person of one event; a wider circle has the channel."""

ASKING = frozenset({Event.REQUESTED, Event.ESCALATED, Event.REMINDED, Event.DELEGATED})
"""Events that ask people to decide."""

HOOKED = frozenset({Event.REQUESTED, Event.GRANTED, Event.DENIED, Event.EXPIRED, Event.DELEGATED})
"""Events that webhooks are told of."""

_DECIDING = frozenset({Move.GRANT, Move.DENY, Move.DELEGATE})


def person(user: User) -> Person:
    """The user as the core knows people."""
    also = () if user.slack is None else (user.slack,)
    return Person(id=user.id, groups=frozenset(user.groups), email=user.email, also=also)


def deliveries(  # noqa: PLR0913, PLR0917  what messages are made of
    approval: Approval,
    event: Event,
    notify: Notify,
    users: Sequence[User],
    now: int,
    new_id: Callable[[int], str],
    *,
    only: Collection[str] | None = None,
) -> list[Delivery]:
    """The messages that the event owes, about the approval as it is after it.

    An event that asks goes to the approvers of open stages who were told, of whom `only` some where it is
    given, as those whose turn has come; any other to everybody who was ever told. Never is somebody told
    whose own request it is, or who is disabled. Mail is sparing: of a delegation it tells whom it was
    delegated to, of the outcome who has not decided, and of what comes after a grant nobody. `now` in
    microseconds UTC.
    """
    names = told(approval)
    if event in ASKING:
        names = tuple(name for name in names if name in to_tell(approval, now) and (only is None or name in only))
    people = list(islice(_people(approval, users, names), MOST_TOLD))
    routes: list[tuple[Channel, str]] = []
    if notify.slack:
        routes.append((Channel.SLACK, notify.slack))
    if notify.slack_direct:
        routes += [(Channel.SLACK, user.slack) for user in people if user.slack]
    if notify.email:
        routes += [(Channel.EMAIL, user.id) for user in people if user.email and _is_mailed(approval, event, user.id)]
    if event in HOOKED and only is None:
        routes += [(Channel.WEBHOOK, url) for url in notify.webhooks]
    return [
        Delivery(
            id=new_id(now),
            workspace=approval.workspace,
            approval_id=approval.id,
            channel=channel,
            event=event,
            recipient=recipient,
            created_at=now,
            due_at=now,
        )
        for channel, recipient in dict.fromkeys(routes)
    ]


def _is_mailed(approval: Approval, event: Event, user: str) -> bool:
    """Whether somebody who is told of it is written a mail."""
    acts = approval.acts
    if event is Event.DELEGATED:
        return user == acts[-1].to
    after_a_grant = event in (Event.EXPIRED, Event.CANCELLED) and approval.decided_at != acts[-1].at
    decided = any(act.by == user and act.move in _DECIDING for act in acts)
    return event is not Event.COMMENTED and not after_a_grant and not decided


def _people(approval: Approval, users: Sequence[User], names: tuple[str, ...]) -> Iterator[User]:
    """The users whom the names mean."""
    known = [person(user) for user in users]
    theirs = requesting_names(approval, known)
    for user, one in zip(users, known, strict=True):
        if user.disabled_at is None and one.among(names) and one.names.isdisjoint(theirs):
            yield user
