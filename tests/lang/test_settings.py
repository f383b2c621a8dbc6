"""The settings of a workspace."""

from __future__ import annotations

import pytest

from onpurpose.adapters.elements.dialect import DIALECTS
from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import SQL_DIALECTS, Notify, Settings, SqlSource
from onpurpose.core.routing import DEFAULT, Route, Stage
from onpurpose.lang.settings import parse_settings
from tests.lang.reading import problems, told


def test_what_is_not_stated_is_as_strict_as_it_can_be_without_purposes():
    assert parse_settings("purpose_required: true\n") == Settings(purpose_required=True, unmatched=Outcome.DENY)
    assert parse_settings("unmatched: allow\n") == Settings(purpose_required=False, unmatched=Outcome.ALLOW)
    assert Settings() == Settings(purpose_required=False, unmatched=Outcome.DENY)


def test_what_is_stated_holds():
    settings = parse_settings("purpose_required: false\nunmatched: deny\n")
    assert settings == Settings(purpose_required=False, unmatched=Outcome.DENY)


@pytest.mark.parametrize(
    ("text", "place", "cure"),
    [
        ("", "1:1 empty", "`purpose_required: true`"),
        ("null\n", "1:1 empty", "`unmatched: allow`"),
        ("\n{}\n", "2:1 empty", "`unmatched: allow`"),
        (b"\xff", "1:1 not-utf-8", "UTF-8"),
        ("[]\n", "1:1 wrong-type", "`purpose_required: true`"),
        ("require_purpose: true\n", "1:1 unknown-key", "`purpose_required`"),
        ("purpose_required: yes\n", "1:19 ambiguous-scalar", "`true`"),
        ("purpose_required: 1\n", "1:19 wrong-type", "purpose_required: true"),
        ("unmatched: warn\n", "1:12 unknown-word", "`allow`, `deny`"),
        ("unmatched: allow\n---\nunmatched: deny\n", "2:1 several-documents", "one document"),
    ],
)
def test_a_defect_is_refused_at_its_place_with_its_cure(text, place, cure):
    assert told(text, parse_settings) == [place]
    (problem,) = problems(text, parse_settings)
    assert cure in problem.help


SQL = """
sql:
  - capability: crm.query
    path: query
    dialect: postgres
    schema:
      users: [id, name]
      crm.orders: total
  - {capability: "lake.*", path: jobs.*.sql, dialect: snowflake}
"""


def test_where_calls_carry_sql_is_stated_by_capability_and_path():
    assert parse_settings(SQL).sql == (
        SqlSource(
            capability="crm.query", path=("query",), dialect="postgres",
            schema={"users": ("id", "name"), "crm.orders": ("total",)},
        ),
        SqlSource(capability="lake.*", path=("jobs", "*", "sql"), dialect="snowflake"),
    )  # fmt: skip
    assert Settings().sql == ()


def test_the_dialects_are_those_that_are_read():
    assert set(SQL_DIALECTS) == set(DIALECTS)


@pytest.mark.parametrize(
    ("entry", "place", "cure"),
    [
        ("[]", "1:6 empty", "remove it"),
        ("7", "1:6 wrong-type", "capability: crm.query"),
        ("[7]", "1:7 wrong-type", "capability: crm.query"),
        ("[{path: q, dialect: sqlite}]", "1:7 missing-key", "capability"),
        ("[{capability: a, dialect: sqlite}]", "1:7 missing-key", "path"),
        ("[{capability: a, path: q}]", "1:7 missing-key", "dialect"),
        ("[{capability: a b, path: q, dialect: sqlite}]", "1:20 malformed-capability", "a_b"),
        ("[{capability: a, path: q..r, dialect: sqlite}]", "1:29 malformed-path", "items.*.sku"),
        ("[{capability: a, path: 7, dialect: sqlite}]", "1:29 wrong-type", "quote it"),
        ("[{capability: a, path: q, dialect: oracle}]", "1:41 unknown-word", "`postgres`"),
        ("[{capability: a, path: q, dialect: sqlite, tables: {}}]", "1:49 unknown-key", "`schema`"),
        ("[{capability: a, path: q, dialect: sqlite, schema: {}}]", "1:57 empty", "remove it"),
        ("[{capability: a, path: q, dialect: sqlite, schema: users}]", "1:57 wrong-type", "users: [id, name]"),
        ("[{capability: a, path: q, dialect: sqlite, schema: {a b: [id]}}]", "1:58 malformed-table", "letters"),
        ("[{capability: a, path: q, dialect: sqlite, schema: {users: [a.b]}}]", "1:66 malformed-column", "letters"),
        ("[{capability: a, path: q, dialect: sqlite, schema: {users: []}}]", "1:65 empty", "remove it"),
    ],
)
def test_a_defect_of_sql_is_refused_at_its_place_with_its_cure(entry, place, cure):
    text = f"sql: {entry}\n"
    assert told(text, parse_settings) == [place]
    (problem,) = problems(text, parse_settings)
    assert cure in problem.help


