"""What the service answers when it does not do what was asked: problem documents of RFC 9457, and no internals.

`type` names the kind of problem and never changes its meaning, `title` is the same in words, `detail`
tells of this one; `errors` has one entry for each fault of the request, its place as a JSON pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import orjson
from msgspec import Struct
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from onpurpose.core.errors import OnPurposeError
from onpurpose.core.record import LedgerError
from onpurpose.core.revision import ConflictError, MissingError, StoreError

MEDIA_TYPE = "application/problem+json"
URN = "urn:onpurpose:problem:"
MOST_FAULTS = 50
"""How many faults of one request are told."""


class Fault(Struct, frozen=True, gc=False):
    """One thing wrong with a request: where (a JSON pointer into the body, `?name` in the query) and what."""

    pointer: str
    detail: str


class ProblemError(OnPurposeError):
    """A request that is refused. `name` is the kind of problem in one stable word."""

    def __init__(
        self,
        status: int,
        name: str,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.name = name
        self.detail = detail
        self.errors = tuple(errors[:MOST_FAULTS])
        self.headers = dict(headers or {})
        super().__init__(f"{status} {name}: {detail}")

    def body(self) -> bytes:
        """The problem document, as JSON."""
        document: dict[str, object] = {
            "type": URN + self.name,
            "title": self.name.replace("_", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            document["errors"] = [{"pointer": fault.pointer, "detail": fault.detail} for fault in self.errors]
        return orjson.dumps(document, default=str)

    def response(self) -> Response:
        """The same for a Starlette route."""
        return Response(self.body(), self.status, self.headers, MEDIA_TYPE)


def unauthenticated(detail: str) -> ProblemError:
    """401: no key, or none that counts."""
    return ProblemError(401, "unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="onpurpose"'})


def forbidden(detail: str) -> ProblemError:
    """403: a good key, without the scope."""
    return ProblemError(403, "forbidden", detail)


def not_found(detail: str = "there is nothing here, or nothing that this key may see") -> ProblemError:
    """404."""
    return ProblemError(404, "not_found", detail)


def method_not_allowed(allow: str) -> ProblemError:
    """405, naming the methods there are."""
    return ProblemError(405, "method_not_allowed", f"only {allow} is answered here", headers={"Allow": allow})


def too_slow(seconds: float) -> ProblemError:
    """408: the body did not come in time."""
    detail = f"the body was not complete after {seconds:g} s"
    return ProblemError(408, "too_slow", detail, headers={"Connection": "close"})


def conflict(detail: str) -> ProblemError:
    """409: somebody else was faster."""
    return ProblemError(409, "conflict", detail)


def too_large(limit: int) -> ProblemError:
    """413: a body above the limit, in bytes."""
    return ProblemError(413, "too_large", f"a body is {limit} bytes at most", headers={"Connection": "close"})


def not_json(detail: str) -> ProblemError:
    """400: a body that is not JSON."""
    return ProblemError(400, "not_json", detail)


def invalid(errors: Sequence[Fault]) -> ProblemError:
    """422: JSON of a wrong form, every fault with its place."""
    count = f"{len(errors)} faults" if len(errors) != 1 else "a fault"
    return ProblemError(422, "invalid", f"the request has {count}, see `errors`; nothing was done", errors=errors)


def rate_limited(seconds: int) -> ProblemError:
    """429, with the whole seconds after which to come again."""
    detail = f"this key asks too often; the next request is answered in {seconds} s"
    return ProblemError(429, "rate_limited", detail, headers={"Retry-After": str(seconds)})


def internal() -> ProblemError:
    """500: an error of ours, told in the service's own log alone."""
    return ProblemError(500, "internal_error", "an error inside the service; its log tells which")


def unavailable(detail: str, *, name: str = "unavailable", retry_after: int = 1) -> ProblemError:
    """503: not now. Nothing is known to have been done."""
    return ProblemError(503, name, detail, headers={"Retry-After": str(retry_after)})


def from_validation(error: ValidationError, *, query: bool = False) -> ProblemError:
    """422 for a body (or query) that its pydantic model refused."""
    faults = []
    for one in error.errors(include_url=False, include_context=False, include_input=False):
        place = [_escaped(part) for part in one["loc"]]
        faults.append(Fault(f"?{'.'.join(place)}" if query else "".join(f"/{part}" for part in place), one["msg"]))
    return invalid(faults)


def _escaped(part: object) -> str:
    return str(part)[:128].replace("~", "~0").replace("/", "~1")


def pointer(*parts: object) -> str:
    """The JSON pointer to that place; of names that a client chose, as much as one can read."""
    return "".join(f"/{_escaped(part)}" for part in parts)


def _from_http(error: HTTPException) -> ProblemError:
    if error.status_code == 404:
        return not_found()
    headers = dict(error.headers or {})
    if error.status_code == 405:
        return method_not_allowed(headers.get("Allow", ""))
    try:
        name = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    except ValueError:
        name = "refused"
    return ProblemError(error.status_code, name, str(error.detail), headers=headers)


def problem_of(error: Exception) -> ProblemError:
    """The problem that an exception is for a client; what is not known here is an internal error."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, HTTPException):
        return _from_http(error)
    if isinstance(error, ValidationError):
        return from_validation(error)
    if isinstance(error, ConflictError):
        return conflict(str(error))
    if isinstance(error, MissingError):
        return not_found(str(error))
    if isinstance(error, StoreError | LedgerError):
        return unavailable("the store cannot be reached now; nothing is known to have been changed")
    return internal()


async def _respond(request: Request, error: Exception) -> Response:
    return problem_of(error).response()


_KNOWN = (ProblemError, HTTPException, ValidationError, ConflictError, MissingError, StoreError, LedgerError, Exception)
ANSWERS = cast("Mapping[Any, Callable[[Request, Exception], Any]]", dict.fromkeys(_KNOWN, _respond))
"""For Starlette's `exception_handlers`: every exception as its problem."""
