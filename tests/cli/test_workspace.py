"""A running service's workspace as a folder: pulled, pushed and compared, and nothing lost on the way."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import Result

from onpurpose.cli.workspace.remote import RefusedError, Remote
from onpurpose.core.revision import Kind
from tests.cli.command import run
from tests.cli.test_reference import same_keys, shape
from tests.loopback import asking
from tests.service.process import SET_ASIDE, SHELL, Process, put_in_force, running

PURPOSE = "id: support\nname: Support\nstatus: active\n"
POLICY = "policy_id: hours\npurpose_id: support\ndecision: allow\n"


@pytest.fixture(scope="module")
def running_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    directory = tmp_path_factory.mktemp("service")
    with running(str(directory / "t.db"), directory) as service:
        yield service


class Workspace:
    """A workspace of its own on the shared service, and its folder."""

    def __init__(self, service: Process, name: str, folder: Path) -> None:
        with service.client() as operator:
            made = operator.post("/v1/workspaces", json={"id": name, "name": name})
            assert made.status_code == 201, made.text
        self.url, self.folder = service.url, folder
        self.key = made.json()["secret"]
        self.client = asking(self.url, self.key)

    def run(self, verb: str, *options: str) -> Result:
        """The verb on the folder."""
        return run(verb, self.folder, "--url", self.url, "--key", self.key, *options)

    def write(self, path: str, text: str) -> Path:
        """A file of the folder."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
        return file

    def put(self, path: str, text: str) -> None:
        """Write a document by the API."""
        done = self.client.put(f"/v1/{path}?reason=test", content=text, headers={"Content-Type": "application/yaml"})
        assert done.status_code == 200, done.text

    def text(self, path: str) -> str:
        """A document by the API."""
        return str(self.client.get(f"/v1/{path}").json()["revision"]["text"])


@pytest.fixture
def workspace(running_service: Process, tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace(running_service, tmp_path.name.replace("_", "-")[-60:], tmp_path / "kept")
    with made.client:
        yield made


def files(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes().decode() for file in folder.rglob("*") if file.is_file()
    }


def results(done: Result) -> dict[str, str]:
    return {one["path"]: one["result"] for one in json.loads(done.stdout)["documents"]}


# -- pull


def test_a_pull_writes_the_newest_text_of_every_kind_of_document(workspace: Workspace) -> None:
    put_in_force(workspace.client)
    texts = {
        "purposes/support.yaml": PURPOSE,
        "purpose-policies/hours.yaml": POLICY,
        "policies/shell.yaml": SHELL,
        "index.yaml": "policies:\n  - file: shell.yaml\n    agent: ops\n",
        "settings.yaml": "unmatched: allow\r\n# Grüße",
    }
    for path, text in texts.items():
        workspace.put(path.removesuffix(".yaml"), text)
    done = workspace.run("pull")
    assert done.exit_code == 0, done.output
    assert files(workspace.folder) == texts
    again = workspace.run("pull", "--json")
    assert results(again) == dict.fromkeys(texts, "unchanged")
    assert workspace.run("diff").output == ""


def test_a_pull_replaces_a_text_that_the_service_had_before(workspace: Workspace) -> None:
    workspace.put("purposes/support", PURPOSE)
    workspace.run("pull")
    workspace.put("purposes/support", PURPOSE + "owner: ann\n")
    assert results(workspace.run("pull", "--json")) == {"purposes/support.yaml": "changed"}
    assert files(workspace.folder) == {"purposes/support.yaml": PURPOSE + "owner: ann\n"}


@pytest.mark.parametrize("options", [("--prune",), ()], ids=["removed", "changed"])
def test_a_pull_loses_no_work_that_was_not_pushed_unless_it_is_forced(
    workspace: Workspace, options: tuple[str, ...]
) -> None:
    mine, name = "id: support\nname: mine\n", "other" if options else "support"
    mine = mine.replace("support", name)
    workspace.put("purposes/support", PURPOSE)
    workspace.put("purposes/new", "id: new\n")
    workspace.write(f"purposes/{name}.yaml", mine)
    stopped = workspace.run("pull", *options)
    assert stopped.exit_code == 1
    assert f"not pushed  purposes/{name}.yaml" in stopped.stdout
    assert "--force" in stopped.stderr
    assert files(workspace.folder) == {f"purposes/{name}.yaml": mine}
    assert workspace.run("pull", "--force", *options).exit_code == 0
    assert files(workspace.folder) == {"purposes/support.yaml": PURPOSE, "purposes/new.yaml": "id: new\n"}


def test_a_pull_removes_files_only_with_prune_and_other_files_never(workspace: Workspace) -> None:
    workspace.put("purposes/support", PURPOSE)
    workspace.write("README.md", "mine")
    workspace.write("purposes/notes.txt", "mine too")
    workspace.run("pull")
    assert workspace.client.delete("/v1/purposes/support?reason=test").status_code == 200
    assert results(workspace.run("pull", "--json")) == {"purposes/support.yaml": "kept"}
    assert results(workspace.run("pull", "--prune", "--json")) == {"purposes/support.yaml": "removed"}
    assert files(workspace.folder) == {"README.md": "mine", "purposes/notes.txt": "mine too"}


@pytest.mark.parametrize("verb", ["pull", "push", "diff"])
@pytest.mark.parametrize("link", ["purposes", "purposes/support.yaml", "purposes/deep", "settings.yaml"])
def test_no_link_is_followed_out_of_the_folder(workspace: Workspace, tmp_path: Path, verb: str, link: str) -> None:
    workspace.put("purposes/support", PURPOSE)
    outside = tmp_path / "outside"
    outside.mkdir()
    target = outside / "secret" if link.endswith(".yaml") else outside
    (outside / "secret").write_text("unmatched: allow\n")
    place = workspace.folder / link
    place.parent.mkdir(parents=True)
    place.symlink_to(target)
    done = workspace.run(verb, *(("--reason", "test") if verb == "push" else ()))
    assert done.exit_code == 2
    assert "is a link" in done.stderr
    assert "help: " in done.stderr
    assert files(outside) == {"secret": "unmatched: allow\n"}
    assert workspace.client.get("/v1/settings").status_code == 404


# -- push


def test_a_push_writes_what_changed_with_its_reason_and_says_where_it_stands(workspace: Workspace) -> None:
    workspace.write("purposes/support.yaml", PURPOSE)
    workspace.write("purpose-policies/hours.yaml", POLICY)
    done = workspace.run("push", "--reason", "as agreed")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "created     purposes/support.yaml  (revision 1, live)\n"
        "created     purpose-policies/hours.yaml  (revision 1, in shadow)\n"
    )
    history = workspace.client.get("/v1/purposes/support/revisions").json()["items"]
    assert [one["reason"] for one in history] == ["as agreed"]
    workspace.write("purposes/support.yaml", PURPOSE + "owner: ann\n")
    told = workspace.run("push", "--reason", "owner", "--json")
    assert results(told) == {"purposes/support.yaml": "changed", "purpose-policies/hours.yaml": "unchanged"}
    assert workspace.text("purposes/support") == PURPOSE + "owner: ann\n"
    assert same_keys(shape("push"), json.loads(told.stdout))


