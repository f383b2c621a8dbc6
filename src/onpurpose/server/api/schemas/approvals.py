"""Approvals: what is asked of them, what people say, and what is told of them to agents and to people."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, JsonValue, RootModel, StringConstraints

from onpurpose.core.act import Move, State, Via
from onpurpose.server.api.schemas.bounds import Line, Name, Why, Wire, Words

MAX_WAIT = 30
"""Seconds that one answer may be held back."""


class ApprovalQuery(Wire):
    """Which approvals: each field narrows. `cursor` is a page's `next`."""

    state: State | None = None
    agent: Annotated[str, StringConstraints(max_length=512, pattern=r"^[^\x00]*$")] | None = None
    capability: Line | None = None
    cursor: Name | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 50


class WaitQuery(Wire):
    """For how many seconds the answer may be held back while nobody has decided."""

    wait: Annotated[float, Field(ge=0, le=MAX_WAIT)] = 0


class Granting(Wire):
    """A grant, and what there is to say to it."""

    text: Words = ""


class Denying(Wire):
    """A denial. The agent is told the reason."""

    text: Why


class Delegating(Wire):
    """A request, passed on to another user who may decide it."""

    to: Name
    text: Words = ""


class Commenting(Wire):
    """A word about a request, which decides nothing."""

    text: Why


class Cancelling(Wire):
    """A request, taken back: nothing runs by it any more."""

    text: Words = ""


class ApprovalTicket(Wire):
    """An approval as its agent sees it. `by` and `reason` are those of whoever decided, `url` is where people do."""

    id: str
    state: State
    expires_at: str
    by: str
    reason: str
    url: str


class ApprovalMeta(ApprovalTicket):
    """An approval in a list."""

    agent_id: str
    capability: str
    purpose_id: str | None
    requesters: list[str]
    step_up: bool
    joined: int
    opened_at: int
    until: int
    decided_at: int | None


class ApprovalPage(Wire):
    """Approvals, newest first; `next` is the `cursor` of the next page."""

    items: list[ApprovalMeta]
    next: str | None


class SeatBody(Wire):
    """A stage that waits: of its approvers so many must grant, of whom these have."""

    route: int
    stage: int
    approvers: list[str]
    quorum: int
    granted_by: list[str]


class ActBody(Wire):
    """One thing that happened to an approval."""

    move: Move
    at: int
    by: str
    via: Via
    text: str
    to: str
    decision_id: str


class SimilarBody(Wire):
    """An earlier request of the same agent for the same capability, and what became of it."""

    id: str
    state: State
    by: str
    opened_at: int
    decided_at: int | None


class ApprovalBody(ApprovalMeta):
    """An approval as people see it: the intent context, whom it waits for, what happened, similar requests.

    `context` is masked and bounded. `digest` is the call's: what is granted is exactly that call.
    """

    digest: str
    asked_with: str
    version: int
    decision_ids: list[str]
    context: dict[str, JsonValue]
    waits_for: list[SeatBody]
    history: list[ActBody]
    similar: list[SimilarBody]


class ApprovalAnswer(RootModel[ApprovalBody | ApprovalTicket]):
    """An approval: in full for a key with `read` or `approve`, in short for the key that asked for it."""


class WebhookSecret(Wire):
    """What the webhooks of the workspace are signed with: `whsec_...`. Whoever has it can write what looks like one."""

    secret: str
