"""Old days of a log in PostgreSQL are archived and let go from the command line, and by nothing but an order."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import psycopg
import pytest
from click.testing import Result

from onpurpose.adapters.parquet import DayFiles
from onpurpose.adapters.signing import SecretKey, verify_signature
from onpurpose.adapters.sql.postgres import PostgresArchive, PostgresLedger, partitions, store
from onpurpose.app import audit
from onpurpose.core.chain import Finding
from onpurpose.place import Options
from onpurpose.service import Service
from tests.adapters.postgres_log import record
from tests.cli.command import is_tame, run, run_json
from tests.cli.test_reference import same_keys, shape

TODAY = datetime.now(UTC).date()
OLD, NEXT, IDLE = (TODAY - timedelta(days=ago) for ago in (9, 8, 7))
SECRET = "s" * 40


class Served:
    """A service's log, its secret and its anchor; every use of the command names the three."""

    def __init__(self, url: str, directory: Path, secret: str = SECRET) -> None:
        self.url = url
        self.directory = directory
        self.folder = directory / "days"
        self.signer = SecretKey(secret)
        file = directory / "onpurpose.secret"
        file.write_text(secret)
        file.chmod(0o600)

    def ledger(self) -> PostgresLedger:
        return PostgresLedger(self.url, signer=self.signer, anchor=self.directory / "onpurpose.anchor")

    def args(self, verb: str, *more: object) -> tuple[object, ...]:
        place = ("--database", self.url, "--folder", self.folder, "--directory", self.directory)
        return ("audit", verb, *place, *more)

    def run(self, verb: str, *more: object) -> Result:
        return run(*self.args(verb, *more))

    def findings(self) -> tuple[Finding, ...]:
        def archive() -> PostgresArchive:
            anchor = self.directory / "onpurpose.anchor"
            return PostgresArchive(self.url, anchor=anchor, archived=DayFiles(self.folder))

        return audit.verify(archive, public_key=self.signer.public_key, verify_signature=verify_signature).findings

    def told(self, kind: str) -> list[dict[str, Any]]:
        """The bodies of the records of a kind, those in the database alone."""
        with psycopg.connect(self.url) as connection:
            bodies = [orjson.loads(body) for (body,) in connection.execute("SELECT body FROM records ORDER BY seq")]
        return [body for body in bodies if body["kind"] == kind]

    def days(self) -> set[date]:
        """The days of which the database holds records."""
        with psycopg.connect(self.url) as connection:
            return {day for (day,) in connection.execute("SELECT DISTINCT day FROM records")}


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch) -> Callable[[Served, date, int], None]:
    """Has a service write some records on a day."""

    def write(served: Served, day: date, count: int) -> None:
        with monkeypatch.context() as patch, served.ledger() as ledger:
            patch.setattr(store, "_today", lambda: day)
            for number in range(count):
                ledger.append(record(number)).result(30)

    return write


@pytest.fixture
def served(
    postgres_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Served, date, int], None]
) -> Served:
    """A log of two old days, and an empty one behind them."""
    monkeypatch.delenv("ONPURPOSE_SECRET", raising=False)
    monkeypatch.delenv("ONPURPOSE_DATABASE", raising=False)
    made = Served(postgres_store_url, tmp_path)
    write(made, OLD, 20)
    write(made, NEXT, 10)
    with psycopg.connect(made.url, autocommit=True) as connection:
        assert IDLE in partitions.days(connection)
    return made


def refused(result: Result) -> str:
    """What a verb that cannot go on says: one line of error and one of help, nothing on stdout."""
    error, cure = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, "")
    assert error.startswith("error: ")
    assert cure.startswith("  help: ")
    return result.stderr


def test_every_closed_day_that_holds_a_record_is_archived_once(served: Served) -> None:
    result = served.run("archive")
    assert result.exit_code == 0
    assert result.stderr == f"archiving {OLD} (1 of 2)\narchiving {NEXT} (2 of 2)\n"
    files = DayFiles(served.folder)
    assert result.stdout == (
        f"{OLD}: 21 records in records-{OLD}.parquet, SHA-256 {files.digest(OLD)}\n"
        f"{NEXT}: 11 records in records-{NEXT}.parquet, SHA-256 {files.digest(NEXT)}\n"
    )
    assert files.days() == [OLD, NEXT]
    again = served.run("archive")
    assert again.stdout == "nothing to archive: every closed day that holds a record is archived\n"
    assert [told["day"] for told in served.told("archive.made")] == [str(OLD), str(NEXT)]
    assert served.findings() == ()


def test_the_digest_of_a_file_and_who_made_it_stand_in_the_log_signed_with_the_key_of_the_service(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "somebody-else")
    (told,) = run_json(*served.args("archive", "--day", OLD))["archived"]
    (made,) = served.told("archive.made")
    assert (made["by"], made["workspace"]) == (pwd.getpwuid(os.getuid()).pw_name, "default")
    assert told["digest"] == made["digest"] == DayFiles(served.folder).digest(OLD)
    assert (told["day"], told["file"], told["records"], told["chains"]) == (str(OLD), made["file"], 21, 1)
    assert told["receipt"]["chain"] not in made["chains"]
    assert served.findings() == ()


