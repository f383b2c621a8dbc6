"""The workspace of a running service, as its HTTP API tells it: read, write and remove documents."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from msgspec import Struct

from onpurpose.app.drafts import SINGLE
from onpurpose.app.shelf import is_name
from onpurpose.cli.output import Unusable, fail
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import Kind

if TYPE_CHECKING:
    from onpurpose.adapters.http_client import HttpResources

SECONDS = 30.0
"""How long an answer is waited for."""

_CONNECT_SECONDS = 5.0
_PAGE = 500
_LONGEST_REST_SECONDS = 60
_RESTS = 5
_PATHS = {
    Kind.PURPOSE: "v1/purposes",
    Kind.PURPOSE_POLICY: "v1/purpose-policies",
    Kind.POLICY: "v1/policies",
    Kind.INDEX: "v1/index",
    Kind.SETTINGS: "v1/settings",
}
_NO_KEY = "give the key by `--key` or, seen by nobody else, in `ONPURPOSE_KEY`"

Told: TypeAlias = dict[str, Any]
Query: TypeAlias = dict[str, str | int]


class Found(Struct, frozen=True, kw_only=True):
    """A document of the service: the text of its newest revision, and the version that a change is made against."""

    text: str
    version: int


class Saved(Struct, frozen=True, kw_only=True):
    """What a change came to: the number of the revision, and whether it is `live`, `in shadow`, or neither."""

    revision: int
    standing: str | None


class RefusedError(OnPurposeError):
    """The service takes this one change not: it conflicts with another (`conflict`), or something is wrong with it."""

    def __init__(self, message: str, *, cure: str, conflict: bool) -> None:
        self.cure = cure
        self.conflict = conflict
        super().__init__(message)


class Remote:
    """The workspace that a key belongs to. What stops every further request ends the verb, in one line with a cure."""

    def __init__(self, url: str | None, key: str | None) -> None:
        from onpurpose.adapters.http_client import HttpResources  # noqa: PLC0415  an extra, and slow to import

        if not url:
            fail("there is no service named", "give its URL by `--url` or in `ONPURPOSE_URL`")
        if not key:
            fail("there is no key for the service", _NO_KEY)
        self.url = url.rstrip("/")
        try:
            self._line: HttpResources = HttpResources(
                self.url, key, seconds=SECONDS, connect_seconds=_CONNECT_SECONDS, connections=1
            )
        except ValueError as error:
            fail(str(error), "give its URL by `--url` and a key by `--key`")

    def close(self) -> None:
        """Let go of the service."""
        self._line.close()

    def documents(self) -> dict[tuple[Kind, str], Found]:
        """Every document that is there."""
        found = {}
        for kind in _PATHS:
            for name in (SINGLE[kind],) if kind in SINGLE else self._names(kind):
                document = self._newest(kind, name)
                if document is not None:
                    found[kind, name] = document
        return found

    def digests(self, kind: Kind, name: str) -> Iterator[str]:
        """The SHA-256 (hex) of every text that the document ever had, newest first."""
        query: Query = {"limit": _PAGE}
        while True:
            status, told = self._ask("GET", f"{_path(kind, name)}/revisions", query=query)
            if status == 404:
                return
            yield from (_field(one, "digest", str) for one in _field(told, "items", list))
            if told.get("next") is None:
                return
            query["before"] = _field(told, "next", int)

    def save(self, kind: Kind, name: str, text: str, *, reason: str, version: int) -> Saved:
        """Write a new revision. Raises `RefusedError` where the service does not take it."""
        draft = {"text": text, "reason": reason, "expected_version": version}
        status, told = self._ask("PUT", _path(kind, name), body=json.dumps(draft).encode())
        if status != 200:
            raise _refused(status, told)
        newest = _field(told, "newest", int)
        standing = "live" if told.get("live") == newest else "in shadow" if told.get("shadow") == newest else None
        return Saved(revision=newest, standing=standing)

    def remove(self, kind: Kind, name: str, *, reason: str, version: int) -> Saved:
        """Take the document out of force. Raises `RefusedError` where the service does not."""
        query: Query = {"reason": reason, "expected_version": version}
        status, told = self._ask("DELETE", _path(kind, name), query=query)
        if status != 200:
            raise _refused(status, told)
        return Saved(revision=_field(told, "number", int), standing=None)

    def _names(self, kind: Kind) -> Iterator[str]:
        after = ""
        query: Query = {"limit": _PAGE}
        while True:
            status, told = self._ask("GET", _PATHS[kind], query=query)
            if status == 404:
                self._fail_strange()
            for item in _field(told, "items", list):
                name = _field(item, "name", str)
                if not is_name(name) or name <= after:  # a name becomes a file's, and each page goes on
                    self._fail_strange()
                after = name
                yield name
            if told.get("next") is None:
                return
            query["after"] = after

    def _newest(self, kind: Kind, name: str) -> Found | None:
        status, told = self._ask("GET", _path(kind, name))
        if status == 404:  # removed since it was listed, or the one of its kind that nobody wrote
            return None
        text = _field(_field(told, "revision", dict), "text", str)
        if not text.strip():
            self._fail_strange()
        return Found(text=text, version=_field(told, "version", int))

    def _ask(
        self, method: str, path: str, *, query: Query | None = None, body: bytes | None = None
    ) -> tuple[int, Told]:
        """The answer: of status 200, 404, 409 or 422. Any other ends the verb."""
        for _ in range(_RESTS):
            try:
                status, headers, answer = self._line.request(method, path, query=query, body=body)
            except OSError as error:
                self._fail_unreachable(error)
            if status != 429:
                break
            time.sleep(_rest(headers.get("retry-after", "")))
        told = _parsed(answer)
        if told is None or (status != 200 and not isinstance(told.get("detail"), str)):
            self._fail_strange()
        if status not in (200, 404, 409, 422):
            self._fail(status, told["detail"])
        return status, told

    def _fail(self, status: int, detail: str) -> NoReturn:
        if status == 401:
            fail(f"the service `{self.url}` does not take the key: {detail}", _NO_KEY)
        if status == 403:
            fail(f"the key may not do this: {detail}", "ask with a key that has the scope; an admin makes one")
        fail(f"the service `{self.url}` answers {status}: {detail}", "try again; its own log may tell more")

    def _fail_unreachable(self, error: OSError) -> NoReturn:
        why = error.strerror or str(error) or type(error).__name__
        fail(f"the service `{self.url}` cannot be reached: {why}", "is it running, and is this its URL?")

    def _fail_strange(self) -> NoReturn:
        fail(f"`{self.url}` does not answer as a service of onpurpose does", "is this its URL?")


def _path(kind: Kind, name: str) -> str:
    return _PATHS[kind] if kind in SINGLE else f"{_PATHS[kind]}/{name}"


def _rest(stated: str) -> int:
    """How long a service that is asked too often wants to be left alone, in seconds."""
    return min(int(stated), _LONGEST_REST_SECONDS) if stated.isascii() and stated.isdigit() else 1


def _parsed(answer: bytes) -> Told | None:
    try:
        told = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return told if isinstance(told, dict) else None


def _field(told: Any, name: str, kind: type[Any]) -> Any:
    value = told.get(name) if isinstance(told, dict) else None
    if type(value) is not kind:
        raise Unusable(f"the service's answer has no `{name}`", "is it of another version than this command?")
    return value


def _refused(status: int, told: Told) -> RefusedError:
    """What the service says of the change: each fault of the request or problem of the text, or else the detail."""
    entries = [one for name in ("problems", "errors") for one in told.get(name) or () if isinstance(one, dict)]
    said = [str(one.get("message") or one.get("detail")) for one in entries]
    cures = [str(one["help"]) for one in entries if one.get("help")]
    return RefusedError("; ".join(said) or told["detail"], cure="; ".join(cures), conflict=status in (404, 409))
