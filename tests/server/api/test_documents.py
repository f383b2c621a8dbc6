"""Documents over HTTP: read, written, removed, restored, by whom it is permitted, and seen by nobody else."""

from __future__ import annotations

import pytest

from tests.app.world import POLICY, PURPOSE, purpose_policy
from tests.server.api.house import Tenant, good, problem

SEVERAL = [
    ("/v1/purposes", "lookup", PURPOSE),
    ("/v1/purpose-policies", "hours", purpose_policy("hours")),
    ("/v1/policies", "base", POLICY),
]
SINGLE = [("/v1/settings", "purpose_required: true\n")]
PATHS = [f"{path}/{name}" for path, name, _ in SEVERAL] + [path for path, _ in SINGLE]


@pytest.mark.parametrize(("path", "name", "text"), SEVERAL)
def test_what_is_put_is_what_is_got(tenant: Tenant, path: str, name: str, text: str) -> None:
    put = tenant.put(f"{path}/{name}", text, "writer", reason="the first")
    assert put == tenant.get(f"{path}/{name}")
    assert put["revision"]["text"] == text
    assert put["revision"]["reason"] == "the first"
    assert put["revision"]["author"].startswith("writer (op_")
    assert [one["name"] for one in tenant.get(path)["items"]] == [name]


@pytest.mark.parametrize("path", ["/v1/purposes", "/v1/purpose-policies", "/v1/policies"])
def test_a_new_workspace_has_none(tenant: Tenant, path: str) -> None:
    assert tenant.get(path) == {"items": [], "next": None}


@pytest.mark.parametrize("path", [*PATHS, "/v1/index"])
@pytest.mark.parametrize("behind", ["", "/revisions", "/revisions/1"])
def test_what_is_not_there_is_not_found(tenant: Tenant, path: str, behind: str) -> None:
    problem(tenant.ask("reader", "GET", path + behind), 404)


@pytest.mark.parametrize("path", PATHS)
def test_another_workspace_sees_nothing(tenant: Tenant, stranger: Tenant, path: str) -> None:
    _, _, text = next((one for one in SEVERAL if path.startswith(f"{one[0]}/")), ("", "", SINGLE[0][1]))
    tenant.put(path, text)
    for behind in ("", "/revisions", "/revisions/1", "/diff?a=0&b=1"):
        assert tenant.ask("reader", "GET", path + behind).status_code == 200
        problem(stranger.ask("admin", "GET", path + behind), 404)
    problem(stranger.ask("admin", "DELETE", path), 404)
    problem(stranger.ask("admin", "POST", f"{path}/restore", json={"revision": 1}), 404)
    assert tenant.get(path)["version"] == 1


def test_a_purpose_policy_is_in_shadow_until_it_is_promoted(tenant: Tenant) -> None:
    put = tenant.put("/v1/purpose-policies/hours", purpose_policy("hours"), "writer")
    assert (put["live"], put["shadow"], put["newest"], put["revertible"]) == (None, 1, 1, False)


def test_yaml_is_taken_and_given_as_it_is(tenant: Tenant) -> None:
    text = "# why\nid: lookup\nstatus: active\nname: Käse\n"
    response = tenant.ask(
        "writer", "PUT", "/v1/purposes/lookup", params={"reason": "by hand", "expected_version": "0"},
        content=text.encode(), headers={"Content-Type": "application/yaml; charset=utf-8"},
    )  # fmt: skip
    assert good(response).json()["revision"]["reason"] == "by hand"
    for path in ("/v1/purposes/lookup", "/v1/purposes/lookup/revisions/1"):
        response = tenant.ask("reader", "GET", path, headers={"Accept": "application/yaml, */*"})
        assert (response.text, response.headers["content-type"]) == (text, "application/yaml")