def test_a_push_with_any_problem_sends_nothing_and_tells_all_of_them(workspace: Workspace) -> None:
    workspace.write("purposes/support.yaml", PURPOSE)
    workspace.write("purpose-policies/hours.yaml", "policy_id: hours\npurpose_id: support\ndecison: allow\n")
    workspace.write("policies/shell.yaml", "allow:\n  - capability: a b\n")
    workspace.write("policies/two words.yaml", SHELL)
    workspace.write("purposes/deep/x.yaml", "id: x\n")
    workspace.write("settings.yaml", " \n")
    (workspace.folder / "index.yaml").write_bytes(b"policies: \xff\n")
    done = workspace.run("push", "--reason", "test")
    assert done.exit_code == 1
    for place in ("purpose-policies/hours.yaml:3:1", "policies/shell.yaml:2:", "policies/two words.yaml:1:1",
                  "purposes/deep/x.yaml:1:1", "settings.yaml:1:1", "index.yaml:1:11"):  # fmt: skip
        assert f"{workspace.folder}/{place}" in done.stdout
    assert workspace.client.get("/v1/purposes").json()["items"] == []
    told = json.loads(workspace.run("push", "--reason", "test", "--json").stdout)
    assert {one["severity"] for one in told["problems"]} == {"error"}


def test_a_push_needs_a_reason(workspace: Workspace) -> None:
    workspace.write("purposes/support.yaml", PURPOSE)
    for options in ((), ("--reason", " ")):
        done = workspace.run("push", *options)
        assert done.exit_code == 2
        assert "--reason" in done.stderr
    assert workspace.client.get("/v1/purposes").json()["items"] == []


def test_a_dry_run_shows_the_plan_and_changes_nothing(workspace: Workspace) -> None:
    workspace.put("purposes/support", PURPOSE)
    workspace.put("purposes/old", "id: old\n")
    workspace.write("purposes/support.yaml", PURPOSE + "owner: ann\n")
    done = workspace.run("push", "--dry-run")
    assert done.exit_code == 0
    assert "kept        purposes/old.yaml\n" in done.stdout
    assert "would be changed  purposes/support.yaml\n" in done.stdout
    assert "\n+owner: ann\n" in done.stdout
    assert results(workspace.run("push", "--dry-run", "--prune", "--json")) == {
        "purposes/old.yaml": "would be removed", "purposes/support.yaml": "would be changed",
    }  # fmt: skip
    assert workspace.text("purposes/support") == PURPOSE


