"""Where one can go: the main navigation, by what a person may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onpurpose.core.access import Scope
from onpurpose.core.session import Principal


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A place in the navigation. `key` is the letter that leads there after `g`."""

    label: str
    path: str
    key: str
    scope: Scope = Scope.READ

    def holds(self, path: str) -> bool:
        """Whether a page of that path belongs to this place."""
        return path == self.path or (self.path != "/" and path.startswith(self.path + "/"))


ITEMS: Sequence[Item] = (
    Item(label="Overview", path="/", key="o"),
    Item(label="Decisions", path="/decisions", key="d"),
    Item(label="Policies", path="/policies", key="p"),
    Item(label="Purposes", path="/purposes", key="u"),
    Item(label="Approvals", path="/approvals", key="a"),
    Item(label="Audit", path="/audit", key="l"),
    Item(label="Settings", path="/settings", key="s"),
)
"""The main navigation, in order."""


def items_for(principal: Principal | None) -> list[Item]:
    """The places that this person may open; none for somebody who is not signed in."""
    return [] if principal is None else [item for item in ITEMS if principal.may(item.scope)]
