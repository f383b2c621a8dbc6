"""`/v1/audit/verify`, `/v1/audit/export`: whether the log is whole, and what is in it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from functools import partial

import orjson

from onpurpose.app import audit
from onpurpose.app.audit import OpenArchive
from onpurpose.app.keys import OPERATOR
from onpurpose.core.chain import Report
from onpurpose.core.checkpoint import Anchor
from onpurpose.core.record import LedgerError
from onpurpose.server.api import schemas as wire
from onpurpose.server.api.serving import Answer, Asked, Lines, Use
from onpurpose.server.api.table import JSON_LINES
from onpurpose.server.problems import conflict, forbidden


class Log:
    """The log to be looked at. `verify` checks all of it and reads every record; only one check runs at a time."""

    def __init__(self, open_archive: OpenArchive, verify: Callable[[], Report]) -> None:
        self.open_archive = open_archive
        self.verify = verify
        self.busy = threading.Lock()


def uses(log: Log) -> Mapping[str, Use]:
    """What does the operations on the log, by their names."""
    return {"verify_audit": partial(verify, log), "export_audit": partial(export, log)}


def verify(log: Log, asked: Asked) -> Answer:
    """Check the whole log. Who does not run the service is told whether it is whole, and nothing of others."""
    if not log.busy.acquire(blocking=False):
        raise conflict("a check of the log is running already; ask again when it is done")
    try:
        report = log.verify()
        if asked.workspace != OPERATOR:
            return wire.AuditReport(ok=report.ok, whole=report.whole, records=count(log, asked.workspace))
    finally:
        log.busy.release()
    return wire.AuditReport(
        ok=report.ok,
        whole=report.whole,
        total=report.total,
        findings=[wire.AuditFinding(**asdict(finding)) for finding in report.findings],
        records=report.records,
        chains=report.chains,
        checkpoints=report.checkpoints,
        uncovered=report.uncovered,
        away=[wire.AuditDay(**asdict(day)) for day in report.away],
        anchor=None if report.anchor is None else _anchor(report.anchor),
        key=report.key,
    )


def export(log: Log, asked: Asked) -> Answer:
    """The workspace's records, or all of them for the operator."""
    query = asked.asked(wire.ExportQuery)
    if query.whole and asked.workspace != OPERATOR:
        raise forbidden(f"the whole log is for admins of the workspace `{OPERATOR}`; leave `whole` out for your own")
    archive = log.open_archive()
    lines = audit.export(archive, query.after)
    return Lines(lines=lines if query.whole else own(lines, asked.workspace), media=JSON_LINES, close=archive.close)


def count(log: Log, workspace: str) -> int | None:
    """How many records the workspace has; `None` where the log cannot be read, which the check has found."""
    try:
        with closing(log.open_archive()) as archive:
            return sum(1 for _ in own(audit.export(archive), workspace))
    except LedgerError:
        return None


def own(lines: Iterator[bytes], workspace: str) -> Iterator[bytes]:
    """The lines of one workspace's records: those whose body says so itself, not a text within it."""
    sign = b'"workspace":' + orjson.dumps(workspace)
    return (line for line in lines if sign in line and _workspace(line) == workspace)


def _workspace(line: bytes) -> object:
    record = orjson.loads(line).get("record")
    return record.get("workspace") if isinstance(record, dict) else None


def _anchor(anchor: Anchor) -> wire.AuditAnchor:
    return wire.AuditAnchor(log=anchor.log, n=anchor.n, hash=anchor.hash.hex())