def test_a_document_is_taken_as_fields(tenant: Tenant) -> None:
    fields = {"policy_id": "hours", "purpose_id": "lookup", "decision": "allow", "match": {"user_groups": ["sales"]}}
    response = tenant.ask("writer", "PUT", "/v1/purpose-policies/hours", json={"document": fields})
    assert "user_groups:" in good(response).json()["revision"]["text"]
    rules = {"document": {"allow": [{"capability": "files.read", "contains": 'a "quoted" \\ text'}]}}
    assert good(tenant.ask("writer", "PUT", "/v1/policies/base", json=rules)).json()["shadow"] == 1


@pytest.mark.parametrize("body", [{}, {"text": "id: a\n", "document": {"id": "a"}}, {"text": None}])
def test_a_draft_is_a_text_or_a_document(tenant: Tenant, body: dict[str, object]) -> None:
    problem(tenant.ask("writer", "PUT", "/v1/purposes/a", json=body), 422)


def test_every_problem_of_a_text_is_told_with_its_place_and_its_cure(tenant: Tenant) -> None:
    text = "policy_id: hours\npurpose_id: lookup\ndecision: alow\nmatc: {}\n"
    told = problem(tenant.ask("writer", "PUT", "/v1/purpose-policies/hours", json={"text": text}), 422)
    assert told["type"] == "urn:onpurpose:problem:unreadable_document"
    first, second = told["problems"]
    assert (first["line"], first["column"], first["length"]) == (3, 11, 4)
    assert "allow" in first["help"]
    assert first["excerpt"] == "decision: alow"
    assert (second["line"], second["code"]) == (4, "unknown-key")
    problem(tenant.ask("reader", "GET", "/v1/purpose-policies/hours"), 404)


def test_a_text_with_very_many_problems_is_told_the_first_of_them(tenant: Tenant) -> None:
    text = "".join(f"key{number}: 1\n" for number in range(3000))
    assert len(problem(tenant.ask("writer", "PUT", "/v1/policies/base", json={"text": text}), 422)["problems"]) == 100


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("who", "method", "behind"),
    [
        ("reader", "PUT", ""),
        ("reader", "DELETE", ""),
        ("reader", "POST", "/restore"),
        ("evaluator", "GET", ""),
        ("evaluator", "GET", "/revisions"),
        ("evaluator", "GET", "/revisions/1"),
        ("evaluator", "GET", "/diff?a=0&b=1"),
    ],
)
def test_without_the_scope_nothing_is_done(tenant: Tenant, path: str, who: str, method: str, behind: str) -> None:
    told = problem(tenant.ask(who, method, path + behind), 403)
    assert "scope" in told["detail"]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/v1/settings", "unmatched: allow\n"),
        ("/v1/purpose-policies/hours", purpose_policy("hours", more="shadow_mode: false\n")),
    ],
)
def test_what_would_decide_at_once_needs_the_right_to_promote(tenant: Tenant, path: str, text: str) -> None:
    told = problem(tenant.ask("writer", "PUT", path, json={"text": text}), 403)
    assert "policy:promote" in told["detail"]
    assert tenant.put(path, text, "promoter")["live"] == 1
    problem(tenant.ask("writer", "DELETE", path), 403)
    assert good(tenant.ask("promoter", "DELETE", path)).json()["removed"] is True


def test_a_change_against_an_old_version_conflicts(tenant: Tenant) -> None:
    first = tenant.put("/v1/purposes/lookup", PURPOSE, expected_version=0)
    changed = {"text": PURPOSE + "owner: me\n", "expected_version": 0}
    problem(tenant.ask("writer", "PUT", "/v1/purposes/lookup", json=changed), 409)
    second = tenant.put("/v1/purposes/lookup", changed["text"], expected_version=first["version"])
    assert second["newest"] == 2
    problem(tenant.ask("writer", "DELETE", "/v1/purposes/lookup?expected_version=1"), 409)
    restoring = {"revision": 1, "expected_version": 1}
    problem(tenant.ask("writer", "POST", "/v1/purposes/lookup/restore", json=restoring), 409)


