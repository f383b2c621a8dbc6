"""Whoever changes a log without its key is found out."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql import SqliteArchive
from onpurpose.core.chain import Kind
from onpurpose.core.checkpoint import Signed, parse
from onpurpose.core.record import GENESIS, Record, link
from tests.ledger.log import Log, body


def relink(sql: sqlite3.Connection, chain: int, start: int) -> None:
    """Forge what needs no key: the hashes of a chain from a record on."""
    (name,) = sql.execute("SELECT name FROM chains WHERE id = ?", (chain,)).fetchone()
    last = sql.execute("SELECT hash FROM records WHERE chain = ? AND seq = ?", (chain, start - 1)).fetchone()
    previous = last[0] if last else GENESIS
    rows = sql.execute("SELECT seq, body FROM records WHERE chain = ? AND seq >= ? ORDER BY seq", (chain, start))
    for seq, text in rows.fetchall():
        previous = link(previous, name, seq, text)
        sql.execute("UPDATE records SET hash = ? WHERE chain = ? AND seq = ?", (previous, chain, seq))


def close_gap(sql: sqlite3.Connection) -> None:
    """Number positions anew, so that no row seems to be gone."""
    rows = sql.execute("SELECT position FROM records ORDER BY position").fetchall()
    for new, (old,) in enumerate(rows, 1):
        sql.execute("UPDATE records SET position = ? WHERE position = ?", (new, old))


def change_body(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE records SET body = CAST(replace(body, '3', '5') AS BLOB) WHERE position = 5")


def change_body_and_hashes(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE records SET body = x'7b7d' WHERE position = 5")
    relink(sql, 1, 5)


def change_hash(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE records SET hash = zeroblob(32) WHERE position = 5")


def blank_field(sql: sqlite3.Connection) -> None:
    sql.execute('UPDATE records SET body = CAST(\'{"kind":"decision","number":null}\' AS BLOB) WHERE position = 5')


def blank_body(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE records SET body = x'' WHERE position = 5")


def remove(sql: sqlite3.Connection) -> None:
    sql.execute("DELETE FROM records WHERE position = 5")


def remove_and_forge(sql: sqlite3.Connection) -> None:
    sql.execute("DELETE FROM records WHERE position = 5")
    sql.execute("UPDATE records SET seq = seq - 1 WHERE chain = 1 AND seq > 5")
    close_gap(sql)
    relink(sql, 1, 5)


def swap(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE records SET seq = -1 WHERE position = 5")
    sql.execute("UPDATE records SET seq = 5 WHERE position = 6")
    sql.execute("UPDATE records SET seq = 6 WHERE position = 5")


def swap_positions(sql: sqlite3.Connection) -> None:
    for old, new in ((5, -1), (6, 5), (-1, 6)):
        sql.execute("UPDATE records SET position = ? WHERE position = ?", (new, old))


def add_behind_a_closed_chain(sql: sqlite3.Connection) -> None:
    sql.execute("INSERT INTO records SELECT max(position) + 1, 1, 12, x'', x'7b7d' FROM records")
    relink(sql, 1, 12)


def add_a_chain(sql: sqlite3.Connection) -> None:
    sql.execute("INSERT INTO chains VALUES (9, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')")
    sql.execute("INSERT INTO records SELECT max(position) + 1, 9, 1, x'', x'7b7d' FROM records")
    relink(sql, 9, 1)


def cut_records(sql: sqlite3.Connection) -> None:
    sql.execute("DELETE FROM records WHERE position > 8")


def cut_records_and_checkpoints(sql: sqlite3.Connection) -> None:
    sql.execute("DELETE FROM records WHERE chain = 2")
    sql.execute("DELETE FROM chains WHERE id = 2")
    sql.execute("DELETE FROM checkpoints WHERE n > 2")


def remove_a_chain(sql: sqlite3.Connection) -> None:
    sql.execute("DELETE FROM records WHERE chain = 1")
    sql.execute("DELETE FROM chains WHERE id = 1")
    close_gap(sql)


def rename_a_chain(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE chains SET name = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa' WHERE id = 1")


def name_an_empty_chain(sql: sqlite3.Connection) -> None:
    sql.execute("INSERT INTO chains VALUES (9, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')")


def remove_all_checkpoints(sql: sqlite3.Connection) -> None:
    sql.execute("DELETE FROM checkpoints")


def remove_a_checkpoint(sql: sqlite3.Connection) -> None:
    sql.execute("DELETE FROM checkpoints WHERE n = 2")


def change_a_checkpoint(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE checkpoints SET body = CAST(replace(body, '\"closed\":true', '\"closed\":false') AS BLOB)")


def blank_a_signature(sql: sqlite3.Connection) -> None:
    sql.execute("UPDATE checkpoints SET signature = zeroblob(64) WHERE n = 2")


def swap_checkpoints(sql: sqlite3.Connection) -> None:
    for old, new in ((2, -1), (3, 2), (-1, 3)):
        sql.execute("UPDATE checkpoints SET n = ? WHERE n = ?", (new, old))


TABLE: list[tuple[Callable[[sqlite3.Connection], None], Kind]] = [
    (change_body, Kind.CHANGED),
    (change_body_and_hashes, Kind.CHANGED),
    (change_hash, Kind.CHANGED),
    (blank_field, Kind.CHANGED),
    (blank_body, Kind.CHANGED),
    (remove, Kind.MISSING),
    (remove_and_forge, Kind.CUT_OFF),
    (swap, Kind.REORDERED),
    (swap_positions, Kind.REORDERED),
    (add_behind_a_closed_chain, Kind.ADDED),
    (add_a_chain, Kind.ADDED),
    (cut_records, Kind.CUT_OFF),
    (cut_records_and_checkpoints, Kind.CUT_OFF),
    (remove_a_chain, Kind.CUT_OFF),
    (rename_a_chain, Kind.CHANGED),
    (name_an_empty_chain, Kind.STORAGE),
    (remove_all_checkpoints, Kind.CUT_OFF),
    (remove_a_checkpoint, Kind.MISSING),
    (change_a_checkpoint, Kind.CHECKPOINT),
    (blank_a_signature, Kind.CHECKPOINT),
    (swap_checkpoints, Kind.REORDERED),
]


@pytest.fixture
def closed(log: Log) -> Log:
    """Two chains of 11 records, closed one after the other: four checkpoints."""
    log.write(10)
    log.write(10)
    return log


@pytest.mark.parametrize(("tamper", "kind"), TABLE)
def test_every_kind_of_tampering_is_found(
    closed: Log, tamper: Callable[[sqlite3.Connection], None], kind: Kind
) -> None:
    assert closed.verify().ok
    with closed.sql() as sql:
        tamper(sql)
    report = closed.verify()
    assert kind in {finding.kind for finding in report.findings}
    assert all(finding.message for finding in report.findings)


def test_a_finding_names_the_record(closed: Log) -> None:
    chain = closed.records()[4].chain
    with closed.sql() as sql:
        change_body(sql)
    (finding,) = closed.verify().findings
    assert (finding.kind, finding.chain, finding.seq) == (Kind.CHANGED, chain, 5)


def test_a_record_too_many_at_the_end_of_a_killed_writers_chain_counts_as_uncovered(log: Log) -> None:
    log.write(3)
    process = log.process("import os; [append(number).result(30) for number in range(5)]; os._exit(1)")
    process.communicate(timeout=30)
    report = log.verify()
    assert report.ok
    assert report.uncovered == 4


def test_a_log_put_back_with_its_anchor_shows_against_an_anchor_noted_elsewhere(closed: Log, tmp_path: Path) -> None:
    before = closed.copy(tmp_path / "before")
    closed.write(2)
    noted = closed.verify().anchor
    assert noted is not None
    assert closed.verify(expect=noted).ok
    assert before.verify().ok
    assert [finding.kind for finding in before.verify(expect=noted).findings] == [Kind.CUT_OFF]
    closed.write(1)
    assert closed.verify(expect=noted).ok


def test_an_anchor_put_back_is_seen_to_by_the_log_and_by_an_anchor_noted_elsewhere(closed: Log) -> None:
    older = closed.anchor.read_bytes()
    closed.write(1)
    newest = closed.verify().anchor
    closed.anchor.write_bytes(older)
    assert closed.verify().ok  # the log itself still holds it all
    with closed.sql() as sql:
        sql.execute("DELETE FROM records WHERE chain = 3")
        sql.execute("DELETE FROM chains WHERE id = 3")
        sql.execute("DELETE FROM checkpoints WHERE n > 4")
    assert closed.verify().ok  # what an older state of every file cannot show
    assert closed.kinds(expect=newest) == {Kind.CUT_OFF}


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"n":1,"body":"{}","signature":"zz"}', b"[1]"])
def test_an_anchor_that_cannot_be_read_is_found(closed: Log, content: bytes) -> None:
    closed.anchor.write_bytes(content)
    assert closed.kinds() == {Kind.ANCHOR}


def test_an_anchor_that_is_gone_is_found(closed: Log) -> None:
    closed.anchor.unlink()
    assert closed.kinds() == {Kind.ANCHOR}


def test_an_anchor_of_another_key_is_found(closed: Log, tmp_path: Path) -> None:
    other = KeyFile(tmp_path / "key", tmp_path / "pub")
    text = closed.anchor.read_text()
    signature = text[text.index('"signature":"') + 13 : -3]
    forged = other.sign(Signed(n=4, body=b"{}", signature=b"").message).hex()
    closed.anchor.write_text(text.replace(signature, forged))
    assert closed.kinds() == {Kind.ANCHOR}


def test_another_key_proves_nothing(closed: Log, tmp_path: Path) -> None:
    other = KeyFile(tmp_path / "key", tmp_path / "pub")
    assert {Kind.CHECKPOINT, Kind.ANCHOR} <= closed.kinds(public_key=other.public_key)


NUMBERS = st.integers(-3, 40) | st.integers(-(2**63), 2**63 - 1)
COLUMNS: dict[str, dict[str, st.SearchStrategy[object]]] = {
    "records": {
        "position": NUMBERS, "chain": NUMBERS, "seq": NUMBERS, "hash": st.binary(max_size=40), "body": st.binary(),
    },
    "chains": {"id": NUMBERS, "name": st.text(st.characters(codec="utf-8"), max_size=40)},
    "checkpoints": {"n": NUMBERS, "body": st.binary(), "signature": st.binary(max_size=70)},
}  # fmt: skip
ANYTHING = (
    st.none()
    | NUMBERS
    | st.binary(max_size=40)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.floats(allow_nan=False)
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Log:
    log = Log(tmp_path_factory.mktemp("template"))
    with log.ledger() as one, log.ledger() as other:
        for number in range(10):
            (one, other)[number % 2].append(Record("decision", body(number))).result(30)
    log.write(3)
    assert log.verify().ok
    return log


def contents(sql: sqlite3.Connection) -> list[object]:
    return [sql.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in COLUMNS]


def set_strict(log: Log, strict: bool) -> None:
    """Take the check of types from the tables, or put it back, as somebody with a hex editor might."""
    old, new = (")", ") STRICT") if strict else (") STRICT", ")")
    with log.sql() as sql:
        sql.execute("PRAGMA writable_schema = ON")
        sql.execute(
            "UPDATE sqlite_master SET sql = substr(sql, 1, length(sql) - length(?)) || ? WHERE type = 'table'",
            (old, new),
        )


Change = list[tuple[str, tuple[object, ...]]]


@st.composite
def changes(draw: st.DrawFn, strict: bool) -> Change:
    """One change to a log, as SQL: a cell, a row less, a row more, the cells of two rows exchanged."""
    table = draw(st.sampled_from(sorted(COLUMNS)))
    columns = COLUMNS[table]
    key, *others = columns
    row, other = draw(st.integers(1, 18)), draw(st.integers(1, 18))
    kind = draw(st.sampled_from(["update", "byte", "delete", "insert", "swap"]))
    cell = {column: values if strict else ANYTHING for column, values in columns.items()}
    if kind == "update":
        column = draw(st.sampled_from([key, *others]))
        return [(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (draw(cell[column]), row))]
    if kind == "byte":
        column, at = others[-1], draw(st.integers(1, 64))
        cut = f"CAST(substr({column}, 1, ? - 1) || x'58' || substr({column}, ? + 1) AS BLOB)"
        return [(f"UPDATE {table} SET {column} = {cut} WHERE {key} = ?", (at, at, row))]
    if kind == "delete":
        return [(f"DELETE FROM {table} WHERE {key} = ?", (row,))]
    if kind == "insert":
        cells = tuple(draw(values) for values in cell.values())
        return [(f"INSERT INTO {table} VALUES ({', '.join('?' * len(cells))})", cells)]
    moved = ", ".join(others)
    return [
        (f"CREATE TEMP TABLE two AS SELECT * FROM {table} WHERE {key} IN (?, ?)", (row, other)),
        (f"DELETE FROM {table} WHERE {key} IN (?, ?)", (row, other)),
        (f"INSERT INTO {table} ({key}, {moved}) SELECT ? + ? - {key}, {moved} FROM two", (row, other)),
    ]


def between_checkpoints(log: Log, change: Change) -> bool:
    """Whether the change only exchanges two chains' records between two checkpoints: nobody knows their order."""
    statement, places = change[-1]
    if len(change) != 3 or "INTO records" not in statement:
        return False
    records = {stored.position: stored for stored in log.records()}
    first, second = sorted(int(str(place)) for place in places)
    moved = [records[place].chain for place in range(first, second + 1)]
    with SqliteArchive(log.path) as archive:
        counts = [parse(signed.body).count for signed in archive.checkpoints()]
    return moved.count(moved[0]) == moved.count(moved[-1]) == 1 and not any(first <= count < second for count in counts)


