"""A private page that shows every macro in every state, and what the shell's script does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from jinja2 import FileSystemLoader
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from onpurpose.core.access import User
from onpurpose.core.outcome import Outcome
from onpurpose.core.session import Principal, Role, Session
from onpurpose.core.statistics import wilson
from onpurpose.server.dashboard.errors import error_pages
from onpurpose.server.dashboard.shell import Shell
from onpurpose.server.problems import ANSWERS
from tests.dashboard.shells import a_shell

NOW = 1_780_000_000_000_000
"""What time it is in the gallery, in microseconds UTC."""

ADA = Principal(
    person=User(id="ada", workspace="acme", name="Ada Lovelace", email="ada@acme.example", created_at=0,
                roles=frozenset({Role.ADMIN})),
    session=Session(hash=b"\0" * 32, workspace="acme", user="ada", created_at=0, seen_at=0, expires_at=NOW * 2),
    csrf="the-token-of-ada",
)  # fmt: skip

POLICY = """deny:
  - capability: shell.run
    contains: rm -rf

allow:
  - capability: open"""

DIFF = [
    "@@ deny",
    " deny:",
    "-  - capability: shell.run",
    "+  - capability: shell.exec",
    "+    contains: <script>",
    " ",
]


class StandingClock:
    """A clock that stands still."""

    def now(self) -> int:
        return NOW


class Ada:
    """Everybody is Ada."""

    async def principal(self, request: Request) -> Principal | None:
        return ADA


def csrf(request: Request, principal: Principal | None) -> str:
    """What the forms of the page carry."""
    return "" if principal is None else principal.csrf


def shell() -> Shell:
    """The shell, with the gallery's templates beside its own."""
    own = FileSystemLoader(Path(__file__).parent / "templates")
    return a_shell(StandingClock(), csrf=csrf, templates=own)


def gallery() -> Starlette:
    """`/_gallery`, and what its parts ask for. `/_tick` has every stream of `/_ticks` send a row."""
    one = shell()
    open_streams: set[asyncio.Queue[str]] = set()

    async def page(request: Request) -> HTMLResponse:
        return one.render(
            request, "gallery.html", ADA, outcomes=list(Outcome), policy=POLICY, diff=DIFF, rate=wilson(12, 283),
            unseen=wilson(0, 0), times=[NOW // 1_000_000 - (30 - i) * 3600 for i in range(30)],
        )  # fmt: skip

    async def echo(request: Request) -> Response:
        token = request.headers.get("x-csrf-token", "no token")
        return HTMLResponse(f'<p id="echo">{request.method} with {token}</p>')

    async def events() -> AsyncIterator[str]:
        words: asyncio.Queue[str] = asyncio.Queue()
        open_streams.add(words)
        try:
            while True:
                word = await words.get()
                yield f'data: <tr data-row><td><a href="#{word}">{word}</a></td><td></td></tr>\n\n'
        finally:
            open_streams.discard(words)

    async def ticks(_: Request) -> Response:
        return StreamingResponse(events(), media_type="text/event-stream")

    async def tick(request: Request) -> Response:
        for words in open_streams:
            words.put_nowait(request.query_params["word"])
        return Response(status_code=204)

    async def broken(_: Request) -> Response:
        raise RuntimeError("the secret of the store")

    return Starlette(
        routes=[
            Route("/_gallery", page),
            Route("/_echo", echo, methods=["GET", "POST"]),
            Route("/_ticks", ticks),
            Route("/_tick", tick),
            Route("/_broken", broken, methods=["GET", "POST"]),
            *one.assets.routes(),
        ],
        exception_handlers=error_pages(one, Ada(), ANSWERS),
    )
