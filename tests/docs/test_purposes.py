"""The page on purposes names what the code has, no more and no less."""

from __future__ import annotations

from importlib import import_module

import pytest
from msgspec.structs import fields

from onpurpose.core.outcome import Outcome
from onpurpose.core.purpose import IntentClass, Match, Purpose, PurposePolicy, Settings, Status
from onpurpose.core.routing import Route
from onpurpose.lang import purposes
from onpurpose.lang.hours import DAILY, DAYS
from onpurpose.lang.purposes import MATCH_KEYS, PURPOSE_KEYS, PURPOSE_POLICY_KEYS
from onpurpose.lang.settings import SETTINGS_KEYS
from tests.docs.pages import codes, column, page

PAGE = page("docs/purposes.md")
A_PURPOSE, A_POLICY, MATCH, SETTINGS = "A purpose", "A purpose policy", "`match`", "Settings of a workspace"
WORDED = {"none": "()", "not said": None, "any": None, "empty": ""}


def told(title: str, header: str) -> dict[str, str]:
    """What the first table under a heading tells of each key."""
    return dict(zip(codes(" ".join(column(PAGE, title, "key"))), column(PAGE, title, header), strict=True))


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        (A_PURPOSE, PURPOSE_KEYS),
        (A_POLICY, (*PURPOSE_POLICY_KEYS, *MATCH_KEYS)),
        (MATCH, MATCH_KEYS),
        (SETTINGS, SETTINGS_KEYS),
    ],
)
def test_every_key_is_named_in_its_order(title: str, keys: tuple[str, ...]) -> None:
    assert tuple(told(title, "value")) == keys


@pytest.mark.parametrize(
    ("title", "of_what"), [(A_PURPOSE, Purpose), (A_POLICY, PurposePolicy), (MATCH, Match), (SETTINGS, Settings)]
)
def test_every_default_is_that_of_the_code(title: str, of_what: type) -> None:
    rows = told(title, "default")
    left = {"id", "policy_id", "purpose_id", "match", "decision", "span", "route", "notify"}
    wanted = {one.name: written(one.default) for one in fields(of_what) if one.name not in left}
    assert {key: WORDED.get(rows[key], rows[key].strip("`")) for key in wanted} == wanted


def test_the_defaults_of_who_is_asked_are_those_of_the_code() -> None:
    rows = told(A_POLICY, "default")
    assert rows["step_up"].strip("`") == written(Route().step_up)
    assert rows["approval_timeout_seconds"] == str(Route().timeout_seconds)


def written(default: object) -> object:
    if isinstance(default, bool):
        return str(default).lower()
    return default if default is None else str(default)


def test_every_word_is_named() -> None:
    assert codes(told(A_PURPOSE, "value")["intent_class"]) == [str(one) for one in IntentClass]
    assert codes(told(A_PURPOSE, "value")["status"]) == [str(one) for one in Status]
    assert {*codes(told(A_POLICY, "value")["decision"])} == {"allow", "deny", "block", "require_approval"}
    assert codes(told(SETTINGS, "value")["unmatched"]) == [str(Outcome.ALLOW), str(Outcome.DENY)]
    days = next(line for line in PAGE.text.splitlines() if line.startswith("- Days are "))
    assert [word for word in codes(days) if "-" not in word] == [*DAYS, DAILY]


def test_every_limit_is_named_with_its_value() -> None:
    rows = dict(
        zip(codes(" ".join(column(PAGE, "Limits", "in the code"))), column(PAGE, "Limits", "value"), strict=True)
    )
    ours = {name for name in vars(purposes) if name.startswith("MAX_")} - {"MAX_NAME", "MAX_BYTES"}
    assert rows.keys() == {f"lang.purposes.{name}" for name in ours} | {"core.call.MAX_NAME"}
    for name, value in rows.items():
        module, _, limit = name.rpartition(".")
        assert value == f"{getattr(import_module(f'onpurpose.{module}'), limit):,}"
    assert told(A_PURPOSE, "value")["ttl_seconds"].endswith(f"1 to {purposes.MAX_TTL_SECONDS}")
    assert told(A_POLICY, "value")["token_ttl_minutes"].endswith(f"1 to {purposes.MAX_TTL_MINUTES}")
