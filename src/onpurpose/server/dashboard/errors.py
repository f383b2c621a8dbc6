"""What went wrong, as a page: for people in browsers; programs get the problem documents that they always got."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from onpurpose.core.errors import OnPurposeError
from onpurpose.core.session import Principal
from onpurpose.server.dashboard.shell import HEADERS, Shell
from onpurpose.server.problems import problem_of

_SAID: Mapping[int, tuple[str, str]] = {
    400: ("That could not be read", "What was sent is not a form of ours. Go back and try again."),
    403: ("Not allowed", "Your roles do not include what this needs."),
    404: ("Nothing is here", "There is no such page, or nothing that you may see."),
    405: ("Not in this way", "This place is not asked in this way. Go back and follow a link or a button."),
    408: ("Too slow", "What was sent did not arrive in time. Nothing was changed."),
    409: (
        "Somebody else was faster",
        "It was changed meanwhile. Go back, load the page again, and look before you save.",
    ),
    413: ("Too large", "What was sent is larger than what is taken. Nothing was changed."),
    500: ("That is our fault", "This page could not be made. What happened is in the log of the service."),
    503: (
        "Not reachable now",
        "The store cannot be reached now. Nothing is known to have been changed. Try again soon.",
    ),
}

Respond = Callable[[Request, Exception], Awaitable[Response]]


class Known(Protocol):
    """Who asks for a page."""

    async def principal(self, request: Request) -> Principal | None:
        """Who is signed in, if anybody is. May raise `OnPurposeError`."""
        ...


def error_pages(shell: Shell, sessions: Known, answers: Mapping[Any, Respond]) -> dict[Any, Respond]:
    """For Starlette's `exception_handlers`: a page for whoever looks at pages, else what `answers` makes of it."""

    def with_page(answer: Respond) -> Respond:
        async def respond(request: Request, error: Exception) -> Response:
            if not wants_page(request):
                return await answer(request, error)
            return await _page(shell, sessions, request, error)

        return respond

    return {kind: with_page(answer) for kind, answer in answers.items()}


def wants_page(request: Request) -> bool:
    """Whether a person looks at the answer: HTML is asked for, outside of the resources for programs."""
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")


async def _page(shell: Shell, sessions: Known, request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    title, text = _SAID.get(problem.status, ("That did not work", problem.detail))
    headers = dict(problem.headers or {})
    headers.pop("Content-Type", None)
    if "hx-request" in request.headers:  # the page stays as it is, with what is written in it
        headers = {**HEADERS, **headers, "HX-Reswap": "none"}
        return PlainTextResponse(f"{title}. {text}", problem.status, headers)
    principal = await _who(sessions, request)
    return shell.render(
        request, "error.html", principal, status=problem.status, headers=headers, title=title, text=text,
        way=("/", "To the overview"),
    )  # fmt: skip


async def _who(sessions: Known, request: Request) -> Principal | None:
    try:
        return await sessions.principal(request)
    except OnPurposeError:  # the store itself may be what went wrong
        return None
