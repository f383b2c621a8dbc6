"""The routes of the pages where people decide."""

from __future__ import annotations

from starlette.routing import Route

from onpurpose.app.approvals import Desk
from onpurpose.app.links import Links
from onpurpose.ports import Clock
from onpurpose.server.identity import Authority
from onpurpose.server.pages.by_key import ByKey
from onpurpose.server.pages.by_link import ByLink
from onpurpose.server.pages.deciding import Deciding, People
from onpurpose.server.pages.guesses import Guesses


def page_routes(  # noqa: PLR0913  these are its parts
    desk: Desk,
    links: Links | None,
    authority: Authority,
    *,
    people: People,
    clock: Clock,
    public_url: str = "",
    guesses: Guesses | None = None,
) -> list[Route]:
    """`/approvals/{id}`, and, where there are links, `/approve/{token}`. Both need no key in a header.

    `public_url` is where people reach the service, as the links say it.
    """
    deciding = Deciding(desk, people, clock)
    by_key = ByKey(
        desk, authority, deciding, people=people, guesses=guesses or Guesses(), clock=clock, public_url=public_url
    )
    by_link = [] if links is None else ByLink(desk, links, deciding, clock=clock, public_url=public_url).routes()
    return [*by_key.routes(), *by_link]
