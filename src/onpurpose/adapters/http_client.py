"""The line to a decision service: HTTP by httpx2, connections kept, time and size bounded, no redirect followed."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, NoReturn
from urllib.parse import quote

from onpurpose.core.errors import OnPurposeError

try:
    import httpx2
except ImportError as missing:  # pragma: no cover  the tests have it
    raise OnPurposeError("asking a service needs httpx2\nhelp: pip install 'onpurpose[client]'") from missing

PATH = "v1/evaluate"

MAX_ANSWER = 1 << 20
"""How long the answer to a question may be, in bytes."""

MAX_DOCUMENT = 8 << 20
"""How long any other answer may be, in bytes: a document of the largest size, every character of it escaped."""

_BROKEN = (httpx2.NetworkError, httpx2.RemoteProtocolError)
"""What happens to a connection, whatever became of the question that was sent over it."""


class _Line:
    """What both lines have in common: where the service is, and how long it is waited for."""

    def __init__(  # noqa: PLR0913  these are its settings
        self,
        url: str,
        key: str,
        *,
        seconds: float,
        connect_seconds: float,
        connections: int,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
    ) -> None:
        self._url = _service(url)
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise ValueError("the key is no key of a service: printable ASCII without spaces")
        self._seconds = seconds
        self._options: dict[str, Any] = {
            "headers": {
                "authorization": f"Bearer {key}",
                "content-type": "application/json",
                "accept": "application/json",
                "accept-encoding": "identity",  # a packed answer could be of any size
                "user-agent": "onpurpose",
            },
            "timeout": httpx2.Timeout(seconds, connect=min(connect_seconds, seconds)),
            "limits": httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            "follow_redirects": False,  # the key is for this service alone
            "trust_env": False,
            "verify": _trusted(self._url) if tls is None else tls,
            "proxy": proxy,
        }

    @property
    def _waiting_options(self) -> dict[str, Any]:
        """Connections of their own for those who wait for people: questions are not kept back by them."""
        return self._options | {"limits": httpx2.Limits(max_connections=None, max_keepalive_connections=8)}

    def _approval(self, approval_id: str, seconds: float) -> httpx2.URL:
        path = f"{self._url.path.removesuffix(PATH)}v1/approvals/{quote(approval_id, safe='')}"
        return self._url.copy_with(path=path, params={"wait": f"{seconds:.3f}"})

    def _held(self, seconds: float) -> httpx2.Timeout:
        return httpx2.Timeout(seconds + self._seconds, connect=self._options["timeout"].connect)

    def __repr__(self) -> str:  # no key in a traceback
        return f"{type(self).__name__}({str(self._url)!r})"


class HttpLine(_Line):
    """Asks over pooled connections, one question a thread. Thread-safe."""

    def __init__(self, url: str, key: str, **settings: Any) -> None:
        super().__init__(url, key, **settings)
        self._open()
        reference = weakref.ref(self)  # a connection shared with a forked child would mix up answers
        os.register_at_fork(after_in_child=lambda: line._open() if (line := reference()) else None)

    def _open(self) -> None:
        self._client = httpx2.Client(**self._options)
        self._waiting = httpx2.Client(**self._waiting_options)

    def post(self, body: bytes, key: str | None) -> tuple[int, bytes]:
        """The status and body of the answer. Raises `OSError` where there is none, `TimeoutError` where it was late.

        Asked again, once, where the connection broke and `key` (an `Idempotency-Key`) makes that safe.
        """
        until = time.monotonic() + self._seconds
        try:
            return self._post(body, key, until)
        except _BROKEN as error:
            if key is None:
                _raise(error)
        except Exception as error:
            _raise(error)
        try:
            return self._post(body, key, until)
        except Exception as error:
            _raise(error)

    def approval(self, approval_id: str, seconds: float) -> tuple[int, bytes]:
        """How an approval stands, once it is decided or after so many seconds. Raises as `post`; never asked again."""
        until = time.monotonic() + seconds + self._seconds
        try:
            with self._waiting.stream(
                "GET", self._approval(approval_id, seconds), timeout=self._held(seconds)
            ) as answer:
                return answer.status_code, _joined(answer.iter_raw(), until)
        except Exception as error:
            _raise(error)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()
        self._waiting.close()

    def _post(self, body: bytes, key: str | None, until: float) -> tuple[int, bytes]:
        with self._client.stream("POST", self._url, content=body, headers=_named(key)) as answer:
            return answer.status_code, _joined(answer.iter_raw(), until)


class HttpResources(_Line):
    """Asks for whatever else a service has, one request after another."""

    def __init__(self, url: str, key: str, **settings: Any) -> None:
        super().__init__(url, key, **settings)
        self._root = self._url.path.removesuffix(PATH)
        self._client = httpx2.Client(**self._options)

    def request(
        self, method: str, path: str, *, query: Mapping[str, str | int] | None = None, body: bytes | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers (by their names in lower case) and body of the answer; `path` as in `v1/policies/shell`.

        Sent once. Raises `OSError` where there is no answer, `TimeoutError` where it was late.
        """
        until = time.monotonic() + self._seconds
        url = self._url.copy_with(path=self._root + path, params=query)
        try:
            with self._client.stream(method, url, content=body) as answer:
                headers = {name.lower(): value for name, value in answer.headers.items()}
                return answer.status_code, headers, _joined(answer.iter_raw(), until, MAX_DOCUMENT)
        except Exception as error:
            _raise(error)

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


