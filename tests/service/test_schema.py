"""The served OpenAPI document, asked of a running service by schemathesis: answers are as it says, and never a 500."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.loopback import asking
from tests.service.process import CALL, Process, put_in_force, running

EXAMPLES = 8
ENDLESS = "/v1/decisions/stream"
"""It does not end by itself; it has tests of its own."""

CHECKS = [
    status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance
]  # fmt: skip
YAML = {"Content-Type": "application/yaml"}
PURPOSE = "id: lookup\nstatus: active\n"
PURPOSE_POLICY = "policy_id: hours\npurpose_id: lookup\ndecision: allow\nmatch: {identity_required: false}\n"

Known = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder: Path = tmp_path_factory.mktemp("schema")
    with running(str(folder / "t.db"), folder) as process:
        with process.client() as client:
            fill(client)
        yield process


def fill(client: httpx2.Client) -> None:
    """Something of every kind, so that there is something to find."""
    put_in_force(client)
    for path, text in (("purposes/lookup", PURPOSE), ("purpose-policies/hours", PURPOSE_POLICY)):
        assert client.put(f"/v1/{path}?reason=test", content=text, headers=YAML).is_success
    user = {"name": "Ada", "email": "ada@example.com"}
    assert client.post("/v1/users", json=user).status_code == 201
    assert client.post("/v1/keys", json={"name": "one more", "scopes": ["read"]}).status_code == 201
    assert client.post("/v1/evaluate", json={**CALL, "purpose_id": "lookup"}).status_code == 200


@pytest.fixture(scope="module")
def known(service: Process) -> Known:
    """The path parameters of what there is, by the beginning of the path."""
    with service.client() as client:
        decision = client.post("/v1/evaluate", content=orjson.dumps(CALL)).json()["decision_id"]
        while client.get(f"/v1/decisions/{decision}").status_code != 200:
            pass  # until the feed has it
        user = client.get("/v1/users").json()["items"][0]["id"]
    return {
        "/v1/policies/": {"name": "shell", "number": 1},
        "/v1/purposes/": {"name": "lookup", "number": 1},
        "/v1/purpose-policies/": {"name": "hours", "number": 1},
        "/v1/decisions/": {"id": decision},
        "/v1/users/": {"id": user},
    }


def described(service: Process) -> Any:
    with service.client() as client:
        document = client.get("/openapi.json").json()
    document["paths"].pop(ENDLESS)
    return schemathesis.openapi.from_dict(document)


class Asked:
    """What came of asking every operation: `wrong` by operation, the first thing found, and which did `succeed`."""

    def __init__(self) -> None:
        self.wrong: dict[str, str] = {}
        self.succeeded: set[str] = set()

    def __str__(self) -> str:
        return "\n\n".join(f"{label}: {what}" for label, what in self.wrong.items())


def ask_everything(service: Process, mode: GenerationMode, known: Known) -> Asked:
    """Ask every operation with that many cases that schemathesis makes."""
    asked = Asked()
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {service.key}"
        for result in described(service).get_all_operations():
            operation = result.ok()
            if mode is GenerationMode.NEGATIVE and not (operation.body or [*operation.iter_parameters()]):
                continue  # nothing can be wrong about such a request
            beginning = [values for start, values in known.items() if operation.path.startswith(start)]
            names = {parameter.name for parameter in operation.path_parameters}
            fixed = {name: value for values in beginning for name, value in values.items() if name in names}
            try:
                cases = operation.as_strategy(generation_mode=mode, path_parameters=fixed or None)
                if 200 in _ask(service, cases, session):
                    asked.succeeded.add(operation.label)
            except (Exception, FailureGroup) as error:
                asked.wrong[operation.label] = str(error)
    return asked


def _ask(service: Process, cases: Any, session: requests.Session) -> set[int]:
    statuses = set()

    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=cases)
    def check(case: Any) -> None:
        answer = case.call(base_url=service.url, session=session, timeout=30)
        statuses.add(answer.status_code)
        assert answer.status_code != 500, f"{answer.text}\n{case.as_curl_command()}"
        case.validate_response(answer, checks=CHECKS)

    check()
    return statuses


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_every_answer_is_as_the_document_says_and_none_is_a_500(service: Process, mode: GenerationMode) -> None:
    asked = ask_everything(service, mode, {})
    assert not asked.wrong, str(asked)


def test_so_are_the_answers_about_what_there_is(service: Process, known: Known) -> None:
    asked = ask_everything(service, GenerationMode.POSITIVE, known)
    assert not asked.wrong, str(asked)
    missing = {f"GET {start}{{{next(iter(named))}}}" for start, named in known.items()} - asked.succeeded
    assert not missing, asked.succeeded


def test_whoever_has_no_key_is_refused_wherever_one_is_needed(service: Process) -> None:
    with asking(service.url) as client:
        document = client.get("/openapi.json").json()
        asked = 0
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if not operation["security"]:
                    continue
                place = path.format_map(dict.fromkeys(("id", "number", "name", "jti"), "1"))
                for headers in ({}, {"Authorization": "Bearer op_aaaaaaaa_" + "a" * 43}):
                    answer = client.request(method.upper(), place, headers=headers, content=b"{}")
                    assert answer.status_code == 401, (method, path, answer.text)
                    assert answer.headers["www-authenticate"].startswith("Bearer")
                    asked += 1
    assert asked > 50
