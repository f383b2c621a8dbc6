"""What a form of our pages sends back: read within bounds, and only where it comes from one of our pages."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from msgspec import Struct
from starlette.requests import Request

from onpurpose.core.approval import MAX_TEXT
from onpurpose.server.body import Gone, read_body

BODY_BYTES = 32 * 1024
BODY_SECONDS = 10.0
MEDIA = "application/x-www-form-urlencoded"

_FIELDS = frozenset({"action", "key", "text", "preset", "reason", "to"})


class UnreadableError(ValueError):
    """A form that is none of ours."""


class Form(Struct, frozen=True, kw_only=True):
    """What somebody chose and wrote. `action` is `show`, `grant`, `deny` or `delegate`; texts are as typed."""

    action: str
    key: str = ""
    text: str = ""
    preset: str = ""
    reason: str = ""
    to: str = ""

    def __repr__(self) -> str:
        return f"Form({self.action!r})"

    @property
    def why(self) -> str:
        """The reason of a denial: the one chosen, what was written, or both."""
        return "\n".join(part for part in (self.preset.strip(), self.reason.strip()) if part)

    @property
    def fault(self) -> tuple[str, str]:
        """What must be mended before it can be done, as a field and a sentence; two empty texts where nothing."""
        if self.action == "deny" and not self.why:
            return "reason", "Choose or write a reason: the agent is told it."
        if len(self.why) > MAX_TEXT:
            return "reason", f"The reason has {len(self.why)} characters, and {MAX_TEXT} at most are kept."
        if len(self.text) > MAX_TEXT:
            return "text", f"The comment has {len(self.text)} characters, and {MAX_TEXT} at most are kept."
        if self.action == "delegate" and not self.to:
            return "to", "Choose who is to decide in your place."
        return "", ""


async def read_form(request: Request, actions: frozenset[str]) -> Form:
    """The form. Raises `UnreadableError`, and problems where it is too large or too slow."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA:
        raise UnreadableError("not a form")
    try:
        body = await read_body(request.receive, dict(request.scope["headers"]), BODY_BYTES, BODY_SECONDS)
    except Gone:
        raise UnreadableError("incomplete") from None
    fields = _fields(body)
    if fields.get("action", "") not in actions:
        raise UnreadableError("without an action")
    return Form(**{"action": "", **fields})


def _fields(body: bytes) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=16
        )
    except ValueError:
        raise UnreadableError("not a form") from None
    fields = {name: value.replace("\r\n", "\n") for name, value in pairs}
    if len(fields) != len(pairs) or not fields.keys() <= _FIELDS:
        raise UnreadableError("not one of our forms")
    return fields


def is_from_our_page(request: Request, public_url: str) -> bool:
    """Whether a browser says that the form was sent by a page of this service.

    Our pages send no referrer, and their forms therefore `Origin: null`; then `Sec-Fetch-Site` tells, which
    browsers leave out over plain HTTP alone. What a form needs besides, a link's token or a key, is known to
    no other page: this is the second lock.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return site is not None
    return origin == "null" or origin in _origins(request, public_url)


def _origins(request: Request, public_url: str) -> set[str]:
    """Where we are: as the browser that asks knows us, and as links do."""
    host = request.headers.get("host", "")
    parts = urlsplit(public_url)
    return {f"http://{host}", f"https://{host}", f"{parts.scheme}://{parts.netloc}"}
