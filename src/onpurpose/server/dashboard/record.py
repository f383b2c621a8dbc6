"""`/audit/{chain}/{seq}`: one record, byte for byte, with its neighbours in the chain and whether its hash follows."""

from __future__ import annotations

from functools import partial

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onpurpose.app.keys import OPERATOR
from onpurpose.app.log_search import DECISION, OPEN_KINDS, neighbours, told_by
from onpurpose.core.access import Scope
from onpurpose.core.record import Stored
from onpurpose.core.revision import MissingError
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.shell import Parts
from onpurpose.server.pages.foreign import beginning

MOST_SHOWN = 160_000
"""How many bytes of a page a body takes; all of it is in the export."""

_LONGEST_CHAIN = 64
_LONGEST_NUMBER = 18


def routes(parts: Parts) -> list[BaseRoute]:
    """One record."""
    return [Route("/audit/{chain}/{seq}", page(parts, Scope.READ)(partial(_show, parts)), methods=["GET"])]


def _show(parts: Parts, request: Request, principal: Principal) -> Response:
    chain, digits = request.path_params["chain"], request.path_params["seq"]
    number = digits.isascii() and digits.isdigit() and len(digits) <= _LONGEST_NUMBER
    found = neighbours(parts.past.log, chain[:_LONGEST_CHAIN], int(digits)) if number else None
    if found is None or not _may_see(found.record, principal):
        raise MissingError("there is no such record, or it is of another workspace, or in the archive")
    told = told_by(found.record.body)
    kind = str(told.get("kind", "unreadable"))
    text, cut = beginning(_written(found.record.body), MOST_SHOWN)
    return parts.shell.render(
        request, "record.html", principal, record=found.record, kind=kind, told=told, follows=found.follows,
        followed=found.followed, before=found.before, behind=found.behind, text=text,
        cut=cut, may_see=partial(_may_see, principal=principal),
        decision=str(told.get("id", "")) if kind == DECISION else "", hash=found.record.hash.hex(),
    )  # fmt: skip


def _may_see(record: Stored, principal: Principal) -> bool:
    """Whether it is of the person's workspace, and of a kind that is for them; the operator's admins see all."""
    told = told_by(record.body)
    if principal.may(Scope.ADMIN):
        return principal.workspace == OPERATOR or told.get("workspace") == principal.workspace
    return told.get("workspace") == principal.workspace and told.get("kind") in OPEN_KINDS


def _written(body: bytes) -> str:
    """The body as one reads it: indented JSON, or what there is of what is none."""
    try:
        return orjson.dumps(orjson.loads(body), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        return body.decode("utf-8", "backslashreplace")
