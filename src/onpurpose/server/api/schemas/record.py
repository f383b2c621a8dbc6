"""Decisions, tokens and the log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from onpurpose.server.api.schemas.bounds import Limit, Line, Time, Why, Wire, Words


class DecisionQuery(Wire):
    """Which decisions: each field narrows. `since` is included, `until` is not. `cursor` is a page's `next`."""

    since: Time | None = None
    until: Time | None = None
    agent_id: Line | None = None
    user_id: Line | None = None
    capability: Line | None = None
    purpose_id: Line | None = None
    outcome: Literal["allow", "warn", "require_approval", "deny"] | None = None
    shadow_outcome: Literal["allow", "warn", "require_approval", "deny"] | None = None
    newly_blocked: bool | None = None
    policy: Line | None = None
    cursor: Annotated[str, StringConstraints(max_length=19, pattern=r"^[1-9][0-9]*$")] | None = None
    limit: Limit = 50


class DecisionBody(Wire):
    """One decision as the feed tells it. `n` counts all decisions; `policy` is what decided, `code` why."""

    n: int
    id: str
    at: int
    agent_id: str
    user_id: str | None
    capability: str
    purpose_id: str | None
    outcome: Literal["allow", "warn", "require_approval", "deny"]
    code: str
    policy: str | None
    digest: str | None
    shadow_outcome: Literal["allow", "warn", "require_approval", "deny"] | None
    newly_blocked: bool


class DecisionPage(Wire):
    """Decisions, newest first; `next` is the `cursor` of the next page.

    A page may hold less than was asked for and have a next one: a search looks at so many at most.
    """

    items: list[DecisionBody]
    next: str | None


class DecisionRecord(Wire):
    """One decision: its record, byte for byte what was hashed, and where it stands in the log."""

    record: dict[str, JsonValue]
    chain: str
    seq: int
    hash: str


class TokenQuestion(Wire):
    """A token, and for whom it must be."""

    token: Annotated[str, Field(min_length=1, max_length=16_384)]
    audience: Annotated[Line, Field(min_length=1)]


class TokenAnswer(Wire):
    """Whether the token is good now; its claims if it is, else why not."""

    valid: bool
    claims: dict[str, JsonValue] | None = None
    reason: str | None = None


class TokenRevoking(Wire):
    """Revoke one token (`jti`), all of a purpose, or all of an agent, issued up to now."""

    kind: Literal["jti", "purpose", "agent"]
    value: Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")]
    reason: Words = ""


class KeyRotating(Wire):
    """Make a new key to sign tokens with. `at_once`, for keys that leaked: all tokens out there count no more."""

    reason: Why
    at_once: bool = False


class KeyRotated(Wire):
    """The new key's id, that of the one that signs for now, and how many keys verify."""

    kid: str
    signs: str | None
    verify: int


class KeySet(Wire):
    """The public keys that tokens are signed with (RFC 7517)."""

    keys: list[dict[str, JsonValue]]


class ExportQuery(Wire):
    """Which records: those behind the position `after`; of all workspaces with `whole`, for the operator's alone."""

    after: Time | None = None
    whole: bool = False


class AuditFinding(Wire):
    """One thing that is wrong with the log."""

    kind: str
    message: str
    chain: str | None
    seq: int | None


class AuditAnchor(Wire):
    """The newest checkpoint: note it elsewhere, and give it to a later check."""

    log: str
    n: int
    hash: str


class AuditDay(Wire):
    """A day that was archived and let go, whose file is not at hand: its records were not checked.

    `digest` is the file's SHA-256 (hex); `proven` is false where what says so is itself not at hand.
    """

    day: str
    file: str
    digest: str
    records: int
    proven: bool


class AuditReport(Wire):
    """Whether the log is as it was written, and what a check of it found.

    `ok`: nothing is wrong with what is at hand; `whole`: and all of it is at hand, archived days too.
    `records` are those of the caller's workspace, `None` where they could not be read; for the operator's they
    are all of the log's. What follows is told to the operator's alone, and `None` for others.
    """

    ok: bool
    whole: bool
    records: int | None
    total: int | None = None
    findings: list[AuditFinding] | None = None
    chains: int | None = None
    checkpoints: int | None = None
    uncovered: int | None = None
    away: list[AuditDay] | None = None
    anchor: AuditAnchor | None = None
    key: str | None = None