def test_a_day_that_was_archived_is_let_go_by_an_order_and_the_log_is_verified_from_its_file(served: Served) -> None:
    served.run("archive")
    result = served.run("retain", "--day", OLD, "--reason", " a year is over ")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{OLD}: let go; its archive in {served.folder} is now the only copy\n")
    assert served.days() == {NEXT, TODAY}
    (ordered,) = served.told("retention.ordered")
    assert (ordered["day"], ordered["reason"]) == (str(OLD), "a year is over")
    told = run_json(*served.args("retain", "--day", NEXT, "--reason", "old"))
    assert (told["day"], told["reason"], set(told["receipt"])) == (str(NEXT), "old", {"chain", "seq", "hash"})
    assert told["ordered_before"] is False
    assert served.days() == {TODAY}
    assert served.findings() == ()
    assert served.run("archive").exit_code == 0


def test_days_on_which_nobody_wrote_stand_in_nobodys_way(
    served: Served, write: Callable[[Served, date, int], None]
) -> None:
    later = TODAY - timedelta(days=4)
    write(served, later, 3)
    served.run("archive")
    for day in (OLD, NEXT, later):
        assert served.run("retain", "--day", day, "--reason", "old").exit_code == 0
    assert served.days() == {TODAY}
    assert DayFiles(served.folder).days() == [OLD, NEXT, later]
    assert served.findings() == ()


def test_a_day_is_archived_again_where_records_came_after_it_was(
    served: Served, write: Callable[[Served, date, int], None]
) -> None:
    served.run("archive")
    write(served, OLD, 1)
    assert "archive it again" in refused(served.run("retain", "--day", OLD, "--reason", "old"))
    assert run_json(*served.args("archive", "--day", OLD))["archived"][0]["records"] == 23
    assert served.run("retain", "--day", OLD, "--reason", "old").exit_code == 0
    assert served.findings() == ()


def test_json_has_the_shape_that_the_page_shows(served: Served) -> None:
    assert same_keys(shape("audit archive"), run_json(*served.args("archive")))
    assert run_json(*served.args("archive")) == {"archived": [], "unfinished": []}
    assert same_keys(shape("audit retain"), run_json(*served.args("retain", "--day", OLD, "--reason", "old")))


@pytest.mark.parametrize("day", [TODAY, TODAY - timedelta(days=1), IDLE, date(2001, 1, 1)])
def test_only_a_closed_day_that_holds_a_record_is_archived(served: Served, day: date) -> None:
    assert f"{day} cannot be archived" in refused(served.run("archive", "--day", day))
    assert served.told("archive.made") == []


def test_only_the_oldest_day_is_let_go_and_only_when_its_file_is_as_it_was(served: Served) -> None:
    assert "no record says that it was archived" in refused(served.run("retain", "--day", OLD, "--reason", "old"))
    served.run("archive")
    assert "only the oldest closed day can" in refused(served.run("retain", "--day", NEXT, "--reason", "old"))
    (served.folder / f"records-{OLD}.parquet").write_bytes(b"PAR1")
    assert "not the one that was recorded" in refused(served.run("retain", "--day", OLD, "--reason", "old"))
    (served.folder / f"records-{OLD}.parquet").unlink()
    assert "cannot be read" in refused(served.run("retain", "--day", OLD, "--reason", "old"))
    assert served.days() == {OLD, NEXT, TODAY}
    assert served.told("retention.ordered") == []


def test_a_day_stays_while_somebody_reads_the_log_and_is_let_go_when_they_are_done(served: Served) -> None:
    served.run("archive")
    with psycopg.connect(served.url) as reader:
        reader.execute("SELECT count(*) FROM records")
        assert "another process holds its lock" in refused(served.run("retain", "--day", OLD, "--reason", "old"))
    assert served.days() == {OLD, NEXT, TODAY}
    late = served.run("archive")
    assert (late.exit_code, run_json(*served.args("archive"))["unfinished"]) == (0, [str(OLD)])
    assert f"{OLD} was to be let go and is still there: run `onpurpose audit retain --day {OLD}` again" in late.stderr
    done = served.run("retain", "--day", OLD, "--reason", "another")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[1].startswith("  ordered before and not carried out until now, by record ")
    assert done.stdout.splitlines()[1].endswith(": old")
    assert [one["reason"] for one in served.told("retention.ordered")] == ["old"]
    assert served.days() == {NEXT, TODAY}
    assert served.findings() == ()


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_recorded(served: Served) -> None:
    served.folder.write_text("a file")
    for folder in (served.folder, served.folder / "within"):
        told = refused(served.run("archive", "--day", OLD, "--folder", folder))
        assert str(folder) in told
        assert "cannot be used" in told
    assert served.told("archive.made") == []


