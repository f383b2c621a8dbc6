"""Who may see a page: nobody unseen, nobody whose role does not reach, and no form that another page sent."""

from __future__ import annotations

import inspect
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, Final, Protocol, cast
from urllib.parse import quote, urlencode, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from onpurpose.app.first_person import FirstPerson
from onpurpose.app.own_proofs import OwnProofs
from onpurpose.app.sessions import SignedIn, form_token, is_form_token
from onpurpose.app.sign_in import KNOWN_SECONDS, SignIn
from onpurpose.app.single_sign_on import Linking, SingleSignOn
from onpurpose.core.access import Scope, User
from onpurpose.core.session import ABSOLUTE_SECONDS, Principal
from onpurpose.ports import Clock
from onpurpose.server.dashboard.forms import CSRF, FORM_BYTES, Form, is_from_our_page, read_form

SIGN_IN = "/sign-in"
"""Where one signs in."""

COOKIE = "onpurpose"
"""The name of the cookie; with TLS, `__Host-` stands before it."""

VISIT = "onpurpose-visit"
"""The cookie of somebody who is not signed in: what the sign-in form is made for."""

KNOWN = "onpurpose-known"
"""The cookie of a browser in which somebody signed in before: others' wrong attempts do not keep them out there."""

CSRF_HEADER = "x-csrf-token"

PROOFS = frozenset({"password", "again", "current", "code", "ticket", "key"})
"""The fields of forms that hold what somebody proves with that it is they."""

REFUSAL_SECONDS = 0.4
"""So long it takes at least until somebody is told that they were wrong: nobody measures what was found of them."""

_PRINCIPAL: Final = "onpurpose.principal"
_FORM: Final = "onpurpose.form"
_SCOPE: Final = "onpurpose_scope"
_TLS: Final = "onpurpose.tls"
_VISITOR: Final = "onpurpose.visitor"
_MOST_PATH = 2000


class Renders(Protocol):
    """What makes a page of a template."""

    def render(self, request: Request, template: str, principal: Principal | None, **context: Any) -> Response:
        """The page, as whoever asks may see it."""
        ...


class Guarded(Protocol):
    """The parts that a page must have to be guarded."""

    @property
    def shell(self) -> Renders: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def sessions(self) -> Sessions: ...


Plain = Callable[[Request, Principal], Response]
Awaited = Callable[[Request, Principal], Awaitable[Response]]
Handler = Plain | Awaited
Endpoint = Callable[[Request], Awaitable[Response]]


class Sessions:
    """Who comes in, and how. `public_url` is where people reach the service, as links say it.

    `sign_in` judges passwords, `own` lets people set them; `first` makes the first person of a new service;
    `linking` knows who people are to other services, `elsewhere` signs in by one, where there is one.
    `refusal_seconds` is how long a refusal takes.
    """

    def __init__(  # noqa: PLR0913  these are its parts
        self,
        signed_in: SignedIn,
        *,
        sign_in: SignIn,
        own: OwnProofs,
        first: FirstPerson,
        linking: Linking,
        elsewhere: SingleSignOn | None = None,
        public_url: str = "",
        refusal_seconds: float = REFUSAL_SECONDS,
    ) -> None:
        self.signed_in = signed_in
        self.sign_in = sign_in
        self.own = own
        self.first = first
        self.linking = linking
        self.elsewhere = elsewhere
        self.public_url = public_url
        self.refusal_seconds = refusal_seconds

    def look_at(self, request: Request) -> None:
        """Note, before its cookies are read, whether people reach the service by TLS, even where a proxy ends it."""
        request.scope[_TLS] = request.url.scheme == "https" or self.public_url.startswith("https://")

    def token(self, request: Request) -> str | None:
        """The text of the request's session cookie."""
        self.look_at(request)
        return request.cookies.get(cookie_name(request, COOKIE))

    async def principal(self, request: Request) -> Principal | None:
        """Who is signed in, if anybody is."""
        return await run_in_threadpool(self.signed_in.principal, self.token(request))

    def known(self, request: Request) -> str:
        """What the browser keeps of whoever signed in there before; empty where nobody did."""
        self.look_at(request)
        return request.cookies.get(cookie_name(request, KNOWN), "")

    def admit(self, request: Request, response: Response, user: User, token: str) -> None:
        """Have the browser keep the token of the user's new session, and that it is theirs; that of the visit goes."""
        set_cookie(request, response, COOKIE, token, ABSOLUTE_SECONDS)
        self.know(request, response, user)
        drop_cookie(request, response, VISIT)

    def know(self, request: Request, response: Response, user: User) -> None:
        """Have the browser keep that it is the user's, who has just proved it: nobody else's failures count there."""
        set_cookie(request, response, KNOWN, self.sign_in.known_by(user), KNOWN_SECONDS)

    def dismiss(self, request: Request, response: Response) -> None:
        """Have the browser forget its session."""
        drop_cookie(request, response, COOKIE)

    def root(self, request: Request) -> str:
        """Where people reach the service: what somebody said, else what this request came to; no `/` at its end."""
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{request.url.scheme}://{request.url.netloc}"

    def is_ours(self, request: Request) -> bool:
        """Whether one of our own pages sent the request."""
        self.look_at(request)
        return is_from_our_page(request, self.public_url)