# -- who is asked, and where they are told


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ("unmatched: deny\n", DEFAULT),
        ("approvers: group:x\n", Route(stages=(Stage(approvers=("group:x",)),))),
        ("step_up: true\n", Route(step_up=True)),
    ],
)
def test_a_workspace_says_who_is_asked(text, route):
    assert parse_settings(text).route == route


@pytest.mark.parametrize(
    ("text", "told_where"),
    [
        ("{slack: C0123}", Notify(slack="C0123")),
        ("{slack: {channel: G9AZ, direct: true}}", Notify(slack="G9AZ", slack_direct=True)),
        ("{slack: {direct: true}, email: true}", Notify(slack_direct=True, email=True)),
        ("{email: false}", Notify()),
        ("{webhooks: https://a.example/x?y=1}", Notify(webhooks=("https://a.example/x?y=1",))),
        (
            "{webhooks: ['https://a.example:8443/', 'http://localhost:9/h', 'http://127.0.0.1/', 'http://[::1]/']}",
            Notify(webhooks=("https://a.example:8443/", "http://localhost:9/h", "http://127.0.0.1/", "http://[::1]/")),
        ),
    ],
)
def test_where_people_are_told_is_stated(text, told_where):
    assert parse_settings(f"notify: {text}\n").notify == told_where


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("true", "1:9 wrong-type"),
        ("{}", "1:9 empty"),
        ("{mail: true}", "1:10 unknown-key"),
        ("{email: 1}", "1:17 wrong-type"),
        ("{slack: '#approvals'}", "1:17 malformed-channel"),
        ("{slack: c0123}", "1:17 malformed-channel"),
        ("{slack: ''}", "1:17 empty"),
        ("{slack: {}}", "1:17 empty"),
        ("{slack: []}", "1:17 wrong-type"),
        ("{slack: {chanel: C0123}}", "1:18 unknown-key"),
        ("{slack: {direct: 'true'}}", "1:26 wrong-type"),
        ("{webhooks: http://a.example/}", "1:20 malformed-url"),
        ("{webhooks: ftp://a.example/}", "1:20 malformed-url"),
        ("{webhooks: 'https://'}", "1:20 malformed-url"),
        ("{webhooks: 'https://u:p@a.example/'}", "1:20 malformed-url"),
        ("{webhooks: 'https://a.example/#x'}", "1:20 malformed-url"),
        ("{webhooks: 'https://a.example:x/'}", "1:20 malformed-url"),
        ("{webhooks: 'https://a.example/ x'}", "1:20 malformed-url"),
        ("{webhooks: 'https://b\u00fccher.example/'}", "1:20 malformed-url"),
        ("{webhooks: 'https://a.example/" + "x" * 2048 + "'}", "1:20 malformed-url"),
        ("{webhooks: [" + ", ".join(f"'https://a.example/{n}'" for n in range(11)) + "]}", "1:20 too-many"),
    ],
)
def test_where_nobody_can_be_told_is_refused(text, place):
    assert told(f"notify: {text}\n", parse_settings) == [place]
