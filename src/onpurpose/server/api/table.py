"""Every JSON resource in one table: who may ask, what goes in, what comes out, what may go wrong.

The routes are made from it and the OpenAPI document is written from it, so that neither can say what
the other does not do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from pydantic import BaseModel

from onpurpose.app.documents import JUDGED
from onpurpose.core.access import Scope
from onpurpose.core.revision import Kind
from onpurpose.server.api import schemas as wire

JSON = "application/json"
YAML = "application/yaml"
JSON_LINES = "application/jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    `scope` is what the caller's key must have, unless it has one of `also`; `None` for what anybody may
    ask. `query` is the form of the query string, `request` of a JSON body, `response` of a JSON answer;
    `accepts` and `returns` are the media types besides. `errors` are the statuses of the problem documents
    that it may answer with.
    """

    name: str
    method: str
    path: str
    summary: str
    tag: str
    scope: Scope | None
    also: tuple[Scope, ...] = ()
    query: type[BaseModel] | None = None
    request: type[BaseModel] | None = None
    response: type[BaseModel] | None = None
    status: int = 200
    accepts: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    body_limit: int = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind of document: where it is found, and what a single one is called. `name` where there is but one."""

    kind: Kind
    path: str
    word: str
    tag: str
    name: str | None = None


DOCUMENTS = (
    Resource(kind=Kind.PURPOSE, path="/v1/purposes", word="purpose", tag="purposes"),
    Resource(kind=Kind.PURPOSE_POLICY, path="/v1/purpose-policies", word="purpose_policy", tag="purpose policies"),
    Resource(kind=Kind.POLICY, path="/v1/policies", word="policy", tag="policies"),
    Resource(kind=Kind.INDEX, path="/v1/index", word="index", tag="policies", name="index"),
    Resource(kind=Kind.SETTINGS, path="/v1/settings", word="settings", tag="settings", name="settings"),
)

_DRAFT_LIMIT = 4 * wire.MAX_TEXT


def _documents(resource: Resource) -> tuple[Operation, ...]:
    one = resource.path if resource.name else f"{resource.path}/{{name}}"
    many = () if resource.name else (_listing(resource),)
    return (*many, *_reading(resource, one), *_writing(resource, one))


def _reading(resource: Resource, one: str) -> tuple[Operation, ...]:
    word = resource.word
    get = partial(Operation, method="GET", tag=resource.tag, scope=Scope.READ, errors=(404,))
    return (
        get(
            name=f"get_{word}", path=one, summary="The newest revision and where it stands",
            response=wire.DocumentBody, returns=(YAML,),
        ),
        get(
            name=f"list_{word}_revisions", path=f"{one}/revisions", summary="Its history, newest first",
            query=wire.HistoryQuery, response=wire.RevisionPage,
        ),
        get(
            name=f"get_{word}_revision", path=f"{one}/revisions/{{number}}", summary="One revision",
            response=wire.RevisionBody, returns=(YAML,),
        ),
        get(
            name=f"diff_{word}", path=f"{one}/diff", summary="What differs between two revisions",
            query=wire.DiffQuery, response=wire.Difference,
        ),
    )  # fmt: skip


def _writing(resource: Resource, one: str) -> tuple[Operation, ...]:
    word = resource.word
    write = partial(Operation, tag=resource.tag, scope=Scope.POLICY_WRITE)
    return (
        write(
            name=f"save_{word}", method="PUT", path=one, summary="Write a new revision",
            query=wire.ChangeQuery, request=wire.Draft, accepts=(YAML,), response=wire.DocumentBody,
            errors=(409,), body_limit=_DRAFT_LIMIT,
        ),
        write(
            name=f"remove_{word}", method="DELETE", path=one, summary="Remove it; its revisions stay",
            query=wire.ChangeQuery, response=wire.RevisionMeta, errors=(404, 409),
        ),
        write(
            name=f"restore_{word}", method="POST", path=f"{one}/restore", summary="Write an old revision's text anew",
            request=wire.Restoring, response=wire.DocumentBody, errors=(404, 409),
        ),
    )  # fmt: skip


def _listing(resource: Resource) -> Operation:
    return Operation(
        name=f"list_{resource.tag.replace(' ', '_')}", method="GET", path=resource.path, summary="All of them, by name",
        tag=resource.tag, scope=Scope.READ, query=wire.ListQuery, response=wire.DocumentPage,
    )  # fmt: skip


def _standing(resource: Resource) -> tuple[Operation, ...]:
    """What is done with a policy in shadow."""
    word, tag, one = resource.word, resource.tag, f"{resource.path}/{{name}}"
    return (
        Operation(
            name=f"get_{word}_shadow", method="GET", path=f"{one}/shadow", tag=tag, scope=Scope.READ,
            summary="The numbers of the revision in shadow, and whether it is ready", query=wire.ShadowQuery,
            response=wire.ShadowBody, errors=(404, 409),
        ),
        Operation(
            name=f"list_{word}_shadow_dimensions", method="GET", path=f"{one}/shadow/dimensions", tag=tag,
            scope=Scope.READ, summary="What was counted of each agent, group and capability",
            query=wire.DimensionQuery, response=wire.DimensionList, errors=(404, 409),
        ),
        Operation(
            name=f"promote_{word}", method="POST", path=f"{one}/promote", summary="Make the revision in shadow live",
            tag=tag, scope=Scope.POLICY_PROMOTE, request=wire.Promoting, response=wire.Promoted,
            errors=(404, 409),
        ),
        Operation(
            name=f"revert_{word}", method="POST", path=f"{one}/revert", tag=tag, scope=Scope.POLICY_PROMOTE,
            summary="Go back to what was live before the last promotion", request=wire.Reverting,
            response=wire.DocumentMeta, errors=(404, 409),
        ),
    )  # fmt: skip


_REST = (
    Operation(
        name="promote_set", method="POST", path="/v1/promotions", tag="promotion", scope=Scope.POLICY_PROMOTE,
        summary="Make a set of revisions live at once, judged as a set", request=wire.PromotingSet,
        response=wire.Promoted, errors=(404, 409),
    ),
    Operation(
        name="revert_set", method="POST", path="/v1/promotions/revert", tag="promotion", scope=Scope.POLICY_PROMOTE,
        summary="Go back to what was live before the last promotion of each, at once", request=wire.RevertingSet,
        response=wire.Reverted, errors=(404, 409),
    ),
    Operation(
        name="backtest", method="POST", path="/v1/backtest", tag="promotion", scope=Scope.POLICY_WRITE,
        summary="What a set of revisions or unsaved texts would have done on the recorded past",
        request=wire.Backtesting, response=wire.BacktestBody, errors=(404, 409), body_limit=_DRAFT_LIMIT,
    ),
    Operation(
        name="list_decisions", method="GET", path="/v1/decisions", tag="decisions", scope=Scope.READ,
        summary="Decisions as recorded, newest first", query=wire.DecisionQuery, response=wire.DecisionPage,
    ),
    Operation(
        name="get_decision", method="GET", path="/v1/decisions/{id}", tag="decisions", scope=Scope.READ,
        summary="The record of one decision", response=wire.DecisionRecord, errors=(404,),
    ),
    Operation(
        name="verify_token", method="POST", path="/v1/tokens/verify", tag="tokens", scope=Scope.READ,
        summary="Whether a token is good now", request=wire.TokenQuestion, response=wire.TokenAnswer,
    ),
    Operation(
        name="revoke_token", method="POST", path="/v1/tokens/revoke", tag="tokens", scope=Scope.POLICY_WRITE,
        summary="Revoke a token, a purpose's or an agent's", request=wire.TokenRevoking, status=204,
    ),
    Operation(
        name="rotate_token_keys", method="POST", path="/v1/tokens/keys/rotate", tag="tokens", scope=Scope.ADMIN,
        summary="A new key to sign tokens with; for the operator's workspace alone", request=wire.KeyRotating,
        response=wire.KeyRotated,
    ),
    Operation(
        name="get_jwks", method="GET", path="/.well-known/jwks.json", tag="tokens", scope=None,
        summary="The public keys that tokens are signed with", response=wire.KeySet,
    ),
    Operation(
        name="verify_audit", method="POST", path="/v1/audit/verify", tag="audit", scope=Scope.ADMIN,
        summary="Check the whole log; what was found is told to the operator's workspace alone",
        response=wire.AuditReport, errors=(409,),
    ),
    Operation(
        name="export_audit", method="GET", path="/v1/audit/export", tag="audit", scope=Scope.ADMIN,
        summary="The workspace's records as JSON Lines", query=wire.ExportQuery, returns=(JSON_LINES,),
    ),
    Operation(
        name="list_keys", method="GET", path="/v1/keys", tag="keys", scope=Scope.ADMIN,
        summary="Every key of the workspace, without secrets", response=wire.KeyList,
    ),
    Operation(
        name="create_key", method="POST", path="/v1/keys", tag="keys", scope=Scope.ADMIN, status=201,
        summary="A new key; its secret is shown this once", request=wire.NewKey, response=wire.KeyMade,
        errors=(409,),
    ),
    Operation(
        name="get_key", method="GET", path="/v1/keys/{id}", tag="keys", scope=Scope.ADMIN,
        summary="One key, without its secret", response=wire.KeyBody, errors=(404,),
    ),
    Operation(
        name="revoke_key", method="DELETE", path="/v1/keys/{id}", tag="keys", scope=Scope.ADMIN,
        summary="Revoke a key, at once and for good", response=wire.KeyBody, errors=(404, 409),
    ),
    Operation(
        name="list_users", method="GET", path="/v1/users", tag="users", scope=Scope.READ,
        summary="The workspace's users", query=wire.ListQuery, response=wire.UserPage,
    ),
    Operation(
        name="create_user", method="POST", path="/v1/users", tag="users", scope=Scope.ADMIN, status=201,
        summary="A new user", request=wire.NewUser, response=wire.UserBody, errors=(409,),
    ),
    Operation(
        name="get_user", method="GET", path="/v1/users/{id}", tag="users", scope=Scope.READ,
        summary="One user", response=wire.UserBody, errors=(404,),
    ),
    Operation(
        name="update_user", method="PUT", path="/v1/users/{id}", tag="users", scope=Scope.ADMIN,
        summary="Write what a user is; a disabled one is enabled", request=wire.UserFields,
        response=wire.UserBody, errors=(404,),
    ),
    Operation(
        name="disable_user", method="DELETE", path="/v1/users/{id}", tag="users", scope=Scope.ADMIN,
        summary="Disable a user and revoke their keys; what they did keeps their name", response=wire.UserBody,
        errors=(404,),
    ),
    Operation(
        name="list_workspaces", method="GET", path="/v1/workspaces", tag="workspaces", scope=Scope.ADMIN,
        summary="The caller's workspace; all of them for the operator's", response=wire.WorkspaceList,
    ),
    Operation(
        name="create_workspace", method="POST", path="/v1/workspaces", tag="workspaces", scope=Scope.ADMIN, status=201,
        summary="A new workspace and its first admin key; for the operator's workspace alone",
        request=wire.NewWorkspace, response=wire.WorkspaceMade, errors=(409,),
    ),
)  # fmt: skip


_approval = partial(Operation, tag="approvals")
_decide = partial(
    _approval, method="POST", scope=Scope.APPROVE, response=wire.ApprovalBody, errors=(404, 409)
)  # fmt: skip

_APPROVALS = (
    _approval(
        name="list_approvals", method="GET", path="/v1/approvals", scope=Scope.READ, also=(Scope.APPROVE,),
        summary="What people were asked, newest first", query=wire.ApprovalQuery, response=wire.ApprovalPage,
    ),
    _approval(
        name="get_approval", method="GET", path="/v1/approvals/{id}", scope=Scope.EVALUATE,
        also=(Scope.READ, Scope.APPROVE), query=wire.WaitQuery, errors=(404,),
        summary="How one stands, at once or once it is decided; with `evaluate` alone in short, and the key's own",
        response=wire.ApprovalAnswer,
    ),
    _decide(
        name="grant_approval", path="/v1/approvals/{id}/grant", summary="Grant it, with a personal key",
        request=wire.Granting,
    ),
    _decide(
        name="deny_approval", path="/v1/approvals/{id}/deny", summary="Deny it for a reason, with a personal key",
        request=wire.Denying,
    ),
    _decide(
        name="delegate_approval", path="/v1/approvals/{id}/delegate", request=wire.Delegating,
        summary="Pass it on to another user who may decide it, with a personal key",
    ),
    _decide(
        name="comment_approval", path="/v1/approvals/{id}/comment", request=wire.Commenting,
        summary="Say a word about it, with a personal key",
    ),
    _decide(
        name="cancel_approval", path="/v1/approvals/{id}/cancel", scope=Scope.EVALUATE, also=(Scope.APPROVE,),
        summary="Take it back, with the key that asked or a personal one", request=wire.Cancelling,
        response=wire.ApprovalAnswer,
    ),
)  # fmt: skip

_WEBHOOKS = (
    Operation(
        name="get_webhook_secret", method="GET", path="/v1/webhooks/secret", tag="webhooks", scope=Scope.ADMIN,
        summary="By what the receivers of the workspace's webhooks know them", response=wire.WebhookSecret,
    ),
)  # fmt: skip


def _complete(operation: Operation) -> Operation:
    """With the errors that follow from the rest: who asks, what goes in, and a store that does not answer."""
    errors = {*operation.errors, 503}
    if operation.scope is not None:
        errors |= {401, 403, 429}
    if operation.query is not None:
        errors.add(422)
    if operation.request is not None:
        errors |= {400, 408, 413, 415, 422}
    return replace(operation, errors=tuple(sorted(errors)))


APPROVALS: tuple[Operation, ...] = tuple(map(_complete, _APPROVALS))
"""The operations on approvals, which have routes of their own: one of them waits."""

WEBHOOKS: tuple[Operation, ...] = tuple(map(_complete, _WEBHOOKS))
"""The operations on webhooks, which are served where webhooks are sent."""

RESOURCES: tuple[Operation, ...] = tuple(
    map(
        _complete,
        (
            *(operation for resource in DOCUMENTS for operation in _documents(resource)),
            *(operation for resource in DOCUMENTS if resource.kind in JUDGED for operation in _standing(resource)),
            *_REST,
        ),
    )
)
"""The operations that are done by the store, the log and the tokens."""

TABLE: tuple[Operation, ...] = (*RESOURCES, *APPROVALS, *WEBHOOKS)
"""Every JSON resource but `evaluate`, the stream of decisions and the probes, which answer without it."""
