"""`/openapi.json` says what is answered, and `/docs` shows it without fetching anything."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import httpx2
import jsonschema_rs
import pytest

from onpurpose.server.api.table import TABLE
from onpurpose.server.openapi import document
from tests.server.serving import Served

DOCUMENT = document(TABLE)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def validator(name: str) -> Any:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return jsonschema_rs.Draft202012Validator(schema)


def test_every_reference_leads_to_a_schema() -> None:
    schemas = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    assert references(DOCUMENT) <= schemas


def test_every_operation_of_the_table_is_told_with_what_it_needs() -> None:
    for one in TABLE:
        told = DOCUMENT["paths"][re.sub(r":\w+}", "}", one.path)][one.method.lower()]
        assert told["operationId"] == one.name
        assert told["security"] == [{"key": [str(scope)]} for scope in (one.scope, *one.also) if scope]
        assert {str(one.status), *map(str, one.errors)} <= told["responses"].keys()
    operations = [one for methods in DOCUMENT["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations) > len(TABLE)


def test_every_parameter_of_a_path_is_told() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            told = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert told == set(re.findall(r"{(\w+)}", path))


@pytest.mark.parametrize("name", sorted(DOCUMENT["components"]["schemas"]))
def test_every_schema_can_be_used(name: str) -> None:
    assert validator(name) is not None


@pytest.mark.parametrize(
    "call",
    [
        {"agent_id": "a", "capability": "open"},
        {"agent_id": "a", "capability": "payments.transfer", "payload": {"amount": "lots"}},
        {"agent_id": "a", "capability": "x" * 1000, "identity": {"user_id": "u", "groups": None}, "elements": ["t.c"]},
        {"agent_id": "a", "capability": "shell.run", "payload": "rm -rf /", "policy_context": {"tenant": "x"}},
    ],
)
def test_a_call_and_its_answer_are_as_told(client: httpx2.Client, call: dict[str, Any]) -> None:
    assert validator("Call").is_valid(call)
    validator("Answer").validate(client.post("/v1/evaluate", json=call).json())
    validator("Answers").validate(client.post("/v1/evaluate/batch", json={"calls": [call] * 2}).json())


@pytest.mark.parametrize("call", [{}, {"agent_id": "a"}, {"agent_id": "a", "capability": "b", "identity": {"x": 1}}])
def test_a_wrong_call_and_its_problem_are_as_told(client: httpx2.Client, call: dict[str, Any]) -> None:
    assert not validator("Call").is_valid(call)
    validator("Problem").validate(client.post("/v1/evaluate", json=call).json())


def test_the_document_is_served(service: Served) -> None:
    with service.client(None) as client:
        served = client.get("/openapi.json")
    assert served.headers["content-type"] == "application/json"
    assert served.json()["openapi"] == "3.1.0"
    assert served.json() == document(())


def test_the_page_fetches_nothing_and_its_style_is_the_one_allowed(service: Served) -> None:
    with service.client(None) as client:
        response = client.get("/docs")
    page = response.text
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in response.headers["content-security-policy"]
    assert "<script" not in page
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?:https?:)?//""", page)
    assert "/v1/evaluate/batch" in page
