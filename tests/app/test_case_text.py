"""A recorded decision becomes a test case, which reads back as the call; and is read for people."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onpurpose.app.case_text import MOST_CHARACTERS, Wrought, case_of
from onpurpose.app.retelling import Spot, Told, retell, spot
from onpurpose.core.decision import Code
from onpurpose.core.outcome import Outcome
from onpurpose.core.revision import MissingError
from onpurpose.lang.cases import Case, parse_cases

POLICY = "deny:\n  - capability: shell.run\n    contains: rm -rf\nallow:\n  - capability: files.read\n"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=10), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


def told(**fields: Any) -> Told:
    """A decision that the rule of line 5 allowed."""
    body = {
        "kind": "decision", "id": "d1", "at": 1, "agent_id": "bot", "capability": "files.read", "outcome": "allow",
        "reasons": [{"code": "rule_matched", "outcome": "allow", "message": "", "rule": {"at": "base@1:5"}}],
        "policies": [{"source": "base@1"}],
    }  # fmt: skip
    found = retell(orjson.dumps(body | fields))
    assert found is not None
    return found


def case(made: Wrought) -> Case:
    (one,) = parse_cases(made.text).cases
    return one


def text_of(name: str, revision: int) -> str:
    assert (name, revision) == ("base", 1)
    return POLICY


def missing(name: str, revision: int) -> str:
    raise MissingError(name)


def test_a_case_expects_the_outcome_the_rule_and_the_reason() -> None:
    made = case_of(told(payload={"path": "/x"}), text_of)
    one = case(made)
    assert (one.outcome, one.rule, one.reason) == (Outcome.ALLOW, 5, Code.RULE_MATCHED)
    assert (made.tried, made.failure, made.file) == (True, "", "base_d1.test.yaml")


@example(payload={"": 1e-06, "a": -5e22, "b": [1e16, 1.5e-300]})
@given(payload=st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=10), JSON, max_size=4))
def test_whatever_json_a_payload_is_a_case_reads_back_as_it_is(payload: dict[str, Any]) -> None:
    assert case(case_of(told(payload=payload), text_of)).call.payload == orjson.loads(orjson.dumps(payload))


@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
def test_whatever_text_a_call_holds_a_case_reads_back_as_it_is(text: str) -> None:
    fields = {"agent_id": text or "a", "task_context": text or "t", "payload": text, "policy_context": {"k": text}}
    call = case(case_of(told(**fields), text_of)).call
    assert (call.agent_id, call.task_context, call.payload) == (text or "a", text or "t", text)
    assert call.policy_context == {"k": text}


def test_who_asked_in_which_context_is_in_the_case() -> None:
    fields = {"identity": {"user_id": "kim", "groups": ["a", "b"]}, "policy_context": {"environment": "production"}}
    call = case(case_of(told(**fields), text_of)).call
    assert call.identity is not None
    assert (call.identity.user_id, call.identity.groups) == ("kim", ("a", "b"))
    assert call.policy_context == {"environment": "production"}


def test_a_decision_that_no_rule_made_is_tried_on_the_one_policy_that_was_asked() -> None:
    reasons = [{"code": "no_rule_matched", "outcome": "deny", "message": ""}]
    made = case_of(told(capability="x", outcome="deny", reasons=reasons), text_of)
    assert (case(made).outcome, case(made).rule, made.tried, made.failure) == (Outcome.DENY, None, True, "")


def test_what_the_purpose_layer_asks_for_is_not_expected_of_a_policy() -> None:
    reasons = [
        {"code": "unknown_purpose", "outcome": "deny", "message": ""},
        {"code": "rule_matched", "outcome": "allow", "message": "", "rule": {"at": "base@1:5"}},
    ]
    assert case(case_of(told(outcome="deny", reasons=reasons), text_of)).outcome is Outcome.ALLOW


def test_a_case_that_comes_to_something_else_says_what() -> None:
    made = case_of(told(capability="shell.run", payload="rm -rf /"), text_of)
    assert "expected allow, and it is deny" in made.failure


def test_hidden_secrets_are_spoken_of() -> None:
    assert "the log hides secrets" in case_of(told(payload={"a": [{"key": "[masked]"}]}), text_of).text
    assert "the log hides secrets" not in case_of(told(payload={"a": [{"key": "open"}]}), text_of).text


def test_a_decision_of_a_file_is_not_tried() -> None:
    reasons = [{"code": "rule_matched", "outcome": "allow", "message": "", "rule": {"at": "/etc/p.yaml:5"}}]
    made = case_of(told(reasons=reasons), missing)
    assert (made.tried, bool(made.text)) == (False, True)


def test_a_policy_that_is_not_here_is_missing() -> None:
    with pytest.raises(MissingError):
        case_of(told(), missing)


def test_a_policy_that_cannot_be_read_any_more_is_not_tried() -> None:
    assert not case_of(told(), lambda *_: "nonsense: [").tried


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"reasons": []}, "no capability policy"),
        ({"reasons": [{"code": "unknown_purpose", "outcome": "deny", "message": ""}]}, "no capability policy"),
        ({"payload": "x" * MOST_CHARACTERS}, "too long"),
        ({"payload": [1]}, "what no test file can"),
        ({"capability": "not a name!"}, ""),
    ],
)
def test_why_there_is_no_case_is_said(fields: dict[str, Any], why: str) -> None:
    made = case_of(told(**fields), text_of)
    assert why in made.why
    assert bool(made.text) is not bool(made.why)


# -- read for people


@pytest.mark.parametrize(
    ("at", "place"),
    [
        ("base@3:12", Spot("base", 3, 12)),
        ("a@b@3:1", Spot("a@b", 3, 1)),
        ("C:/x.yaml:7", Spot("C:/x.yaml", None, 7)),
        ("me@home:7", Spot("me@home", None, 7)),
        ("base", None),
        ("base@1:x", None),
        ("base@1:9999999999", None),
        ("", None),
    ],
)
def test_the_place_of_a_rule_is_read(at: str, place: Spot | None) -> None:
    assert spot(at) == place


@pytest.mark.parametrize("code", list(Code))
def test_every_reason_belongs_to_a_layer(code: Code) -> None:
    opinion = told(reasons=[{"code": code, "outcome": "deny"}]).reasons[0]
    layers = {"the call", "capability policy", "risk", "purpose", "workspace", "approval", "the service itself"}
    assert opinion.layer in layers
    assert (opinion.layer == "approval") is code.startswith("approval")


def test_a_token_is_given_only_for_what_a_purpose_policy_permits() -> None:
    under = {"purpose_id": "p", "purpose_policies": [{"name": "x", "revision": 1}]}
    assert told(**under).token_id == "d1"
    assert told(**under, outcome="deny").token_id is None
    assert told(purpose_id="p").token_id is None
    assert told(outcome="odd", **under).token_id is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"id":1}', b"[" * 100_000])
def test_what_is_no_decision_is_not_retold(body: bytes) -> None:
    assert retell(body) is None


@pytest.mark.parametrize("code", ["no_policy", "policy_unreadable"])
def test_without_a_policy_that_could_be_read_there_is_no_case(code: str) -> None:
    made = case_of(
        told(
            outcome="deny",
            reasons=[{"code": code, "outcome": "deny", "message": ""}],
            policies=[{"source": "no policy"}],
        ),
        missing,
    )
    assert (made.text, made.file) == ("", "")
    assert made.why.startswith("no capability policy that can be read was in force")