def test_a_damaged_day_is_not_archived_and_those_before_it_are(served: Served) -> None:
    with psycopg.connect(served.url, autocommit=True) as connection:
        connection.execute("UPDATE records SET body = '{}' WHERE day = %s AND seq = 5", (NEXT,))
    result = served.run("archive")
    assert result.exit_code == 2
    assert result.stdout.startswith(f"{OLD}: 21 records")
    assert "record 5 of the chain" in result.stderr
    assert "  help: run `onpurpose audit verify`" in result.stderr
    assert DayFiles(served.folder).days() == [OLD]


@pytest.mark.parametrize("verb", [("archive",), ("retain", "--day", OLD, "--reason", "old")], ids=lambda verb: verb[0])
@pytest.mark.parametrize("database", ["onpurpose.db", "sqlite:///onpurpose.db", "mysql://ann:hidden@db/log"])
def test_days_of_another_log_than_one_in_postgresql_are_not_archived(
    tmp_path: Path, verb: tuple[object, ...], database: str
) -> None:
    name, *more = verb
    told = refused(run("audit", name, "--database", database, "--folder", tmp_path, *more))
    assert "a log in PostgreSQL alone" in told
    assert "hidden" not in told
    assert list(tmp_path.iterdir()) == []


def test_no_secret_is_made_where_there_is_none(served: Served) -> None:
    secret = served.directory / "onpurpose.secret"
    secret.unlink()
    assert f"there is no secret `{secret}`" in refused(served.run("archive"))
    assert not secret.exists()
    assert "there is no folder" in refused(served.run("archive", "--directory", served.directory / "gone"))
    secret.write_text(SECRET)
    secret.chmod(0o644)
    assert "others than its owner could read it" in refused(served.run("archive"))


def test_the_secret_may_come_from_the_environment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    (served.directory / "onpurpose.secret").unlink()
    monkeypatch.setenv("ONPURPOSE_SECRET", "short")
    assert "shorter than 32 characters" in refused(served.run("archive"))
    monkeypatch.setenv("ONPURPOSE_SECRET", SECRET)
    assert served.run("archive").exit_code == 0
    assert served.findings() == ()


def test_a_log_is_not_signed_with_another_key_than_its_own(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONPURPOSE_SECRET", "t" * 40)
    assert "signed with another key" in refused(served.run("archive", "--day", OLD))
    assert served.told("archive.made") == []
    assert served.findings() == ()


def test_a_service_goes_on_with_a_log_whose_day_was_let_go(
    postgres_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = Options(database=postgres_store_url, directory=str(tmp_path), environment={})
    with monkeypatch.context() as patch:
        patch.setattr(store, "_today", lambda: OLD)
        Service(options).close()  # it made its secret, and recorded its first key
    served = Served(postgres_store_url, tmp_path, (tmp_path / "onpurpose.secret").read_text().strip())
    assert served.days() == {OLD}
    with closing(Service(options)) as service:
        assert served.run("archive").exit_code == 0
        assert served.run("retain", "--day", OLD, "--reason", "old").exit_code == 0
        assert service.unready() == []
        service.ledger.append(record(1)).result(30)
    assert served.days() == {TODAY}
    assert served.findings() == ()


def test_a_database_without_a_log_gets_none(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONPURPOSE_SECRET", raising=False)
    served = Served(postgres_url, tmp_path)
    assert "there is none in this database" in refused(served.run("archive"))
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT to_regclass('records')").fetchone() == (None,)


def test_a_server_that_cannot_be_reached_is_named_without_its_password(served: Served) -> None:
    parts = urlsplit(served.url)
    away = parts._replace(netloc="ann:hidden@127.0.0.1:1").geturl()
    for database in (away, "postgresql://ann:hidden@[db/log"):
        told = refused(served.run("archive", "--database", database))
        assert "hidden" not in told


@pytest.mark.parametrize("day", ["yesterday", "2026-02-30", "", "\x1b[31m"])
def test_what_is_no_day_is_refused(served: Served, day: str) -> None:
    for result in (served.run("archive", "--day", day), served.run("retain", "--day", day, "--reason", "old")):
        assert "is no day" in refused(result)
        assert is_tame(result.stderr)


@pytest.mark.parametrize("reason", ["", " \n", "x" * 1001, "\udcff"], ids=["none", "blank", "long", "bytes"])
def test_an_order_says_why(served: Served, reason: str) -> None:
    served.run("archive")
    assert "--reason must be" in refused(served.run("retain", "--day", OLD, "--reason", reason))
    assert served.days() == {OLD, NEXT, TODAY}


def test_the_log_may_be_named_by_the_environment(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONPURPOSE_DATABASE", served.url)
    result = run("audit", "archive", "--folder", served.folder, "--directory", served.directory)
    assert result.exit_code == 0
    assert DayFiles(served.folder).days() == [OLD, NEXT]
