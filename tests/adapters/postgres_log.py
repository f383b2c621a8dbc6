"""A log in a PostgreSQL database, its key and anchor in a folder, and what tests do with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import psycopg

from onpurpose.adapters.signing import KeyFile, read_public_key, verify_signature
from onpurpose.adapters.sql.postgres import PostgresArchive, PostgresLedger
from onpurpose.app import audit
from onpurpose.core.chain import Kind, Report
from onpurpose.core.record import Record, Stored

PROLOGUE = """
import sys
from pathlib import Path

from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql.postgres import PostgresLedger
from onpurpose.core.record import LedgerError, Record
url, folder = sys.argv[1], Path(sys.argv[2])
ledger = PostgresLedger(url, signer=KeyFile(folder / "key", folder / "pub"), anchor=folder / "anchor")
def append(number):
    return ledger.append(Record("decision", b'{"kind":"decision","number":%d}' % number))
"""

TABLES = ("chains", "records", "checkpoints")


def record(number: int) -> Record:
    return Record("decision", b'{"kind":"decision","number":%d}' % number)


class PostgresLog:
    """The log in the database at `url`."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.anchor = folder / "anchor"

    def ledger(self, **options: Any) -> PostgresLedger:
        signer = KeyFile(self.folder / "key", self.folder / "pub")
        return PostgresLedger(self.url, **{"signer": signer, "anchor": self.anchor, **options})

    def archive(self) -> PostgresArchive:
        return PostgresArchive(self.url, anchor=self.anchor)

    def write(self, count: int, **options: Any) -> None:
        """One writer's life: opened, `count` records, closed."""
        with self.ledger(**options) as ledger:
            for number in range(count):
                ledger.append(record(number)).result(30)

    def verify(self, **options: Any) -> Report:
        known = {"public_key": read_public_key(self.folder / "pub"), "verify_signature": verify_signature}
        return audit.verify(self.archive, **{**known, **options})

    def kinds(self, **options: Any) -> set[Kind]:
        return {finding.kind for finding in self.verify(**options).findings}

    def records(self, after: int | None = None) -> list[Stored]:
        with self.archive() as archive:
            return list(archive.records(after))

    def numbers(self) -> list[int]:
        """The numbers of the decisions in the log."""
        return [orjson.loads(stored.body)["number"] for stored in self.records() if b'"decision"' in stored.body]

    @contextmanager
    def sql(self) -> Iterator[psycopg.Connection[Any]]:
        """The database, for somebody who may write it; committed statement by statement."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield connection

    def process(self, script: str, **options: Any) -> subprocess.Popen[str]:
        """A process that has `ledger` and `append` for this log, and runs the script."""
        return subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + script, self.url, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            **options,
        )
