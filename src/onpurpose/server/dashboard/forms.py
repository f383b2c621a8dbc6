"""What a form of the dashboard sends: read within bounds, and only where it comes from one of our own pages."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request

from onpurpose.server.body import Gone, read_body
from onpurpose.server.problems import ProblemError

FORM_BYTES = 1 << 20
"""How long a form may be, as it is sent."""

FORM_SECONDS = 30.0
"""How long it may take to arrive."""

MOST_FIELDS = 2000
MEDIA = "application/x-www-form-urlencoded"

CSRF = "_csrf"
"""The field that proves that a form was made for who sends it."""


class Form:
    r"""The fields of a form in their order, line ends as `\n`; a name may come several times."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._pairs = pairs

    def __repr__(self) -> str:
        return f"Form({len(self._pairs)} fields)"

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)

    def __contains__(self, name: str) -> bool:
        return any(given == name for given, _ in self._pairs)

    def get(self, name: str, default: str = "") -> str:
        """The first value of that name."""
        return next((value for given, value in self._pairs if given == name), default)

    def all(self, name: str) -> list[str]:
        """Every value of that name."""
        return [value for given, value in self._pairs if given == name]


async def read_form(request: Request, limit: int = FORM_BYTES) -> Form:
    """The request's form; an empty one where it carries another kind of body, which is then left to be read.

    Raises problems where it is too large, too slow, or cannot be read.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA:
        return Form([])
    try:
        body = await read_body(request.receive, dict(request.scope["headers"]), limit, FORM_SECONDS)
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
    except (Gone, ValueError):
        raise ProblemError(400, "not_a_form", "the form could not be read") from None
    return Form([(name, value.replace("\r\n", "\n").replace("\r", "\n")) for name, value in pairs])


def is_from_our_page(request: Request, public_url: str) -> bool:
    """Whether the browser says that one of our own pages sent this. What says nothing of that is refused.

    `Origin: null`, which pages without a referrer send, counts where `Sec-Fetch-Site` tells the same. Both are
    set by browsers alone: no page can write them.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None or origin == "null":
        return site is not None
    return origin in _origins(request, public_url)


def _origins(request: Request, public_url: str) -> set[str]:
    """Where we are: as the browser that asks knows us, and as links do."""
    host = request.headers.get("host", "")
    known = {f"http://{host}", f"https://{host}"} if host else set()
    parts = urlsplit(public_url)
    return known | ({f"{parts.scheme}://{parts.netloc}"} if parts.netloc else set())
