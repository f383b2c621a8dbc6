"""Who may go where, of the pages of signing in."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.routing import Route

from onpurpose.core.access import Role
from tests.dashboard.entrance import Entrance
from tests.dashboard.matrix import check_refused, concrete, guarded


@pytest.mark.parametrize("role", [*Role, None])
def test_every_page_is_reached_by_whoever_may_and_by_nobody_else(role: Role | None) -> None:
    entrance = Entrance()
    entrance.person("root", Role.ADMIN)
    if role is not None:
        entrance.person("ann", role)
    pages = list(guarded(entrance.app.routes))
    assert ("POST", "/account/password", "read") in pages
    for method, path, scope in pages:
        browser = entrance.browser()
        if role is not None:  # each time: some pages sign out
            browser.sign_in("ann")

        def send(method: str, path: str, browser: Any = browser) -> Any:
            if method == "GET":
                return browser.get(path)
            if role is not None:
                browser.get("/account")
            return browser.post(path, {"_csrf": browser.fields.get("_csrf", "")})

        check_refused(send, method, concrete(path, {}), scope, role)


def test_a_page_that_nobody_guards_is_found() -> None:
    with pytest.raises(AssertionError, match="open to everybody"):
        list(guarded([Route("/secrets", lambda _: None)]))