def test_a_push_removes_documents_only_with_prune_and_the_index_before_its_policies(workspace: Workspace) -> None:
    put_in_force(workspace.client)
    workspace.put("index", "policies:\n  - file: shell.yaml\n    agent: ops\n")
    workspace.folder.mkdir()
    assert set(results(workspace.run("push", "--reason", "test", "--json")).values()) == {"kept"}
    gone = workspace.run("push", "--reason", "test", "--prune", "--json")
    assert gone.exit_code == 0, gone.output
    assert results(gone) == {"index.yaml": "removed", "policies/shell.yaml": "removed"}
    assert workspace.client.get("/v1/policies/shell").status_code == 404


def test_what_the_service_does_not_take_is_told_and_the_rest_is_pushed(workspace: Workspace) -> None:
    workspace.write("policies/shell.yaml", SHELL)
    workspace.write("index.yaml", "policies:\n  - file: shell.yaml\n    agent: ops\n")
    workspace.write("settings.yaml", "unmatched: allow\n")
    done = workspace.run("push", "--reason", "test", "--json")
    assert done.exit_code == 1
    told = {one["path"]: one for one in json.loads(done.stdout)["documents"]}
    assert told["index.yaml"]["result"] == "refused"
    assert "no live policy `shell`" in told["index.yaml"]["message"]
    assert "promote it first" in told["index.yaml"]["help"]
    assert (told["policies/shell.yaml"]["result"], told["settings.yaml"]["result"]) == ("created", "created")
    promoted = workspace.client.post("/v1/policies/shell/promote", json={"reason": "test", "overrides": SET_ASIDE})
    assert promoted.status_code == 200
    assert workspace.run("push", "--reason", "test").exit_code == 0
    assert workspace.run("diff").exit_code == 0


def test_a_live_policy_that_the_index_names_is_not_removed_under_it(workspace: Workspace) -> None:
    put_in_force(workspace.client)
    workspace.put("index", "policies:\n  - file: shell.yaml\n    agent: ops\n")
    workspace.write("index.yaml", workspace.text("index"))
    done = workspace.run("push", "--reason", "test", "--prune")
    assert done.exit_code == 1
    assert "conflict    policies/shell.yaml\n  the index names the policy `shell`" in done.stdout
    assert workspace.text("policies/shell") == SHELL


# -- diff


def test_a_diff_shows_both_sides_and_exits_with_1_only_where_they_differ(workspace: Workspace) -> None:
    workspace.put("purposes/support", PURPOSE)
    workspace.put("purposes/old", "id: old\n")
    workspace.write("purposes/support.yaml", PURPOSE.replace("Support", "Help"))
    workspace.write("settings.yaml", "unmatched: allow\n")
    done = workspace.run("diff")
    assert done.exit_code == 1
    assert done.stdout == (
        "--- a/purposes/support.yaml\n+++ b/purposes/support.yaml\n@@ -1,3 +1,3 @@\n id: support\n-name: Support\n"
        "+name: Help\n status: active\n"
        "--- a/settings.yaml\n+++ b/settings.yaml\n@@ -0,0 +1 @@\n+unmatched: allow\n"
        "--- a/purposes/old.yaml\n+++ b/purposes/old.yaml\n@@ -1 +0,0 @@\n-id: old\n"
    )
    told = json.loads(workspace.run("diff", "--json").stdout)
    assert [one["action"] for one in told["differences"]] == ["change", "add", "remove"]
    assert same_keys(shape("diff"), told)
    pulled = workspace.run("pull", "--force", "--prune", "--json")
    assert same_keys(shape("pull"), json.loads(pulled.stdout))
    assert (workspace.run("diff").exit_code, workspace.run("diff").output) == (0, "")


def test_a_diff_of_the_ends_of_lines_alone_is_told(workspace: Workspace) -> None:
    workspace.put("purposes/support", PURPOSE)
    workspace.write("purposes/support.yaml", PURPOSE.replace("\n", "\r\n"))
    done = workspace.run("diff")
    assert (done.exit_code, done.stdout) == (1, "purposes/support.yaml: only the ends of lines differ\n")


# -- the service


