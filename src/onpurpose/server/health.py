"""Probes: `/healthz` says that the process lives, `/readyz` whether it can do its work and what is missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from onpurpose.server.problems import MEDIA_TYPE, URN

log = logging.getLogger("onpurpose")

PATIENCE_SECONDS = 5.0
"""How long the parts may take to say whether they are ready."""


def routes(ready: Callable[[], list[str]]) -> list[Route]:
    """The two probes; anybody may ask them. `ready` is run in a worker thread, in one at a time."""
    asking = _Asking(ready)

    async def readyz(_: Request) -> Response:
        try:
            missing = await asking.ask()
        except TimeoutError:
            missing = ["the service could not tell in time whether it is ready"]
        except Exception:
            log.exception("the service could not tell whether it is ready")
            missing = ["the service could not tell whether it is ready; its log says why"]
        return _ready() if not missing else _not_ready(missing)

    return [Route("/healthz", _alive, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]


class _Asking:
    """Asks the parts, once for all probes that wait: where one hangs, it takes one thread and no more."""

    def __init__(self, ready: Callable[[], list[str]]) -> None:
        self._ready = ready
        self._task: asyncio.Task[list[str]] | None = None

    async def ask(self) -> list[str]:
        """What is missing. Raises `TimeoutError`, and what the parts raise."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(asyncio.to_thread(self._ready))
        return await asyncio.wait_for(asyncio.shield(self._task), PATIENCE_SECONDS)


async def _alive(_: Request) -> Response:
    return Response(b'{"status":"alive"}', media_type="application/json")


def _ready() -> Response:
    return Response(b'{"status":"ready"}', media_type="application/json")


def _not_ready(missing: list[str]) -> Response:
    document = {
        "type": f"{URN}not_ready",
        "title": "Not ready",
        "status": 503,
        "detail": "; ".join(missing),
        "reasons": missing,
    }
    return Response(orjson.dumps(document), 503, {"Retry-After": "1"}, MEDIA_TYPE)
