"""What `onpurpose serve` does when it starts: many policies, a second time, and where something is amiss."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from onpurpose.adapters.sql.documents import SqlDocuments
from onpurpose.adapters.sql.engine import open_store
from onpurpose.adapters.vault import VARIABLE
from onpurpose.cli.main import main
from onpurpose.core.errors import OnPurposeError
from onpurpose.core.revision import Change, Kind
from onpurpose.place import Options
from onpurpose.service import Service
from tests.service.process import SHELL, ask, put_in_force, running

POLICIES = 10_000
PURPOSES = 100
SECRET = "onpurpose-test-" + "x" * 32


def refused(*options: str, secret: str | None = None) -> str:
    """What a service that does not start says: in clear lines, with exit code 2, and without a trace."""
    result = CliRunner().invoke(main, ["serve", "--port", "0", *options], env={VARIABLE: secret})
    assert result.exit_code == 2, result.output
    assert "A key" not in result.output
    assert result.stderr.startswith("error: ")
    assert "Traceback" not in result.stderr
    return result.stderr


def fill(path: Path) -> None:
    """Write that many documents into the store, in one change."""
    with contextlib.closing(open_store(str(path))) as store, contextlib.closing(SqlDocuments(store)) as documents:
        documents.change("default", list(_changes()), author="test", at=1, reason="many", notes=())


def _changes() -> Iterator[Change]:
    yield Change(kind=Kind.POLICY, name="shell", expected=0, text=SHELL, live=1)
    for i in range(PURPOSES):
        text = f"id: purpose-{i}\nstatus: active\n"
        yield Change(kind=Kind.PURPOSE, name=f"purpose-{i}", expected=0, text=text, live=1)
    for i in range(POLICIES - PURPOSES - 1):
        decision = "deny" if i % PURPOSES == 7 else "allow"
        text = f"policy_id: p-{i}\npurpose_id: purpose-{i % PURPOSES}\ndecision: {decision}\nshadow_mode: false\n"
        text += f"match:\n  identity_required: false\n  agent_ids: [agent-{i // PURPOSES}]\n"
        yield Change(kind=Kind.PURPOSE_POLICY, name=f"p-{i}", expected=0, text=text, live=1)


def test_a_service_with_ten_thousand_policies_starts_and_decides_by_each(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with running(str(path), tmp_path) as first:
        key = first.key
    fill(path)
    with running(str(path), tmp_path, key=key) as service, service.client() as client:
        assert client.get("/readyz").status_code == 200
        assert ask(client)["outcome"] == "allow"
        assert ask(client, agent_id="agent-42", purpose_id="purpose-8")["outcome"] == "allow"
        assert ask(client, agent_id="agent-42", purpose_id="purpose-7")["outcome"] == "deny"
        assert ask(client, agent_id="agent-77777", purpose_id="purpose-8")["outcome"] == "deny"


def test_the_key_is_printed_by_the_first_start_alone_and_counts_after_it(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with running(str(path), tmp_path) as first:
        key = first.key
        assert key
        with first.client() as client:
            put_in_force(client)
    with running(str(path), tmp_path) as second:
        assert second.key == ""
        second.key = key
        with second.client() as client:
            assert ask(client)["outcome"] == "allow"


def test_another_secret_than_the_store_was_sealed_under_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "t.db")
    with running(path, tmp_path):
        pass
    said = refused("--database", path, secret=SECRET)
    assert "was sealed under another secret" in said
    assert "help: set ONPURPOSE_SECRET" in said
    assert SECRET not in said


def test_a_secret_that_is_too_short_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    said = refused("--database", str(tmp_path / "t.db"), secret="short")
    assert "shorter than 32 characters" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("no directory")
    path = tmp_path / folder / "t.db"
    assert str(path) in refused("--database", str(path), secret=SECRET)
    assert str(path.parent) in refused("--database", str(path))


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    content = secrets.token_bytes(8192)
    path.write_bytes(content)
    assert "it is no database" in refused("--database", str(path))
    assert path.read_bytes() == content


def test_a_postgres_that_does_not_answer_is_named_without_its_password(tmp_path: Path) -> None:
    with socket.socket() as probe:  # bound, and nobody listens
        probe.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{probe.getsockname()[1]}"
        database = f"postgresql://gate:hidden-word@{place}/control"
        said = refused("--database", database, "--directory", str(tmp_path))
    assert place in said
    assert "hidden-word" not in said


def test_a_port_that_is_taken_is_told_before_a_key_is_made(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port}" in refused("--database", str(path), "--port", port)
    assert not path.exists()


@pytest.mark.parametrize(
    ("unfit", "said"),
    [
        ({"ONPURPOSE_PUBLIC_URL": "nowhere"}, "ONPURPOSE_PUBLIC_URL"),
        ({"ONPURPOSE_SMTP_URL": "smtp://mail.example"}, "ONPURPOSE_MAIL_FROM"),
        ({"ONPURPOSE_SMTP_URL": "ftp://mail.example", "ONPURPOSE_MAIL_FROM": "a@b.example"}, "mail cannot be sent"),
        ({"ONPURPOSE_SLACK_SIGNING_SECRET": "s"}, "ONPURPOSE_SLACK_BOT_TOKEN"),
        ({"ONPURPOSE_WEBHOOK_REACH": "everywhere"}, "ONPURPOSE_WEBHOOK_REACH"),
        ({"ONPURPOSE_OIDC_ISSUER": "https://id.example"}, "ONPURPOSE_OIDC_CLIENT_ID"),
        ({"ONPURPOSE_OIDC_ROLES": "[]"}, "ONPURPOSE_OIDC_ROLES"),
    ],
)
def test_an_unfit_environment_is_refused_before_the_first_key_is_made(
    tmp_path: Path, unfit: dict[str, str], said: str
) -> None:
    path = str(tmp_path / "t.db")
    around = {VARIABLE: SECRET}
    with pytest.raises(OnPurposeError, match=said):
        Service(Options(database=path, environment=around | unfit))
    service = Service(Options(database=path, environment=around))
    service.close()
    assert service.first_key is not None
