"""Whoever changes a log in PostgreSQL without its key is found out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from onpurpose.adapters.sql.postgres import PostgresArchive
from onpurpose.core.chain import Kind
from onpurpose.core.record import GENESIS, link
from tests.adapters.postgres_log import TABLES, PostgresLog, record
from tests.postgres import Server, database

Sql = psycopg.Connection[Any]


def relink(sql: Sql, chain: int, start: int) -> None:
    """Forge what needs no key: the hashes of a chain from a record on."""
    (name,) = sql.execute("SELECT name FROM chains WHERE id = %s", (chain,)).fetchone() or ("",)
    last = sql.execute("SELECT hash FROM records WHERE chain = %s AND seq = %s", (chain, start - 1)).fetchone()
    previous = last[0] if last else GENESIS
    rows = sql.execute("SELECT seq, body FROM records WHERE chain = %s AND seq >= %s ORDER BY seq", (chain, start))
    for seq, text in rows.fetchall():
        previous = link(previous, name, seq, text)
        sql.execute("UPDATE records SET hash = %s WHERE chain = %s AND seq = %s", (previous, chain, seq))


def change_body(sql: Sql) -> None:
    sql.execute('UPDATE records SET body = \'{"kind":"decision","number":5}\' WHERE chain = 1 AND seq = 5')


def change_body_and_hashes(sql: Sql) -> None:
    sql.execute("UPDATE records SET body = '{}' WHERE chain = 1 AND seq = 5")
    relink(sql, 1, 5)


def change_hash(sql: Sql) -> None:
    sql.execute("UPDATE records SET hash = decode(repeat('00', 32), 'hex') WHERE chain = 1 AND seq = 5")


def blank_body(sql: Sql) -> None:
    sql.execute("UPDATE records SET body = '' WHERE chain = 1 AND seq = 5")


def remove(sql: Sql) -> None:
    sql.execute("DELETE FROM records WHERE chain = 1 AND seq = 5")


def remove_and_forge(sql: Sql) -> None:
    sql.execute("DELETE FROM records WHERE chain = 1 AND seq = 5")
    for seq in range(6, 12):
        sql.execute("UPDATE records SET seq = seq - 1 WHERE chain = 1 AND seq = %s", (seq,))
    relink(sql, 1, 5)


def swap(sql: Sql) -> None:
    for old, new in ((5, 1000), (6, 5), (1000, 6)):
        sql.execute("UPDATE records SET seq = %s WHERE chain = 1 AND seq = %s", (new, old))


def move_behind_the_end(sql: Sql) -> None:
    sql.execute("UPDATE records SET seq = 12 WHERE chain = 1 AND seq = 5")


def repeat_on_another_day(sql: Sql) -> None:
    sql.execute("INSERT INTO records SELECT chain, seq, day + 1, hash, body FROM records WHERE chain = 1 AND seq = 5")


def number_below_the_first(sql: Sql) -> None:
    sql.execute("INSERT INTO records SELECT chain, -7, day, hash, body FROM records WHERE chain = 1 AND seq = 5")


def add_behind_a_closed_chain(sql: Sql) -> None:
    sql.execute("INSERT INTO records SELECT chain, 12, day, '', '{}' FROM records WHERE chain = 1 AND seq = 11")
    relink(sql, 1, 12)


def add_a_chain(sql: Sql) -> None:
    sql.execute(
        "INSERT INTO chains (id, name, day, covered_day) OVERRIDING SYSTEM VALUE"
        " SELECT 9, repeat('a', 32), day, day FROM chains WHERE id = 1"
    )
    sql.execute("INSERT INTO records SELECT 9, 1, day, '', '{}' FROM records WHERE chain = 1 AND seq = 1")
    relink(sql, 9, 1)


def add_records_of_a_chain_without_a_name(sql: Sql) -> None:
    sql.execute("INSERT INTO records SELECT 9, 1, day, hash, body FROM records WHERE chain = 1 AND seq = 1")


def cut_records(sql: Sql) -> None:
    sql.execute("DELETE FROM records WHERE chain = 2 AND seq > 8")


def cut_records_and_checkpoints(sql: Sql) -> None:
    sql.execute("DELETE FROM records WHERE chain = 2")
    sql.execute("DELETE FROM chains WHERE id = 2")
    sql.execute("DELETE FROM checkpoints WHERE n > 2")


def remove_a_chain(sql: Sql) -> None:
    sql.execute("DELETE FROM records WHERE chain = 1")
    sql.execute("DELETE FROM chains WHERE id = 1")


def remove_the_name_of_a_chain(sql: Sql) -> None:
    sql.execute("DELETE FROM chains WHERE id = 1")


def rename_a_chain(sql: Sql) -> None:
    sql.execute("UPDATE chains SET name = repeat('a', 32) WHERE id = 1")


def name_an_empty_chain(sql: Sql) -> None:
    sql.execute("INSERT INTO chains (name, day, covered_day) VALUES (repeat('a', 32), 'today', 'today')")


def remove_all_checkpoints(sql: Sql) -> None:
    sql.execute("DELETE FROM checkpoints")


def remove_a_checkpoint(sql: Sql) -> None:
    sql.execute("DELETE FROM checkpoints WHERE n = 2")


def change_a_checkpoint(sql: Sql) -> None:
    sql.execute("UPDATE checkpoints SET body = replace(convert_from(body, 'UTF8'), 'true', 'false')::bytea")


def blank_a_signature(sql: Sql) -> None:
    sql.execute("UPDATE checkpoints SET signature = decode(repeat('00', 64), 'hex') WHERE n = 2")


def swap_checkpoints(sql: Sql) -> None:
    for old, new in ((2, -1), (3, 2), (-1, 3)):
        sql.execute("UPDATE checkpoints SET n = %s WHERE n = %s", (new, old))


def add_a_trigger(sql: Sql) -> None:
    sql.execute("CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    sql.execute("CREATE TRIGGER quiet BEFORE INSERT ON records FOR EACH ROW EXECUTE FUNCTION drop_it()")


TABLE: list[tuple[Callable[[Sql], None], Kind]] = [
    (change_body, Kind.CHANGED),
    (change_body_and_hashes, Kind.CHANGED),
    (change_hash, Kind.CHANGED),
    (blank_body, Kind.CHANGED),
    (remove, Kind.MISSING),
    (remove_and_forge, Kind.CUT_OFF),
    (swap, Kind.CHANGED),
    (move_behind_the_end, Kind.MISSING),
    (repeat_on_another_day, Kind.REORDERED),
    (number_below_the_first, Kind.REORDERED),
    (add_behind_a_closed_chain, Kind.ADDED),
    (add_a_chain, Kind.ADDED),
    (add_records_of_a_chain_without_a_name, Kind.ADDED),
    (cut_records, Kind.CUT_OFF),
    (cut_records_and_checkpoints, Kind.CUT_OFF),
    (remove_a_chain, Kind.CUT_OFF),
    (remove_the_name_of_a_chain, Kind.CUT_OFF),
    (rename_a_chain, Kind.CHANGED),
    (name_an_empty_chain, Kind.STORAGE),
    (remove_all_checkpoints, Kind.CUT_OFF),
    (remove_a_checkpoint, Kind.MISSING),
    (change_a_checkpoint, Kind.CHECKPOINT),
    (blank_a_signature, Kind.CHECKPOINT),
    (swap_checkpoints, Kind.REORDERED),
    (add_a_trigger, Kind.STORAGE),
]


class Template:
    """A log with two chains of 11 records, closed one after the other, that can be put back as it was."""

    def __init__(self, log: PostgresLog) -> None:
        self.log = log
        log.write(10)
        log.write(10)
        self._anchor = log.anchor.read_bytes()
        with log.sql() as sql:
            self._rows = {table: sql.execute(f"SELECT * FROM {table}").fetchall() for table in TABLES}

    def restore(self) -> None:
        self.log.anchor.write_bytes(self._anchor)
        with self.log.sql() as sql:
            sql.execute("DROP FUNCTION IF EXISTS drop_it CASCADE")
            sql.execute("TRUNCATE chains, records, checkpoints RESTART IDENTITY")
            for table, rows in self._rows.items():
                with sql.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
                    for row in rows:
                        copy.write_row([psycopg.types.json.Jsonb(c) if isinstance(c, dict) else c for c in row])
            sql.execute("SELECT setval(pg_get_serial_sequence('chains', 'id'), 2)")

    def contents(self, sql: Sql) -> list[object]:
        return [sorted(map(repr, sql.execute(f"SELECT * FROM {table}").fetchall())) for table in TABLES]


@pytest.fixture(scope="module")
def template(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    with database(postgres) as url:
        yield Template(PostgresLog(url, tmp_path_factory.mktemp("log")))


@pytest.fixture
def closed(template: Template) -> Iterator[PostgresLog]:
    yield template.log
    template.restore()


@pytest.mark.parametrize(("tamper", "kind"), TABLE)
def test_every_kind_of_tampering_is_found(closed: PostgresLog, tamper: Callable[[Sql], None], kind: Kind) -> None:
    assert closed.verify().findings == ()
    with closed.sql() as sql:
        tamper(sql)
    report = closed.verify()
    assert kind in {finding.kind for finding in report.findings}
    assert all(finding.message for finding in report.findings)


def test_a_finding_names_the_record(closed: PostgresLog) -> None:
    chain = closed.records()[4].chain
    with closed.sql() as sql:
        change_body(sql)
    (finding,) = closed.verify().findings
    assert (finding.kind, finding.chain, finding.seq) == (Kind.CHANGED, chain, 5)


def test_a_record_removed_is_one_gap_and_shifts_nothing_behind_it(closed: PostgresLog) -> None:
    with closed.sql() as sql:
        remove(sql)
    findings = closed.verify().findings
    assert {finding.kind for finding in findings} <= {Kind.MISSING, Kind.CUT_OFF}
    assert len(findings) <= 3


def test_what_an_anchor_noted_elsewhere_knows_must_still_be_there(closed: PostgresLog) -> None:
    noted = closed.verify().anchor
    assert noted is not None
    assert closed.verify(expect=noted).ok
    with closed.sql() as sql:
        cut_records_and_checkpoints(sql)
    closed_without = PostgresLog(closed.url, closed.folder)
    closed_without.archive = lambda: PostgresArchive(closed.url)  # type: ignore[method-assign]
    assert closed_without.verify().ok  # what a log without any anchor cannot show
    assert closed_without.kinds(expect=noted) == {Kind.CUT_OFF}


def test_a_killed_writers_last_records_count_as_uncovered(closed: PostgresLog) -> None:
    process = closed.process("import os; [append(number).result(30) for number in range(5)]; os._exit(1)")
    process.communicate(timeout=30)
    report = closed.verify()
    assert report.findings == ()
    assert report.uncovered == 4


NUMBERS = st.integers(-3, 40)
COLUMNS: dict[str, dict[str, st.SearchStrategy[object]]] = {
    "records": {"chain": NUMBERS, "seq": NUMBERS, "hash": st.binary(max_size=40), "body": st.binary(max_size=40)},
    "chains": {"name": st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=40)},
    "checkpoints": {"n": NUMBERS, "body": st.binary(max_size=40), "signature": st.binary(max_size=70)},
}
PLACES = {"records": ("chain", "seq"), "chains": ("id",), "checkpoints": ("n",)}
Change = tuple[str, tuple[object, ...]]


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """One change to a log, as SQL: a cell, a row less, a row more."""
    table = draw(st.sampled_from(sorted(COLUMNS)))
    place = PLACES[table]
    row = (draw(st.integers(1, 2)), draw(st.integers(1, 11))) if table == "records" else (draw(st.integers(1, 4)),)
    where = " AND ".join(f"{column} = %s" for column in place)
    kind = draw(st.sampled_from(["update", "delete", "copy"]))
    if kind == "update":
        column = draw(st.sampled_from(sorted(COLUMNS[table])))
        return f"UPDATE {table} SET {column} = %s WHERE {where}", (draw(COLUMNS[table][column]), *row)
    if kind == "delete" or table != "records":
        return f"DELETE FROM {table} WHERE {where}", row
    seq, days = draw(NUMBERS), draw(st.integers(0, 1))
    copy = f"INSERT INTO records SELECT chain, %s, day + %s, hash, body FROM records WHERE {where}"
    return copy, (seq, days, *row)


@settings(
    max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None
)
@given(change=changes())
def test_any_single_change_of_a_closed_log_is_found(template: Template, change: Change) -> None:
    try:
        with template.log.sql() as sql:
            before = template.contents(sql)
            try:
                sql.execute(*change)
            except psycopg.Error:
                assume(False)
            assume(template.contents(sql) != before)
        assert not template.log.verify().ok
    finally:
        template.restore()


def test_verifying_ends_with_a_finding_where_there_is_no_server(closed: PostgresLog) -> None:
    away = PostgresLog("postgresql://user@127.0.0.1:1/db", closed.folder)
    assert away.kinds() == {Kind.UNREADABLE}


def test_positions_and_derived_columns_are_believed_by_no_verification(closed: PostgresLog) -> None:
    with closed.sql() as sql:
        sql.execute("UPDATE chains SET covered = 3, covered_day = 'tomorrow', ended = false")
        sql.execute("UPDATE checkpoints SET count = 1, starts = '{}'")
    report = closed.verify()
    assert (report.findings, report.records) == ((), 22)
    with closed.ledger() as ledger:
        assert ledger.append(record(1)).result(30).seq == 2
