"""The shell: what pages say is escaped and seen, who may go where, and what went wrong in the same look."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from jinja2 import DictLoader, UndefinedError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from onpurpose.core.access import Scope, User
from onpurpose.core.outcome import Outcome
from onpurpose.core.revision import ConflictError, MissingError, StoreError
from onpurpose.core.session import Principal, Role, Session
from onpurpose.core.statistics import wilson
from onpurpose.server.dashboard import formats
from onpurpose.server.dashboard.errors import error_pages
from onpurpose.server.dashboard.nav import ITEMS, items_for
from onpurpose.server.dashboard.shell import HEADERS, Shell
from onpurpose.server.problems import ANSWERS, ProblemError
from tests.dashboard.shells import a_shell

NOW = 1_780_000_000_000_000
HOSTILE = "</script><img src=x onerror=alert(1)>\"'\u202e"


class StandingClock:
    def now(self) -> int:
        return NOW


def person(*roles: Role, name: str = "Ada") -> Principal:
    user = User(id="ada", workspace="acme", name=name, email="a@acme.example", created_at=0, roles=frozenset(roles))
    session = Session(hash=b"\0" * 32, workspace="acme", user="ada", created_at=0, seen_at=0, expires_at=2 * NOW)
    return Principal(person=user, session=session, csrf="the-token")


def shell(**templates: str) -> Shell:
    loader = DictLoader({f"{name}.html": text for name, text in templates.items()})
    return a_shell(StandingClock(), csrf=lambda _, who: who.csrf if who else "a-visit", templates=loader)


def request(path: str = "/policies") -> Request:
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b"", "scheme": "http",
             "server": ("gate.example", 80)}  # fmt: skip
    return Request(scope)


def said(text: str, **values: object) -> str:
    """What a template of this text puts out."""
    return bytes(shell(one=text).render(request(), "one.html", person(), **values).body).decode()


# -- pages


def test_a_page_carries_the_headers_of_all_and_its_own() -> None:
    one = shell(one="x").render(request(), "one.html", None, status=202, headers={"X-Own": "1"})
    assert one.status_code == 202
    assert {name: one.headers[name] for name in HEADERS} == dict(HEADERS)
    assert one.headers["x-own"] == "1"
    assert one.headers["content-type"] == "text/html; charset=utf-8"


def test_the_policy_of_pages_lets_nothing_inline_and_nothing_from_elsewhere() -> None:
    policy = dict(part.split(" ", 1) for part in HEADERS["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert not re.search(r"unsafe|https?:|\*|nonce", HEADERS["Content-Security-Policy"])


@pytest.mark.parametrize("place", ["{{ x }}", '<a title="{{ x }}">', "{{ ui.field('n', 'N', x) }}",
                                   "{{ ui.textarea('n', x, x) }}", "{{ ui.select('n', 'N', [(x, x)], x) }}",
                                   "{{ ui.empty(x, x, ('/', x)) }}", "{{ ui.problem([x, ('id', x)]) }}",
                                   "{{ ui.code(x, [1], label=x) }}", "{{ ui.diff([x, '+' ~ x]) }}", "{{ ui.state(x) }}",
                                   "{{ ui.outcome(x) }}", "{{ ui.button(x, name='n', value=x, hx_vals=x) }}",
                                   "{{ ui.chart('c', x, [1], [{'label': x, 'values': [1]}], unit=x) }}",
                                   "{{ ui.tabs([('/', x, 1)], '/') }}", "{{ ui.checkbox('n', x, value=x) }}",
                                   "{{ ui.radios('n', x, [x], x) }}", "{{ ui.notice(x) }}", "{{ ui.search('q', x) }}",
                                   "{{ ui.crumbs([('/', x)]) }}", "{{ ui.progress(1, 2, x, x) }}"])  # fmt: skip
def test_hostile_text_never_becomes_an_element_an_attribute_or_an_end(place: str) -> None:
    text = said(place, x=HOSTILE)
    assert "<img" not in text
    assert not re.search(r"""=["'][^"']*["']['"]?\s*onerror""", text)
    assert text.count("</script>") == text.count("<script")


def test_text_that_is_not_seen_is_shown_but_what_is_edited_comes_back_as_it_was() -> None:
    assert said("{{ x }}", x="a\u202eb") == "a\\u202eb"
    assert "a\u202eb" in said("{{ ui.field('n', 'N', x) }}", x="a\u202eb")
    assert '<textarea id="f-n" name="n" rows="6">\n\n\u200bx</textarea>' in said(
        "{{ ui.textarea('n', 'N', x, required=false) }}", x="\n\u200bx"
    )


def test_a_name_that_a_page_lacks_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        said("{{ nothing }}")


def test_forms_carry_the_token_of_the_session_or_of_the_visit() -> None:
    one = shell(one="{{ csrf() }}")
    assert b'name="_csrf" value="the-token"' in one.render(request(), "one.html", person()).body
    assert b'name="_csrf" value="a-visit"' in one.render(request(), "one.html").body


def test_a_part_of_a_page_is_its_block_alone_and_knows_what_the_page_knows() -> None:
    one = shell(one='{% extends "base.html" %}{% block main %}{% block rows %}{{ ui.outcome(o) }}{{ path }}'
                    "{% endblock %}{% endblock %}")  # fmt: skip
    part = one.fragment(request(), "one.html", "rows", person(), status=422, o=Outcome.DENY)
    assert (part.status_code, bytes(part.body).decode()) == (422, one.piece(
        request(), "one.html", "rows", person(), o=Outcome.DENY))  # fmt: skip
    assert bytes(part.body).decode().strip().endswith("deny</span>/policies")
    with pytest.raises(KeyError):
        one.fragment(request(), "one.html", "none", person())


def test_the_frame_names_the_person_and_marks_where_they_are() -> None:
    page = bytes(shell().render(
        request("/policies/policy/base"), "error.html", person(Role.VIEWER, name="Ada <b>"), title="T", text="x",
        way=("/", "home"),
    ).body).decode()  # fmt: skip
    assert "Ada &lt;b&gt;" in page
    assert re.findall(r'<a href="([^"]+)" data-go="." aria-current="page">', page) == ["/policies"]
    assert '<form method="post" action="/sign-out"><input type="hidden" name="_csrf"' in page


def test_a_visitor_sees_neither_places_nor_a_way_to_sign_out() -> None:
    page = bytes(shell().render(request(), "error.html", title="T", text="x", way=("/", "home")).body).decode()
    assert "data-go" not in page
    assert "/sign-out" not in page


def test_places_are_those_that_a_person_may_open() -> None:
    assert items_for(None) == []
    assert items_for(person()) == []
    assert items_for(person(Role.VIEWER)) == [item for item in ITEMS if item.scope is Scope.READ]
    assert len({item.key for item in ITEMS} - set("jkg/?")) == len(ITEMS)


@pytest.mark.parametrize(
    ("path", "held"),
    [("/", "/"), ("/decisions", "/decisions"), ("/decisions/d-1", "/decisions"), ("/decisionsx", None), ("/x", None)],
)
def test_a_page_belongs_to_one_place(path: str, held: str | None) -> None:
    assert [item.path for item in ITEMS if item.holds(path)] == ([] if held is None else [held])


# -- values


@pytest.mark.parametrize(
    ("value", "unit", "digits", "text"),
    [(1234567, "call", 0, "1,234,567 calls"), (1, "call", 0, "1 call"), (0, "call", 0, "0 calls"),
     (1.25, "ms", 2, "1.25 ms"), (3, "", 0, "3"), (None, "call", 0, "\N{EN DASH}"), (1.5, "record", 1, "1.5 records")],
)  # fmt: skip
def test_numbers_have_their_unit(value: float | None, unit: str, digits: int, text: str) -> None:
    assert formats.number(value, unit, digits) == text


@pytest.mark.parametrize(
    ("to", "text"),
    [("second", "2026-05-28 20:26:40 UTC"), ("minute", "2026-05-28 20:26 UTC"), ("day", "2026-05-28 UTC")],
)
def test_times_have_their_zone(to: str, text: str) -> None:
    assert formats.moment(NOW, to) == text
    assert said("{{ ui.when(at, to) }}", at=NOW, to=to) == f'<time datetime="2026-05-28T20:26:40Z">{text}</time>'


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (-5, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"),
                          (90_061, "1 d 1 h")]
)  # fmt: skip
def test_lengths_of_time_are_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("away", "text"), [(0, "now"), (5, "5 s ago"), (-120, "in 2 min"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_how_long_ago_is_in_the_largest_unit(away: int, text: str) -> None:
    assert formats.ago(NOW - away * 1_000_000, NOW) == text


def test_a_share_comes_with_its_interval_and_its_counts() -> None:
    text = re.sub(r"<svg.*?</svg>|<[^>]+>", "", said("{{ ui.rate(r) }}", r=wilson(12, 283)))
    assert " ".join(text.split()) == "4.2 % 95 % interval 2.4 % to 7.3 % (12 of 283)"
    text = re.sub(r"<svg.*?</svg>|<[^>]+>", "", said("{{ ui.rate(0.5) }}"))
    assert " ".join(text.split()) == "50.0 %"


@pytest.mark.parametrize("outcome", list(Outcome))
def test_an_outcome_has_a_colour_a_word_and_a_shape(outcome: Outcome) -> None:
    word = {"require_approval": "ask"}.get(str(outcome), str(outcome))
    text = said("{{ ui.outcome(o) }}", o=outcome)
    assert f'class="outcome is-{word}"' in text
    assert f'<use href="#shape-{word}">' in text
    assert f"</svg>{word}</span>" in text


def test_data_for_scripts_ends_no_element_and_reads_back() -> None:
    value = {"label": HOSTILE + "\u2028&amp;<!--"}
    text = str(formats.data(value))
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


def test_more_keywords_of_a_control_are_its_attributes() -> None:
    given = {"hx_get": "/x?a=1&b", "class_": "c", "disabled": True, "hidden": False, "title": None, "max": 3}
    assert str(formats.attributes(given)) == ' hx-get="/x?a=1&amp;b" class="c" disabled max="3"'


def test_faults_stand_at_their_field_and_are_told_to_who_does_not_see_them() -> None:
    text = said("{{ ui.field('n', 'Name', hint='h', errors=['e']) }}")
    assert 'aria-describedby="f-n-hint f-n-errors"' in text
    assert 'aria-invalid="true"' in text
    assert '<ul class="errors" id="f-n-errors"><li>e</li></ul>' in text


# -- what went wrong


class Knows:
    def __init__(self, found: Principal | Exception | None) -> None:
        self.found = found

    async def principal(self, _: Request) -> Principal | None:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def asked(
    error: Exception | None, *, accept: str = "text/html", path: str = "/x", who: Any = None, **headers: str
) -> Any:
    async def raises(_: Request) -> Response:
        assert error is not None
        raise error

    answers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = dict(ANSWERS)
    app = Starlette(
        routes=[] if error is None else [Route(path, raises)],
        exception_handlers=error_pages(shell(), Knows(who), answers),  # type: ignore[arg-type]
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        return client.get(path, headers={"accept": accept, **headers})


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [(None, 404, "Nothing is here"), (MissingError("secret"), 404, "Nothing is here"),
     (ConflictError("secret"), 409, "Somebody else was faster"), (StoreError("secret"), 503, "Not reachable now"),
     (RuntimeError("secret"), 500, "That is our fault"),
     (ProblemError(403, "forbidden", "secret"), 403, "Not allowed"),
     (ProblemError(418, "teapot", "it is short & stout"), 418, "That did not work")],
)  # fmt: skip
def test_what_went_wrong_is_a_page_that_keeps_its_secrets(error: Exception | None, status: int, title: str) -> None:
    response = asked(error)
    assert response.status_code == status
    assert response.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    assert f"<h1>{title}</h1>" in response.text
    assert "secret" not in response.text


def test_programs_get_the_problem_that_they_always_got() -> None:
    for response in (asked(None, accept="application/json"), asked(None, path="/v1/x")):
        assert response.headers["content-type"] == "application/problem+json"
        assert response.status_code == 404


def test_whoever_is_signed_in_keeps_the_navigation_where_the_store_can_tell() -> None:
    assert "data-go" in asked(None, who=person(Role.VIEWER)).text
    assert "data-go" not in asked(None, who=StoreError("away")).text


def test_headers_of_a_refusal_are_kept() -> None:
    assert asked(ProblemError(429, "busy", "wait", headers={"Retry-After": "7"})).headers["retry-after"] == "7"


def test_a_part_of_a_page_is_not_exchanged_for_a_fault() -> None:
    response = asked(RuntimeError("secret"), **{"hx-request": "true"})
    assert response.status_code == 500
    assert response.headers["hx-reswap"] == "none"
    assert (
        response.text == "That is our fault. This page could not be made. What happened is in the log of the service."
    )