@pytest.mark.parametrize("strict", [True, False])
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_single_change_of_a_closed_log_is_found(template: Log, strict: bool, data: st.DataObject) -> None:
    change = data.draw(changes(strict))
    with tempfile.TemporaryDirectory() as folder:
        log = template.copy(Path(folder) / "log")
        if not strict:
            set_strict(log, False)
        with log.sql() as sql:
            before = contents(sql)
            try:
                for statement, values in change:
                    sql.execute(statement, values)
            except sqlite3.Error:
                assume(False)
            assume(contents(sql) != before)
        if not strict:
            set_strict(log, True)
        assert not log.verify().ok or between_checkpoints(template, change)


def test_verifying_ends_with_findings_for_a_log_that_is_not_there(log: Log) -> None:
    KeyFile(log.key, log.public_key).sign(b"")
    assert log.kinds() == {Kind.UNREADABLE}


def test_an_empty_file_is_no_log(log: Log) -> None:
    log.write(1)
    log.path.write_bytes(b"")
    assert log.kinds() == {Kind.UNREADABLE}


@settings(max_examples=60, deadline=None)
@given(page=st.integers(0, 15), seed=st.integers())
def test_a_page_of_noise_is_found(template: Log, page: int, seed: int) -> None:
    noise = random.Random(seed).randbytes(4096)
    with tempfile.TemporaryDirectory() as folder:
        log = template.copy(Path(folder) / "log")
        content = bytearray(log.path.read_bytes())
        start = page * 4096
        assume(start < len(content) and bytes(content[start : start + 4096]) != noise)
        content[start : start + 4096] = noise
        log.path.write_bytes(content)
        assert not log.verify().ok


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_short_is_found(template: Log, share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = template.copy(Path(folder) / "log")
        content = log.path.read_bytes()
        log.path.write_bytes(content[: int(len(content) * share)])
        assert not log.verify().ok


def test_a_whole_log_copied_elsewhere_verifies(closed: Log, tmp_path: Path) -> None:
    copy = closed.copy(tmp_path / "copy")
    shutil.rmtree(closed.folder)
    assert copy.verify().ok