def test_a_document_is_removed_and_restored(tenant: Tenant) -> None:
    tenant.put("/v1/purposes/lookup", PURPOSE)
    removed = good(tenant.ask("writer", "DELETE", "/v1/purposes/lookup?reason=unused")).json()
    assert (removed["number"], removed["removed"], removed["reason"]) == (2, True, "unused")
    problem(tenant.ask("reader", "GET", "/v1/purposes/lookup"), 404)
    assert tenant.get("/v1/purposes")["items"] == []
    assert [one["number"] for one in tenant.get("/v1/purposes/lookup/revisions")["items"]] == [2, 1]
    restored = tenant.post("/v1/purposes/lookup/restore", "writer", revision=1, reason="missed")
    assert (restored["newest"], restored["revision"]["text"]) == (3, PURPOSE)
    problem(tenant.ask("writer", "POST", "/v1/purposes/lookup/restore", json={"revision": 2}), 409)
    problem(tenant.ask("writer", "POST", "/v1/purposes/lookup/restore", json={"revision": 9}), 404)


def test_the_history_comes_in_pages_and_any_two_are_compared(tenant: Tenant) -> None:
    for number in range(5):
        tenant.put("/v1/purposes/lookup", f"{PURPOSE}owner: n{number}\n")
    first = tenant.get("/v1/purposes/lookup/revisions?limit=3")
    rest = tenant.get(f"/v1/purposes/lookup/revisions?limit=3&before={first['next']}")
    assert [one["number"] for one in first["items"] + rest["items"]] == [5, 4, 3, 2, 1]
    assert rest["next"] is None
    assert "text" not in first["items"][0]
    difference = tenant.get("/v1/purposes/lookup/diff?a=1&b=5")
    assert difference["diff"].splitlines()[-2:] == ["-owner: n0", "+owner: n4"]
    problem(tenant.ask("reader", "GET", "/v1/purposes/lookup/diff?a=1&b=6"), 404)
    problem(tenant.ask("reader", "GET", "/v1/purposes/lookup/diff?a=1"), 422)


@pytest.mark.parametrize("number", ["0", "-1", "x", "9" * 40, "1e1", "%31%00", "٣"])
def test_a_number_that_is_none_is_not_found(tenant: Tenant, number: str) -> None:
    tenant.put("/v1/purposes/lookup", PURPOSE)
    problem(tenant.ask("reader", "GET", f"/v1/purposes/lookup/revisions/{number}"), 404)


def test_a_list_comes_in_pages_by_name(tenant: Tenant) -> None:
    for name in ("c", "a", "b"):
        tenant.put(f"/v1/purposes/{name}", f"id: {name}\n")
    first = tenant.get("/v1/purposes?limit=2")
    assert ([one["name"] for one in first["items"]], first["next"]) == (["a", "b"], "b")
    assert [one["name"] for one in tenant.get("/v1/purposes?limit=2&after=b")["items"]] == ["c"]
    assert tenant.get("/v1/purposes?after=c") == {"items": [], "next": None}


@pytest.mark.parametrize("query", ["limit=0", "limit=501", "limit=x", "nope=1", "limit=1&limit=2", "after=a/b"])
def test_a_query_that_is_none_is_refused(tenant: Tenant, query: str) -> None:
    assert problem(tenant.ask("reader", "GET", f"/v1/purposes?{query}"), 422)["errors"]


def test_the_index_names_live_policies_alone(tenant: Tenant) -> None:
    index = "policies:\n  - file: base.yaml\n"
    told = problem(tenant.ask("promoter", "PUT", "/v1/index", json={"text": index}), 422)
    assert told["problems"][0]["code"] == "not-live"
    tenant.put("/v1/policies/base", POLICY)
    tenant.watch("policy", "base")
    tenant.post("/v1/policies/base/promote", reason="r")
    assert tenant.put("/v1/index", index)["live"] == 1
    problem(tenant.ask("promoter", "DELETE", "/v1/policies/base"), 409)


