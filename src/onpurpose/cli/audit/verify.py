"""`onpurpose audit verify`: is the log whole?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from onpurpose.adapters.signing import SecretKey, read_public_key, verify_signature
from onpurpose.adapters.vault import VARIABLE, AesVault, find_secret
from onpurpose.app import audit as use
from onpurpose.cli.audit.log import Log, log_options, open_log, refuse_missing
from onpurpose.cli.output import Exit, count, fail, progress, say, say_json, verb_options, visible
from onpurpose.core.chain import Finding, Report
from onpurpose.core.checkpoint import Anchor

_TRACES = (".anchor", ".pub", ".key")
"""What is left beside a log that was there once: that it is gone is then a finding."""

_KEYS = "give the service's secret in ONPURPOSE_SECRET or by --secret-file, or its key by --public-key"


@click.command("verify")
@log_options
@click.option(
    "--public-key", metavar="FILE", type=click.Path(exists=True, path_type=Path),
    help="The key that must have signed the log. Default: PATH.pub, beside the log.",
)  # fmt: skip
@click.option(
    "--secret-file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The service's secret, from which the key of a log in PostgreSQL comes. Default: ONPURPOSE_SECRET.",
)  # fmt: skip
@click.option("--expect", metavar="ANCHOR", help="An anchor noted earlier, which the log must still hold.")
@verb_options
def verify(  # noqa: PLR0913, PLR0917  these are its options
    log: str, folder: Path | None, public_key: Path | None, secret_file: Path | None, expect: str | None, as_json: bool
) -> Exit:
    """Check the whole log: that nothing was changed, removed, moved, added or cut off.

    Prints the newest anchor: note it where whoever can write the log cannot, and give it to the next
    check by --expect. Any finding exits with 1. Where days were let go whose files are not at hand, and
    nothing else is wrong, it exits with 5.
    """
    place = Log(log, folder)
    wanted = None if expect is None else _anchor(expect)
    size = _size(place, noted=wanted is not None)
    key = _key(place, public_key, secret_file)
    with progress("checking", size, None) as bar:
        report = use.verify(
            lambda: open_log(place),
            public_key=key,
            verify_signature=verify_signature,
            expect=wanted,
            progress=lambda _: bar(use.PROGRESS_EVERY),
        )
    if as_json:
        say_json(_report_json(report))
    else:
        say("\n".join(_report_lines(place, report, public_key is None and place.path is not None)))
        if key is None and place.path is None:
            say(f"  signatures were not checked: {_KEYS}")
    if not report.ok:
        return Exit.FINDINGS
    return Exit.FINE if report.whole else Exit.INCOMPLETE


def _size(log: Log, *, noted: bool) -> int:
    """The size of the log's file in bytes; 0 where it is gone, or in PostgreSQL. Ends the verb where none ever was."""
    path = log.path
    if path is None:
        return 0
    if not path.exists() and not noted and not any(path.with_name(path.name + end).exists() for end in _TRACES):
        refuse_missing(log)
    return path.stat().st_size if path.exists() else 0


def _key(log: Log, public_key: Path | None, secret_file: Path | None) -> bytes | None:
    """The key that must have signed the log, if one is known."""
    if log.path is not None:
        if secret_file is not None:
            fail("--secret-file is for a log in PostgreSQL", "give the public key of this one by --public-key")
        beside = log.path.with_name(f"{log.path.name}.pub")
        public_key = public_key or (beside if beside.exists() else None)
    if public_key is not None:
        return read_public_key(public_key)
    if log.path is None and (secret_file is not None or VARIABLE in os.environ):
        # A file that was named is what is meant, whatever the variable says.
        secret = find_secret({}, secret_file) if secret_file is not None else os.environ[VARIABLE].strip()
        AesVault(secret)  # one that the service refuses is not the service's
        return SecretKey(secret).public_key
    return None


def _anchor(text: str) -> Anchor:
    try:
        return Anchor.parse(text)
    except ValueError:
        fail(f"--expect `{text[:100]}` is no anchor", "give one as `onpurpose audit verify` prints it")


def _report_lines(log: Log, report: Report, key_beside: bool) -> Iterator[str]:
    for finding in report.findings:
        yield f"{finding.kind}: {finding.message}{_place(finding)}"
    if report.total > len(report.findings):
        yield f"... and {report.total - len(report.findings):,} more findings"
    records, chains = count(report.records, "record"), count(report.chains, "chain")
    for day in report.away:
        known = "" if day.proven else ", as is the day that holds the record of it"
        file = f"{visible(day.file)}, SHA-256 {day.digest}"
        yield f"not at hand: {day.day}, {count(day.records, 'record')}, let go{known}: {file}"
    told = "nothing wrong" if report.ok else count(report.total, "finding")
    if report.away:
        told += f", without {count(len(report.away), 'archived day')}"
    yield f"{log}: {records}, {chains}, {count(report.checkpoints, 'checkpoint')}: {told}"
    if report.key is not None and report.checkpoints:
        yield f"  signed with the key {report.key}"
        if key_beside:
            yield "  the key was read beside the log, where whoever writes the log may replace it:"
            yield "  keep a copy elsewhere, and give that by --public-key"
    if report.away:
        yield "  those days were not checked: name the folder that holds their files by --folder"
    if report.uncovered:
        newest = count(report.uncovered, "newest record")
        yield f"  not covered yet: the {newest} could be cut off without a trace until the next checkpoint"
    if report.ok and report.anchor is not None:
        yield "  note this anchor elsewhere, and give it to the next check by --expect:"
        yield f"  {report.anchor}"


def _place(finding: Finding) -> str:
    if finding.chain is None:
        return ""
    return f" (chain {finding.chain[:8]}" + ("" if finding.seq is None else f", record {finding.seq}") + ")"


def _report_json(report: Report) -> dict[str, object]:
    return {
        "ok": report.ok,
        "findings": [
            {"kind": str(one.kind), "message": one.message, "chain": one.chain, "seq": one.seq}
            for one in report.findings
        ],
        "total": report.total,
        "records": report.records,
        "chains": report.chains,
        "checkpoints": report.checkpoints,
        "uncovered": report.uncovered,
        "anchor": None if report.anchor is None else str(report.anchor),
        "key": report.key,
        "whole": report.whole,
        "away": [asdict(day) for day in report.away],
    }
