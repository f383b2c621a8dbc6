"""Who is asked when a call needs a person: approvers in stages, with a quorum, told in an order. Values only."""

from __future__ import annotations

from functools import lru_cache
from unicodedata import category, normalize

from msgspec import Struct

USER = "user:"
GROUP = "group:"
ANYONE = "anyone"
"""Every user of the workspace who is not disabled."""

TIMEOUT_SECONDS = 3600
"""How long an approval stays open, unless a policy says otherwise."""


class Stage(Struct, frozen=True, gc=False, kw_only=True):
    """Some of whom so many must grant.

    `approvers` are `user:ID`, `group:NAME` or `anyone`; whoever is one of them may decide, and `quorum`
    different people must grant. With `escalate_after_seconds` they are told one after another, in
    their order, so many seconds apart; without it all are told at once. All may decide from the start.
    """

    approvers: tuple[str, ...]
    quorum: int = 1
    escalate_after_seconds: int | None = None


class Route(Struct, frozen=True, gc=False, kw_only=True):
    """The way of one approval: stages passed one after another, each by people who granted none before it.

    No stages: those of the workspace's default. With `step_up` only somebody who signs in may decide:
    chat and mail then lead to the page. `timeout_seconds` is how long the approval stays open, and
    how long a grant is good for.
    """

    stages: tuple[Stage, ...] = ()
    step_up: bool = False
    timeout_seconds: int = TIMEOUT_SECONDS


DEFAULT = Route(stages=(Stage(approvers=(f"{GROUP}approvers",)),))
"""Who is asked where neither the policy nor the workspace says: the group `approvers`."""


class Person(Struct, frozen=True, kw_only=True):
    """Who decides, as the directory knows them at that moment.

    `email` may be empty; `also` are further names that are theirs alone, such as an account of a chat.
    """

    id: str
    groups: frozenset[str] = frozenset()
    email: str = ""
    also: tuple[str, ...] = ()

    def among(self, approvers: tuple[str, ...]) -> bool:
        """Whether they are one of the approvers of a stage."""
        return any(
            one == ANYONE or one == USER + self.id or (one.startswith(GROUP) and one[len(GROUP) :] in self.groups)
            for one in approvers
        )

    @property
    def names(self) -> frozenset[str]:
        """All names that are theirs, folded."""
        return frozenset(map(folded, (self.id, self.email, *self.also))) - {""}

    def is_same_as(self, name: str) -> bool:
        """Whether a name in a call may mean them, however it is spelled (see `folded`)."""
        return folded(name) in self.names

    def is_one_with(self, other: Person) -> bool:
        """Whether both may be accounts of one person: they share a name or an address."""
        return not self.names.isdisjoint(other.names)


@lru_cache(maxsize=8192)
def folded(name: str) -> str:
    """The name as names are compared: without regard to letter case, width, white space and invisible characters."""
    if name.isascii() and name.isprintable():
        return name.replace(" ", "").lower()
    seen = normalize("NFKC", normalize("NFKC", name).casefold())
    return normalize("NFKC", "".join(char for char in seen if category(char)[0] not in "CZ"))