class AsyncHttpLine(_Line):
    """Asks over pooled connections from the coroutines of one event loop at a time."""

    def __init__(self, url: str, key: str, **settings: Any) -> None:
        super().__init__(url, key, **settings)
        self._clients: tuple[httpx2.AsyncClient, httpx2.AsyncClient] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def post(self, body: bytes, key: str | None) -> tuple[int, bytes]:
        """As `HttpLine.post`."""
        client, _ = self._opened()
        try:
            async with asyncio.timeout(self._seconds):
                try:
                    return await _post(client, self._url, body, key)
                except _BROKEN:
                    if key is None:
                        raise
                return await _post(client, self._url, body, key)
        except Exception as error:
            _raise(error)

    async def approval(self, approval_id: str, seconds: float) -> tuple[int, bytes]:
        """As `HttpLine.approval`."""
        _, waiting = self._opened()
        try:
            async with asyncio.timeout(seconds + self._seconds):
                url, held = self._approval(approval_id, seconds), self._held(seconds)
                async with waiting.stream("GET", url, timeout=held) as answer:
                    return answer.status_code, await _joined_async(answer.aiter_raw())
        except Exception as error:
            _raise(error)

    async def close(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, None
        for client in clients or ():
            await client.aclose()

    def _opened(self) -> tuple[httpx2.AsyncClient, httpx2.AsyncClient]:
        """Who asks, and who waits."""
        loop = asyncio.get_running_loop()
        if self._clients is None or self._loop is not loop:  # connections belong to the loop that made them
            self._clients = httpx2.AsyncClient(**self._options), httpx2.AsyncClient(**self._waiting_options)
            self._loop = loop
        return self._clients


async def _post(client: httpx2.AsyncClient, url: httpx2.URL, body: bytes, key: str | None) -> tuple[int, bytes]:
    async with client.stream("POST", url, content=body, headers=_named(key)) as answer:
        return answer.status_code, await _joined_async(answer.aiter_raw())


def _named(key: str | None) -> dict[str, str]:
    return {} if key is None else {"idempotency-key": key}


def _joined(chunks: Iterator[bytes], until: float, most: int = MAX_ANSWER) -> bytes:
    parts, size = [], 0
    for chunk in chunks:
        size = _sized(size + len(chunk), most)
        if time.monotonic() > until:  # a little now and a little then is not in time either
            raise TimeoutError("the answer took too long")
        parts.append(chunk)
    return b"".join(parts)


async def _joined_async(chunks: AsyncIterator[bytes]) -> bytes:
    parts, size = [], 0
    async for chunk in chunks:
        size = _sized(size + len(chunk))
        parts.append(chunk)
    return b"".join(parts)


def _sized(size: int, most: int = MAX_ANSWER) -> int:
    if size > most:
        raise ConnectionError(f"the answer is longer than {most:,} bytes")
    return size


def _raise(error: Exception) -> NoReturn:
    """The error as callers know it; of the library's own only their words go on."""
    if isinstance(error, httpx2.TimeoutException):
        raise TimeoutError("no answer in time") from error
    if isinstance(error, OSError):
        raise error
    if isinstance(error, httpx2.HTTPError):
        raise ConnectionError(str(error) or type(error).__name__) from error
    raise ConnectionError(f"the connection could not be used: {type(error).__name__}") from error


def _trusted(url: httpx2.URL) -> ssl.SSLContext:
    """Whom to trust: the public authorities; nobody where no TLS is spoken, which spares reading their list."""
    return (
        httpx2.create_ssl_context(trust_env=False) if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )


def _service(url: str) -> httpx2.URL:
    """Where the service is asked. Raises `ValueError` for what is no plain URL of one."""
    try:
        parsed = httpx2.URL(url)
    except (httpx2.InvalidURL, TypeError) as error:
        raise ValueError(f"{url!r} is no URL of a service: {error}") from error
    if parsed.scheme not in ("https", "http") or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise ValueError(f"a service has a URL such as `https://gate.example`, not {_shown(parsed)!r}")
    return parsed.copy_with(path=f"{parsed.path.rstrip('/')}/{PATH}")


def _shown(url: httpx2.URL) -> str:
    return str(url.copy_with(userinfo=b"", query=None, fragment=None))