def principal_of(request: Request) -> Principal:
    """Who is signed in, on a page that `page` guards."""
    found: Principal = request.scope[_PRINCIPAL]
    return found


def form_of(request: Request) -> Form:
    """The form that was sent to a page that `page` guards, checked to come from one of our own."""
    found: Form = request.scope[_FORM]
    return found


def page(parts: Guarded, scope: Scope, *, form_bytes: int = FORM_BYTES) -> Callable[[Handler], Endpoint]:
    """A decorator for what answers a page, `(request, principal) -> response`, plain or a coroutine.

    Plain functions run in worker threads. It is called for people with the scope alone: the others are sent to
    sign in, or answered 403. What is no `GET` must come from one of our pages, with the token of the session in
    the field `_csrf` or the header `X-CSRF-Token`; its fields are then `form_of(request)`. A form that was sent
    too late, when its session had ended, comes back after signing in, to be sent again.
    """

    def guard(handler: Handler) -> Endpoint:
        @wraps(handler)
        async def answer(request: Request) -> Response:
            if request.method in {"GET", "HEAD"}:
                refusal, principal = await _look(parts, scope, request)
            else:
                refusal, principal = await _act(parts, scope, request, form_bytes)
            if principal is None or refusal is not None:
                return refusal or _forbidden(parts, request, None, "Nobody is signed in.")
            if inspect.iscoroutinefunction(handler):
                response = await cast(Awaited, handler)(request, principal)
            else:
                response = await run_in_threadpool(cast(Plain, handler), request, principal)
            return response

        answer.__dict__[_SCOPE] = scope
        return answer

    return guard


def scope_of(endpoint: object) -> Scope | None:
    """Which scope a page needs that `page` guards; `None` of any other."""
    found: Scope | None = getattr(endpoint, _SCOPE, None)
    return found


async def _look(parts: Guarded, scope: Scope, request: Request) -> tuple[Response | None, Principal | None]:
    """Why the page is not shown, or to whom it is."""
    principal = await parts.sessions.principal(request)
    if principal is None:
        return _to_sign_in(request), None
    return _within(parts, scope, request, principal), principal


async def _act(
    parts: Guarded, scope: Scope, request: Request, form_bytes: int
) -> tuple[Response | None, Principal | None]:
    """Why nothing is done, or who does it."""
    sessions = parts.sessions
    if not sessions.is_ours(request):
        return _forbidden(parts, request, None, "This was not sent by a page of ours. Nothing was changed."), None
    form = request.scope[_FORM] = await read_form(request, form_bytes)
    token, principal = sessions.token(request), await sessions.principal(request)
    given = form.get(CSRF) or request.headers.get(CSRF_HEADER, "")
    belongs = token is not None and is_form_token(given, token)
    if principal is not None and belongs:
        return _within(parts, scope, request, principal), principal
    # Signed out, or in anew, beside an older page: nothing is done, but what was written is not lost either.
    return again(parts, request, form, principal), None


def _within(parts: Guarded, scope: Scope, request: Request, principal: Principal) -> Response | None:
    request.scope[_PRINCIPAL] = principal
    if principal.may(scope):
        return None
    return _forbidden(parts, request, principal, f"Your roles do not include what this needs: `{scope}`.")


def again(parts: Guarded, request: Request, form: Form, principal: Principal | None) -> Response:
    """A page that keeps what was written in a form that could not be taken: to sign in, or to send it again.

    What proves somebody is typed again: the page may be looked at by another.
    """
    kept = [(name, value) for name, value in form if not name.startswith("_") and name not in PROOFS]
    to = local_path(asked_path(request))
    if principal is None:
        response = sign_in_page(parts, request, to=to, kept=kept, status=401)
    else:
        response = parts.shell.render(request, "again.html", principal, to=to, kept=kept)
        response.status_code = 403
    if "hx-request" in request.headers:  # a part of a page is no place to sign in
        response.headers["HX-Retarget"] = "body"
        response.headers["HX-Reswap"] = "innerHTML"
    return response


