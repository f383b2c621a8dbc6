"""The routes of all JSON resources: each operation of the table, and what does it."""

from __future__ import annotations

from starlette.routing import Route

from onpurpose.app.backtest import Backtests
from onpurpose.app.control import Control
from onpurpose.ports import Clock
from onpurpose.server.api import audit, backtests, decisions, documents, keys, promotions, tokens, users, workspaces
from onpurpose.server.api.audit import Log
from onpurpose.server.api.decisions import Past
from onpurpose.server.api.serving import Use, route
from onpurpose.server.api.table import RESOURCES
from onpurpose.server.api.tokens import Tokens


def routes(control: Control, *, past: Past, tokens_of: Tokens, log: Log, clock: Clock) -> list[Route]:
    """A route for every operation of `RESOURCES`; those of approvals are `approvals.approval_routes`.

    A request's key is found in its scope (`identity.STATE`), where whoever authenticates has put it.
    """
    uses: dict[str, Use] = {
        **documents.uses(control),
        **promotions.uses(control),
        **backtests.uses(Backtests(control.shelf, past.decisions, past.log), clock),
        **decisions.uses(past),
        **tokens.uses(tokens_of, control.post.deliver),
        **audit.uses(log),
        **keys.uses(control.keyring, clock),
        **users.uses(control.keyring),
        **workspaces.uses(control.keyring, clock),
    }
    return [route(operation, uses[operation.name]) for operation in RESOURCES]