@pytest.mark.parametrize("verb", ["pull", "push", "diff"])
def test_a_service_that_does_not_answer_is_one_line_and_a_cure(workspace: Workspace, verb: str) -> None:
    workspace.folder.mkdir()
    reason = ("--reason", "test") if verb == "push" else ()
    scopes = {"name": "asks", "scopes": ["evaluate"]}
    weak = workspace.client.post("/v1/keys", json=scopes).json()["secret"]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
    for url, key, said in (
        (nobody, workspace.key, "cannot be reached"),
        (workspace.url, "op_wrong", "does not take the key"),
        (workspace.url, weak, "the scope `read`"),
        (f"{workspace.url}/elsewhere", workspace.key, "does not answer as a service"),
        ("gate.example", workspace.key, "a service has a URL such as"),
        (workspace.url, "two words", "no key"),
        ("", workspace.key, "no service named"),
        (workspace.url, "", "no key for the service"),
    ):
        done = run(verb, workspace.folder, "--url", url, "--key", key, *reason)
        assert (done.exit_code, done.stdout) == (2, "")
        first, second = done.stderr.splitlines()
        assert first.startswith("error: ")
        assert said in first
        assert second.startswith("  help: ")
        assert workspace.key not in done.stderr


def test_what_was_pushed_before_a_scope_was_missing_is_told(workspace: Workspace) -> None:
    scopes = {"name": "writes", "scopes": ["read", "policy:write"]}
    workspace.key = workspace.client.post("/v1/keys", json=scopes).json()["secret"]
    workspace.write("purposes/support.yaml", PURPOSE)
    workspace.write("purpose-policies/hours.yaml", POLICY + "shadow_mode: false\n")
    done = workspace.run("push", "--reason", "test")
    assert done.exit_code == 2
    assert done.stdout == "created     purposes/support.yaml  (revision 1, live)\n"
    assert "the scope `policy:promote`" in done.stderr


def test_url_and_key_are_read_from_the_environment(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONPURPOSE_URL", workspace.url)
    monkeypatch.setenv("ONPURPOSE_KEY", workspace.key)
    workspace.put("purposes/support", PURPOSE)
    assert run("pull", workspace.folder).exit_code == 0
    assert files(workspace.folder) == {"purposes/support.yaml": PURPOSE}
    assert workspace.key not in run("pull", "--help").output


def test_a_document_that_changes_while_it_is_pushed_stays_and_is_told_of(workspace: Workspace) -> None:
    workspace.put("purposes/support", PURPOSE)
    with closing(Remote(workspace.url, workspace.key)) as remote:
        seen = remote.documents()[Kind.PURPOSE, "support"]
        workspace.put("purposes/support", PURPOSE + "owner: ann\n")
        with pytest.raises(RefusedError, match="is at version 2") as refused:
            remote.save(Kind.PURPOSE, "support", "id: support\n", reason="test", version=seen.version)
        assert refused.value.conflict
        with pytest.raises(RefusedError, match="is at version 2"):
            remote.remove(Kind.PURPOSE, "support", reason="test", version=seen.version)
    assert workspace.text("purposes/support") == PURPOSE + "owner: ann\n"


@contextmanager
def answering(*answers: tuple[int, object]) -> Iterator[str]:
    """A service that gives these answers, one after another, and the last one ever after; its URL."""
    left = list(answers)

    class Hostile(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, told = left.pop(0) if len(left) > 1 else left[0]
            body = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the server's own word
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Hostile) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        {"items": [{"name": "../../x"}], "next": None},
        {"items": [{"name": "/etc/x"}], "next": None},
        {"items": [{"name": "a"}, {"name": "a"}], "next": None},
        {"items": [{"name": "a"}], "next": "a"},
        {"items": [{"name": 3}], "next": None},
        {"items": 3},
        [],
        b"<html>",
        b"[" * 100_000,
    ],
    ids=["upwards", "absolute", "twice", "for ever", "number", "no list", "no object", "html", "deep"],
)
def test_an_answer_that_no_service_of_ours_gives_writes_nothing(tmp_path: Path, answer: object) -> None:
    with answering((200, answer)) as url:
        done = run("pull", tmp_path / "folder", "--url", url, "--key", "op_x")
    assert done.exit_code == 2
    assert "help: is" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_is_asked_too_often_is_asked_again_and_not_for_ever(tmp_path: Path) -> None:
    busy = (429, {"detail": "this key asks too often"})
    with answering(busy, (200, {"items": [], "next": None}), busy, busy, (404, {"detail": "nothing"})) as url:
        stopped = run("diff", tmp_path, "--url", url, "--key", "op_x")
    assert "does not answer as a service" in stopped.stderr  # the lists are not there
    with answering(busy) as url:
        given_up = run("diff", tmp_path, "--url", url, "--key", "op_x")
    assert given_up.exit_code == 2
    assert "answers 429: this key asks too often" in given_up.stderr