# -- hostile


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a%2Fb", "a b", "%00", "x" * 129, "a%0a", "'; DROP TABLE revisions"])
@pytest.mark.parametrize("path", ["/v1/purposes", "/v1/policies"])
def test_a_hostile_name_is_no_document(tenant: Tenant, path: str, name: str) -> None:
    assert tenant.ask("admin", "GET", f"{path}/{name}").status_code == 404
    assert tenant.ask("admin", "PUT", f"{path}/{name}", json={"text": POLICY}).status_code in (404, 422)
    assert tenant.get(path)["items"] == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"text"', 422),
        (b'{"text": 5}', 422),
        (b'{"text": "id: a", "text": "id: b"}', 400),
        (b'{"text": "id: a", "more": 1}', 422),
        (b'{"text": "id: a", "expected_version": "1"}', 422),
        (b'{"text": "id: a", "expected_version": -1}', 422),
        (b'{"text": "id: a", "expected_version": 1e400}', 400),
        (b'{"text": "\\ud800"}', 400),
        (b'{"text": "id: \\u0000"}', 422),
        (b'{"text": "id: a", "reason": "\\u0000"}', 422),
        (b'{"text": "id: a", "reason": "' + b"x" * 2001 + b'"}', 422),
        (b'{"document": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}", (400, 422)),
        (b'{"document": {"id": 123456789012345678901234567890}}', 422),
        (b'{"text": "' + b"x" * 1_000_001 + b'"}', 422),
        (b'{"text": "' + b"x" * 5_000_000 + b'"}', 413),
        (b'{"text": "a: &a [x]\\nb: *a"}', 422),
    ],
)
def test_a_hostile_body_is_refused_and_nothing_is_written(
    tenant: Tenant, body: bytes, status: int | tuple[int, ...]
) -> None:
    response = tenant.ask("writer", "PUT", "/v1/purposes/a", content=body, headers={"Content-Type": "application/json"})
    wanted = (status,) if isinstance(status, int) else status
    assert response.status_code in wanted, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert len(response.content) < 100_000
    assert tenant.get("/v1/purposes")["items"] == []


@pytest.mark.parametrize(
    "media", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json"]
)
def test_a_body_of_another_type_is_refused(tenant: Tenant, media: str) -> None:
    headers = {"Content-Type": media}
    problem(tenant.ask("writer", "PUT", "/v1/purposes/a", content=b'{"text": "id: a"}', headers=headers), 415)


@pytest.mark.parametrize("body", [b"\xff\xfe", b"id: a\x00", b"id: [" + b"[" * 100_000, b"#" * 1_000_001])
def test_hostile_yaml_is_refused(tenant: Tenant, body: bytes) -> None:
    headers = {"Content-Type": "application/yaml"}
    response = tenant.ask("writer", "PUT", "/v1/purposes/a", content=body, headers=headers)
    assert problem(response, response.status_code)["status"] in (400, 422)
    assert tenant.get("/v1/purposes")["items"] == []


@pytest.mark.parametrize("query", ["expected_version=x", "reason=a&reason=b", "text=id:a", "expected_version=-1"])
def test_a_query_beside_a_text_is_exact_too(tenant: Tenant, query: str) -> None:
    headers = {"Content-Type": "application/yaml"}
    problem(tenant.ask("writer", "PUT", f"/v1/purposes/a?{query}", content=b"id: a\n", headers=headers), 422)
    assert tenant.get("/v1/purposes")["items"] == []


def test_what_a_json_body_says_of_itself_stands_in_the_body(tenant: Tenant) -> None:
    told = problem(
        tenant.ask("writer", "PUT", "/v1/purposes/a?expected_version=7&reason=r", json={"text": "id: a\n"}), 422
    )
    assert [fault["pointer"] for fault in told["errors"]] == ["?expected_version", "?reason"]
    assert tenant.get("/v1/purposes")["items"] == []
