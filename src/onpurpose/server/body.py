"""Reading a request's body: so many bytes, so many seconds, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Receive

from onpurpose.server.problems import too_large, too_slow


class Gone(Exception):  # noqa: N818  what the client is
    """The client closed the connection before its request was complete: nobody waits for an answer."""


def check_length(headers: Mapping[bytes, bytes], limit: int) -> None:
    """Raise the 413 problem for a body that is announced to be longer than the limit."""
    length = headers.get(b"content-length")
    if length is not None and (not length.isdigit() or len(length) > 18 or int(length) > limit):
        raise too_large(limit)


async def read_body(receive: Receive, headers: Mapping[bytes, bytes], limit: int, seconds: float) -> bytes:
    """The whole body. Raises the 413 problem above the limit, the 408 one after the time, `Gone` at hanging up."""
    check_length(headers, limit)
    if _is_complete(receive):
        message = await receive()
        body: bytes = message.get("body", b"")
        if message["type"] != "http.request":
            raise Gone
        if len(body) > limit:
            raise too_large(limit)
        return body
    try:
        async with asyncio.timeout(seconds):
            return await _collect(receive, limit)
    except TimeoutError:
        raise too_slow(seconds) from None


def _is_complete(receive: Receive) -> bool:
    """Whether the server already holds the whole body, as it does of most: then no clock is needed.

    uvicorn's `receive` is a method of the request, which knows; of another server it is not known.
    """
    return getattr(getattr(receive, "__self__", None), "more_body", True) is False


async def _collect(receive: Receive, limit: int) -> bytes:
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)
