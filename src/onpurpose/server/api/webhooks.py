"""`/v1/webhooks/secret`: by what the receivers of a workspace's webhooks know that they are ours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from starlette.routing import Route

from onpurpose.server.api import schemas as wire
from onpurpose.server.api.serving import Answer, Asked, route
from onpurpose.server.api.table import WEBHOOKS

SecretOf = Callable[[str], str]
"""The secret of a workspace, as `onpurpose.verify_webhook` takes it."""


def webhook_routes(secret_of: SecretOf) -> list[Route]:
    """A route for every operation of `WEBHOOKS`. Requests are authenticated, as for `routes`."""
    return [route(operation, partial(tell, secret_of)) for operation in WEBHOOKS]


def tell(secret_of: SecretOf, asked: Asked) -> Answer:
    """The secret of the caller's own workspace."""
    return wire.WebhookSecret(secret=secret_of(asked.workspace))