def sign_in_page(  # noqa: PLR0913  what the page shows
    parts: Guarded,
    request: Request,
    *,
    to: str = "/",
    kept: list[tuple[str, str]] | None = None,
    status: int = 200,
    template: str = "sign_in.html",
    **context: Any,
) -> Response:
    """The sign-in page, its form made for this browser. `kept` are the fields of a form to `to`, to be sent then."""
    context = {"fault": "", "good": "", "given": {"workspace": "", "user": ""}, "ticket": ""} | context
    parts.sessions.look_at(request)
    elsewhere = parts.sessions.elsewhere is not None
    response = parts.shell.render(request, template, None, to=to, kept=kept or [], elsewhere=elsewhere, **context)
    response.status_code = status
    set_cookie(request, response, VISIT, _visit(request), None)
    return response


def csrf_token(request: Request, principal: Principal | None) -> str:
    """What the forms of a page carry, for whoever is signed in or for this browser: what `Shell` is given."""
    return form_token(_visit(request)) if principal is None else principal.csrf


def _visit(request: Request) -> str:
    """The token of this browser while nobody is signed in; a new one where it has none."""
    found: str = request.scope.setdefault(
        _VISITOR, request.cookies.get(cookie_name(request, VISIT)) or secrets.token_urlsafe(32)
    )
    return found


def is_visitors_form(request: Request, form: Form) -> bool:
    """Whether a form was made for this browser, in which nobody is signed in."""
    visit = request.cookies.get(cookie_name(request, VISIT))
    return visit is not None and is_form_token(form.get(CSRF), visit)


def local_path(text: str) -> str:
    r"""The text where it is a path of this service, else `/`: never a way to another host.

    `//host`, `/\host`, control characters and anything with a scheme are none.
    """
    bad = not text.startswith("/") or text[1:2] in {"/", "\\"} or len(text) > _MOST_PATH
    if bad or "\\" in text or not text.isascii() or not text.isprintable():
        return "/"
    parts = urlsplit(text)
    return "/" if parts.scheme or parts.netloc or parts.path.startswith((SIGN_IN, "/sign-out")) else text


def asked_path(request: Request) -> str:
    """Path and query of the request, as they were sent."""
    raw: bytes = request.scope.get("raw_path") or quote(request.scope["path"]).encode()
    query: bytes = request.scope["query_string"]
    return (raw.partition(b"?")[0] + (b"?" + query if query else b"")).decode("latin-1")


def _to_sign_in(request: Request) -> Response:
    where = f"{SIGN_IN}?{urlencode({'next': local_path(asked_path(request))})}"
    if "hx-request" in request.headers or "text/event-stream" in request.headers.get("accept", ""):
        return Response(status_code=401, headers={"HX-Redirect": SIGN_IN, "Cache-Control": "no-store"})
    return RedirectResponse(where, 303, {"Cache-Control": "no-store"})


def _forbidden(parts: Guarded, request: Request, principal: Principal | None, why: str) -> Response:
    response = parts.shell.render(
        request, "error.html", principal, title="Not allowed", text=why, way=("/", "To the overview")
    )
    response.status_code = 403
    return response


def cookie_name(request: Request, name: str) -> str:
    """What a cookie is called: plainly on a loopback address without TLS alone."""
    return name if _is_plain(request) else f"__Host-{name}"


def set_cookie(request: Request, response: Response, name: str, value: str, seconds: int | None) -> None:
    """Have the browser keep it, out of reach of scripts and of requests that other sites send."""
    response.set_cookie(
        cookie_name(request, name), value, max_age=seconds, path="/", secure=not _is_plain(request), httponly=True,
        samesite="lax",
    )  # fmt: skip


def drop_cookie(request: Request, response: Response, name: str) -> None:
    """Have the browser forget it."""
    response.delete_cookie(
        cookie_name(request, name), path="/", secure=not _is_plain(request), httponly=True, samesite="lax"
    )


def _is_plain(request: Request) -> bool:
    """Whether the browser speaks to this machine itself, and nothing says that people reach the service by TLS.

    Anywhere else the cookie is a secure one: where there is no TLS after all, the browser does not keep it.
    """
    if request.scope.get(_TLS, request.scope.get("scheme") == "https"):
        return False
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
