"""Every route times every role: who may go where is what the routes say, and nothing else is reached."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from starlette.routing import BaseRoute, Route

from onpurpose.core.access import Role, Scope
from onpurpose.core.session import SCOPES
from onpurpose.server.dashboard.session import scope_of

OPEN = frozenset({"/sign-in", "/sign-out", "/set-up", "/sign-in/link/{token}", "/sign-in/oidc", "/sign-in/oidc/back"})
"""The pages that need no session."""

SIGNING_OUT = frozenset({"/account/password", "/account/sign-out-everywhere"})
"""Forms whose good end is that one signs in again."""


def guarded(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, Scope]]:
    """Method, path and scope of every page. A page that is neither guarded nor open fails the test."""
    for route in routes:
        assert isinstance(route, Route)
        scope = scope_of(route.endpoint)
        if scope is None:
            assert route.path in OPEN or route.path.startswith("/static/"), f"{route.path} is open to everybody"
            continue
        for method in sorted((route.methods or set()) - {"HEAD"}):
            yield method, route.path, scope


def concrete(path: str, values: Mapping[str, str]) -> str:
    """The path with its parameters filled in; with `x` where nothing is given."""
    return re.sub(r"{(\w+)(?::\w+)?}", lambda match: values.get(match.group(1), "x"), path)


def check_refused(send: Any, method: str, path: str, scope: Scope, role: Role | None) -> None:
    """That whoever has the role (`None`: nobody) is refused where it lacks the scope, and let in where it has it.

    `send(method, path)` sends it with everything that it needs: cookie, token and origin.
    """
    response = send(method, path)
    who = role or "nobody"
    kept_out = response.status_code == 401 or response.headers.get("location", "").startswith("/sign-in")
    if role is None:
        assert kept_out, f"{who}: {method} {path} {response.status_code}"
    elif scope in SCOPES[role]:
        assert response.status_code != 403, f"{who}: {method} {path} 403"
        assert not kept_out or path in SIGNING_OUT, f"{who}: {method} {path} {response.status_code}"
    else:
        assert response.status_code == 403, f"{who}: {method} {path} {response.status_code}"
