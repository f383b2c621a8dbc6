"""Who is met in the demo: those who work with the dashboard, and those in whose name agents act."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from onpurpose.core.access import Role
from onpurpose.core.call import Identity

VISITOR = "you"
"""The id of the user who the visitor is: an admin who may decide whatever agents ask."""


class Member(Struct, frozen=True, kw_only=True):
    """Somebody who uses the dashboard."""

    id: str
    name: str
    groups: tuple[str, ...] = ()
    roles: frozenset[Role]

    @property
    def email(self) -> str:
        """An address that leads nowhere."""
        return f"{self.id}@acme-corp.example"


def _member(user_id: str, name: str, role: Role, *groups: str) -> Member:
    return Member(id=user_id, name=name, groups=groups, roles=frozenset({role}))


MEMBERS: Final = (
    _member(VISITOR, "You", Role.ADMIN, "approvers", "data-stewards"),
    _member("ada", "Ada Okafor", Role.ADMIN),
    _member("amara", "Amara Lindqvist", Role.AUTHOR, "policy-authors"),
    _member("piet", "Piet de Vries", Role.PROMOTER, "policy-authors", "data-stewards"),
    _member("pablo", "Pablo Serrano", Role.APPROVER, "approvers", "data-stewards"),
    _member("grace", "Grace Kim", Role.APPROVER, "approvers", "data-stewards"),
    _member("ines", "Inês Duarte", Role.APPROVER, "approvers"),
    _member("vera", "Vera Novak", Role.VIEWER, "auditors"),
)
"""One of every role at least."""

APPROVERS: Final = ("pablo", "grace", "ines", "piet")
"""Who decides of their own accord; the others leave it to the visitor."""

TIER_1: Final = tuple(Identity(one, ("support-tier-1",)) for one in ("tim", "olu", "hana", "jonas"))
TIER_2: Final = tuple(Identity(one, ("support-tier-2", "support-leads")) for one in ("mei", "rafael"))
CONTRACTORS: Final = tuple(Identity(one, ("support-contractors",)) for one in ("zoe", "bruno"))
CUSTOMERS: Final = tuple(Identity(one, ("customers",)) for one in ("emma", "liam", "noor", "kofi", "yuki", "sara"))
STAFF: Final = tuple(Identity(one, ("staff",)) for one in ("alice", "bob", "carla", "dmitri", "erin", "farid"))
GUESTS: Final = tuple(Identity(one, ("guests",)) for one in ("gina", "hugo"))
ACCOUNTANTS: Final = tuple(Identity(one, ("accounting",)) for one in ("lena", "marco"))
OPERATORS: Final = tuple(Identity(one, ("operations",)) for one in ("nils", "oksana"))
