"""A log in a folder, and what tests do with it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from onpurpose.adapters.signing import KeyFile, read_public_key, verify_signature
from onpurpose.adapters.sql import SqliteArchive, SqliteLedger
from onpurpose.app import audit
from onpurpose.core.chain import Kind, Report
from onpurpose.core.record import Record, Stored

PROLOGUE = """
import sys
import orjson

from onpurpose.adapters.signing import KeyFile
from onpurpose.adapters.sql import SqliteLedger
from onpurpose.core.record import LedgerError, Record
path = sys.argv[1]
ledger = SqliteLedger(path, signer=KeyFile(path + ".key", path + ".pub"), busy_timeout=30)
def append(number):
    return ledger.append(Record("decision", b'{"kind":"decision","number":%d}' % number))
"""


_FORKING = """
import os, threading
stop = threading.Event()
def keep_writing():
    while not stop.is_set():
        append(1).result(60)
writer = threading.Thread(target=keep_writing)
append(0).result(60)
writer.start()
children = []
for _ in range({children}):
    child = os.fork()
    if child == 0:
        receipts = [append(2).result(60) for _ in range(20)]
        ledger.close()
        os._exit(0 if [receipt.seq for receipt in receipts] == list(range(2, 22)) else 1)
    children.append(child)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
stop.set()
writer.join()
ledger.close()
print(codes)
"""


def forking(children: int) -> str:
    """A process that forks while it writes `1`s; each child writes twenty `2`s, and its exit code is printed."""
    return _FORKING.format(children=children)


def body(number: int) -> bytes:
    return b'{"kind":"decision","number":%d}' % number


class Log:
    """The log `onpurpose.db` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "onpurpose.db"
        self.anchor = folder / "onpurpose.db.anchor"
        self.key = folder / "onpurpose.db.key"
        self.public_key = folder / "onpurpose.db.pub"

    def ledger(self, **options: Any) -> SqliteLedger:
        return SqliteLedger(self.path, signer=KeyFile(self.key, self.public_key), **options)

    def write(self, count: int, **options: Any) -> None:
        """One writer's life: opened, `count` records, closed."""
        with self.ledger(**options) as ledger:
            for number in range(count):
                ledger.append(Record("decision", body(number))).result(30)

    @property
    def check(self) -> dict[str, Any]:
        """What `audit.verify` needs beside the log."""
        return {"public_key": read_public_key(self.public_key), "verify_signature": verify_signature}

    def verify(self, **options: Any) -> Report:
        return audit.verify(lambda: SqliteArchive(self.path), **{**self.check, **options})

    def kinds(self, **options: Any) -> set[Kind]:
        return {finding.kind for finding in self.verify(**options).findings}

    def records(self) -> list[Stored]:
        with SqliteArchive(self.path) as archive:
            return list(archive.records())

    def numbers(self) -> list[int]:
        """The numbers of the decisions in the log, in order of commit."""
        return [orjson.loads(stored.body)["number"] for stored in self.records() if b'"decision"' in stored.body]

    def copy(self, folder: Path) -> Log:
        shutil.copytree(self.folder, folder)
        return Log(folder)

    @contextmanager
    def sql(self) -> Iterator[sqlite3.Connection]:
        """The file, for somebody who may write it; committed and closed at the end."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            connection.execute("PRAGMA foreign_keys = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            yield connection
        finally:
            connection.close()

    def process(self, script: str, **options: Any) -> subprocess.Popen[str]:
        """A process that has `ledger` and `append` for this log, and runs the script."""
        return subprocess.Popen(
            [sys.executable, "-c", PROLOGUE + script, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            **options,
        )
