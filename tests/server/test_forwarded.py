"""Whom a request comes from is told by a trusted proxy alone, and by no header of anybody else's."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from onpurpose.server.build import Settings
from tests.server.serving import Served, services, serving

HERE = "127.0.0.1"
SOMEBODY = "203.0.113.9"


async def _who(request: Request) -> JSONResponse:
    return JSONResponse({"client": request.client.host if request.client else "", "scheme": request.url.scheme})


def told(*proxies: str) -> Iterator[Served]:
    with serving(services(routes=[Route("/who", _who)], settings=Settings(trusted_proxies=proxies))) as served:
        yield served


@pytest.fixture(scope="module")
def behind() -> Iterator[Served]:
    """A service behind a proxy on this machine."""
    yield from told(HERE, "10.0.0.0/8")


@pytest.fixture(scope="module", params=[(), ("10.0.0.0/8", "::1")])
def in_front(request: pytest.FixtureRequest) -> Iterator[Served]:
    """A service that trusts no proxy, or others than the one that asks."""
    yield from told(*request.param)


def who(served: Served, *headers: tuple[str, str]) -> dict[str, str]:
    answered: dict[str, str] = httpx2.get(f"{served.url}/who", headers=list(headers), trust_env=False).json()
    return answered


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ([], HERE),
        ([SOMEBODY], SOMEBODY),
        ([f"198.51.100.1, {SOMEBODY}"], SOMEBODY),  # what stands before was written by whoever asks
        (["198.51.100.1", SOMEBODY], SOMEBODY),
        ([f"{SOMEBODY}, 10.1.2.3, {HERE}"], SOMEBODY),
        ([f"{SOMEBODY}:5555"], SOMEBODY),
        (["[2001:db8::1]:44"], "2001:db8::1"),
        (["10.1.2.3"], "10.1.2.3"),
        ([""], HERE),
        ([","], HERE),
        (["somebody"], HERE),
        (["203.0.113.9.example"], HERE),
        (["x" * 5000], HERE),
        (["<script>"], HERE),
    ],
)
def test_a_trusted_proxy_says_whom_it_speaks_for(behind: Served, forwarded: list[str], client: str) -> None:
    assert who(behind, *[("X-Forwarded-For", one) for one in forwarded])["client"] == client


@pytest.mark.parametrize(("given", "scheme"), [("https", "https"), ("http", "http"), ("gopher", "http"), ("", "http")])
def test_a_trusted_proxy_says_whether_it_was_asked_by_tls(behind: Served, given: str, scheme: str) -> None:
    assert who(behind, ("X-Forwarded-Proto", given))["scheme"] == scheme


def test_nobody_else_is_believed(in_front: Served) -> None:
    headers = ("X-Forwarded-For", SOMEBODY), ("X-Forwarded-Proto", "https"), ("Forwarded", f"for={SOMEBODY}")
    assert who(in_front, *headers) == {"client": HERE, "scheme": "http"}


def test_an_evaluate_is_answered_as_without_a_proxy(behind: Served) -> None:
    with behind.client() as client:
        asked = {"agent_id": "a", "capability": "open"}
        answered = client.post("/v1/evaluate", json=asked, headers={"X-Forwarded-For": SOMEBODY})
    assert answered.json()["outcome"] == "allow"
