"""Templates -> answers: everything escaped, one style of our own, no script, and nothing that a browser may keep."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import Response

from onpurpose.server.pages.foreign import finalized

_STYLE = files("onpurpose.server.pages").joinpath("templates/page.css").read_text("utf-8")
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Robots-Tag": "noindex, nofollow",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""What a browser may do with a page: show it, and send its forms back."""

_TEMPLATES = Environment(
    loader=PackageLoader("onpurpose.server.pages", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=finalized,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.globals["style"] = Markup(_STYLE)  # noqa: S704  it is our own file


def page(template: str, status: int = 200, *, retry_after: int = 0, **values: object) -> Response:
    """The page that a template makes of the values."""
    headers = HEADERS | ({"Retry-After": str(retry_after)} if retry_after else {})
    return Response(_TEMPLATES.get_template(template).render(values), status, headers, "text/html")


def message(title: str, *texts: str, status: int = 200, way: tuple[str, str] | None = None) -> Response:
    """A page that says one thing: a heading, sentences, and where to go from here (a URL and its name)."""
    return page("message.html", status, title=title, texts=[text for text in texts if text], way=way)
