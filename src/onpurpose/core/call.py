"""A tool call: all that a policy may read. Its canonical form and digest are in `canonical`."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

MAX_DEPTH = 64
"""How deep a payload may nest."""

MAX_TEXT = 1 << 20
"""How much text a payload may hold, names included, in UTF-8 bytes."""

MAX_VALUES = 100_000
"""How many values a payload may hold, containers included: what bounds the time of a decision."""

MAX_NAME = 512
"""How long a capability or an agent's id may be, in characters."""


class Identity(Struct, frozen=True, forbid_unknown_fields=True):
    """The person on whose behalf the agent acts; `None` in a call means anonymous."""

    user_id: str
    groups: tuple[str, ...] = ()


class Call(Struct, eq=False):
    """One tool call as the application and the model present it. Never changed once made.

    The payload is the model's and hostile; everything else but `purpose_id` is vouched for by
    the application. Nothing is validated here: `decide` denies what cannot be read.
    """

    agent_id: str
    capability: str
    payload: object = None
    policy_context: Mapping[str, object] | None = None
    task_context: str | None = None
    risk_category: str | None = None
    identity: Identity | None = None
    purpose_id: str | None = None
    data_source_id: str | None = None
    elements: tuple[str, ...] | None = None
    conversation: str | None = None

    def __repr__(self) -> str:  # no payload in a traceback
        return f"Call({self.agent_id!r}, {self.capability!r})"


class Touched(Struct, frozen=True, kw_only=True):
    """What data something touches: `elements` as in a call, sorted; `None` where that cannot be told, and `why`."""

    elements: tuple[str, ...] | None
    why: str = ""
