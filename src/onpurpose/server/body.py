"""Reading a request's body: so many bytes, so many seconds, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from starlette.types import Message, Receive

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
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                body: bytes = message["body"]
                if len(body) > limit:
                    raise too_large(limit)
                return body
            return await _rest(message, receive, limit)
    except TimeoutError:
        raise too_slow(seconds) from None


async def _rest(message: Message, receive: Receive, limit: int) -> bytes:
    parts, size = [], 0
    while True:
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()
