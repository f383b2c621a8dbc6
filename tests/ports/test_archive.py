"""What it means to be an archive of a log that writers keep: every adapter that reads one runs this suite."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from onpurpose.adapters.signing import KeyFile, read_public_key, verify_signature
from onpurpose.adapters.sql import SqliteArchive, SqliteLedger
from onpurpose.adapters.sql.postgres import PostgresArchive, PostgresLedger
from onpurpose.app import audit
from onpurpose.core.checkpoint import parse
from onpurpose.core.record import GENESIS, LedgerError, Record, Stored, link
from onpurpose.ports import Archive, Ledger


@dataclass
class Subject:
    folder: Path
    ledger: Callable[[], Ledger]
    archive: Callable[[], Archive]

    def write(self, *counts: int) -> None:
        """Writers that are open at the same time, each with so many records, appended in turn."""
        ledgers = [self.ledger() for _ in counts]
        for number in range(max(counts)):
            for ledger, count in zip(ledgers, counts, strict=True):
                if number < count:
                    ledger.append(Record("decision", b'{"kind":"decision","number":%d}' % number)).result(30)
        for ledger in ledgers:
            ledger.close()

    def records(self, after: int | None = None) -> list[Stored]:
        with closing(self.archive()) as archive:
            return list(archive.records(after))


def _in_sqlite(folder: Path, _: pytest.FixtureRequest) -> Subject:
    path = folder / "onpurpose.db"
    signer = KeyFile(folder / "key", folder / "pub")
    return Subject(folder, lambda: SqliteLedger(path, signer=signer), lambda: SqliteArchive(path))


def _in_postgres(folder: Path, request: pytest.FixtureRequest) -> Subject:
    url = request.getfixturevalue("postgres_url")
    anchor = folder / "onpurpose.db.anchor"
    signer = KeyFile(folder / "key", folder / "pub")
    return Subject(
        folder, lambda: PostgresLedger(url, signer=signer, anchor=anchor), lambda: PostgresArchive(url, anchor=anchor)
    )


@pytest.fixture(params=[_in_sqlite, _in_postgres])
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    made: Subject = request.param(tmp_path, request)
    return made


def test_where_there_is_no_log_none_can_be_read(subject: Subject) -> None:
    with pytest.raises(LedgerError, match="cannot be read"):
        subject.archive()


def test_positions_count_the_records_without_a_gap(subject: Subject) -> None:
    subject.write(5, 3)
    assert [stored.position for stored in subject.records()] == list(range(1, 11))


def test_the_records_of_each_chain_are_in_its_order_and_linked(subject: Subject) -> None:
    subject.write(20, 7, 1)
    last: dict[str, tuple[int, bytes]] = {}
    for stored in subject.records():
        seq, previous = last.get(stored.chain, (0, GENESIS))
        assert stored.seq == seq + 1
        assert stored.hash == link(previous, stored.chain, stored.seq, stored.body)
        last[stored.chain] = (stored.seq, stored.hash)
    assert sorted(seq for seq, _ in last.values()) == [2, 8, 21]


def test_a_checkpoint_states_the_heads_of_the_records_up_to_its_count(subject: Subject) -> None:
    subject.write(6, 4)
    subject.write(3)
    records = subject.records()
    with closing(subject.archive()) as archive:
        stated = [parse(signed.body) for signed in archive.checkpoints()]
    assert [checkpoint.n for checkpoint in stated] == list(range(1, len(stated) + 1))
    assert stated[-1].count == len(records)
    for checkpoint in stated:
        reach = {stored.chain: stored.seq for stored in records[: checkpoint.count]}
        assert all(reach[name] == head.seq for name, head in checkpoint.heads.items())


def test_records_behind_a_position_are_the_last_of_all(subject: Subject) -> None:
    subject.write(9, 5)
    subject.write(4)
    whole = [(stored.position, stored.chain, stored.seq, stored.body) for stored in subject.records()]
    for after in range(len(whole) + 2):
        found = [(stored.position, stored.chain, stored.seq, stored.body) for stored in subject.records(after)]
        assert found == whole[after:]


def test_the_newest_records_can_be_asked_for(subject: Subject) -> None:
    subject.write(9, 5)
    whole = [stored.hash for stored in subject.records()]
    for count in (1, 5, len(whole), 1000):
        assert [stored.hash for stored in subject.records(-count)] == whole[-count:]
    with closing(subject.archive()) as archive:
        assert len(audit.tail(archive, 3)) == 3


def test_a_view_does_not_change_while_others_write(subject: Subject) -> None:
    subject.write(3)
    ledger = subject.ledger()
    ledger.append(Record("decision", b"{}")).result(30)
    with closing(subject.archive()) as archive:
        before = len(list(archive.records()))
        ledger.append(Record("decision", b"{}")).result(30)
        assert len(list(archive.records())) == before
    ledger.close()
    assert len(subject.records()) == before + 1


def test_reading_may_be_left_in_the_middle(subject: Subject) -> None:
    subject.write(30)
    with closing(subject.archive()) as archive:
        reading = archive.records()
        next(reading)
        also = archive.checkpoints()
        next(also)
        del reading, also
        assert len(list(archive.records())) == 31


def test_the_anchor_is_the_newest_checkpoint_until_it_is_gone(subject: Subject) -> None:
    subject.write(3)
    with closing(subject.archive()) as archive:
        assert archive.anchor() == list(archive.checkpoints())[-1]
    anchor = subject.folder / "onpurpose.db.anchor"
    anchor.unlink()
    with closing(subject.archive()) as archive:
        assert archive.anchor() is None
    anchor.write_bytes(b"{}")
    with closing(subject.archive()) as archive, pytest.raises(LedgerError, match="damaged"):
        archive.anchor()


def test_a_log_as_it_was_written_verifies_and_is_exported_whole(subject: Subject) -> None:
    subject.write(12, 30, 2)
    report = audit.verify(
        subject.archive, public_key=read_public_key(subject.folder / "pub"), verify_signature=verify_signature
    )
    assert (report.findings, report.records, report.chains, report.uncovered) == ((), 47, 3, 0)
    with closing(subject.archive()) as archive:
        assert len(list(audit.export(archive))) == 47
        assert len(list(audit.export(archive, 40))) == 7
        assert list(archive.damage()) == []


def test_following_gives_every_record_once(subject: Subject) -> None:
    subject.write(4)
    more = [(2, 3), (1,), (2, 2)]
    seen = []

    def pause() -> bool:
        if more:
            subject.write(*more.pop())
            return True
        return False

    seen = [(stored.chain, stored.seq) for stored in audit.follow(subject.archive, 0, pause)]
    assert sorted(seen) == sorted((stored.chain, stored.seq) for stored in subject.records())
    assert len(set(seen)) == len(seen) == 20
