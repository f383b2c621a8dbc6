"""Purposes and purpose policies as written: why an agent acts, what data it may touch, when that counts.

Values only; nothing here decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import tzinfo
from enum import StrEnum

from msgspec import Struct

from onpurpose.core.outcome import Outcome
from onpurpose.core.routing import DEFAULT, Route
from onpurpose.core.span import Span

TOKEN_TTL_MINUTES = 5
"""How long a token lives, unless a purpose policy sets `token_ttl_minutes`."""

TTL_SECONDS = 3600
"""The most that a token of a purpose may live, unless the purpose sets `ttl_seconds`."""


SQL_DIALECTS = ("postgres", "mysql", "sqlite", "snowflake", "bigquery")
"""The dialects of SQL that are read."""


class IntentClass(StrEnum):
    """What kind of thing a purpose is for."""

    REPORTING = "reporting"
    EXPORT = "export"
    ADMIN = "admin"
    LOOKUP = "lookup"
    ANALYSIS = "analysis"
    WRITE = "write"
    OTHER = "other"


class Status(StrEnum):
    """The life of a purpose: only an active one can be declared."""

    DRAFT = "draft"
    ACTIVE = "active"
    ARCHIVED = "archived"


class Purpose(Struct, frozen=True, kw_only=True):
    """Why an agent may act, and what data it may then touch.

    `elements` are `table.column` or `schema.table.column`, a last `*` for every column; `None` where
    the purpose does not speak of data, `()` where it may touch none. `ttl_seconds` is the most that a
    token of it may live.
    """

    id: str
    name: str = ""
    description: str = ""
    intent_class: IntentClass = IntentClass.OTHER
    elements: tuple[str, ...] | None = None
    ttl_seconds: int = TTL_SECONDS
    owner: str = ""
    status: Status = Status.DRAFT
    span: Span


class Window(Struct, frozen=True, kw_only=True):
    """Hours of the week: on these days (Monday is 0), from a minute of the day up to another, in a time zone.

    `start` < `end` <= 1440, both minutes since midnight on the clocks of `zone`.
    """

    days: tuple[int, ...]
    start: int
    end: int
    zone: tzinfo
    zone_name: str


class Match(Struct, frozen=True, kw_only=True):
    """When a declaration counts; `None` is any. Each is a list of alternatives."""

    identity_required: bool = True
    user_groups: tuple[str, ...] | None = None
    data_source_id: tuple[str, ...] | None = None
    agent_ids: tuple[str, ...] | None = None
    capabilities: tuple[str, ...] | None = None
    environments: tuple[str, ...] | None = None
    hours: tuple[Window, ...] | None = None


class PurposePolicy(Struct, frozen=True, kw_only=True):
    """What happens when a purpose is declared and the policy matches.

    `decision` is allow, require_approval or deny, as written; `outcome` is what it comes to. `route`
    says who is asked; `None` where the policy leaves it to the workspace.
    """

    policy_id: str
    purpose_id: str
    match: Match = Match()
    decision: Outcome
    approval_required: bool = False
    token_ttl_minutes: int = TOKEN_TTL_MINUTES
    shadow_mode: bool = True
    route: Route | None = None
    span: Span

    @property
    def outcome(self) -> Outcome:
        """The decision; an allow that needs approval is `require_approval`."""
        if self.approval_required and self.decision < Outcome.REQUIRE_APPROVAL:
            return Outcome.REQUIRE_APPROVAL
        return self.decision


class Notify(Struct, frozen=True, kw_only=True):
    """Where people are told of approvals.

    `slack` is the id of a channel (`C...`); `slack_direct` tells each approver who has a Slack account in
    person. `email` writes to each approver. `webhooks` are URLs.
    """

    slack: str | None = None
    slack_direct: bool = False
    email: bool = False
    webhooks: tuple[str, ...] = ()


class SqlSource(Struct, frozen=True, kw_only=True):
    """Where calls of a capability carry SQL, and how to read it.

    `capability` as in a rule, `path` as in a rule's `args`. `schema` maps `table` or `schema.table` to columns;
    `None` where it is not stated.
    """

    capability: str
    path: tuple[str, ...]
    dialect: str
    schema: Mapping[str, tuple[str, ...]] | None = None


class Settings(Struct, frozen=True, kw_only=True):
    """What holds for a whole workspace.

    `purpose_required`: a call that declares no purpose is denied. `unmatched` is the outcome of a
    call on which no layer has an opinion; `ALLOW` only for a period of observation. `route` says who
    is asked where a policy does not; `notify` where they are told. `sql` says which calls carry SQL: what
    these touch is told from it.
    """

    purpose_required: bool = False
    unmatched: Outcome = Outcome.DENY
    route: Route = DEFAULT
    notify: Notify = Notify()
    sql: tuple[SqlSource, ...] = ()
