"""`/v1/approvals`: what waits for people, waiting for it, and deciding it with a personal key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial

import orjson
from anyio import CancelScope, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onpurpose.app.approvals import Desk
from onpurpose.core.access import ApiKey, Scope
from onpurpose.core.act import State, Via
from onpurpose.core.approval import Approval, Wanted
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.feed import kept
from onpurpose.core.revision import MissingError
from onpurpose.core.ticket import Ticket
from onpurpose.server.answer import told_ticket
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.approval_bodies import long_form, short_form
from onpurpose.server.api.refusals import refusal
from onpurpose.server.api.serving import Answer, Asked, Use, allowed, read_query, route
from onpurpose.server.api.table import APPROVALS, JSON, Operation
from onpurpose.server.problems import forbidden
from onpurpose.waiting import done

Tell = Callable[[Approval], Ticket]
"""An approval as its agent is told of it, with the page where people decide: `Consent.ticket`."""

_SEE = frozenset({Scope.READ, Scope.APPROVE, Scope.ADMIN})
"""Of these scopes one is enough to see all of the workspace's approvals, and all of each."""

_WAITED_FOR = "get_approval"

_NO_PERSON = (
    "people decide, and this key is nobody's own; have an admin make a personal one: "
    '`POST /v1/keys` with {"name": ..., "scopes": ["approve", "read"], "user": USER}'
)


def approval_routes(desk: Desk, tell: Tell) -> list[Route]:
    """A route for every operation of `APPROVALS`. Requests are authenticated, as for `routes`."""
    uses = _uses(desk, tell)
    return [
        _waiting(operation, desk, tell) if operation.name == _WAITED_FOR else route(operation, uses[operation.name])
        for operation in APPROVALS
    ]


def _uses(desk: Desk, tell: Tell) -> Mapping[str, Use]:
    return {
        "list_approvals": partial(list_all, desk, tell),
        "grant_approval": partial(grant, desk, tell),
        "deny_approval": partial(deny, desk, tell),
        "delegate_approval": partial(delegate, desk, tell),
        "comment_approval": partial(comment, desk, tell),
        "cancel_approval": partial(cancel, desk, tell),
    }


# -- reading


def list_all(desk: Desk, tell: Tell, asked: Asked) -> Answer:
    """Approvals, newest first."""
    query = asked.asked(wire.ApprovalQuery)
    wanted = Wanted(
        workspace=asked.workspace,
        states=None if query.state is None else frozenset({query.state}),
        agent_id=query.agent,
        capability=query.capability,
        before=query.cursor,
        limit=query.limit + 1,
    )
    found = desk.find(wanted)
    page = found[: query.limit]
    more = len(found) > len(page)
    return wire.ApprovalPage(items=[short_form(one, tell(one)) for one in page], next=page[-1].id if more else None)


def _waiting(operation: Operation, desk: Desk, tell: Tell) -> Route:
    """`GET /v1/approvals/{id}`: while it is pending, no thread waits with whoever asks."""

    async def endpoint(request: Request) -> Response:
        key = allowed(operation, request)
        query = read_query(operation, request)
        if not isinstance(query, wire.WaitQuery):
            raise TypeError("the table has another form than WaitQuery")
        approval_id = kept(request.path_params["id"])
        pending, body = await to_thread.run_sync(_seen, desk, tell, key, approval_id)
        if pending and query.wait > 0:
            await _wait(desk, key.workspace, approval_id, query.wait, request)
            _, body = await to_thread.run_sync(_seen, desk, tell, key, approval_id)
        return Response(body, media_type=JSON)

    return Route(operation.path, endpoint, methods=[operation.method], name=operation.name)


def _seen(desk: Desk, tell: Tell, key: ApiKey, approval_id: str) -> tuple[bool, bytes]:
    """Whether it is pending, and its JSON, for whoever may see it; for whoever may not, it is not there."""
    try:
        approval = desk.get(key.workspace, approval_id)
        if key.scopes & _SEE:
            body = long_form(approval, tell(approval), desk.similar(approval)).model_dump_json().encode()
        elif approval.asked_with == key.id:
            body = orjson.dumps(told_ticket(tell(approval)))
        else:
            raise MissingError("there is no such approval, or it was asked for with another key")
    except OnPurposeError as error:
        raise refusal(error) from error
    return approval.state is State.PENDING, body


async def _wait(desk: Desk, workspace: str, approval_id: str, seconds: float, request: Request) -> None:
    """Return once the approval is decided, after so many seconds, or when the client has hung up."""
    try:
        promise = await to_thread.run_sync(desk.watch, workspace, approval_id)
    except OnPurposeError as error:
        raise refusal(error) from error
    gone = asyncio.ensure_future(_hang_up(request))
    gone.add_done_callback(lambda _: promise.cancel())
    try:
        await done(promise, seconds)
    finally:
        gone.cancel()
        promise.cancel()
        with CancelScope(shield=True):
            await asyncio.gather(gone, return_exceptions=True)


async def _hang_up(request: Request) -> None:
    """Return when the client is gone; what it still sends is passed over."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


# -- deciding


def grant(desk: Desk, tell: Tell, asked: Asked) -> Answer:
    """Grant it in the name of the user whose key it is."""
    user, body = _person(asked), asked.told(wire.Granting)
    after = desk.grant(asked.workspace, _id(asked), user, via=Via.API, text=body.text, signed_in=True)
    return _told(desk, tell, after)


def deny(desk: Desk, tell: Tell, asked: Asked) -> Answer:
    """Deny it, for a reason."""
    user, body = _person(asked), asked.told(wire.Denying)
    after = desk.deny(asked.workspace, _id(asked), user, via=Via.API, text=body.text, signed_in=True)
    return _told(desk, tell, after)


def delegate(desk: Desk, tell: Tell, asked: Asked) -> Answer:
    """Pass it on to another user."""
    user, body = _person(asked), asked.told(wire.Delegating)
    after = desk.delegate(asked.workspace, _id(asked), user, to=body.to, via=Via.API, text=body.text, signed_in=True)
    return _told(desk, tell, after)


def comment(desk: Desk, tell: Tell, asked: Asked) -> Answer:
    """Say a word about it."""
    user, body = _person(asked), asked.told(wire.Commenting)
    return _told(desk, tell, desk.comment(asked.workspace, _id(asked), user, via=Via.API, text=body.text))


def cancel(desk: Desk, tell: Tell, asked: Asked) -> Answer:
    """Take it back: with the key that asked for it, or with a personal key."""
    body, key, approval_id = asked.told(wire.Cancelling), asked.key, _id(asked)
    own = desk.get(asked.workspace, approval_id).asked_with == key.id
    if not own and not key.may(Scope.APPROVE):
        raise MissingError("there is no such approval, or it was asked for with another key")
    by = key.id if own else _person(asked)
    after = desk.cancel(asked.workspace, approval_id, by=by, via=Via.API, text=body.text)
    if key.scopes & _SEE:
        return _told(desk, tell, after)
    return wire.ApprovalTicket.model_validate(told_ticket(tell(after)))


def _id(asked: Asked) -> str:
    return kept(asked.path["id"])


def _person(asked: Asked) -> str:
    """The user in whose name the key decides. Raises the 403 problem."""
    if asked.key.user is None:
        raise forbidden(_NO_PERSON)
    return asked.key.user


def _told(desk: Desk, tell: Tell, approval: Approval) -> Answer:
    return long_form(approval, tell(approval), desk.similar(approval))
