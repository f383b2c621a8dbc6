"""`/v1/webhooks/secret`: an admin is told that of their own workspace, and nobody else any."""

from __future__ import annotations

import pytest

from tests.server.api.house import House, problem


def test_an_admin_is_told_the_secret_of_their_own_workspace(house: House) -> None:
    tenant = house.tenant()
    assert tenant.get("/v1/webhooks/secret", "admin") == {"secret": f"whsec_of {tenant.workspace}"}


@pytest.mark.parametrize("who", ["reader", "writer", "promoter", "evaluator", "watcher"])
def test_no_other_key_is_told_it(house: House, who: str) -> None:
    refused = problem(house.tenant().ask(who, "GET", "/v1/webhooks/secret"), 403)
    assert "whsec" not in str(refused)
