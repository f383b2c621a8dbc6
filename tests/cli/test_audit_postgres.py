"""The verbs of `audit` on a log in PostgreSQL, signed with the key that comes from a service's secret."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from onpurpose.adapters.parquet import DayFiles
from onpurpose.adapters.signing import SecretKey
from onpurpose.adapters.sql.postgres import PostgresLedger, store
from tests.adapters.postgres_log import record
from tests.cli.command import run, run_json
from tests.cli.test_archive import OLD, Served

SECRET = "s" * 40


@pytest.fixture
def log(postgres_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log of five records, closed, so that all are covered; its secret in the file `secret` of the folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ONPURPOSE_SECRET", raising=False)
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    (tmp_path / "key.pub").write_text(SecretKey(SECRET).public_key.hex())
    anchor = tmp_path / "anchor"
    with PostgresLedger(postgres_store_url, signer=SecretKey(SECRET), anchor=anchor) as ledger:
        for number in range(5):
            ledger.append(record(number)).result(30)
    return postgres_store_url


@pytest.mark.parametrize("options", [("--secret-file", "secret"), ("--public-key", "key.pub"), ()])
def test_a_log_in_postgresql_is_verified_with_the_key_of_the_secret(
    log: str, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONPURPOSE_SECRET", "x" * 40 if options else f" {SECRET}\n")
    result = run("audit", "verify", "--log", log, *options)
    assert result.exit_code == 0, result.output
    assert "nothing wrong" in result.stdout
    assert "signed with the key" in result.stdout
    assert "beside the log" not in result.stdout
    assert str(urlsplit(log).password) not in result.output


def test_without_a_key_it_is_a_finding_that_signatures_are_not_checked(log: str) -> None:
    result = run("audit", "verify", "--log", log)
    assert result.exit_code == 1
    assert "signatures were not checked: give the service's secret in ONPURPOSE_SECRET" in result.stdout
    assert [one["kind"] for one in run_json("audit", "verify", "--log", log)["findings"]] == ["key"]


def test_a_change_in_the_database_and_another_secret_are_findings(log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONPURPOSE_SECRET", "x" * 40)
    assert run("audit", "verify", "--log", log).exit_code == 1
    monkeypatch.setenv("ONPURPOSE_SECRET", SECRET)
    anchor = run_json("audit", "verify", "--log", log)["anchor"]
    assert run("audit", "verify", "--log", log, "--expect", anchor).exit_code == 0
    with psycopg.connect(log) as connection:
        connection.execute("UPDATE records SET body = %s WHERE body = %s", (b"{}", record(3).body))
    found = run_json("audit", "verify", "--log", log)["findings"]
    assert "changed" in {one["kind"] for one in found}


def test_a_log_in_postgresql_is_exported_and_its_end_shown(log: str) -> None:
    lines = [json.loads(line) for line in run("audit", "export", "--log", log).stdout.splitlines()]
    numbers = [line["record"]["number"] for line in lines if "number" in line["record"]]
    assert numbers == [0, 1, 2, 3, 4]
    shown = [json.loads(line) for line in run("audit", "tail", "-n", "2", "--json", "--log", log).stdout.splitlines()]
    assert shown == lines[-2:]


@pytest.mark.parametrize("verb", ["export", "tail"])
def test_a_database_without_a_log_is_unreadable_input(postgres_url: str, verb: str) -> None:
    result = run("audit", verb, "--log", postgres_url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is none in this database" in result.stderr


@pytest.mark.parametrize("verb", ["verify", "export", "tail"])
def test_what_is_no_url_of_a_database_is_wrong_use_and_tells_no_password(verb: str) -> None:
    result = run("audit", verb, "--log", "postgresql://user:sesame@host:5432/name?nonsense=1")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "help: write it as postgresql://USER@HOST/NAME" in result.stderr
    assert "sesame" not in result.output


def test_a_secret_is_refused_for_a_log_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "log.db.pub").write_text("")
    (tmp_path / "secret").write_text(SECRET)
    result = run("audit", "verify", "--log", tmp_path / "log.db", "--secret-file", tmp_path / "secret")
    assert result.exit_code == 2
    assert "--public-key" in result.stderr


def test_a_log_whose_days_were_let_go_is_whole_with_the_folder_of_their_files(
    postgres_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONPURPOSE_SECRET", raising=False)
    served = Served(postgres_store_url, tmp_path)
    with monkeypatch.context() as patch, served.ledger() as ledger:
        patch.setattr(store, "_today", lambda: OLD)
        ledger.append(record(1)).result(30)
    assert served.run("archive").exit_code == 0
    assert served.run("retain", "--day", OLD, "--reason", "old").exit_code == 0
    verify = ("audit", "verify", "--log", served.url, "--secret-file", tmp_path / "onpurpose.secret")
    report = run_json(*verify)
    assert (report["ok"], report["whole"], report["findings"]) == (True, False, [])
    digest = DayFiles(served.folder).digest(OLD)
    told = {"day": str(OLD), "file": f"records-{OLD}.parquet", "digest": digest, "records": 2, "proven": True}
    assert report["away"] == [told]
    result = run(*verify)
    assert result.exit_code == 5
    assert f"not at hand: {OLD}, 2 records, let go: records-{OLD}.parquet, SHA-256 {digest}\n" in result.stdout
    assert ": nothing wrong, without 1 archived day\n" in result.stdout
    assert "  those days were not checked: name the folder that holds their files by --folder\n" in result.stdout
    found = run(*verify, "--folder", served.folder)
    assert (found.exit_code, "not at hand" in found.stdout) == (0, False)
    exported = run("audit", "export", "--log", served.url, "--folder", served.folder).stdout.splitlines()
    assert [json.loads(line)["record"].get("number") for line in exported].count(1) == 1
