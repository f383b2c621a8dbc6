"""What a call touches is told from its SQL where the workspace's settings say so, and never less than that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onpurpose.adapters.elements import QUICK_PIECES, quick_elements
from onpurpose.app.elements import MAX_TEXTS, Touching
from onpurpose.core.call import Call, Touched
from onpurpose.core.purpose import SqlSource

SCHEMA = {"users": ("id", "name", "ssn"), "orders": ("id", "total")}
QUERY = SqlSource(capability="crm.query", path=("query",), dialect="postgres", schema=SCHEMA)


def told(payload: object, *sources: SqlSource, capability: str = "crm.query", given: Any = None) -> Any:
    touching = Touching(sources or (QUERY,), quick_elements)
    return touching.tell(Call("bot", capability, payload, purpose_id="lookup", elements=given))


def elements(payload: object, *sources: SqlSource, **more: Any) -> Any:
    return told(payload, *sources, **more)[0].elements


def test_the_elements_of_the_statement_are_those_of_the_call() -> None:
    call, noted = told({"query": "SELECT name FROM users WHERE id = 7"})
    assert (call.elements, noted) == (("users.id", "users.name"), {})
    assert call.payload == {"query": "SELECT name FROM users WHERE id = 7"}


def test_what_the_application_gave_counts_beside_what_the_statement_touches() -> None:
    call, noted = told({"query": "SELECT name FROM users"}, given=("orders.id", "users.name"))
    assert (call.elements, noted) == (("orders.id", "users.name"), {"elements_given": ("orders.id", "users.name")})
    assert elements({"query": "SELECT name FROM users"}, given=()) == ("users.name",)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        ({"query": "SELECT pg_read_file('/etc/passwd')"}, "pg_read_file"),
        ({"query": "SELECT * FROM secrets"}, "secrets"),
        ({"query": "SELEC name FROM users"}, "selec"),
        ({"query": 7}, "no SQL at `query`"),
        ({"query": ["SELECT name FROM users", None]}, "no SQL at `query`"),
        ({"query": []}, "no SQL at `query`"),
        ({"sql": "SELECT name FROM users"}, "no SQL at `query`"),
        ("SELECT name FROM users", "no SQL at `query`"),
        (None, "no SQL at `query`"),
        ({"query": ["SELECT name FROM users"] * (MAX_TEXTS + 1)}, "more than 4 texts"),
        ({"query": f"SELECT name FROM users WHERE id IN ({', '.join('1' * QUICK_PIECES)})"}, "1000 words and signs"),
        ({"query": "SELECT name FROM users --" + "x" * 200_000}, "longer than"),
    ],
)
@pytest.mark.parametrize("given", [None, (), ("users.name",)])
def test_what_cannot_be_told_is_unknown_whatever_the_application_gave(payload: object, why: str, given: Any) -> None:
    call, noted = told(payload, given=given)
    assert call.elements is None
    assert why in noted["elements_untold"]
    assert noted.get("elements_given") == given


def test_several_texts_and_several_sources_touch_what_each_of_them_does() -> None:
    jobs = SqlSource(capability="crm.*", path=("jobs", "*", "sql"), dialect="sqlite", schema=SCHEMA)
    payload = {
        "query": ["SELECT name FROM users", "SELECT ssn FROM users"],
        "jobs": [{"sql": "SELECT total FROM orders"}],
    }
    assert elements(payload, QUERY, jobs) == ("orders.total", "users.name", "users.ssn")
    assert elements(payload | {"jobs": [{"sql": "DROP TABLE users"}]}, QUERY, jobs) is None


@pytest.mark.parametrize("capability", ["crm.query", "CRM.query", "crm.query.deep"])
def test_a_capability_that_may_be_meant_is(capability: str) -> None:
    assert elements({"query": "SELECT ssn FROM users"}, capability=capability, given=("users.name",)) == (
        "users.name",
        "users.ssn",
    )


def test_a_call_of_another_capability_or_without_a_purpose_is_left_as_it_is() -> None:
    touching = Touching((QUERY,), quick_elements)
    for call in (
        Call("bot", "crm.read", {"query": "SELECT ssn FROM users"}, purpose_id="lookup", elements=("a.b",)),
        Call("bot", "crm.query", {"query": "SELECT ssn FROM users"}),
    ):
        assert touching.tell(call) == (call, None)


def test_without_a_reader_nothing_can_be_told() -> None:
    touching = Touching((QUERY,), None)
    call, noted = touching.tell(Call("bot", "crm.query", {"query": "SELECT 1"}, purpose_id="lookup", elements=()))
    assert (call.elements, noted["elements_untold"]) == (None, "nothing here reads SQL")


def test_a_long_statement_is_read_like_a_short_one() -> None:
    blank = " " * 5000
    assert elements({"query": f"SELECT name{blank}FROM users"}) == ("users.name",)


class Words:
    """A reader of another language: a text touches each of its words, and one with a `?` cannot be told."""

    def read(self, sql: str) -> Touched:
        return Touched(elements=None, why="?") if "?" in sql else Touched(elements=tuple(sorted(set(sql.split()))))


texts = st.lists(st.text("ab ?", max_size=6), max_size=6)


@given(texts=texts, given=st.none() | st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map(tuple))
def test_a_call_never_touches_less_than_it_was_given_or_its_texts_say(texts: list[str], given: Any) -> None:
    touching = Touching((QUERY,), lambda dialect, schema: Words())
    call, _ = touching.tell(Call("bot", "crm.query", {"query": texts}, purpose_id="p", elements=given))
    if not texts or len(texts) > MAX_TEXTS or any("?" in text for text in texts):
        assert call.elements is None
    else:
        assert set(call.elements or ()) == set(given or ()) | {word for text in texts for word in text.split()}
