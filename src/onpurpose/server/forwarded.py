"""Behind a proxy: whom a request comes from, and whether it came by TLS, as a proxy that is trusted says."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Any, cast

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

_PROXY = "onpurpose.proxy"


class Forwarded:
    """ASGI: the client is the last address in `X-Forwarded-For` that is no trusted proxy's, and counts as such.

    Headers of anybody else are not looked at, and what is no address leaves the proxy's in its place.
    """

    def __init__(self, app: ASGIApp, proxies: Iterable[str]) -> None:
        self._app = app
        self._told: Any = ProxyHeadersMiddleware(cast(Any, self._checked), list(proxies))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        scope[_PROXY] = scope.get("client")
        await self._told(scope, receive, send)

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        proxy = scope.pop(_PROXY)
        client = scope.get("client")
        if client is not None and not _is_address(client[0]):
            scope["client"] = proxy
        await self._app(scope, receive, send)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
