"""`/settings`: people, keys, ways to be told, the workspace's document, and what runs the service."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from onpurpose.core.access import Scope
from onpurpose.core.session import Principal
from onpurpose.server.dashboard import (
    settings_channels,
    settings_document,
    settings_keys,
    settings_retention,
    settings_service,
    settings_users,
)
from onpurpose.server.dashboard.session import page
from onpurpose.server.dashboard.settings_frame import PATH, sections_for
from onpurpose.server.dashboard.shell import Parts

_MODULES = (settings_users, settings_keys, settings_channels, settings_document, settings_retention, settings_service)


def routes(parts: Parts) -> list[BaseRoute]:
    """What there is to set, and every page of it."""
    start: list[BaseRoute] = [Route(PATH, page(parts, Scope.READ)(partial(_show, parts)), methods=["GET"])]
    return [*start, *(one for module in _MODULES for one in module.routes(parts))]


def _show(parts: Parts, request: Request, principal: Principal) -> Response:
    return parts.shell.render(request, "settings.html", principal, sections=sections_for(principal))
