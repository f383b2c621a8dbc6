"""How an approval stands, in the words of the pages: who did what when, and how much time is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from onpurpose.core.access import User
from onpurpose.core.act import Act, Move, State
from onpurpose.core.approval import Approval, is_satisfied

Who = Callable[[str], str]
"""A user's id -> what the page calls them."""

_SECOND = 1_000_000

DID: Mapping[Move, str] = {
    Move.GRANT: "granted",
    Move.DENY: "denied",
    Move.DELEGATE: "delegated",
    Move.COMMENT: "commented",
    Move.CANCEL: "cancelled",
    Move.EXPIRE: "expired",
    Move.USE: "used by the agent",
    Move.JOIN: "asked for again",
    Move.ESCALATE: "next in line told",
    Move.REMIND: "reminder sent",
}


def names(users: Sequence[User], asked_with: str = "") -> Who:
    """What people are called: their name, and the id that is theirs alone. `asked_with` is the agent's key."""
    known = {user.id: user.name for user in users}

    def who(user_id: str) -> str:
        if user_id and user_id == asked_with:
            return "the key that asked"
        name = known.get(user_id, "")
        return f"{name} ({user_id})" if name and name != user_id else user_id

    return who


def moment(microseconds: int) -> str:
    """A time to the minute, with its zone."""
    return datetime.fromtimestamp(microseconds // _SECOND, UTC).strftime("%Y-%m-%d %H:%M UTC")


def time_left(until: int, now: int) -> str:
    """How long it is still, in the two largest units."""
    minutes = max(0, until - now) // _SECOND // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min" if minutes else "less than a minute"


def standing(approval: Approval, now: int, who: Who, *, fresh: bool = False) -> str:
    """How it stands, in a sentence or two; `fresh` for whoever made it so just now."""
    already = "It was" if fresh else "Already"
    if approval.state is State.PENDING:
        left = time_left(approval.until, now)
        return f"It waits for a decision. Time left: {left}, until {moment(approval.until)}."
    if approval.state is State.EXPIRED:
        granted = approval.last(Move.GRANT) is not None and is_satisfied(approval)
        why = "the grant was not used in time" if granted else "nobody decided it in time"
        return f"It has expired: {why}. Its time was over at {moment(approval.until)}."
    if approval.state is State.DENIED:
        return f"{already} denied{_by(approval.last(Move.DENY), who)}."
    if approval.state is State.CANCELLED:
        return f"It was cancelled{_by(approval.last(Move.CANCEL), who)}. Nothing runs by it."
    granted_by = f"{already} granted{_granters(approval, who)}."
    used = approval.last(Move.USE)
    if used is not None:
        return f"{granted_by} The agent used the grant at {moment(used.at)}."
    return f"{granted_by} The agent may run this one call until {moment(approval.until)}."


def reason(approval: Approval) -> str:
    """What whoever settled it said; empty where nothing was said, or nobody did."""
    act = approval.last(Move.DENY, Move.CANCEL)
    return "" if act is None else act.text


def _by(act: Act | None, who: Who) -> str:
    """By whom, if anybody, and when."""
    if act is None:
        return ""
    return f"{f' by {who(act.by)}' if act.by else ''} at {moment(act.at)}"


def _granters(approval: Approval, who: Who) -> str:
    return " and".join(_by(act, who) for act in approval.acts if act.move is Move.GRANT)
